from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


Run = Callable[..., str]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs an example in this process, which has already imported torch, and returns its output."""

    def run(name: str, *arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", [name, *arguments])
        monkeypatch.syspath_prepend(str(EXAMPLES))
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def test_pick_peaks(run: Run) -> None:
    assert "of 20 channels are also among" in run("pick_peaks.py")


def test_fine_tune(run: Run, short_model: Path) -> None:
    told = run("fine_tune.py", "--init", str(short_model))
    assert "labelled images from" in told
    assert "32 images in" in told


def test_classify_tumor(run: Run, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the extra [tumor]")
    pytest.importorskip("sklearn", reason="needs the extra [tumor]")
    told = run("classify_tumor.py", "--quick", "--out", str(tmp_path))
    assert "of the labelled pixels are correct" in told
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
    assert f'run("{path.name}"' in Path(__file__).read_text(encoding="utf-8")
