"""Channels that the sections of simulated cohorts share, beside binning of peaks and merging of lists.

    python -m benchmarks.consensus [--seeds 0,1,2] [--json OUT]

Every section has its own mass drift, up to 10 ppm with a slope of up to 5 ppm, 1 ppm of jitter, and 150 false peaks.
Compared are the ions that at least a fifth of the sections show with the channels that each method finds: one to one,
within 3 ppm, on the scale of the cohort's median. Not timed against each other: results are the same in every run.

* strict bins: what MALDIquant's binPeaks does by default. Peaks are split at the widest gap until no bin has a peak
  farther from its mean than the tolerance, or two of one section. Bins of too few sections go, as with filterPeaks.
* merge: neighbours at most so far apart are one channel (single linkage).
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import ROOT
from benchmarks.profile_candidates import match
from ionmorphnet.cohort.consensus import Consensus, consensus

sys.path.insert(0, str(ROOT / "tests"))
from cohort_factory import SimulatedCohort, simulate_candidates  # type: ignore[import-not-found]

FloatArray = NDArray[np.float64]

MIN_SHARE = 0.2
TOLERANCE_PPM = 3.0
# Of recall and precision, and of a section's drift over the ions (root mean square, ppm).
LEAST_SHARE = 0.98
MOST_DRIFT_ERROR = 0.5


@dataclass(frozen=True)
class Setting:
    """Cohorts of one kind."""

    name: str
    n_sections: int
    n_ions: int
    span: tuple[float, float]

    def cohort(self, seed: int) -> SimulatedCohort:
        """One cohort."""
        return simulate_candidates(self.n_sections, n_ions=self.n_ions, span=self.span, seed=seed)


SETTINGS = (
    Setting("sparse, 20 sections", 20, 300, (100.0, 1500.0)),
    Setting("dense, 200 sections", 200, 1000, (600.0, 900.0)),
    Setting("dense, 600 sections", 600, 1000, (600.0, 900.0)),
)


@dataclass(frozen=True)
class Judged:
    """How one method did on one cohort.

    Attributes:
        setting: The kind of cohort.
        seed: Its seed.
        method: The method.
        ions: Ions that enough sections show.
        channels: Channels found.
        recall: Share of the ions with a channel.
        precision: Share of the channels with an ion.
        drift_rms_ppm: Largest root mean square error of a section's drift, relative to the cohort's median.
        drift_max_ppm: Largest error at any ion of any section.
        seconds: Processor time, because other work disturbs the clock.
    """

    setting: str
    seed: int
    method: str
    ions: int
    channels: int
    recall: float
    precision: float
    drift_rms_ppm: float | None
    drift_max_ppm: float | None
    seconds: float


@dataclass(frozen=True)
class Peaks:
    """m/z of all sections, ascending, and the section of each."""

    mz: FloatArray
    owner: NDArray[np.int64]
    n_sections: int

    @classmethod
    def of(cls, lists: Sequence[FloatArray]) -> Peaks:
        """The peaks of the lists."""
        mz = np.concatenate(lists)
        order = np.argsort(mz, kind="stable")
        return cls(mz[order], np.repeat(np.arange(len(lists)), [len(each) for each in lists])[order], len(lists))

    def common(self, edges: Sequence[int], centre: Callable[[FloatArray], np.floating]) -> FloatArray:
        """Centres of the groups between edges that enough sections have."""
        least = int(np.ceil(MIN_SHARE * self.n_sections - 1e-9))
        groups = [slice(a, b) for a, b in itertools.pairwise(edges)]
        kept = [each for each in groups if len(np.unique(self.owner[each])) >= least]
        return np.array([float(centre(self.mz[each])) for each in kept])


def strict_bins(peaks: Peaks, tolerance_ppm: float) -> FloatArray:
    """Bins as MALDIquant's binPeaks(method = "strict") makes them, in at least a fifth of the sections."""
    limit = tolerance_ppm * 1e-6
    gaps = np.diff(peaks.mz)
    # A bin with a gap of twice the tolerance has a peak beyond it: such gaps are split first, all at once.
    first = [0, *(np.flatnonzero(gaps > 2 * limit * peaks.mz[1:]) + 1).tolist(), len(peaks.mz)]
    edges = set(first)
    left = list(itertools.pairwise(first))
    while left:
        begin, end = left.pop()
        mz, owner = peaks.mz[begin:end], peaks.owner[begin:end]
        mean = mz.mean()
        if len(np.unique(owner)) == len(owner) and max(mean - mz[0], mz[-1] - mean) <= limit * mean:
            continue
        middle = begin + int(gaps[begin : end - 1].argmax()) + 1
        edges.add(middle)
        left += [(begin, middle), (middle, end)]
    return peaks.common(sorted(edges), np.mean)


def merged(peaks: Peaks, gap_ppm: float) -> FloatArray:
    """Neighbours at most ``gap_ppm`` apart are one channel, in at least a fifth of the sections."""
    apart = np.flatnonzero(np.diff(peaks.mz) > gap_ppm * 1e-6 * peaks.mz[:-1]) + 1
    return peaks.common([0, *apart.tolist(), len(peaks.mz)], np.median)


