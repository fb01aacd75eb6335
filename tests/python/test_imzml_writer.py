"""Written imzML files, read back with pyimzML."""

from __future__ import annotations

import gc
import hashlib
import re
import warnings
import zlib
from pathlib import Path
from uuid import UUID
from xml.etree import ElementTree

import numpy as np
import pytest
from pyimzml.ImzMLParser import ImzMLParser

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError


def read(path: Path) -> tuple[list[tuple[int, int, int]], list[tuple[np.ndarray, np.ndarray]]]:
    with warnings.catch_warnings():
        # The name of the width in the format's own examples, without brackets, is not the one in the ontology.
        warnings.filterwarnings("ignore", 'Accession IMS:1000046 found with incorrect name "pixel size x"')
        parser = ImzMLParser(str(path))
    with parser:
        spectra = [parser.getspectrum(k) for k in range(len(parser.coordinates))]
        return [tuple(int(v) for v in c) for c in parser.coordinates], spectra


def test_processed_spectra_read_back_equal(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "section.imzML"
    written = []
    with imn.ImzMLWriter(path, mode="processed", spectrum_type="centroid", pixel_size_um=25.0) as writer:
        for x, y, n in ((1, 1, 5), (3, 1, 1), (2, 4, 70)):
            mz, intensity = np.sort(rng.uniform(100, 900, n)), rng.random(n).astype(np.float32)
            writer.add(x, y, mz, intensity)
            written.append((mz, intensity))
        assert writer.n_spectra == 3
    coordinates, spectra = read(path)
    assert coordinates == [(1, 1, 1), (3, 1, 1), (2, 4, 1)]
    for (mz, intensity), (mz_read, intensity_read) in zip(written, spectra, strict=True):
        np.testing.assert_array_equal(mz_read, mz)
        np.testing.assert_array_equal(intensity_read, intensity)
    head = path.read_text(encoding="utf-8")
    assert 'name="pixel size x" value="25"' in head
    assert sorted(p.name for p in tmp_path.iterdir()) == ["section.ibd", "section.imzML"]


def test_compressed_arrays_inflate_to_what_was_written(tmp_path: Path, rng: np.random.Generator) -> None:
    # pyimzML does not decompress, so the arrays are cut from the ibd by the offsets in the header.
    path = tmp_path / "section.imzML"
    written = []
    with imn.ImzMLWriter(path, mode="processed", spectrum_type="centroid", zlib=True) as writer:
        for x, n in ((1, 5), (2, 0), (3, 700)):
            written.append((np.sort(rng.uniform(100, 900, n)), rng.random(n).astype(np.float32)))
            writer.add(x, 1, *written[-1])
    head, binary = path.read_text(encoding="utf-8"), path.with_suffix(".ibd").read_bytes()
    assert head.count("MS:1000574") == 2
    offsets, sizes, lengths = (
        [int(v) for v in re.findall(rf'"IMS:{accession}"[^>]*value="(\d+)"', head)]
        for accession in ("1000102", "1000104", "1000103")
    )
    arrays = [zlib.decompress(binary[o : o + s]) for o, s in zip(offsets, sizes, strict=True)]
    for k, (mz, intensity) in enumerate(written):
        np.testing.assert_array_equal(np.frombuffer(arrays[2 * k], "<f8"), mz)
        np.testing.assert_array_equal(np.frombuffer(arrays[2 * k + 1], "<f4"), intensity)
        assert lengths[2 * k : 2 * k + 2] == [mz.size, mz.size]


def test_many_at_once_equals_one_by_one(tmp_path: Path, rng: np.random.Generator) -> None:
    counts = np.array([3, 0, 4, 2])
    mz = np.concatenate([np.sort(rng.uniform(100, 900, n)) for n in counts])
    intensity = rng.random(mz.size)
    positions = np.stack([np.arange(1, 5), np.full(4, 2), np.ones(4, dtype=int)], axis=1)
    with imn.ImzMLWriter(tmp_path / "many.imzML", mode="processed", spectrum_type="centroid") as writer:
        writer.add_many(positions, mz, intensity, counts)
    with imn.ImzMLWriter(tmp_path / "one.imzML", mode="processed", spectrum_type="centroid") as writer:
        for k, end in enumerate(np.cumsum(counts)):
            part = slice(end - counts[k], end)
            writer.add(k + 1, 2, mz[part], intensity[part])
    for many, one in zip(read(tmp_path / "many.imzML"), read(tmp_path / "one.imzML"), strict=True):
        for a, b in zip(many, one, strict=True):
            np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def test_continuous_spectra_share_one_axis(tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "section.imzML"
    mz, intensities = np.linspace(100, 200, 40), rng.random((3, 40)).astype(np.float32)
    with imn.ImzMLWriter(path, mode="continuous", spectrum_type="profile", mz_dtype="float32") as writer:
        writer.add(1, 1, mz, intensities[0])
        writer.add(2, 1, None, intensities[1])
        writer.add_shared([[1, 2, 1]], None, intensities[2:])
    _, spectra = read(path)
    for row, (mz_read, intensity_read) in zip(intensities, spectra, strict=True):
        np.testing.assert_array_equal(mz_read, mz.astype(np.float32))
        np.testing.assert_array_equal(intensity_read, row)
    assert path.with_suffix(".ibd").stat().st_size == 16 + 40 * 4 + 3 * 40 * 4


def test_header_names_uuid_and_checksum(tmp_path: Path) -> None:
    identifier = UUID("12345678-1234-4678-9234-567812345678")
    path = tmp_path / "section.imzML"
    with imn.ImzMLWriter(path, mode="processed", spectrum_type="centroid", uuid=identifier) as writer:
        writer.add(1, 1, [100.0], [1.0])
    head, binary = path.read_text(encoding="utf-8"), path.with_suffix(".ibd").read_bytes()
    assert binary[:16] == identifier.bytes
    assert f"{{{identifier}}}" in head
    digest = hashlib.sha1(binary).hexdigest()
    assert re.search(rf'accession="IMS:1000091"[^>]*value="{digest}"', head)
    assert re.search(r'<software id="ionmorphnet" version="[0-9.]+', head)


@pytest.mark.parametrize(("spectrum_type", "term"), [("centroid", "MS:1000127"), ("profile", "MS:1000128")])
@pytest.mark.parametrize("mode", ["processed", "continuous"])
def test_the_spectrum_type_is_declared_once_for_all_spectra(
    tmp_path: Path, mode: str, spectrum_type: str, term: str
) -> None:
    path = tmp_path / "section.imzML"
    with imn.ImzMLWriter(path, mode=mode, spectrum_type=spectrum_type) as writer:
        for x in (1, 2, 3):
            writer.add(x, 1, [100.0, 200.0], [1.0, 2.0])
    root = ElementTree.parse(path).getroot()
    xml = "{http://psi.hupo.org/ms/mzml}"
    groups = {
        group.get("id"): [p.get("accession") for p in group] for group in root.iter(f"{xml}referenceableParamGroup")
    }
    listed = root.find(f"{xml}referenceableParamGroupList")
    assert listed is not None
    assert int(listed.get("count", 0)) == len(groups)
    spectra = list(root.iter(f"{xml}spectrum"))
    assert len(spectra) == 3
    for spectrum in spectra:
        assert spectrum.findall(f"{xml}cvParam") == []
        references = [each.get("ref") for each in spectrum.findall(f"{xml}referenceableParamGroupRef")]
        assert [groups[name] for name in references] == [["MS:1000579", "MS:1000511", term]]
    with ImzMLParser(str(path)) as parser:
        assert parser.spectrum_mode == spectrum_type
    with imn.open(path) as ds:
        assert ds.spectrum_type == spectrum_type
        assert ds.declared["spectrum_type"] == spectrum_type


def test_an_exception_leaves_the_older_pair_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "section.imzML"
    with imn.ImzMLWriter(path, mode="processed", spectrum_type="centroid") as writer:
        writer.add(1, 1, [100.0], [1.0])
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail() -> None:
        with imn.ImzMLWriter(path, mode="processed", spectrum_type="centroid") as writer:
            writer.add(1, 1, [200.0], [1.0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_an_empty_file_is_complete(tmp_path: Path) -> None:
    with imn.ImzMLWriter(tmp_path / "empty.imzML", mode="processed", spectrum_type="centroid"):
        pass
    assert '<spectrumList count="0"' in (tmp_path / "empty.imzML").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"path": "section.mzML"}, "must end in .imzML"),
        ({"mode": "profile"}, "mode must be"),
        ({"spectrum_type": "processed"}, "spectrum_type must be"),
        ({"pixel_size_um": 0.0}, "pixel_size_um"),
        ({"mz_dtype": "int32"}, "mz_dtype"),
    ],
)
def test_bad_settings(tmp_path: Path, change: dict[str, object], message: str) -> None:
    settings = {"path": "section.imzML", "mode": "processed", "spectrum_type": "centroid"} | change
    path = tmp_path / str(settings.pop("path"))
    with pytest.raises(ArgumentError, match=message):
        imn.ImzMLWriter(path, **settings)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("mz", "intensity", "x", "message"),
    [
        ([2.0, 1.0], [1.0, 1.0], 1, "ascending"),
        ([np.nan], [1.0], 1, "finite"),
        ([1.0, 2.0], [1.0], 1, "shapes do not match"),
        ([1.0], [1.0], 0, "each at least 1"),
        ([1.0], [1.0], 1.7, "must be integers"),
        ([1.0], [1.0], 2**31, "at most 2147483647"),
        ([-1.0, 1.0], [1.0, 1.0], 1, "ascending and not negative"),
        ([1.0], [np.inf], 1, "intensity must be finite"),
        ([1.0], [np.nan], 1, "intensity must be finite"),
        ([1.0], [1e39], 1, "intensity must be finite as float32"),
        ([1.0], [1j], 1, "intensity must be real"),
        (["a"], [1.0], 1, "m/z must be real"),
        (None, [1.0], 1, "needs the m/z"),
    ],
)
def test_bad_spectra(tmp_path: Path, mz: list[float] | None, intensity: list[float], x: float, message: str) -> None:
    writer = imn.ImzMLWriter(tmp_path / "section.imzML", mode="processed", spectrum_type="centroid")
    with pytest.raises(ArgumentError, match=message):
        writer.add(x, 1, mz, intensity)
    writer.discard()
    assert not list(tmp_path.iterdir())


