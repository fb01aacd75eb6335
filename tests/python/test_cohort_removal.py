"""Sections that are taken out of a study, and brought back."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ionmorphnet as imn
from drifting_study import write_study
from ionmorphnet.cohort import Manifest, find_consensus, plan, remove, run, write_matrix, write_tables
from ionmorphnet.cohort.consensus_files import read_consensus

Command = Callable[..., Any]
PICK = {"scorer": "moran", "top": 6}


@pytest.fixture(scope="module")
def picked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four picked sections and one that cannot be read."""
    root = tmp_path_factory.mktemp("study")
    samples = write_study(root, 4)
    with samples.open("a") as file:
        file.write("gone.imzML,gone,p9,b1,control\n")
    run(samples, root / "out", **PICK)
    return root


@pytest.fixture
def study(picked: Path, tmp_path: Path) -> Path:
    """A copy that a test may change, with its files; it has another place than before."""
    return Path(shutil.copytree(picked, tmp_path / "study"))


def test_removed_sections_are_in_nothing_that_follows(study: Path) -> None:
    out, samples = study / "out", study / "samples.csv"
    before = {path: path.read_bytes() for path in (out / "sections").rglob("*.csv")}
    assert [each.name for each in remove(out, ["s2", "gone", "s2"])] == ["s2", "gone"]
    assert pd.read_csv(out / "manifest.csv").set_index("sample")["status"].to_dict() == {
        "gone": "removed", "s1": "done", "s2": "removed", "s3": "done", "s4": "done",
    }  # fmt: skip
    assert {path: path.read_bytes() for path in (out / "sections").rglob("*.csv")} == before
    assert find_consensus(out).sections == ("s1", "s3", "s4")
    assert "1 section without a result" not in imn.cohort.report(out).read_text(encoding="utf-8")
    again = run(samples, out, **PICK)
    assert not again.failed
    why = {each.sample.name: each.why for each in again.planned}
    assert why["s2"] == why["gone"] == "removed from the study"
    assert {each.action for each in again.planned} == {"skip"}
    assert Manifest(out).entries()["s2"].status == "removed"


def test_a_consensus_that_counts_removed_sections_is_told(study: Path) -> None:
    pytest.importorskip("zarr")
    out = study / "out"
    find_consensus(out)
    assert write_matrix(out).notes == ()
    remove(out, ["s2"])
    note = (
        "the consensus counts 1 of 4 sections that have left the study (s2); make it again with ionmorphnet "
        "cohort consensus"
    )
    written = write_matrix(out)
    assert written.notes == (note,)
    assert written.means["section"].tolist() == ["s1", "s3", "s4"]
    assert note in write_tables(out, formats=["csv"]).notes
    page = imn.cohort.report(out).read_text(encoding="utf-8")
    assert "1 section of it is removed or has no result now (s2)" in page
    find_consensus(out)
    assert write_matrix(out).notes == ()


def test_they_come_back_as_they_were(study: Path) -> None:
    out = study / "out"
    before = Manifest(out).entries()
    remove(out, ["s2", "gone"])
    remove(out, ["s2", "gone"], undo=True)
    after = Manifest(out).entries()
    assert {name: each.status for name, each in after.items()} == {name: each.status for name, each in before.items()}
    assert after["s2"].results == before["s2"].results
    assert after["gone"].reason == before["gone"].reason
    find_consensus(out)
    assert read_consensus(out / "consensus").sections == ("s1", "s2", "s3", "s4")
    actions = {each.sample.name: each.action for each in plan(study / "samples.csv", out, **PICK)}
    assert actions == {"s1": "skip", "s2": "skip", "s3": "skip", "s4": "skip", "gone": "fail"}


def test_what_cannot_be_removed(study: Path, tmp_path: Path) -> None:
    out = study / "out"
    with pytest.raises(imn.ArgumentError, match=r"'s9' is not a sample of the study; manifest\.csv lists them"):
        remove(out, ["s1", "s9"])
    assert Manifest(out).entries()["s1"].status == "done"  # all or none
    with pytest.raises(imn.ArgumentError, match="'s1' is not removed"):
        remove(out, ["s1"], undo=True)
    remove(out, ["s1"])
    with pytest.raises(imn.ArgumentError, match="'s1' is removed already"):
        remove(out, ["s1"])
    with pytest.raises(imn.FileError, match="holds no manifest"):
        remove(tmp_path / "none", ["s1"])
    lock = Manifest(out).lock(str(out))
    with pytest.raises(imn.FileError, match="another cohort run works on it"):
        remove(out, ["s3"])
    lock.release()


def test_the_command_and_the_note_on_others(study: Path, cli: Command) -> None:
    out, samples = study / "out", study / "samples.csv"
    lines = samples.read_text().splitlines()
    samples.write_text("\n".join(line for line in lines if ",s3," not in line and "gone" not in line) + "\n")
    arguments = ("cohort", "run", samples, "-o", out, "--scorer", "moran", "--top", "6")
    done = cli(*arguments)
    assert done.code == 0
    assert "the study also holds 2 that were not given now (gone, s3)" in done.stderr
    done = cli("cohort", "remove", out, "s3", "gone")
    assert done.code == 0
    assert "2 removed: s3, gone" in done.stdout
    assert f"next: ionmorphnet cohort consensus {out}" in done.stdout
    done = cli("cohort", "status", out)
    assert done.code == 0
    assert "3 done, 0 failed, 2 removed" in done.stdout
    done = cli(*arguments)
    assert "also holds" not in done.stderr
    samples.write_text("\n".join(lines) + "\n")
    done = cli(*arguments)
    assert done.code == 0
    assert "0 picked, 3 were there already, 2 removed from the study, 0 failed, of 5 sections" in done.stdout
    cli("cohort", "remove", out, "s9").is_one_line_error("'s9' is not a sample of the study")
    assert cli("cohort", "remove", "--undo", out, "s3").code == 0
    assert Manifest(out).entries()["s3"].status == "done"
