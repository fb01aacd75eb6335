"""The benchmark of common channels, in a short form: ours against binning and merging on a simulated cohort."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import consensus

    monkeypatch.setattr(sys, "path", list(sys.path))
    return consensus


def test_strict_bins_are_split_at_the_widest_gap(benchmark):
    # Within 10 ppm of their mean, but section 0 has two peaks: split at the widest gap, 3 ppm.
    mz = 500.0 * (1 + 1e-6 * np.array([0.0, 1.0, 4.0, 5.0, 5.5]))
    peaks = benchmark.Peaks(mz, np.array([0, 1, 0, 1, 2]), 3)
    np.testing.assert_allclose(benchmark.strict_bins(peaks, 10.0), [mz[:2].mean(), mz[2:].mean()], rtol=1e-12)
    # All of different sections: one bin. Too far from the mean for 2 ppm: two.
    apart = dataclasses.replace(peaks, owner=np.arange(5), n_sections=5)
    np.testing.assert_allclose(benchmark.strict_bins(apart, 10.0), [mz.mean()], rtol=1e-12)
    assert len(benchmark.strict_bins(apart, 2.0)) == 2


def test_a_merge_chains_neighbours(benchmark):
    mz = 500.0 * (1 + 1e-6 * np.array([0.0, 4.0, 8.0, 14.0]))
    peaks = benchmark.Peaks.of([mz[:2], mz[2:]])
    np.testing.assert_allclose(benchmark.merged(peaks, 5.0), [mz[1], mz[3]], rtol=1e-12)
    # In one of ten sections is in too few.
    few = benchmark.Peaks.of([mz[:1], *[mz[3:]] * 9])
    np.testing.assert_allclose(benchmark.merged(few, 5.0), [mz[3]], rtol=1e-12)


def test_ours_keeps_its_limits_and_beats_methods_without_drift(benchmark):
    setting = dataclasses.replace(benchmark.SETTINGS[1], n_sections=40)
    rows = benchmark.judge(setting, 0)
    assert benchmark.failures(rows) == []
    (ours,) = (row for row in rows if row.method == "ionmorphnet")
    for row in rows:
        if row.method in benchmark.METHODS:
            assert row.recall < ours.recall
    assert f"| {setting.name} | ionmorphnet | {ours.channels:,} |" in benchmark.table(rows)


def test_failures_are_told(benchmark):
    row = benchmark.Judged("s", 0, "ionmorphnet", 100, 100, 0.97, 0.99, 0.6, 1.0, 0.0)
    better = dataclasses.replace(row, method="merge, 5 ppm", recall=0.98, precision=1.0, drift_rms_ppm=None)
    assert benchmark.failures([row, better]) == [
        "s, seed 0: recall 0.970, precision 0.990",
        "s, seed 0: drift error 0.6 ppm",
        "s, seed 0: merge, 5 ppm has recall 0.980 and precision 1.000",
    ]


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("size", [0, 1, 2])
def test_the_whole_benchmark(benchmark, size, seed):
    assert benchmark.failures(benchmark.judge(benchmark.SETTINGS[size], seed)) == []