def test_continuous_refuses_another_axis(tmp_path: Path) -> None:
    with imn.ImzMLWriter(tmp_path / "section.imzML", mode="continuous", spectrum_type="centroid") as writer:
        with pytest.raises(ArgumentError, match="must set the m/z axis"):
            writer.add(1, 1, None, [1.0])
        writer.add(1, 1, [100.0, 200.0], [1.0, 2.0])
        with pytest.raises(ArgumentError, match="mz differs from the axis of the first spectrum"):
            writer.add(2, 1, [100.0, 201.0], [1.0, 2.0])


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"nowhere/section\.imzML: the folder .*nowhere does not exist"):
        imn.ImzMLWriter(tmp_path / "nowhere" / "section.imzML", mode="processed", spectrum_type="centroid")


@pytest.mark.parametrize("mode", ["processed", "continuous"])
def test_mz_must_be_finite_in_the_type_on_disk(tmp_path: Path, mode: str) -> None:
    writer = imn.ImzMLWriter(tmp_path / "s.imzML", mode=mode, spectrum_type="centroid", mz_dtype="float32")
    with pytest.raises(ArgumentError, match="m/z must be finite as float32"):
        writer.add(1, 1, [100.0, 1e39], [1.0, 1.0])
    with pytest.raises(ArgumentError, match="ascending and not negative"):
        writer.add(1, 1, [-1.0, 100.0], [1.0, 1.0])
    writer.discard()


