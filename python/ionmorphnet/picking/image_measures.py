"""Measures of ion images that looking for patterns of the measurement needs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Blocks of pixels along the longer side: averages of blocks are hardly noisy.
_BLOCKS = 28


def block_means(values: Float, measured: Bools) -> Float:
    """Averages of square blocks of pixels.

    Args:
        values: (n, H, W).
        measured: (H, W).

    Returns:
        (n, h, w) with at most 28 blocks along a side; NaN where less than half of a block is measured.
    """
    height, width = measured.shape
    side = -(-max(height, width) // _BLOCKS)
    rows, columns = np.arange(0, height, side), np.arange(0, width, side)

    def sums(of: Float) -> Float:
        added: Float = np.add.reduceat(np.add.reduceat(of, rows, axis=-2), columns, axis=-1)
        return added

    n, size = sums(measured.astype(np.float64)), sums(np.ones(measured.shape))
    means = sums(np.where(measured, values, 0.0)) / np.maximum(n, 1)
    means[:, n < size / 2] = np.nan
    return means


def border_distance(measured: Bools, most: int) -> npt.NDArray[np.int64]:
    """Steps (rook) from each measured pixel to the nearest one that is not, 1 to ``most`` + 1; 0 where not measured."""
    inside = np.pad(measured, 1)
    distance = inside.astype(np.int64)
    for _ in range(most):
        shrunk = inside.copy()
        shrunk[1:-1, 1:-1] &= inside[:-2, 1:-1] & inside[2:, 1:-1] & inside[1:-1, :-2] & inside[1:-1, 2:]
        inside = shrunk
        distance += inside
    return distance[1:-1, 1:-1]


def correlation(a: Float, b: Float) -> Float:
    """Pearson correlation along the last axis; 0 where one is constant."""
    a = a - a.mean(axis=-1, keepdims=True)
    b = b - b.mean(axis=-1, keepdims=True)
    norms = np.sqrt((a**2).sum(axis=-1) * (b**2).sum(axis=-1))
    out: Float = np.divide((a * b).sum(axis=-1), norms, out=np.zeros(np.shape(norms)), where=norms > 0)
    return out


def autocorrelation(planes: Float) -> Float:
    """Correlation of neighbouring values, (n,), of planes (n, h, w); NaN = no value."""
    out = np.zeros(len(planes))
    for k, plane in enumerate(planes):
        a = np.concatenate([plane[:, :-1].ravel(), plane[:-1].ravel()])
        b = np.concatenate([plane[:, 1:].ravel(), plane[1:].ravel()])
        both = np.isfinite(a) & np.isfinite(b)
        if both.sum() > 8:
            first, second = np.concatenate([a[both], b[both]]), np.concatenate([b[both], a[both]])
            out[k] = float(correlation(first, second))
    return out
