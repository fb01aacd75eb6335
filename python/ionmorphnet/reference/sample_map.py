"""Reference implementation of the sample map: which pixels of a section are sample, judged from many of its images.

One image cannot tell a sample that fills a part of the frame from an ion confined to a part of the sample; the images
of one section together can. Off the sample, the sample's ions are absent from all channels at once, and what remains,
such as matrix, varies little.

1. Each image is clipped at its 0.99 quantile and its square root is taken, then averaged over square blocks if the
   section has more than ``MOST_PIXELS`` measured pixels.
2. Channels without spatial coherence are left out. The others are smoothed, and channels that show the same pattern
   share one vote.
3. Four directions in channel space (the mean and three principal components) are each sharpened into the linear
   discriminant of two groups of pixels, split by Otsu's threshold.
4. Either group of each split may be the sample. The evidence for that (log odds against a section that is sample
   throughout) grows with the separation of the groups, with the structure within the sample compared with that off
   the sample, with the share of the border of the measured area that is off the sample, and with the contrast of the
   sample's ions; it falls if one group is small. The split with the best evidence wins.
5. A normal distribution for each group along the discriminant gives the probability of each pixel. It is weighed by
   the evidence against a section that is sample throughout. With few channels, all probabilities move towards 0.5.

The weights of the evidence were fitted to simulated sections and rounded, see docs/reference/sample-map.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ionmorphnet.reference.preprocess import Mask, quantile99

Doubles = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

FEWEST_CHANNELS = 3
FEWEST_PIXELS = 64
MOST_PIXELS = 20_000
LEAST_COHERENCE = 0.03
COMPONENTS = 3
POWER_STEPS = 60
DISCRIMINANT_STEPS = 5
BINS = 128


@dataclass(frozen=True)
class SampleEvidence:
    """A sample map and what it rests on.

    Attributes:
        map: float32 (height, width), probability that a pixel is sample; 0 where not measured.
        coherent: bool (n,): channels that were used.
        off_sample: 0 ... 1, probability that a part of the measured pixels is not sample.
        separation: Distance of the two groups of pixels in units of their mean standard deviation (Ashman's D).
        noise: float64 (n,): 0.95 quantile of each image where the map is below 0.5, in units of its 0.99 quantile;
            NaN if fewer than ``FEWEST_PIXELS`` pixels are.
    """

    map: npt.NDArray[np.float32]
    coherent: Bools
    off_sample: float
    separation: float
    noise: Doubles


@dataclass(frozen=True)
class _Split:
    """Two groups of pixels along a direction.

    Attributes:
        u: (pixels,) position along the direction.
        upper: bool (pixels,): the group of larger values.
        separation: Ashman's D.
        log_odds: Evidence that the upper group, and that the lower group, is the sample and the other is not.
    """

    u: Doubles
    upper: Bools
    separation: float
    log_odds: tuple[float, float]


def sample_map(images: npt.ArrayLike, mask: Mask | None = None) -> npt.NDArray[np.float32] | None:
    """Probability that a pixel is sample.

    Args:
        images: Intensities (n, height, width) of one section; NaN = not measured.
        mask: (height, width), non-zero = measured; None = every pixel that is not NaN in all images.

    Returns:
        float32 (height, width) in 0 ... 1, 0 where not measured; None if the images cannot tell: fewer than
        ``FEWEST_CHANNELS`` spatially coherent channels or ``FEWEST_PIXELS`` measured pixels.
    """
    evidence = sample_evidence(images, mask)
    return None if evidence is None else evidence.map


def sample_evidence(images: npt.ArrayLike, mask: Mask | None = None) -> SampleEvidence | None:
    """The sample map with what it rests on; arguments as for :func:`sample_map`."""
    values = np.asarray(images, np.float32)
    measured: Bools = np.asarray(~np.isnan(values).all(axis=0))
    if mask is not None:
        measured = np.asarray(measured & (np.asarray(mask) != 0))
    if len(values) < FEWEST_CHANNELS or measured.sum() < FEWEST_PIXELS:
        return None
    scaled = _scaled(values, measured)
    roots, there, factor = _block_means(np.sqrt(scaled), measured)
    coherence = _coherence(roots, there)
    coherent = coherence > max(LEAST_COHERENCE, 3.0 / np.sqrt(2.0 * there.sum()))
    if coherent.sum() < FEWEST_CHANNELS:
        return None
    roots, weight = roots[coherent], np.minimum(coherence[coherent], 1.0)
    smooth = _smoothed(roots, there, _sigma(there))[:, there]
    standard = smooth - smooth.mean(axis=1, keepdims=True)
    standard /= np.maximum(np.sqrt((standard**2).mean(axis=1, keepdims=True)), 1e-9)
    correlation = standard @ standard.T / standard.shape[1]
    votes = weight * weight / (correlation**2 @ weight)
    votes /= votes.sum()
    best: _Split | None = None
    for direction in [votes, *_components(correlation, votes)]:
        split = _split(direction, standard, smooth, roots, votes, there)
        if split is not None and (best is None or max(split.log_odds) > max(best.log_odds)):
            best = split
    if best is None:
        return None
    upper_posterior = _posterior(best.u, best.upper)
    odds = np.exp(np.minimum(best.log_odds, 40.0))
    share = odds / (1.0 + odds.sum())
    off_sample = float(share.sum())
    inside = share[0] * upper_posterior + share[1] * (1.0 - upper_posterior) + 1.0 - off_sample
    probability = np.zeros(there.shape)
    probability[there] = 0.5 + (inside - 0.5) * len(votes) / (len(votes) + 1.0)
    probability = _smoothed(probability[None], there, 0.7)[0]
    full = _enlarged(probability, factor, measured)
    return SampleEvidence(full, coherent, off_sample, best.separation, _noise(scaled, measured & (full < 0.5)))


def _noise(scaled: Doubles, outside: Bools) -> Doubles:
    if outside.sum() < FEWEST_PIXELS:
        return np.full(len(scaled), np.nan)
    level: Doubles = np.quantile(scaled[:, outside], 0.95, axis=1)
    return level


def _scaled(images: npt.NDArray[np.float32], measured: Bools) -> Doubles:
    """The images clipped at 0 and at their 0.99 quantile, and scaled to 0 ... 1; zeros if the quantile is 0."""
    out = np.zeros(images.shape)
    for scaled, image in zip(out, images, strict=True):
        values = np.maximum(np.nan_to_num(image[measured], nan=0.0), np.float32(0))
        quantile = float(quantile99(values))
        if quantile > 0:
            scaled[measured] = np.minimum(values.astype(np.float64) / quantile, 1.0)
    return out


def _block_means(roots: Doubles, measured: Bools) -> tuple[Doubles, Bools, int]:
    """Means over the measured pixels of square blocks, so that at most ``MOST_PIXELS`` measured blocks remain."""
    factor = int(np.ceil(np.sqrt(max(1.0, measured.sum() / MOST_PIXELS))))
    if factor == 1:
        return roots, measured, 1
    height, width = measured.shape
    pad = (-height % factor, -width % factor)
    shape = ((height + pad[0]) // factor, factor, (width + pad[1]) // factor, factor)
    count = np.pad(measured, ((0, pad[0]), (0, pad[1]))).reshape(shape).sum(axis=(1, 3))
    padded = np.pad(roots, ((0, 0), (0, pad[0]), (0, pad[1])))
    sums = padded.reshape(len(roots), *shape).sum(axis=(2, 4))
    return sums / np.maximum(count, 1), count > 0, factor


def _enlarged(probability: Doubles, factor: int, measured: Bools) -> npt.NDArray[np.float32]:
    """The probability of each measured pixel, that of its block."""
    full = np.repeat(np.repeat(probability, factor, axis=0), factor, axis=1)[: measured.shape[0], : measured.shape[1]]
    return np.where(measured, full, 0.0).astype(np.float32)


def _structure(roots: Doubles, inside: Bools) -> tuple[Doubles, Doubles]:
    """Covariance of neighbours and variance of each channel among the pixels ``inside``."""
    n = max(1, int(inside.sum()))
    centred = np.where(inside, roots - (roots * inside).sum(axis=(1, 2), keepdims=True) / n, 0.0)
    links = int((inside[:, 1:] & inside[:, :-1]).sum() + (inside[1:] & inside[:-1]).sum())
    products = (centred[:, :, 1:] * centred[:, :, :-1]).sum(axis=(1, 2))
    products += (centred[:, 1:] * centred[:, :-1]).sum(axis=(1, 2))
    return products / max(1, links), (centred**2).sum(axis=(1, 2)) / n


def _coherence(roots: Doubles, there: Bools) -> Doubles:
    covariance, variance = _structure(roots, there)
    coherence: Doubles = np.where(variance > 1e-9, covariance / np.maximum(variance, 1e-9), 0.0)
    return coherence


def _sigma(there: Bools) -> float:
    """Width of the smoothing in pixels: 1 to 2, growing with the section."""
    return float(np.clip(np.sqrt(there.sum()) / 100.0, 1.0, 2.0))


def _smoothed(values: Doubles, there: Bools, sigma: float) -> Doubles:
    """Normalised Gaussian over the pixels ``there``, cut off at three ``sigma``."""
    radius = int(np.ceil(3.0 * sigma))
    kernel = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2.0 * sigma**2))

    def blurred(x: Doubles) -> Doubles:
        padded = np.pad(x, ((0, 0), (radius, radius), (radius, radius)))
        rows = sum(k * padded[:, i : i + x.shape[1], :] for i, k in enumerate(kernel))
        out: Doubles = sum(k * rows[:, :, i : i + x.shape[2]] for i, k in enumerate(kernel))
        return out

    norm = blurred(there[None].astype(np.float64))
    smooth: Doubles = np.where(there, blurred(np.where(there, values, 0.0)) / np.maximum(norm, 1e-12), 0.0)
    return smooth


def _components(correlation: Doubles, votes: Doubles) -> list[Doubles]:
    """Leading principal directions of the weighted channels, by power iteration with deflation."""
    root = np.sqrt(votes)
    matrix = root[:, None] * correlation * root
    found: list[Doubles] = []
    for k in range(min(COMPONENTS, len(votes))):
        vector = np.where(np.arange(len(votes)) % (k + 2) == 0, 1.0, 0.5) * root
        for _ in range(POWER_STEPS):
            for other in found:
                vector = vector - (vector @ other) * other
            vector = matrix @ vector
            vector /= max(float(np.sqrt(vector @ vector)), 1e-12)
        found.append(vector)
    return [root * vector for vector in found]


def _split(
    direction: Doubles, standard: Doubles, smooth: Doubles, roots: Doubles, votes: Doubles, there: Bools
) -> _Split | None:
    """Sharpens a direction into the diagonal linear discriminant of the two groups that it splits."""
    for step in range(DISCRIMINANT_STEPS + 1):
        u: Doubles = direction @ standard
        upper = u > otsu_threshold(u)
        share = float(upper.mean())
        if share in (0.0, 1.0):
            return None
        contrast = standard[:, upper].mean(axis=1) - standard[:, ~upper].mean(axis=1)
        if step < DISCRIMINANT_STEPS:
            direction = votes * contrast / (1.1 - share * (1.0 - share) * contrast**2)
    spread = np.sqrt((u[upper].var() + u[~upper].var()) / 2.0)
    separation = float((u[upper].mean() - u[~upper].mean()) / max(float(spread), 1e-9))
    common, oriented, contrasts = _evidence(upper, contrast > 0, separation, smooth, roots, votes, there)
    return _Split(u, upper, separation, (common + oriented + contrasts[0], common - oriented + contrasts[1]))


def _evidence(
    upper: Bools, on: Bools, separation: float, smooth: Doubles, roots: Doubles, votes: Doubles, there: Bools
) -> tuple[float, float, tuple[float, float]]:
    """Log odds that one of two groups of pixels is sample and the other is not, against all pixels being sample.

    Args:
        upper: bool (pixels,), one of the groups.
        on: bool (n,): channels that are brighter in that group.
        separation: Ashman's D of the groups.
        smooth: (n, pixels) smoothed images.
        roots: (n, height, width) images.
        votes: (n,), sum 1.
        there: bool (height, width).

    Returns:
        The part that does not depend on which group is the sample; the part for the upper group, which counts
        negatively for the lower one; the contrast of the channels that are brighter in the upper, and in the lower
        group.
    """
    share = float(upper.mean())
    common = 0.75 * min(separation, 7.0) + 2.0 * float(np.log(4.0 * share * (1.0 - share))) - 8.0

    group = np.zeros(there.shape, np.bool_)
    group[there] = upper
    _, variance = _structure(roots, there)
    structure = [
        float(votes @ (np.maximum(_structure(roots, inside)[0], 0.0) / variance)) + 1e-3
        for inside in (group, there & ~group)
    ]
    padded = np.pad(there, 1)
    enclosed = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    border = share - float(upper[~enclosed[there]].mean())  # there are always pixels at the border
    oriented = 0.7 * float(np.clip(np.log(structure[0] / structure[1]), -2.5, 2.5)) + 8.0 * border

    level_upper, level_lower = smooth[:, upper].mean(axis=1) * votes, smooth[:, ~upper].mean(axis=1) * votes
    contrasts = (
        1.5 * float(np.log((level_upper[on].sum() + 0.02) / (level_lower[on].sum() + 0.02))),
        1.5 * float(np.log((level_lower[~on].sum() + 0.02) / (level_upper[~on].sum() + 0.02))),
    )
    return common, oriented, contrasts


def otsu_threshold(values: Doubles) -> float:
    """Otsu's threshold on a histogram of ``BINS`` equal bins: the upper edge of the last bin of the lower group."""
    low, high = float(values.min()), float(values.max())
    width = (high - low) / BINS
    if width <= 0:
        return high
    index = np.minimum(((values - low) / width).astype(np.int64), BINS - 1)
    counts = np.bincount(index, minlength=BINS).astype(np.float64)
    centres = low + (np.arange(BINS) + 0.5) * width
    below, total = np.cumsum(counts), counts.sum()
    sums = np.cumsum(counts * centres)
    above = total - below
    valid = (below > 0) & (above > 0)
    means = sums / np.maximum(below, 1), (sums[-1] - sums) / np.maximum(above, 1)
    between = np.where(valid, below * above * (means[0] - means[1]) ** 2, -1.0)
    return low + (int(between.argmax()) + 1) * width


def _posterior(u: Doubles, upper: Bools) -> Doubles:
    """Probability of the upper of two equally frequent normal distributions, made to rise with ``u``."""
    mean = [float(u[~upper].mean()), float(u[upper].mean())]
    # A narrow group would claim hardly more than its mean; smoothing has mixed the pixels along the outline.
    floor = (0.15 * (mean[1] - mean[0])) ** 2
    variance = [float(u[~upper].var()) + floor, float(u[upper].var()) + floor]
    x = np.clip(u, mean[0], mean[1])
    odds = -0.5 * (
        np.log(variance[1] / variance[0]) + (x - mean[1]) ** 2 / variance[1] - (x - mean[0]) ** 2 / variance[0]
    )
    result: Doubles = 1.0 / (1.0 + np.exp(-odds))
    return result
