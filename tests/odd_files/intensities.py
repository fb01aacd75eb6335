"""Faults of the intensities."""

from __future__ import annotations

import numpy as np

from odd_files.registry import fault
from odd_files.sections import Section


@fault("intensities", r"cut off|saturat|clip|largest value")
def clipped(section: Section, rng: np.random.Generator) -> Section:
    """The detector is saturated: values end at a limit."""
    values = np.concatenate([np.asarray(spec.intensity) for spec in section.specs])
    limit = float(np.quantile(values[values > 0], rng.uniform(0.5, 0.9 if section.peak_like else 0.95)))
    return section.change_intensities(lambda v, x, y: np.minimum(v, limit))


@fault("intensities", r"cut off|saturat|clip|largest value")
def eight_bits(section: Section, rng: np.random.Generator) -> Section:
    """Intensities are cut off at 255 counts."""
    values = np.concatenate([np.asarray(spec.intensity) for spec in section.specs])
    scale = 255.0 / float(np.quantile(values[values > 0], 0.8))
    return section.change_intensities(lambda v, x, y: np.minimum(np.round(v * scale), 255.0))


@fault("intensities", r"column|line")
def dead_column(section: Section, rng: np.random.Generator) -> Section:
    """Some columns carry no signal."""
    width = section.shape[1]
    dead = set(rng.choice(np.arange(6, width - 4), int(rng.integers(2, 6)), replace=False).tolist())
    return section.change_intensities(lambda v, x, y: v * (x not in dead))


@fault("intensities", r"\brow|line")
def dead_lines(section: Section, rng: np.random.Generator) -> Section:
    """Some lines carry no signal."""
    height = section.shape[0]
    dead = set(rng.choice(np.arange(6, height - 4), int(rng.integers(2, 6)), replace=False).tolist())
    return section.change_intensities(lambda v, x, y: v * (y not in dead))


@fault("intensities", r"TIC|total|sensitivity|one pattern|same pattern|step")
def sensitivity_step(section: Section, rng: np.random.Generator) -> Section:
    """The sensitivity drops half-way."""
    at, left = section.shape[0] * rng.uniform(0.35, 0.65), float(rng.uniform(0.1, 0.4))
    return section.change_intensities(lambda v, x, y: v * (left if y > at else 1.0))


@fault("intensities", r"TIC|total|stripe|lines?\b|one pattern|same pattern")
def stripes(section: Section, rng: np.random.Generator) -> Section:
    """Lines alternate in brightness."""
    left, first = float(rng.uniform(0.15, 0.5)), int(rng.integers(2))
    return section.change_intensities(lambda v, x, y: v * (left if y % 2 == first else 1.0))


@fault("intensities", r"TIC|total|stripe|lines?\b|one pattern|same pattern")
def random_stripes(section: Section, rng: np.random.Generator) -> Section:
    """Each line has a brightness of its own."""
    factors = np.exp(rng.normal(0, rng.uniform(0.5, 0.9), section.shape[0] + 1))
    return section.change_intensities(lambda v, x, y: v * factors[y])


@fault("intensities", r"TIC|total|order|fade|drift|one pattern|same pattern|step")
def fading(section: Section, rng: np.random.Generator) -> Section:
    """The signal fades over the run."""
    end = float(rng.uniform(0.03, 0.2))
    height, width = section.shape
    return section.change_intensities(lambda v, x, y: v * end ** (((y - 1) * width + x) / (height * width)))


@fault("intensities", r"TIC|total|edge|border|one pattern|same pattern")
def bright_edge(section: Section, rng: np.random.Generator) -> Section:
    """The pixels at the edge are several times brighter."""
    height, width = section.shape
    by = float(rng.uniform(6, 15))

    def change(values: np.ndarray, x: int, y: int) -> np.ndarray:
        at_edge = min(x - 1, y - 1, width - x, height - y) < 2
        return values * (by if at_edge else 1.0)

    return section.change_intensities(change)


@fault("intensities", r"one (pixel|spectrum)|hot|single|outlier")
def hot_pixel(section: Section, rng: np.random.Generator) -> Section:
    """One pixel is a thousand times brighter than the rest."""
    height, width = section.shape
    at, by = (int(rng.integers(5, width - 4)), int(rng.integers(5, height - 4))), float(10 ** rng.uniform(2.5, 5))
    return section.change_intensities(lambda v, x, y: (v + 1.0) * by if (x, y) == at else v)


@fault("intensities", r"log|transform|factor")
def logarithms(section: Section, rng: np.random.Generator) -> Section:
    """Intensities are logarithms."""
    return section.change_intensities(lambda v, x, y: np.log1p(np.maximum(v, 0)))


@fault("intensities", r"negative")
def negative_baseline(section: Section, rng: np.random.Generator) -> Section:
    """A baseline was subtracted, and a part of the intensities is negative."""
    values = np.concatenate([np.asarray(spec.intensity) for spec in section.specs])
    level = float(np.quantile(values[values > 0], 0.5))
    if section.peak_like:
        return section.change_intensities(lambda v, x, y: v - level)
    return section.change_intensities(lambda v, x, y: v - 2.0 * level)


@fault("intensities", r"negative")
def sign_reversed(section: Section, rng: np.random.Generator) -> Section:
    """All intensities have the wrong sign."""
    return section.change_intensities(lambda v, x, y: -v)


@fault("intensities", r"same total|normali[sz]ed|total")
def normalised(section: Section, rng: np.random.Generator) -> Section:
    """Every spectrum was divided by its total."""
    return section.change_intensities(lambda v, x, y: v / max(float(np.abs(v).sum()), 1e-9))


@fault("intensities", r"normali[sz]ed|largest")
def base_peak_normalised(section: Section, rng: np.random.Generator) -> Section:
    """Every spectrum was divided by its largest value."""
    return section.change_intensities(lambda v, x, y: 100.0 * v / max(float(np.abs(v).max(initial=0)), 1e-9))


@fault("intensities", r"NaN|not finite")
def nan_intensities(section: Section, rng: np.random.Generator) -> Section:
    """Some intensities are NaN."""
    share = float(rng.uniform(0.05, 0.3))
    return section.change_intensities(lambda v, x, y: np.where(rng.random(len(v)) < share, np.nan, v))


@fault("intensities", r"equal|constant|presence|one value|same value")
def all_ones(section: Section, rng: np.random.Generator) -> Section:
    """All intensities are 1."""
    return section.change_intensities(lambda v, x, y: (v > 0).astype(float))


@fault("intensities", r"negative|wrap|overflow|16 bit|limit")
def wrapped_counts(section: Section, rng: np.random.Generator) -> Section:
    """Counts over 32,767 became negative."""
    values = np.concatenate([np.asarray(spec.intensity) for spec in section.specs])
    scale = 32767.0 / float(np.quantile(values[values > 0], 0.8))
    return section.change_intensities(
        lambda v, x, y: np.round(v * scale).astype(np.int64).astype(np.int16).astype(float)
    )
