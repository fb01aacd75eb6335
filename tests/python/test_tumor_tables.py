"""scripts/tumor_tables.py: the cells, their resumption, and the intervals over cohorts and patients."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from tumor_cohorts import write_cohort

pytest.importorskip("sklearn", reason="the baselines need the extra [tumor]")
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "tumor_tables.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tumor_tables", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["tumor_tables"] = module
    spec.loader.exec_module(module)
    return module


def test_intervals_are_over_cohorts_and_patients(script: ModuleType) -> None:
    rng = np.random.default_rng(0)
    patients = rng.normal(0.8, 0.1, (5, 1, 6))
    draws = script.hierarchical(patients)
    assert draws[0] == pytest.approx(patients.mean())
    # The variance of resampled patients comes twice, from cohorts and within them.
    assert draws[1:].std() == pytest.approx(0.1 * np.sqrt(2 / 30), rel=0.3)
    # Patients of a cohort that go up and down together are one observation.
    together = np.repeat(np.array([0.6, 0.7, 0.8, 0.9, 1.0])[:, None, None], 6, axis=2)
    assert script.hierarchical(together)[1:].std() == pytest.approx(np.sqrt(0.02 / 5), rel=0.1)
    # Methods see the same resamples, also if one has three seeds: a constant difference has no interval.
    seeds = np.repeat(patients - 0.05, 3, axis=1)
    np.testing.assert_allclose((draws - script.hierarchical(seeds)), 0.05, atol=1e-12)


def _figures(method: str, cohorts: tuple[int, ...], run: int, level: float) -> pd.DataFrame:
    rows = [(method, f"p{p}", c, run) for c in cohorts for p in range(3)]
    frame = pd.DataFrame(rows, columns=["method", "patient", "cohort", "run"])
    values = level + 0.02 * frame["patient"].str[1:].astype(float)
    return frame.assign(
        difficulty="easy", texture="0", **dict.fromkeys(("balanced_accuracy", "auc", "brier", "ece"), values)
    )


def test_the_reference_is_the_best_baseline_of_the_cell(script: ModuleType) -> None:
    rows = [
        _figures("lda", (1, 2), 0, 0.7),
        _figures("svm-mean+gaussian", (1, 2), 0, 0.8),
        _figures("cnn3d", (1, 2), 1, 0.81),
        _figures("cnn3d", (1, 2), 2, 0.83),
        _figures("cnn3d", (1,), 3, 0.1),  # not all cohorts are done with this seed
        _figures("rbf", (1,), 0, 0.99),  # under way
    ]
    table = script.summarise(pd.concat(rows, ignore_index=True), "method").set_index("method")
    assert set(table.index) == {"lda", "svm-mean+gaussian", "cnn3d"}
    assert set(table["reference"]) == {"svm-mean+gaussian"}
    assert table.loc["cnn3d", "less_balanced_accuracy"] == pytest.approx(0.02)
    assert table.loc["lda", "less_auc"] == pytest.approx(-0.1)
    # Over two cells, each with its own best, the reference is the best of both.
    other = [_figures("lda", (1, 2), 0, 0.9), _figures("svm-mean+gaussian", (1, 2), 0, 0.85)]
    both = pd.concat([*rows[:2], *(frame.assign(difficulty="hard") for frame in other)], ignore_index=True)
    table = script.summarise(both, "method").set_index(["difficulty", "method"])
    assert table.loc[("hard", "svm-mean+gaussian"), "reference"] == "lda"
    assert table.loc[("all", "lda"), "reference"] == "svm-mean+gaussian"
    assert table.loc[("all", "lda"), "less_auc"] == pytest.approx(0.8 - 0.825)


def test_differences_are_paired_whatever_the_order_of_the_cohorts(script: ModuleType) -> None:
    one = pd.concat([_figures("lda", (1,), 0, 0.7), _figures("lda", (2,), 0, 0.9)])
    other = pd.concat([_figures("svm", (2,), 0, 0.85), _figures("svm", (1,), 0, 0.65)])
    table = script.summarise(pd.concat([one, other]), "method", reference="lda").set_index("method")
    for name in ("less_auc", "less_auc_low", "less_auc_high"):
        assert table.loc["svm", name] == pytest.approx(-0.05)


def test_cells_come_in_whole_sets(script: ModuleType, tmp_path: Path) -> None:
    study = script.Study(tmp_path, 6, (36, 40), 200, 3, 5, 120, 1, None)
    done = list(script.jobs(study, ["baselines", "cnn3d", "selection"]))
    assert len(done) == 45 * 4 + 15
    assert done[:9] == [("baselines", cell) for cell in list(study.cells())[:9]]
    assert done[9] == ("cnn3d-1", ("easy", "0", 101))
    assert len(set(done)) == len(done)


def test_a_cohort_of_ones_own_and_resumption(tmp_path: Path) -> None:
    listed = write_cohort(tmp_path / "cohort", patients=3)
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path / "run"), "--cohort", str(listed)]
    command += ["--labels", "1=normal,2=tumor", "--stage"]
    first = subprocess.run([*command, "baselines", "selection", "tables"], capture_output=True, text=True, check=True)
    assert first.stdout.count("s of CPU") == 4
    text = (tmp_path / "run" / "tables.md").read_text()
    assert "| pls-meanstd+gaussian |" in text
    assert "| - | anova 10 |" in text
    assert "CPU time of the cells: 0.0" in text
    table = pd.read_csv(tmp_path / "run" / "methods.csv").set_index("method")
    assert table.loc["lda-meanstd", "balanced_accuracy"] > 0.9
    assert table["less_balanced_accuracy"].max() == 0.0
    split = json.loads((tmp_path / "run" / "cells" / "given_-_0" / "split.json").read_text())
    assert [fold["test"] for fold in split] == [["p0_0"], ["p1_0"], ["p2_0"]]
    again = subprocess.run([*command, "baselines", "tables"], capture_output=True, text=True, check=True)
    assert "s of CPU" not in again.stdout
    other = subprocess.run([*command, "tables", "--steps", "7"], capture_output=True, text=True, check=False)
    assert other.returncode != 0
    assert "the run has other sizes" in other.stderr
