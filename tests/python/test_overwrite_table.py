"""The table of docs/reference/files.md: what becomes of a result that is there already. Nothing is lost."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.picking import batch

Command = Callable[..., Any]
QUICK = ("--scorer", "moran", "--top", 3)


@pytest.fixture
def section(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "s.imzML"
    path.parent.mkdir()
    imn.simulate(path, shape=(16, 16), n_channels=20, seed=1)
    return path


@pytest.fixture
def other(tmp_path: Path) -> Path:
    path = tmp_path / "other" / "s.imzML"
    path.parent.mkdir()
    imn.simulate(path, shape=(16, 16), n_channels=20, seed=2)
    return path


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_ino, path.read_bytes()) for path in folder.iterdir()}


def done_again(cli: Command, section: Path, out: Path, *options: object, kept: bool, says: str = "") -> Any:
    """Picks into a folder that has a result; checks that it is kept or replaced, and what is said about it."""
    before = state(out / "s")
    done = cli("pick", section, "-o", out, *options, "--json")
    assert done.code == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["already_done"] == kept
    assert (state(out / "s") == before) == kept
    assert says in done.stderr
    assert bool(says) == bool(done.stderr)
    return result


def test_the_same_pick_is_done_already(cli: Command, section: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    result = done_again(cli, section, out, *QUICK, kept=True)
    assert result["picked"] == 3
    done = cli("pick", section, "-o", out, *QUICK)
    assert (done.code, done.stderr) == (0, "")
    assert done.stdout == f"s.imzML: already done, 3 of {result['candidates']} channels picked: {out / 's'}\n"
    (outcome,) = imn.pick_files([section], out, scorer="moran", top=3)
    (plane,) = outcome.picked
    fresh = imn.pick(section, scorer="moran", top=3)
    assert plane.already_done
    assert set(plane.written) == set((out / "s").iterdir())
    np.testing.assert_array_equal(plane.peaks.mz, fresh.mz)
    np.testing.assert_array_equal(plane.peaks.ion_images(), fresh.ion_images())
    done_again(cli, section, out, *QUICK, "--force", kept=False)
    done_again(cli, section, out, *QUICK, "--overwrite", kept=False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--scorer", "moran", "--top", 4), "picked again: top changed"),
        (("--scorer", "moran", "--min-score", 0.2), "picked again: min_score changed, top changed"),
        (("--scorer", "blur", "--top", 3), "picked again: scorer changed"),
        ((*QUICK, "--axis", "peaks"), "picked again: axis changed"),
        ((*QUICK, "--normalize", "tic"), "picked again: normalize changed"),
        ((*QUICK, "--duplicates", "sum"), "picked again: opened_with changed"),
        ((*QUICK, "--features"), "picked again: features changed"),
        ((*QUICK, "--format", "imzml"), "picked before, now with peaks.imzML, peaks.ibd"),
    ],
)
def test_other_settings_replace_it(
    options: tuple[object, ...], says: str, cli: Command, section: Path, tmp_path: Path
) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    (out / "s" / "notes.txt").write_text("mine")
    done_again(cli, section, out, *options, kept=False, says=f"note: s.imzML: {says}\n")
    done_again(cli, section, out, *options, kept=True)
    assert cli("pick", section, "-o", tmp_path / "fresh", *options).code == 0
    for file in ("peaks.csv", "scores.csv"):
        assert (out / "s" / file).read_bytes() == (tmp_path / "fresh" / "s" / file).read_bytes()
    assert (out / "s" / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("options", [("--memory-limit", "1GB"), ("--threads", 1), ("--axis", "auto")])
def test_settings_that_change_nothing(options: tuple[object, ...], cli: Command, section: Path, tmp_path: Path) -> None:
    assert cli("pick", section, "-o", tmp_path / "o", *QUICK).code == 0
    done_again(cli, section, tmp_path / "o", *QUICK, *options, kept=True)


def test_a_list_and_a_map_are_compared_by_content(section: Path, tmp_path: Path) -> None:
    def again(**arguments: Any) -> bool:
        (outcome,) = imn.pick_files([section], tmp_path / "o", scorer="moran", top=2, **arguments)
        assert outcome.ok, outcome.message
        return outcome.picked[0].already_done

    sample = np.ones((16, 16))
    for first, second in (
        ({"axis": [300.0, 400.0], "tol": 0.5}, {"axis": [300.0, 401.0], "tol": 0.5}),
        ({"axis": [300.0, 400.0], "tol": 0.4}, {"axis": [300.0, 400.0], "ppm": 400}),
        ({"sample": sample}, {"sample": sample * (np.arange(16) > 3)}),
    ):
        assert [again(**arguments) for arguments in (first, first, second, second)] == [False, True, False, True]


def test_a_scorer_without_a_name_is_never_done(section: Path, tmp_path: Path) -> None:
    class Mine(imn.ImageScorer):
        name = "mine"
        description = "sum"

        def score(self, images: np.ndarray) -> np.ndarray:
            totals: np.ndarray = np.nansum(images, axis=(1, 2))
            return totals

    for _ in range(2):
        (outcome,) = imn.pick_files([section], tmp_path / "o", scorer=Mine(), top=2)
        assert outcome.ok, outcome.message
        assert not outcome.picked[0].already_done


def test_another_model_or_version_replaces_it(
    cli: Command, section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    monkeypatch.setattr(batch, "versions", lambda: {"ionmorphnet": "99"})
    done_again(cli, section, out, *QUICK, kept=False, says="picked again: version changed")
    model = imn.load_model()
    given = request = batch._settings(imn.make_scorer(precision="f32", device="cpu"), {})
    changed = dataclasses.replace(model, config={**model.config, "threshold": 0.9})
    request = batch._settings(imn.make_scorer(model=changed, precision="f32", device="cpu"), {})
    assert {name for name in request if request[name] != given[name]} == {"model_settings"}


def test_a_changed_file_is_picked_again(cli: Command, section: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    with section.with_suffix(".ibd").open("r+b") as ibd:  # one intensity, somewhere
        ibd.seek(-7, os.SEEK_END)
        ibd.write(b"\x01")
    done_again(cli, section, out, *QUICK, kept=False, says="picked again: section changed")
    os.utime(section)
    done_again(cli, section, out, *QUICK, kept=False, says="picked again: section changed")


def test_a_moved_file_is_recognised(cli: Command, section: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    moved = section.parent.rename(tmp_path / "archive") / "s.imzML"
    done = cli("pick", moved, "-o", out, *QUICK, "--json")
    assert json.loads(done.stdout)["results"][0]["already_done"]
    peaks = imn.open_run(out / "s")
    assert peaks.run is not None
    assert peaks.run.input.path == str(moved)
    assert peaks.ion_images().shape == (3, 16, 16)  # found where it is now
    shutil.copytree(moved.parent, tmp_path / "copied")  # keeps the times, as cp -p does
    done_again(cli, tmp_path / "copied" / "s.imzML", tmp_path / "o", *QUICK, "--force", kept=False)
    assert [path.name for path in out.iterdir()] == ["s"]


def test_equal_uuids_do_not_make_one_section(cli: Command, section: Path, other: Path, tmp_path: Path) -> None:
    """Two files of one size and one UUID, as some converters write them."""
    text = section.read_text()
    uuid = text[text.index("{") : text.index("}") + 1]
    theirs = other.read_text()
    other.write_text(theirs.replace(theirs[theirs.index("{") : theirs.index("}") + 1], uuid))
    ibd = other.with_suffix(".ibd")
    ibd.write_bytes(section.with_suffix(".ibd").read_bytes()[:16] + ibd.read_bytes()[16:])
    assert cli("pick", section, "-o", tmp_path / "o", *QUICK).code == 0
    before = state(tmp_path / "o" / "s")
    assert cli("pick", other, "-o", tmp_path / "o", *QUICK).code == 0
    assert state(tmp_path / "o" / "s") == before
    assert imn.open_run(tmp_path / "o" / "other" / "s").run.input.path == str(other)  # type: ignore[union-attr]


KILLED = """
import os, signal, sys
from pathlib import Path
import ionmorphnet as imn

