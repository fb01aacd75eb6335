"""Several inputs, planes, odd names and odd output folders of ``ionmorphnet pick``, and of its neighbours."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet.cli import _shared
from ionmorphnet.models.labels import STATISTICS

Command = Callable[..., Any]
QUICK = ("--scorer", "moran", "--top", 3)
ODD = "[red] Schnitt \u00e4\u4e2d [b] [x.imzML"


def copy(source: Path, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    for suffix in (".imzML", ".ibd"):
        shutil.copyfile(source.with_suffix(suffix), target.with_suffix(suffix))
    return target


def input_of(folder: Path) -> str:
    path: str = json.loads((folder / "run.json").read_text(encoding="utf-8"))["input"]["path"]
    return path


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal on stderr shows."""
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=200, highlight=False, color_system=None)
    monkeypatch.setattr(_shared, "stderr", console)
    return shown


def test_planes_are_picked_one_by_one(cli: Command, two_planes: Path, tmp_path: Path) -> None:
    done = cli("pick", two_planes, "-o", tmp_path, "--scorer", "moran", "--top", 1, "--json")
    assert done.code == 0
    results = json.loads(done.stdout)["results"]
    assert [(result["z"], Path(result["folder"]).name) for result in results] == [(1, "z_z1"), (2, "z_z2")]
    mz = np.linspace(300, 900, 20)
    for folder, structured in (("z_z1", 3), ("z_z2", 7)):
        picks = np.genfromtxt(tmp_path / folder / "peaks.csv", delimiter=",", names=True, usecols=(0, 1))
        assert float(picks["mz"]) == pytest.approx(mz[structured])


@pytest.mark.parametrize("first", ["planes", "single"])
def test_no_input_writes_over_another(
    first: str, cli: Command, two_planes: Path, section: Path, tmp_path: Path
) -> None:
    planes, single = copy(two_planes, tmp_path / "in" / "z.imzML"), copy(section, tmp_path / "in" / "z_z1.imzML")
    inputs = [planes, single] if first == "planes" else [single, planes]
    done = cli("pick", *inputs, "-o", tmp_path / "o", *QUICK, "--json")
    assert done.code == 0
    assert f"o/z_z1 is for {single}; the result is in {tmp_path}/o/in/z" in done.stderr
    results = {
        str(path.parent.relative_to(tmp_path / "o")): input_of(path.parent) for path in tmp_path.rglob("run.json")
    }
    assert results == {"z_z1": str(single), "in/z_z1": str(planes), "in/z_z2": str(planes)}


def test_warnings_of_a_file_come_once(
    cli: Command, two_planes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imn.Dataset, "warnings", property(lambda self: ["odd header"]))
    done = cli("pick", two_planes, "-o", tmp_path, *QUICK)
    assert done.stderr == "warning: z.imzML: odd header\n"
    done = cli("pick", two_planes, "-o", tmp_path / "json", *QUICK, "--json")
    assert done.stderr == ""
    assert [result["warnings"] for result in json.loads(done.stdout)["results"]] == [["odd header"]] * 2


