"""Sections with a known set of channels, for the tests of the candidate axis."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imzml_factory import Spec, write_imzml


@dataclass
class Truth:
    """m/z of the channels, ascending, and the pixels (n, side, side) that may show each."""

    mz: np.ndarray
    presence: np.ndarray


def disc(side: int, share: float, rng: np.random.Generator) -> np.ndarray:
    radius = np.sqrt(share * side * side / np.pi)
    y, x = np.mgrid[:side, :side]
    cy, cx = rng.uniform(radius, side - radius, 2)
    return (y - cy) ** 2 + (x - cx) ** 2 < radius**2


def centroid_section(
    path: Path,
    *,
    seed: int,
    jitter: float,
    drift: float = 5.0,
    side: int = 45,
    channels: int = 120,
    pairs: int = 8,
    noise: int = 120,
    mz_range: tuple[float, float] = (200.0, 1200.0),
) -> Truth:
    """Processed centroid section with jittered, drifting channels among random peaks.

    A third of the channels is localized (1.2 to 2 % of the pixels), a third regional, the rest everywhere; ``pairs``
    have a neighbour 15 ppm above; ``jitter`` (sd, ppm) per peak, a linear ``drift`` (ppm) over the section, ``noise``
    random peaks per spectrum.
    """
    rng = np.random.default_rng(seed)
    low, high = mz_range
    base = np.exp(np.linspace(np.log(low * 1.02), np.log(high * 0.98), channels) + rng.uniform(-4e-4, 4e-4, channels))
    paired = rng.choice(channels, pairs, replace=False)
    mz = np.concatenate([base, base[paired] * (1 + 15e-6)])
    kind = np.arange(len(mz)) % 3
    presence = np.zeros((len(mz), side, side))
    for k in range(len(mz)):
        if kind[k] == 0:
            presence[k] = disc(side, rng.uniform(0.012, 0.02), rng) * 0.95
        elif kind[k] == 1:
            presence[k] = np.where(disc(side, rng.uniform(0.1, 0.5), rng), rng.uniform(0.6, 1.0), 0.05)
        else:
            presence[k] = rng.uniform(0.2, 1.0)
    shift = drift * (np.arange(side * side) / (side * side) - 0.5)
    specs = []
    for s in range(side * side):
        y, x = divmod(s, side)
        shown = np.flatnonzero(rng.random(len(mz)) < presence[:, y, x])
        peaks = mz[shown] * (1 + 1e-6 * (rng.normal(0, jitter, len(shown)) + shift[s]))
        peaks = np.sort(np.concatenate([peaks, rng.uniform(low, high, noise)]))
        specs.append(Spec(x + 1, y + 1, peaks, rng.lognormal(3, 1, len(peaks))))
    write_imzml(path, specs)
    order = np.argsort(mz)
    return Truth(mz[order], presence[order] > 0)


def recall_and_precision(truth: np.ndarray, found: np.ndarray, tolerance: float = 5.0) -> tuple[float, float]:
    """One-to-one matches within ``tolerance`` ppm, nearest first."""
    distance = np.abs(found[None, :] / truth[:, None] - 1) * 1e6
    t_index, f_index = np.nonzero(distance <= tolerance)
    matched_t, matched_f = set(), set()
    for k in np.argsort(distance[t_index, f_index]):
        t, f = int(t_index[k]), int(f_index[k])
        if t not in matched_t and f not in matched_f:
            matched_t.add(t)
            matched_f.add(f)
    return len(matched_t) / len(truth), len(matched_f) / max(1, len(found))


def profile_section(
    path: Path,
    *,
    seed: int,
    shared_axis: bool,
    side: int = 30,
    channels: int = 40,
    bins: int = 8000,
    noise: float = 1.0,
) -> Truth:
    """Profile section: normal peaks of 3 bins standard deviation over a noise floor, every fourth channel localized."""
    rng = np.random.default_rng(seed)
    axis = np.exp(np.linspace(np.log(400.0), np.log(900.0), bins))
    place = np.linspace(0.02, 0.98, channels) * bins + rng.uniform(-20, 20, channels)
    mz = np.interp(place, np.arange(bins), axis)
    presence = np.ones((channels, side, side), dtype=bool)
    for k in range(0, channels, 4):
        presence[k] = disc(side, 0.02, rng)
    height = np.where(np.arange(channels) % 4 == 0, 15.0, rng.uniform(3.0, 30.0, channels))
    specs = []
    for s in range(side * side):
        y, x = divmod(s, side)
        offset = 0.0 if shared_axis else rng.uniform(0, 1)
        position = np.arange(bins - 1) + offset
        here = np.interp(position, np.arange(bins), axis)
        signal = rng.exponential(noise, bins - 1)
        for k in np.flatnonzero(presence[:, y, x]):
            near = slice(int(place[k]) - 15, int(place[k]) + 16)
            signal[near] += height[k] * rng.uniform(0.7, 1.3) * np.exp(-0.5 * ((position[near] - place[k]) / 3.0) ** 2)
        specs.append(Spec(x + 1, y + 1, here, signal))
    write_imzml(path, specs, shared_axis=shared_axis, spectrum_type="profile")
    return Truth(mz, presence)
