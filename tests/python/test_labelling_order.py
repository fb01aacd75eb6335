"""Orders of the labelling page, and the agreement of two passes."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

import ionmorphnet as imn
from ionmorphnet.labelling.agreement import cohen_kappa, measure_agreement
from ionmorphnet.labelling.order import active_order, check_order, second_order, uncertainty


def probabilities(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    return rng.dirichlet(np.full(6, 0.4), n)


def test_uncertainty_is_the_share_of_the_largest_entropy() -> None:
    rows = np.array([[1, 0, 0, 0, 0, 0], [0.5, 0.5, 0, 0, 0, 0], np.full(6, 1 / 6)])
    np.testing.assert_allclose(uncertainty(rows), [0, np.log(2) / np.log(6), 1], atol=1e-12)


@pytest.mark.parametrize("n", [1, 7, 10, 25, 100, 590])
def test_active_order_shows_each_image_once(n: int, rng: np.random.Generator) -> None:
    order = active_order(n, probabilities(n, rng), "x")
    assert sorted(order) == list(range(n))


def test_active_order_spans_the_ranking_and_starts_with_the_most_uncertain(rng: np.random.Generator) -> None:
    p = probabilities(200, rng)
    doubt = uncertainty(p)
    order = active_order(200, p, "x")
    for turn in range(20):
        tenths = [item // 20 for item in order[10 * turn : 10 * turn + 10]]
        assert sorted(tenths) == list(range(10))
        assert min(abs(a - b) for a, b in itertools.pairwise(tenths)) >= 2
    for tenth in range(10):
        shown = [doubt[item] for item in order if item // 20 == tenth]
        assert shown == sorted(shown, reverse=True)


def test_images_whose_class_is_certain_come_last(rng: np.random.Generator) -> None:
    p = probabilities(50, rng)
    p[40:] = np.eye(6)[4]  # blank images, at the end of the ranking
    order = active_order(50, p, "x")
    assert order[40:] == list(range(40, 50))
    assert sorted(item // 4 for item in order[:10]) == list(range(10))


def test_without_classes_the_order_spans_the_ranking_at_random() -> None:
    order = active_order(100, None, "a")
    assert sorted(order) == list(range(100))
    assert sorted(item // 10 for item in order[:10]) == list(range(10))
    assert order == active_order(100, None, "a")
    assert order != active_order(100, None, "b")


def test_the_second_pass_has_another_order() -> None:
    items = [5, 3, 90, 41, 12, 7, 8]
    order = second_order(items, "x")
    assert sorted(order) == sorted(items)
    assert order != items
    assert order == second_order(items[::-1], "x")


def test_unknown_order() -> None:
    assert check_order("rank") == "rank"
    with pytest.raises(imn.ArgumentError, match="order must be active or rank, not 'random'"):
        check_order("random")


def test_kappa_equals_that_of_scikit_learn(rng: np.random.Generator) -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="needs the extra [tumor]")
    for _ in range(5):
        first = rng.integers(0, 6, 40)
        second = np.where(rng.random(40) < 0.7, first, rng.integers(0, 6, 40))
        found = measure_agreement(list(zip(first.tolist(), second.tolist(), strict=True)))
        assert found is not None
        assert found.kappa == pytest.approx(metrics.cohen_kappa_score(first, second), abs=1e-12)
        assert found.same == pytest.approx((first == second).mean())
        np.testing.assert_array_equal(found.table, metrics.confusion_matrix(first, second, labels=range(6)))


def test_agreement_of_few_images() -> None:
    assert measure_agreement([]) is None
    found = measure_agreement([(0, 0), (0, 1), (4, 4), (4, 4)], [(3.0, 2.5), (0.0, 0.5), (1.0, 1.0)])
    assert found is not None
    assert (found.images, found.same, found.graded) == (4, 0.75, 3)
    assert found.kappa == pytest.approx((0.75 - 0.375) / (1 - 0.375))
    assert found.grade_difference == pytest.approx(1 / 3)


def test_kappa_is_undefined_where_chance_alone_agrees() -> None:
    assert cohen_kappa(np.diag([5, 0, 0, 0, 0, 0])) is None
    assert cohen_kappa(np.diag([5, 1, 0, 0, 0, 0])) == 1.0