def test_links_are_read_where_they_lie(cli: Command, section: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for suffix in (".imzML", ".ibd"):
            (tmp_path / name / f"x{suffix}").symlink_to(section.with_suffix(suffix))
    done = cli("pick", tmp_path / "a/x.imzML", tmp_path / "b/x.imzML", "-o", tmp_path / "o", *QUICK)
    assert done.code == 0, done.stderr
    found = {str(path.parent.relative_to(tmp_path / "o")) for path in tmp_path.rglob("run.json")}
    assert found == {"a/x", "b/x"}


def test_names_are_no_markup(cli: Command, section: Path, tmp_path: Path, terminal: io.StringIO) -> None:
    path = copy(section, tmp_path / "[/b]" / ODD)
    done = cli("pick", path, "-o", tmp_path / "[/o]", *QUICK)
    assert done.code == 0, done.stderr
    assert ODD in done.stdout
    assert f"{ODD}: opening" in terminal.getvalue()
    assert f"{ODD}: finding channels" in terminal.getvalue()
    assert input_of(tmp_path / "[/o]" / path.stem) == str(path)
    assert str(path) in cli("info", path).stdout
    assert cli("validate", path).code == 0


def test_text_of_the_file_is_no_markup(cli: Command, section: Path, tmp_path: Path) -> None:
    path = copy(section, tmp_path / "x.imzML")
    text = path.read_text(encoding="utf-8")
    lines = ['<cvParam cvRef="MS" accession="MS:1000031" name="instrument model" value="[red]Q[/b]"/>']
    assert "<instrumentConfiguration " in text
    at = text.index(">", text.index("<instrumentConfiguration ")) + 1
    path.write_text(text[:at] + "\n".join(lines) + text[at:], encoding="utf-8")
    done = cli("info", path)
    assert done.code == 0
    assert "[red]Q[/b]" in done.stdout


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--memory-limit", "lots", *QUICK], "lots"),
        (["--scorer", "moran"], "top or min_score"),
        (["--scorer", "moran", "--min-score", "nan"], "min_score"),
        (["--ppm", 5, *QUICK], "m/z list"),
        (["--mz-list", "LIST", *QUICK], "states no windows; pass --ppm or --tol"),
        (["--mz-list", "LIST", "--ppm", 5, "--tol", 0.1, *QUICK], "exactly one of ppm"),
        (["--mz-list", "LIST", "--ppm", -5, *QUICK], "ppm"),
        (["--mz-list", "LIST", "--ppm", 5, "--axis", "bins", *QUICK], "--axis"),
    ],
)
def test_what_fails_every_input_is_said_once(
    options: list[object], word: str, cli: Command, section: Path, tmp_path: Path
) -> None:
    (tmp_path / "LIST").write_text("500\n")
    given = [tmp_path / "LIST" if option == "LIST" else option for option in options]
    cli("pick", section, section.parent / "other.imzML", "-o", tmp_path / "o", *given).is_one_line_error(word)
    assert not (tmp_path / "o").exists()


def test_a_pick_into_the_folder_of_its_input(cli: Command, section: Path, tmp_path: Path) -> None:
    options = ("--scorer", "moran", "--top", 3, "--format", "imzml")
    assert cli("pick", section, "-o", tmp_path / "out" / section.stem, *options).code == 0
    given = tmp_path / "out" / section.stem / section.stem / "peaks.imzML"
    before = given.with_suffix(".ibd").read_bytes()
    (tmp_path / "out" / "peaks").symlink_to(given.parent)
    cli("pick", given, "-o", tmp_path / "out", *options).is_one_line_error("peaks.imzML: is the input")
    assert given.with_suffix(".ibd").read_bytes() == before


