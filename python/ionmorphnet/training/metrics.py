"""Figures of a score; numpy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def auc(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """Area under the ROC curve, ties counted half; NaN where one kind is missing."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    ordered = np.sort(score[~positive])
    below = np.searchsorted(ordered, score[positive], side="left")
    below_or_tied = np.searchsorted(ordered, score[positive], side="right")
    return float((below + below_or_tied).sum() / (2.0 * n_positive * n_negative))


def best_threshold(positive: NDArray[np.bool_], score: NDArray[np.float64]) -> tuple[float, float]:
    """Threshold with the largest balanced accuracy, and that accuracy.

    Thresholds lie on a grid of hundredths; where several are best, the middle one of them is returned.
    """
    grid = np.arange(1, 100) / 100.0
    kept = score[None, :] >= grid[:, None]
    accuracy = 0.5 * (kept[:, positive].mean(axis=1) + (~kept[:, ~positive]).mean(axis=1))
    best = np.flatnonzero(accuracy >= accuracy.max() - 1e-12)
    chosen = best[len(best) // 2]
    return float(grid[chosen]), float(accuracy[chosen])


def spearman(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Rank correlation of two series, ties at their mean rank; NaN where one of them is constant."""
    ranks = [_ranks(values) for values in (a, b)]
    deviations = [rank - rank.mean() for rank in ranks]
    norm = float(np.sqrt((deviations[0] ** 2).sum() * (deviations[1] ** 2).sum()))
    return float((deviations[0] * deviations[1]).sum()) / norm if norm > 0.0 else float("nan")


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: NDArray[np.float64] = (last - 0.5 * (counts - 1))[inverse]
    return ranks
