"""Candidates of simulated cohorts with known ions, drifts and jitter."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ionmorphnet.cohort.consensus import SectionChannels

Float64 = npt.NDArray[np.float64]
PPM = 1e-6


@dataclass(frozen=True)
class SimulatedCohort:
    """Sections with their truth.

    Attributes:
        sections: The candidates.
        true: m/z of the ions (k,), ascending.
        present: Which section shows which ion, bool (n_sections, k).
        drift_ppm: Deviation of each section at each ion (n_sections, k).
    """

    sections: list[SectionChannels]
    true: Float64
    present: npt.NDArray[np.bool_]
    drift_ppm: Float64

    def wanted(self, min_share: float) -> Float64:
        """m/z of the ions that enough sections show, on the scale of the cohort's median."""
        common = np.median(self.drift_ppm, axis=0)
        return (self.true * np.exp(common * PPM))[self.present.mean(axis=0) >= min_share]


def simulate_candidates(
    n_sections: int,
    *,
    n_ions: int = 300,
    span: tuple[float, float] = (100.0, 1500.0),
    drift_ppm: float = 10.0,
    slope_ppm: float = 5.0,
    bend_ppm: float = 0.0,
    jitter_ppm: float = 1.0,
    n_false: int = 150,
    least_gap_ppm: float = 8.0,
    seed: int = 0,
) -> SimulatedCohort:
    """Candidates of sections that share ions.

    Args:
        n_sections: Number of sections.
        n_ions: Ions of the cohort; each occurs in a random 5 to 100 % of the sections.
        span: Range of m/z.
        drift_ppm: Largest offset of a section.
        slope_ppm: Largest change of the drift from the middle of ln(m/z) to its ends.
        bend_ppm: Largest quadratic part, at the ends.
        jitter_ppm: Standard deviation of a single m/z.
        n_false: Peaks of a section that no other section has.
        least_gap_ppm: Least distance between ions.
        seed: Random seed.
    """
    rng = np.random.default_rng(seed)
    low, high = span
    pool = np.sort(rng.uniform(low, high, 4 * n_ions))
    pool = pool[np.concatenate([[True], np.diff(pool) / pool[:-1] > least_gap_ppm * PPM])]
    true = np.sort(rng.choice(pool, n_ions, replace=False))
    u = (np.log(true) - 0.5 * np.log(low * high)) / (0.5 * np.log(high / low))
    share = rng.uniform(0.05, 1.0, n_ions)
    present = rng.random((n_sections, n_ions)) < share
    offset = rng.uniform(-drift_ppm, drift_ppm, (n_sections, 1))
    slope = rng.uniform(-slope_ppm, slope_ppm, (n_sections, 1))
    bend = rng.uniform(-bend_ppm, bend_ppm, (n_sections, 1))
    drift = offset + slope * u + bend * (u**2 - 1.0 / 3.0)
    sections = []
    for k in range(n_sections):
        seen = true * np.exp((drift[k] + rng.normal(0.0, jitter_ppm, n_ions)) * PPM)
        mz = np.concatenate([seen[present[k]], rng.uniform(low, high, n_false)])
        score = np.concatenate([np.full(int(present[k].sum()), 0.9), np.full(n_false, 0.2)])
        label = np.concatenate([np.zeros(int(present[k].sum()), np.int64), np.full(n_false, 5)])
        order = np.argsort(mz)
        mz, score, label = mz[order], score[order], label[order]
        sections.append(
            SectionChannels(f"s{k}", mz, mz * (1 - 5e-6), mz * (1 + 5e-6), score, score > 0.5, label.astype(np.int64))
        )
    return SimulatedCohort(sections, true, present, drift)


def matched(values: Float64, others: Float64, ppm: float) -> npt.NDArray[np.bool_]:
    """Which values (n,) have one of the others (m,) within ``ppm``."""
    if not len(others):
        return np.zeros(len(values), np.bool_)
    near = np.clip(np.searchsorted(others, values), 1, max(1, len(others) - 1))
    left = np.abs(values - others[near - 1])
    right = np.abs(values - others[np.minimum(near, len(others) - 1)])
    return np.minimum(left, right) <= ppm * PPM * values
