"""The bodies of the CUDA binning kernels, run on the host, against the CPU's bin_images and the numpy specification.

Bit for bit, whatever the order of threads and blocks (the seed), and however the file is cut into strips of windows,
blocks of pixels and pieces of bins.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imzml_factory import DTYPES, Spec, write_imzml
from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.reference import images as reference
from native import _core_testing

TILE = 64
# Few distinct m/z, so that bounds meet values exactly and values repeat; next to each other where doubles end.
MZ = st.sampled_from([0.0, 100.0, 100.1, 150.0, 200.0, 300.0, float(np.nextafter(300.0, 301.0)), 512.0, 999.0])
INTENSITY = st.floats(-1e6, 1e6, width=32)
WINDOW = st.tuples(MZ | st.floats(-5, 1100), MZ | st.floats(-5, 1100)).map(sorted)
WINDOWS = st.lists(WINDOW, min_size=1, max_size=12)
CUTS = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**32),
        "windows_per_strip": st.sampled_from([1, 3, 70, 1 << 20]),
        "pixels_per_chunk": st.sampled_from([1, 5, 1 << 20]),
        "bins_per_chunk": st.sampled_from([TILE, 2 * TILE, 1 << 20]),
        "wide": st.booleans(),
    }
)
COMMON = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


def spectra(shared: bool) -> st.SearchStrategy[list[tuple[list[float], list[float]]]]:
    """Up to nine spectra; intensities fit the m/z values."""
    values = st.lists(INTENSITY, min_size=12, max_size=12)
    axis = st.lists(MZ, min_size=int(shared), max_size=12).map(sorted)
    if shared:
        return st.tuples(axis, st.lists(values, min_size=1, max_size=9)).map(
            lambda drawn: [(drawn[0], row[: len(drawn[0])]) for row in drawn[1]]
        )
    return st.lists(st.tuples(axis, values).map(lambda s: (s[0], s[1][: len(s[0])])), min_size=1, max_size=9)


def same_bits(got: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))


def check(ds: Dataset, lo: Any, hi: Any, **cuts: Any) -> np.ndarray:
    lower, upper = np.asarray(lo, float), np.asarray(hi, float)
    got: np.ndarray = _core_testing.emulated_bin_images(ds._native, lower, upper, **cuts)
    same_bits(got, _core.bin_images(ds._native, lower, upper))
    return got


@pytest.mark.parametrize("shared", [False, True])
def test_small_sections(folder: Path, shared: bool) -> None:
    path = folder / f"small{shared}.imzML"

    @COMMON
    @given(arrays=spectra(shared), windows=WINDOWS, cuts=CUTS, several=st.booleans())
    def run(arrays: list[Any], windows: list[list[float]], cuts: dict[str, Any], several: bool) -> None:
        width = 5
        # Every other pixel is measured, from the last to the first; the first of them perhaps twice.
        cells = [2 * i for i in range(len(arrays))][::-1]
        if several:
            cells[-1] = cells[0]
        specs = [Spec(c % width + 1, c // width + 1, *a) for c, a in zip(cells, arrays, strict=True)]
        write_imzml(path, specs, shared_axis=shared)
        with open_dataset(path, duplicates="sum") as ds:
            lo, hi = np.array(windows).reshape(-1, 2).T
            got = check(ds, lo, hi, **cuts)
            pairs = [(np.array(mz, float), np.array(intensity, float)) for mz, intensity in arrays]
            x, y, _ = ds.coordinates.T
            index = (y - 1) * ds.shape[1] + x - 1
            same_bits(got, reference.bin_images(pairs, index.tolist(), ds.shape, lo, hi))

    run()


def section(
    path: Path, rng: np.random.Generator, *, shared: bool, mz_dtype: str, intensity_dtype: str, **more: Any
) -> None:
    """75 pixels of a 10 x 10 grid in any order, some measured several times; values beyond what float32 holds."""
    n_bins = 300
    kind = np.dtype(intensity_dtype)
    axis = np.sort(rng.uniform(100, 1000, n_bins).astype(np.dtype(mz_dtype))).astype(float)

    def intensities(n: int) -> np.ndarray:
        if kind.kind == "f":
            return rng.exponential(1e3, n).astype(kind)
        info = np.iinfo(kind)
        return rng.integers(max(info.min, -(2**53)), min(info.max, 2**53), n, endpoint=True).astype(kind)

    cells = np.concatenate([rng.permutation(100)[:75], rng.integers(0, 100, 8)])
    specs = []
    for cell in cells:
        mz = axis if shared else np.sort(rng.choice(axis, int(rng.integers(0, 120))))
        specs.append(Spec(int(cell % 10 + 1), int(cell // 10 + 1), mz, intensities(len(mz))))
    write_imzml(path, specs, shared_axis=shared, mz_dtype=mz_dtype, intensity_dtype=intensity_dtype, **more)


def windows_on(ds: Dataset, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """200 windows in any order: bounds on values, single values, gaps, repeats, and a few that span (almost) all."""
    values = np.unique(np.concatenate([ds.spectrum(i)[0] for i in range(ds.n_spectra)]))
    centre = rng.choice(values, 120)
    width = rng.choice([0.0, 1e-9, 0.5, 5.0, 400.0], 120, p=[0.3, 0.1, 0.3, 0.25, 0.05])
    pairs = np.sort(rng.choice(values, (40, 2)), axis=1)
    between = (values[:-20:10] + values[1:-19:10])[:20] / 2
    lo = np.concatenate([centre - width, pairs[:, 0], between, centre[:17] - width[:17], [-3.0, 0.0, 2000.0]])
    hi = np.concatenate([centre + width, pairs[:, 1], between, centre[:17] + width[:17], [-1.0, 5000.0, 3000.0]])
    order = rng.permutation(len(lo))
    return lo[order], hi[order]


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_all_stored_types(folder: Path, rng: np.random.Generator, dtype: str, shared: bool) -> None:
    path = folder / f"types{dtype}{shared}.imzML"
    mz_dtype = "f4" if dtype in ("f8", "u1", "i4") else "f8"
    section(path, rng, shared=shared, mz_dtype=mz_dtype, intensity_dtype=dtype)
    with open_dataset(path, duplicates="sum") as ds:
        lo, hi = windows_on(ds, rng)
        assert _core_testing.float_intensities(ds._native) == (dtype in ("f4", "u1", "i1", "u2", "i2"))
        assert _core_testing.float_mz(ds._native) == (mz_dtype == "f4")
        for wide in (False, True):
            got = check(ds, lo, hi, seed=7, wide=wide)
            assert np.isnan(got[0]).sum() == 100 - len(np.unique(ds.coordinates, axis=0))
        assert np.count_nonzero(np.nan_to_num(got)) > 1000


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_cuts_do_not_show(folder: Path, rng: np.random.Generator, shared: bool, compress: bool) -> None:
    path = folder / "cuts.imzML"
    section(path, rng, shared=shared, mz_dtype="f8", intensity_dtype="f4", compress=compress)
    with open_dataset(path, duplicates="sum") as ds:
        lo, hi = windows_on(ds, rng)
        for seed, strip, pixels, bins in [(1, 1, 100, 64), (2, 65, 33, 128), (3, 100, 7, 64), (4, 199, 32, 192)]:
            cuts = {"windows_per_strip": strip, "pixels_per_chunk": pixels, "bins_per_chunk": bins}
            check(ds, lo, hi, seed=seed, **cuts)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_on_a_gpu(folder: Path, rng: np.random.Generator, cuda: str, dtype: str, shared: bool) -> None:
    for k, (mz_dtype, duplicates) in enumerate([("f4", "sum"), ("f8", "first"), ("f8", "sum")]):
        path = folder / f"gpu{dtype}{shared}{k}.imzML"
        section(path, rng, shared=shared, mz_dtype=mz_dtype, intensity_dtype=dtype, compress=k == 1)
        with open_dataset(path, duplicates=duplicates) as ds:
            lo, hi = windows_on(ds, rng)
            expected = _core.bin_images(ds._native, lo, hi, unmeasured=0.0)
            for threads in (1, 3):
                same_bits(_core.probe_bin(ds._native, lo, hi, threads=threads, device=cuda)["images"], expected)


@settings(COMMON, max_examples=25)
@given(draw=st.integers(0, 2**32), cuts=CUTS)
@pytest.mark.parametrize("shared", [False, True])
def test_random_sections(folder: Path, shared: bool, draw: int, cuts: dict[str, Any]) -> None:
    rng = np.random.default_rng(draw)
    path = folder / "random.imzML"
    mz_dtype, intensity_dtype = rng.choice(["f4", "f8"], 2)
    section(path, rng, shared=shared, mz_dtype=str(mz_dtype), intensity_dtype=str(intensity_dtype))
    with open_dataset(path, duplicates=str(rng.choice(["sum", "first"]))) as ds:
        n = int(rng.integers(1, 200))
        lo, hi = windows_on(ds, rng)
        check(ds, lo[:n], hi[:n], **{**cuts, "windows_per_strip": max(cuts["windows_per_strip"], 20)})


def test_axes_without_a_bin_in_any_window(folder: Path) -> None:
    write_imzml(folder / "none.imzML", [Spec(1, 1, [100.0, 200.0], [1.0, 2.0])], shared_axis=True)
    with open_dataset(folder / "none.imzML") as ds:
        for seed in (0, 1):
            got = check(ds, [50.0, 150.0, 300.0], [60.0, 160.0, 400.0], seed=seed)
            assert (got == 0).all()


def test_values_that_are_not_finite_count_as_zero(folder: Path) -> None:
    for shared in (False, True):
        write_imzml(folder / "nan.imzML", [Spec(1, 1, [100.0, 200.0], [np.nan, 2.0])], shared_axis=shared)
        with open_dataset(folder / "nan.imzML") as ds:
            assert check(ds, [50.0], [500.0])[0, 0, 0] == 2.0
            assert any("not finite" in text or "NaN" in text for text in ds.warnings)


def test_sums_are_float64_until_the_end(folder: Path) -> None:
    specs = [Spec(1, 1, [100.0, 101.0, 102.0], [2.0**24, 1.0, 1.0]), Spec(1, 1, [100.0, 101.0, 102.0], [0.0, 0.0, 1.0])]
    for shared in (False, True):
        write_imzml(folder / "sum.imzML", specs, shared_axis=shared)
        with open_dataset(folder / "sum.imzML", duplicates="sum") as ds:
            assert check(ds, [99.0], [103.0])[0, 0, 0] == 2.0**24 + 4  # 2**24 + 3, rounded once to even


def test_repaired_files_and_planes(folder: Path, rng: np.random.Generator) -> None:
    axis = rng.permutation(np.linspace(100, 900, 90))
    for shared in (False, True):
        specs = [Spec(x, 1, axis, rng.random(90), z=z) for z in (1, 2) for x in (1, 2, 4)]
        write_imzml(folder / "planes.imzML", specs, shared_axis=shared)
        with open_dataset(folder / "planes.imzML", repair=True) as ds:
            for z in (1, 2):
                check(ds.plane(z), *windows_on(ds, rng), seed=z, bins_per_chunk=TILE)


def test_errors_are_those_of_the_cpu(folder: Path) -> None:
    write_imzml(folder / "bad.imzML", [Spec(1, 1, [200.0, 100.0], [1.0, 2.0])])
    with open_dataset(folder / "bad.imzML") as ds:
        with pytest.raises(FileError, match="not ascending"):
            _core_testing.emulated_bin_images(ds._native, np.array([50.0]), np.array([500.0]))
        with pytest.raises(ArgumentError, match="above the upper bound"):
            _core_testing.emulated_bin_images(ds._native, np.array([2.0]), np.array([1.0]))
        with pytest.raises(ArgumentError, match="multiple of the tile"):
            _core_testing.emulated_bin_images(ds._native, np.array([1.0]), np.array([2.0]), bins_per_chunk=65)
