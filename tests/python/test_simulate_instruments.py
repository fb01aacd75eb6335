"""Simulated profile sections as instruments write them, compared with their truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.cli.simulate import simulate as command
from ionmorphnet.io.literals import InstrumentName
from ionmorphnet.simulation import SimulatedSection
from ionmorphnet.simulation.instrument_spectra import PeakTable
from ionmorphnet.simulation.instruments import INSTRUMENT_NAMES, INSTRUMENTS

RANGES: dict[str, tuple[float, float]] = {
    "linear-tof": (4000.0, 8000.0),
    "reflector-tof": (700.0, 760.0),
    "orbitrap": (400.0, 440.0),
    "ft-icr": (500.0, 530.0),
}


def section_of(folder: Path, name: InstrumentName, **options: object) -> SimulatedSection:
    """A small section of an instrument."""
    given = {"shape": (24, 24), "n_channels": 12, "mz_range": RANGES[name], "mode": "continuous", "seed": 5} | options
    return imn.simulate(folder / "s.imzML", instrument=name, **given)  # type: ignore[arg-type]


def read(section: SimulatedSection) -> list[tuple[np.ndarray, np.ndarray]]:
    with imn.open(section.path) as ds:
        assert ds.spectrum_type == "profile"
        return [ds.spectrum(k) for k in range(ds.n_spectra)]


def lonely(section: SimulatedSection) -> pd.DataFrame:
    """Peaks with nothing of a twentieth of their height within three widths."""
    assert section.peaks is not None
    mz, width, height = (section.peaks[name].to_numpy() for name in ("mz", "width", "mean_height"))
    near = (np.abs(mz[:, None] - mz) < 3 * width) & (height > 0.05 * height[:, None])
    return section.peaks[near.sum(axis=1) == 1]


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("linear-tof", 300, 1000),
        ("reflector-tof", 10_000, 30_000),
        ("orbitrap", 30_000, 80_000),
        ("ft-icr", 40_000, 140_000),
    ],
)
def test_resolving_power_and_sampling(name: InstrumentName, low: float, high: float) -> None:
    instrument = INSTRUMENTS[name]
    mz = np.linspace(*instrument.mz_range, 50)
    power = mz / instrument.width(mz, instrument.resolving_power)
    assert low <= power.min() <= power.max() <= high
    # sqrt m/z for an Orbitrap, m/z for FT-ICR, constant for time of flight
    falls = {"orbitrap": 0.5, "ft-icr": 1.0}.get(name, 0.0)
    np.testing.assert_allclose(power * mz**falls, (power * mz**falls)[0], rtol=1e-9)
    axis = instrument.axis(
        instrument.mz_range, instrument.default_bins(instrument.mz_range, instrument.resolving_power)
    )
    assert (np.diff(axis) > 0).all()
    samples = instrument.width(axis[1:], instrument.resolving_power) / np.diff(axis)
    assert 3 < samples.min() <= samples.max() < 10


@pytest.mark.parametrize("name", INSTRUMENT_NAMES)
def test_heights_and_widths_of_the_mean_spectrum_are_those_of_the_truth(tmp_path: Path, name: InstrumentName) -> None:
    section = section_of(tmp_path, name, baseline=1.0, jitter_ppm=0.0)
    spectra = read(section)
    mz = spectra[0][0]
    mean = np.mean([intensity for _, intensity in spectra], axis=0)
    strong = lonely(section)
    strong = strong[strong["snr_mean"] > 50]
    assert len(strong) >= 3
    for peak in strong.itertuples():
        near = np.abs(mz - peak.mz) < 1.5 * peak.width
        floor = np.interp(peak.mz, mz[near][[0, -1]], mean[near][[0, -1]])  # the baseline slopes
        top = float(mean[near].max() - floor)
        assert top == pytest.approx(peak.mean_height, rel=0.15)
        inside = mz[near][mean[near] - floor > 0.5 * top]
        assert inside[-1] - inside[0] == pytest.approx(peak.width, abs=2.5 * np.diff(mz[near]).max())
        assert abs(mz[near][mean[near].argmax()] - peak.mz) < np.diff(mz[near]).max()


@pytest.mark.parametrize("name", INSTRUMENT_NAMES)
def test_processed_and_continuous_spectra_agree(tmp_path: Path, name: InstrumentName) -> None:
    of_mode = {}
    for mode in ("continuous", "processed"):
        of_mode[mode] = read(section_of(tmp_path, name, mode=mode, jitter_ppm=0.0))
    for (mz, intensity), (shared, full) in zip(of_mode["processed"], of_mode["continuous"], strict=True):
        kept = full > 0 if INSTRUMENTS[name].suppressed else np.ones(len(full), dtype=bool)
        np.testing.assert_allclose(mz, shared[kept])
        np.testing.assert_allclose(intensity, full[kept], rtol=1e-5)
    suppressed = np.mean([(full == 0).mean() for _, full in of_mode["continuous"]])
    assert (suppressed > 0.8) == INSTRUMENTS[name].suppressed


def test_a_linear_tof_section_has_slope_hump_and_unresolved_isotopes(tmp_path: Path) -> None:
    section = section_of(tmp_path, "linear-tof", mz_range=(2400.0, 11_000.0), n_channels=1, n_informative=1)
    spectra = read(section)
    mz, mean = spectra[0][0], np.mean([intensity for _, intensity in spectra], axis=0)
    at = {m: float(np.median(mean[np.abs(mz - m) < 50])) for m in (2500, 3200, 5000, 10_500)}
    assert at[3200] > at[2500] > at[5000] > 2 * at[10_500]
    assert section.peaks is not None
    assert set(section.peaks["kind"]) <= {"ion", "adduct"}
    assert 3000 < len(mz) < 5000


def test_a_reflector_section_has_chemical_noise_at_every_nominal_mass(tmp_path: Path) -> None:
    section = section_of(tmp_path, "reflector-tof", n_channels=1, baseline=1.0)
    spectra = read(section)
    mz, mean = spectra[0][0], np.mean([intensity for _, intensity in spectra], axis=0)
    assert section.peaks is not None
    for mass in range(702, 758):
        at, off = mass * 1.00048, (mass + 0.5) * 1.00048
        if (np.abs(section.peaks["mz"] - at) < 0.6).any() or (np.abs(section.peaks["mz"] - off) < 0.3).any():
            continue
        assert np.interp(at, mz, mean) > 1.1 * np.interp(off, mz, mean)


def test_isotopes_are_those_of_a_peptide() -> None:
    peaks = PeakTable.draw(np.random.default_rng(0), INSTRUMENTS["orbitrap"], np.array([500.0, 900.0]), (200.0, 2000.0))
    for mono, ratio in ((500.0, 0.28), (900.0, 0.50)):
        first = peaks.share[np.abs(peaks.mz - mono - 1.00235) < 1e-6]
        assert first.tolist() == pytest.approx([ratio], rel=0.05)  # C13 of about 25 and 45 carbon atoms
    assert (np.diff(peaks.mz) >= 0).all()
    assert peaks.share.min() >= 0.02
    inside = PeakTable.draw(np.random.default_rng(0), INSTRUMENTS["orbitrap"], np.array([500.0]), (400.0, 500.5))
    assert inside.mz.tolist() == [500.0]


def test_rare_ions_fill_one_per_cent_of_the_pixels(tmp_path: Path) -> None:
    section = section_of(tmp_path, "reflector-tof", rare_share=0.5, shape=(40, 40), n_channels=20)
    rare = section.truth["frequency"].eq(16 / 1600) & section.truth["informative"]
    assert rare.sum() == 10
    assert section.peaks is not None
    of_rare = section.peaks[section.peaks["channel"].isin(np.flatnonzero(rare))]
    assert (of_rare["best_height"] > 20 * of_rare["mean_height"]).all()
    without = section_of(tmp_path, "reflector-tof", shape=(40, 40), n_channels=20).truth
    assert not (without["frequency"].eq(16 / 1600) & without["informative"]).any()


def test_equal_arguments_write_equal_files(tmp_path: Path) -> None:
    written = []
    for _ in range(2):
        section = section_of(tmp_path, "linear-tof", rare_share=0.2)
        assert section.peaks_path is not None
        written.append([p.read_bytes() for p in (section.path.with_suffix(".ibd"), section.peaks_path)])
    assert written[0] == written[1]
    read_back = pd.read_csv(tmp_path / "s_peaks.csv")
    pd.testing.assert_frame_equal(read_back, section.peaks, check_dtype=False)


def test_an_instrument_decides_the_defaults(tmp_path: Path) -> None:
    section = imn.simulate(tmp_path / "s.imzML", shape=(16, 16), instrument="linear-tof", mode="continuous")
    with imn.open(section.path) as ds:
        assert ds.mz_range == pytest.approx((2400.0, 11_000.0))
    assert len(section.truth) == 60
    wide = section_of(tmp_path, "linear-tof", resolving_power=300.0)
    assert wide.peaks is not None
    np.testing.assert_allclose(wide.peaks["mz"] / wide.peaks["width"], 300.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"instrument": "quadrupole"}, "instrument must be one of linear-tof, reflector-tof, orbitrap, ft-icr"),
        ({"instrument": "orbitrap", "spectrum_type": "centroid"}, "'orbitrap' writes profile spectra"),
        ({"rare_share": 1.5}, "rare_share"),
        ({"instrument": "ft-icr", "resolving_power": 5e6}, "set n_bins"),
    ],
)
def test_bad_arguments(tmp_path: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        imn.simulate(tmp_path / "s.imzML", shape=(16, 16), **options)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_the_command_writes_the_table_of_peaks(tmp_path: Path) -> None:
    options = ["--instrument", "linear-tof", "--shape", "16", "16", "--rare-share", "0.1", "--n-channels", "5"]
    done = CliRunner().invoke(command, [str(tmp_path / "s.imzML"), *options], catch_exceptions=False)
    assert done.exit_code == 0
    assert "s_peaks.csv" in done.output
    assert {"mz", "kind", "width", "snr_mean", "snr_best"} <= set(pd.read_csv(tmp_path / "s_peaks.csv").columns)
