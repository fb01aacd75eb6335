"""What the result of an input is called, and where inputs come from: files, folders, patterns."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ionmorphnet as imn
from ionmorphnet.io.inputs import listed_inputs, name_key

Command = Callable[..., Any]
QUICK = ("--scorer", "moran", "--top", 2)


def names_of(*paths: str) -> list[str]:
    return [each.name for each in listed_inputs(paths)]


def files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return [folder / name for name in names]


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["/d/a/x.imzML"], ["x"]),
        (["/d/a/x.imzML", "/d/b/y.imzml"], ["x", "y"]),
        (["/d/a/x.imzML", "/d/b/x.imzML", "/d/b/y.imzML"], ["a/x", "b/x", "y"]),
        (["/s/patient01/MSI/data.imzML", "/s/patient02/MSI/data.imzML"], ["patient01/MSI/data", "patient02/MSI/data"]),
        (["/d/a/x.imzML", "/e/a/x.imzML", "/e/b/x.imzML"], ["d/a/x", "e/a/x", "b/x"]),
        (["/d/a/x.imzML", "/d/a/x.imzML"], ["x", "x"]),  # one file twice
        (["/d/a/x.imzML", "/d/b/../a/x.imzML"], ["x", "x"]),
        (["/d/a/X.imzML", "/d/b/x.imzML"], ["a/X", "b/x"]),  # one folder where case does not count
        (["/d/a/x.imzML", "/d/a/X.imzML"], ["x-2", "X"]),
        (["/d/a/x.imzML", "/d/a/x.imzml", "/d/b/x.imzML"], ["a/x", "x-2", "b/x"]),
        (["/d/a/\u00fc.imzML", "/d/b/u\u0308.imzML"], ["a/\u00fc", "b/u\u0308"]),  # composed and decomposed
        (["/d/a /x .imzML", "/d/b/x.imzML"], ["a/x", "b/x"]),
        (["/d/...imzML"], ["section"]),  # not the folder above
        (["/x.imzML"], ["x"]),
        (["/x.imzML", "/d/x.imzML"], ["x", "d/x"]),
    ],
)
def test_names_of_files(paths: list[str], names: list[str]) -> None:
    assert names_of(*paths) == names
    assert names_of(*reversed(paths)) == names[::-1]
    shown = [each.shown for each in listed_inputs(paths)]
    assert len(set(shown)) == len({os.path.abspath(path) for path in paths})


def test_a_long_name_only_gets_more_folders_in_front() -> None:
    (given, _) = listed_inputs(["/s/p1/MSI/data.imzML", "/s/p1/LM/data.imzML"])
    assert given.names == ("data", "MSI/data", "p1/MSI/data", "s/p1/MSI/data")
    assert given.name == "MSI/data"


def test_names_that_a_file_system_may_take_for_one() -> None:
    assert name_key("Stra\u00dfe \u00c4") == name_key("STRASSE a\u0308") != name_key("strase a")


def test_a_folder_is_searched(tmp_path: Path) -> None:
    study = tmp_path / "study"
    wanted = files(study, "a.imzML", "p1/s2.imzML", "p1/s10.imzML", "p1/deep/er/s.IMZML")
    files(study, "p1/s2.ibd", "p1/._s2.imzML", ".trash/x.imzML", "readme.txt", "out/r/run.json", "out/r/peaks.imzML")
    found = listed_inputs([study])
    assert {each.path for each in found} == set(wanted)
    assert [each.name for each in found] == ["a", "p1/deep/er/s", "p1/s2", "p1/s10"]
    assert [each.name for each in listed_inputs([study / "p1"])] == ["deep/er/s", "s2", "s10"]
    files(tmp_path, "other/p1/s2.imzML")
    assert names_of(str(study / "p1"), str(tmp_path / "other/p1/s2.imzML")) == [
        "deep/er/s",
        "study/p1/s2",
        "s10",
        "other/p1/s2",
    ]


def test_links_between_folders(tmp_path: Path) -> None:
    files(tmp_path, "study/p1/x.imzML", "disk/p2/y.imzML")
    (tmp_path / "study" / "p2").symlink_to(tmp_path / "disk" / "p2")
    (tmp_path / "study" / "p1" / "back").symlink_to(tmp_path / "study")
    assert names_of(str(tmp_path / "study")) == ["p1/x", "p2/y"]
    (tmp_path / "link.imzML").symlink_to(tmp_path / "study/p1/x.imzML")
    assert names_of(str(tmp_path / "link.imzML")) == ["link"]


def test_patterns(tmp_path: Path) -> None:
    files(tmp_path, "p1/s.imzML", "p2/s.imzml", "p2/notes.txt", "odd[1].imzML", "odd1.imzML")
    assert names_of(str(tmp_path / "p*" / "*")) == ["p1/s", "p2/s"]
    assert names_of(str(tmp_path / "**" / "s.*")) == ["p1/s", "p2/s"]
    assert names_of(str(tmp_path / "odd[1].imzML")) == ["odd[1]"]  # a file of this name is no pattern


@pytest.mark.parametrize(
    ("name", "text"),
    [("", "below the output folder"), ("../x", "below"), ("/x", "below"), ("a/../../x", "below"), (".", "below")],
)
def test_names_given_by_hand(name: str, text: str) -> None:
    assert listed_inputs(["/d/x.imzML"], "mouse/left")[0].name == "mouse/left"
    with pytest.raises(imn.ArgumentError, match=text):
        listed_inputs(["/d/x.imzML"], name)


def results(out: Path) -> dict[str, str]:
    found = {}
    for path in out.rglob("run.json"):
        found[path.parent.relative_to(out).as_posix()] = json.loads(path.read_text())["input"]["path"]
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients, each with two sections of one name."""
    root = tmp_path_factory.mktemp("study") / "study"
    seed = 0
    for patient in ("patient01", "patient02"):
        for tissue in ("control", "tumour"):
            path = root / patient / tissue / "section.imzML"
            path.parent.mkdir(parents=True)
            imn.simulate(path, shape=(16, 16), n_channels=12, seed=seed)
            seed += 1
    return root


