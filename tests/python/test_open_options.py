"""The options of ``imn.open`` on every command and function that opens a section by its path."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_type_hints

import click
import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.cli._open_options import open_options
from ionmorphnet.cli.app import cli as group
from ionmorphnet.io.open_options import OpenOptions
from ionmorphnet.tumor.cohort import open_section

Command = Callable[..., Any]
QUICK = ("--scorer", "moran", "--top", 3)

# Every command that opens a section, and whether it opens a single one by its own name.
COMMANDS = {
    "pick": True,
    "images": True,
    "validate": True,
    "label": True,
    "calibrate": True,
    "evaluate classifier": False,
    "evaluate ranking": False,
    "evaluate mscf1": False,
    "tumor train": False,
    "tumor evaluate": False,
    "tumor explain": False,
    "tumor predict": True,
    "cohort run": False,
}


def a_command(path: str) -> click.Command:
    found: click.Command = group
    for word in path.split():
        assert isinstance(found, click.Group)
        command = found.get_command(click.Context(found), word)
        assert command is not None
        found = command
    return found


def grid(*, unsorted: bool = False, height: int = 8, width: int = 9) -> list[Spec]:
    """Three ions, of which the first two lie in halves of the section."""
    draw = np.random.default_rng(1)
    specs = []
    for y, x in np.ndindex(height, width):
        mz = np.array([300.1, 400.2, 885.55]) * (1 + draw.normal(0, 1e-6, 3))
        intensity = np.array([x > 4, y > 4, 1.0]) + 0.1 * draw.random(3)
        if unsorted and (x, y) == (3, 2):
            mz, intensity = mz[::-1], intensity[::-1]
        specs.append(Spec(x + 1, y + 1, mz, intensity))
    return specs


def test_open_takes_the_options() -> None:
    accepted = {name for name in inspect.signature(imn.open).parameters if name != "path"}
    assert accepted == set(OpenOptions.__annotations__)


@pytest.mark.parametrize("path", COMMANDS)
def test_a_command_has_every_option(path: str) -> None:
    names = {parameter.name for parameter in a_command(path).params}
    wanted = set(OpenOptions.__annotations__) - (set() if COMMANDS[path] else {"ibd_path"})
    assert wanted <= names
    assert ("ibd_path" in names) == COMMANDS[path]


def test_a_command_receives_what_is_given() -> None:
    received: list[OpenOptions] = []

    @click.command()
    @open_options()
    def command(opened: OpenOptions) -> None:
        received.append(opened)

    command.main([], standalone_mode=False)
    command.main(
        ["--duplicates", "mean", "--no-strict", "--spectrum-type", "auto", "--repair"],
        standalone_mode=False,
    )
    wanted: OpenOptions = {"duplicates": "mean", "strict": False, "spectrum_type": None, "repair": True}
    assert received == [{}, wanted]
    defaults = {name: each.default for name, each in inspect.signature(imn.open).parameters.items()}
    for parameter in command.params:
        if isinstance(parameter.default, str | bool) and parameter.default != "auto":
            assert parameter.default == defaults[str(parameter.name)]


@pytest.mark.parametrize(
    "function",
    [imn.pick, imn.pick_files, imn.validate, imn.label, imn.calibrate, imn.evaluate.load_sets, imn.tumor.predict],
)
def test_a_misspelt_argument_is_refused(function: Callable[..., Any], tmp_path: Path) -> None:
    assert get_type_hints(function)["opened"].__args__ == (OpenOptions,)
    two = (imn.pick_files, imn.label, imn.calibrate, imn.tumor.predict)
    arguments = (tmp_path / "none.imzML", tmp_path / "none")[: 2 if function in two else 1]
    if function is imn.pick_files:
        arguments = ([], tmp_path)
    with pytest.raises(TypeError, match=f"{function.__name__}.. got an unexpected keyword argument 'tpo'"):
        function(*arguments, tpo=3)


def test_an_unknown_value_is_refused_before_any_file_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="duplicates must be one of first, sum, mean, error, not 'last'"):
        imn.pick(tmp_path / "none.imzML", duplicates="last")  # type: ignore[arg-type]


def test_an_open_dataset_takes_no_options(tmp_path: Path) -> None:
    with (
        imn.open(write_imzml(tmp_path / "s.imzML", grid())) as ds,
        pytest.raises(ArgumentError, match=r"repair: the dataset is open already; pass these to ionmorphnet\.open"),
    ):
        imn.pick(ds, scorer="moran", top=1, repair=True)


def test_unsorted_mz_can_be_repaired_from_the_command_line(cli: Command, tmp_path: Path) -> None:
    path = write_imzml(tmp_path / "s.imzML", grid(unsorted=True))
    cli("pick", path, "-o", tmp_path / "no", *QUICK).is_one_line_error("spectrum 21", "--repair")
    cli("images", path, "--mz", "300.1", "--ppm", 9, "-o", tmp_path / "i.npz").is_one_line_error("--repair")
    assert cli("pick", path, "-o", tmp_path / "yes", *QUICK, "--repair").code == 0
    record = json.loads((tmp_path / "yes" / "s" / "run.json").read_text())
    assert record["input"]["opened_with"]["repair"] is True
    assert cli("images", path, "--mz", "300.1", "--ppm", 9, "-o", tmp_path / "i.npz", "--repair").code == 0
    found = np.load(tmp_path / "i.npz")["images"][0]
    assert found[2, 3] == pytest.approx(grid()[21].intensity[0])
    assert cli("validate", path).code == 1
    assert cli("validate", path, "--repair").code == 0


def test_an_ibd_file_is_chosen_for_one_file_only(cli: Command, tmp_path: Path) -> None:
    elsewhere = tmp_path / "data.bin"
    first = write_imzml(tmp_path / "a.imzML", grid(), ibd_path=elsewhere)
    second = write_imzml(tmp_path / "b.imzML", grid())
    assert cli("pick", first, "-o", tmp_path / "out", *QUICK, "--ibd", elsewhere).code == 0
    done = cli("pick", first, second, "-o", tmp_path / "both", *QUICK, "--ibd", elsewhere)
    done.is_one_line_error("one ibd file for 2 imzML files", "--ibd (Python: ibd_path=)")


def test_a_truncated_ibd_is_read_as_far_as_it_goes(cli: Command, tmp_path: Path) -> None:
    path = write_imzml(tmp_path / "s.imzML", grid())
    ibd = path.with_suffix(".ibd")
    ibd.write_bytes(ibd.read_bytes()[:-200])
    cli("pick", path, "-o", tmp_path / "no", *QUICK).is_one_line_error("--no-strict (Python: strict=False)")
    done = cli("pick", path, "-o", tmp_path / "yes", *QUICK, "--no-strict")
    assert done.code == 0, done
    assert "left out" in done.stderr


def test_a_result_folder_takes_no_options(cli: Command, tmp_path: Path) -> None:
    path = write_imzml(tmp_path / "s.imzML", grid())
    assert cli("pick", path, "-o", tmp_path / "out", *QUICK).code == 0
    done = cli("label", tmp_path / "out" / "s", "-o", tmp_path / "l.csv", "--no-browser", "--repair")
    done.is_one_line_error("repair:", "a result folder opens its section as the pick did")
    labels = tmp_path / "l.csv"
    labels.write_text("mz,label\n300.1,noise\n")
    done = cli("calibrate", tmp_path / "out" / "s", "--labels", labels, "-o", tmp_path / "c.json", "--copies", "drop")
    done.is_one_line_error("copies:", "opens its section as the pick did")


def test_labelled_sections_are_opened_as_asked(tmp_path: Path) -> None:
    path = write_imzml(tmp_path / "s.imzML", grid(unsorted=True))
    labels = tmp_path / "l.csv"
    labels.write_text("mz,label\n300.1,structured\n400.2,structured\n")
    with pytest.raises(imn.FileError, match="--repair"):
        imn.evaluate.load_sets(path, labels)
    [found] = imn.evaluate.load_sets(path, labels, repair=True)
    assert len(found.images) == 2


def test_sections_of_a_cohort_are_opened_as_asked(tmp_path: Path) -> None:
    twice = [*grid(), *grid()]
    for name in ("a", "b"):
        write_imzml(tmp_path / f"{name}.imzML", twice)
        np.save(tmp_path / f"{name}.npy", np.arange(72).reshape(8, 9) % 2)
    (tmp_path / "c.csv").write_text("file,regions,patient\na.imzML,a.npy,p\nb.imzML,b.npy,q\n")
    cohort = imn.tumor.read_cohort(tmp_path / "c.csv", labels={"0": "out", "1": "in"}, duplicates="sum")
    assert [section.opened for section in cohort.sections] == [{"duplicates": "sum"}] * 2
    with open_section(cohort.sections[0]) as ds, imn.open(tmp_path / "a.imzML") as first:
        assert ds.open_options["duplicates"] == "sum"
        assert ds.tic_image() == pytest.approx(2 * first.tic_image())
    with pytest.raises(ArgumentError, match="one ibd file for 2 imzML files"):
        imn.tumor.read_cohort(tmp_path / "c.csv", ibd_path=tmp_path / "a.ibd")
