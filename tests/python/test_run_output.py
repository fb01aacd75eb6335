from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.base.files import atomic_path
from ionmorphnet.picking.outputs import PreparedFolder, parse_formats
from users import ordinary_user


def test_formats() -> None:
    assert parse_formats("csv") == ("csv",)
    assert parse_formats("Parquet, imzml,parquet") == ("csv", "parquet", "imzml")
    with pytest.raises(imn.ArgumentError, match="unknown format 'docx'"):
        parse_formats("csv,docx")


def test_a_run_folder_is_complete(section: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs the extra [parquet]")
    pytest.importorskip("anndata", reason="needs the extra [anndata]")
    peaks = imn.pick(section, top=10, scorer="moran")
    written = peaks.save(tmp_path / "run", formats=("csv", "parquet", "imzml", "h5ad"), report=True)
    assert {path.name for path in written} == {
        "peaks.ibd",
        "peaks.csv",
        "scores.csv",
        "peaks.parquet",
        "peaks.imzML",
        "peaks.h5ad",
        "report.html",
        "run.json",
    }
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in written}
    picks = pd.read_csv(tmp_path / "run" / "peaks.csv")
    assert list(picks["rank"]) == list(range(1, 11))
    assert len(pd.read_csv(tmp_path / "run" / "scores.csv")) == len(peaks.all_scores)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert sorted(record["files"]) == sorted(path.name for path in (tmp_path / "run").iterdir())
    assert record["skipped"] == {}
    assert record["counts"] == {
        "candidates": len(peaks.all_scores),
        "blank": 0,
        "spared": 0,
        "picked": 10,
        "excluded": 0,
    }
    assert record["scorer"] == "moran"
    assert record["input"]["path"].endswith("small section.imzML")


def test_a_failure_leaves_the_earlier_result(section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    peaks = imn.pick(section, top=3, scorer="moran")
    peaks.save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def broken(self: pd.DataFrame, path: Path, **_: object) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(pd.DataFrame, "to_csv", broken)
    with pytest.raises(imn.FileError, match=rf"^{tmp_path}/peaks\.csv: .*No space"):
        peaks[:1].save(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before
    with pytest.raises(imn.FileError, match="No space"):
        peaks.save(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_files_of_an_earlier_run_go(section: Path, tmp_path: Path) -> None:
    peaks = imn.pick(section, top=3, scorer="moran")
    peaks.save(tmp_path, formats=("imzml",), report=True)
    for stale in ("peaks.parquet", "peaks.h5ad", "notes.txt"):
        (tmp_path / stale).write_text("old")
    peaks.save(tmp_path)
    assert names(tmp_path) == {"peaks.csv", "scores.csv", "run.json", "notes.txt"}
    assert json.loads((tmp_path / "run.json").read_text())["files"] == ["peaks.csv", "scores.csv", "run.json"]


def test_files_of_others_stay(section: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    imn.pick(section, top=3, scorer="moran").save(tmp_path)
    assert (tmp_path / "report.html").read_text() == "mine"


@pytest.mark.parametrize("formats", [("csv",), ("csv", "imzml")])
def test_a_pick_of_a_pick_does_not_replace_it(section: Path, tmp_path: Path, formats: tuple[str, ...]) -> None:
    imn.pick(section, top=9, scorer="moran").save(tmp_path / "x" / "peaks", formats=("imzml",))
    given = tmp_path / "x" / "peaks" / "peaks.imzML"
    before = {path.name: path.read_bytes() for path in given.parent.iterdir()}
    again = imn.pick(given, top=3, scorer="moran")
    with pytest.raises(imn.FileError, match=r"peaks\.imzML: is the input and would be replaced"):
        again.save(given.parent, formats=formats)
    (tmp_path / "link").symlink_to(given.parent)
    with pytest.raises(imn.FileError, match="is the input"):
        again.save(tmp_path / "link", formats=formats)
    with pytest.raises(imn.FileError, match="is the input and would be replaced; give another name"):
        again.to_imzml(given)
    assert {path.name: path.read_bytes() for path in given.parent.iterdir()} == before


def test_no_pick_is_a_complete_run(section: Path, tmp_path: Path) -> None:
    pytest.importorskip("anndata", reason="needs the extra [anndata]")
    peaks = imn.pick(section, min_score=2.0, scorer="moran")
    assert len(peaks) == 0
    assert list(peaks.unwritable(("csv", "imzml"))) == ["imzml"]
    assert peaks.unwritable(("csv", "h5ad")) == {}
    peaks.save(tmp_path, formats=("csv", "imzml", "h5ad"), report=True)
    assert names(tmp_path) == {"peaks.csv", "scores.csv", "peaks.h5ad", "report.html", "run.json"}
    record = json.loads((tmp_path / "run.json").read_text())
    assert "no channel was picked" in record["skipped"]["imzml"]
    assert sorted(record["files"]) == sorted(names(tmp_path))


def test_an_interruption_leaves_the_earlier_result(
    section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = imn.pick(section, top=3, scorer="moran")
    peaks.save(tmp_path, report=True)

    def interrupted(self: imn.PeakList, path: Path) -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    monkeypatch.setattr(imn.PeakList, "report", interrupted)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KeyboardInterrupt):
        peaks[:1].save(tmp_path, report=True)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_folder_is_made_and_removed_again_if_it_stays_empty(tmp_path: Path) -> None:
    with PreparedFolder(tmp_path / "a" / "b"):
        (tmp_path / "a" / "b" / "x").touch()
    assert names(tmp_path / "a" / "b") == {"x"}
    with PreparedFolder(tmp_path / "a" / "c" / "d"):
        assert (tmp_path / "a" / "c" / "d").is_dir()
    assert names(tmp_path / "a") == {"b"}
    with pytest.raises(KeyboardInterrupt), PreparedFolder(tmp_path / "a" / "c" / "d"):
        raise KeyboardInterrupt
    assert names(tmp_path / "a") == {"b"}  # what was there before stays
    (tmp_path / "empty").mkdir()
    with PreparedFolder(tmp_path / "empty"):
        pass
    assert (tmp_path / "empty").is_dir()


def test_impossible_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "x", tmp_path / "new" / ("x" * 300)):
        with pytest.raises(imn.FileError, match=f"{folder.name[:9]}.*: cannot be written: "), PreparedFolder(folder):
            raise AssertionError("the block must not run")
    assert names(tmp_path) == {"file"}


def test_folders_without_permission() -> None:
    with tempfile.TemporaryDirectory() as name:  # pytest's own folders are closed to others
        closed = Path(name)
        closed.chmod(0o555)
        for folder in (closed, closed / "new"):
            denied = pytest.raises(imn.FileError, match="cannot be written: Permission denied")
            with ordinary_user(), denied, PreparedFolder(folder):
                raise AssertionError("the block must not run")
        closed.chmod(0o755)
