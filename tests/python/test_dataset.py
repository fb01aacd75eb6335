"""Dataset: attributes, reading, life cycle."""

from __future__ import annotations

import logging
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest

from imzml_factory import Spec, grid_specs, write_imzml
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.io.dataset import Dataset, open_dataset
from native import _core_testing


@pytest.fixture
def section(tmp_path: Path) -> Path:
    specs = [s for s in grid_specs(5, 3, n=200) if (s.x, s.y) != (2, 2)]
    return write_imzml(tmp_path / "section.imzML", specs, max_count=(5, 3), pixel_size_um=(20.0, 25.0))


def test_attributes(section):
    ds = open_dataset(section)
    assert ds.n_spectra == len(ds) == 14
    assert ds.shape == (3, 5)
    assert ds.coordinates.dtype == np.int32
    assert ds.coordinates.shape == (14, 3)
    assert ds.raw_coordinates.dtype == np.int64
    assert (ds.mode, ds.spectrum_type) == ("processed", "centroid")
    assert ds.pixel_size_um == (20.0, 25.0)
    assert ds.z_planes == [1]
    assert ds.warnings == []
    assert ds.declared["max_count_x"] == "5"
    assert ds.path == str(section)
    assert ds.ibd_path == str(section.with_suffix(".ibd"))
    expected = np.ones((3, 5), bool)
    expected[1, 1] = False
    np.testing.assert_array_equal(ds.mask, expected)
    every = [ds.spectrum(i)[0] for i in range(len(ds))]
    assert ds.mz_range == (min(mz[0] for mz in every), max(mz[-1] for mz in every))
    assert repr(ds) == f"<Dataset {str(section)!r}: 14 spectra, 5 x 3 pixels (width x height), processed centroid>"


def test_a_notebook_shows_a_table_of_facts(section):
    ds = open_dataset(section)
    html = ds._repr_html_()
    for fact in (
        str(section), "5 x 3 pixels (width x height)", "14</td>", "processed centroid", "20 x 25 µm (width x height)"
    ):  # fmt: skip
        assert fact in html
    assert "warnings" not in html
    ds.close()
    assert "Dataset (closed)" in ds._repr_html_()


def test_names_are_escaped_in_a_notebook(tmp_path):
    path = write_imzml(tmp_path / "<b>&.imzML", grid_specs(2, 2), ibd_uuid=b"\0" * 16)
    ds = open_dataset(path)
    html = ds._repr_html_()
    assert "&lt;b&gt;&amp;.imzML" in html
    assert "<b>&.imzML" not in html
    assert len(ds.warnings) == 1
    assert "warnings" in html


def test_a_plane_is_named(tmp_path):
    path = write_imzml(tmp_path / "a.imzML", [Spec(1, 1, [1.0], [1.0], z=z) for z in (1, 2)])
    ds = open_dataset(path)
    for shown, text in ((ds, "2 z planes"), (ds.plane(2), "plane z=2")):
        assert text in repr(shown)
        assert text in shown._repr_html_()


def test_one_pixel_size_means_square_pixels(tmp_path):
    path = write_imzml(
        tmp_path / "a.imzML",
        grid_specs(1, 1),
        pixel_size_um=(0.05, 1.0),
        edit=lambda t: (
            t.replace("UO:0000017", "UO:0000016")
            .replace("micrometer", "millimeter")
            .replace("IMS:1000047", "IMS:1000999")
        ),
    )
    assert open_dataset(path).pixel_size_um == (50.0, 50.0)


def test_indices(section):
    ds = open_dataset(section)
    np.testing.assert_array_equal(ds.spectrum(-1)[0], ds.spectrum(13)[0])
    for index in (14, -15):
        with pytest.raises(IndexError, match=f"spectrum {index} is out of range for a dataset of 14"):
            ds.spectrum(index)
    with pytest.raises(ArgumentError, match="no spectrum 14"):
        ds._native.spectrum(14)


@pytest.mark.parametrize("mz_dtype", ["f8", "f4"])
def test_ranges(tmp_path, rng, mz_dtype):
    """Both bounds are inclusive; the bounds are values of the spectra, including repeated ones."""
    mz = np.sort(rng.integers(100, 160, 100) / 4.0)
    specs = [
        Spec(1, 1, mz, rng.random(100)),
        Spec(2, 1, mz + 0.25, rng.random(100)),
        Spec(3, 1, [], []),
    ]
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", specs, mz_dtype=mz_dtype))
    borders = [0.0, 25.0, 25.1, *mz[::9], 39.75, 40.0, 1e9]
    for i in range(3):
        full = ds.spectrum(i)
        for lo in borders:
            for hi in borders:
                inside = (full[0] >= lo) & (full[0] <= hi)
                got = ds._native.spectrum_range(i, lo, hi)
                np.testing.assert_array_equal(got[0], full[0][inside])
                np.testing.assert_array_equal(got[1], full[1][inside])


