"""Reference implementation of the preprocessing of ion images for the network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.models.preprocessing import Preprocessing

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_] | npt.NDArray[np.uint8]

QUANTILE = np.float32(0.99)
SMALLEST_DIVISOR = np.float32(1e-6)
UNKNOWN_SAMPLE = np.float32(0.5)


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


def resize_bilinear(image: FloatImage, size: int) -> FloatImage:
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


def resize_area(image: FloatImage, size: int) -> FloatImage:
    """Antialiased resize to a square with ``align_corners=False``; ignores the aspect ratio.

    Each pixel of the result is a mean under a triangle that reaches one pixel of the coarser grid, separately along
    each axis, as ``antialias=True`` of torch and Pillow. Weights are float64, rounded once; rows are combined along y,
    then along x. An image that does not shrink along any axis is resized by :func:`resize_bilinear`.

    Args:
        image: (height, width) float32 in [0, 1].
        size: Side of the result in pixels.

    Returns:
        (size, size) float32 in [0, 1].
    """
    if max(image.shape) <= size:
        return resize_bilinear(image, size)
    along_y, along_x = (area_weights(source, size) for source in image.shape)
    return np.minimum(along_y @ image @ along_x.T, np.float32(1))


def area_weights(source: int, size: int) -> FloatImage:
    """Weights of the source pixels of each pixel of the result along one axis, float32 (size, source)."""
    scale = source / size
    reach = max(scale, 1.0)
    centre = scale * (np.arange(size) + 0.5)
    first = np.maximum((centre - reach + 0.5).astype(int), 0)
    last = np.minimum((centre + reach + 0.5).astype(int), source)
    place = np.arange(source)
    height = np.maximum(1 - np.abs((place + 0.5 - centre[:, None]) / reach), 0)
    height[(place < first[:, None]) | (place >= last[:, None])] = 0
    weights: FloatImage = (height / height.sum(axis=1, keepdims=True)).astype(np.float32)
    return weights


def resized(image: FloatImage, preprocessing: Preprocessing) -> FloatImage:
    """Resizes as the preprocessing says: (height, width) to (size, size) float32."""
    return (resize_area if preprocessing.resize == "area" else resize_bilinear)(image, preprocessing.size)


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


def preprocess(
    images: FloatImage, preprocess_id: str, mask: Mask | None = None, sample: FloatImage | None = None
) -> FloatImage:
    """Normalises by the 0.99 quantile, clips to [0, 1] and resizes to the network's input.

    The id, ``p99-(stretch|area)-SIZE[-mask][-sqrt][-sample]``, says how the image is resized, to what side, and which
    channels follow that of the image:

    * ``mask``: the measured pixels as 0/1. The quantile is then over these; otherwise it is over the whole grid, with 0
      for pixels that were not measured. They are 0 after clipping in either case.
    * ``sqrt``: the square root of the clipped image, taken before resizing.
    * ``sample``: the sample map of the section, the same for all its images; 0.5 everywhere if it is unknown.

    All channels are resized alike. An image with a quantile of 0 becomes a 0/1 image. Where nothing counts for the
    quantile, all channels but the sample map are 0. The result is never NaN. Source: arXiv 2604.19369
    (``p99-stretch-224``).

    Args:
        images: Intensities (n, height, width), float32; NaN = not measured.
        preprocess_id: The id.
        mask: (height, width), non-zero = measured; None = every pixel that is not NaN.
        sample: float32 (height, width), probability from 0 to 1 that a pixel is sample; None = unknown.

    Returns:
        (n, channels, size, size) float32 in [0, 1].

    Raises:
        ArgumentError: The id is unknown.
    """
    wanted = Preprocessing.parse(preprocess_id)
    out = np.zeros((len(images), *wanted.shape), np.float32)
    channel = {name: out[:, k] for k, name in enumerate(wanted.channels)}
    if wanted.sample:
        channel["sample"][:] = UNKNOWN_SAMPLE if sample is None else resized(sample, wanted)
    for i, image in enumerate(images):
        measured = measured_pixels(image, mask)
        counted = image[measured] if wanted.mask else np.where(measured, image, np.float32(0))
        if counted.size == 0:
            continue
        x = stretched(image, measured, counted)
        channel["image"][i] = resized(x, wanted)
        if wanted.mask:
            channel["mask"][i] = resized(measured.astype(np.float32), wanted)
        if wanted.sqrt:
            channel["sqrt"][i] = resized(np.sqrt(x), wanted)
    return out


def find_blank(images: FloatImage, preprocess_id: str, mask: Mask | None = None) -> npt.NDArray[np.bool_]:
    """Finds blank images: no pixel was measured, or all measured pixels are equal after clipping.

    This includes empty and constant images, and images that differ only below 0 or above the quantile.

    Args:
        images: Intensities (n, height, width), float32; NaN = not measured.
        preprocess_id: Selects the pixels for the quantile as in :func:`preprocess`.
        mask: (height, width), non-zero = measured; None = every pixel that is not NaN.

    Returns:
        (n,) bool.
    """
    measured_only = Preprocessing.parse(preprocess_id).mask
    blank = np.ones(len(images), np.bool_)
    for i, image in enumerate(images):
        measured = measured_pixels(image, mask)
        if measured.any():
            counted = image[measured] if measured_only else np.where(measured, image, np.float32(0))
            x = stretched(image, measured, counted)[measured]
            blank[i] = x.min() == x.max()
    return blank
