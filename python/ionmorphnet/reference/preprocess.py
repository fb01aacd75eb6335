"""Reference implementation of the preprocessing of ion images for the network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_] | npt.NDArray[np.uint8]

INPUT_SIZE = 224
QUANTILE = np.float32(0.99)
SMALLEST_DIVISOR = np.float32(1e-6)
CHANNELS = {"p99-stretch-224": 1, "p99-stretch-224-mask": 2}


def measured_pixels(image: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.bool_]:
    """Measured pixels: not NaN and not excluded by the mask.

    Args:
        image: Intensities (height, width).
        mask: (height, width), non-zero = measured; None = every pixel.

    Returns:
        (height, width) bool.
    """
    measured = ~np.isnan(image)
    return measured if mask is None else measured & (np.asarray(mask) != 0)


def quantile99(values: FloatImage) -> np.float32:
    """The 0.99 quantile with linear interpolation, as ``torch.quantile`` computes it for float32.

    The rank is ``float32(0.99) * (n - 1)`` rounded to float32. Infinite values count as the largest finite float32.

    Args:
        values: Any shape, at least one value, no NaN.

    Returns:
        A finite float32.
    """
    limit = np.finfo(np.float32).max
    ordered = np.sort(np.clip(values.ravel(), -limit, limit))
    rank = np.float32(QUANTILE * np.float32(ordered.size - 1))
    below = int(rank)
    weight = np.float32(rank - np.float32(below))
    a, b = ordered[below], ordered[min(below + 1, ordered.size - 1)]
    with np.errstate(over="ignore"):
        span = np.float32(b - a)
    if np.isinf(span):
        return np.float32(a * (1 - weight) + b * weight)
    return np.float32(a + weight * span) if weight < 0.5 else np.float32(b - span * (1 - weight))


def resize_bilinear(image: FloatImage, size: int = INPUT_SIZE) -> FloatImage:
    """Bilinear resize to a square with ``align_corners=False``, without antialiasing; ignores the aspect ratio.

    Args:
        image: (height, width) float32.
        size: Side of the result in pixels.

    Returns:
        (size, size) float32.
    """

    def taps(source: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], FloatImage]:
        scale = np.float32(source) / np.float32(size)
        # A float32 scale and a single rounding, as the fused multiply-add of the torch kernels.
        position = np.maximum(np.float64(scale) * (np.arange(size) + 0.5) - 0.5, 0).astype(np.float32)
        first = np.minimum(position.astype(np.int64), source - 1)
        weight = np.minimum(position - first.astype(np.float32), np.float32(1))
        return first, np.minimum(first + 1, source - 1), weight.astype(np.float32)

    left, right, wx = taps(image.shape[1])
    top, bottom, wy = taps(image.shape[0])
    rows = image[:, left] * (1 - wx) + image[:, right] * wx
    resized = rows[top] * (1 - wy)[:, None] + rows[bottom] * wy[:, None]
    return resized.astype(np.float32)


def stretched(image: FloatImage, measured: npt.NDArray[np.bool_], counted: FloatImage) -> FloatImage:
    """Divides the image by a 0.99 quantile and clips it to [0, 1].

    Args:
        image: (height, width) float32 intensities.
        measured: (height, width) bool; other pixels become 0.
        counted: Values for the quantile, at least one. Quantiles below 1e-6 count as 1e-6.

    Returns:
        (height, width) float32 in [0, 1].
    """
    divisor = max(quantile99(counted), SMALLEST_DIVISOR)
    with np.errstate(over="ignore"):
        return np.clip(np.where(measured, image, np.float32(0)) / divisor, 0, 1).astype(np.float32)


def preprocess(images: FloatImage, preprocess_id: str, mask: Mask | None = None) -> FloatImage:
    """Normalises by the 0.99 quantile, clips to [0, 1] and resizes to 224 x 224.

    ``p99-stretch-224``: one channel; the quantile is over the whole grid, with 0 for pixels that were not measured.
    ``p99-stretch-224-mask``: two channels; the quantile is over the measured pixels, and other pixels are 0 after
    clipping. The second channel is the mask of measured pixels as 0/1, resized like the first.

    An image with a quantile of 0 becomes a 0/1 image; an image without measured pixels becomes 0. The result is never
    NaN. Source: arXiv 2604.19369 (the first id).

    Args:
        images: Intensities (n, height, width), float32; NaN = not measured.
        preprocess_id: One of ``CHANNELS``.
        mask: (height, width), non-zero = measured; None = every pixel that is not NaN.

    Returns:
        (n, channels, 224, 224) float32 in [0, 1].

    Raises:
        KeyError: The id is unknown.
    """
    channels = CHANNELS[preprocess_id]
    out = np.zeros((len(images), channels, INPUT_SIZE, INPUT_SIZE), np.float32)
    for i, image in enumerate(images):
        measured = measured_pixels(image, mask)
        counted = image[measured] if channels == 2 else np.where(measured, image, np.float32(0))
        if counted.size == 0:
            continue
        out[i, 0] = resize_bilinear(stretched(image, measured, counted))
        if channels == 2:
            out[i, 1] = resize_bilinear(measured.astype(np.float32))
    return out


def find_blank(images: FloatImage, preprocess_id: str, mask: Mask | None = None) -> npt.NDArray[np.bool_]:
    """Finds blank images: no pixel was measured, or all measured pixels are equal after clipping.

    This includes empty and constant images, and images that differ only below 0 or above the quantile.

    Args:
        images: Intensities (n, height, width), float32; NaN = not measured.
        preprocess_id: One of ``CHANNELS``; selects the pixels for the quantile as in :func:`preprocess`.
        mask: (height, width), non-zero = measured; None = every pixel that is not NaN.

    Returns:
        (n,) bool.
    """
    blank = np.ones(len(images), np.bool_)
    for i, image in enumerate(images):
        measured = measured_pixels(image, mask)
        if measured.any():
            counted = image[measured] if CHANNELS[preprocess_id] == 2 else np.where(measured, image, np.float32(0))
            x = stretched(image, measured, counted)[measured]
            blank[i] = x.min() == x.max()
    return blank
