"""Bootstrap intervals: the images of a set are drawn again with replacement."""

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

# A figure of many resamples at once: counts (resamples, n) -> (resamples,).
Statistic = Callable[[Float], Float]
IntervalKind = Literal["percentile", "bca"]

# Counts held at once.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class BootstrapOptions:
    """How intervals are made.

    Attributes:
        draws: Number of resamples; 0: no intervals.
        level: Share of the resamples inside the interval.
        seed: Seed of the resamples. Methods on the same images see the same resamples, so differences are paired.
        kind: ``percentile``, or ``bca`` (bias-corrected and accelerated; Efron, B. (1987), JASA 82, 171-185).
    """

    draws: int = 2000
    level: float = 0.95
    seed: int = 0
    kind: IntervalKind = "percentile"

    def __post_init__(self) -> None:
        """Checks.

        Raises:
            ArgumentError: A value cannot be meant.
        """
        if self.draws < 0:
            raise ArgumentError(f"draws must be 0 or more, not {self.draws}")
        if not 0.0 < self.level < 1.0:
            raise ArgumentError(f"level must lie between 0 and 1, not {self.level}")
        if self.kind not in ("percentile", "bca"):
            raise ArgumentError(f"interval must be percentile or bca, not '{self.kind}'")


@dataclass(frozen=True)
class Estimate:
    """A figure with its interval.

    Attributes:
        value: The figure of the sample.
        low: Lower end of the interval; NaN where there is none.
        high: Upper end.
        n: Number of units (images, pairs) behind the figure.
        draws: Resamples in which the figure is defined.
    """

    value: float
    low: float
    high: float
    n: int
    draws: int

    def __str__(self) -> str:
        """Three decimals and the interval."""
        if np.isnan(self.value):
            return "-"
        if np.isnan(self.low):
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Sampled:
    """A figure, its resamples and its leave-one-out values.

    Attributes:
        value: The figure of the sample.
        draws: (resamples,), NaN where the figure is not defined.
        jackknife: (n,) without each unit in turn, for BCa intervals; empty for percentile intervals.
        n: Number of units.
    """

    value: float
    draws: Float
    jackknife: Float
    n: int

    def minus(self, other: Sampled) -> Sampled:
        """The paired difference: both come from the same resamples of the same images."""
        return Sampled(
            self.value - other.value, self.draws - other.draws, self.jackknife - other.jackknife, min(self.n, other.n)
        )

    def estimate(self, options: BootstrapOptions) -> Estimate:
        """The figure with its interval, which always holds the figure."""
        defined = self.draws[~np.isnan(self.draws)]
        nothing = np.isnan(self.value) or not defined.size
        low, high = (np.nan, np.nan) if nothing else _interval(self.value, defined, self.jackknife, options)
        if not nothing:
            # Where nearly all grades are equal, the sample can lie outside of what most of its resamples give.
            low, high = min(low, self.value), max(high, self.value)
        return Estimate(float(self.value), float(low), float(high), self.n, int(defined.size))


def resample(statistic: Statistic, n: int, options: BootstrapOptions, *, stream: str = "") -> Sampled:
    """A figure of n units and of resamples of them.

    Args:
        statistic: Maps counts (resamples, n) to the figure of each resample.
        n: Number of units.
        options: How many resamples, and their seed.
        stream: Name of the units. Equal names see equal resamples (paired differences), others independent ones.

    Returns:
        The figure with its resamples; NaN without a unit.
    """
    value = float(statistic(np.ones((1, n)))[0]) if n else float("nan")
    if not n or not options.draws:
        return Sampled(value, np.full(options.draws, np.nan), np.zeros(0), n)
    rng = np.random.default_rng([options.seed, n, zlib.crc32(stream.encode())])
    step = max(1, _BLOCK // n)
    draws = [
        statistic(rng.multinomial(n, np.full(n, 1.0 / n), size=min(step, options.draws - first)).astype(np.float64))
        for first in range(0, options.draws, step)
    ]
    left_out: list[Float] = []
    if options.kind == "bca":
        for first in range(0, n, step):
            rows = np.arange(first, min(first + step, n))
            counts = np.ones((rows.size, n))
            counts[np.arange(rows.size), rows] = 0.0
            left_out.append(statistic(counts))
    return Sampled(value, np.concatenate(draws), np.concatenate(left_out) if left_out else np.zeros(0), n)


def mean_over_sets(parts: list[Sampled]) -> Sampled:
    """Mean over sets that were resampled each on its own; sets whose figure is not defined are left out.

    Where one of the others has no resamples, nor has the mean: it has no interval. The leave-one-out values go on as
    those of the mean: without one unit of one set.
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
    """Tail probabilities corrected for bias and skewness; the plain ones where the draws all lie on one side."""
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
        # Past the pole of the formula the correction has no meaning; the outermost draw is taken.
        scale = max(1.0 - acceleration * shifted, 1e-9)
        corrected.append(normal.cdf(bias + shifted / scale))
    return np.array(corrected)