at, renames, real = int(sys.argv[3]), 0, Path.replace
def replace(self, target):
    global renames
    if self.parent.name.startswith(".ionmorphnet-new-"):
        if renames == at:
            os.kill(os.getpid(), signal.SIGKILL)
        renames += 1
    return real(self, target)
Path.replace = replace
list(imn.pick_files([sys.argv[1]], sys.argv[2], scorer="moran", top=5))
"""


@pytest.mark.parametrize("at", [0, 1, 2])
def test_killed_in_the_middle_of_the_replacement(at: int, cli: Command, section: Path, tmp_path: Path) -> None:
    """The few renames are the only moment without a complete result, and a folder in between is known as such."""
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    killed = subprocess.run([sys.executable, "-c", KILLED, section, out, str(at)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (out / "s" / "run.json").exists()
    with pytest.raises(imn.FileError, match=r"no run\.json, so it is not the complete result"):
        imn.open_run(out / "s")
    done = cli("pick", section, "-o", out, *QUICK)
    assert (done.code, done.stderr) == (0, "")
    assert {path.name for path in (out / "s").iterdir()} == {"peaks.csv", "scores.csv", "run.json"}
    assert len(imn.open_run(out / "s")) == 3


@pytest.mark.parametrize("stage", ["scoring", "writing"])
def test_killed_before_the_replacement(stage: str, cli: Command, section: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    before = state(out / "s")
    program = (
        "import os, signal, sys, ionmorphnet as imn\n"
        "def stop(at):\n"
        f"    if at.stage == {stage!r}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "list(imn.pick_files([sys.argv[1]], sys.argv[2], scorer='moran', top=5, progress=stop))\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, section, out], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert {name: kept for name, kept in state(out / "s").items() if not name.startswith(".")} == before
    done_again(cli, section, out, *QUICK, kept=True)


def test_an_unreadable_table_is_picked_again(cli: Command, section: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    (out / "s" / "scores.csv").write_text("damaged")
    done_again(cli, section, out, *QUICK, kept=False)
    (out / "s" / "peaks.csv").unlink()
    done_again(cli, section, out, *QUICK, kept=False, says="picked again: peaks.csv")


def test_a_file_that_the_user_removed_stays_away(cli: Command, section: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK, "--report").code == 0
    (out / "s" / "report.html").unlink()
    done_again(cli, section, out, *QUICK, kept=True)
    done_again(cli, section, out, *QUICK, "--report", kept=False, says="picked before, now with report.html")


def test_a_saved_selection_is_not_taken_for_the_pick(cli: Command, section: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    assert cli("pick", section, "-o", out, *QUICK).code == 0
    imn.open_run(out / "s")[:1].save(out / "s")
    assert len(pd.read_csv(out / "s" / "peaks.csv")) == 1
    says = "picked again: its record does not tell everything that it depends on"
    done_again(cli, section, out, *QUICK, kept=False, says=says)
