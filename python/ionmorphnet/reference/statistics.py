"""Reference implementation of the classical scores, which need no model.

All use the image as the network sees it before resizing (preprocessing id ``p99-stretch-224-mask``):
``x = clip(pixel / max(q, 1e-6), 0, 1)``, where q is the 0.99 quantile of the measured pixels. This limits the influence
of hot pixels; negative intensities count as 0 and infinite ones as the brightest. Pixels that were not measured are
treated like pixels outside the frame.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.reference.preprocess import FloatImage, Mask, measured_pixels, stretched

BLUR_SIGMA = 2.0
BLUR_RADIUS = 8  # four sigma
CHAOS_LEVELS = 30
SPLITS = 2
LEAST_SHARE = 1 / 32
LEAST_VARIANCE = 1e-4

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def image_statistics(images: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.float32]:
    """Computes all statistics of ion images.

    Args:
        images: Intensities (n, height, width), float32; NaN = not measured.
        mask: (height, width), non-zero = measured; None = every pixel that is not NaN.

    Returns:
        (n, 6) float32 with the columns ``ionmorphnet.models.labels.STATISTICS``. All are 0 for an image without
        measured pixels; all but coverage are 0 for an image with the same x everywhere.
    """
    functions = {
        "moran": morans_i,
        "blur": blurred_variance,
        "chaos": spatial_chaos,
        "coverage": coverage,
        "blur_sqrt": blurred_variance_of_root,
        "reliability": split_half_reliability,
    }
    return np.stack([functions[name](images, mask) for name in STATISTICS], axis=1)


def morans_i(images: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.float32]:
    """Moran's I with rook neighbours and binary weights.

    ``I = (N / W) * sum_ij w_ij (x_i - m)(x_j - m) / sum_i (x_i - m)^2`` with N measured pixels, mean m, and w_ij = 1
    for two measured pixels that share an edge (W = sum of w_ij). Computed in float64.
    Source: Moran, P. A. P. (1950), Biometrika 37, 17-23.

    Returns:
        (n,) float32, about -1 to 1; 0 if no two measured pixels share an edge.
    """

    def statistic(x: FloatImage, measured: Bools) -> float:
        links = (measured[:, 1:] & measured[:, :-1]).sum() + (measured[1:] & measured[:-1]).sum()
        if links == 0:
            return 0.0
        d = _deviations(x, measured)
        products = (d[:, 1:] * d[:, :-1]).sum() + (d[1:] * d[:-1]).sum()
        return float(measured.sum() / links * products / (d**2).sum())

    return _of_each(images, mask, statistic)


def blurred_variance(images: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.float32]:
    """Variance of the image after a Gaussian blur divided by its variance before.

    The blur has a sigma of 2 pixels, is cut off at 8 pixels, and is normalised by the mask: ``blur(x * m) / blur(m)``
    with m = 1 for measured pixels and 0 elsewhere, including the surroundings of the image. Both variances are over the
    measured pixels. Computed in float64. Noise retains about 2 %, a shape wider than the blur nearly everything.

    Returns:
        (n,) float32, 0 to about 1.
    """

    return _of_each(images, mask, _blurred_variance)


def spatial_chaos(images: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.float32]:
    """Measure of spatial chaos as computed by METASPACE.

    The image is thresholded at 30 levels from 0 to its maximum, both included. The pixels above a level are dilated
    with the 4-connected cross and eroded with the 3 x 3 square, and the remaining 4-connected objects are counted. With
    N pixels above 0 the measure is ``1 - mean(objects) / N``, or 0 if no level leaves an object.

    A pixel of value x is above ``ceil(29 * x)`` levels (float32). Two things differ from METASPACE. Hot pixels are
    clipped at the quantile of the measured pixels, not of those above 0. Pixels that were not measured neither belong
    to an object nor erode one, as if the frame ended there; METASPACE treats them as empty.
    Sources: Alexandrov and Bartels (2013), Bioinformatics 29, 2335-2342; Palmer et al. (2017), Nat. Methods 14, 57-60.

    Returns:
        (n,) float32, 0 to below 1; close to 1 for one connected shape at every level.
    """

    def statistic(x: FloatImage, measured: Bools) -> float:
        above = np.ceil(x * np.float32(CHAOS_LEVELS - 1)).astype(np.int64)
        objects = 0
        for level in range(CHAOS_LEVELS):
            inside = measured & (above > level)
            dilated = measured & np.logical_or.reduce(_shifted(inside, _CROSS, outside=False))
            eroded = measured & np.logical_and.reduce(_shifted(dilated | ~measured, _SQUARE, outside=True))
            objects += _count_objects(eroded)
        return 1 - objects / CHAOS_LEVELS / int((x > 0).sum()) if objects else 0.0

    return _of_each(images, mask, statistic)


def coverage(images: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.float32]:
    """Share of the measured pixels above 0.

    Returns:
        (n,) float32, 0 to 1.
    """
    return _of_each(images, mask, lambda x, measured: float((x > 0).sum() / measured.sum()), constant=True)


def blurred_variance_of_root(images: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.float32]:
    """The blurred variance of sqrt(x), which gives faint pixels more weight and evens out the noise of counts.

    The root is taken in float32; the rest is as in :func:`blurred_variance`.

    Returns:
        (n,) float32, 0 to about 1; 0 also if the root is the same at every measured pixel.
    """
    return _of_each(images, mask, lambda x, measured: _of_root(x, measured, _blurred_variance))


def split_half_reliability(images: FloatImage, mask: Mask | None = None) -> npt.NDArray[np.float32]:
    """Correlation of two halves of the pixels, each smoothed by itself: what one half says about the other.

    The measured pixels are split at random by a hash of their position (:func:`halves`). The root of x, as deviation
    d from its mean, is blurred in each half h: ``blur(d * h) / blur(h)``, with the Gaussian of
    :func:`blurred_variance`. The result is Pearson's correlation of the two over the measured pixels at which both
    ``blur(h)`` are at least 1/32 of ``blur(m)``, averaged over two splits. A split counts as 0 if fewer than two pixels
    are left, or if the variance of a blurred half is at most 1e-4 of the variance of the root: such a half says
    nothing. Independent noise has an expectation of 0, whatever its distribution.

    Returns:
        (n,) float32, -1 to 1; 0 also if the root is the same at every measured pixel.
    """

    def of_root(root: FloatImage, measured: Bools) -> float:
        d = _deviations(root, measured)
        least = LEAST_VARIANCE * (d[measured] ** 2).mean()
        whole = _blur(measured.astype(np.float64))
        found = []
        for half in halves(measured):
            parts = [half, measured & ~half]
            weights = [_blur(part.astype(np.float64)) for part in parts]
            counted = measured & (np.minimum(*weights) >= LEAST_SHARE * whole)
            if counted.sum() < 2:
                found.append(0.0)
                continue
            a, b = (_blur(d * part)[counted] / weight[counted] for part, weight in zip(parts, weights, strict=True))
            says = min(a.var(), b.var()) > least
            found.append(float(np.mean((a - a.mean()) * (b - b.mean())) / (a.std() * b.std())) if says else 0.0)
        return float(np.mean(found))

    return _of_each(images, mask, lambda x, measured: _of_root(x, measured, of_root))


def halves(measured: Bools) -> list[Bools]:
    """The first half of each of the two splits of the measured pixels (height, width).

    A pixel in row y and column x, counted from the first row and column with a measured pixel, is in the first half of
    split k if bit k of its hash is 1: the finaliser of MurmurHash3 (Austin Appleby, public domain) applied to
    ``0x9E3779B1 * y + 0x85EBCA77 * x`` in 32 bits.
    """
    y, x = np.indices(measured.shape)
    rows, columns = np.nonzero(measured)
    y, x = (y - rows.min()).astype(np.uint64), (x - columns.min()).astype(np.uint64)
    bits = np.uint64(0xFFFFFFFF)
    h = (y * np.uint64(0x9E3779B1) + x * np.uint64(0x85EBCA77)) & bits
    h ^= h >> np.uint64(16)
    h = (h * np.uint64(0x85EBCA6B)) & bits
    h ^= h >> np.uint64(13)
    h = (h * np.uint64(0xC2B2AE35)) & bits
    h ^= h >> np.uint64(16)
    return [measured & ((h >> np.uint64(k)) % np.uint64(2) == 1) for k in range(SPLITS)]


_CROSS = ((0, 0), (0, 1), (0, -1), (1, 0), (-1, 0))
_SQUARE = tuple((dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1))


def _of_each(
    images: FloatImage,
    mask: Mask | None,
    statistic: Callable[[FloatImage, Bools], float],
    *,
    constant: bool = False,
) -> npt.NDArray[np.float32]:
    """statistic(x, measured) of each image; 0 for blank images, constant ones included unless ``constant`` is set."""
    out = np.zeros(len(images), np.float32)
    for i, image in enumerate(images):
        measured = measured_pixels(image, mask)
        if not measured.any():
            continue
        x = stretched(image, measured, image[measured])
        if constant or x[measured].min() != x[measured].max():
            out[i] = statistic(x, measured)
    return out


def _blurred_variance(x: FloatImage, measured: Bools) -> float:
    blurred = _blur(_deviations(x, measured))[measured] / _blur(measured.astype(np.float64))[measured]
    return float(blurred.var() / x[measured].astype(np.float64).var())


def _of_root(x: FloatImage, measured: Bools, statistic: Callable[[FloatImage, Bools], float]) -> float:
    """statistic(sqrt(x), measured); 0 if the root is constant, which x need not be."""
    root = np.sqrt(x)
    return statistic(root, measured) if root[measured].min() != root[measured].max() else 0.0


def _deviations(x: FloatImage, measured: Bools) -> Doubles:
    """Deviation of each measured pixel from the mean; 0 elsewhere."""
    values = x.astype(np.float64)
    return np.where(measured, values - values[measured].mean(), 0.0)


def _blur(plane: Doubles) -> Doubles:
    """Separable Gaussian blur with zero padding; not normalised, because only quotients of blurs are used."""
    weights = np.exp(-0.5 * (np.arange(-BLUR_RADIUS, BLUR_RADIUS + 1) / BLUR_SIGMA) ** 2)
    for axis in (0, 1):
        plane = np.apply_along_axis(lambda line: np.convolve(line, weights)[BLUR_RADIUS:-BLUR_RADIUS], axis, plane)
    return plane


def _shifted(plane: Bools, offsets: tuple[tuple[int, int], ...], *, outside: bool) -> list[Bools]:
    height, width = plane.shape
    padded = np.pad(plane, 1, constant_values=outside)
    return [padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dy, dx in offsets]


def _count_objects(plane: Bools) -> int:
    """4-connected objects of a binary image."""
    width = plane.shape[1] + 2  # with a border, so neighbours need no bounds check
    left = set(np.flatnonzero(np.pad(plane, 1)).tolist())
    objects = 0
    while left:
        objects += 1
        front = [left.pop()]
        while front:
            at = front.pop()
            for neighbour in (at - width, at - 1, at + 1, at + width):
                if neighbour in left:
                    left.remove(neighbour)
                    front.append(neighbour)
    return objects
