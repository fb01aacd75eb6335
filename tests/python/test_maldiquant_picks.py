"""Picks of MALDIquant as a baseline; the parts that need R skip without it."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "maldiquant_picks.py"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [SCRIPT.name, *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return int(done.value.code or 0)

    return call


@pytest.fixture
def with_maldiquant() -> None:
    program = shutil.which("Rscript")
    check = [program, "-e", 'quit(status = !requireNamespace("MALDIquant", quietly = TRUE))'] if program else []
    if not check or subprocess.run(check, capture_output=True, check=False).returncode:
        pytest.skip("compares with R's MALDIquant, which is not installed (Debian: r-cran-maldiquant)")


def test_without_r(
    run: Callable[..., int],
    section: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(section, tmp_path / "picks.csv") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: Rscript not found; install R with MALDIquant")
    assert error.count("\n") == 1
    assert not (tmp_path / "picks.csv").exists()


def test_without_the_package(
    run: Callable[..., int],
    section: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = tmp_path / "Rscript"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run(section, tmp_path / "picks.csv") == 1
    assert "R has no package MALDIquant; install it" in capsys.readouterr().err
    program.write_text("#!/bin/sh\necho out of memory >&2\nexit 1\n")
    assert run(section, tmp_path / "picks.csv") == 1
    assert "MALDIquant failed: out of memory" in capsys.readouterr().err


@pytest.mark.usefixtures("with_maldiquant")
@pytest.mark.parametrize("spectrum_type", ["centroid", "profile"])
def test_picks_are_peaks_of_the_section(run: Callable[..., int], spectrum_type: str, tmp_path: Path) -> None:
    path = tmp_path / "s.imzML"
    simulated = imn.simulate(
        path, shape=(16, 16), n_channels=40, seed=4, mode="continuous" if spectrum_type == "profile" else "processed",
        spectrum_type=spectrum_type,
    )  # fmt: skip
    assert run(path, tmp_path / "picks.csv", "--top", 25) == 0
    picks = pd.read_csv(tmp_path / "picks.csv")
    assert list(picks.columns) == ["mz", "score", "intensity"]
    assert 10 <= len(picks) <= 25
    assert (np.diff(picks["score"]) <= 0).all()
    truth = simulated.truth["mz"].to_numpy()
    ppm = np.abs(picks["mz"].to_numpy()[:, None] / truth - 1).min(axis=1) * 1e6
    assert np.median(ppm) < 20
