"""What an axis says about its decisions, and about finding nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml

Command = Callable[..., Any]


def grid(width: int, height: int, spectrum: Callable[[int, int], tuple[Any, Any]]) -> list[Spec]:
    return [Spec(x + 1, y + 1, *spectrum(x, y)) for y in range(height) for x in range(width)]


def axis_of(path: Path, **options: Any) -> imn.CandidateAxis:
    with imn.open(path) as ds:
        return imn.candidate_axis(ds, **options)


def empty(folder: Path) -> Path:
    return write_imzml(folder / "empty.imzML", grid(5, 4, lambda x, y: ([], [])))


def zero(folder: Path) -> Path:
    return write_imzml(folder / "zero.imzML", grid(5, 4, lambda x, y: ([200.0, 300.0], [0.0, 0.0])), shared_axis=True)


def spikes(folder: Path) -> Path:
    """A profile with a spike in one pixel, which is no ion."""
    mz = 320 + 0.083 * np.arange(3000)
    specs = grid(5, 4, lambda x, y: (mz, 100.0 * ((np.arange(3000) == 1500) & (x == 2) & (y == 2))))
    return write_imzml(folder / "spikes.imzML", specs, shared_axis=True, spectrum_type="profile")


def unrelated_peaks(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    specs = grid(6, 5, lambda x, y: (np.sort(rng.uniform(300, 900, 4)), np.ones(4)))
    return write_imzml(folder / "unrelated.imzML", specs)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (empty, "all 20 spectra are empty or zero"),
        (spikes, "no maximum of the mean spectrum exceeds the noise"),
        (unrelated_peaks, "no m/z recurs in enough spectra"),
    ],
)
def test_an_axis_without_channels_says_why(
    make: Callable[[Path], Path], reason: str, cli: Command, tmp_path: Path
) -> None:
    path = make(tmp_path)
    axis = axis_of(path)
    assert len(axis) == 0
    assert [note for note in axis.notes if note.startswith("no candidate was found") and reason in note]
    done = cli("pick", path, "-o", tmp_path / "out", "--scorer", "moran", "--top", 3)
    assert done.code == 1
    assert done.stderr.count("no candidate was found") == 1
    assert "no channel was picked from any input" in done.stderr
    run = json.loads((tmp_path / "out" / path.stem / "run.json").read_text(encoding="utf-8"))
    assert run["axis"]["notes"] == list(axis.notes)
    assert run["axis"]["evidence"] == axis.evidence
    assert set(axis.notes) <= set(run["warnings"])


def test_channels_of_zeros_are_channels(tmp_path: Path) -> None:
    axis = axis_of(zero(tmp_path))
    assert len(axis) == 2
    (note,) = axis.notes
    assert "all spectra are empty or zero, so that the images of the 2 candidates are blank" in note


def test_a_frequency_that_no_channel_reaches_is_named(tmp_path: Path) -> None:
    mz = [200.0, 300.0]
    specs = grid(10, 2, lambda x, y: (mz, [float(y == 0), float(y == 0)]))
    for name, shared in (("shared", True), ("own", False)):
        path = write_imzml(tmp_path / f"{name}.imzML", specs, shared_axis=shared)
        assert len(axis_of(path, min_frequency=0.4)) == 2
        axis = axis_of(path, min_frequency=0.6)
        assert len(axis) == 0
        (note,) = axis.notes
        assert note.startswith("no candidate was found")
        assert "min_frequency" in note


def test_one_input_with_picks_is_enough(cli: Command, section: Path, tmp_path: Path) -> None:
    both = cli("pick", empty(tmp_path), section, "-o", tmp_path / "out", "--scorer", "moran", "--top", 3)
    assert both.code == 0
    assert "empty.imzML: no candidate was found" in both.stderr


def test_a_part_of_an_axis_keeps_its_notes() -> None:
    axis = imn.CandidateAxis(
        np.array([1.0, 2.0]),
        np.array([1.0, 2.0]),
        np.array([1.0, 2.0]),
        np.ones(2),
        notes=("odd",),
        evidence={"a": 1.0},
    )
    assert axis[:1].notes == ("odd",)
    assert axis[:1].evidence == {"a": 1.0}
    assert "odd" in axis._repr_html_()
