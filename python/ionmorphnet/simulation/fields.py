"""Smooth random fields on a pixel grid.

A field is white noise on a coarse grid of knots, interpolated with cubic B-splines. Two small matrix products are much
cheaper than a Fourier filter and need no periodic boundary.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

# Root mean square of the cubic B-spline weights along one direction, averaged over the phase. Dividing by it once per
# direction yields unit variance.
_SPLINE_RMS = 0.69234


def spline_weights(n: int, spacing: float, phase: float) -> Field:
    """Interpolation matrix of the uniform cubic B-spline.

    Args:
        n: Number of pixels.
        spacing: Distance between knots in pixels.
        phase: Position of the first pixel between the first two knots, in [0, 1).

    Returns:
        float32 (n, knots); each row sums to 1.
    """
    position = np.arange(n, dtype=np.float64) / spacing + phase
    first = position.astype(np.int64)
    t = position - first
    s = 1.0 - t
    weights = np.zeros((n, int(first[-1]) + 4), dtype=np.float32)
    rows = np.arange(n)
    weights[rows, first] = s**3 / 6.0
    weights[rows, first + 1] = (3.0 * t**3 - 6.0 * t**2 + 4.0) / 6.0
    weights[rows, first + 2] = (3.0 * s**3 - 6.0 * s**2 + 4.0) / 6.0
    weights[rows, first + 3] = t**3 / 6.0
    return weights


def linear_weights(n: int, m: int) -> Field:
    """Interpolation matrix from m to n pixels over the same length, with repeated edges; float32 (n, m)."""
    position = np.clip((np.arange(n) + 0.5) * (m / n) - 0.5, 0.0, m - 1.0)
    first = np.minimum(position.astype(np.int64), max(m - 2, 0))
    t = position - first
    weights = np.zeros((n, m), dtype=np.float32)
    rows = np.arange(n)
    weights[rows, first] = 1.0 - t
    weights[rows, np.minimum(first + 1, m - 1)] += t
    return weights


def product(left: Field, right: Field) -> Field:
    """Matrix product on one core, float32 (n, m).

    OpenBLAS starts threads above 2^18 multiplications, and much sooner for a single row or column. In products as small
    as these they wait for one another longer than they calculate, above all where several processes make images.
    """
    rows, columns = left.shape[0], right.shape[1]
    if rows * left.shape[1] * columns <= 2**18 or max(rows, columns) < 4:
        return np.asarray(left @ right, dtype=np.float32)
    if rows >= columns:
        return np.concatenate([product(half, right) for half in np.array_split(left, 2)])
    return np.concatenate([product(left, half) for half in np.array_split(right, 2, axis=1)], axis=1)


def smooth_field(rng: np.random.Generator, shape: tuple[int, int], scale: float | tuple[float, float]) -> Field:
    """One smooth Gaussian random field.

    Args:
        rng: Source of randomness.
        shape: (H, W) in pixels.
        scale: Correlation length in pixels (distance between knots), one number or (y, x).

    Returns:
        float32 (H, W), mean 0 and variance 1 in expectation.
    """
    scale_y, scale_x = scale if isinstance(scale, tuple) else (scale, scale)
    wy = spline_weights(shape[0], max(scale_y, 1.0), rng.random())
    wx = spline_weights(shape[1], max(scale_x, 1.0), rng.random())
    knots = rng.standard_normal((wy.shape[1], wx.shape[1]), dtype=np.float32)
    field = product(product(wy, knots), wx.T)
    field /= np.float32(_SPLINE_RMS**2)
    return field


def fractal_field(
    rng: np.random.Generator, shape: tuple[int, int], scale: float, octaves: int = 3, gain: float = 0.5
) -> Field:
    """Sum of smooth fields with halved scale and damped amplitude: large shapes with rough edges.

    Args:
        rng: Source of randomness.
        shape: (H, W) in pixels.
        scale: Correlation length of the first octave in pixels.
        octaves: Number of fields to sum.
        gain: Amplitude of each octave relative to the previous one.

    Returns:
        float32 (H, W), mean 0 and variance 1 in expectation.
    """
    total = np.zeros(shape, dtype=np.float32)
    amplitude, power = 1.0, 0.0
    for _ in range(octaves):
        total += np.float32(amplitude) * smooth_field(rng, shape, max(scale, 1.5))
        power += amplitude**2
        amplitude *= gain
        scale *= 0.5
    total /= np.float32(np.sqrt(power))
    return total


def ramp(rng: np.random.Generator, shape: tuple[int, int]) -> Field:
    """Linear ramp from 0 to 1 over the frame in a random direction, float32 (H, W)."""
    angle = rng.uniform(0.0, 2.0 * np.pi)
    y = np.linspace(-1.0, 1.0, shape[0], dtype=np.float32)[:, None] * np.float32(np.sin(angle))
    x = np.linspace(-1.0, 1.0, shape[1], dtype=np.float32)[None, :] * np.float32(np.cos(angle))
    field: Field = y + x
    low, high = float(field.min()), float(field.max())
    return (field - np.float32(low)) / np.float32(max(high - low, 1e-6))


def smoothstep(field: Field, edge: float, width: float) -> Field:
    """Soft threshold: 0 below ``edge - width``, 1 above ``edge + width``, linear between."""
    result: Field = np.clip((field - np.float32(edge - width)) * np.float32(0.5 / max(width, 1e-6)), 0.0, 1.0)
    return result