METHODS: Mapping[str, Callable[[Peaks], FloatArray]] = {
    "merge, 15 ppm": lambda peaks: merged(peaks, 15.0),
    "merge, 5 ppm": lambda peaks: merged(peaks, 5.0),
    "strict bins, 10 ppm": lambda peaks: strict_bins(peaks, 10.0),
    "strict bins, 4 ppm": lambda peaks: strict_bins(peaks, 4.0),
}


def judge(setting: Setting, seed: int) -> list[Judged]:
    """All methods on one cohort."""
    cohort = setting.cohort(seed)
    rows = []
    for name, method in METHODS.items():
        start = time.process_time()
        found = method(Peaks.of([each.mz for each in cohort.sections]))
        rows.append(_judged(setting, seed, name, cohort, found, time.process_time() - start))
    start = time.process_time()
    ours = consensus(cohort.sections, min_share=MIN_SHARE)
    seconds = time.process_time() - start
    start = time.process_time()
    aligned = [drift.to_reference(each.mz) for each, drift in zip(cohort.sections, ours.drift, strict=True)]
    bins = strict_bins(Peaks.of(aligned), 4.0)
    rows.append(
        _judged(setting, seed, "our drift, strict bins, 4 ppm", cohort, bins, seconds + time.process_time() - start)
    )
    mz = ours.channels["mz"].to_numpy(np.float64)
    rows.append(_judged(setting, seed, "ionmorphnet", cohort, mz, seconds, drift_error(cohort, ours)))
    return rows


def drift_error(cohort: SimulatedCohort, found: Consensus) -> FloatArray:
    """Errors of the drifts at the ions in ppm (n_sections, n_ions), relative to the median of the sections."""
    drift = np.array([each.at(cohort.true) for each in found.drift])
    error: FloatArray = drift - np.median(drift, axis=0) - cohort.drift_ppm + np.median(cohort.drift_ppm, axis=0)
    return error


def _judged(
    setting: Setting,
    seed: int,
    method: str,
    cohort: SimulatedCohort,
    found: FloatArray,
    seconds: float,
    error: FloatArray | None = None,
) -> Judged:
    wanted = cohort.wanted(MIN_SHARE)
    hits = int((match(wanted, TOLERANCE_PPM * 1e-6 * wanted, found) >= 0).sum())
    return Judged(
        setting.name,
        seed,
        method,
        len(wanted),
        len(found),
        hits / len(wanted),
        hits / max(1, len(found)),
        None if error is None else float(np.sqrt((error**2).mean(axis=1)).max()),
        None if error is None else float(np.abs(error).max()),
        seconds,
    )


def failures(rows: Sequence[Judged]) -> list[str]:
    """Where ours misses a limit, or a method without our drift step has better recall and precision."""
    bad = []
    for row in (row for row in rows if row.method == "ionmorphnet"):
        name = f"{row.setting}, seed {row.seed}"
        if min(row.recall, row.precision) < LEAST_SHARE:
            bad.append(f"{name}: recall {row.recall:.3f}, precision {row.precision:.3f}")
        if row.drift_rms_ppm is None or row.drift_rms_ppm > MOST_DRIFT_ERROR:
            bad.append(f"{name}: drift error {row.drift_rms_ppm} ppm")
        same = [each for each in rows if (each.setting, each.seed) == (row.setting, row.seed)]
        bad += [
            f"{name}: {each.method} has recall {each.recall:.3f} and precision {each.precision:.3f}"
            for each in same
            if each.method in METHODS and each.recall > row.recall and each.precision > row.precision
        ]
    return bad


def table(rows: Sequence[Judged]) -> str:
    """A Markdown table: one line per kind of cohort and method, with the range over the seeds."""
    lines = [
        "| cohort | method | channels | recall | precision | drift error, RMS | at most | CPU time |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for setting, method in dict.fromkeys((row.setting, row.method) for row in rows):
        own = [row for row in rows if (row.setting, row.method) == (setting, method)]
        cells = [_range([row.channels for row in own], "{:,.0f}")]
        cells += [_range([getattr(row, name) for row in own], "{:.3f}") for name in ("recall", "precision")]
        for name in ("drift_rms_ppm", "drift_max_ppm"):
            values = [value for row in own if (value := getattr(row, name)) is not None]
            cells.append(f"{max(values):.2f} ppm" if values else "")
        cells.append(f"{np.median([row.seconds for row in own]):.1f} s")
        lines.append(f"| {setting} | {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _range(values: Sequence[float], text: str) -> str:
    low, high = text.format(min(values)), text.format(max(values))
    return low if low == high else f"{low} to {high}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.consensus", description=__doc__)
    parser.add_argument("--seeds", default="0,1,2", help="seeds of the cohorts (default 0,1,2)")
    parser.add_argument("--json", type=Path, help="also write the rows as JSON")
    arguments = parser.parse_args()
    rows: list[Judged] = []
    for setting in SETTINGS:
        for seed in map(int, arguments.seeds.split(",")):
            rows += judge(setting, seed)
            print(f"{setting.name}, seed {seed}: done", flush=True)
    print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    bad = failures(rows)
    for line in bad:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
