"""``ionmorphnet cohort``: from files to one matrix, on the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import ionmorphnet as imn

Command = Callable[..., Any]
QUICK = ("--scorer", "moran", "--top", 5)


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sections")
    for k, name in enumerate(["p1/data", "p2/data"]):
        (root / name).parent.mkdir()
        imn.simulate(root / f"{name}.imzML", shape=(18, 16), n_channels=20, seed=3 + k)
    (root / "p3").mkdir()
    (root / "p3/data.imzML").write_text("not imzML")
    return root


def test_a_study_from_start_to_end(cli: Command, sections: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    listed = cli("cohort", "run", sections, "-o", out, "--dry-run", *QUICK)
    assert listed.code == 0
    assert "2 to pick, 0 done, 1 cannot be read" in listed.stdout or "3 to pick" in listed.stdout
    assert not out.exists()

    done = cli("cohort", "run", sections, "-o", out, "--jobs", 2, *QUICK)
    assert done.code == 1
    assert "2 picked, 0 were there already, 1 failed, of 3 sections" in done.stdout
    assert "failed: p3/data:" in done.stderr
    assert done.stdout.endswith(f"next: ionmorphnet cohort consensus {out}\n      ionmorphnet cohort report {out}\n")
    assert not (out / "report.html").exists()
    assert cli("cohort", "run", sections, "-o", out, "--failures-ok", *QUICK).code == 0
    again = cli("cohort", "run", sections, "-o", out, "--json", *QUICK)
    document = json.loads(again.stdout)
    assert [each["action"] for each in document["sections"]].count("skip") == 2

    # The command line passes every option, Python those that differ from their defaults.
    for options in ({}, {"axis": "auto", "normalize": "none", "formats": ["csv"], "duplicates": "first"}):
        planned = imn.cohort.plan(sections, out, scorer="moran", top=5, **options)
        assert [each.action for each in planned].count("skip") == 2
    planned = imn.cohort.plan(sections, out, scorer="moran", top=5, duplicates="sum")
    assert [each.action for each in planned].count("skip") == 0

    status = cli("cohort", "status", out)
    assert status.code == 1
    assert "2 done, 1 failed" in status.stdout
    assert len(json.loads(cli("cohort", "status", out, "--failed", "--json").stdout)) == 1
    assert "3 sections" in cli("cohort", "merge", out).stdout

    found = cli("cohort", "consensus", out, "--min-share", 0.5)
    assert found.code == 0
    assert "of 2 sections" in found.stdout
    assert f"next: ionmorphnet cohort matrix {out}" in found.stdout
    channels = pd.read_csv(out / "consensus/channels.csv")
    assert len(channels) >= 10

    pytest.importorskip("zarr")
    written = cli("cohort", "matrix", out, "--normalize", "tic")
    assert written.code == 0
    assert f"x {len(channels)} channels" in written.stdout
    assert (out / "cohort.zarr").is_dir()


def test_reports_of_sections_come_with_a_page_of_the_study(cli: Command, sections: Path, tmp_path: Path) -> None:
    out = tmp_path / "my study"
    part = cli("cohort", "run", sections / "p1", "-o", out, "--report", "--shard", "1/1", *QUICK)
    assert "when all shards are done:\nnext: ionmorphnet cohort merge '" in part.stdout
    assert not (out / "report.html").exists()
    done = cli("cohort", "run", sections / "p1", "-o", out, "--report", *QUICK)
    assert str(out / "report.html") in done.stdout
    assert (out / "report.html").is_file()
    assert f"next: ionmorphnet cohort consensus '{out}'" in done.stdout
    cli("cohort", "consensus", out)
    again = cli("cohort", "run", sections / "p1", "-o", out, "--report", *QUICK)
    assert again.stdout.endswith(f"next: ionmorphnet cohort report '{out}'\n")
    (out / "report.html").unlink()
    (out / "report.html").mkdir()
    failed = cli("cohort", "run", sections / "p1", "-o", out, "--report", "--json", *QUICK)
    assert failed.code == 0
    assert json.loads(failed.stdout)["sections"][0]["action"] == "skip"
    assert "the page of the study was not written" in failed.stderr


def test_options_are_those_of_pick(cli: Command) -> None:
    mine, pick = cli("cohort", "run", "--help").stdout, cli("pick", "--help").stdout
    for option in ("--mz-list", "--normalize", "--duplicates", "--precision", "--format", "--no-cascade", "--repair"):
        assert (option in mine) == (option in pick)
    assert "--name" not in mine


def test_errors_name_what_is_wrong(cli: Command, sections: Path, tmp_path: Path) -> None:
    assert "i/n" in cli("cohort", "run", sections, "-o", tmp_path / "x", "--shard", "3", *QUICK).stderr
    assert "holds no manifest" in cli("cohort", "consensus", tmp_path).stderr
    failed = cli("cohort", "run", tmp_path / "absent.imzML", "-o", tmp_path / "y", *QUICK)
    assert failed.code == 2
    assert "absent.imzML: no such file" in failed.stderr
