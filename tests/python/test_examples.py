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


def test_classify_tumor(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra [tumor]")
    pytest.importorskip("sklearn", reason="needs the extra [tumor]")
    done = _run("classify_tumor.py", "--quick", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "of the labelled pixels are correct" in done.stdout
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert pictures == {
        "balanced_accuracy.png",
        "roc_picked.png",
        "confusion_picked.png",
        "importance.png",
        "p04_s1.png",
    }


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_every_example_is_tested(path: Path) -> None:
    assert f'_run("{path.name}"' in Path(__file__).read_text(encoding="utf-8")
