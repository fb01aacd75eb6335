"""Native binning against the numpy specification, with window bounds on values, overlapping, repeated and unsorted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imzml_factory import Spec, write_imzml
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.reference import images as reference

# Few distinct m/z, so that bounds meet values exactly and values repeat.
MZ = st.sampled_from([100.0, 100.1, 150.0, 200.0, 200.5, 300.0, float(np.nextafter(300.0, 301.0)), 999.0])
INTENSITY = st.floats(0, 1e6, width=32)
WINDOW = st.tuples(MZ | st.floats(50, 1100), MZ | st.floats(50, 1100)).map(sorted)


def spectrum(n: int) -> st.SearchStrategy[tuple[list[float], list[float]]]:
    return st.tuples(st.lists(MZ, min_size=n, max_size=12).map(sorted), st.lists(INTENSITY, min_size=12, max_size=12))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("bin")


def compare(
    path: Path, spectra: list[tuple[list[float], list[float]]], windows: list[list[float]], shared: bool
) -> None:
    width = 5
    cells = [2 * i for i in range(len(spectra))]  # every other pixel is measured
    arrays = [(np.array(mz), np.array(intensity[: len(mz)])) for mz, intensity in spectra]
    specs = [Spec(c % width + 1, c // width + 1, *a) for c, a in zip(cells, arrays, strict=True)]
    write_imzml(path, specs, shared_axis=shared)
    with open_dataset(path) as ds:
        height, width_found = ds.shape
        index = [c // width * width_found + c % width for c in cells]
        lo, hi = np.array(windows).reshape(-1, 2).T
        expected = reference.bin_images(arrays, index, (height, width_found), lo, hi)
        for threads in (1, 3):
            np.testing.assert_array_equal(ds.window_images(lo, hi, threads=threads), expected)
        np.testing.assert_array_equal(ds.tic_image(), reference.tic_image(arrays, index, (height, width_found)))


COMMON = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@COMMON
@given(spectra=st.lists(spectrum(0), min_size=1, max_size=9), windows=st.lists(WINDOW, min_size=1, max_size=12))
def test_processed(folder: Path, spectra: list[tuple[list[float], list[float]]], windows: list[list[float]]) -> None:
    compare(folder / "p.imzML", spectra, windows, shared=False)


@COMMON
@given(first=spectrum(1), rows=st.integers(2, 9), windows=st.lists(WINDOW, min_size=1, max_size=12))
def test_continuous(
    folder: Path, first: tuple[list[float], list[float]], rows: int, windows: list[list[float]]
) -> None:
    spectra = [(first[0], [v * (r + 1) for v in first[1]]) for r in range(rows)]
    spectra = [(mz, [float(np.float32(v)) for v in intensity]) for mz, intensity in spectra]
    compare(folder / "c.imzML", spectra, windows, shared=True)


def test_several_spectra_at_a_pixel_are_added_before_rounding(folder: Path) -> None:
    specs = [
        Spec(1, 1, [100.0], [2.0**24]),
        Spec(1, 1, [100.0], [1.0]),
        Spec(1, 1, [100.0], [1.0]),
        Spec(2, 1, [100.0], [3.0]),
    ]
    for shared in (False, True):
        write_imzml(folder / "d.imzML", specs, shared_axis=shared)
        with open_dataset(folder / "d.imzML", duplicates="sum") as ds:
            np.testing.assert_array_equal(ds.window_images([99.0], [101.0])[0], [[2.0**24 + 2, 3.0]])
            np.testing.assert_array_equal(ds.tic_image(), [[2.0**24 + 2, 3.0]])


def test_wide_axes_are_read_in_pieces(folder: Path, rng: np.random.Generator) -> None:
    mz = np.sort(rng.uniform(100, 1000, 9500))
    arrays = [(mz, rng.uniform(0, 10, len(mz)).astype(np.float32).astype(float)) for _ in range(20)]
    write_imzml(folder / "w.imzML", [Spec(i + 1, 1, *a) for i, a in enumerate(arrays)], shared_axis=True)
    lo = np.concatenate([mz, rng.uniform(90, 1000, 40)])
    hi = np.concatenate([mz, lo[-40:] + rng.exponential(100, 40)])
    order = rng.permutation(len(lo))
    with open_dataset(folder / "w.imzML") as ds:
        got = ds.window_images(lo[order], hi[order])
    first, last = np.searchsorted(mz, lo[order], "left"), np.searchsorted(mz, hi[order], "right")
    for s, (_, intensity) in enumerate(arrays):
        expected = [np.float32(sum(intensity[a:b].tolist(), 0.0)) for a, b in zip(first, last, strict=True)]
        np.testing.assert_array_equal(got[:, 0, s], expected)