def test_a_study_in_one_call_and_in_two(cli: Command, study: Path, tmp_path: Path) -> None:
    sections = sorted(study.rglob("*.imzML"))
    whole = cli("pick", study, "-o", tmp_path / "whole", *QUICK)
    assert whole.code == 0
    assert whole.stdout.startswith("[1/4] patient01/control/section.imzML: 2 of ")
    assert "[4/4] patient02/tumour/section.imzML: 2 of " in whole.stdout
    names = {str(path.relative_to(study).with_suffix("")): str(path) for path in sections}
    assert results(tmp_path / "whole") == names
    for patient in ("patient01", "patient02"):
        done = cli("pick", study / patient, "-o", tmp_path / "parts", *QUICK)
        assert done.code == 0
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    assert len(notes) == 2
    assert notes[0].startswith("note: control/section.imzML: ")
    assert notes[0].endswith(f"; the result is in {tmp_path}/parts/patient02/control/section")
    found = results(tmp_path / "parts")
    assert sorted(found.values()) == sorted(map(str, sections))
    again = cli("pick", study, "-o", tmp_path / "parts", *QUICK)  # each finds its own
    assert again.stdout.endswith("4 of 4 results were there already; --force picks them again\n")
    assert "note: " not in again.stderr
    assert results(tmp_path / "parts") == found


def test_what_else_is_picked_changes_no_name(cli: Command, study: Path, tmp_path: Path) -> None:
    one, other = study / "patient01/tumour/section.imzML", study / "patient01/control/section.imzML"
    assert cli("pick", one, "-o", tmp_path, *QUICK).code == 0
    assert cli("pick", one, other, "-o", tmp_path, *QUICK).code == 0
    assert cli("pick", other, "-o", tmp_path, *QUICK).code == 0
    assert results(tmp_path) == {"section": str(one), "control/section": str(other)}


def test_a_folder_without_sections_and_a_pattern_without_files(
    cli: Command, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    cli("pick", tmp_path / "empty", "-o", tmp_path / "o", *QUICK).is_one_line_error("no imzML file in this folder")
    cli("pick", tmp_path / "*.imzML", "-o", tmp_path / "o", *QUICK).is_one_line_error("no imzML file matches")
    done = cli("pick", tmp_path / "empty", study / "patient01/tumour", "-o", tmp_path / "o", *QUICK)
    assert done.code == 1
    assert "1 of 2 inputs failed" in done.stderr
    assert list(results(tmp_path / "o")) == ["section"]
    monkeypatch.chdir(study)
    assert cli("pick", ".", "-o", tmp_path / "p", *QUICK).code == 0
    assert len(results(tmp_path / "p")) == 4


def test_a_pick_into_the_folder_that_is_searched(cli: Command, study: Path, tmp_path: Path) -> None:
    shutil.copytree(study / "patient01", tmp_path / "s")
    for _ in range(2):
        done = cli("pick", tmp_path / "s", "-o", tmp_path / "s", *QUICK, "--format", "imzml")
        assert done.code == 0, done.stderr
    assert "2 of 2 results were there already" in done.stdout
    assert set(results(tmp_path / "s")) == {"control/section", "tumour/section"}


def test_a_name_is_for_one_input(cli: Command, study: Path, tmp_path: Path) -> None:
    one = study / "patient01/tumour/section.imzML"
    assert cli("pick", one, "-o", tmp_path, "--name", "mouse 1/left", *QUICK).code == 0
    assert results(tmp_path) == {"mouse 1/left": str(one)}
    cli("pick", study, "-o", tmp_path, "--name", "x", *QUICK).is_one_line_error("there are 4")


def test_two_files_whose_names_differ_in_case(cli: Command, study: Path, tmp_path: Path) -> None:
    """The results lie apart even where case does not count."""
    paths = [tmp_path / "in" / name for name in ("data.imzML", "Data.imzML")]
    paths[0].parent.mkdir()
    for path, source in zip(paths, sorted(study.rglob("*.imzML")), strict=False):
        shutil.copyfile(source, path)
        shutil.copyfile(source.with_suffix(".ibd"), path.with_suffix(".ibd"))
    done = cli("pick", *paths, "-o", tmp_path / "o", *QUICK)
    assert done.code == 0, done.stderr
    found = results(tmp_path / "o")
    assert sorted(found.values()) == sorted(map(str, paths))
    assert len({name_key(name) for name in found}) == 2