def test_what_makes_scores_say_little_is_told(cli: Command, section: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("mz\n5.5\n7.5\n")
    options = ("--scorer", "moran", "--top", 2)
    done = cli("pick", section, "-o", tmp_path / "out", "--mz-list", tmp_path / "list.csv", "--ppm", 5, *options)
    assert done.code == 0
    assert "2 of 2 m/z lie outside of the file, which spans" in done.stderr
    rng = np.random.default_rng(0)
    mz = np.linspace(100.0, 200.0, 20)
    places = (0, 3, 7, 10, 14, 17, 21, 25)
    specs = [Spec(x, y, mz, rng.random(20)) for y in places for x in places]
    sparse = write_imzml(tmp_path / "sparse.imzML", specs, shared_axis=True)
    done = cli("pick", sparse, "-o", tmp_path / "out", *options)
    assert "100% of the measured pixels have no measured neighbour" in done.stderr
    run = json.loads((tmp_path / "out" / "sparse" / "run.json").read_text())
    assert len(run["warnings"]) == 1


def test_names_that_the_terminal_cannot_show(section: Path, tmp_path: Path) -> None:
    for suffix in (".imzML", ".ibd"):
        (tmp_path / f"日本{suffix}").write_bytes(section.with_suffix(suffix).read_bytes())
    command = [sys.executable, "-m", "ionmorphnet", "pick", str(tmp_path / "日本.imzML"), "-o", str(tmp_path / "out")]
    done = subprocess.run(
        [*command, "--scorer", "moran", "--top", "1"],
        env={**os.environ, "PYTHONIOENCODING": "cp1252"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"\\u65e5\\u672c" in done.stdout


def test_repeats_of_an_mz_list_are_said_once(cli: Command, two_planes: Path, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text("mz\n300\n900\n300\n")
    done = cli("pick", two_planes, "-o", tmp_path, "--mz-list", tmp_path / "list.csv", "--ppm", 5, *QUICK)
    assert done.code == 0
    assert done.stderr.startswith("warning: list.csv: 3 rows of the list are 2 channels")
    assert len(done.stderr.splitlines()) == 1
    record = json.loads((tmp_path / "z_z2" / "run.json").read_text())
    assert (record["parameters"]["ppm"], record["counts"]["candidates"]) == (5, 2)


def test_a_hopeless_folder_is_found_before_the_work(
    cli: Command, section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("scored before the folder was tried")

    monkeypatch.setattr(imn, "pick", never)
    (tmp_path / "small section").touch()
    cli("pick", section, "-o", tmp_path, *QUICK).is_one_line_error("small section: cannot be written: File exists")
    below = tmp_path / "small section" / "below"
    cli("pick", section, "-o", below, *QUICK).is_one_line_error("cannot be written: Not a directory")


def test_an_empty_folder_name_is_a_usage_error(
    cli: Command, section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("pick", section, "-o", "", *QUICK)
    assert done.code == 2
    assert "output folder is empty" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_pick_at_all_is_written_and_exits_with_1(cli: Command, section: Path, tmp_path: Path) -> None:
    options = ("--scorer", "moran", "--min-score", 2, "--format", "imzml", "--report")
    done = cli("pick", section, "-o", tmp_path, *options)
    assert done.code == 1
    skipped, nothing = done.stderr.splitlines()
    assert "imzml was not written: no channel was picked" in skipped
    assert nothing == "ionmorphnet: no channel was picked from any input"
    found = {path.name for path in (tmp_path / "small section").iterdir()}
    assert found == {"peaks.csv", "scores.csv", "report.html", "run.json"}


def test_an_interruption_while_writing(
    cli: Command, section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    assert cli("pick", section, "-o", tmp_path, *QUICK).code == 0
    monkeypatch.setattr(imn.PeakList, "report", interrupted)
    done = cli("pick", section, "-o", tmp_path, *QUICK, "--report")
    assert done.code == 130
    assert done.stderr.strip().splitlines()[-1] == "ionmorphnet: stopped"
    found = {path.name for path in (tmp_path / "small section").iterdir()}
    assert found == {"peaks.csv", "scores.csv", "run.json"}


def test_images_of_a_plane(cli: Command, two_planes: Path, tmp_path: Path) -> None:
    options = ("--mz", 300, "--ppm", 5, "-o", tmp_path / "i.npz")
    cli("images", two_planes, *options).is_one_line_error(str(two_planes), "2 z planes (1, 2)", "--plane")
    cli("images", two_planes, *options, "--plane", 3).is_one_line_error(
        str(two_planes), "no z plane 3; pass one of 1, 2 to --plane"
    )
    assert not (tmp_path / "i.npz").exists()
    assert cli("images", two_planes, *options, "--plane", 2).code == 0
    with imn.open(two_planes) as ds, np.load(tmp_path / "i.npz") as found:
        assert np.array_equal(found["images"], ds.plane(2).ion_images([300.0], ppm=5), equal_nan=True)


def test_images_of_many_mz(cli: Command, section: Path, tmp_path: Path) -> None:
    listed = ",".join(f"{500 + i / 7:.6f}" for i in range(100))
    assert cli("images", section, "--mz", listed, "--ppm", 5, "-o", tmp_path / "i.npz").code == 0
    with np.load(tmp_path / "i.npz") as found:
        assert len(found["mz"]) == 100
    empty = cli("images", section, "--mz", ",", "--ppm", 5, "-o", tmp_path / "j.npz")
    empty.is_one_line_error("contains no m/z value")


def test_terminals_see_that_work_goes_on(cli: Command, section: Path, tmp_path: Path, terminal: io.StringIO) -> None:
    cli("images", section, "--mz", 500, "--ppm", 5, "-o", tmp_path / "i.npz")
    assert "small section.imzML: opening" in terminal.getvalue()
    assert "small section.imzML: 1 images" in terminal.getvalue()
    cli("validate", section, "--checksum")
    assert "small section.imzML: comparing the checksum" in terminal.getvalue()
    terminal.truncate(0)
    cli("validate", section, "--json")
    cli("pick", section, "-o", tmp_path, *QUICK, "--json")
    assert terminal.getvalue() == ""


def test_a_closed_stderr_is_not_the_fault_of_an_input(
    cli: Command, section: Path, two_planes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(sys.modules["ionmorphnet.cli.pick"], "show_warnings", closed)
    done = cli("pick", section, two_planes, "-o", tmp_path, *QUICK)
    assert (done.code, done.stderr) == (0, "")
    assert not (tmp_path / "z_z1").exists()  # ends there, as nobody listens any more


@pytest.mark.parametrize("scorer", ["blur", "chaos", "reliability"])
def test_classical_scorers_and_features(scorer: str, cli: Command, section: Path, tmp_path: Path) -> None:
    done = cli("pick", section, "-o", tmp_path, "--scorer", scorer, "--top", 4, "--features")
    assert done.code == 0, done
    assert f"({scorer} f32" in done.stdout
    picks = np.genfromtxt(tmp_path / "small section" / "peaks.csv", delimiter=",", names=True)
    assert list(picks.dtype.names)[-6:] == list(STATISTICS)
    assert np.array_equal(picks[scorer], picks["score"])
    assert cli("pick", section, "-o", tmp_path, "--scorer", scorer, "--top", 4).code == 0
    assert "coverage" not in (tmp_path / "small section" / "peaks.csv").read_text()
    cli("pick", section, "-o", tmp_path, "--scorer", scorer).is_one_line_error("top or min_score")
    cli("pick", section, "-o", tmp_path, "--scorer", "coverage", "--top", 4).is_one_line_error(
        "not a ranking score; use moran"
    )


def test_spectra_that_are_declared_wrongly(cli: Command, tmp_path: Path) -> None:
    axis = np.linspace(500.0, 520.0, 300)
    peaks = sum(np.exp(-0.5 * ((axis - centre) / 0.15) ** 2) for centre in (505.0, 515.0))
    specs = [Spec(x, y, axis, peaks * (x + 8 * y)) for y in range(1, 9) for x in range(1, 9)]
    path = write_imzml(tmp_path / "p.imzML", specs, shared_axis=True, spectrum_type="centroid")
    arguments = ("pick", path, "--scorer", "moran", "--top", 1, "-o")
    done = cli(*arguments, tmp_path / "as declared")
    assert "the file says centroid, but its spectra are sampled like profiles" in done.stderr
    assert "1 of 300 channels" in done.stdout
    done = cli(*arguments, tmp_path / "profile", "--spectrum-type", "profile")
    assert (done.code, done.stderr) == (0, "")
    assert "1 of 2 channels" in done.stdout
    record = json.loads((tmp_path / "profile" / "p" / "run.json").read_text())
    assert record["input"]["spectrum_type"] == "profile"
