"""Processed profiles that leave samples of one axis out: candidates are those of the axis with all samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from imzml_factory import Spec, write_imzml
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.io.literals import AxisKind

SHAPE = (16, 18)
AXIS = 400.0 * np.exp(np.arange(2400) * 2.5e-4)
IONS = np.linspace(420.0, 700.0, 24)


def profiles(seed: int, axis: np.ndarray = AXIS) -> np.ndarray:
    """Noise and 24 ions of a resolving power of about 1,300, each in a part of the section, (pixels, samples)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    spectra = np.abs(rng.normal(0, 5, (y.size, len(axis))))
    for k, mz in enumerate(IONS):
        inside = ((y - 8) ** 2 + (x - 9) ** 2 < (2 + k % 7) ** 2).ravel()
        shape = np.exp(-0.5 * ((axis - mz) / (mz / 1300 / 2.355)) ** 2)
        spectra += (inside * rng.gamma(4, 60, y.size))[:, None] * shape
    return spectra.astype(np.float32)


def written(path: Path, mz: Callable[[int], np.ndarray], values: np.ndarray, level: float) -> Path:
    specs = []
    for i, row in enumerate(values):
        keep = row > level
        specs.append(Spec(i % SHAPE[1] + 1, i // SHAPE[1] + 1, mz(i)[keep], row[keep]))
    return write_imzml(path, specs, shared_axis=False, spectrum_type="profile")


def axis_of(path: Path, kind: AxisKind = "auto") -> CandidateAxis:
    with open_dataset(path) as ds:
        return candidate_axis(ds, kind=kind)


@pytest.mark.parametrize("quantile", [0.5, 0.8, 0.95, 0.99])
def test_candidates_are_those_of_the_whole_axis(tmp_path: Path, quantile: float) -> None:
    values = profiles(1)
    whole = write_imzml(
        tmp_path / "whole.imzML",
        [Spec(i % SHAPE[1] + 1, i // SHAPE[1] + 1, AXIS, row) for i, row in enumerate(values)],
        shared_axis=True,
        spectrum_type="profile",
    )
    path = written(tmp_path / "some.imzML", lambda _: AXIS, values, float(np.quantile(values, quantile)))
    expected, found = axis_of(whole), axis_of(path)
    assert len(expected) == len(IONS)
    np.testing.assert_allclose(expected.mz, IONS, rtol=2e-4)
    # In the last case, only the tops of the highest peaks are left.
    np.testing.assert_allclose(found.mz, expected.mz, rtol=3e-4 if quantile == 0.99 else 1e-4)
    np.testing.assert_allclose(found.mz_lo, expected.mz_lo, rtol=8e-4)
    np.testing.assert_allclose(found.mz_hi, expected.mz_hi, rtol=8e-4)


@pytest.mark.parametrize("quantile", [0.8, 0.98])
def test_the_axis_is_put_together(tmp_path: Path, quantile: float) -> None:
    """Every stored m/z is a point, and points stand for those that no sampled spectrum has."""
    values = profiles(2)
    level = float(np.quantile(values, quantile))
    path = written(tmp_path / "some.imzML", lambda _: AXIS, values, level)
    grid = axis_of(path, "bins").mz
    shown = AXIS[(values > level).any(axis=0)]
    first, last = np.searchsorted(AXIS, [shown[0], shown[-1]])
    expected = AXIS[first : last + 1]
    assert len(grid) == len(expected)
    np.testing.assert_allclose(grid, expected, rtol=3e-5)  # an eighth of a step


@pytest.mark.parametrize("axes", ["shifted", "rounded", "of another start"])
def test_axes_of_their_own_are_not_put_together(tmp_path: Path, axes: str) -> None:
    rng = np.random.default_rng(3)
    shifts = 1 + rng.uniform(-1e-4, 1e-4, SHAPE[0] * SHAPE[1])
    of = {
        "shifted": lambda i: AXIS * shifts[i],
        "rounded": lambda i: np.round(AXIS * shifts[i], 3),
        "of another start": lambda i: AXIS * np.exp(2.5e-4 * (i % 7) / 7),
    }[axes]
    values = np.stack([profiles(4, of(0))[i] for i in range(SHAPE[0] * SHAPE[1])])
    path = written(tmp_path / "own.imzML", of, values, float(np.quantile(values, 0.5)))
    grid = axis_of(path, "bins").mz
    assert 0.3 * len(AXIS) < len(grid) < 1.1 * len(AXIS)
    found = axis_of(path)
    assert (np.abs(IONS[:, None] - found.mz).min(axis=1) < IONS / 1300 / 3).all()
