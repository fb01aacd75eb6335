from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.run_output import output_names, parse_formats, write_run


def test_formats() -> None:
    assert parse_formats("csv") == ("csv",)
    assert parse_formats("Parquet, imzml,parquet") == ("csv", "parquet", "imzml")
    with pytest.raises(imn.ArgumentError, match="unknown format 'xlsx'"):
        parse_formats("csv,xlsx")


def test_equal_stems_get_their_folder_as_prefix() -> None:
    paths = [Path("/d/a/x.imzML"), Path("/d/b/x.imzML"), Path("/d/b/y.imzML")]
    assert output_names(paths) == ["a_x", "b_x", "y"]
    with pytest.raises(imn.ArgumentError, match="would write"):
        output_names([Path("/d/a/x.imzML"), Path("/e/a/x.imzML")])


def test_a_run_folder_is_complete(section: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    peaks = imn.pick(section, top=10, scorer="moran")
    written = write_run(peaks, tmp_path / "run", formats=("csv", "parquet", "imzml", "h5ad"), report=True)
    assert {path.name for path in written} == {
        "peaks.csv",
        "scores.csv",
        "peaks.parquet",
        "peaks.imzML",
        "peaks.h5ad",
        "report.html",
        "run.json",
    }
    assert {path.name for path in (tmp_path / "run").iterdir()} == {path.name for path in written} | {"peaks.ibd"}
    picks = pd.read_csv(tmp_path / "run" / "peaks.csv")
    assert list(picks["rank"]) == list(range(1, 11))
    assert len(pd.read_csv(tmp_path / "run" / "scores.csv")) == len(peaks.all_scores)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["counts"] == {"candidates": len(peaks.all_scores), "picked": 10}
    assert record["scorer"] == "moran"
    assert record["input"]["path"].endswith("small section.imzML")


def test_a_failure_leaves_no_run_json_and_no_half_file(
    section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    peaks = imn.pick(section, top=3, scorer="moran")
    write_run(peaks, tmp_path)
    before = (tmp_path / "peaks.csv").read_bytes()

    def broken(self: pd.DataFrame, path: Path, **_: object) -> None:
        Path(path).write_text("half")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(pd.DataFrame, "to_csv", broken)
    with pytest.raises(imn.FileError, match=r"peaks\.csv.*No space"):
        write_run(peaks, tmp_path)
    assert (tmp_path / "peaks.csv").read_bytes() == before
    assert not (tmp_path / "run.json").exists()
    assert {path.name for path in tmp_path.iterdir()} == {"peaks.csv", "scores.csv"}
