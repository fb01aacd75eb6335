"""Channels of a simulated section: their m/z and their abundance in each pixel.

Abundance is a weighted sum of a few maps shared by all channels. This limits memory to the size of the maps and makes
channels correlate as they do in tissue.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.simulation import anatomy
from ionmorphnet.simulation.detection import unit_gamma
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.observer import FRAGMENTED, LOCALIZED, NEGATIVE, STRUCTURED, UNSTRUCTURED, WEAK
from ionmorphnet.simulation.silhouettes import Silhouette

# Class shares of the informative channels and of the others.
_INFORMATIVE = {STRUCTURED: 0.5, LOCALIZED: 0.3, NEGATIVE: 0.2}
_OTHERS = {WEAK: 0.12, FRAGMENTED: 0.08, UNSTRUCTURED: 0.8}
_RARE_SHARE = 0.01  # of the measured pixels
_RARE_PLACES = 4


@dataclass(frozen=True)
class SectionMaps:
    """Maps shared by the channels.

    Attributes:
        regions: int (H, W): 0 outside the sample, 1 and up for its compartments.
        everywhere: float32 (1, H, W): constant.
        sample: float32 (n, H, W): compartments, layers, ducts and gradients; 0 outside the sample.
        confined: float32 (n, H, W): confined regions.
        scattered: float32 (n, H, W): separate clusters.
        outside: float32 (n, H, W): signal off the sample.
        rare: float32 (n, H, W): 1 in 1 % of the measured pixels; n may be 0.
    """

    regions: NDArray[np.int64]
    everywhere: Field
    sample: Field
    confined: Field
    scattered: Field
    outside: Field
    rare: Field

    def stacked(self) -> Field:
        """All maps in the order of the attributes, float32 (n, H, W)."""
        return np.concatenate([self.everywhere, self.sample, self.confined, self.scattered, self.outside, self.rare])


def draw_maps(rng: np.random.Generator, silhouette: Silhouette) -> SectionMaps:
    """Draws the anatomy of one section."""
    n_regions = int(rng.integers(3, 7))
    compartments = anatomy.compartment_labels(rng, silhouette, n_regions)
    regions = np.where(silhouette.tissue, compartments + 1, 0)
    sample = [(regions == k).astype(np.float32) for k in range(1, n_regions + 1)]
    inside = silhouette.tissue.astype(np.float32)
    for pattern in (anatomy.layers, anatomy.layers, anatomy.ribbons, anatomy.spots, anatomy.gradient, anatomy.rim):
        sample.append(pattern(rng, silhouette) * inside)
    sample.append(inside)
    return SectionMaps(
        regions=regions,
        everywhere=np.ones((1, *silhouette.shape), dtype=np.float32),
        sample=np.stack(sample),
        confined=np.stack([_visible(rng, silhouette, anatomy.confined_region) for _ in range(8)]),
        scattered=np.stack([_visible(rng, silhouette, anatomy.scattered_clusters) for _ in range(6)]),
        outside=np.stack([anatomy.off_sample(rng, silhouette) for _ in range(4)]),
        rare=np.zeros((0, *silhouette.shape), dtype=np.float32),
    )


def _visible(
    rng: np.random.Generator, silhouette: Silhouette, pattern: Callable[[np.random.Generator, Silhouette], Field]
) -> Field:
    """Draws a pattern that covers at least 1 % of the sample; a single draw may fall into a cavity."""
    drawn = pattern(rng, silhouette)
    for _ in range(20):
        if (drawn > 0.4).sum() > 0.01 * silhouette.tissue.sum():
            break
        drawn = pattern(rng, silhouette)
    return drawn


def draw_mz(
    rng: np.random.Generator, n: int, mz_range: tuple[float, float], min_gap_ppm: float, close_pairs: int
) -> NDArray[np.float64]:
    """Ascending m/z values, uniform in log m/z, at least ``min_gap_ppm`` apart.

    Args:
        rng: Source of randomness.
        n: Number of channels.
        mz_range: Smallest and largest m/z.
        min_gap_ppm: Smallest distance between two channels in ppm.
        close_pairs: Number of channel pairs exactly this far apart; all others keep at least three times the distance.

    Raises:
        ArgumentError: The channels do not fit into the range.
    """
    gap = min_gap_ppm * 1e-6
    n_sites = n - close_pairs
    width = gap * (4.0 if close_pairs else 1.0)
    room = np.log(mz_range[1] / mz_range[0]) - width * n_sites
    if room <= 0:
        raise ArgumentError(
            f"{n} channels at least {min_gap_ppm:g} ppm apart ({close_pairs} close pairs) do not fit into m/z "
            f"{mz_range[0]:g} to {mz_range[1]:g}; reduce n_channels or min_gap_ppm, or widen mz_range"
        )
    sites = mz_range[0] * np.exp(np.sort(rng.uniform(0.0, room, n_sites)) + width * np.arange(n_sites))
    twins = sites[rng.permutation(n_sites)[:close_pairs]] * (1.0 + gap)
    return np.sort(np.concatenate([sites, twins]))


@dataclass(frozen=True)
class Channels:
    """All channels of a section; each array has one entry per channel.

    Attributes:
        mz: float64 (n,), ascending.
        labels: int64 (n,), index into ``CLASSES``.
        weights: float32 (n, maps): abundance = weights @ maps, about 1 in bright pixels.
        shape: float32 (n,): shape parameter of the gamma noise.
        limit: float32 (n,): detection limit relative to the mean of a bright pixel.
        speckle: float32 (n,): share of pixels with an unrelated peak.
        level: float32 (n,): intensity of a bright pixel.
    """

    mz: NDArray[np.float64]
    labels: NDArray[np.int64]
    weights: Field
    shape: Field
    limit: Field
    speckle: Field
    level: Field

    @property
    def informative(self) -> NDArray[np.bool_]:
        """bool (n,): structured, localized or negative."""
        found: NDArray[np.bool_] = np.isin(self.labels, list(_INFORMATIVE))
        return found


def _sparse(rng: np.random.Generator, n: int, width: int, most: int) -> Field:
    """Rows with 1 to ``most`` non-zero entries, one of them 1 and the others 0.3 to 1; float32 (n, width)."""
    rank = np.argsort(rng.random((n, width)), axis=1)
    count = rng.integers(1, most + 1, size=(n, 1))
    values = np.where(rank == 0, 1.0, rng.uniform(0.3, 1.0, (n, width)))
    return np.where(rank < count, values, 0.0).astype(np.float32)


def draw_channels(
    rng: np.random.Generator,
    maps: SectionMaps,
    measured: NDArray[np.bool_],
    mz: NDArray[np.float64],
    n_informative: int,
) -> Channels:
    """Draws class, abundance and noise of every channel.

    Args:
        rng: Source of randomness.
        maps: Anatomy of the section.
        measured: bool (H, W).
        mz: float64 (n,), ascending.
        n_informative: Number of channels that are structured, localized or negative.
    """
    n = mz.size
    has_outside = bool((maps.regions[measured] == 0).mean() > 0.05)
    informative = dict(_INFORMATIVE) if has_outside else {k: v for k, v in _INFORMATIVE.items() if k != NEGATIVE}
    labels = np.concatenate(
        [_draw_labels(rng, informative, n_informative), _draw_labels(rng, _OTHERS, n - n_informative)]
    )
    labels = labels[rng.permutation(n)]
    stacked = maps.stacked()
    weights = np.zeros((n, len(stacked)), dtype=np.float32)
    first = 0
    for group, classes, most in (
        (maps.everywhere, (UNSTRUCTURED,), 1),
        (maps.sample, (STRUCTURED, WEAK), 4),
        (maps.confined, (LOCALIZED,), 1),
        (maps.scattered, (FRAGMENTED,), 2),
        (maps.outside, (NEGATIVE,), 2),
    ):
        rows = np.flatnonzero(np.isin(labels, classes))
        weights[rows[:, None], first + np.arange(len(group))] = _sparse(rng, len(rows), len(group), most)
        first += len(group)
    whole = np.flatnonzero(np.isin(labels, (STRUCTURED, WEAK)))
    last_sample = len(maps.everywhere) + len(maps.sample) - 1  # the map of the whole sample
    weights[whole, last_sample] = np.maximum(weights[whole, last_sample], rng.uniform(0.3, 0.8, len(whole)))
    _normalise(weights, stacked[:, measured])

    rate = rng.uniform(0.6, 0.98, n)
    rate[labels == WEAK] = rng.uniform(0.1, 0.35, int((labels == WEAK).sum()))
    noise = labels == UNSTRUCTURED
    rate[noise] = np.exp(rng.uniform(np.log(0.005), np.log(0.5), int(noise.sum())))
    shape = np.exp(rng.uniform(np.log(2.0), np.log(20.0), n)).astype(np.float32)
    samples = rng.standard_gamma(shape[:, None], size=(n, 512)) / shape[:, None]
    order = np.clip(((1.0 - rate) * 512).astype(np.int64), 0, 511)
    limit = np.take_along_axis(np.sort(samples, axis=1), order[:, None], axis=1)[:, 0]
    return Channels(
        mz=mz,
        labels=labels,
        weights=weights,
        shape=shape,
        limit=limit.astype(np.float32),
        speckle=np.where(rng.random(n) < 0.5, 0.0, np.exp(rng.uniform(np.log(1e-4), np.log(0.02), n))).astype(
            np.float32
        ),
        level=np.exp(rng.normal(np.log(2e3), 1.2, n)).astype(np.float32),
    )


def make_rare(
    rng: np.random.Generator, channels: Channels, maps: SectionMaps, measured: NDArray[np.bool_], n: int
) -> tuple[Channels, SectionMaps]:
    """Confines ``n`` of the channels to 1 % of the measured pixels, around a few places of the sample.

    Args:
        rng: Source of randomness.
        channels: All channels; those that become rare are localized afterwards.
        maps: Anatomy of the section.
        measured: bool (H, W).
        n: Number of rare channels, at most all.

    Returns:
        The channels and the maps, which now have the rare ones.
    """
    row, col = np.nonzero(measured)
    inside = np.flatnonzero(maps.regions[row, col] > 0)
    count = max(1, round(_RARE_SHARE * row.size))
    rare = np.zeros((_RARE_PLACES, *measured.shape), dtype=np.float32)
    for place in rare:
        centre = rng.choice(inside if inside.size else row.size)
        near = np.argsort((row - row[centre]) ** 2 + (col - col[centre]) ** 2, kind="stable")[:count]
        place[row[near], col[near]] = 1.0
    chosen = rng.permutation(channels.mz.size)[:n]
    weights = np.concatenate([channels.weights, np.zeros((channels.mz.size, _RARE_PLACES), dtype=np.float32)], axis=1)
    weights[chosen] = 0.0
    weights[chosen, channels.weights.shape[1] + rng.integers(_RARE_PLACES, size=n)] = 1.0
    labels, limit, speckle = channels.labels.copy(), channels.limit.copy(), channels.speckle.copy()
    labels[chosen], limit[chosen], speckle[chosen] = LOCALIZED, 0.0, 0.0
    changed = replace(channels, weights=weights, labels=labels, limit=limit, speckle=speckle)
    return changed, replace(maps, rare=rare)


def abundance(channels: Channels, maps: Field) -> Field:
    """Noise-free abundance, float32 (pixels, n), from maps (maps, pixels)."""
    result: Field = maps.T @ channels.weights.T
    return result


def visible(expected: Field, shape: Field, limit: Field) -> Field:
    """Mean of what an instrument reports, which cuts off gamma noise below the detection limit.

    The share of the mean that lies above the limit is a gamma distribution function; this is the approximation of
    Wilson and Hilferty (1931) with a logistic normal, exact to about 0.02.

    Args:
        expected: float32 (pixels, n): noise-free abundance.
        shape: float32 (n,): shape parameter of the noise.
        limit: float32 (n,): detection limit.
    """
    a = shape + np.float32(1.0)
    ratio = np.cbrt(limit * shape / (a * np.maximum(expected, np.float32(1e-6))))
    deviation = (ratio - 1.0 + 1.0 / (9.0 * a)) * (3.0 * np.sqrt(a))
    result: Field = (expected / (1.0 + np.exp(np.minimum(1.702 * deviation, 60.0)))).astype(np.float32)
    return result


def observe(rng: np.random.Generator, channels: Channels, expected: Field) -> Field:
    """Intensities an instrument would report: gamma noise, with 0 below the detection limit of the channel.

    Args:
        rng: Source of randomness.
        channels: The channels.
        expected: float32 (pixels, n): noise-free abundance.

    Returns:
        float32 (pixels, n), non-negative.
    """
    observed = rng.standard_gamma(channels.shape, size=expected.shape).astype(np.float32)
    observed *= expected / channels.shape
    observed[observed < channels.limit] = 0.0
    speckles = rng.random(expected.shape, dtype=np.float32) < channels.speckle
    observed[speckles] += np.float32(0.5) * unit_gamma(rng, 3.0, (int(speckles.sum()),))
    observed *= channels.level
    return observed


def _draw_labels(rng: np.random.Generator, shares: dict[int, float], n: int) -> NDArray[np.int64]:
    total = sum(shares.values())
    return rng.choice(np.array(list(shares)), size=n, p=[share / total for share in shares.values()])


def _normalise(weights: Field, maps: Field) -> None:
    """Scales the rows to abundance 1 in a bright pixel, the 0.9 quantile of the positive ones."""
    step = max(1, maps.shape[1] // 2000)
    sampled = maps[:, ::step]
    for first in range(0, len(weights), 256):
        rows = weights[first : first + 256]
        values = np.sort(rows @ sampled, axis=1)
        positive = (values > 1e-6).sum(axis=1)
        rank = values.shape[1] - 1 - (0.1 * positive).astype(np.int64)
        bright = np.take_along_axis(values, np.maximum(rank, 0)[:, None], axis=1)
        rows /= np.where(bright > 1e-6, bright, 1.0).astype(np.float32)