def test_shared_axis_and_bins(tmp_path):
    specs = grid_specs(3, 2, n=50, shared=True)
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", specs, shared_axis=True))
    np.testing.assert_array_equal(_core_testing.shared_mz(ds._native), specs[0].mz)
    for first, last in ((0, 50), (0, 0), (50, 50), (7, 31)):
        np.testing.assert_array_equal(
            _core_testing.read_bins(ds._native, 4, first, last), np.float32(specs[4].intensity)[first:last]
        )
    for first, last in ((-1, 3), (0, 51), (5, 4)):
        with pytest.raises(ArgumentError, match="not on the axis of 50 bins"):
            _core_testing.read_bins(ds._native, 0, first, last)
    lo, hi = specs[0].mz[[10, 20]]
    mz, intensity = ds._native.spectrum_range(1, lo, hi)
    np.testing.assert_array_equal(mz, specs[0].mz[10:21])
    np.testing.assert_array_equal(intensity, np.float32(specs[1].intensity[10:21]))


def test_unaligned_arrays(tmp_path):
    specs = grid_specs(2, 2, n=33)
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", specs, ibd_gap=3))
    for i, spec in enumerate(specs):
        np.testing.assert_array_equal(ds.spectrum(i)[0], spec.mz)


def test_a_range_is_checked_too(tmp_path):
    path = write_imzml(
        tmp_path / "a.imzML", [Spec(1, 1, [1.0, 2.0, 2.5, 2.2, 3.0, 4.0], np.ones(6)), Spec(2, 1, [1.0], [1.0])]
    )
    ds = open_dataset(path)
    with pytest.raises(FileError, match="spectrum 0: its m/z values are not ascending"):
        ds._native.spectrum_range(0, 1.5, 3.5)


def test_unsorted_values_outside_of_a_range_are_found(tmp_path):
    """Bisection alone would miss the requested value and yield an empty image."""
    specs = [Spec(1, 1, [100.0, 500.0], [1.0, 2.0]), Spec(2, 1, [500.0, 100.0, 300.0, 200.0, 400.0], np.ones(5))]
    path = write_imzml(tmp_path / "a.imzML", specs)
    with open_dataset(path) as ds:
        for _ in range(2):
            with pytest.raises(FileError, match="spectrum 1: its m/z values are not ascending"):
                ds.ion_images([500.0], tol=0.1)
        np.testing.assert_array_equal(ds._native.spectrum_range(0, 499.9, 500.1)[1], [2.0])
    with open_dataset(path, repair=True) as ds:
        np.testing.assert_array_equal(ds.ion_images([500.0], tol=0.1)[0], [[2.0, 1.0]])


def test_life_cycle(section):
    with open_dataset(section) as ds:
        mz, _ = ds.spectrum(0)
    assert ds.closed
    assert repr(ds) == f"<Dataset {str(section)!r}, closed>"
    assert mz.size == 200  # data already read stay valid
    ds.close()
    for use in (lambda: ds.spectrum(0), lambda: ds.shape, lambda: len(ds)):
        with pytest.raises(ArgumentError, match=r"section\.imzML: the dataset is closed"):
            use()
    assert pickle.loads(pickle.dumps(ds)).closed


def test_pickle_keeps_options_and_plane(tmp_path):
    specs = [Spec(1, 1, [3.0, 1.0], [1.0, 2.0], z=z) for z in (1, 2, 2)]
    path = write_imzml(tmp_path / "a.imzML", specs)
    ds = open_dataset(path, repair=True, duplicates="sum", spectrum_type="profile")
    for original in (ds, ds.plane(2)):
        copy: Dataset = pickle.loads(pickle.dumps(original))
        assert repr(copy) == repr(original)
        assert copy.spectrum_type == "profile"
        np.testing.assert_array_equal(copy.coordinates, original.coordinates)
        np.testing.assert_array_equal(copy.spectrum(0)[0], [1.0, 3.0])


def test_opening_warnings_are_logged(tmp_path, caplog):
    path = write_imzml(tmp_path / "a.imzML", grid_specs(2, 2), ibd_uuid=b"\0" * 16)
    with caplog.at_level(logging.WARNING, logger="ionmorphnet"):
        ds = open_dataset(path)
    assert [record.getMessage() for record in caplog.records] == [f"{path}: {ds.warnings[0]}"]


def test_reading_from_many_threads(tmp_path, rng):
    specs = [Spec(k + 1, 1, np.sort(rng.random(500)), rng.random(500)) for k in range(50)]
    specs[7].intensity[3] = np.nan
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", specs, compress="mz"))
    failures = []

    def read() -> None:
        for i, spec in enumerate(specs):
            mz, intensity = ds.spectrum(i)
            expected = np.nan_to_num(np.float32(spec.intensity).astype(float))
            if not (np.array_equal(mz, spec.mz) and np.array_equal(intensity, expected)):
                failures.append(i)

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert ds.warnings == ["NaN or infinite intensities in 1 of the spectra read so far count as 0"]


@pytest.mark.filterwarnings("ignore")  # pyimzML warns about valid files
def test_spectra_equal_an_independent_reader(shared_data):
    parser = pytest.importorskip("pyimzml.ImzMLParser", reason="pyimzML serves as oracle only")
    files = [
        *sorted(shared_data("imzml_small").glob("*.imzML")),
        shared_data("barley101/barley101_continuous.imzML"),
    ]
    assert len(files) > 5
    for path in files:
        oracle = parser.ImzMLParser(str(path))
        ds = open_dataset(path)
        np.testing.assert_array_equal(ds.raw_coordinates[:, :2], np.array(oracle.coordinates)[:, :2])
        for i in range(0, len(ds), max(1, len(ds) // 100)):
            for got, expected in zip(ds.spectrum(i), oracle.getspectrum(i), strict=True):
                np.testing.assert_array_equal(got, np.asarray(expected, dtype=float))
