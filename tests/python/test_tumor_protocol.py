from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, Cancelled, FileError, UnavailableError
from ionmorphnet.evaluate.bootstrap import BootstrapOptions
from ionmorphnet.evaluate.metrics import auc
from ionmorphnet.io.imzml_writer import ImzMLWriter
from ionmorphnet.tumor import evaluation
from ionmorphnet.tumor.baselines import FittedBaseline
from ionmorphnet.tumor.evaluation_report import Outcome, confusion_counts, make_report, roc_curve
from tumor_cohorts import LABELS, MZ, write_cohort

pytest.importorskip("sklearn", reason="the baselines need the extra [tumor]")

CLASSES = ("normal", "tumor")
FAST = BootstrapOptions(draws=200)


def _outcome(method: str, wrong: float, rng: np.random.Generator) -> Outcome:
    section = np.repeat(np.arange(5), 40)
    label = np.tile(np.repeat([0, 1], [30, 10]), 5)
    found = np.where(rng.random(200) < wrong, 1 - label, label)
    probabilities = np.full((200, 2), 0.2)
    probabilities[np.arange(200), found] = 0.8
    return Outcome("picked", method, 7, section, label, probabilities, 1.0, 0.1)


def test_figures(rng: np.random.Generator) -> None:
    good, bad = _outcome("cnn3d", 0.1, rng), _outcome("lda", 0.4, rng)
    report = make_report([good, bad], CLASSES, tuple("abcde"), options=FAST)
    row = report.table.set_index("method").loc["lda"]
    found = bad.probabilities.argmax(axis=1)
    recalls = [np.mean(found[bad.label == k] == k) for k in (0, 1)]
    assert row["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert [row["recall_normal"], row["recall_tumor"]] == pytest.approx(recalls)
    assert row["low"] < row["balanced_accuracy"] < row["high"]
    best = report.table.set_index("method").loc["cnn3d"]
    assert row["difference"] == pytest.approx(best["balanced_accuracy"] - row["balanced_accuracy"])
    assert row["difference_low"] > 0
    assert np.isnan(best["difference"])
    np.testing.assert_array_equal(report.confusion[("picked", "lda")], pd.crosstab(bad.label, found).to_numpy())
    assert report.by_section.shape == (5, 2)
    json.dumps(report.to_dict()["confusion"])


def test_intervals_are_over_sections(rng: np.random.Generator) -> None:
    """All pixels of a section right or wrong: many pixels, but only five observations."""
    outcome = _outcome("cnn3d", 0.0, rng)
    wrong = outcome.section == 0
    flipped = replace(outcome, probabilities=np.where(wrong[:, None], 1 - outcome.probabilities, outcome.probabilities))
    row = make_report([flipped], CLASSES, tuple("abcde"), options=FAST).table.iloc[0]
    assert row["balanced_accuracy"] == pytest.approx(0.8)
    assert row["high"] - row["low"] > 0.3


def test_roc_curve_meets_the_area(rng: np.random.Generator) -> None:
    positive = rng.random(3000) < 0.3
    score = rng.random(3000).round(2) + 0.4 * positive
    curve = roc_curve(positive, score, points=10_000)
    area = np.trapezoid(curve["true_positive"], curve["false_positive"])
    assert area == pytest.approx(auc(positive, score))
    assert len(roc_curve(positive, score, points=50)) <= 50
    assert len(roc_curve(np.ones(3, bool), np.ones(3))) == 0
    assert confusion_counts(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist() == [[1, 1], [0, 1]]


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> imn.tumor.Cohort:
    return imn.tumor.read_cohort(write_cohort(tmp_path_factory.mktemp("cohort"), patients=3), labels=LABELS)


PLAN = imn.tumor.EvaluationPlan(
    selections=("moran",),
    ablation=("random", "all"),
    methods=("lda", "logistic"),
    ablation_methods=("lda",),
    top=4,
    threads=1,
)


def test_zero_threads_use_all_cores(cohort: imn.tumor.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = []

    class Recorded(FittedBaseline):
        def __init__(self, *given: Any, threads: int, **options: Any) -> None:
            used.append(threads)
            super().__init__(*given, threads=threads, **options)

    monkeypatch.setattr(evaluation, "FittedBaseline", Recorded)
    monkeypatch.setattr(evaluation, "usable_cores", lambda: 3)
    plan = imn.tumor.EvaluationPlan(selections=("all",), methods=("lda",))
    assert plan.threads == 0
    imn.tumor.evaluate_cohort(tmp_path / "x", cohort, plan, options=FAST)
    assert used == [3, 3, 3]


def test_an_evaluation_goes_on_where_it_stopped(
    cohort: imn.tumor.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    report = imn.tumor.evaluate_cohort(
        tmp_path / "a", cohort, PLAN, options=FAST, progress=lambda text, *_: told.append(text)
    )
    assert list(zip(report.table["selection"], report.table["method"], report.table["channels"], strict=True)) == [
        ("moran", "lda", 4),
        ("moran", "logistic", 4),
        ("random", "lda", 4),
        ("all", "lda", 20),
    ]
    assert "moran / logistic" in told
    assert report.table["balanced_accuracy"].iloc[0] > 0.85
    whole = pd.read_csv(tmp_path / "a" / "table.csv")
    # Half of it is lost; what is left is not computed again.
    files = sorted((tmp_path / "a" / "folds").rglob("*.npz"))
    assert len(files) == 12
    for path in files[::2]:
        path.unlink()
    made: list[str] = []
    real = FittedBaseline.__init__

    def counted(self: Any, name: str, *given: Any, **more: Any) -> None:
        made.append(name)
        real(self, name, *given, **more)

    monkeypatch.setattr(FittedBaseline, "__init__", counted)
    imn.tumor.evaluate_cohort(tmp_path / "a", cohort, PLAN, options=FAST)
    assert len(made) == 6
    timed = ["train_s", "predict_s"]
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "a" / "table.csv").drop(columns=timed), whole.drop(columns=timed)
    )
    # More methods may join; another plan may not.
    more = imn.tumor.evaluate_cohort(tmp_path / "a", cohort, replace(PLAN, methods=("lda", "svm")), options=FAST)
    assert "svm" in set(more.table["method"])
    with pytest.raises(ArgumentError, match="contains an evaluation that differs in plan;"):
        imn.tumor.evaluate_cohort(tmp_path / "a", cohort, replace(PLAN, top=5), options=FAST)
    with pytest.raises(ArgumentError, match="contains an evaluation; resume it"):
        imn.tumor.evaluate_cohort(tmp_path / "a", cohort, PLAN, resume=False)
    (tmp_path / "a" / "folds").joinpath("lda").iterdir().__next__().write_bytes(b"damaged")
    with pytest.raises(FileError, match=r"damaged .*; delete it"):
        imn.tumor.evaluate_cohort(tmp_path / "a", cohort, PLAN, options=FAST)


def test_networks_and_blocks(cohort: imn.tumor.Cohort, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="networks need the extra [train]")
    plan = replace(
        PLAN, ablation=(), methods=("lda", "cnn1d", "cnn3d"), size=3, steps=3, recipe={"batch": 8, "width": 2}
    )
    report = imn.tumor.evaluate_cohort(tmp_path / "a", cohort, plan, options=FAST, device="cpu")
    again = imn.tumor.evaluate_cohort(tmp_path / "b", cohort, plan, options=FAST, device="cpu")
    columns = ["method", "balanced_accuracy", "low", "high", "auc"]
    pd.testing.assert_frame_equal(report.table[columns], again.table[columns])
    one = imn.tumor.make_cohort(cohort.sections[:1], labels=LABELS)
    with pytest.raises(ArgumentError, match="spatial blocks"):
        imn.tumor.evaluate_cohort(tmp_path / "c", one, plan, options=FAST)
    blocks = replace(plan, methods=("lda",), blocks=(3, 1))
    report = imn.tumor.evaluate_cohort(tmp_path / "d", one, blocks, options=FAST)
    assert list(report.sections) == ["p0_0[0,0]", "p0_0[1,0]", "p0_0[2,0]"]
    with pytest.raises(ArgumentError, match="buffer must be at least 1 pixels, half a patch of 3, not 0"):
        imn.tumor.evaluate_cohort(tmp_path / "e", one, replace(blocks, buffer=0), options=FAST)


@pytest.mark.parametrize("kind", ["intensity", "moran", "picked"])
def test_channels_of_a_fold_do_not_depend_on_its_test_block(kind: str, tmp_path: Path) -> None:
    """Two sections that differ in one block only: the fold that tests it chooses the same channels."""
    chosen: dict[bool, dict[str, list[int]]] = {}
    for hot in (False, True):
        rng = np.random.default_rng(0)
        intensity = rng.gamma(8.0, 10.0, (20, 24, len(MZ)))
        if hot:
            intensity[:, 12:, 4] += 5000 * (np.arange(12) / 12)
        path = tmp_path / f"s{hot:d}.imzML"
        with ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
            for y, x in np.ndindex(20, 24):
                writer.add(x + 1, y + 1, MZ, intensity[y, x])
        mask = np.ones((20, 24), np.uint8)
        mask[10:] = 2
        np.save(tmp_path / "m.npy", mask)
        section = imn.tumor.SectionFile("s", path, tmp_path / "m.npy", "p")
        plan = replace(PLAN, selections=(kind,), ablation=(), methods=("lda",), top=2, size=3, blocks=(1, 2))
        out = tmp_path / f"out{hot:d}"
        imn.tumor.evaluate_cohort(
            out, imn.tumor.make_cohort([section], labels=LABELS), plan, channels=MZ, ppm=20, options=FAST, device="cpu"
        )
        chosen[hot] = {}
        for file in (out / "folds" / "lda").iterdir():
            with np.load(file) as loaded:
                chosen[hot][file.name[:5]] = loaded["channels"].tolist()
        assert len(pd.read_csv(out / "scores.csv")) == 2 * len(MZ)
    left, right = "s_0_0", "s_0_1"
    assert chosen[True][right] == chosen[False][right]
    assert 4 in chosen[True][left]
    assert 4 not in chosen[True][right]


def test_a_block_is_ranked_as_the_section_that_it_would_be(cohort: imn.tumor.Cohort, tmp_path: Path) -> None:
    from ionmorphnet.tumor.selection import section_scores

    axis = imn.CandidateAxis.from_mz_list(MZ, ppm=20)
    block = np.zeros((14, 16), bool)
    block[3:12, 2:15] = True
    kinds = ["moran", "intensity"]
    (found,) = section_scores(
        imn.tumor.make_cohort(cohort.sections[:1], labels=LABELS), axis, kinds, blocks=[[block]], memory_limit="40kB"
    )
    with (
        imn.open(cohort.sections[0].path) as ds,
        ImzMLWriter(tmp_path / "b.imzML", mode="continuous", spectrum_type="centroid") as writer,
    ):
        for i, (x, y, _) in enumerate(ds.coordinates):
            if block[y - 1, x - 1]:
                writer.add(int(x) - 2, int(y) - 3, *ds.spectrum(i))
    np.save(tmp_path / "b.npy", np.ones((9, 13), int))
    section = imn.tumor.SectionFile("b", tmp_path / "b.imzML", tmp_path / "b.npy", "p")
    (expected,) = section_scores(imn.tumor.make_cohort([section], labels=LABELS), axis, kinds)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-6)


def test_the_picker_runs_on_the_requested_device(cohort: imn.tumor.Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    from ionmorphnet.tumor import selection

    class Seen(Exception):  # noqa: N818
        pass

    given: dict[str, Any] = {}

    def seen(**options: Any) -> None:
        given.update(options)
        raise Seen

    monkeypatch.setattr(selection, "make_scorer", seen)
    axis = imn.CandidateAxis.from_mz_list(MZ, ppm=20)
    with pytest.raises(Seen):
        selection.section_scores(cohort, axis, ["picked"], device="cuda:3", threads=5)
    assert given == {"model": None, "device": "cuda:3", "precision": "f32", "threads": 5}


NETWORKS = replace(PLAN, ablation=(), methods=("lda", "cnn3d"), size=3, steps=6, recipe={"batch": 8, "width": 2})


def test_an_evaluation_stopped_inside_a_fold_goes_on_to_the_same(
    cohort: imn.tumor.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch", reason="networks need the extra [train]")
    from ionmorphnet.training.run_state import load_file
    from ionmorphnet.tumor.training_loop import _Fit

    whole = imn.tumor.evaluate_cohort(tmp_path / "whole", cohort, NETWORKS, options=FAST, device="cpu")
    steps = 0
    real = _Fit._step

    def stopped(self: Any) -> None:
        nonlocal steps
        real(self)
        steps += 1
        if steps == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(_Fit, "_step", stopped)
    with pytest.raises(Cancelled, match="stopped at step 4 of 6"):
        imn.tumor.evaluate_cohort(tmp_path / "cut", cohort, NETWORKS, options=FAST, device="cpu")
    (begun,) = (tmp_path / "cut" / "folds" / "cnn3d").glob("*/last.pt")
    assert load_file(begun, "step")["step"] == 4
    assert len(list((tmp_path / "cut" / "folds" / "cnn3d").glob("*.npz"))) == 1
    again = imn.tumor.evaluate_cohort(tmp_path / "cut", cohort, NETWORKS, options=FAST, device="cpu")
    assert steps == 3 * 6  # none twice
    timed = ["train_s", "predict_s"]
    pd.testing.assert_frame_equal(again.table.drop(columns=timed), whole.table.drop(columns=timed))
    assert not list((tmp_path / "cut" / "folds" / "cnn3d").glob("*/last.pt"))


def test_a_network_joins_baselines(cohort: imn.tumor.Cohort, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="networks need the extra [train]")
    four = imn.tumor.read_cohort(write_cohort(tmp_path / "four"), labels=LABELS)
    baseline = replace(NETWORKS, methods=("lda",))
    imn.tumor.evaluate_cohort(tmp_path / "out", four, baseline, options=FAST)
    report = imn.tumor.evaluate_cohort(tmp_path / "out", four, replace(NETWORKS, steps=6), options=FAST, device="cpu")
    assert set(report.table["method"]) == {"lda", "cnn3d"}
    folds = json.loads((tmp_path / "out" / "plan.json").read_text())["folds"]
    assert all(fold["inner"] for fold in folds)


def test_missing_early_stopping_is_logged(
    cohort: imn.tumor.Cohort, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("torch", reason="networks need the extra [train]")
    plan = replace(NETWORKS, methods=("cnn1d",), steps=1)
    imn.tumor.evaluate_cohort(tmp_path / "a", cohort, plan, options=FAST, device="cpu")
    assert "no early stopping of networks in 3 of 3 folds" in caplog.text
    caplog.clear()
    imn.tumor.evaluate_cohort(tmp_path / "b", cohort, replace(plan, inner=False), options=FAST, device="cpu")
    assert "stop early" not in caplog.text


def test_results_of_other_data_are_not_mixed(tmp_path: Path) -> None:
    cohort = imn.tumor.read_cohort(write_cohort(tmp_path, patients=3), labels=LABELS)
    axis = imn.CandidateAxis.from_mz_list(MZ, ppm=20)
    plan = replace(PLAN, selections=("moran",), ablation=(), methods=("lda",))

    def evaluate(given: imn.CandidateAxis, plan: imn.tumor.EvaluationPlan = plan) -> None:
        imn.tumor.evaluate_cohort(tmp_path / "out", cohort, plan, channels=given, options=FAST)

    evaluate(axis)
    evaluate(axis, replace(plan, threads=2))
    wide = imn.CandidateAxis(axis.mz, axis.mz_lo, axis.mz_hi + 5.0, axis.frequency, axis.method)
    with pytest.raises(ArgumentError, match="contains an evaluation that differs in channels, data;"):
        evaluate(imn.CandidateAxis(axis.mz, axis.mz_lo, axis.mz_hi + 12.0, axis.frequency, axis.method))
    with pytest.raises(ArgumentError, match="contains an evaluation that differs in channels;"):
        evaluate(wide)
    for path in tmp_path.glob("p*"):
        os.utime(path)
    evaluate(axis)
    write_cohort(tmp_path, patients=3, seed=5)
    with pytest.raises(ArgumentError, match="contains an evaluation that differs in data;"):
        evaluate(axis)


def test_requirements_of_networks_are_checked_first(
    cohort: imn.tumor.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ArgumentError, match="unknown recipe entries: widht"):
        replace(NETWORKS, recipe={"widht": 3})
    with pytest.raises(ArgumentError, match="recipe must not set size, steps"):
        replace(NETWORKS, recipe={"size": 3, "steps": 3})
    replace(NETWORKS, methods=("lda",), recipe={"widht": 3})  # nobody reads it
    monkeypatch.delitem(sys.modules, "ionmorphnet.training.run", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(UnavailableError, match=r"networks \(cnn1d, .*cnn3d\) need torch"):
        imn.tumor.evaluate_cohort(tmp_path / "out", cohort, NETWORKS, options=FAST)
    assert not (tmp_path / "out").exists()


def test_plans_and_commands_need_no_torch() -> None:
    script = (
        "import sys; sys.modules['torch'] = None; import ionmorphnet.cli.app; import ionmorphnet; "
        "ionmorphnet.tumor.EvaluationPlan()"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize(("device", "error"), [("gpu", ArgumentError), ("cuda:99", UnavailableError)])
def test_the_device_is_checked_first(
    cohort: imn.tumor.Cohort, tmp_path: Path, device: str, error: type[Exception]
) -> None:
    pytest.importorskip("torch", reason="networks need the extra [train]")
    with pytest.raises(error, match=device):
        imn.tumor.evaluate_cohort(tmp_path / "out", cohort, NETWORKS, options=FAST, device=device)
    assert not (tmp_path / "out").exists()


def test_test_pixels_are_predicted_in_pieces(
    cohort: imn.tumor.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ionmorphnet.tumor import patches

    plan = replace(PLAN, ablation=(), methods=("lda",))
    whole = imn.tumor.evaluate_cohort(tmp_path / "a", cohort, plan, options=FAST)
    monkeypatch.setattr(patches, "_PATCH_VALUES", 4 * 50)
    seen: list[int] = []
    real = FittedBaseline.probabilities

    def counted(self: Any, values: Any) -> Any:
        seen.append(len(values))
        return real(self, values)

    monkeypatch.setattr(FittedBaseline, "probabilities", counted)
    found = imn.tumor.evaluate_cohort(tmp_path / "b", cohort, plan, options=FAST)
    assert max(seen) == 50
    assert found.table["auc"].iloc[0] == pytest.approx(whole.table["auc"].iloc[0])


def test_a_split_replaces_the_protocol(cohort: imn.tumor.Cohort, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(json.dumps([{"train": ["p0_0", "p1_0"], "test": ["p2_0"]}]))
    plan = replace(PLAN, ablation=(), methods=("lda",))
    for other in ({"protocol": "k-fold"}, {"by": "section"}, {"k": 3}):
        with pytest.raises(ArgumentError, match="split defines the folds"):
            imn.tumor.evaluate_cohort(tmp_path / "x", cohort, replace(plan, **other), split=tmp_path / "s.json")
    report = imn.tumor.evaluate_cohort(tmp_path / "x", cohort, plan, split=tmp_path / "s.json", options=FAST)
    assert report.table["n_sections"].tolist() == [1]


@pytest.mark.parametrize(
    "bad",
    [
        {"methods": ("magic",)},
        {"methods": ("lda-max",)},
        {"selections": ("best",)},
        {"methods": ()},
        {"size": 2},
        {"top": 0},
        {"protocol": "x"},
        {"by": "pixel"},
        {"k": 1},
        {"normalize": "sum"},
        {"blocks": (0, 1)},
        {"threads": -1},
        {"blocks": (2, 2), "buffer": 1},
        {"seed": -1},
    ],
)
def test_invalid_plans(bad: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError):
        replace(PLAN, **bad)
