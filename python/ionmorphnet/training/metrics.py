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
