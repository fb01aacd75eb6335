"""Arguments of simulated sections, checked before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ionmorphnet.base.arguments import integer, number
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.simulation.spectra import default_bins

# An axis that was not asked for by its length must not fill the disk: 2e6 bins are a resolving power of 290,000 over
# m/z 100 to 1000.
_MOST_BINS_BY_DEFAULT = 2_000_000
_MOST_BINS = 20_000_000
_LARGEST_PPM = 1e4
_SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Layout:
    """Checked numbers of a section; all counts are plain integers."""

    shape: tuple[int, int]
    n_channels: int
    n_informative: int
    mz_range: tuple[float, float]
    close_pairs: int
    n_bins: int | None
    seed: int


def check_layout(
    *,
    shape: Any,
    n_channels: Any,
    n_informative: Any,
    mz_range: Any,
    close_pairs: Any,
    n_bins: Any,
    seed: Any,
) -> Layout:
    """Checked counts and ranges of :func:`~ionmorphnet.simulation.simulate`.

    Raises:
        ArgumentError: One of them cannot be meant.
    """
    if not isinstance(shape, Sequence | np.ndarray) or len(shape) != 2:
        raise ArgumentError(f"shape must be (H, W), got {shape!r}")
    height, width = (integer("each side of shape", side, _SMALLEST_SIDE) for side in shape)
    channels = integer("n_channels", n_channels, 1)
    informative = channels // 4 if n_informative is None else integer("n_informative", n_informative, 0)
    if informative > channels:
        raise ArgumentError(f"n_informative must be 0 to n_channels ({channels}), got {informative}")
    if not isinstance(mz_range, Sequence | np.ndarray) or len(mz_range) != 2:
        raise ArgumentError(f"mz_range must be (low, high), got {mz_range!r}")
    low, high = (number("each end of mz_range", end, 0.0, float("inf")) for end in mz_range)
    if not 0 < low < high:
        raise ArgumentError(f"mz_range must be (low, high) with 0 < low < high, got {mz_range}")
    pairs = integer("close_pairs", close_pairs, 0)
    if pairs > channels // 2:
        raise ArgumentError(f"close_pairs must be 0 to half of n_channels, got {close_pairs}")
    bins = None if n_bins is None else integer("n_bins", n_bins, 2)
    if bins is not None and bins > _MOST_BINS:
        raise ArgumentError(f"n_bins must be at most {_MOST_BINS:,}, got {bins:,}")
    return Layout((height, width), channels, informative, (low, high), pairs, bins, integer("seed", seed, 0))


def check_levels(
    *, jitter_ppm: Any, drift_ppm: Any, noise_peaks_per_pixel: Any, baseline: Any, resolving_power: Any
) -> None:
    """Check the amounts of error and noise.

    Raises:
        ArgumentError: One of them cannot be meant.
    """
    number("jitter_ppm", jitter_ppm, 0.0, _LARGEST_PPM)
    number("drift_ppm", drift_ppm, 0.0, _LARGEST_PPM)
    number("noise_peaks_per_pixel", noise_peaks_per_pixel, 0.0, 1e6)
    number("baseline", baseline, 0.0, 1e12)
    number("resolving_power", resolving_power, 100.0, float("inf"))


def check_axis(mz_range: tuple[float, float], resolving_power: float, n_bins: int | None) -> None:
    """Refuse a profile axis that is long only because the resolving power is large.

    Raises:
        ArgumentError: The axis would have too many bins.
    """
    if n_bins is not None:
        return
    bins = default_bins(mz_range, resolving_power)
    if bins > _MOST_BINS_BY_DEFAULT:
        raise ArgumentError(
            f"resolving_power {resolving_power:g} over m/z {mz_range[0]:g} to {mz_range[1]:g} makes {bins:,} bins, "
            f"more than {_MOST_BINS_BY_DEFAULT:,}; give n_bins (at most {_MOST_BINS:,}), a narrower mz_range or a "
            "smaller resolving_power"
        )
