"""Candidate axes compared with known channels."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imzml_factory import Spec, write_imzml
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.simulation import simulate
from simulated_sections import centroid_section, profile_section, recall_and_precision


def axis_of(path: Path, **options: Any) -> CandidateAxis:
    with open_dataset(path) as ds:
        axis = candidate_axis(ds, **options)
        if len(axis):
            images = ds.window_images(axis.mz_lo, axis.mz_hi)
            measured = np.isfinite(images[0])
            shown = (images[:, measured] != 0).mean(axis=1)
            np.testing.assert_allclose(axis.frequency, shown, atol=1e-12)
    assert (axis.mz_lo[1:] > axis.mz_hi[:-1]).all()
    return axis


def test_bladder_has_its_79_channels(shared_data: Callable[[str], Path]) -> None:
    truth = np.load(shared_data("ion_images/bladder79.npz"))["mz"]
    axis = axis_of(shared_data("bladder79/bladder79_processed.imzML"))
    assert len(axis) == 79
    assert (np.abs(axis.mz / truth - 1) * 1e6 < 2).all()


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("jitter", [0.0, 1.0, 2.0, 3.0, 5.0])
def test_simulated_centroids(tmp_path: Path, seed: int, jitter: float) -> None:
    truth = centroid_section(tmp_path / "s.imzML", seed=seed, jitter=jitter)
    recall, precision = recall_and_precision(truth.mz, axis_of(tmp_path / "s.imzML").mz)
    assert recall >= 0.98
    assert precision >= 0.98


@pytest.mark.parametrize("mz_range", [(70.0, 300.0), (800.0, 4000.0)])
def test_simulated_centroids_in_other_ranges(tmp_path: Path, mz_range: tuple[float, float]) -> None:
    truth = centroid_section(tmp_path / "s.imzML", seed=2, jitter=2.0, mz_range=mz_range)
    recall, precision = recall_and_precision(truth.mz, axis_of(tmp_path / "s.imzML").mz)
    assert recall >= 0.98
    assert precision >= 0.98


@pytest.mark.parametrize("spectra", [20, 60])
@pytest.mark.parametrize("sd", [3.0, 10.0, 20.0, 40.0])
def test_the_width_of_few_wide_channels(tmp_path: Path, spectra: int, sd: float) -> None:
    """Few spectra with wide channels: noise in the difference histogram must not look like a narrow peak."""
    for seed in range(6):
        rng = np.random.default_rng([seed, int(sd), spectra, 50])
        mz = np.linspace(300, 1000, 50) if seed % 2 else np.exp(np.sort(rng.uniform(np.log(300), np.log(1000), 50)))
        peaks = [np.sort(mz * (1 + 1e-6 * rng.normal(0, sd, len(mz)))) for _ in range(spectra)]
        specs = [Spec(s % 10 + 1, s // 10 + 1, peaks[s], np.ones(len(mz))) for s in range(spectra)]
        write_imzml(tmp_path / "s.imzML", specs)
        axis = axis_of(tmp_path / "s.imzML")
        found = re.search(r"sd ([\d.]+) ppm \(estimated\)", axis.method)
        assert found is not None, axis.method
        assert 0.5 * sd < float(found[1]) < 2 * sd
        assert 45 <= len(axis) <= 51


def test_noise_alone_gives_no_channels(tmp_path: Path) -> None:
    centroid_section(tmp_path / "s.imzML", seed=3, jitter=1.0, channels=1, pairs=0, noise=300)
    assert len(axis_of(tmp_path / "s.imzML")) <= 1


def test_no_jitter_and_no_drift_gives_exact_centres(tmp_path: Path) -> None:
    truth = centroid_section(tmp_path / "s.imzML", seed=4, jitter=0.0, drift=0.0, side=20)
    found = axis_of(tmp_path / "s.imzML").mz
    assert np.abs(found[:, None] / truth.mz - 1).min(axis=1).max() * 1e6 < 0.2
    assert recall_and_precision(truth.mz, found, tolerance=0.2)[1] == 1.0


def test_the_result_does_not_depend_on_the_threads(tmp_path: Path) -> None:
    centroid_section(tmp_path / "s.imzML", seed=5, jitter=2.0, side=20)
    one, four = axis_of(tmp_path / "s.imzML", threads=1), axis_of(tmp_path / "s.imzML", threads=4)
    for name in ("mz", "mz_lo", "mz_hi", "frequency"):
        np.testing.assert_array_equal(getattr(one, name), getattr(four, name))


def test_overrides_of_processed_centroids(tmp_path: Path) -> None:
    centroid_section(tmp_path / "s.imzML", seed=6, jitter=1.0, side=25, pairs=0)
    path = tmp_path / "s.imzML"
    frequent = axis_of(path, min_frequency=0.3)
    assert 0 < len(frequent) < len(axis_of(path))
    assert (frequent.frequency >= 0.3).all()
    wide = axis_of(path, ppm=20.0)
    np.testing.assert_allclose((wide.mz_hi / wide.mz_lo - 1) * 1e6, 40.0, atol=5)
    with pytest.raises(ArgumentError, match="no bins"):
        axis_of(path, kind="bins")


@pytest.mark.parametrize("n", [1, 2, 9])
def test_few_spectra(tmp_path: Path, n: int) -> None:
    mz = np.array([200.0, 300.0, 400.0, 400.02])
    write_imzml(tmp_path / "s.imzML", [Spec(i + 1, 1, mz, [1.0, 2.0, 3.0, 4.0]) for i in range(n)], shared_axis=False)
    with open_dataset(tmp_path / "s.imzML") as ds:
        assert ds.mode == "processed"
    axis = axis_of(tmp_path / "s.imzML")
    np.testing.assert_allclose(axis.mz, mz, rtol=1e-6)
    np.testing.assert_array_equal(axis.frequency, 1.0)


def test_neighbouring_numbers_in_a_lone_spectrum(tmp_path: Path) -> None:
    mz = [
        base + k * step * np.spacing(base) for base in np.arange(100.0, 1000.0) for step in (3, 5, 7) for k in range(6)
    ]
    mz = sorted(set(mz))
    write_imzml(tmp_path / "s.imzML", [Spec(1, 1, mz, np.ones(len(mz)))], shared_axis=False, mode="processed")
    with open_dataset(tmp_path / "s.imzML") as ds:
        axis = candidate_axis(ds)
    assert (axis.mz_lo <= axis.mz_hi).all()


def test_many_peaks_at_one_place_are_compared_in_bounded_time(tmp_path: Path) -> None:
    """Comparing all pairs of peaks would take minutes: there are 3e10 of them here."""
    mz = np.concatenate([[499.0], np.full(60_000, 500.0)])
    specs = [Spec(i + 1, 1, mz, np.ones(len(mz))) for i in range(4)]
    write_imzml(tmp_path / "s.imzML", specs, shared_axis=False, mode="processed")
    start = time.process_time()
    with open_dataset(tmp_path / "s.imzML") as ds:
        axis = candidate_axis(ds)
    assert time.process_time() - start < 5
    np.testing.assert_allclose(axis.mz, [499.0, 500.0], rtol=1e-6)


def test_empty_spectra(tmp_path: Path) -> None:
    filled = [Spec(i + 1, 1, [200.0, 300.0], [1.0, 1.0]) for i in range(10)]
    empty = [Spec(i + 1, 2, [], []) for i in range(10)]
    write_imzml(tmp_path / "half.imzML", filled + empty)
    axis = axis_of(tmp_path / "half.imzML")
    np.testing.assert_allclose(axis.mz, [200.0, 300.0], rtol=1e-6)
    np.testing.assert_array_equal(axis.frequency, 0.5)
    for kind in ("centroid", "profile"):
        write_imzml(tmp_path / f"{kind}.imzML", empty, spectrum_type=kind)
        assert len(axis_of(tmp_path / f"{kind}.imzML")) == 0


def test_peaks_of_zero_intensity_are_no_peaks(tmp_path: Path) -> None:
    specs = [Spec(i + 1, 1, [200.0, 300.0], [1.0, 0.0]) for i in range(10)]
    write_imzml(tmp_path / "s.imzML", specs)
    np.testing.assert_allclose(axis_of(tmp_path / "s.imzML").mz, [200.0], rtol=1e-6)


def test_continuous_centroid_bins(tmp_path: Path) -> None:
    mz = np.array([100.0, 101.0, 103.0])
    write_imzml(tmp_path / "s.imzML", [Spec(i + 1, 1, mz, [1.0, 0.0, i]) for i in range(4)], shared_axis=True)
    axis = axis_of(tmp_path / "s.imzML")
    np.testing.assert_array_equal(axis.mz, mz)
    np.testing.assert_allclose(axis.mz_lo, [99.5, 100.5, 102.0])
    np.testing.assert_allclose(axis.mz_hi, [100.5, 102.0, 104.0])
    np.testing.assert_array_equal(axis.frequency, [1.0, 0.0, 0.75])
    write_imzml(tmp_path / "one.imzML", [Spec(i + 1, 1, [500.0], [1.0]) for i in range(3)], shared_axis=True)
    one = axis_of(tmp_path / "one.imzML")
    np.testing.assert_allclose([one.mz_lo, one.mz, one.mz_hi], [[499.9975], [500.0], [500.0025]])


@pytest.mark.parametrize("shared_axis", [True, False])
def test_profile_maxima(tmp_path: Path, shared_axis: bool) -> None:
    truth = profile_section(tmp_path / "s.imzML", seed=7, shared_axis=shared_axis)
    axis = axis_of(tmp_path / "s.imzML")
    recall, precision = recall_and_precision(truth.mz, axis.mz, tolerance=150.0)  # 1.5 bins
    assert recall >= 0.95
    assert precision >= 0.95
    bins = axis_of(tmp_path / "s.imzML", kind="bins")
    assert len(bins) == pytest.approx(7999, rel=0.01)


@pytest.mark.parametrize(
    ("seed", "shape", "n", "power", "mz_range"),
    [
        pytest.param(1, 24, 100, 20_000, (100.0, 1000.0), id="few samples in a stretch of m/z"),
        pytest.param(3, 30, 50, 100_000, (500.0, 700.0), id="sharp peaks"),
        pytest.param(1, 40, 100, 20_000, (100.0, 1000.0), marks=pytest.mark.long),
        pytest.param(3, 30, 200, 100_000, (100.0, 1000.0), marks=pytest.mark.long),
    ],
)
def test_profile_files_that_leave_zeros_out(
    tmp_path: Path, seed: int, shape: int, n: int, power: int, mz_range: tuple[float, float]
) -> None:
    """Most distances between samples are gaps between peaks."""
    path = tmp_path / "s.imzML"
    simulate(
        path,
        shape=(shape, shape),
        n_channels=n,
        mz_range=mz_range,
        mode="processed",
        spectrum_type="profile",
        resolving_power=power,
        seed=seed,
    )
    truth = np.loadtxt(path.with_name("s_truth.csv"), delimiter=",", skiprows=1, usecols=0)
    axis = axis_of(path)
    recall, precision = recall_and_precision(truth, axis.mz, tolerance=1e6 / power)
    assert recall >= 0.92  # some ions are close to another one
    assert precision >= 0.97
    assert ((axis.mz_hi - axis.mz_lo) / axis.mz * power).max() < 20


@pytest.mark.parametrize("shared_axis", [True, False])
def test_counts_without_a_noise_floor(tmp_path: Path, shared_axis: bool) -> None:
    """Peak heights span three decades: flanks of high peaks must not count as noise for low ones."""
    rng = np.random.default_rng(4)
    mz = np.exp(np.arange(np.log(400.0), np.log(440.0), 1e-5))
    true = np.exp(np.log(400.0) + 1e-5 * (100 + 160 * np.arange(58) + rng.uniform(-40, 40, 58)))
    heights = 10.0 ** rng.uniform(0.5, 3.5, 58)
    mean = (heights[:, None] * np.exp(-0.5 * (np.log(mz / true[:, None]) / 2.1e-5) ** 2)).sum(axis=0)
    specs = []
    for k in range(144):
        counts = rng.poisson(mean * rng.uniform(0.3, 1.7)).astype(np.int32)
        kept = slice(None) if shared_axis else counts > 0
        specs.append(Spec(k % 12 + 1, k // 12 + 1, mz[kept], counts[kept]))
    path = write_imzml(
        tmp_path / "s.imzML", specs, spectrum_type="profile", shared_axis=shared_axis, intensity_dtype="i4"
    )
    recall, precision = recall_and_precision(true, axis_of(path).mz, tolerance=30.0)
    assert recall >= 0.97
    assert precision >= 0.95


def test_peaks_at_the_rim_do_not_take_the_baseline(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    mz = np.arange(500.0, 600.0, 0.01)
    mean = 5.0 + 20.0 * sum(np.exp(-0.5 * ((mz - at) / 0.03) ** 2) for at in (520.0, 550.0, 580.0))
    specs = [Spec(k % 8 + 1, k // 8 + 1, mz, mean + rng.normal(0.0, 0.3, len(mz))) for k in range(64)]
    axis = axis_of(write_imzml(tmp_path / "s.imzML", specs, spectrum_type="profile", shared_axis=True))
    np.testing.assert_allclose(axis.mz, [520.0, 550.0, 580.0], atol=0.01)
    assert (axis.mz_hi - axis.mz_lo).max() < 1.5


def test_an_mz_of_zero_in_a_processed_profile_file(tmp_path: Path) -> None:
    """m/z 0 has no logarithm; the channels equal those of the file without it."""
    rng = np.random.default_rng(0)
    mz = np.exp(np.linspace(np.log(400.0), np.log(420.0), 600))
    found = []
    for zero in (False, True):
        specs = []
        for s in range(16):
            signal = 50 * np.exp(-0.5 * ((np.arange(600) - 300) / 3) ** 2) + rng.exponential(1.0, 600)
            here = mz * (1 + 1e-6 * (s % 3))
            if zero and s == 5:
                here, signal = np.concatenate([[0.0], here]), np.concatenate([[1.0], signal])
            specs.append(Spec(s % 4 + 1, s // 4 + 1, here, signal))
        write_imzml(tmp_path / "s.imzML", specs, spectrum_type="profile")
        found.append(axis_of(tmp_path / "s.imzML").mz)
        bins = axis_of(tmp_path / "s.imzML", kind="bins")
        assert len(bins) == pytest.approx(600, rel=0.01)
        assert bins.mz[0] > 399
    assert len(found[0]) == len(found[1]) == 1
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4)


@pytest.mark.parametrize(
    ("name", "fewest", "most"),
    [
        ("12_combined", 40, 2500),
        ("Combat_40pixel", 388, 388),
        ("Example_Continuous", 40, 2500),
        ("Example_Processed", 40, 2500),
        ("picked", 20, 1052),
        ("pym2aia_test", 10463, 10463),
        ("spatial_DGMM_input", 10, 10),
    ],
)
def test_small_files(shared_data: Callable[[str], Path], name: str, fewest: int, most: int) -> None:
    axis = axis_of(shared_data(f"imzml_small/{name}.imzML"))
    assert fewest <= len(axis) <= most


def test_from_mz_list() -> None:
    with pytest.warns(UserWarning, match="1 repeated"):
        axis = CandidateAxis.from_mz_list([500.0, 200.0, 500.0], ppm=10)
    np.testing.assert_array_equal(axis.mz, [200.0, 500.0])
    np.testing.assert_allclose(axis.mz_hi - axis.mz, axis.mz * 1e-5)
    assert np.isnan(axis.frequency).all()
    assert list(axis.to_frame().columns) == ["mz", "mz_lo", "mz_hi", "frequency"]
    assert "2 channels" in repr(axis)
    assert len(axis) == 2
    with pytest.raises(ArgumentError, match="exactly one"):
        CandidateAxis.from_mz_list([500.0])


@pytest.fixture
def four_channels() -> CandidateAxis:
    mz = np.array([100.0, 200.0, 300.0, 400.0])
    return CandidateAxis(mz, mz - 1, mz + 1, np.array([0.1, 0.2, 0.3, np.nan]), "<given>")


@pytest.mark.parametrize(
    ("index", "kept"),
    [
        (slice(2), [0, 1]),
        (slice(None, None, 2), [0, 2]),
        (slice(10, 20), []),
        (np.array([False, True, False, True]), [1, 3]),
        ([True, False, False, False], [0]),
        ([0, -1], [0, 3]),
        (np.array([1, 2], np.uint8), [1, 2]),
        ([], []),
    ],
)
def test_part_of_an_axis_is_an_axis(four_channels: CandidateAxis, index: Any, kept: list[int]) -> None:
    part = four_channels[index]
    assert isinstance(part, CandidateAxis)
    for name in ("mz", "mz_lo", "mz_hi", "frequency"):
        np.testing.assert_array_equal(getattr(part, name), getattr(four_channels, name)[kept])
    assert part.method == f"<given>; {len(kept)} of 4 channels"


def test_an_axis_selected_whole_keeps_its_method(four_channels: CandidateAxis) -> None:
    assert four_channels[:].method == "<given>"


def test_one_channel_and_iteration(four_channels: CandidateAxis) -> None:
    assert four_channels[1] == (200.0, 199.0, 201.0, 0.2)
    assert four_channels[np.int64(-1)].mz == 400.0
    assert [channel.mz for channel in four_channels] == [100.0, 200.0, 300.0, 400.0]
    assert next(iter(four_channels)) == four_channels[0]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        (4, IndexError, "out of range"),
        ([4], IndexError, "out of bounds"),
        (slice(None, None, -1), ArgumentError, "positions must ascend"),
        ([1, 1], ArgumentError, "without repeats"),
        ([2, 1], ArgumentError, "positions must ascend"),
        ([True, False], ArgumentError, "the mask has 2 entries for 4 channels"),
        ([0.5], ArgumentError, "not list"),
        ("mz", ArgumentError, "not str"),
        (True, ArgumentError, "not bool"),
        (np.ones((4, 4), bool), ArgumentError, "not ndarray"),
    ],
)
def test_channels_that_cannot_be_selected(
    four_channels: CandidateAxis, index: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        four_channels[index]


def test_an_axis_in_a_notebook(four_channels: CandidateAxis) -> None:
    html = four_channels._repr_html_()
    for fact in ("100.0000 to 400.0000", "0.1 to 0.3 of the spectra", "&lt;given&gt;"):
        assert fact in html
    empty = four_channels[:0]._repr_html_()
    assert "m/z" not in empty
    assert "frequency" not in empty


@pytest.mark.parametrize(
    ("mz", "lo", "hi", "frequency", "message"),
    [
        ([2.0, 1.0], [1.0, 1.0], [3.0, 3.0], [1.0, 1.0], "ascending order"),
        ([1.0], [1.5], [2.0], [1.0], "outside"),
        ([np.nan], [1.0], [2.0], [1.0], "finite"),
        ([1.0], [1.0, 2.0], [2.0], [1.0], "lengths"),
        ([[1.0]], [1.0], [2.0], [1.0], "one-dimensional"),
    ],
)
def test_an_axis_is_validated(mz: Any, lo: Any, hi: Any, frequency: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        CandidateAxis(mz, lo, hi, frequency)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_frequency": 1.5}, "between"),
        ({"ppm": 0}, "ppm must be"),
        ({"threads": -1}, "threads"),
        ({"kind": "x"}, "kind"),
    ],
)
def test_bad_options(shared_data: Callable[[str], Path], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        axis_of(shared_data("imzml_small/picked.imzML"), **options)


def test_drift_does_not_part_the_regions_of_a_channel(tmp_path: Path) -> None:
    """Sharp peaks and a drift of 5 ppm: an ion of two distant regions forms two clusters but stays one channel."""
    path = tmp_path / "drift.imzML"
    section = simulate(
        path,
        shape=(60, 60),
        n_channels=200,
        close_pairs=10,
        min_gap_ppm=15,
        jitter_ppm=1,
        drift_ppm=5,
        noise_peaks=50,
        mz_range=(300, 1000),
        seed=101,
    )
    with open_dataset(path) as ds:
        found = candidate_axis(ds).mz
    true = section.truth["mz"].to_numpy()
    nearest = np.abs(found[:, None] / true[None, :] - 1).argmin(axis=1)
    assert len(np.unique(nearest)) == len(found)  # none split
    frequent = section.truth.loc[section.truth["frequency"] >= 0.01, "mz"].to_numpy()
    assert (np.abs(found[None, :] / frequent[:, None] - 1).min(axis=1) < 6e-6).mean() >= 0.98
