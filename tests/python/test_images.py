"""Ion images compared with independent sums over spectra read by pyimzML."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imzml_factory import Spec, write_imzml
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.io.windows import mz_windows
from ionmorphnet.reference.images import mean_spectrum_continuous, mean_spectrum_processed
from ionmorphnet.simulation import simulate

SMALL = [
    "12_combined",
    "Combat_40pixel",
    "Example_Continuous",
    "Example_Processed",
    "picked",
    "pym2aia_test",
    "spatial_DGMM_input",
]


class Oracle:
    """All spectra of a file read by pyimzML, on the grid of their coordinates."""

    def __init__(self, path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from pyimzml.ImzMLParser import ImzMLParser

            with ImzMLParser(str(path)) as parser:
                self.xy = np.array([c[:2] for c in parser.coordinates])
                spectra = [parser.getspectrum(i) for i in range(len(self.xy))]
        self.mz = [np.asarray(mz, dtype=np.float64) for mz, _ in spectra]
        self.intensity = [np.asarray(i, dtype=np.float64) for _, i in spectra]
        self.xy = self.xy - self.xy.min(axis=0)
        self.shape = tuple(int(v) for v in self.xy.max(axis=0)[::-1] + 1)

    def images(self, lo: np.ndarray, hi: np.ndarray) -> np.ndarray:
        out = np.full((len(lo), *self.shape), np.nan, dtype=np.float32)
        for mz, intensity, (x, y) in zip(self.mz, self.intensity, self.xy, strict=True):
            first, last = np.searchsorted(mz, lo, "left"), np.searchsorted(mz, hi, "right")
            sums = [sum(intensity[a:b].tolist(), 0.0) for a, b in zip(first, last, strict=True)]
            out[:, y, x] = np.array(sums, dtype=np.float64).astype(np.float32)
        return out


def some_windows(oracle: Oracle, rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Random windows and windows bounded by m/z values of the file; unsorted, overlapping and repeated."""
    values = np.unique(np.concatenate([oracle.mz[i] for i in rng.integers(0, len(oracle.mz), 20)]))
    centre = np.concatenate([rng.choice(values, n), rng.uniform(0.9 * values[0], 1.1 * values[-1], n)])
    lo, hi = mz_windows(centre, ppm=float(rng.uniform(0, 500)))
    edges = np.sort(rng.choice(values, (n, 2)), axis=1)
    lo = np.concatenate([lo, edges[:, 0], edges[:3, 0], [values[0], values[-1], 1.0]])
    hi = np.concatenate([hi, edges[:, 1], edges[:3, 1], [values[0], values[-1], 1e5]])
    order = rng.permutation(len(lo))
    return lo[order], hi[order]


def check_file(path: Path, rng: np.random.Generator, n: int) -> None:
    oracle = Oracle(path)
    lo, hi = some_windows(oracle, rng, n)
    with open_dataset(path) as ds:
        assert ds.shape == oracle.shape
        got = ds.window_images(lo, hi)
        np.testing.assert_array_equal(ds.window_images(lo, hi, threads=1), got)
        np.testing.assert_array_equal(got, oracle.images(lo, hi))
        assert np.nanmax(got) > 0
        everything = oracle.images(np.array([0.0]), np.array([np.inf]))[0]
        np.testing.assert_array_equal(ds.tic_image(), everything)


@pytest.mark.parametrize("name", SMALL)
def test_small_files_equal_the_oracle(shared_data: Callable[[str], Path], rng: np.random.Generator, name: str) -> None:
    check_file(shared_data(f"imzml_small/{name}.imzML"), rng, 25)


def test_barley_equals_the_oracle(shared_data: Callable[[str], Path], rng: np.random.Generator) -> None:
    check_file(shared_data("barley101/barley101_continuous.imzML"), rng, 20)


def test_bladder_equals_the_oracle(shared_data: Callable[[str], Path], rng: np.random.Generator) -> None:
    check_file(shared_data("bladder79/bladder79_processed.imzML"), rng, 4)


def test_bladder_equals_the_published_images(shared_data: Callable[[str], Path]) -> None:
    known = np.load(shared_data("ion_images/bladder79.npz"))
    with open_dataset(shared_data("bladder79/bladder79_processed.imzML")) as ds:
        images = ds.ion_images(known["mz"], ppm=5)
    np.testing.assert_array_equal(np.isfinite(images[0]), known["mask"])
    np.testing.assert_allclose(np.nan_to_num(images), known["images"], rtol=1e-6)


@pytest.fixture
def barley(shared_data: Callable[[str], Path]) -> Any:
    with open_dataset(shared_data("barley101/barley101_continuous.imzML")) as ds:
        yield ds


def test_mean_spectrum_of_a_continuous_file(shared_data: Callable[[str], Path], barley: Any) -> None:
    oracle = Oracle(shared_data("barley101/barley101_continuous.imzML"))
    mz, intensity = barley.mean_spectrum()
    expected_mz, expected = mean_spectrum_continuous(list(zip(oracle.mz, oracle.intensity, strict=True)))
    np.testing.assert_array_equal(mz, expected_mz)
    np.testing.assert_allclose(intensity, expected, rtol=1e-12)
    np.testing.assert_array_equal(barley.mean_spectrum(threads=1)[1], intensity)


