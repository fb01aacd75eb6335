"""Sample maps with the errors that a map computed from the channels of a real section has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field, fractal_field, ramp, smooth_field, smoothstep
from ionmorphnet.simulation.silhouettes import Silhouette

# Share of maps that are useless: 1 everywhere (nothing told sample and surroundings apart), or swapped because channels
# off the sample dominate.
_FLAT, _SWAPPED = 0.04, 0.03
# Sections whose sample fills the measured area to this share have nothing to compare with; few of them get a wrong map.
_FULL, _FULL_WRONG = 0.96, 0.2


def draw_sample_map(rng: np.random.Generator, silhouette: Silhouette, measured: NDArray[np.bool_]) -> Field:
    """Draws the sample map of a section: probability that a pixel is sample, with simulated errors.

    The edge is blurred, shifted or uneven; parts of the sample are missing, and parts of the surroundings leak into it;
    the probabilities are noisy and seldom reach 0 and 1. Some maps are 1 everywhere or swapped.

    Args:
        rng: Source of randomness.
        silhouette: The sample.
        measured: bool (H, W).

    Returns:
        float32 (H, W), 0 to 1; 0 where not measured.
    """
    inside = silhouette.tissue & measured
    full = inside.sum() >= _FULL * max(int(measured.sum()), 1)
    if rng.random() < (1.0 - _FULL_WRONG if full else _FLAT):
        return measured.astype(np.float32)
    shape = silhouette.shape
    depth = silhouette.depth
    if rng.random() < 0.3:
        depth = _shifted(rng, depth)
    if rng.random() < 0.6:
        uneven = fractal_field(rng, shape, max(max(shape) / rng.uniform(3.0, 15.0), 2.0), 2)
        depth = depth + np.float32(rng.uniform(0.01, 0.12)) * uneven
    width = float(np.exp(rng.uniform(np.log(0.01), np.log(0.25))))
    found = smoothstep(depth, rng.normal(0.0, 0.04), width)
    if rng.random() < 0.3:  # holes: tissue of few ions
        scale = max(shape) / rng.uniform(2.5, 12.0)
        hole = smoothstep(smooth_field(rng, shape, scale), rng.uniform(0.7, 1.8), rng.uniform(0.1, 0.6))
        found = found * (np.float32(1.0) - np.float32(rng.uniform(0.3, 1.0)) * hole)
    if rng.random() < 0.12:  # a part of the sample or one of its pieces is missing
        part = smoothstep(ramp(rng, shape), rng.uniform(0.15, 0.5), rng.uniform(0.02, 0.15))
        found = found * (np.float32(rng.uniform(0.0, 0.4)) * (1.0 - part) + part)
    if rng.random() < 0.25:  # contaminated surroundings
        scale = max(shape) / rng.uniform(2.0, 8.0)
        leak = smoothstep(smooth_field(rng, shape, scale), rng.uniform(0.6, 1.6), rng.uniform(0.1, 0.5))
        found = np.maximum(found, np.float32(rng.uniform(0.2, 1.0)) * leak)
    if rng.random() < 0.15:  # halo of delocalised analyte
        halo = np.exp(np.minimum(depth, 0.0) * np.float32(1.0 / rng.uniform(0.05, 0.4)))
        found = np.maximum(found, np.float32(rng.uniform(0.2, 0.9)) * halo)
    low = 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 0.3)
    high = 1.0 if rng.random() < 0.5 else rng.uniform(0.7, 1.0)
    found = np.float32(low) + np.float32(high - low) * found
    if rng.random() < 0.4:
        found = found + np.float32(rng.uniform(0.01, 0.15)) * rng.standard_normal(shape, dtype=np.float32)
    if rng.random() < _SWAPPED:
        found = np.float32(1.0) - found
    result: Field = np.where(measured, np.clip(found, 0.0, 1.0), np.float32(0.0)).astype(np.float32, copy=False)
    return result


def drop_sample_map(rng: np.random.Generator, sample: Field | None, share: float = 0.25) -> Field | None:
    """Replaces a sample map by None, meaning unknown, with probability ``share``."""
    return None if rng.random() < share else sample


def _shifted(rng: np.random.Generator, depth: Field) -> Field:
    """Moves the outline by up to 4 % of the frame, with repeated edges."""
    rows, cols = (np.clip(np.arange(n) + round(rng.uniform(-0.04, 0.04) * n), 0, n - 1) for n in depth.shape)
    moved: Field = depth[rows[:, None], cols[None, :]]
    return moved
