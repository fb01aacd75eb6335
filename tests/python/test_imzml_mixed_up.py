"""Mistakes of users: the wrong file, the wrong half of a pair, the wrong option."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, grid_specs, write_imzml


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_imzml(tmp_path / "section.imzML", grid_specs(3, 2))


def test_a_packed_file_says_so(path: Path) -> None:
    packed = path.with_suffix(".imzML.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(imn.FileError, match=r"section\.imzML\.gz: is compressed with gzip; unpack it first"):
        imn.open(packed)


def test_the_other_half(path: Path) -> None:
    for suffix, first in ((".ibd", b"\x01"), (".IBD", b"<"), (".ibd", b" <")):
        half = path.with_suffix(suffix)
        half.write_bytes(first.ljust(16, b"\x02") + bytes(100))
        with pytest.raises(imn.FileError, match=r"is the binary half .* ends in \.imzML"):
            imn.open(half)


def test_a_link_finds_the_ibd_beside_its_target(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "links"
    elsewhere.mkdir()
    for target in (path, Path("..") / path.name):
        link = elsewhere / f"{len(list(elsewhere.iterdir()))}.imzML"
        link.symlink_to(target)
        with imn.open(link) as ds:
            assert Path(ds.ibd_path) == path.with_suffix(".ibd")
    stray = elsewhere / "stray.imzML"
    stray.symlink_to(path.rename(tmp_path / "alone.imzML"))
    with pytest.raises(imn.FileError, match=r"tried .*stray\.ibd, .*alone\.ibd"):
        imn.open(stray)
    (tmp_path / "alone.imzML").rename(path)
    # The matching ibd comes first.
    link.with_suffix(".ibd").write_bytes(path.with_suffix(".ibd").read_bytes())
    with imn.open(link) as ds:
        assert Path(ds.ibd_path) == link.with_suffix(".ibd")


def test_the_ibd_of_another_file(tmp_path: Path) -> None:
    paths = [write_imzml(tmp_path / f"{n}.imzML", grid_specs(n, 2)) for n in (4, 2)]
    hint = "carries another UUID than the imzML file"
    paths[1].with_suffix(".ibd").replace(paths[0].with_suffix(".ibd"))
    with pytest.raises(imn.FileError, match=rf"4\.ibd: truncated: .*{hint}"):
        imn.open(paths[0])
    # The size matches, but the bytes belong to another file.
    write_imzml(tmp_path / "a.imzML", [Spec(x, 1, [1.0, 2.0, 3.0], [9.0, 8.0, 7.0]) for x in (1, 2)])
    write_imzml(tmp_path / "b.imzML", [Spec(x, 1, [3.0, 2.0, 1.0], [9.0, 8.0, 7.0]) for x in (1, 2)])
    (tmp_path / "b.ibd").replace(tmp_path / "a.ibd")
    with imn.open(tmp_path / "a.imzML") as ds:
        assert [line for line in ds.warnings if hint in line] == list(ds.warnings)
        with pytest.raises(imn.FileError, match=rf"spectrum 1: .*not ascending.*{hint}"):
            ds.spectrum(1)


def test_profile_that_is_declared_centroid(path: Path) -> None:
    axis = np.linspace(500.0, 510.0, 200)
    profile = [Spec(x, 1, axis, np.exp(-0.5 * ((axis - 503.0 - x) / 0.15) ** 2)) for x in (1, 2)]
    with imn.open(write_imzml(path, profile, spectrum_type="centroid")) as ds:
        assert ds.spectrum_type == "profile"
        assert len(ds.warnings) == 1
        assert "sampled like profiles" in ds.warnings[0]
    for chosen in ("centroid", "profile"):
        with imn.open(path, spectrum_type=chosen) as ds:
            assert (ds.spectrum_type, ds.warnings) == (chosen, [])
    rng = np.random.default_rng(0)
    lists = [grid_specs(2, 1, n=n) for n in (3, 200)]  # too few points; peaks
    lists.append([Spec(x, 1, axis, rng.exponential(size=200)) for x in (1, 2)])  # bins
    lists.append([Spec(x, 1, axis, np.full(200, 0.1 * x)) for x in (1, 2)])  # no shape
    lists.append([replace(spec, mz=np.sort(rng.uniform(500.0, 510.0, 200))) for spec in profile])  # similar peaks
    for specs in lists:
        with imn.open(write_imzml(path, specs, spectrum_type="centroid")) as ds:
            assert ds.warnings == []


@pytest.mark.parametrize(
    ("name", "encoding"),
    [
        ("utf8", "utf-8"),
        ("UTF_8", "utf-8"),
        ("latin1", "latin-1"),
        ("Latin-1", "latin-1"),
        ("iso8859-1", "latin-1"),
        ("CP1252", "cp1252"),
        ("ISO-8859-15", "iso-8859-15"),
        ("latin9", "iso-8859-15"),
    ],
)
@pytest.mark.parametrize("entity", [False, True], ids=["plain", "entity"])  # the scanner leaves entities to expat
def test_encodings_by_other_names(path: Path, name: str, encoding: str, entity: bool) -> None:
    word = "Maß" if encoding in ("utf-8", "latin-1") else "Maß €"
    text = f'<?xml version="1.0" encoding="{name}"?>\n'
    if entity:
        text += '<!DOCTYPE mzML [<!ENTITY one "1">]>\n'
    head = f'<softwareList><software id="{word}" version="{"&one;" if entity else "1"}"/></softwareList>'
    with imn.open(write_imzml(path, grid_specs(1, 1), encoding=encoding, declaration=text, head=head)) as ds:
        assert ds.declared["software"] == f"{word} 1"


def test_a_byte_order_mark_says_more_than_the_declaration(path: Path) -> None:
    text = '<?xml version="1.0" encoding="latin1"?>\n<!DOCTYPE mzML [<!ENTITY one "1">]>\n'
    head = '<softwareList><software id="Maß" version="&one;"/></softwareList>'
    with imn.open(write_imzml(path, grid_specs(1, 1), encoding="utf-8-sig", declaration=text, head=head)) as ds:
        assert ds.declared["software"] == "Maß 1"


def test_a_repeated_mz_of_a_shared_axis_is_one_channel(path: Path) -> None:
    mz = [100.0, 200.0, 200.0, 300.0]
    write_imzml(path, [Spec(x, 1, mz, [1.0, 2.0 * x, 3.0, 4.0]) for x in (1, 2)], shared_axis=True)
    with imn.open(path) as ds:
        axis = imn.candidate_axis(ds)
        assert axis.mz.tolist() == [100.0, 200.0, 300.0]
        images = ds.window_images(axis.mz_lo, axis.mz_hi)
        assert images[:, 0].tolist() == [[1.0, 1.0], [5.0, 7.0], [4.0, 4.0]]