def test_mean_spectrum_of_a_processed_file(shared_data: Callable[[str], Path]) -> None:
    path = shared_data("imzml_small/picked.imzML")
    oracle = Oracle(path)
    with open_dataset(path) as ds:
        mz, intensity = ds.mean_spectrum(ppm=25.0)  # half width
        chosen_mz, chosen = ds.mean_spectrum()
    expected_mz, expected = mean_spectrum_processed(list(zip(oracle.mz, oracle.intensity, strict=True)), 50.0)
    np.testing.assert_allclose(mz, expected_mz, rtol=1e-12)
    np.testing.assert_allclose(intensity, expected, rtol=1e-12)
    assert len(chosen) >= len(intensity)
    assert chosen.sum() == pytest.approx(expected.sum())
    assert (np.diff(chosen_mz) > 0).all()


@pytest.mark.parametrize("spectrum_type", ["profile", "centroid"])
def test_mean_spectrum_leaves_out_what_is_lighter_than_any_ion(tmp_path: Path, spectrum_type: str) -> None:
    options: dict[str, Any] = {"spectrum_type": spectrum_type, "shared_axis": False}
    light = [Spec(i + 1, 1, [0.0, 0.2, 0.4], [1.0, 2.0, 3.0]) for i in range(3)]
    with open_dataset(write_imzml(tmp_path / "light.imzML", light, **options)) as ds:
        assert ds.mode == "processed"
        assert [len(values) for values in ds.mean_spectrum()] == [0, 0]
        assert [len(values) for values in ds.mean_spectrum(ppm=5)] == [0, 0]
    axis = np.linspace(100, 101, 200)
    some = [Spec(i + 1, 1, np.concatenate([[0.0], axis]), np.ones(201)) for i in range(3)]
    with open_dataset(write_imzml(tmp_path / "some.imzML", some, **options)) as ds:
        mz, intensity = ds.mean_spectrum()
    assert mz.min() > 99.9
    assert intensity.sum() == pytest.approx(200)
    assert len(mz) == pytest.approx(200, abs=3)


def test_scalar_empty_and_out_of_range(barley: Any) -> None:
    one = barley.ion_images(barley.mz_range[0], tol=0.0)
    assert one.shape == (1, *barley.shape)
    assert one.dtype == np.float32
    assert barley.ion_images([], ppm=5).shape == (0, *barley.shape)
    outside = barley.ion_images([1.0, 1e6], ppm=5)
    measured = np.isfinite(one[0])
    assert (outside[:, measured] == 0).all()
    assert np.isnan(outside[:, ~measured]).all()
    assert not measured.all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mz": [500.0]}, "exactly one"),
        ({"mz": [500.0], "ppm": 5, "tol": 0.1}, "exactly one"),
        ({"mz": [500.0, float("nan")], "ppm": 5}, "entry 1"),
        ({"mz": [float("inf")], "ppm": 5}, "finite"),
        ({"mz": [0.0], "ppm": 5}, "positive"),
        ({"mz": -500.0, "ppm": 5}, "positive"),
        ({"mz": [500.0], "ppm": -1}, "from 0"),
        ({"mz": [500.0], "tol": float("nan")}, "tol must be a number"),
        ({"mz": [[500.0]], "ppm": 5}, "one-dimensional"),
        ({"mz": "many", "ppm": 5}, "number"),
        ({"mz": [500.0], "ppm": 5, "threads": -1}, "threads"),
    ],
)
def test_bad_arguments_say_what_is_wrong(barley: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        barley.ion_images(**arguments)


@pytest.mark.parametrize(
    ("lo", "hi", "message"),
    [([2.0], [1.0], "above"), ([np.nan], [1.0], "finite"), ([1.0], [np.inf], "finite"), ([1.0], [2.0, 3.0], "length")],
)
def test_bad_windows_are_refused(barley: Any, lo: list[float], hi: list[float], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        barley.window_images(lo, hi)


def test_compressed_rows_give_the_same_images(tmp_path: Path) -> None:
    """A compressed spectrum is read as a whole even if it has more bins than one chunk."""
    options: dict[str, Any] = {"shape": (16, 20), "n_channels": 40, "mode": "continuous", "spectrum_type": "profile"}
    stacks = []
    for zlib in (False, True):
        path = tmp_path / f"zlib_{zlib}.imzML"
        simulate(path, n_bins=9000, zlib=zlib, seed=4, **options)
        with open_dataset(path) as ds:
            mz, _ = ds.spectrum(0)
            lo, hi = mz[::7], np.minimum(mz[::7] * (1 + 40e-6), mz[-1])
            stacks.append(ds.window_images(lo, hi))
    assert stacks[0].any()
    assert np.array_equal(stacks[0], stacks[1], equal_nan=True)
