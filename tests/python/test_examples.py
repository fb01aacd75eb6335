from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pick_peaks() -> None:
    done = _run("pick_peaks.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_fine_tune(short_model: Path) -> None:
    done = _run("fine_tune.py", "--init", str(short_model))
    assert done.returncode == 0, done.stderr
    assert "labelled images from" in done.stdout
    assert "32 images in" in done.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_tested(path: Path) -> None:
    assert f'_run("{path.name}"' in Path(__file__).read_text(encoding="utf-8")
