"""Thinned images: real anatomy with simulated counting noise, so that the true order of the images is known.

A structured image serves as the rate of a Poisson process. Fewer counts make its structure harder to see; nobody has to
label anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate.bootstrap import BootstrapOptions, resample
from ionmorphnet.evaluate.methods import Methods, score_stack
from ionmorphnet.evaluate.metrics import concordance_of, rankable
from ionmorphnet.reference.preprocess import measured_pixels, stretched

Float = npt.NDArray[np.float64]
Float32 = npt.NDArray[np.float32]

# Counts per measured pixel. Seven levels from a few counts per image to a clear image.
LEVELS = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
# Blocks along the longer side of an image, for the truth at view scale.
BLOCKS = 24
SMOOTHING = 1.0
TRUTHS = ("order", "pixels", "blocks")


@dataclass(frozen=True, eq=False)
class ThinnedSet:
    """Thinned images with their true order.

    Attributes:
        images: Counts (H, W) float32, NaN = not measured; images of one original follow each other.
        original: (n,) number of the original image.
        level: (n,) expected counts per measured pixel.
        pixels: (n,) truth: expected correlation of the counts with their rate, from 0 to 1.
        blocks: (n,) the same for means over blocks of pixels, as in an image seen from afar.
    """

    images: Sequence[Float32]
    original: npt.NDArray[np.int64]
    level: Float
    pixels: Float
    blocks: Float

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)


def rate_of(image: Float32, smoothing: float = SMOOTHING) -> Float:
    """The rate that an image stands for, with mean 1 over the measured pixels.

    The image is clipped at its 0.99 quantile, and smoothed by a Gaussian to remove its own noise.

    Args:
        image: (H, W) float32, NaN = not measured.
        smoothing: Sigma of the Gaussian in pixels; 0: none.

    Returns:
        (H, W) float64, NaN = not measured.

    Raises:
        ArgumentError: The image is not (H, W), blank or negative everywhere.
    """
    measured = measured_pixels(image)
    if image.ndim != 2 or not measured.any():
        raise ArgumentError(f"a rate needs an image (H, W) with measured pixels, not {image.shape}")
    x = np.where(measured, stretched(image, measured, image[measured]), 0.0).astype(np.float64)
    if smoothing > 0:
        weights = gaussian_blur(measured.astype(np.float64), smoothing)
        x = np.divide(gaussian_blur(x, smoothing), weights, out=np.zeros_like(x), where=weights > 0)
    mean = x[measured].mean()
    if not mean > 0:
        raise ArgumentError("a rate needs an image with a pixel above 0")
    return np.where(measured, x / mean, np.nan)


def visible_share(rate: Float, level: float, block: int = 1) -> float:
    """Expected correlation of Poisson counts with their rate, both averaged over blocks of pixels.

    With S the variance of the block means of the rate and N the mean variance of the counts of a block around its rate,
    in units of the rate, it is ``sqrt(S / (S + N))``. Blocks at the edge of the measured pixels are smaller and count
    by their number of pixels.

    Args:
        rate: (H, W), mean 1, NaN = not measured.
        level: Expected counts per pixel.
        block: Side of a block in pixels.
    """
    measured = np.isfinite(rate)
    size, total = _block_sums(measured.astype(np.float64), block), _block_sums(np.where(measured, rate, 0.0), block)
    used = size > 0
    size, mean = size[used], total[used] / size[used]
    share = size / size.sum()
    signal = float(share @ (mean - share @ mean) ** 2)
    noise = float((share * mean / size).sum()) / level
    return float(np.sqrt(signal / (signal + noise))) if signal > 0 else 0.0


def thin(
    originals: Sequence[Float32],
    levels: Sequence[float] = LEVELS,
    *,
    seed: int = 0,
    smoothing: float = SMOOTHING,
    blocks: int = BLOCKS,
) -> ThinnedSet:
    """Thins images to several levels.

    Args:
        originals: Structured images (H, W) float32, NaN = not measured.
        levels: Expected counts per measured pixel.
        seed: Seed of the counts; image i depends on the seed, i and the level's position only.
        smoothing: See :func:`rate_of`.
        blocks: Number of blocks along the longer side for the truth ``blocks``.

    Returns:
        All levels of the first original, then of the second, and so on.

    Raises:
        ArgumentError: There is no image or level, a level is not above 0, or an image cannot be a rate.
    """
    if not originals or not levels:
        raise ArgumentError("thinning needs at least one image and one level")
    if any(not level > 0 for level in levels):
        raise ArgumentError(f"levels must be above 0, not {min(levels):g}")
    images, original, truth = [], [], []
    for i, image in enumerate(originals):
        rate = rate_of(image, smoothing)
        block = max(1, round(max(rate.shape) / blocks))
        for k, level in enumerate(levels):
            counts = np.random.default_rng([seed, i, k]).poisson(level * np.nan_to_num(rate))
            images.append(np.where(np.isfinite(rate), counts, np.nan).astype(np.float32))
            original.append(i)
            truth.append((level, visible_share(rate, level), visible_share(rate, level, block)))
    level_, pixels, view = np.array(truth, dtype=np.float64).T
    return ThinnedSet(images, np.array(original, dtype=np.int64), level_, pixels, view)


def score_thinned(thinned: ThinnedSet, methods: Methods) -> pd.DataFrame:
    """Scores (n, methods) of thinned images; one column per method, higher = more structure."""
    parts = []
    for i in range(int(thinned.original.max()) + 1):
        rows = np.flatnonzero(thinned.original == i)
        scores, _ = score_stack(np.stack([thinned.images[int(row)] for row in rows]), methods)
        parts.append(scores.set_index(rows))
    return pd.concat(parts).sort_index()


def thinned_report(
    thinned: ThinnedSet, scores: pd.DataFrame, *, options: BootstrapOptions | None = None
) -> pd.DataFrame:
    """Concordance of scores with the true order.

    Truths: ``order``: pairs of levels of the same original, the one with more counts is better; ``pixels`` and
    ``blocks``: all pairs of images that differ in this truth of :class:`ThinnedSet`. Equal scores count half.

    Args:
        thinned: The images.
        scores: (n, methods); NaN ranks last.
        options: How the intervals are computed, from resampling the originals; None: the defaults.

    Returns:
        One row per truth and method: truth, method, value, low, high, and, as the paired difference from the first
        method, difference, difference_low, difference_high.
    """
    chosen = options or BootstrapOptions()
    n = int(thinned.original.max()) + 1
    rows = []
    for truth in TRUTHS:
        first = None
        for method in scores.columns:
            score = rankable(scores[method])

            def value(counts: Float, truth: str = truth, score: Float = score) -> Float:
                if truth == "order":
                    return _order(counts, thinned, score)
                return concordance_of(counts[:, thinned.original], score, getattr(thinned, truth))

            sampled = resample(value, n, chosen, stream="thinned")
            first = sampled if first is None else first
            estimate, gap = sampled.estimate(chosen), sampled.minus(first).estimate(chosen)
            rows.append(
                {
                    "truth": truth,
                    "method": method,
                    "value": estimate.value,
                    "low": estimate.low,
                    "high": estimate.high,
                    "difference": gap.value,
                    "difference_low": gap.low,
                    "difference_high": gap.high,
                }
            )
    return pd.DataFrame(rows)


def _order(counts: Float, thinned: ThinnedSet, score: Float) -> Float:
    """Concordance over pairs of the same original; counts (resamples, originals) -> (resamples,)."""
    n = counts.shape[1]
    won, pairs = np.zeros(n), np.zeros(n)
    for i in range(n):
        rows = np.flatnonzero(thinned.original == i)
        better = thinned.level[rows, None] > thinned.level[None, rows]
        # Compared, not subtracted, because scores may be infinite.
        wins = (score[rows, None] > score[None, rows]) + 0.5 * (score[rows, None] == score[None, rows])
        won[i], pairs[i] = (better * wins).sum(), better.sum()
    total = counts @ pairs
    result: Float = np.divide(counts @ won, total, out=np.full(len(counts), np.nan), where=total > 0)
    return result


def gaussian_blur(plane: Float, sigma: float) -> Float:
    """Separable Gaussian blur with zero padding, cut off at four sigma; not normalised."""
    reach = int(np.ceil(4 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    for axis in (0, 1):
        plane = np.apply_along_axis(lambda line: np.convolve(line, weights)[reach:-reach], axis, plane)
    return plane


def _block_sums(plane: Float, block: int) -> Float:
    height, width = (-(-side // block) for side in plane.shape)
    padded = np.zeros((height * block, width * block))
    padded[: plane.shape[0], : plane.shape[1]] = plane
    sums: Float = padded.reshape(height, block, width, block).sum(axis=(1, 3))
    return sums