def test_a_refused_spectrum_leaves_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "s.imzML"
    with imn.ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        with pytest.raises(ArgumentError, match="finite"):
            writer.add(1, 1, [1.0, 2.0], [1.0, np.nan])
        writer.add(1, 1, [3.0, 4.0], [5.0, 6.0])
    with imn.open(path) as ds:
        assert [part.tolist() for part in ds.spectrum(0)] == [[3.0, 4.0], [5.0, 6.0]]
    assert path.with_suffix(".ibd").stat().st_size == 16 + 2 * 8 + 2 * 4


def test_the_axis_does_not_follow_the_caller(tmp_path: Path) -> None:
    axis = np.array([1.0, 2.0])
    with imn.ImzMLWriter(tmp_path / "s.imzML", mode="continuous", spectrum_type="centroid") as writer:
        writer.add(1, 1, axis, [1.0, 1.0])
        axis += 1.0
        with pytest.raises(ArgumentError, match="mz differs from the axis of the first spectrum"):
            writer.add(2, 1, axis, [1.0, 1.0])


@pytest.mark.parametrize("end", ["close", "discard"])
@pytest.mark.parametrize("mode", ["processed", "continuous"])
def test_nothing_can_be_added_after_the_end(tmp_path: Path, mode: str, end: str) -> None:
    writer = imn.ImzMLWriter(tmp_path / "s.imzML", mode=mode, spectrum_type="centroid")
    writer.add(1, 1, [1.0], [1.0])
    getattr(writer, end)()
    with pytest.raises(ArgumentError, match=r"s\.imzML: the writer is closed"):
        writer.add(2, 1, [1.0], [1.0])


