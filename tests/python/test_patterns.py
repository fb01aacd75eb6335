"""Distinct patterns among picks, and correlation with references."""

from __future__ import annotations

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.evaluate import patterns


@pytest.fixture
def stack(rng: np.random.Generator) -> np.ndarray:
    """Two patterns, each with a copy of another scale, a mixture, a constant image, and noise."""
    y, x = np.indices((30, 40))
    first, second = np.sin(x / 6), np.cos(y / 5)
    images = [
        first,
        5 * first + 2,
        second,
        -second,
        0.9 * first + 0.1 * second,
        np.ones((30, 40)),
        rng.random((30, 40)),
    ]
    return np.stack(images).astype(np.float32)


def test_each_pattern_counts_once(stack: np.ndarray) -> None:
    new = ev.distinct_patterns(stack)
    assert new.tolist() == [True, False, True, True, False, True, True]  # inverted is another pattern
    assert ev.distinct_patterns(stack[::-1]).tolist() == [True, True, True, True, True, False, False]
    assert ev.distinct_patterns(stack, same=1.0).sum() >= 6
    correlation = np.corrcoef(stack[[0, 1, 2, 3, 4, 6]].reshape(6, -1))
    slow = [not (correlation[i, :i] > 0.9).any() for i in range(6)]
    assert ev.distinct_patterns(stack[[0, 1, 2, 3, 4, 6]]).tolist() == slow


def test_patterns_in_blocks_and_of_unmeasured_pixels(stack: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = ev.distinct_patterns(stack).tolist()
    monkeypatch.setattr(patterns, "_BLOCK", 1)
    assert ev.distinct_patterns(stack).tolist() == expected
    stack[3, :, :20] = np.nan
    stack[0, 0, 0] = np.inf
    assert ev.distinct_patterns(stack).tolist() == ev.distinct_patterns(stack[:, 1:, 20:]).tolist()
    assert ev.distinct_patterns(stack[:0]).tolist() == []
    assert ev.distinct_patterns(np.full((2, 3, 3), np.nan, np.float32)).tolist() == [True, True]


def test_reference_correlation_is_the_largest_of_all_references(stack: np.ndarray) -> None:
    found = ev.reference_correlation(stack, stack[[0, 2]])
    np.testing.assert_allclose(found[[0, 1, 2, 3, 5]], [1, 1, 1, 1, 0], atol=1e-6)
    assert found[6] < 0.2
    slow = np.abs(np.corrcoef(stack[[0, 2, 4]].reshape(3, -1))[2, :2]).max()
    assert found[4] == pytest.approx(slow)
    np.testing.assert_allclose(ev.reference_correlation(stack * np.float32(1e30), stack[[0, 2]]), found, atol=1e-6)


def test_unusable_arguments(stack: np.ndarray) -> None:
    with pytest.raises(imn.ArgumentError, match=r"shape \(n, H, W\)"):
        ev.distinct_patterns(stack[0])
    with pytest.raises(imn.ArgumentError, match="from 0 to 1, not 2"):
        ev.distinct_patterns(stack, same=2.0)
    with pytest.raises(imn.ArgumentError, match="equal image size"):
        ev.reference_correlation(stack, stack[:, :5])
