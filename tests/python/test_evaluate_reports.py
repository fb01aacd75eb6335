"""Reports of classes and rankings, and the sets they are made of."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.base.json_output import plain, write_json
from ionmorphnet.evaluate import metrics, ranking
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS, STATISTICS
from ionmorphnet.models.model import DEFAULT_MODEL

FAST = ev.BootstrapOptions(200)


def scored(name: str, n: int = 40, seed: int = 0, **extra: np.ndarray) -> ev.ScoredSet:
    """Grades, a good and a poor classical score, a model in between, and its classes against two labellings."""
    rng = np.random.default_rng(seed)
    grades = rng.integers(0, 7, n) / 2.0
    scores = pd.DataFrame(
        {
            "net": grades + rng.normal(0, 0.8, n),
            "moran": grades + rng.normal(0, 0.3, n),
            "blur": rng.random(n),
            "intensity": rng.random(n),
            **extra,
        }
    )
    kinds: dict = {"net": "model", "moran": "classical", "blur": "classical", "intensity": "baseline"}
    kinds |= dict.fromkeys(extra, "model")
    first = rng.integers(0, 6, n)
    second = np.where(rng.random(n) < 0.9, first, (first + 1) % 6)
    logits = rng.normal(0, 1, (n, 6)) + 2.0 * np.eye(6)[first]
    frame = pd.DataFrame(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True), columns=PROBABILITY_COLUMNS)
    keys = tuple(map(str, range(n)))
    return ev.ScoredSet(name, scores, kinds, np.stack([first, second]), grades, keys, {"net": frame})


def test_class_figures_equal_direct_counts() -> None:
    each = scored("a")
    result = ev.classifier_report([each], options=FAST).results["a", "net"]
    p = each.predictions["net"].to_numpy()
    predicted = p.argmax(axis=1)
    accuracies = [float((predicted == row).mean()) for row in each.labels]
    assert result.labelling_accuracy == pytest.approx(accuracies)
    assert result.accuracy.value == pytest.approx(np.mean(accuracies))
    assert result.accuracy.low < result.accuracy.value < result.accuracy.high
    assert result.agreement == pytest.approx((each.labels[0] == each.labels[1]).mean())
    both = np.concatenate(each.labels)
    twice = np.tile(predicted, 2)
    confusion = pd.crosstab(both, twice).reindex(index=range(6), columns=range(6), fill_value=0).to_numpy() / 2
    np.testing.assert_allclose(result.confusion.to_numpy(), confusion)
    recalls = [(twice[both == i] == i).mean() for i in range(6)]
    np.testing.assert_allclose(result.classes["recall"], recalls)
    assert result.balanced_accuracy.value == pytest.approx(np.mean(recalls))
    assert result.classes["count"].sum() == 40
    pp = np.tile(p, (2, 1))
    assert result.nll == pytest.approx(-np.log(pp[np.arange(80), both]).mean())
    assert result.brier == pytest.approx(((pp - np.eye(6)[both]) ** 2).sum(axis=1).mean())
    confidence, right = pp.max(axis=1), twice == both
    ece = 0.0
    for low in np.arange(10) / 10:
        inside = (confidence > low) & (confidence <= low + 0.1)
        if inside.any():
            ece += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert result.ece == pytest.approx(ece)
    assert result.reliability["count"].sum() == 40


def test_classes_of_sets_of_equal_name_are_refused() -> None:
    with pytest.raises(imn.ArgumentError, match="names must be unique; repeated or reserved: a"):
        ev.classifier_report([scored("a"), scored("a", 30, 1)], options=FAST)


def test_pooling_of_classes() -> None:
    sets = [scored("a", 30, 1), scored("b", 60, 2)]
    one_labelling = ev.ScoredSet(
        "b", sets[1].scores, sets[1].kinds, sets[1].labels[:1], sets[1].structure, sets[1].keys, sets[1].predictions
    )
    report = ev.classifier_report([sets[0], one_labelling], options=FAST)
    a, b, pooled = (report.results[name, "net"] for name in ("a", "b", "all images"))
    assert np.isnan(b.agreement)
    assert pooled.n == 90
    assert pooled.accuracy.value == pytest.approx((30 * a.accuracy.value + 60 * b.accuracy.value) / 90)
    assert report.mean_accuracy["net"].value == pytest.approx((a.accuracy.value + b.accuracy.value) / 2)
    np.testing.assert_allclose(pooled.confusion, a.confusion + b.confusion)


def test_one_class_one_image_and_images_without_labels() -> None:
    certain = np.eye(6)[[2, 2, 2]]
    perfect = ev.judge_classes([2, 2, 2], certain, options=FAST)
    assert (perfect.accuracy.value, perfect.balanced_accuracy.value, perfect.majority) == (1.0, 1.0, 1.0)
    assert perfect.ece == perfect.brier == perfect.nll == 0.0
    assert np.isnan(perfect.classes.loc["negative", "recall"])
    single = ev.judge_classes([5], certain[:1], options=FAST)
    assert (single.accuracy.value, single.brier, single.n) == (0.0, 2.0, 1)
    each = scored("a")
    labels = each.labels.copy()
    labels[:, :10] = -1
    labels[1, 10:20] = -1
    partly = ev.ScoredSet("a", each.scores, each.kinds, labels, each.structure, each.keys, each.predictions)
    result = ev.classifier_report([partly], options=FAST).results["a", "net"]
    assert result.n == 30
    assert result.classes["count"].sum() == 30


@pytest.mark.parametrize(
    ("labels", "probabilities", "text"),
    [
        ([0], np.zeros((2, 6)), "shape"),
        ([], np.zeros((0, 6)), "shape"),
        ([6], np.zeros((1, 6)), "labels must be from 0 to 5"),
        ([-1], np.zeros((1, 6)), "needs at least one label"),
        ([0], np.full((1, 6), np.nan), "finite"),
    ],
)
def test_invalid_classes(labels: list, probabilities: np.ndarray, text: str) -> None:
    with pytest.raises(imn.ArgumentError, match=text):
        ev.judge_classes(labels, probabilities)


def test_ranking_against_grades() -> None:
    each = scored("a")
    report = ev.ranking_report([each], options=FAST)
    for method in each.scores:
        score, positive = each.scores[method], each.structure >= 1.5
        assert report.estimate("a", method, "concordance").value == metrics.concordance(score, each.structure)
        assert report.estimate("a", method, "spearman").value == metrics.spearman(score, each.structure)
        assert report.estimate("a", method, "auc").value == metrics.auc(positive, score)
        found = report.estimate("a", method, "precision_at_k").value
        assert found == ev.precision_at_k(positive, score, int(positive.sum()))
    rows = report.comparisons.set_index(["metric", "classical"])
    assert len(rows) == 2 * len(report.metrics)
    for metric in ("concordance", "spearman"):
        assert rows.loc[(metric, "moran"), "verdict"] == "below"
        assert rows.loc[(metric, "moran"), "difference_high"] < 0
        assert rows.loc[(metric, "blur"), "verdict"] == "above"
        net, moran = (report.estimate("a", name, metric).value for name in ("net", "moran"))
        assert rows.loc[(metric, "moran"), "difference"] == pytest.approx(net - moran)
    assert rows["sets_low"].isna().all()
    chance = report.estimate("a", "random", "auc")
    assert chance.low < 0.5 < chance.high
    assert chance.value == pytest.approx(0.5, abs=0.03)
    again = ev.ranking_report([scored("a")], options=FAST)
    pd.testing.assert_frame_equal(report.table, again.table)
    json.dumps(plain(report.to_dict()), allow_nan=False)


def test_pooled_ranking_is_the_mean_of_the_sets() -> None:
    sets = [scored("a", 30, 1), scored("b", 60, 2)]
    report = ev.ranking_report(sets, options=FAST)
    for metric in report.metrics:
        parts = [report.estimate(name, "net", metric).value for name in ("a", "b")]
        pooled = report.estimate("mean of sets", "net", metric)
        assert pooled.value == pytest.approx(np.mean(parts))
        assert pooled.n == 90
        assert pooled.low <= pooled.value <= pooled.high
    assert set(report.comparisons["dataset"]) == {"a", "b", "mean of sets"}
    # Two sets are resampled as (a, a), (a, b) or (b, b), so the interval spans both values.
    of_sets = report.table[report.table["dataset"] == "mean of sets"].set_index(["method", "metric"])
    ends = sorted(report.estimate(name, "net", "concordance").value for name in ("a", "b"))
    assert of_sets.loc[("net", "concordance"), ["sets_low", "sets_high"]].tolist() == pytest.approx(ends)
    gaps = report.comparisons.query("metric == 'concordance' and classical == 'moran'").set_index("dataset")
    ends = sorted(gaps.loc[["a", "b"], "difference"])
    assert gaps.loc["mean of sets", ["sets_low", "sets_high"]].tolist() == pytest.approx(ends)


def test_a_set_without_negatives_has_no_auc_and_is_left_out_of_the_mean() -> None:
    a, b = scored("a", 30, 1), scored("b", 40, 2)
    b = ev.ScoredSet("b", b.scores, b.kinds, b.labels, np.maximum(b.structure, 2.0), b.keys)
    report = ev.ranking_report([a, b], options=FAST)
    assert np.isnan(report.estimate("b", "net", "auc").value)
    assert report.estimate("mean of sets", "net", "auc").value == report.estimate("a", "net", "auc").value
    assert "auc" not in set(report.comparisons.query("dataset == 'b'")["metric"])
    for method in ("net", "random"):
        assert report.estimate("mean of sets", method, "auc").n == 30
        assert report.estimate("mean of sets", method, "spearman").n == 70


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_a_set_too_large_for_intervals_of_kendall(
    kind: Literal["percentile", "bca"], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ranking, "_PAIRS_LIMIT", 40)
    report = ev.ranking_report([scored("a", 30, 1), scored("b", 60, 2)], options=ev.BootstrapOptions(50, kind=kind))
    small, large, pooled = (report.estimate(name, "net", "kendall") for name in ("a", "b", "mean of sets"))
    assert pooled.value == pytest.approx((small.value + large.value) / 2)
    assert small.low < small.high
    assert all(np.isnan([each.low, each.high]).all() and each.draws == 0 for each in (large, pooled))
    rows = report.comparisons.query("metric == 'kendall' and classical == 'moran'").set_index("dataset")
    assert rows["verdict"].tolist() == ["below", "no interval", "no interval"]
    assert rows.loc["mean of sets", ["difference_low", "difference_high"]].isna().all()
    assert np.isfinite(rows["difference"].astype(float)).all()
    assert report.estimate("mean of sets", "net", "spearman").draws == 50


def test_equal_rankings_are_never_below_each_other() -> None:
    """All grades but one are equal: the figure of the sample is the lowest of all resamples."""
    each = scored("a", 30)
    grades = np.full(30, 3.0)
    grades[0] = 2.5
    scores = each.scores.assign(net=np.arange(30.0), moran=np.arange(30.0) / 7.0)
    report = ev.ranking_report([ev.ScoredSet("a", scores, each.kinds, each.labels, grades, each.keys)], options=FAST)
    row = report.comparisons.query("metric == 'spearman' and classical == 'moran'").iloc[0]
    assert row["verdict"] == "level"
    assert row["difference"] == pytest.approx(0.0, abs=1e-12)


def test_constant_and_undefined_scores() -> None:
    n = 40
    nan = np.where(np.arange(n) < 4, np.nan, 1.0)
    report = ev.ranking_report([scored("a", n, constant=np.zeros(n), partly=nan)], options=FAST)
    assert np.isnan(report.estimate("a", "constant", "spearman").value)
    assert report.estimate("a", "constant", "auc").value == 0.5
    assert report.undefined == {("a", "partly"): 4}
    assert "constant" not in set(report.comparisons.query("metric == 'spearman'")["model"])


def test_one_graded_image_gives_no_figure() -> None:
    each = scored("a", 3)
    grades = np.array([np.nan, 2.0, np.nan])
    report = ev.ranking_report(
        [ev.ScoredSet("a", each.scores, each.kinds, each.labels, grades, each.keys)], options=FAST
    )
    assert report.estimate("a", "net", "spearman").n == 1
    assert report.table.query("metric in ('spearman', 'auc', 'kendall')")["value"].isna().all()
    none = ev.ScoredSet("a", each.scores, each.kinds, each.labels, np.full(3, np.nan), each.keys)
    with pytest.raises(imn.ArgumentError, match="no image has a structure grade"):
        ev.ranking_report([none])
    with pytest.raises(imn.ArgumentError, match="names must be unique"):
        ev.ranking_report([each, each])
    with pytest.raises(imn.ArgumentError, match="sets is empty"):
        ev.ranking_report([])


def test_pairs() -> None:
    each = scored("a", 4)
    scores = each.scores.assign(net=[3.0, 2.0, 2.0, np.nan])
    each = ev.ScoredSet("a", scores, each.kinds, each.labels, each.structure, each.keys)
    pairs = np.array([[0, 1], [1, 2], [1, 0], [2, 3]])
    report = ev.pair_report([each], {"a": pairs}, options=FAST)
    found = report.estimate("a", "net", "agreement")
    assert found.value == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert found.n == 4
    for bad in ([[0, 9]], [[1, 1]], [[0.5, 1.0]], [[0, 1, 2]]):
        with pytest.raises(imn.ArgumentError, match="pairs must"):
            ev.pair_report([each], {"a": bad})
    with pytest.raises(imn.ArgumentError, match="unknown datasets"):
        ev.pair_report([each], {"b": pairs})
    with pytest.raises(imn.ArgumentError, match="pairs contains no pairs"):
        ev.pair_report([each], {"a": []})


def test_scores_keep_the_order_of_images_of_mixed_sizes() -> None:
    rng = np.random.default_rng(0)
    images = [rng.random(shape, dtype=np.float32) for shape in ((20, 24), (30, 20), (20, 24), (20, 24), (30, 20))]
    images[2][:, :5] = np.nan
    images[3][:] = 0.0
    each = ev.EvaluationSet("mixed", images, np.zeros((1, 5)), np.arange(5.0) / 2)
    result = ev.score_set(each, ev.make_methods(precision="f32"))
    assert result.methods("classical") == list(STATISTICS)
    for i, image in enumerate(images):
        alone = imn.score_images(image, precision="f32").iloc[0]
        assert result.scores.loc[i, DEFAULT_MODEL] == pytest.approx(alone["score"], abs=1e-5)
        assert result.predictions[DEFAULT_MODEL].loc[i, "label"] == alone["label"]
        assert result.scores.loc[i, "intensity"] == pytest.approx(np.nansum(image), rel=1e-5)
    assert result.scores.loc[3, [*STATISTICS, "intensity"]].tolist() == [0.0] * 7


def test_methods_may_be_named_and_mixed() -> None:
    def zeros(batch: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        assert statistics.shape == (len(batch), 4)
        return np.zeros((len(batch), 7), np.float32)

    methods = ev.make_methods((), {"mine": zeros}, baselines=False)
    assert methods.kinds == {"mine": "model"}
    image = np.random.default_rng(0).random((20, 24), dtype=np.float32)
    result = ev.score_set(ev.EvaluationSet("x", [image], np.zeros((1, 1)), np.zeros(1)), methods)
    assert result.scores["mine"].tolist() == [0.5]
    twice = ev.make_methods((None, None))
    assert [name for name, kind in twice.kinds.items() if kind == "model"] == [DEFAULT_MODEL, f"{DEFAULT_MODEL} (2)"]
    assert list(ev.make_methods((), ["moran"]).kinds) == [*STATISTICS, "intensity"]
    with pytest.raises(imn.ArgumentError, match="nothing to evaluate"):
        ev.make_methods((), baselines=False)
    with pytest.raises(imn.ArgumentError, match="threads must be 0"):
        ev.make_methods((), threads=-1)


def test_a_callable_with_other_arguments_is_refused_at_once() -> None:
    with pytest.raises(
        imn.ArgumentError, match=r"'mine': .* must accept \(images, statistics\) and return logits \(n, 7\)"
    ):
        ev.make_methods((), {"mine": lambda images: images})
    assert ev.make_methods((), {"any": lambda *given: given[0]}, baselines=False).kinds == {"any": "model"}
    assert "mine" not in ev.make_methods((), {"mine": imn.make_scorer(scorer="moran")}).kinds


def test_invalid_sets() -> None:
    image = np.zeros((4, 4), np.float32)
    with pytest.raises(imn.ArgumentError, match="1 images but 2 indices"):
        ev.EvaluationSet("x", [image], np.zeros((1, 1)), np.zeros(1), indices=(0, 1))
    with pytest.raises(imn.ArgumentError, match="2 images but 1 structure"):
        ev.EvaluationSet("x", [image, image], np.zeros((1, 2)), np.zeros(1))
    flat = ev.EvaluationSet("x", [np.zeros(4, np.float32)], np.zeros((1, 1)), np.zeros(1))
    with pytest.raises(imn.ArgumentError, match="image 0"):
        list(flat.stacks())
    with pytest.raises(imn.ArgumentError, match="kinds lacks a"):
        ev.ScoredSet("x", pd.DataFrame({"a": [1.0]}), {}, np.zeros((1, 1)), np.zeros(1), ("0",))


def test_files_become_sets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", images=rng.random((3, 8, 9)), mz=[1.0, 2.0, 3.0], mask=np.eye(8, 9) == 0)
    rows = (
        "index,label_a,label_b,structure\n2,negative,localized,2.5\n0,structured,structured,\n7,negative,negative,1\n"
    )
    (tmp_path / "x_labels.csv").write_text(rows)
    (each,) = ev.load_sets(tmp_path / "x.npz")
    assert (each.name, len(each), each.indices) == ("x", 2, (2, 0))
    assert each.labels.tolist() == [[CLASSES.index("negative"), 0], [CLASSES.index("localized"), 0]]
    assert np.isnan(each.structure[1])
    assert np.isnan(each.images[0]).sum() == 8
    assert any("line 4" in note for note in each.notes)
    with pytest.raises(imn.FileError, match=r"y\.npz: file or folder not found"):
        ev.load_sets(tmp_path / "y.npz")


def test_a_simulated_section_is_a_set(section: Path) -> None:
    (each,) = ev.load_sets(section)
    truth = pd.read_csv(section.with_name(f"{section.stem}_truth.csv"))
    assert 0 < len(each) <= len(truth)
    report = ev.ranking_report([ev.score_set(each, ev.make_methods(()))], options=FAST)
    assert report.estimate(each.name, "blur", "auc").value > 0.8
    (section.parent / "alone.imzML").write_text("")
    with pytest.raises(imn.FileError, match="no label file found"):
        ev.load_sets(section.parent / "alone.imzML")
    (section.parent / "alone.imzML").unlink()


def test_json_holds_no_nan(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    write_json(path, {"a": np.float32("nan"), "b": (np.int64(1), [np.inf]), "c": np.array([1.5]), "d": Path("x")})
    assert json.loads(path.read_text()) == {"a": None, "b": [1, [None]], "c": [1.5], "d": "x"}


def test_needs_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys\nsys.modules.update(torch=None, matplotlib=None, scipy=None)\n"
        "import ionmorphnet as imn\nimn.evaluate.mscf1\n"
        "from ionmorphnet.evaluate import drawing, plots\n"
        "try:\n    drawing.require_matplotlib()\nexcept imn.UnavailableError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "ionmorphnet[plots]" in done.stdout


def test_real_images_are_ranked_by_the_statistics(shared_data: Callable[[str], Path]) -> None:
    (each,) = ev.load_sets(shared_data("ion_images/bladder150.npz"))
    report = ev.ranking_report([ev.score_set(each, ev.make_methods(()))], options=FAST)
    # Another implementation measured .881 / .997 (Moran) and .888 / .997 (blur).
    assert report.estimate("bladder150", "moran", "spearman").value == pytest.approx(0.88, abs=0.01)
    assert report.estimate("bladder150", "blur", "auc").value == pytest.approx(0.997, abs=0.003)
