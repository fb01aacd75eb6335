"""The self-check of a candidate axis: strong signals in no window are told, and only those."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from simulated_sections import centroid_section, profile_section

SIDE = 12


def axis_of(path: Path, **options: float) -> imn.CandidateAxis:
    with imn.open(path) as ds:
        return imn.candidate_axis(ds, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(3))
def test_strong_peaks_that_are_not_aligned(seed: int, tmp_path: Path) -> None:
    """Each spectrum has its own mass error, except for a few weak peaks that were aligned."""
    rng = np.random.default_rng(seed)
    strong = np.sort(rng.uniform(300, 900, 12))
    weak = np.array([401.5, 602.25, 803.75])
    specs = []
    for s in range(SIDE * SIDE):
        shifted = strong * (1 + 1e-6 * rng.uniform(-3000, 3000))
        mz = np.concatenate([shifted, weak * (1 + 1e-6 * rng.normal(0, 1, 3)), rng.uniform(300, 900, 150)])
        intensity = np.concatenate([rng.uniform(50, 100, 12), rng.uniform(1, 2, 153)])
        order = np.argsort(mz)
        specs.append(Spec(s % SIDE + 1, s // SIDE + 1, mz[order], intensity[order]))
    axis = axis_of(write_imzml(tmp_path / "s.imzML", specs))
    assert len(axis) >= 3
    (note,) = axis.notes
    assert "strongest peaks of 64 spectra lie in no candidate window" in note
    assert axis.evidence["strongest_in_windows"] < 0.5


@pytest.mark.parametrize("shared", [True, False])
def test_spikes_in_single_pixels_of_a_profile(shared: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    mz = np.exp(np.arange(np.log(500.0), np.log(540.0), 2e-5))
    ions = (np.exp(-0.5 * (np.log(mz / at) / 5e-5) ** 2) for at in (505.0, 521.0, 533.0))
    mean = 20.0 * sum(ions)
    specs = []
    for s in range(SIDE * SIDE):
        value = mean + rng.exponential(0.2, len(mz))
        if s % 6 == 0:  # a detector spike
            value[rng.integers(100, len(mz) - 100)] += 50_000.0
        specs.append(Spec(s % SIDE + 1, s // SIDE + 1, mz, value))
    path = write_imzml(tmp_path / "s.imzML", specs, spectrum_type="profile", shared_axis=shared)
    axis = axis_of(path)
    assert len(axis) >= 3
    note = next(note for note in axis.notes if "lie in no candidate window" in note)
    assert "strongest maxima of the mean spectrum" in note
    assert "--axis bins" in note
    assert axis.evidence["strongest_in_windows"] < 0.5


def test_sound_sections_raise_no_alarm(tmp_path: Path) -> None:
    centroid_section(tmp_path / "c.imzML", seed=1, jitter=2.0, side=20, noise=300)
    profile_section(tmp_path / "p.imzML", seed=1, shared_axis=True)
    for name in ("c", "p"):
        axis = axis_of(tmp_path / f"{name}.imzML")
        assert axis.notes == ()
        assert axis.evidence["strongest_in_windows"] > 0.6


def test_channels_left_out_on_request_are_not_missed(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    common, rare = np.array([300.0, 400.0]), np.array([500.0, 600.0, 700.0])
    specs = []
    for s in range(SIDE * SIDE):
        mz = np.concatenate([common, rare[rng.random(3) < 0.3]])
        specs.append(Spec(s % SIDE + 1, s // SIDE + 1, mz, np.where(mz > 450, 100.0, 1.0)))
    path = write_imzml(tmp_path / "s.imzML", specs)
    assert len(axis_of(path)) == 5
    axis = axis_of(path, min_frequency=0.9)
    assert len(axis) == 2
    assert axis.notes == ()
