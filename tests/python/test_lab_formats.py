"""Picks for people and their programs: Excel, SCiLS Lab, METASPACE; and picks without a class."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import UnavailableError

LIST = "mz,mz_lo,mz_hi,name,formula,id\n{}\n"


@pytest.fixture(scope="module")
def named(section: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The channels of the section as a list with names, formulas and windows that are not centred."""
    with imn.open(section) as ds:
        mz = imn.candidate_axis(ds).mz[:12]
    rows = [f'{m!r},{m - 0.002!r},{m + 0.003!r},"=n{k}",C{k + 1}H{k + 2},00{k}' for k, m in enumerate(mz.tolist())]
    path = tmp_path_factory.mktemp("named") / "list.csv"
    path.write_text(LIST.format("\n".join(rows)))
    return path


def test_formats_of_a_pick(cli, section: Path, named: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    openpyxl = pytest.importorskip("openpyxl")
    options = ("--mz-list", named, "--scorer", "moran", "--top", 5, "--format", "xlsx,scils,metaspace", "--features")
    done = cli("pick", section, "-o", tmp_path, *options)
    assert done.code == 0, done.stderr
    out = tmp_path / "small section"
    picks = pd.read_csv(out / "peaks.csv", dtype={"id": str}, float_precision="round_trip")
    by_mz = picks.sort_values("mz")
    record = json.loads((out / "run.json").read_text())
    assert {"peaks.xlsx", "peaks_scils.csv", "peaks_metaspace.tsv"} <= set(record["files"])

    scils = imn.CandidateAxis.from_csv(out / "peaks_scils.csv")
    np.testing.assert_allclose(scils.mz_lo, by_mz["mz_lo"], atol=2e-7)
    np.testing.assert_allclose(scils.mz_hi, by_mz["mz_hi"], atol=2e-7)
    assert scils.columns["Name"].tolist() == by_mz["name"].tolist()
    metaspace = imn.CandidateAxis.from_csv(out / "peaks_metaspace.tsv")
    np.testing.assert_array_equal(metaspace.mz_lo, by_mz["mz_lo"])
    assert metaspace.columns["formula"].tolist() == by_mz["formula"].tolist()
    assert metaspace.columns["id"].tolist() == by_mz["id"].tolist()

    book = openpyxl.load_workbook(out / "peaks.xlsx")
    assert book.sheetnames == ["About", "Picks"]
    sheet = book["Picks"]
    assert sheet.freeze_panes == "C2"
    header = [cell.value for cell in sheet[1]]
    assert header[:5] == ["Rank", "m/z", "name", "formula", "id"]
    assert "Class" not in header  # a statistic tells none
    assert "Moran" in header
    columns = dict(zip(header, zip(*sheet.iter_rows(min_row=2), strict=True), strict=True))
    assert [cell.value for cell in columns["m/z"]] == pytest.approx(picks["mz"].tolist(), rel=1e-14)
    assert [cell.value for cell in columns["Score"]] == pytest.approx(picks["score"].tolist(), rel=1e-14)
    assert [cell.value for cell in columns["id"]] == picks["id"].tolist()
    assert {cell.data_type for cell in columns["name"]} == {"s"}  # no formulas
    facts = {row[0].value: row[1].value for row in book["About"].iter_rows() if row[1].value is not None}
    assert facts["Candidates"] == 12
    assert facts["Image (pixels)"] == "50 x 40"

    assert "already done" in cli("pick", section, "-o", tmp_path, *options).stdout


def test_without_formulas_there_is_no_list_for_metaspace(section: Path, tmp_path: Path) -> None:
    peaks = imn.pick(section, scorer="moran", top=3)
    written = peaks.save(tmp_path, formats="metaspace,scils")
    assert sorted(path.name for path in written) == ["peaks.csv", "peaks_scils.csv", "run.json", "scores.csv"]
    skipped = json.loads((tmp_path / "run.json").read_text())["skipped"]
    assert "METASPACE searches for formulas" in skipped["metaspace"]
    with pytest.raises(imn.ArgumentError, match="have no formulas"):
        peaks.to_metaspace(tmp_path / "m.tsv")
    assert imn.CandidateAxis.from_csv(tmp_path / "peaks_scils.csv").mz_lo == pytest.approx(np.sort(peaks.mz), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "package", "extra"),
    [("xlsx", "openpyxl", "xlsx"), ("parquet", "pyarrow", "parquet"), ("h5ad", "anndata", "anndata")],
)
def test_a_missing_package_is_told_before_the_work(
    section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UnavailableError, match=rf"pip install 'ionmorphnet\[{extra}\]'"):
        imn.pick_files([section], tmp_path / "out", scorer="moran", top=3, formats=name)
    assert not (tmp_path / "out").exists()


def test_classes_are_not_picked(section: Path, tmp_path: Path) -> None:
    all_picks = imn.pick(section, min_score=0.0)
    labels = all_picks.to_frame()["label"]
    most = str(labels.value_counts().index[0])
    others = imn.pick(section, min_score=0.0, exclude=most)
    assert len(others.all_scores) == len(all_picks.all_scores)
    np.testing.assert_array_equal(others.mz, all_picks.mz[(labels != most).to_numpy()])
    assert others.run is not None
    assert others.run.counts.excluded == (labels == most).sum() > 0
    assert others.run.parameters.exclude == (most,)
    # The best of the rest, not the rest of the best.
    best = imn.pick(section, top=3, exclude=[most])
    np.testing.assert_array_equal(best.mz, others.mz[:3])
    assert best.run is not None
    last = int(best.to_frame()["rank"].iloc[-1])
    assert best.run.counts.excluded == last - 3
    best.save(tmp_path / "a")
    again = imn.open_run(tmp_path / "a")
    np.testing.assert_array_equal(again.mz, best.mz)
    assert again.run is not None
    assert (again.run.parameters.exclude, again.run.counts.excluded) == ((most,), last - 3)
    none = imn.pick(section, min_score=0.0, exclude=imn.CLASSES)
    assert len(none) == 0


def test_excluded_classes_are_told(cli, section: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    labels = imn.pick(section, min_score=0.0).to_frame()["label"]
    most = str(labels.value_counts().index[0])
    done = cli("pick", section, "-o", tmp_path, "--min-score", 0, "--exclude", most)
    assert f"  {(labels == most).sum()} {most} left out" in done.stdout
    again = cli("pick", section, "-o", tmp_path, "--min-score", 0)
    assert "picked again: exclude changed" in again.stderr
    wrong = cli("pick", section, "-o", tmp_path, "--scorer", "moran", "--top", 3, "--exclude", most)
    assert wrong.code == 2
    assert "scorer 'moran' tells no classes to exclude; use a network" in wrong.stderr
    with pytest.raises(imn.ArgumentError, match="unknown class 'negatives'"):
        imn.pick(section, exclude="negatives")
