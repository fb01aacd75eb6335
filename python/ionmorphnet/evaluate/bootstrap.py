"""Bootstrap intervals, from resampling images with replacement."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError

Float = npt.NDArray[np.float64]

# Value of a statistic for many resamples at once: counts (resamples, n) -> (resamples,).
Statistic = Callable[[Float], Float]
IntervalKind = Literal["percentile", "bca"]

# Number of counts held at once.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class BootstrapOptions:
    """How intervals are computed.

    Attributes:
        draws: Number of resamples; 0: no intervals.
        level: Coverage of the interval, between 0 and 1.
        seed: Seed of the resamples. Methods on the same images see the same resamples, so differences are paired.
        kind: ``percentile``, or ``bca`` (bias-corrected and accelerated; Efron, B. (1987), JASA 82, 171-185).
    """

    draws: int = 2000
    level: float = 0.95
    seed: int = 0
    kind: IntervalKind = "percentile"

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ArgumentError: A value is out of range.
        """
        if self.draws < 0:
            raise ArgumentError(f"draws must be 0 or more, not {self.draws}")
        if not 0.0 < self.level < 1.0:
            raise ArgumentError(f"level must be between 0 and 1, not {self.level}")
        if self.kind not in ("percentile", "bca"):
            raise ArgumentError(f"kind must be percentile or bca, not '{self.kind}'")


@dataclass(frozen=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value: Value for the sample; NaN if undefined.
        low: Lower end of the interval; NaN without an interval.
        high: Upper end of the interval; NaN without an interval.
        n: Number of units (images, pairs, sections) in the sample.
        draws: Number of resamples for which the value is defined.
    """

    value: float
    low: float
    high: float
    n: int
    draws: int

    def __str__(self) -> str:
        """Value and interval with three decimals."""
        if np.isnan(self.value):
            return "-"
        if np.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Sampled:
    """Values of a statistic for the sample, its resamples and its leave-one-out samples.

    Attributes:
        value: Value for the sample.
        draws: (resamples,), NaN where undefined.
        jackknife: (n,), values without each unit in turn, for BCa intervals; empty for percentile intervals.
        n: Number of units.
    """

    value: float
    draws: Float
    jackknife: Float
    n: int

    def minus(self, other: Sampled) -> Sampled:
        """The paired difference; both must come from the same resamples of the same images."""
        return Sampled(
            self.value - other.value, self.draws - other.draws, self.jackknife - other.jackknife, min(self.n, other.n)
        )

    def estimate(self, options: BootstrapOptions) -> Estimate:
        """The value with its interval, which always contains the value."""
        defined = self.draws[~np.isnan(self.draws)]
        low, high = np.nan, np.nan
        if not np.isnan(self.value) and defined.size:
            low, high = _interval(self.value, defined, self.jackknife, options)
            # If nearly all grades are equal, the value can lie outside the range of most resamples.
            low, high = min(low, self.value), max(high, self.value)
        return Estimate(float(self.value), float(low), float(high), self.n, int(defined.size))


def resample(
    statistic: Statistic,
    n: int,
    options: BootstrapOptions,
    *,
    stream: str = "",
    groups: npt.NDArray[np.int64] | None = None,
) -> Sampled:
    """Computes a statistic of n units and of their resamples.

    Args:
        statistic: Maps counts (resamples, n) to values (resamples,).
        n: Number of units.
        options: Number of resamples, their seed, and the kind of interval.
        stream: Name of the units. Equal names see the same resamples (paired differences), different names independent
            ones.
        groups: int64 (n,), the group of each unit, such as the patient of a section. Groups are resampled first, then
            the units within them (hierarchical bootstrap). None: every unit is its own group.

    Returns:
        The values; NaN if n = 0. Leave-one-out values leave out one group.
    """
    place = np.arange(n) if groups is None else np.unique(groups, return_inverse=True)[1]
    value = float(statistic(np.ones((1, n)))[0]) if n else float("nan")
    if not n or not options.draws:
        return Sampled(value, np.full(options.draws, np.nan), np.zeros(0), n)
    rng = np.random.default_rng([options.seed, n, zlib.crc32(stream.encode())])
    step = max(1, _BLOCK // n)
    draws = [
        statistic(_counts(rng, place, min(step, options.draws - first))) for first in range(0, options.draws, step)
    ]
    left_out: list[Float] = []
    if options.kind == "bca":
        each = np.arange(int(place.max()) + 1)
        for first in range(0, len(each), step):
            left_out.append(statistic((place != each[first : first + step, None]).astype(np.float64)))
    return Sampled(value, np.concatenate(draws), np.concatenate(left_out) if left_out else np.zeros(0), n)


def _counts(rng: np.random.Generator, place: npt.NDArray[np.int64], draws: int) -> Float:
    """How often each unit occurs in each resample, (draws, n); ``place`` (n,) is the group of each unit."""
    n_groups = int(place.max()) + 1
    often = rng.multinomial(n_groups, np.full(n_groups, 1.0 / n_groups), size=draws)
    if n_groups == len(place):
        return often[:, place].astype(np.float64)
    counts = np.empty((draws, len(place)))
    for group in range(n_groups):
        own = place == group
        size = int(own.sum())
        counts[:, own] = rng.multinomial(often[:, group] * size, np.full(size, 1.0 / size))
    return counts


def mean_over_sets(parts: list[Sampled]) -> Sampled:
    """Mean over independently resampled sets; sets with an undefined value are left out.

    The mean has no interval if one of the remaining sets has no resamples. Its leave-one-out values leave out one unit
    of one set.
    """
    used = [part for part in parts if not np.isnan(part.value)]
    if not used:
        return Sampled(float("nan"), np.zeros(0), np.zeros(0), 0)
    values = np.array([part.value for part in used])
    resampled = all(part.draws.size for part in used)
    moved = [values.mean() + (part.jackknife - part.value) / len(used) for part in used]
    return Sampled(
        float(values.mean()),
        np.mean([part.draws for part in used], axis=0) if resampled else np.zeros(0),
        np.concatenate(moved),
        sum(part.n for part in used),
    )


def _interval(value: float, draws: Float, jackknife: Float, options: BootstrapOptions) -> tuple[float, float]:
    tails = np.array([(1.0 - options.level) / 2.0, (1.0 + options.level) / 2.0])
    if options.kind == "bca":
        tails = _bca_tails(value, draws, jackknife, tails)
    low, high = np.quantile(draws, tails)
    return float(low), float(high)


def _bca_tails(value: float, draws: Float, jackknife: Float, tails: Float) -> Float:
    """Tail probabilities corrected for bias and skewness; uncorrected if all draws lie on one side of the value."""
    below = float(np.mean(draws < value) + 0.5 * np.mean(draws == value))
    if not 0.0 < below < 1.0:
        return tails
    normal = NormalDist()
    bias = normal.inv_cdf(below)
    deviations = np.nanmean(jackknife) - jackknife[~np.isnan(jackknife)]
    spread = float((deviations**2).sum()) ** 1.5
    acceleration = float((deviations**3).sum()) / (6.0 * spread) if spread > 0 else 0.0
    corrected = []
    for tail in tails:
        shifted = bias + normal.inv_cdf(float(tail))
        # Beyond the pole of the formula the correction is meaningless, so the outermost draw is used.
        scale = max(1.0 - acceleration * shifted, 1e-9)
        corrected.append(normal.cdf(bias + shifted / scale))
    return np.array(corrected)
