"""How many different patterns a list of picks shows, and how images resemble a section's mean and TIC image."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError

Float32 = npt.NDArray[np.float32]
Float = npt.NDArray[np.float64]

SAME_PATTERN = 0.9
# Number of correlations held at once.
_BLOCK = 4_000_000


def distinct_patterns(images: Float32, *, same: float = SAME_PATTERN) -> npt.NDArray[np.bool_]:
    """Which picks show a pattern that no earlier pick shows.

    Two images show the same pattern if their Pearson correlation over the pixels measured in all images is above
    ``same``. The number of distinct patterns among the k best picks is ``distinct_patterns(images)[:k].sum()``.

    Args:
        images: Picked images in the order of their ranks, (n, H, W), NaN = not measured.
        same: Correlation above which two images show the same pattern.

    Returns:
        (n,) bool; False if the image correlates with an earlier one. Constant images correlate with none.

    Raises:
        ArgumentError: ``images`` is not a stack, or ``same`` is not from 0 to 1.
    """
    if images.ndim != 3:
        raise ArgumentError(f"images must have shape (n, H, W), not {images.shape}")
    if not 0.0 <= same <= 1.0:
        raise ArgumentError(f"same must be from 0 to 1, not {same:g}")
    unit = _unit(images)
    new = np.ones(len(unit), dtype=bool)
    step = max(1, _BLOCK // max(len(unit), 1))
    for first in range(0, len(unit), step):
        part = slice(first, first + step)
        correlation = unit[part] @ unit.T
        earlier = np.arange(len(unit))[None, :] < np.arange(len(unit))[part, None]
        new[part] = ~((correlation > same) & earlier).any(axis=1)
    return new


def reference_correlation(images: Float32, references: Float32) -> Float:
    """Largest absolute correlation of each image with any of the references.

    A filter that keeps images resembling the mean or TIC image of their section is a common way to find ions of the
    sample.

    Args:
        images: (n, H, W), NaN = not measured.
        references: (m, H, W), NaN = not measured.

    Returns:
        (n,) from 0 to 1; 0 for constant images.

    Raises:
        ArgumentError: The shapes do not fit.
    """
    if images.ndim != 3 or references.ndim != 3 or images.shape[1:] != references.shape[1:] or not len(references):
        raise ArgumentError(
            f"images and references must be stacks of equal image size, not {images.shape} and {references.shape}"
        )
    both = _unit(np.concatenate([references, images]))
    result: Float = np.abs(both[len(references) :] @ both[: len(references)].T).max(axis=1, initial=0.0)
    return result


def _unit(images: Float32) -> Float:
    """Images as rows minus their means, divided by their norms; 0 if constant. Only pixels that are finite in all."""
    pixels = images.reshape(len(images), images.shape[1] * images.shape[2])
    kept = pixels[:, np.isfinite(pixels).all(axis=0)].astype(np.float64)
    if not kept.size:
        return np.zeros((len(pixels), 1))
    # Scaled first, so that squares of large intensities do not overflow.
    kept /= np.maximum(np.abs(kept).max(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    kept -= kept.mean(axis=1, keepdims=True)
    norm = np.sqrt((kept**2).sum(axis=1, keepdims=True))
    unit: Float = np.divide(kept, norm, out=np.zeros_like(kept), where=norm > 1e-12)
    return unit
