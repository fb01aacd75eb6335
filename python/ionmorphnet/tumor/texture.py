"""Projections of the channels whose local variance shows texture; found without labels.

The local variance of one channel is mostly noise. Where channels share a pattern, a weighted sum of them shows it above
the noise. The weights are those for which the variance between a fine and a broad scale is largest in relation to the
variance within the fine scale, as in the minimum noise fraction transform (Green, A. A. et al. (1988), IEEE
Transactions on Geoscience and Remote Sensing 26, 65-74).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from ionmorphnet.tumor.cubes import Cube
from ionmorphnet.tumor.patches import COMPONENTS, FEATURES, Pixels, Scaling, side_means

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

_FINE, _BROAD = 3, 9  # sides in pixels
_RIDGE = 0.1  # share of the mean variance that is added to the noise, which keeps faint channels from dominating
_VALUES = 4_000_000  # held at once


def texture_projection(kind: str, cubes: Sequence[Cube], pixels: Pixels, scaling: Scaling) -> Float32 | None:
    """Projections of the channels for features that need them, from all measured pixels of the pixels' sections.

    Args:
        kind: Name in :data:`~ionmorphnet.tumor.patches.FEATURES`.
        cubes: The sections.
        pixels: Training pixels; only their sections are used, never their labels.
        scaling: The k channels and their standardisation.

    Returns:
        float32 (k, n), scaled to noise of variance 1, the clearest pattern first; None if the features need none.
    """
    if not FEATURES[kind].texture:
        return None
    k = len(scaling.channels)
    pattern, noise = np.zeros((k, k)), np.zeros((k, k))
    for section in np.unique(pixels.section):
        own = _covariances(cubes[section], scaling)
        pattern += own[0]
        noise += own[1]
    level = np.trace(noise) / k
    noise[np.diag_indices(k)] += _RIDGE * level if level > 0 else 1.0
    whitening = np.linalg.inv(np.linalg.cholesky(noise))
    vectors = np.linalg.eigh(whitening @ pattern @ whitening.T)[1][:, ::-1]
    sections = len(np.unique(pixels.section))
    found: Float32 = (whitening.T @ vectors[:, :COMPONENTS] * np.sqrt(sections)).astype(np.float32)
    return found


def _covariances(cube: Cube, scaling: Scaling) -> tuple[Float64, Float64]:
    """Covariances (k, k) of the channels between the fine and the broad scale, and within the fine scale."""
    k, n = len(scaling.channels), 0
    sums, squares = np.zeros((2, k)), np.zeros((2, k, k))
    for values, measured, inside in _strips(cube, scaling):
        fine, broad = (side_means(values, measured, side) for side in (_FINE, _BROAD))
        judged = measured & inside
        for i, part in enumerate((fine - broad, values - fine)):
            flat = part[judged].astype(np.float64)
            sums[i] += flat.sum(axis=0)
            squares[i] += flat.T @ flat
        n += int(judged.sum())
    means = sums / max(n, 1)
    pattern, noise = squares / max(n, 1) - means[:, :, None] * means[:, None, :]
    return pattern, noise


def _strips(cube: Cube, scaling: Scaling) -> Iterator[tuple[Float32, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]]:
    """Scaled values (h, W, k) and measured pixels (h, W) of strips that overlap, and which pixels are a strip's own."""
    height, width = cube.measured.shape
    halo = _BROAD // 2
    rows = max(1, _VALUES // (width * len(scaling.channels)) - 2 * halo)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        part = slice(max(top - halo, 0), min(bottom + halo, height))
        measured = cube.measured[part]
        values = (cube.values[part][..., scaling.channels] - scaling.centre) * scaling.scale * measured[..., None]
        inside = np.zeros_like(measured)
        inside[top - part.start : bottom - part.start] = True
        yield values.astype(np.float32), measured, inside
