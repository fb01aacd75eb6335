from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.evaluate.bootstrap import BootstrapOptions, resample
from ionmorphnet.io.imzml_writer import ImzMLWriter
from ionmorphnet.tumor.baselines import DEFAULT_METHOD
from ionmorphnet.tumor.evaluation_report import Outcome, calibration, make_report
from ionmorphnet.tumor.posteriors import SMOOTHINGS, change_posteriors
from ionmorphnet.tumor.standardization import STANDARDIZATIONS, standardize_section
from tumor_cohorts import LABELS, MZ, regions, write_cohort, write_section


def _section(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    measured = rng.random((20, 30)) < 0.8
    values = rng.gamma(3.0, 2.0, (20, 30, 5)).astype(np.float32) * measured[..., None]
    return values, measured


def test_each_kind_has_its_level_and_spread(rng: np.random.Generator) -> None:
    given, measured = _section(rng)
    given[..., 4] = np.where(measured, 7.0, 0.0)  # constant
    given[..., 3] = np.where(measured & (rng.random(measured.shape) < 0.3), 5.0, 0.0)  # mostly zero
    found = {}
    for kind in STANDARDIZATIONS:
        values = given.copy()
        standardize_section(values, measured, kind)
        assert (values[~measured] == 0).all()
        found[kind] = values[measured].astype(np.float64)
        if kind != "none":
            assert (found[kind][:, 4] == 0).all()
    for kind in ("z", "rank"):
        np.testing.assert_allclose(found[kind].mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(found["z"][:, :4].std(axis=0), 1.0, rtol=1e-5)
    np.testing.assert_allclose(found["rank"][:, :3].std(axis=0), 1.0, rtol=1e-3)
    np.testing.assert_allclose(np.median(found["robust"][:, :3], axis=0), 0.0, atol=1e-6)
    low, high = np.quantile(found["robust"][:, :3], (0.25, 0.75), axis=0)
    np.testing.assert_allclose(high - low, 1.349, rtol=1e-4)
    assert len(np.unique(found["rank"][:, 3])) == len(np.unique(found["robust"][:, 3])) == 2
    np.testing.assert_array_equal(found["none"], given[measured])
    with pytest.raises(ArgumentError, match="standardize must be one of z, robust, rank, none, not 'max'"):
        standardize_section(given, measured, "max")


@pytest.mark.parametrize("kind", ["z", "robust", "rank"])
def test_gain_and_offset_of_a_channel_do_not_matter(kind: str, rng: np.random.Generator) -> None:
    one, measured = _section(rng)
    other = np.where(measured[..., None], one * np.array([0.2, 5.0, 1.0, 30.0, 2.0]) + 4.0, 0.0).astype(np.float32)
    for values in (one, other):
        standardize_section(values, measured, kind)
    np.testing.assert_allclose(one, other, atol=2e-4)


def _changed(source: Path, path: Path, rng: np.random.Generator) -> Path:
    """The same section with another gain and offset in every channel."""
    gain, offset = np.exp(rng.normal(0.7, 0.5, len(MZ))), rng.uniform(0.0, 20.0, len(MZ))
    gain[3] = 0.3  # tumor of this section is as dim as healthy tissue of the training
    with imn.open(source) as ds, ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        for i, (x, y, _) in enumerate(ds.coordinates):
            mz, intensity = ds.spectrum(i)
            writer.add(int(x), int(y), mz, gain * intensity + offset)
    return path


def test_a_section_with_another_gain_and_offset_is_predicted_as_well(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra [train]")
    cohort = imn.tumor.read_cohort(write_cohort(tmp_path / "cohort"), labels=LABELS)
    new = tmp_path / "new.imzML"
    write_section(new, np.random.default_rng(7))
    shifted = _changed(new, tmp_path / "shifted.imzML", np.random.default_rng(8))
    truth = regions()
    accuracy: dict[str, list[float]] = {}
    for kind in ("z", "none"):
        trained = imn.tumor.train_tumor(
            tmp_path / kind,
            cohort,
            method="cnn3d",
            channels=MZ,
            ppm=20,
            normalize="none",
            size=5,
            steps=80,
            recipe={"batch": 32, "width": 4, "ema_decay": 0.9},
            device="cpu",
            threads=1,
            **({} if kind == "z" else {"standardize": kind}),  # z is the default
        )
        assert trained.model.standardize == kind
        accuracy[kind] = []
        for path in (new, shifted):
            found = imn.tumor.predict(trained.model, path, device="cpu", threads=1)
            judged = (truth > 0) & found.measured
            right = found.labels[judged] == truth[judged].astype(int) - 1
            accuracy[kind].append(float(np.mean([right[truth[judged] == k].mean() for k in (1, 2)])))
    assert accuracy["z"][0] > 0.9
    assert accuracy["z"][1] == pytest.approx(accuracy["z"][0], abs=0.02)
    assert accuracy["none"][1] < accuracy["none"][0] - 0.1  # what the standardisation is for
    path = tmp_path / "z" / "model" / "config.json"
    config = json.loads(path.read_text())
    assert config["standardize"] == "z"
    path.write_text(json.dumps({**config, "standardize": "sum"}))
    with pytest.raises(FileError, match=r"config.json: standardize 'sum' is unknown"):
        imn.tumor.load_tumor_model(path.parent)


@pytest.mark.parametrize("standardize", ["z", "rank"])
def test_the_default_method_bears_large_shifts_without_a_norm(standardize: str, tmp_path: Path) -> None:
    """Only the norm of a pixel mixes channels. Ranks do not change at all; z-scores of roots hardly."""
    pytest.importorskip("torch", reason="training needs the extra [train]")
    cohort = imn.tumor.read_cohort(write_cohort(tmp_path / "cohort"), labels=LABELS)
    new = tmp_path / "new.imzML"
    write_section(new, np.random.default_rng(7), shape=(28, 32))
    shifted = _changed(new, tmp_path / "shifted.imzML", np.random.default_rng(8))
    given = {"channels": MZ, "ppm": 20, "device": "cpu", "threads": 1}
    model = imn.tumor.train_tumor(tmp_path / "run", cohort, normalize="none", standardize=standardize, **given).model
    one, other = (imn.tumor.predict(model, path, device="cpu", threads=1) for path in (new, shifted))
    truth = regions((28, 32))
    accuracy = []
    for found in (one, other):
        judged = (truth > 0) & found.measured
        right = found.labels[judged] == truth[judged].astype(int) - 1
        accuracy.append(float(np.mean([right[truth[judged] == k].mean() for k in (1, 2)])))
    assert accuracy[0] > 0.9
    assert accuracy[1] == pytest.approx(accuracy[0], abs=0.02)
    if standardize == "rank":
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-3)


def _logistic(logits: np.ndarray) -> np.ndarray:
    tumor = 1.0 / (1.0 + np.exp(-logits))
    return np.stack([1.0 - tumor, tumor], axis=1)


def test_the_share_of_a_rare_class_is_estimated(rng: np.random.Generator) -> None:
    label = rng.random(4000) < 0.05
    given = _logistic(2.0 * (np.where(label, 1.0, -1.0) + rng.normal(0.0, 1.0, 4000)))
    found = change_posteriors(given, np.ones((40, 100), bool), adapt="prior")
    assert found[:, 1].mean() == pytest.approx(0.05, abs=0.015)
    assert given[:, 1].mean() > 0.15
    np.testing.assert_allclose(found.sum(axis=1), 1.0)


@pytest.mark.parametrize("kind", ["gaussian", "crf"])
def test_smoothing_removes_single_errors_and_nothing_else(kind: str, rng: np.random.Generator) -> None:
    truth = np.zeros((24, 24), int)
    truth[:, 12:] = 1
    measured = np.ones(truth.shape, bool)
    measured[:3, :3] = False
    logits = np.where(truth, 1.5, -1.5)
    wrong = rng.random(truth.shape) < 0.08
    logits[wrong] *= -1
    found = change_posteriors(_logistic(logits[measured]), measured, smooth=kind)
    np.testing.assert_allclose(found.sum(axis=1), 1.0)
    right = found.argmax(axis=1) == truth[measured]
    assert right.mean() > 0.98 > 1.0 - wrong.mean() + 0.02
    constant = np.full((int(measured.sum()), 2), 0.5)
    np.testing.assert_allclose(change_posteriors(constant, measured, smooth=kind), 0.5, atol=1e-9)


def test_unknown_names() -> None:
    given, measured = np.full((4, 2), 0.5), np.ones((2, 2), bool)
    with pytest.raises(ArgumentError, match="adapt must be one of none, prior, not 'x'"):
        change_posteriors(given, measured, adapt="x")
    with pytest.raises(ArgumentError, match="smooth must be one of none, gaussian, crf, not 'x'"):
        change_posteriors(given, measured, smooth="x")
    with pytest.raises(ArgumentError, match="smooth must be one of"):
        imn.tumor.EvaluationPlan(smooth=("none", "x"))
    with pytest.raises(ArgumentError, match="standardize must be one of"):
        imn.tumor.EvaluationPlan(standardize="x")
    with pytest.raises(ArgumentError, match="adapt and smooth must hold"):
        imn.tumor.EvaluationPlan(adapt=())
    with pytest.raises(ArgumentError, match="adapt must be one of"):
        imn.tumor.predict("nowhere", "nowhere.imzML", adapt="x")


def test_calibration() -> None:
    label = np.array([0, 0, 0, 1])
    sure = np.array([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.3, 0.7]])
    brier, ece = calibration(label, sure)
    # Class 0: squared errors .01, .01, .64; class 1: .09.
    assert brier == pytest.approx(0.5 * np.mean([0.01, 0.01, 0.64]) + 0.5 * 0.09)
    # Bins of .7, .8 and .9: weights 1/2, 1/6 and 1/3.
    assert ece == pytest.approx(abs(0.5 * (0.7 - 1)) + abs((0.8 - 0) / 6) + abs((0.9 - 1) / 3))
    assert calibration(label, np.eye(2)[label]) == (0.0, 0.0)


def test_figures_by_patient_and_intervals_over_patients() -> None:
    """Two sections of one patient are wrong together, so only two patients are observed, not four sections."""
    section, label = np.repeat(np.arange(4), 20), np.tile([0, 1], 40)
    right = np.eye(2)[label] * 0.8 + 0.1
    probabilities = np.where((section < 2)[:, None], right, 1.0 - right)
    outcome = Outcome("all", "lda", 5, section, label, probabilities, 1.0, 1.0)
    options = BootstrapOptions(draws=400)
    report = make_report([outcome], ("a", "b"), tuple("wxyz"), ("p", "p", "q", "q"), options=options)
    assert report.by_patient["patient"].tolist() == ["p", "q"]
    assert report.by_patient["balanced_accuracy"].tolist() == [1.0, 0.0]
    assert report.by_patient["auc"].tolist() == [1.0, 0.0]
    assert report.by_patient["brier"].tolist() == pytest.approx([0.01, 0.81])
    draws = resample(lambda c: (c @ [1.0, 1.0, 0.0, 0.0]) / 4, 4, options, groups=np.array([0, 0, 1, 1])).draws
    assert np.isin(draws, [0.0, 0.5, 1.0]).all()
    assert report.table["low"].iloc[0] == 0.0
    assert report.table["high"].iloc[0] == 1.0


def test_adapted_and_smoothed_rows_come_from_the_same_predictions(tmp_path: Path) -> None:
    pytest.importorskip("sklearn", reason="the baselines need the extra [tumor]")
    cohort = imn.tumor.read_cohort(write_cohort(tmp_path / "cohort", patients=3), labels=LABELS)
    plan = imn.tumor.EvaluationPlan(selections=("all",), methods=("lda",), smooth=SMOOTHINGS, threads=1)
    fast = BootstrapOptions(draws=50)
    report = imn.tumor.evaluate_cohort(tmp_path / "out", cohort, plan, options=fast)
    assert report.table["method"].tolist() == ["lda", "lda+gaussian", "lda+crf"]
    accuracy = report.table.set_index("method")["balanced_accuracy"]
    assert accuracy["lda+gaussian"] > accuracy["lda"]
    files = list((tmp_path / "out" / "folds").rglob("*.npz"))
    assert len(files) == 3
    before = {path: path.stat().st_mtime_ns for path in files}
    more = replace(plan, adapt=("prior",), smooth=("none",))
    again = imn.tumor.evaluate_cohort(tmp_path / "out", cohort, more, options=fast)
    assert again.table["method"].tolist() == ["lda+prior"]
    assert {path: path.stat().st_mtime_ns for path in files} == before
    assert len(again.by_patient) == 3
    with pytest.raises(ArgumentError, match="differs in plan, data"):
        imn.tumor.evaluate_cohort(tmp_path / "out", cohort, replace(plan, standardize="rank"), options=fast)


def test_without_the_network_the_best_method_is_the_reference() -> None:
    section, label = np.repeat(np.arange(4), 20), np.tile([0, 1], 40)
    right = np.eye(2)[label] * 0.8 + 0.1
    wrong = np.where((section == 0)[:, None], 1.0 - right, right)
    given = [Outcome("all", name, 5, section, label, p, 1.0, 1.0) for name, p in (("lda", wrong), ("svm", right))]
    report = make_report(given, ("a", "b"), tuple("wxyz"), options=BootstrapOptions(draws=50))
    assert report.reference == "svm"
    assert report.table["difference"].tolist()[0] == pytest.approx(0.25)
    report = make_report([*given, replace(given[0], method=DEFAULT_METHOD)], ("a", "b"), tuple("wxyz"))
    assert report.reference == DEFAULT_METHOD
