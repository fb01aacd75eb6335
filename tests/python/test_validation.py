"""validate reads every spectrum and reports one entry per kind of problem."""

from __future__ import annotations

import json

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, grid_specs, write_imzml
from ionmorphnet.picking.validation import Problem


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.imzML"


def test_a_file_in_order(path):
    report = imn.validate(write_imzml(path, grid_specs(20, 10, shared=True)), checksum=True)
    assert report.ok
    assert report.n_spectra == 200
    assert report.problems == []
    assert json.loads(json.dumps(report.to_dict())) == {"path": str(path), "n_spectra": 200, "problems": [], "ok": True}


@pytest.mark.parametrize("threads", [1, 4])
def test_problems_are_counted_by_kind(path, threads):
    specs = grid_specs(100, 4, shared=True)
    for i in (17, 5, 300):
        specs[i].mz = specs[i].mz[::-1].copy()
    specs[250].mz = np.where(np.arange(5) == 2, np.nan, specs[250].mz)
    for i in (9, 10):
        specs[i].intensity[0] = np.nan
    specs[40].intensity[1] = -1.0
    specs[41] = Spec(specs[41].x, specs[41].y, [], [])
    report = imn.validate(write_imzml(path, specs), threads=threads)
    assert not report.ok
    assert report.n_spectra == 400
    found = {(p.kind, p.severity, p.count, p.first): p.message for p in report.problems}
    assert "not ascending" in found.pop(("spectrum", "error", 3, 5))
    assert "NaN" in found.pop(("spectrum", "error", 1, 250))
    assert "negative" in found.pop(("spectrum", "warning", 1, 40))
    assert "empty" in found.pop(("spectrum", "warning", 1, 41))
    assert "2 of the spectra" in found.pop(("file", "warning", 1, None))
    assert found == {}
    assert "2 kinds of error, 3 kinds of warning" in repr(report)


def test_spectra_are_numbered_as_in_the_file_where_some_were_left_out(path):
    specs = grid_specs(4, 1)
    specs[2].intensity[0] = -1.0
    write_imzml(path, specs, edit=lambda text: text.replace('name="external array length" value="5"', 'value="-5"', 2))
    report = imn.validate(path)
    assert report.n_spectra == 3
    assert ("negative", 2) in [(p.message.split()[-1], p.first) for p in report.problems if p.kind == "spectrum"]


# 16 bytes of UUID, then 5 m/z of 8 bytes and 5 intensities of 4, in each spectrum; or one shared m/z array.
@pytest.mark.parametrize(
    ("shared", "offset", "first", "count"), [(False, 16 + 60 + 40, 1, 1), (True, 16 + 40 + 20, 0, 2)]
)
def test_arrays_that_lie_on_one_another(path, shared, offset, first, count):
    specs = grid_specs(4, 1, shared=shared)
    assert imn.validate(write_imzml(path, specs, shared_axis=shared)).ok  # a shared axis is not an error

    def eight_bytes_early(text):
        assert f'value="{offset}"' in text
        return text.replace(f'value="{offset}"', f'value="{offset - 8}"')

    report = imn.validate(write_imzml(path, specs, shared_axis=shared, edit=eight_bytes_early))
    assert not report.ok
    (problem,) = [p for p in report.problems if "overlaps another" in p.message]
    assert (problem.severity, problem.count, problem.first) == ("error", count, first)


def test_intensities_that_are_the_mz_values(path):
    specs = grid_specs(4, 1)
    same = imn.validate(
        write_imzml(path, specs, mz_dtype="f4", edit=lambda text: text.replace('value="116"', 'value="96"'))
    )
    (problem,) = [p for p in same.problems if "overlaps another" in p.message]
    assert (problem.count, problem.first) == (1, 2)


def test_warnings_alone_are_ok(path):
    report = imn.validate(write_imzml(path, grid_specs(12, 10, shared=True), ibd_uuid=b"\0" * 16))
    assert report.ok
    assert [p.severity for p in report.problems] == ["warning"]


def test_truncated_file_is_validated_as_far_as_it_goes(path):
    report = imn.validate(write_imzml(path, grid_specs(4, 1), truncate_ibd=16 + 60 * 2))
    assert not report.ok
    assert report.n_spectra == 2
    assert report.problems[0].kind == "open"
    assert "truncated: spectrum 2" in report.problems[0].message


def test_file_that_cannot_be_opened(path):
    path.write_bytes(b"nonsense")
    report = imn.validate(path)
    assert not report.ok
    assert (report.n_spectra, len(report.problems)) == (0, 1)


@pytest.mark.parametrize("name", ["md5", "sha1", "sha256"])
def test_checksum(path, name):
    write_imzml(path, grid_specs(12, 10, shared=True), checksum=name)
    assert imn.validate(path, checksum=True).ok
    ibd = path.with_suffix(".ibd")
    data = bytearray(ibd.read_bytes())
    data[-1] ^= 1
    ibd.write_bytes(data)
    assert imn.validate(path).ok
    report = imn.validate(path, checksum=True)
    assert not report.ok
    assert [p.kind for p in report.problems] == ["checksum"]
    assert name in report.problems[0].message


def test_no_checksum_to_compare_with(path):
    write_imzml(path, grid_specs(12, 10, shared=True), checksum=None)
    assert imn.validate(path, checksum=True).problems == [
        Problem("checksum", "warning", "the file declares no checksum of its ibd file")
    ]


def test_progress(path):
    write_imzml(path, grid_specs(50, 10))
    seen = []
    imn.validate(path, progress=lambda done, total: seen.append((done, total)), threads=3)
    assert seen == sorted(seen)
    assert seen[-1] == (500, 500)
    assert len(seen) > 3


def test_an_exception_in_progress_stops_the_work(path):
    write_imzml(path, grid_specs(50, 10))

    def progress(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imn.validate(path, progress=progress, threads=2)


def test_a_number_of_threads_is_checked(path):
    write_imzml(path, grid_specs(1, 1))
    with pytest.raises(imn.ArgumentError, match="threads"):
        imn.validate(path, threads=-1)
