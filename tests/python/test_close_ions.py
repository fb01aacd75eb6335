"""Processed centroids of a few close ions, as in a narrow m/z window: neither joined, nor split, nor lost."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml

MZ = 885.5499
WIDTH = 20


def window(
    path: Path,
    offsets: Sequence[float],
    sd: float,
    *,
    shares: Sequence[float] | None = None,
    drift: float = 0.0,
    spectra: int = 200,
    seed: int = 0,
) -> Path:
    """Ions at ``offsets`` ppm above MZ, each in a share of the spectra; ``sd`` and ``drift`` in ppm."""
    rng = np.random.default_rng(seed)
    shares = [1.0] * len(offsets) if shares is None else shares
    specs = []
    for s in range(spectra):
        shown = np.flatnonzero(rng.random(len(offsets)) < shares)
        ppm = np.asarray(offsets)[shown] + rng.normal(0, sd, len(shown)) + drift * (s / spectra - 0.5)
        specs.append(Spec(s % WIDTH + 1, s // WIDTH + 1, np.sort(MZ * (1 + 1e-6 * ppm)), rng.gamma(4, 1, len(ppm))))
    return write_imzml(path, specs)


def found(path: Path) -> np.ndarray:
    """Offsets of the channels in ppm."""
    with imn.open(path) as ds:
        axis = imn.candidate_axis(ds)
    assert (axis.mz_lo[1:] > axis.mz_hi[:-1]).all()
    return (axis.mz / MZ - 1) * 1e6


GAPS = [
    *((3, 0.3), (3, 0.5), (3, 0.7), (3, 1), (4, 0.3), (5, 0.5), (5, 1), (6, 1), (8, 0.3), (8, 1)),
    *((10, 2), (15, 3), (20, 4), (50, 5), (50, 10), (100, 20)),
]


@pytest.mark.parametrize(("gap", "sd"), GAPS)
def test_two_ions_are_two_channels(gap: float, sd: float, tmp_path: Path) -> None:
    for seed in range(3):
        at = found(window(tmp_path / "s.imzML", [0, gap], sd, seed=seed))
        assert len(at) == 2
        np.testing.assert_allclose(at, [0, gap], atol=0.3 * sd)


@pytest.mark.parametrize("shares", [(0.5, 0.5), (1.0, 0.1), (0.2, 0.9)])
@pytest.mark.parametrize(("gap", "sd"), [(5, 0.5), (8, 1), (15, 2), (50, 5)])
def test_two_ions_that_not_all_spectra_show(gap: float, sd: float, shares: Sequence[float], tmp_path: Path) -> None:
    at = found(window(tmp_path / "s.imzML", [0, gap], sd, shares=shares, spectra=400))
    assert len(at) == 2
    np.testing.assert_allclose(at, [0, gap], atol=0.5 * sd)


@pytest.mark.parametrize(("offsets", "sd"), [([0, 5, 10], 0.5), ([0, 4, 30, 36], 0.5), ([0, 40, 80, 200], 5)])
def test_more_ions(offsets: list[float], sd: float, tmp_path: Path) -> None:
    at = found(window(tmp_path / "s.imzML", offsets, sd))
    np.testing.assert_allclose(at, offsets, atol=0.5 * sd)


@pytest.mark.parametrize("drift", [0.0, 3.0])
@pytest.mark.parametrize("sd", [0.3, 1.0, 3.0, 8.0])
def test_one_ion_is_not_split(sd: float, drift: float, tmp_path: Path) -> None:
    for seed in range(16):
        at = found(window(tmp_path / "s.imzML", [0], sd, drift=drift, spectra=(80, 150)[seed % 2], seed=seed))
        assert len(at) == 1, (seed, at)


@pytest.mark.parametrize("sd", [3.0, 8.0, 15.0, 30.0])
def test_one_ion_of_few_spectra_is_not_split(sd: float, tmp_path: Path) -> None:
    """Few peaks leave gaps by chance; that no spectrum has one on both sides tells one ion."""
    sizes = [10, 15, 20, 30] * 25
    split = [
        k for k, n in enumerate(sizes) if len(found(window(tmp_path / "s.imzML", [0], sd, spectra=n, seed=k))) != 1
    ]
    assert len(split) <= 1, split


@pytest.mark.parametrize(("gap", "sd"), [(5, 0.5), (8, 1), (15, 2), (30, 4), (50, 8)])
def test_two_ions_of_few_spectra(gap: float, sd: float, tmp_path: Path) -> None:
    sizes = [10, 15, 20, 30, 40] * 6
    joined = [
        k for k, n in enumerate(sizes) if len(found(window(tmp_path / "s.imzML", [0, gap], sd, spectra=n, seed=k))) != 2
    ]
    assert len(joined) <= 1, joined