@pytest.mark.parametrize("zlib", [False, True])
def test_no_spectra_at_once(tmp_path: Path, zlib: bool) -> None:
    for mode in ("processed", "continuous"):
        with imn.ImzMLWriter(tmp_path / f"{mode}.imzML", mode=mode, spectrum_type="centroid", zlib=zlib) as writer:
            if mode == "processed":
                writer.add_many([], [], [], [])
                writer.add_many(np.zeros((0, 3), dtype=int), np.zeros(0), np.zeros(0), np.zeros(0, dtype=int))
            else:
                writer.add_shared([], [1.0, 2.0], np.zeros((0, 2)))
            assert writer.n_spectra == 0
            writer.add(1, 1, [100.0], [1.0])
        with imn.open(tmp_path / f"{mode}.imzML") as ds:
            assert ds.n_spectra == 1


def test_counts_are_not_truncated(tmp_path: Path) -> None:
    with (
        pytest.raises(ArgumentError, match="counts must hold"),
        imn.ImzMLWriter(tmp_path / "s.imzML", mode="processed", spectrum_type="centroid") as writer,
    ):
        writer.add_many([[1, 1, 1]], [1.0], [1.0], [1.5])


def test_two_writers_of_one_name_do_not_meet(tmp_path: Path) -> None:
    path = tmp_path / "s.imzML"
    first, second = (imn.ImzMLWriter(path, mode="processed", spectrum_type="centroid") for _ in range(2))
    first.add(1, 1, [100.0], [1.0])
    second.add(1, 1, [200.0], [2.0])
    second.discard()
    first.close()
    with imn.open(path) as ds:
        assert ds.spectrum(0)[0].tolist() == [100.0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["s.ibd", "s.imzML"]


def test_a_forgotten_writer_leaves_nothing(tmp_path: Path) -> None:
    writer = imn.ImzMLWriter(tmp_path / "s.imzML", mode="processed", spectrum_type="centroid")
    writer.add(1, 1, [100.0], [1.0])
    assert list(tmp_path.iterdir())
    del writer
    gc.collect()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["s.imzML", "s.ibd"])
def test_a_folder_of_either_name_is_refused_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(FileError, match=rf"{re.escape(name)}: is a folder"):
        imn.ImzMLWriter(tmp_path / "s.imzML", mode="processed", spectrum_type="centroid")
    assert [p.name for p in tmp_path.iterdir()] == [name]
