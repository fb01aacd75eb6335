"""imn.pick_files: one outcome a file, whatever happens to the others."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import ionmorphnet as imn
from ionmorphnet.picking.progress import PickBar


@pytest.fixture
def sections(section: Path, two_planes: Path, tmp_path: Path) -> list[Path]:
    """A section, a file that is none, and a file of two planes."""
    (tmp_path / "broken.imzML").write_text("not XML")
    paths = [tmp_path / "a.imzML", tmp_path / "broken.imzML", tmp_path / "planes.imzML"]
    for source, path in ((section, paths[0]), (two_planes, paths[2])):
        for suffix in (".imzML", ".ibd"):
            shutil.copyfile(source.with_suffix(suffix), path.with_suffix(suffix))
    return paths


def test_one_outcome_a_file(sections: list[Path], tmp_path: Path) -> None:
    outcomes = list(imn.pick_files(sections, tmp_path / "out", scorer="moran", top=3, formats=["csv"]))
    assert [outcome.path for outcome in outcomes] == sections
    assert [outcome.ok for outcome in outcomes] == [True, False, True]
    assert [[plane.z for plane in outcome.picked] for outcome in outcomes] == [[None], [], [1, 2]]
    assert isinstance(outcomes[1].error, imn.FileError)
    assert outcomes[1].message.startswith(f"{sections[1]}: ")
    assert "\n" not in outcomes[1].message
    for outcome in outcomes:
        for plane in outcome.picked:
            again = imn.open_run(plane.folder)
            np.testing.assert_array_equal(again.mz, plane.peaks.mz)
            np.testing.assert_array_equal(plane.peaks.ion_images(), again.ion_images())  # opens the file again
            assert set(plane.written) == set(plane.folder.iterdir())


def test_the_result_is_that_of_pick(section: Path, tmp_path: Path) -> None:
    (outcome,) = imn.pick_files([section], tmp_path, top=5, precision="f32", device="cpu")
    expected = imn.pick(section, top=5, precision="f32", device="cpu")
    np.testing.assert_array_equal(outcome.picked[0].peaks.mz, expected.mz)


def test_wrong_arguments_are_raised_by_the_call(sections: list[Path], tmp_path: Path) -> None:
    quick = {"scorer": "moran", "top": 1}
    for wrong, text in (
        ({"scorer": "moran"}, "no default threshold"),
        ({"scorer": "moran", "top": 0}, "top must be at least 1"),
        ({"scorer": "magic"}, "unknown scorer"),
        ({"formats": "docx"}, "unknown format"),
        ({"ppm": 5}, "given m/z list"),
        ({"axis": [500.0]}, "exactly one of ppm"),
        ({"axis": "bin", **quick}, "axis must be"),
        ({"spectrum_type": "profil", **quick}, "spectrum_type must be"),
        ({"memory_limit": "much"}, "not a size"),
        ({"threads": -1, **quick}, "threads must be"),
        ({"progress": 3, **quick}, "progress must be"),
    ):
        with pytest.raises(imn.ArgumentError, match=text):
            imn.pick_files(sections, tmp_path / "out", **wrong)
    with pytest.raises(imn.ArgumentError, match="a name is for a single input, and there are 3"):
        imn.pick_files(sections, tmp_path / "out", name="x", **quick)
    assert not (tmp_path / "out").exists()


def test_a_list_of_mz_is_recorded(section: Path, tmp_path: Path) -> None:
    (outcome,) = imn.pick_files([section], tmp_path, axis=[300.0, 200.0], tol=0.5, scorer="moran", top=9)
    run = outcome.picked[0].peaks.run
    assert run is not None
    assert (run.parameters.ppm, run.parameters.tol, run.counts.candidates) == (None, 0.5, 2)


def test_progress_tells_file_and_stage(sections: list[Path], tmp_path: Path) -> None:
    seen: list[imn.PickProgress] = []
    list(imn.pick_files(sections, tmp_path / "out", scorer="moran", top=3, progress=seen.append))
    stages = [(at.number, at.z, at.stage) for at in seen]
    assert list(dict.fromkeys(stages)) == [
        (1, None, "opening"),
        (1, None, "finding channels"),
        (1, None, "scoring"),
        (1, None, "writing"),
        (2, None, "opening"),
        (3, None, "opening"),
        *((3, z, stage) for z in (1, 2) for stage in ("finding channels", "scoring", "writing")),
    ]
    assert {at.n_files for at in seen} == {3}
    scored = [at for at in seen if at.stage == "scoring"]
    assert any(at.done == at.total > 0 for at in scored)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), imn.Cancelled("enough"), OSError(28, "full", "log")])
@pytest.mark.parametrize("stage", ["opening", "scoring"])
def test_what_progress_raises_stops_the_work(
    error: BaseException, stage: str, sections: list[Path], tmp_path: Path
) -> None:
    def stop(at: imn.PickProgress) -> None:
        if at.stage == stage:
            raise error

    with pytest.raises(type(error)):
        list(imn.pick_files(sections, tmp_path / "out", scorer="moran", top=3, progress=stop))
    assert not (tmp_path / "out").exists()


@pytest.fixture
def terminal() -> tuple[Console, io.StringIO]:
    shown = io.StringIO()
    return Console(file=shown, force_terminal=True, width=120, color_system=None), shown


def test_the_bar_counts_files(terminal: tuple[Console, io.StringIO], tmp_path: Path) -> None:
    console, shown = terminal
    with PickBar(console) as bar:
        bar(imn.PickProgress(Path("x/a [b].imzML"), 2, 3, None, "scoring", 5, 10))
        bar.hide()
        bar(imn.PickProgress(Path("x/a [b].imzML"), 2, 3, None, "writing"))
        assert bar._bar.tasks[0].completed == 5  # what was scored stays shown
        bar(imn.PickProgress(Path("y.imzML"), 3, 3, None, "opening"))
        assert (bar._bar.tasks[0].completed, bar._bar.tasks[0].total) == (0, None)
        bar(imn.PickProgress(Path("y.imzML"), 3, 3, 7, "writing"))
    assert "[2/3] a [b].imzML: scoring" in shown.getvalue()
    assert "[3/3] y.imzML z=7: writing" in shown.getvalue()


def test_progress_true_draws_nothing_in_a_pipe(section: Path, capsys: pytest.CaptureFixture[str]) -> None:
    imn.pick(section, scorer="moran", top=1, progress=True)
    imn.score_images(np.ones((2, 9, 9)), scorer="moran", progress=True)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(imn.ArgumentError, match="progress must be True, False or a callable"):
        imn.pick(section, scorer="moran", top=1, progress="yes")  # type: ignore[arg-type]


def test_long_calls_accept_progress_true(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "s.imzML"
    imn.simulate(path, shape=(16, 16), n_channels=10, seed=1, progress=True)
    assert imn.validate(path, progress=True).ok
    assert capsys.readouterr() == ("", "")
    for call in (
        lambda: imn.simulate(path, shape=(16, 16), n_channels=10, progress=1),
        lambda: imn.validate(path, progress=1),
    ):
        with pytest.raises(imn.ArgumentError, match="progress must be True, False or a callable"):
            call()
