"""The run that docs/guide/labelling.md describes: label, resume, label again, fine-tune."""

from __future__ import annotations

import re
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
from chromium import Chromium
from ionmorphnet.labelled.read_source import read_source
from labeller import Labeller


class Expert:
    """Types the truth of a simulated section, rounded to half grades."""

    def __init__(self, truth: Path, page: Labeller) -> None:
        self._truth = pd.read_csv(truth)
        self._page = page

    def label_image(self, wrong: Callable[[float], bool] = lambda mz: False) -> float:
        """Labels the image that is shown and returns its m/z; a wrong label is ``fragmented``."""
        mz = float(self._page.caption().split()[1])
        distance = (self._truth["mz"] / mz - 1).abs()
        row = self._truth.loc[distance.idxmin()]
        name, grade = (row["label"], row["structure"]) if distance.min() < 10e-6 else ("unstructured", 0.0)
        self._page.browser.press("f" if wrong(mz) else name[0])
        self._page.grade(round(2 * grade) / 2)
        self._page.wait()
        return mz


def start(source: Path, labels: Path) -> tuple[subprocess.Popen[str], str]:
    """The command, and the address that it prints."""
    command = [sys.executable, "-m", "ionmorphnet", "label", str(source), "-o", str(labels), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(3)]
    return process, lines[1].removeprefix("Label page: ").strip()


@pytest.mark.long
def test_the_recorded_run(browser: Chromium, tmp_path: Path, cli: Callable[..., Any]) -> None:
    pytest.importorskip("torch", reason="training needs the extra [train]")
    assert cli("demo", "-o", tmp_path / "demo-out").code == 0
    section, labels = tmp_path / "demo-out" / "demo.imzML", tmp_path / "labels.csv"
    truth = tmp_path / "demo-out" / "demo_truth.csv"

    process, url = start(tmp_path / "demo-out" / "demo", labels)
    page = Labeller(browser, url)
    expert = Expert(truth, page)
    for _ in range(12):
        expert.label_image()
    assert browser.errors == []
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.match(rf"{labels}: 12 labelled \(", output)

    process, url = start(tmp_path / "demo-out" / "demo", labels)
    page = Labeller(browser, url)
    browser.errors.clear()  # images that were being read when the first session ended
    expert = Expert(truth, page)
    assert page.text("count") == "12 labelled"
    shown = [expert.label_image() for _ in range(8)]
    page.press("p")
    page.press("Enter")
    changed = set(shown[:3])
    again = [expert.label_image(lambda mz: mz in changed) for _ in range(20)]
    assert set(shown) < set(again)
    result = str(page.dialog())
    assert "85 %" in result
    browser.press("Enter")
    browser.wait_for(lambda: "The second pass is complete" in str(page.dialog()))
    browser.press("Enter")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert re.search(r"two passes over 20 images: 85% in the same class, Cohen's kappa 0\.\d\d\n$", output)
    assert browser.errors == []

    source = read_source(section, labels, ppm=5)
    assert source.report.counts == {}
    assert sorted(item.probabilities.max() for item in source.items) == [0.5] * 3 + [1.0] * 17
    assert not np.isnan([item.structure for item in source.items]).any()
    done = cli("calibrate", tmp_path / "demo-out" / "demo", "--labels", labels, "-o", tmp_path / "calibration.json")
    assert done.code == 0, done
    assert (tmp_path / "calibration.json").is_file()
    few = ("--images", 16, "--size", 64, "--batch", 8, "--threads", 1, "--workers", 0, "--no-compile")
    init = ("--init", imn.DEFAULT_MODEL)
    done = cli("train", tmp_path / "tuned", "--source", section, "--labels", labels, "--ppm", 5, *init, *few)
    assert done.code == 0, done
    assert (tmp_path / "tuned" / "weights.pt").stat().st_size > 1e6
