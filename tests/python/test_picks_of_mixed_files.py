"""Picks, reopening and validation of files that hold several polarities or MS levels."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

import ionmorphnet as imn
from imzml_factory import Spec, ms_level, scan_filter
from mixed_spectra import FRAGMENTS, FULL, POLARITIES, WIDTH, both, spec, write


def structured(specs: Sequence[Spec]) -> list[Spec]:
    """The spectra with more intensity in the right half, so that a pick ranks m/z 300 and 150 first."""
    for each in specs:
        each.intensity = [5.0 if int(each.x) > WIDTH // 2 else 1.0, 1.0 + (int(each.x) * int(each.y)) % 3]
    return list(specs)


def test_each_polarity_is_picked_on_its_own(cli: Callable[..., Any], tmp_path: Path) -> None:
    terms = POLARITIES["scan"]
    path = write(tmp_path, structured(both(terms("positive"), terms("negative"))))
    done = cli("pick", path, "-o", tmp_path / "out", "--scorer", "moran", "--top", 1, "--axis", "peaks")
    assert done.code == 0, done
    assert "holds spectra of both polarities" in done.stderr
    assert "are read, choose" not in done.stderr
    picked = {}
    for folder in sorted((tmp_path / "out").iterdir()):
        run = json.loads((folder / "run.json").read_text())
        assert run["input"]["polarity"] == run["input"]["opened_with"]["polarity"]
        picked[folder.name] = (run["input"]["polarity"], imn.open_run(folder)[0].mz)
    assert picked == {
        "s_negative": ("negative", pytest.approx(150.0)),
        "s_positive": ("positive", pytest.approx(300.0)),
    }
    # The same once more is done already; one of them alone is another result.
    done = cli("pick", path, "-o", tmp_path / "out", "--scorer", "moran", "--top", 1, "--axis", "peaks", "--json")
    assert [(each["polarity"], each["already_done"]) for each in json.loads(done.stdout)["results"]] == [
        ("positive", True),
        ("negative", True),
    ]
    done = cli("pick", path, "-o", tmp_path / "one", "--scorer", "moran", "--top", 1, "--polarity", "negative")
    assert (done.code, [each.name for each in (tmp_path / "one").iterdir()]) == (0, ["s"])
    assert "polarit" not in done.stderr


def test_polarities_of_several_planes(tmp_path: Path) -> None:
    terms = POLARITIES["scan"]
    specs = structured(both(terms("positive"), terms("negative")))
    planes = [Spec(**{**vars(each), "z": z}) for z in (1, 2) for each in specs]
    (outcome,) = imn.pick_files([write(tmp_path, planes)], tmp_path / "out", scorer="moran", top=1)
    assert outcome.ok, outcome.message
    assert [(each.folder.name, each.z, each.title) for each in outcome.picked] == [
        ("s_positive_z1", 1, "positive z=1"),
        ("s_positive_z2", 2, "positive z=2"),
        ("s_negative_z1", 1, "negative z=1"),
        ("s_negative_z2", 2, "negative z=2"),
    ]


def test_a_result_is_reopened_with_its_spectra(tmp_path: Path) -> None:
    path = write(tmp_path, structured(both({"params": ms_level(1)}, {"params": ms_level(2)})))
    (outcome,) = imn.pick_files([path], tmp_path / "out", scorer="moran", top=1, ms_level=2)
    assert outcome.ok, outcome.message
    run = imn.open_run(tmp_path / "out" / "s").run
    assert run is not None
    assert (run.input.ms_level, run.input.opened_with["ms_level"]) == (2, 2)
    with run.input.reopen() as ds:
        assert (ds.ms_level, ds.n_spectra) == (2, 20)


def test_validate_reads_all_spectra(cli: Callable[..., Any], tmp_path: Path) -> None:
    """Also those that a pick does not read; choosing some reads only these."""
    specs = both({"params": ms_level(1)}, {"params": ms_level(2)})
    specs[6].mz = [700.0, 600.0]
    path = write(tmp_path, specs)
    report = imn.validate(path)
    assert (report.ok, report.n_spectra) == (False, 40)
    found = [(each.kind, each.first) for each in report.problems if each.kind != "data"]
    assert found == [("file", None), ("spectrum", 6)]
    assert "MS levels 1 (20 spectra) and 2 (20)" in report.problems[0].message
    chosen = imn.validate(path, ms_level=1)
    assert (chosen.ok, chosen.n_spectra) == (True, 20)
    assert [each for each in chosen.problems if each.kind != "data"] == []
    others = imn.validate(path, ms_level=2).problems
    assert [each.first for each in others if each.kind == "spectrum"] == [6]


def test_info_counts_the_kinds_of_spectra(cli: Callable[..., Any], tmp_path: Path) -> None:
    one = {"params": ms_level(1), "scan_params": scan_filter(FULL), "attributes": {"sourceFileRef": "a.raw"}}
    other = {"params": ms_level(2), "scan_params": scan_filter(FRAGMENTS), "attributes": {"sourceFileRef": "b.raw"}}
    path = write(tmp_path, both(one, other), source_files={"a.raw": "", "b.raw": ""})
    done = cli("info", path)
    assert done.code == 0
    lines = dict(" ".join(line.split()).split(" ", 1) for line in done.stdout.splitlines() if line[0] != " ")
    assert lines["ms"] == "level 1 (20 spectra), 2 (20 spectra)"
    assert lines["polarity"] == "positive"
    assert lines["runs"] == "b.raw (20 spectra), a.raw (20 spectra)"
    assert lines["scan"] == f"filters {FULL}"
    assert "only MS1 is read" in lines["warnings"]
    kinds = json.loads(cli("info", path, "--json").stdout)["kinds"]
    assert kinds["ms_levels"] == {"1": 20, "2": 20}
    assert (kinds["ms_level"], kinds["polarity"], kinds["scan_filters"]) == (1, "positive", {FULL: 20})


def test_info_states_the_level_of_fragments_alone(cli: Callable[..., Any], tmp_path: Path) -> None:
    path = write(tmp_path, [spec(p, True, params=ms_level(2)) for p in range(20)])
    done = cli("info", path)
    assert [line.split() for line in done.stdout.splitlines() if line.startswith("ms level")] == [["ms", "level", "2"]]
    assert "warnings" not in done.stdout
