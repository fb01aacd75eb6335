from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionmorphnet import _core

scores = st.lists(st.one_of(st.floats(-1e3, 1e3), st.just(float("nan")), st.sampled_from([0.0, 0.5])), max_size=60)


@given(scores)
def test_rank_is_a_stable_descending_sort_with_nan_last(values: list[float]) -> None:
    x = np.array(values, dtype=float)
    expected = sorted(range(len(x)), key=lambda i: (np.isnan(x[i]), -x[i] if not np.isnan(x[i]) else 0.0, i))
    assert _core.rank_scores(x).tolist() == expected


@given(scores, st.one_of(st.none(), st.integers(0, 70)), st.one_of(st.none(), st.floats(-10, 10)))
def test_cut_keeps_what_both_bounds_allow(values: list[float], top: int | None, least: float | None) -> None:
    ranked = np.array(values, dtype=float)[_core.rank_scores(np.array(values, dtype=float))]
    expected = [s for s in ranked if least is None or s >= least][:top]
    assert _core.cut_ranked(ranked, top, least) == len(expected)


def test_ties_keep_the_lower_channel_first() -> None:
    assert _core.rank_scores(np.array([0.5, 0.9, 0.5, 0.9])).tolist() == [1, 3, 0, 2]


def test_nan_never_survives_a_minimum() -> None:
    assert _core.cut_ranked(np.array([0.3, np.nan]), None, -np.inf) == 1
    assert _core.cut_ranked(np.array([np.nan]), 5, None) == 1


@pytest.mark.parametrize("n", [0, 1])
def test_few_scores(n: int) -> None:
    assert _core.rank_scores(np.zeros(n)).tolist() == list(range(n))
