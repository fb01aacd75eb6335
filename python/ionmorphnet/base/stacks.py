"""Checks and converts images and masks for the native core."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError

Float32 = npt.NDArray[np.float32]


def checked_stack(images: npt.ArrayLike, mask: npt.ArrayLike | None) -> tuple[Float32, npt.NDArray[np.uint8] | None]:
    """Converts images and mask to the core's types.

    Args:
        images: (n, H, W), or one image (H, W); any real dtype. NaN, and what a numpy masked array hides, means not
            measured. Infinite values are kept; the core clips them.
        mask: (H, W), non-zero = measured (NaN is not); None: every pixel that is not NaN.

    Returns:
        float32 (n, H, W), and uint8 (H, W) or None.

    Raises:
        ArgumentError: Wrong shapes or types.
    """
    if isinstance(images, np.ma.MaskedArray) and images.dtype.kind in "fiub":
        images = np.ma.filled(images.astype(np.float64), np.nan)
    stack = np.asarray(images)
    if stack.ndim == 2:
        stack = stack[np.newaxis]
    if stack.ndim != 3 or 0 in stack.shape[1:]:
        raise ArgumentError(f"images must have shape (n, height, width), not {stack.shape}")
    if stack.dtype.kind not in "fiub":
        raise ArgumentError(f"images must be real numbers, not {stack.dtype}")
    measured = None
    if mask is not None:
        given = np.asarray(mask)
        if given.dtype.kind not in "fiub":
            raise ArgumentError(f"mask must hold booleans or numbers, not {given.dtype}")
        if given.shape != stack.shape[1:]:
            raise ArgumentError(f"mask has shape {given.shape}, but the images have {stack.shape[1:]}")
        measured = (np.nan_to_num(given) != 0).astype(np.uint8)
    with np.errstate(over="ignore"):  # the core treats infinite values as the largest finite ones
        return stack.astype(np.float32, copy=False), measured


def checked_sample(sample: npt.ArrayLike | None, shape: tuple[int, int]) -> Float32 | None:
    """Converts a sample map to the core's type.

    Args:
        sample: (H, W), probability from 0 to 1 that a pixel is sample; NaN, and what a numpy masked array hides, counts
            as 0 (not measured). None: unknown.
        shape: (H, W) of the images.

    Returns:
        float32 (H, W), or None.

    Raises:
        ArgumentError: Wrong shape or type, or a value out of range.
    """
    if sample is None:
        return None
    if isinstance(sample, np.ma.MaskedArray) and sample.dtype.kind in "fiub":
        sample = np.ma.filled(sample.astype(np.float64), np.nan)
    given = np.asarray(sample)
    if given.dtype.kind not in "fiub":
        raise ArgumentError(f"sample must hold booleans or numbers, not {given.dtype}")
    if given.shape != shape:
        raise ArgumentError(f"sample has shape {given.shape}, but the images have {shape}")
    known = np.where(np.isnan(given), 0.0, given)
    if known.min() < 0.0 or known.max() > 1.0:
        raise ArgumentError(f"sample must hold probabilities from 0 to 1, got {known.min():g} to {known.max():g}")
    return known.astype(np.float32)
