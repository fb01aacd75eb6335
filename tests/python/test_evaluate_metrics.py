"""Metrics of rankings and bootstrap intervals, compared with scipy, scikit-learn and slow versions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.evaluate import metrics
from ionmorphnet.evaluate.bootstrap import mean_over_sets, resample


def slow_precision_at_k(positive: np.ndarray, score: np.ndarray, k: int) -> float:
    """Mean over all orders of equal scores."""
    values = []
    for order in itertools.permutations(range(len(score))):
        ranked = sorted(order, key=lambda i: -score[i])
        values.append(np.mean([positive[i] for i in ranked[:k]]))
    return float(np.mean(values))


def draws(seed: int, n: int = 60) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    grade = rng.integers(0, 7, n) / 2.0
    score = np.round(grade + rng.normal(0, 1.2, n), 1)  # ties on both sides
    return grade, score, grade >= 1.5


def test_the_best_threshold() -> None:
    score = np.array([0.1, 0.2, np.nan, 0.6, 0.3, 0.9])
    positive = [False, False, False, False, True, True]
    # From .61 to .90 half of the positives and all negatives are right: .75; from .21 to .30 all and three quarters.
    assert ev.best_threshold(positive, score) == (pytest.approx(0.26), pytest.approx((1 + 0.75) / 2))
    for kind, word in ((True, "positive"), (False, "negative")):
        with pytest.raises(imn.ArgumentError, match=f"all 3 images are {word}"):
            ev.best_threshold([kind] * 3, score[:3])
    with pytest.raises(imn.ArgumentError, match="all 0 images are"):
        ev.best_threshold([], [])
    with pytest.raises(imn.ArgumentError, match="lists of equal length"):
        ev.best_threshold([True, False], [0.5])


def resamples(n: int, seed: int) -> np.ndarray:
    """The sample itself and four resamples of it, as counts (5, n)."""
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=4)
    return np.vstack([np.ones(n), drawn])


def slow_concordance(score: np.ndarray, grade: np.ndarray) -> float:
    won = [
        1.0 if a > b else 0.5 if a == b else 0.0
        for (a, x), (b, y) in itertools.product(zip(score, grade, strict=True), repeat=2)
        if x > y
    ]
    return float(np.mean(won))


@pytest.mark.parametrize("seed", range(3))
def test_concordance_of_resamples_equals_all_pairs(seed: int) -> None:
    grade, score, positive = draws(seed)
    counts = resamples(60, seed)
    for row, found in zip(counts.astype(int), metrics.concordance_of(counts, score, grade), strict=True):
        assert found == pytest.approx(slow_concordance(np.repeat(score, row), np.repeat(grade, row)), abs=1e-12)
    # With two grades it is the area under the ROC curve.
    assert metrics.concordance(score, positive) == pytest.approx(metrics.auc(positive, score))
    assert metrics.concordance(grade, grade) == 1.0
    assert np.isnan(metrics.concordance(score, np.ones(60)))
    assert metrics.concordance([np.nan, 0.0, 1.0], [0.0, 1.0, 1.0]) == 1.0


@pytest.mark.parametrize("seed", range(5))
def test_rank_correlations_of_resamples_equal_scipy(seed: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy serves as oracle only")
    grade, score, _ = draws(seed)
    counts = resamples(60, seed)
    rho, tau = metrics.spearman_of(counts, score, grade), metrics.kendall_of(counts, score, grade)
    for row, found_rho, found_tau in zip(counts.astype(int), rho, tau, strict=True):
        a, b = np.repeat(score, row), np.repeat(grade, row)
        assert found_rho == pytest.approx(stats.spearmanr(a, b).statistic, abs=1e-12)
        assert found_tau == pytest.approx(stats.kendalltau(a, b).statistic, abs=1e-12)
    assert metrics.spearman(score, grade) == rho[0]


@pytest.mark.parametrize("seed", range(5))
def test_metrics_of_positives_in_resamples_equal_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="scikit-learn serves as oracle only")
    _, score, positive = draws(seed)
    counts = resamples(60, seed)
    areas = metrics.auc_of(counts, score, positive)
    precisions = metrics.average_precision_of(counts, score, positive)
    for row, area, precision in zip(counts, areas, precisions, strict=True):
        assert area == pytest.approx(sklearn.roc_auc_score(positive, score, sample_weight=row), abs=1e-12)
        expected = sklearn.average_precision_score(positive, score, sample_weight=row)
        assert precision == pytest.approx(expected, abs=1e-12)
    assert metrics.auc(positive, score) == areas[0]


@pytest.mark.parametrize("seed", range(5))
def test_precision_at_k_equals_the_mean_over_all_orders(seed: int) -> None:
    _, score, positive = draws(seed)
    few_positive, few = positive[:6], np.round(score[:6])
    for k in (1, 3, 6):
        slow = slow_precision_at_k(few_positive, few, k)
        assert ev.precision_at_k(few_positive, few, k) == pytest.approx(slow, abs=1e-12)


def test_precision_at_k_of_resamples_equals_repeated_rows() -> None:
    _, score, positive = draws(3, 25)
    counts = resamples(25, 0)
    k = np.arange(1.0, 6.0)
    for row, cut, found in zip(
        counts.astype(int), k, metrics.precision_at_k_of(counts, score, positive, k), strict=True
    ):
        repeated = ev.precision_at_k(np.repeat(positive, row), np.repeat(score, row), int(cut))
        assert found == pytest.approx(repeated, abs=1e-12)


def test_degenerate_inputs_are_nan() -> None:
    constant, rising = np.zeros(5), np.arange(5.0)
    for a, b in ((constant, rising), (rising, constant), (np.ones(1), np.ones(1)), (np.zeros(0), np.zeros(0))):
        assert np.isnan(metrics.spearman(a, b))
        assert np.isnan(metrics.kendall_of(np.ones((1, len(a))), a, b)).all()
    positive = rising > 2
    once = np.ones((1, 5))
    assert metrics.auc(positive, constant) == 0.5
    assert metrics.average_precision_of(once, constant, positive) == pytest.approx([0.4])
    assert ev.precision_at_k(positive, constant, 2) == pytest.approx(0.4)
    assert np.isnan(metrics.auc(np.ones(5, bool), rising))
    assert np.isnan(metrics.average_precision_of(once, rising, np.zeros(5, bool))).all()
    assert np.isnan(ev.precision_at_k([], [], 3))
    with pytest.raises(imn.ArgumentError):
        ev.precision_at_k(positive, rising, 0)
    with pytest.raises(imn.ArgumentError, match="lists of equal length"):
        metrics.spearman([1.0, 2.0], [1.0])


def test_undefined_scores_rank_last() -> None:
    positive = np.array([True, True, False])
    assert metrics.auc(positive, [np.nan, 0.5, 0.1]) == 0.5
    assert metrics.spearman([np.nan, 0.5, np.inf], [0.0, 1.0, 2.0]) == 1.0
    score = metrics.rankable([np.nan, 0.5, np.inf])
    assert metrics.kendall_of(np.ones((1, 3)), score, np.arange(3.0)) == pytest.approx([1.0])


def mean_statistic(values: np.ndarray):  # type: ignore[no-untyped-def]
    return lambda counts: counts @ values / counts.sum(axis=1)


@pytest.mark.parametrize("kind", ["percentile", "bca"])
def test_interval_of_a_mean_has_its_textbook_width(kind: str) -> None:
    values = np.random.default_rng(1).normal(5, 2, 200)
    options = ev.BootstrapOptions(4000, kind=kind)  # type: ignore[arg-type]
    found = resample(mean_statistic(values), 200, options).estimate(options)
    half = 1.96 * values.std() / np.sqrt(200)
    assert found.value == pytest.approx(values.mean())
    assert (found.n, found.draws) == (200, 4000)
    assert found.low == pytest.approx(values.mean() - half, abs=0.05)
    assert found.high == pytest.approx(values.mean() + half, abs=0.05)


def test_bca_equals_scipy_on_a_skewed_sample() -> None:
    stats = pytest.importorskip("scipy.stats", reason="scipy serves as oracle only")
    values = np.random.default_rng(2).exponential(1.0, 60)
    options = ev.BootstrapOptions(20_000, kind="bca")
    found = resample(mean_statistic(values), 60, options).estimate(options)
    other = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(0)
    ).confidence_interval
    assert found.low == pytest.approx(other.low, abs=0.02)
    assert found.high == pytest.approx(other.high, abs=0.02)
    plain = resample(mean_statistic(values), 60, ev.BootstrapOptions(20_000)).estimate(ev.BootstrapOptions(20_000))
    assert found.high > plain.high + 0.005, "the correction moves the interval of a skewed sample"


def test_differences_are_paired_and_sets_independent() -> None:
    options = ev.BootstrapOptions(500)
    values = np.random.default_rng(3).normal(0, 1, 50)
    a = resample(mean_statistic(values + 0.1), 50, options, stream="s")
    b = resample(mean_statistic(values), 50, options, stream="s")
    gap = a.minus(b).estimate(options)
    assert gap.low == pytest.approx(0.1)
    assert gap.high == pytest.approx(0.1)
    other = resample(mean_statistic(values), 50, options, stream="t")
    assert abs(np.corrcoef(b.draws, other.draws)[0, 1]) < 0.2
    pooled = mean_over_sets([b, other]).estimate(options)
    alone = b.estimate(options)
    assert pooled.high - pooled.low == pytest.approx((alone.high - alone.low) / np.sqrt(2), rel=0.2)
    assert pooled.n == 100


def test_invalid_options() -> None:
    for bad in ({"draws": -1}, {"level": 1.0}, {"kind": "normal"}):
        with pytest.raises(imn.ArgumentError):
            ev.BootstrapOptions(**bad)
    nothing = resample(mean_statistic(np.zeros(0)), 0, ev.BootstrapOptions()).estimate(ev.BootstrapOptions())
    assert str(nothing) == "-"
    off = ev.BootstrapOptions(0)
    assert str(resample(mean_statistic(np.ones(3)), 3, off).estimate(off)) == "1.000"
