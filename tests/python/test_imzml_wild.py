"""Oddities of real imzML files, each reproduced by a small file written here."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imzml_factory import Spec, cv, grid_specs, write_imzml
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.io.dataset import open_dataset


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "section.imzML"


def assert_same(ds, specs, mz_dtype="f8", intensity_dtype="f4"):
    assert len(ds) == len(specs)
    for i, spec in enumerate(specs):
        mz, intensity = ds.spectrum(i)
        assert mz.dtype == intensity.dtype == np.float64
        np.testing.assert_array_equal(mz, np.asarray(spec.mz).astype(mz_dtype).astype(float))
        np.testing.assert_array_equal(intensity, np.asarray(spec.intensity).astype(intensity_dtype).astype(float))


def test_truncated_ibd_names_first_bad_spectrum(path):
    specs = grid_specs(3, 2, n=4)
    # 16 bytes of UUID, then 4 * (8 + 4) bytes a spectrum: the third spectrum is truncated.
    write_imzml(path, specs, truncate_ibd=16 + 2 * 48 + 40)
    with pytest.raises(FileError, match=r"section\.ibd: truncated: spectrum 2: .*intensity"):
        open_dataset(path)
    ds = open_dataset(path, strict=False)
    assert_same(ds, specs[:2])
    assert any("4 of 6 spectra" in line for line in ds.warnings)


def test_truncated_before_every_spectrum_is_an_error_even_when_lenient(path):
    write_imzml(path, grid_specs(2, 2), truncate_ibd=17)
    with pytest.raises(FileError, match="none of the 4 spectra"):
        open_dataset(path, strict=False)


def test_zero_based_coordinates(path):
    specs = [replace(s, x=s.x - 1, y=s.y - 1) for s in grid_specs(3, 2)]
    ds = open_dataset(write_imzml(path, specs))
    assert ds.shape == (2, 3)
    assert ds.coordinates[:, :2].min() == 1
    assert ds.raw_coordinates[0].tolist() == [0, 0, 0]
    assert ds.mask.all()


def test_stage_coordinates_are_divided_by_their_step(path):
    specs = [
        Spec(12_000 + 50 * x, -3_000 + 20 * y, [100.0], [x + y]) for y in range(3) for x in range(4) if (x, y) != (2, 1)
    ]
    ds = open_dataset(write_imzml(path, specs, max_count=(12_150, 10)))
    assert ds.shape == (3, 4)
    assert ds.coordinate_origin[:2] == (12_000, -3_000)
    assert ds.coordinate_step[:2] == (50, 20)
    assert ds.mask.sum() == 11
    assert not ds.mask[1, 2]
    assert any("50 in x and 20 in y" in line for line in ds.warnings)
    restored = (ds.coordinates[:, :2] - 1) * ds.coordinate_step[:2] + ds.coordinate_origin[:2]
    np.testing.assert_array_equal(restored, ds.raw_coordinates[:, :2])


def test_every_other_pixel_is_a_gap_not_a_step(path):
    specs = [Spec(x, 1, [100.0], [1.0]) for x in (1, 3, 5)]
    assert open_dataset(write_imzml(path, specs, max_count=(5, 1))).shape == (1, 5)


def test_absurd_grid_is_refused_with_the_limit(path):
    specs = [Spec(x, y, [100.0], [1.0]) for x, y in ((1, 1), (99_991, 2), (5, 99_999))]
    with pytest.raises(FileError, match=r"99991 x 99999 pixels.*the limit is \d+"):
        open_dataset(write_imzml(path, specs))


@pytest.mark.parametrize("far", ["9223372036854775807", "-9223372036854775800", "99999999999999999999"])
def test_coordinates_at_the_edge_of_int64(path, far):
    specs = [Spec(1, 1, [1.0], [1.0]), Spec(far, 2, [1.0], [1.0]), Spec(2, 3, [1.0], [1.0])]
    with pytest.raises(FileError, match=r"section\.imzML: "):
        open_dataset(write_imzml(path, specs))


def test_duplicates(path):
    specs = [Spec(1, 1, [100.0], [1.0]), Spec(2, 1, [100.0], [2.0]), Spec(1, 1, [100.0], [4.0])]
    write_imzml(path, specs)
    first = open_dataset(path)
    np.testing.assert_array_equal(first.ion_images(100.0, ppm=5)[0], [[1.0, 2.0]])
    assert [line for line in first.warnings if "1 spectra lie on a pixel" in line]
    summed = open_dataset(path, duplicates="sum")
    np.testing.assert_array_equal(summed.ion_images(100.0, ppm=5)[0], [[5.0, 2.0]])
    assert len(summed.warnings) == 1
    with pytest.raises(FileError, match=r"first: spectrum 2"):
        open_dataset(path, duplicates="error")
    with pytest.raises(ArgumentError, match="duplicates must be one of"):
        open_dataset(path, duplicates="last")


@pytest.mark.parametrize("compress", [True, "mz", "intensity"])
@pytest.mark.parametrize("shared", [False, True])
def test_zlib(path, compress, shared):
    specs = grid_specs(3, 2, n=20_000, shared=shared)
    ds = open_dataset(write_imzml(path, specs, compress=compress, shared_axis=shared))
    assert_same(ds, specs)
    lo, hi = 300.0, 301.0
    for i, spec in enumerate(specs):
        inside = (spec.mz >= lo) & (spec.mz <= hi)
        mz, intensity = ds._native.spectrum_range(i, lo, hi)
        np.testing.assert_array_equal(mz, spec.mz[inside])
        np.testing.assert_array_equal(intensity, np.float32(spec.intensity[inside]))


@pytest.mark.parametrize(("claim", "cause"), [(3, "more values"), (9, "fewer values|end early")])
def test_zlib_of_another_length_than_announced(path, claim, cause):
    specs = [Spec(1, 1, [1.0, 2.0, 3.0, 4.0], [1.0] * 4)]
    write_imzml(path, specs, compress=True, integer=lambda n: str(claim if n == 4 else n))
    with pytest.raises(FileError, match=f"spectrum 0: .*({cause})"):
        open_dataset(path).spectrum(0)


@pytest.mark.parametrize("claim", [4 * 10**9, 10**6, 2**62])
def test_zlib_of_more_values_than_its_bytes_can_hold(path, claim):
    """Memory for the values is allocated before decompression."""
    specs = [Spec(1, 1, np.arange(1.0, 101.0), np.ones(100)), Spec(2, 1, np.arange(1.0, 4e5), np.ones(399_999))]
    write_imzml(path, specs, compress=True, edit=lambda text: text.replace('value="100"', f'value="{claim}"'))
    with pytest.raises(FileError, match=rf"spectrum 0: its m/z array claims {claim} values, more than its \d+ bytes"):
        open_dataset(path)
    assert len(open_dataset(path, strict=False)) == 1


def test_zlib_that_shrinks_as_far_as_it_can(path):
    specs = [Spec(x, 1, np.zeros(10**6), np.zeros(10**6)) for x in (1, 2)]
    assert_same(open_dataset(write_imzml(path, specs, compress=True)), specs)


def test_damaged_zlib(path):
    write_imzml(path, grid_specs(1, 1, n=50), compress=True)
    ibd = path.with_suffix(".ibd")
    data = bytearray(ibd.read_bytes())
    data[20:60] = bytes(40)
    ibd.write_bytes(data)
    with pytest.raises(FileError, match=r"section\.imzML: spectrum 0: its zlib data are corrupt"):
        open_dataset(path).spectrum(0)


@pytest.mark.parametrize("z", [None, 0, 1, 7])
def test_one_plane_whatever_its_z(path, z):
    specs = [replace(s, z=z) for s in grid_specs(2, 2)]
    ds = open_dataset(write_imzml(path, specs))
    assert ds.z_planes == [1]
    assert ds.raw_coordinates[0, 2] == (z or 0)
    assert ds.mask.all()


def test_planes_that_are_numbered_anew_are_told(path):
    specs = [replace(s, z=z) for z in (0, 1) for s in grid_specs(3, 2, seed=z)]
    ds = open_dataset(write_imzml(path, specs))
    assert ds.z_planes == [1, 2]
    assert any("plane k is z = 0 + 1 * (k - 1)" in line for line in ds.warnings)
    specs = [replace(s, z=z) for z in (1, 2) for s in grid_specs(3, 2, seed=z)]
    assert not any("plane" in line for line in open_dataset(write_imzml(path, specs)).warnings)


@pytest.mark.parametrize(
    ("was", "now"),
    [("MS:100051", "MS:100951"), ("<referenceableParamGroupRef ", '<referenceableParamGroupRef ref="no" x')],
)
def test_arrays_that_nobody_knows_are_no_empty_spectra(path, was, now):
    """References may also be dangling."""
    write_imzml(path, grid_specs(3, 2), edit=lambda text: text.replace(was, now))
    with pytest.raises(FileError, match="spectrum 0: none of its arrays is declared as m/z or intensity"):
        open_dataset(path)


def test_several_planes(path):
    specs = [replace(s, z=3) for s in grid_specs(2, 2, seed=1)] + [replace(s, z=4) for s in grid_specs(2, 1, seed=2)]
    ds = open_dataset(write_imzml(path, specs))
    assert ds.z_planes == [1, 2]
    with pytest.raises(ArgumentError, match="holds 2 z planes"):
        _ = ds.mask
    second = ds.plane(2)
    assert_same(second, specs[4:])
    assert second.mask.tolist() == [[True, True], [False, False]]
    assert not any("pixel that already has one" in line for line in ds.warnings)
    with pytest.raises(ArgumentError, match="no plane z = 3"):
        ds.plane(3)


@pytest.mark.parametrize("encoded", [True, False])
def test_dtype_whose_accession_contradicts_name_and_length(path, encoded):
    specs = grid_specs(2, 2)
    wrong = ("MS", "MS:1000521", "64-bit float")  # stored as f8
    ds = open_dataset(write_imzml(path, specs, mz_term=wrong, encoded_length=encoded))
    assert_same(ds, specs)
    assert any("contradicts" in line for line in ds.warnings)


def test_dtype_that_contradicts_the_length_alone(path):
    specs = grid_specs(2, 2)
    ds = open_dataset(write_imzml(path, specs, intensity_term=("MS", "MS:1000523", "64-bit float")))
    assert_same(ds, specs)


def test_accession_wins_over_name_of_the_same_size(path):
    specs = grid_specs(2, 2)
    ds = open_dataset(write_imzml(path, specs, intensity_term=("MS", "MS:1000521", "32-bit integer")))
    assert_same(ds, specs)


def test_length_that_fits_no_dtype(path):
    write_imzml(
        path,
        [Spec(1, 1, [1.0, 2.0], [1.0, 2.0])],
        edit=lambda t: t.replace('value="16"/><binary', 'value="15"/><binary'),
    )
    with pytest.raises(FileError, match=r"spectrum 0: its m/z array has 15 bytes for 2 values"):
        open_dataset(path)


@pytest.mark.parametrize(
    "options", [{"namespace": False}, {"declaration": None}, {"indexed": True}, {"newline": "\r\n"}]
)
def test_headers_of_other_writers(path, options):
    specs = grid_specs(3, 2)
    assert_same(open_dataset(write_imzml(path, specs, **options)), specs)


def test_prefixed_elements(path):
    specs = grid_specs(2, 2)

    def prefixed(text: str) -> str:
        text = text.replace("</", "</m:").replace("<", "<m:").replace("<m:/m:", "</m:").replace("<m:?", "<?")
        return text.replace("xmlns=", "xmlns:m=")

    assert_same(open_dataset(write_imzml(path, specs, edit=prefixed)), specs)


@pytest.mark.parametrize("shared", [False, True])
def test_mode_comes_from_the_offsets(path, shared):
    specs = grid_specs(2, 2, shared=shared)
    declared = "processed" if shared else "continuous"
    ds = open_dataset(write_imzml(path, specs, shared_axis=shared, mode=declared))
    assert ds.mode == ("continuous" if shared else "processed")
    assert ds.declared["mode"] == declared
    assert len(ds.warnings) == 1
    assert_same(ds, specs)


def test_spectrum_type_is_inferred_and_can_be_given(path):
    axis = np.linspace(500.0, 510.0, 200)
    peaks = sum(np.exp(-0.5 * ((axis - at) / 0.1) ** 2) for at in np.arange(501.0, 509.1, 0.8))
    profile = [Spec(x, 1, axis, x * peaks) for x in (1, 2)]
    ds = open_dataset(write_imzml(path, profile, spectrum_type=None))
    assert ds.spectrum_type == "profile"
    assert len([line for line in ds.warnings if "profile or centroid" in line]) == 1
    assert open_dataset(path, spectrum_type="centroid").spectrum_type == "centroid"
    assert open_dataset(path, spectrum_type="centroid").warnings == []
    ds = open_dataset(write_imzml(path, grid_specs(2, 2, n=200), spectrum_type=None))
    assert ds.spectrum_type == "centroid"


@pytest.mark.parametrize(
    ("imzml", "ibd"),
    [("a.imzml", "a.ibd"), ("A.IMZML", "a.IBD"), ("é ü.ImzML", "é ü.Ibd"), ("a.b c.imzML", "a.b c.ibd")],
)
def test_spellings(tmp_path, imzml, ibd):
    specs = grid_specs(2, 1)
    ds = open_dataset(write_imzml(tmp_path / imzml, specs, ibd_path=tmp_path / ibd))
    assert_same(ds, specs)
    assert Path(ds.ibd_path) == tmp_path / ibd


def test_relative_path(tmp_path, monkeypatch):
    specs = grid_specs(2, 1)
    write_imzml(tmp_path / "a.imzML", specs, ibd_path=tmp_path / "A.IBD")
    monkeypatch.chdir(tmp_path)
    assert open_dataset("a.imzML").ibd_path == "A.IBD"


def test_ibd_elsewhere(path, tmp_path):
    specs = grid_specs(2, 1)
    other = tmp_path / "elsewhere.bin"
    write_imzml(path, specs, ibd_path=other)
    with pytest.raises(FileError, match=r"section\.imzML: its ibd file is missing; tried .*section\.ibd"):
        open_dataset(path)
    assert_same(open_dataset(path, ibd_path=other), specs)


def test_offsets_beyond_4_gib(path):
    specs = grid_specs(2, 1)
    ds = open_dataset(write_imzml(path, specs, ibd_gap=5 << 30, checksum=None))
    assert_same(ds, specs)


@pytest.mark.parametrize("signed", [True, False])
def test_wrapped_offsets(path, signed):
    # Three spectra on both sides of 4 GiB; each array's offset goes through a 32-bit integer.
    n = 1000
    specs = grid_specs(3, 1, n=n)

    def wrapped(at: int) -> str:
        low = at & 0xFFFFFFFF
        return str(low - (1 << 32) if signed and low >= 1 << 31 else low)

    gap = (1 << 32) - 16 - n * 12 - 100
    ds = open_dataset(write_imzml(path, specs, ibd_gap=gap, offset=wrapped, checksum=None))
    assert_same(ds, specs)
    assert any("32-bit" in line for line in ds.warnings)


def test_scientific_notation(path):
    specs = grid_specs(2, 2)
    ds = open_dataset(write_imzml(path, specs, integer=lambda n: f"{n:.6e}", offset=lambda n: f" {n}.0 "))
    assert_same(ds, specs)


def test_fraction_where_an_integer_belongs(path):
    with pytest.raises(FileError, match="spectrum 0: its position is not an integer"):
        open_dataset(write_imzml(path, [Spec("1.5", 1, [1.0], [1.0])]))


def test_unknown_terms_are_ignored(path):
    head = cv("MS:9999999", "meanndering") + cv("XYZ:1", "?") + '<cvParam name="bare"/>' + cv("IMS:1000041x", "typo")
    specs = grid_specs(2, 2)
    assert_same(open_dataset(write_imzml(path, specs, head=head)), specs)


def test_uuid_mismatch_warns_once(path):
    specs = grid_specs(3, 3)
    ds = open_dataset(write_imzml(path, specs, ibd_uuid=b"\x01" * 16))
    assert len([line for line in ds.warnings if "UUID" in line]) == 1
    assert_same(ds, specs)


def test_lengths_differ(path):
    write_imzml(path, [Spec(1, 1, [1.0, 2.0], [1.0, 2.0]), Spec(2, 1, [1.0, 2.0], [1.0])])
    with pytest.raises(FileError, match="spectrum 1: it has 2 m/z values but 1 intensities"):
        open_dataset(path)


def test_zeros_repeats_and_empty_spectra(path):
    specs = [Spec(1, 1, [1.0, 2.0, 2.0, 3.0], [0.0, 1.0, 2.0, 0.0]), Spec(2, 1, [], []), Spec(3, 1, [5.0], [-1.0])]
    ds = open_dataset(write_imzml(path, specs))
    assert_same(ds, specs)
    assert ds.mask.all()
    assert ds.mz_range == (1.0, 5.0)
    assert ds.warnings == []


@pytest.mark.parametrize(
    ("mz", "cause"),
    [
        ([3.0, 2.0, 4.0], "not ascending"),
        ([1.0, np.nan, 2.0], "NaN"),
        ([-1.0, 1.0, 2.0], "negative"),
        ([1.0, 2.0, np.inf], "infinite"),
    ],
)
@pytest.mark.parametrize("shared", [False, True])
def test_bad_mz(path, mz, cause, shared):
    specs = [Spec(x, 1, mz, [1.0, 2.0, 3.0]) for x in (1, 2)]
    write_imzml(path, specs, shared_axis=shared)
    ds = open_dataset(path)
    for _ in range(2):
        with pytest.raises(FileError, match=rf"section\.imzML: spectrum 0: .*{cause}"):
            ds.spectrum(0)
    repaired = open_dataset(path, repair=True)
    keep = [k for k in np.argsort(mz, kind="stable") if np.isfinite(mz[k]) and mz[k] >= 0]
    for i in range(2):
        got = repaired.spectrum(i)
        np.testing.assert_array_equal(got[0], np.asarray(mz)[keep])
        np.testing.assert_array_equal(got[1], np.asarray([1.0, 2.0, 3.0])[keep])
    assert repaired.mz_range == (min(np.asarray(mz)[keep]), max(np.asarray(mz)[keep]))


def test_nan_intensities_are_zero_with_one_warning(path):
    specs = [Spec(x, 1, [1.0, 2.0, 3.0], [x, np.nan, np.inf]) for x in (1, 2, 3)]
    ds = open_dataset(write_imzml(path, specs))
    assert ds.warnings == []
    for i in (0, 0, 1, 2):
        assert ds.spectrum(i)[1].tolist() == [i + 1, 0.0, 0.0]
    assert len(ds.warnings) == 1
    assert "3 of the spectra" in ds.warnings[0]


@pytest.mark.parametrize("params", ["group", "inline", "both"])
def test_where_array_parameters_stand(path, params):
    specs = grid_specs(3, 2)
    assert_same(open_dataset(write_imzml(path, specs, params=params)), specs)


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
@pytest.mark.parametrize("compress", [False, True])
def test_intensity_dtypes(path, dtype, compress):
    values = np.array([0, 1, 100, 127])
    if dtype[0] in "if":
        values = np.concatenate([values, [-5]])
    if dtype in ("u2", "u4", "u8"):
        values = np.concatenate([values, [2 ** (8 * int(dtype[1]) - 1)]])
    specs = [Spec(x, 1, 100.0 + np.arange(values.size), values) for x in (1, 2)]
    ds = open_dataset(write_imzml(path, specs, intensity_dtype=dtype, mz_dtype="f4", compress=compress))
    assert_same(ds, specs, "f4", dtype)


def test_third_arrays_are_skipped(path):
    specs = [
        replace(s, extra={'accession="MS:1002893" name="ion mobility array"': np.ones(5)}) for s in grid_specs(2, 2)
    ]
    assert_same(open_dataset(write_imzml(path, specs)), specs)


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ('array length" value="5"', 'array length" value="-5"', "negative length"),
        ('array length" value="5"', 'array length" value="5000000000000000000"', "claims 5000000000000000000 values"),
        ('array length" value="5"', 'array length" value="99999999999999999999"', "not an integer"),
        ('offset" value="16"', 'offset" value="-16000000000"', "negative offset"),
        ('offset" value="16"', 'offset" value="9223372036854775807"', "needs 40 bytes"),
        ("MS:1000574", "MS:1002312", "not supported"),
        ("MS:1000514", "MS:1000000", "no m/z array"),
        ('accession="IMS:1000050"', 'accession="IMS:1000059"', "no position in x"),
    ],
)
def test_hostile_numbers(path, old, new, cause):
    compress = old == "MS:1000574"
    write_imzml(path, grid_specs(1, 1), compress=compress, edit=lambda t: t.replace(old, new))
    with pytest.raises(FileError, match=cause):
        open_dataset(path)


def test_huge_announced_count_costs_nothing(path):
    specs = grid_specs(2, 1)
    ds = open_dataset(write_imzml(path, specs, count=4_000_000_000_000))
    assert_same(ds, specs)
    assert any("announces 4000000000000 spectra" in line for line in ds.warnings)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "the file is empty"),
        (b"\x00\x01\x02\xff" * 100, "not readable as XML"),
        (b"hello", "not readable as XML"),
        (b"<html></html>", "root element is not mzML"),
        (b"<mzML></mzML>", "no imaging terms"),
        (b'<mzML><run><spectrumList count="1"><spectrum/></spectrumList></run></mzML>', "not imzML"),
    ],
)
def test_what_is_not_imzml(path, content, cause):
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"section\.imzML: .*{cause}"):
        open_dataset(path)


def test_paths_that_cannot_be_read(tmp_path, path):
    with pytest.raises(FileError, match="no such file"):
        open_dataset(path)
    with pytest.raises(FileError, match="is a directory"):
        open_dataset(tmp_path)
    write_imzml(path, grid_specs(1, 1))
    path.with_suffix(".ibd").write_bytes(b"")
    with pytest.raises(FileError, match=r"section\.ibd: the file is empty"):
        open_dataset(path)
    with pytest.raises(ArgumentError, match="a path must be"):
        open_dataset(3)  # type: ignore[arg-type]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.imzML")
        with pytest.raises(FileError, match="not a regular file"):
            open_dataset(tmp_path / "pipe.imzML")
