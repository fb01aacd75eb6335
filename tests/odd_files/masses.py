"""Faults of the m/z values."""

from __future__ import annotations

import numpy as np

from odd_files.registry import fault
from odd_files.sections import Section

_OWN = ("processed",)


@fault("masses", r"unit|kDa|thousand|m/z .*(small|below|range)")
def kilodaltons(section: Section, rng: np.random.Generator) -> Section:
    """m/z in thousands."""
    section = section.copy()
    for spec in section.specs:
        spec.mz = np.asarray(spec.mz) / 1000.0
    return section


@fault("masses", r"unit|thousand|m/z .*(large|above|range)")
def millidaltons(section: Section, rng: np.random.Generator) -> Section:
    """m/z in thousandths."""
    section = section.copy()
    for spec in section.specs:
        spec.mz = np.asarray(spec.mz) * 1000.0
    return section


@fault("masses", r"drift|calibrat|shift", flavours=_OWN)
def drift(section: Section, rng: np.random.Generator) -> Section:
    """m/z drifts over the run."""
    n, by = len(section.specs), float(rng.uniform(30, 120)) * 1e-6 * rng.choice([-1, 1])
    return section.change_mz(lambda mz, i: mz * (1 + by * i / n))


@fault("masses", r"drift|calibrat|shift", flavours=_OWN)
def step(section: Section, rng: np.random.Generator) -> Section:
    """m/z shifts half-way, as after a recalibration."""
    n, by = len(section.specs), float(rng.uniform(20, 150)) * 1e-6 * rng.choice([-1, 1])
    at = rng.uniform(0.3, 0.7) * n
    return section.change_mz(lambda mz, i: mz * (1 + by * (i > at)))


@fault("masses", r"drift|calibrat|shift|lines", flavours=_OWN)
def shift_by_line(section: Section, rng: np.random.Generator) -> Section:
    """m/z of every second line is shifted."""
    by, width = float(rng.uniform(20, 100)) * 1e-6, section.shape[1]
    return section.change_mz(lambda mz, i: mz * (1 + by * (i // width % 2)))


@fault("masses", r"drift|calibrat|shift", flavours=("profile",))
def profile_step(section: Section, rng: np.random.Generator) -> Section:
    """Profiles shift half-way by several peak widths."""
    n, bins = len(section.specs), int(rng.integers(8, 20))
    at = rng.uniform(0.3, 0.7) * n
    section = section.copy()
    for i, spec in enumerate(section.specs):
        if i > at:
            spec.intensity = np.roll(np.asarray(spec.intensity), bins)
    return section


@fault("masses", r"ascend|sorted|order|repair")
def unsorted(section: Section, rng: np.random.Generator) -> Section:
    """m/z values do not ascend."""
    order = rng.permutation(np.arange(len(np.asarray(section.specs[0].mz))))
    if section.flavour != "processed":
        section = section.copy()
        for spec in section.specs:
            spec.mz, spec.intensity = np.asarray(spec.mz)[order], np.asarray(spec.intensity)[order]
        return section
    section = section.copy()
    for spec in section.specs[:: int(rng.integers(1, 200))]:
        spec.mz, spec.intensity = np.asarray(spec.mz)[::-1].copy(), np.asarray(spec.intensity)[::-1].copy()
    return section


@fault("masses", r"NaN|not finite|repair")
def not_a_number(section: Section, rng: np.random.Generator) -> Section:
    """Some m/z values are NaN."""
    section = section.copy()
    for spec in section.specs[:: int(rng.integers(1, 200))]:
        spec.mz = np.array(spec.mz)
        spec.mz[len(spec.mz) // 2 :][:1] = np.nan
    return section


@fault("masses", r"nominal|integer|whole|rounded", flavours=_OWN)
def rounded(section: Section, rng: np.random.Generator) -> Section:
    """m/z are rounded to whole numbers."""
    section = section.copy()
    for spec in section.specs:
        spec.mz = np.round(np.asarray(spec.mz))
    return section


@fault("masses", r"twice|repeated|duplicate", flavours=_OWN, found_by_validate=False)
def peaks_split(section: Section, rng: np.random.Generator) -> Section:
    """Every peak is written as two of half the height."""
    section = section.copy()
    for spec in section.specs:
        spec.mz, spec.intensity = np.repeat(np.asarray(spec.mz), 2), np.repeat(np.asarray(spec.intensity) / 2, 2)
    return section


@fault("masses", r"zero", flavours=_OWN, found_by_validate=False)
def zero_filled(section: Section, rng: np.random.Generator) -> Section:
    """Zeros stand beside every peak."""
    section = section.copy()
    for spec in section.specs:
        mz, value = np.asarray(spec.mz), np.asarray(spec.intensity)
        beside = np.concatenate([mz, mz * (1 - 2e-5), mz * (1 + 2e-5)])
        order = np.argsort(beside, kind="stable")
        spec.mz, spec.intensity = beside[order], np.concatenate([value, 0 * value, 0 * value])[order]
    return section
