"""Specification of the classical scores, which need no model."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.reference.preprocess import FloatImage, Mask, measured_pixels


def morans_i(images: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.float32]:
    """Moran's I over the measured pixels, rook neighbours, binary weights.

    ``I = (N / W) * sum_ij w_ij (x_i - m)(x_j - m) / sum_i (x_i - m)^2`` with N measured pixels, mean m, and w_ij = 1
    for two measured pixels that share an edge (W = sum of w_ij). Computed in float64; infinite intensities count as the
    largest finite ones. Source: Moran, P. A. P. (1950), Biometrika 37, 17-23.

    Args:
        images: (n, height, width) float32 intensities; NaN = not measured.
        mask: (height, width), non-zero = measured; None = every pixel that is not NaN.

    Returns:
        (n,) float32; 0 for an image that is constant, empty or without two neighbouring measured pixels.
    """
    limit = np.finfo(np.float32).max
    out = np.zeros(len(images), np.float32)
    for i, image in enumerate(images):
        measured = measured_pixels(image, mask)
        values = np.clip(image[measured], -limit, limit).astype(np.float64)
        links = (measured[:, 1:] & measured[:, :-1]).sum() + (measured[1:] & measured[:-1]).sum()
        if links == 0 or values.min() == values.max():
            continue
        deviation = np.zeros(image.shape, np.float64)
        deviation[measured] = values - values.mean()
        products = (deviation[:, 1:] * deviation[:, :-1]).sum() + (deviation[1:] * deviation[:-1]).sum()
        out[i] = values.size / links * products / (deviation**2).sum()
    return out
