"""Candidates of profile sections, beside the reference and beside the truth of simulated instruments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imzml_factory import Spec, write_imzml
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.io.literals import InstrumentName
from ionmorphnet.reference import profile_axis as reference
from ionmorphnet.simulation import SimulatedSection, simulate
from ionmorphnet.simulation.instruments import INSTRUMENTS

SMALL: dict[InstrumentName, tuple[float, float]] = {
    "linear-tof": (3000.0, 9000.0),
    "reflector-tof": (700.0, 780.0),
    "orbitrap": (500.0, 560.0),
    "ft-icr": (400.0, 420.0),
}


def axis_of(path: Path, **options: object) -> CandidateAxis:
    with open_dataset(path) as ds:
        axis = candidate_axis(ds, **options)  # type: ignore[arg-type]
    assert (axis.mz_lo[1:] > axis.mz_hi[:-1]).all()
    return axis


def section_of(folder: Path, name: InstrumentName, **options: object) -> SimulatedSection:
    given = {"shape": (24, 24), "n_channels": 25, "mz_range": SMALL[name], "mode": "continuous", "seed": 3} | options
    return simulate(folder / "s.imzML", instrument=name, rare_share=0.2, **given)  # type: ignore[arg-type]


def clear_peaks(section: SimulatedSection, name: InstrumentName) -> np.ndarray:
    """bool per peak: at least three pixels carry it, and it is neither at an end of the axis nor merged with another.

    Merged: one of half its height within a width, or a flank of a quarter of its height.
    """
    assert section.peaks is not None
    mz, width, height, best = (section.peaks[c].to_numpy() for c in ("mz", "width", "mean_height", "best_height"))
    distance = (mz[:, None] - mz) / width
    flank = INSTRUMENTS[name].shape(distance) * height
    np.fill_diagonal(flank, 0.0)
    near = (np.abs(distance) < 1) & (height >= 0.5 * height[:, None])
    np.fill_diagonal(near, False)
    low, high = SMALL[name]
    inside = (mz - low > 2 * width) & (high - mz > 2 * width)
    carried = section.measured.sum() * height >= 3 * best
    return (flank.sum(axis=1) < 0.25 * height) & ~near.any(axis=1) & inside & carried


@pytest.mark.parametrize("name", SMALL)
def test_the_native_axis_is_that_of_the_reference(tmp_path: Path, name: InstrumentName) -> None:
    section = section_of(tmp_path, name)
    with open_dataset(section.path) as ds:
        mz = ds.spectrum(0)[0]
        spectra = np.stack([ds.spectrum(k)[1] for k in range(ds.n_spectra)]).astype(np.float64)
    expected = reference.profile_peaks(reference.curves(mz, spectra))
    axis = axis_of(section.path)
    assert len(expected) > 20
    np.testing.assert_allclose(axis.mz, [peak.mz for peak in expected], rtol=1e-7)
    first, last = (np.searchsorted(mz, edge) for edge in (axis.mz_lo, axis.mz_hi))
    np.testing.assert_array_equal(first, [peak.first for peak in expected])
    np.testing.assert_array_equal(last - 1, [peak.last for peak in expected])


@pytest.mark.parametrize("mode", ["continuous", "processed"])
@pytest.mark.parametrize("name", SMALL)
def test_ions_of_an_instrument_have_a_candidate(tmp_path: Path, name: InstrumentName, mode: str) -> None:
    section = section_of(tmp_path, name, mode=mode)
    peaks = section.peaks
    assert peaks is not None
    axis = axis_of(section.path)
    mz, width = peaks["mz"].to_numpy(), peaks["width"].to_numpy()
    wanted = clear_peaks(section, name) & (peaks["snr_mean"] >= 6).to_numpy()
    found = (np.abs(mz[:, None] - axis.mz) <= width[:, None] / 2).any(axis=1)
    assert wanted.sum() > 20
    assert found[wanted].mean() >= 0.97
    shown = ((peaks["snr_mean"] >= 0.5) | (peaks["snr_best"] >= 3)).to_numpy()
    true = (np.abs(mz[shown, None] - axis.mz) <= width[shown, None] / 2).any(axis=0)
    assert true.mean() >= 0.97
    nearest = np.abs(mz[:, None] - axis.mz).argmin(axis=0)
    assert np.median((axis.mz_hi - axis.mz_lo) / width[nearest]) <= 1.6
    assert ((axis.mz_hi - axis.mz_lo) / width[nearest]).max() <= 3.0
    law = axis.evidence["peak_width_power"]
    assert isinstance(law, float)
    assert axis.evidence["resolving_power"] == pytest.approx(
        axis.evidence["peak_width_at_mz"] / np.interp(axis.evidence["peak_width_at_mz"], mz, width), rel=0.12
    )


def linear_section(path: Path, *, resolving_power: float, seed: int) -> np.ndarray:
    """A linear MALDI-TOF section with 40 clear ions, among them one on a rising flank and one beside a stronger one.

    3,627 bins equidistant in flight time over m/z 2,400 to 11,000, a hump of the matrix that rises until m/z 3,000, a
    sloping baseline, tails of unresolved adducts, and regions with different ions.
    """
    rng = np.random.default_rng(seed)
    axis = np.linspace(np.sqrt(2400.0), np.sqrt(11_000.0), 3627) ** 2
    ions = np.array([2617.0, 5305.0, 9945.0, 10_003.0])
    for candidate in rng.permutation(np.linspace(2500.0, 10_800.0, 2000)):
        if len(ions) == 40:
            break
        if np.abs(ions - candidate).min() > 3.2 * candidate / resolving_power:
            ions = np.append(ions, candidate)
    heights = np.exp(rng.uniform(np.log(60.0), np.log(1500.0), len(ions)))
    heights[:4] = 120.0, 90.0, 150.0, 900.0
    width = ions / resolving_power
    distance = (axis - ions[:, None]) / width[:, None]
    behind = np.maximum(distance, 0.0)
    shape = np.exp(-4 * np.log(2) * distance**2) + 0.08 * np.exp(-behind / 1.5) * (1 - np.exp(-0.5 * behind**2))
    background = 900 * np.exp(-(axis - 2400) / 2500) + 700 * np.exp(-0.5 * ((axis - 3050) / 330) ** 2) + 60
    rows = np.arange(400) // 20
    shown = [np.ones(400) if k < 4 or k % 3 else (rows < 7 + k % 5) * 2.0 for k in range(len(ions))]
    amount = np.stack(shown, axis=1) * rng.gamma(6.0, 1 / 6.0, (400, len(ions))) * heights
    signal = amount @ shape + rng.gamma(20.0, 1 / 20.0, (400, 1)) * background
    signal += rng.normal(0.0, 1.0, signal.shape) * np.sqrt(400.0 + 2.0 * background)
    specs = [Spec(k % 20 + 1, k // 20 + 1, axis, np.maximum(signal[k], 0.0)) for k in range(400)]
    write_imzml(path, specs, spectrum_type="profile", shared_axis=True)
    return np.sort(ions)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("resolving_power", [300.0, 450.0])
def test_every_clear_ion_of_a_linear_tof_section_has_its_own_window(
    tmp_path: Path, resolving_power: float, seed: int
) -> None:
    ions = linear_section(tmp_path / "s.imzML", resolving_power=resolving_power, seed=seed)
    axis = axis_of(tmp_path / "s.imzML")
    inside = (axis.mz_lo <= ions[:, None]) & (ions[:, None] <= axis.mz_hi)
    assert inside.sum(axis=1).tolist() == [1] * len(ions)
    assert inside.sum(axis=0).max() == 1
    holding = inside.argmax(axis=1)
    np.testing.assert_allclose(axis.mz[holding], ions, atol=(0.25 * ions / resolving_power).max())
    widths = (axis.mz_hi - axis.mz_lo)[holding] / (ions / resolving_power)
    assert np.median(widths) < 1.7
    assert widths.max() < 2.7
    assert len(axis) < 55


def test_isolated_and_overlapping_peaks_are_split_where_they_can_be(tmp_path: Path) -> None:
    """Pairs of equal and of unequal peaks, 0.75 to 2 widths apart."""
    rng = np.random.default_rng(1)
    axis = np.arange(1000.0, 1100.0, 0.02)
    pairs = [(1010.0, 1.0, 1.0), (1025.0, 1.3, 0.15), (1040.0, 0.9, 1.0), (1055.0, 2.0, 0.1), (1070.0, 0.3, 1.0)]
    ions = np.array([m for start, apart, _ in pairs for m in (start, start + 0.1 * apart)])
    heights = np.array([h for _, _, second in pairs for h in (300.0, 300.0 * second)])
    signal = (heights[:, None] * np.exp(-4 * np.log(2) * ((axis - ions[:, None]) / 0.1) ** 2)).sum(axis=0)
    lone = np.arange(1080.0, 1099.0, 2.0)
    signal += (200.0 * np.exp(-4 * np.log(2) * ((axis - lone[:, None]) / 0.1) ** 2)).sum(axis=0)
    specs = [Spec(k % 10 + 1, k // 10 + 1, axis, signal + 50 + rng.normal(0, 10, len(axis))) for k in range(100)]
    write_imzml(tmp_path / "s.imzML", specs, spectrum_type="profile", shared_axis=True)
    found = axis_of(tmp_path / "s.imzML").mz
    for start, apart, _ in pairs:
        near = found[np.abs(found - start) < 1.0]
        expected = [start, start + 0.1 * apart] if apart > 0.5 else [start + 0.05 * apart]
        np.testing.assert_allclose(near, expected, atol=0.02)
    assert len(found) == 9 + len(lone)


def test_a_rare_ion_is_found_and_a_spike_is_not(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    axis = np.arange(800.0, 850.0, 0.01)
    at = {m: np.exp(-4 * np.log(2) * ((axis - m) / 0.05) ** 2) for m in (805.0, 810.0, 820.0, 830.0, 840.0)}
    specs = []
    for k in range(900):
        signal = 100.0 + rng.normal(0.0, 10.0, len(axis)) + 40.0 * (at[805.0] + at[810.0] + at[820.0])
        if k % 30 < 3 and 10 <= k // 30 < 13:  # 9 of 900 pixels
            signal += 50.0 * at[830.0]
        if k == 450:
            signal += 20_000.0 * at[840.0]
        specs.append(Spec(k % 30 + 1, k // 30 + 1, axis, signal))
    write_imzml(tmp_path / "s.imzML", specs, spectrum_type="profile", shared_axis=True)
    axis_found = axis_of(tmp_path / "s.imzML")
    np.testing.assert_allclose(axis_found.mz, [805.0, 810.0, 820.0, 830.0], atol=0.02)
    assert axis_found.evidence["peaks_of_mean"] == 3.0
    assert axis_found.evidence["peaks_of_few_spectra"] == 1.0


def test_the_axis_does_not_depend_on_the_threads(tmp_path: Path) -> None:
    section = section_of(tmp_path, "reflector-tof", mode="processed")
    one, three = axis_of(section.path, threads=1), axis_of(section.path, threads=3)
    for name in ("mz", "mz_lo", "mz_hi", "frequency"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))
    assert one.evidence == three.evidence


def test_the_grid_has_no_gaps_where_spectra_leave_samples_out(tmp_path: Path) -> None:
    """Few ions: in most stretches of m/z, the distances between samples are those between peaks."""
    section = section_of(tmp_path, "orbitrap", mode="processed", mz_range=(500.0, 800.0), n_channels=60)
    with open_dataset(section.path) as ds:
        grid = candidate_axis(ds, kind="bins").mz
        samples = ds.spectrum(0)[0]
    steps = np.diff(samples) / samples[1:] ** 1.5
    smallest = np.quantile(steps[steps > 0], 0.1)
    assert (np.diff(grid) / grid[1:] ** 1.5).max() < 1.3 * smallest


@pytest.mark.parametrize("share", [0.7, 0.4, 0.15])
def test_a_peak_that_the_detector_cut_off_is_one(tmp_path: Path, share: float) -> None:
    """Four ions, the second of which is cut off at a share of its height in the pixels that show it best."""
    rng = np.random.default_rng(2)
    mz = np.linspace(1000.0, 1010.0, 400)
    ions, sd = np.array([1002.0, 1004.0, 1007.0, 1008.5]), 0.12
    heights = np.array([100.0, 1000.0, 150.0, 80.0])
    spectra = []
    for p in range(400):
        at = (heights * rng.gamma(20, 0.05, 4))[:, None] * np.exp(-0.5 * ((mz - ions[:, None]) / sd) ** 2)
        values = at.sum(axis=0) + np.abs(rng.normal(0, 3, mz.size))
        spectra.append(Spec(p % 20 + 1, p // 20 + 1, mz, np.minimum(values, 1000.0 * share)))
    axis = axis_of(write_imzml(tmp_path / "s.imzML", spectra, shared_axis=True, spectrum_type="profile"))
    np.testing.assert_allclose(axis.mz, ions, atol=0.02)
    assert axis.mz_lo[1] < 1004.0 - sd
    assert axis.mz_hi[1] > 1004.0 + sd
