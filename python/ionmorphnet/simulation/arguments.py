"""Argument checks of simulated sections, made before anything is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import SupportsIndex

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.arguments import integer, number
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.literals import InstrumentName, SpectrumType
from ionmorphnet.simulation.instruments import INSTRUMENT_NAMES, Instrument
from ionmorphnet.simulation.spectra import default_bins

# A default axis must not fill the disk. 2e6 bins correspond to a resolving power of 290,000 over m/z 100 to 1000.
_MOST_BINS_BY_DEFAULT = 2_000_000
_MOST_BINS = 20_000_000
_LARGEST_PPM = 1e4
_SMALLEST_SIDE = 16


@dataclass(frozen=True)
class Layout:
    """Checked sizes of a section, as plain numbers."""

    shape: tuple[int, int]
    n_channels: int
    n_informative: int
    mz_range: tuple[float, float]
    close_pairs: int
    n_bins: int | None
    seed: int


def check_layout(
    *,
    shape: Sequence[SupportsIndex] | NDArray[np.integer],
    n_channels: SupportsIndex,
    n_informative: SupportsIndex | None,
    mz_range: Sequence[float] | NDArray[np.floating],
    close_pairs: SupportsIndex,
    n_bins: SupportsIndex | None,
    seed: SupportsIndex,
) -> Layout:
    """Checks the counts and ranges of :func:`ionmorphnet.simulate`.

    Raises:
        ArgumentError: One of them has the wrong type or is out of range.
    """
    if not isinstance(shape, Sequence | np.ndarray) or len(shape) != 2:
        raise ArgumentError(f"shape must be (height, width), got {shape!r}")
    height, width = (integer("each side of shape", side, _SMALLEST_SIDE) for side in shape)
    channels = integer("n_channels", n_channels, 1)
    informative = channels // 4 if n_informative is None else integer("n_informative", n_informative, 0)
    if informative > channels:
        raise ArgumentError(f"n_informative must be between 0 and n_channels ({channels}), got {informative}")
    if not isinstance(mz_range, Sequence | np.ndarray) or len(mz_range) != 2:
        raise ArgumentError(f"mz_range must be (low, high), got {mz_range!r}")
    low, high = (number("each end of mz_range", end, 0.0, float("inf")) for end in mz_range)
    if not 0 < low < high:
        raise ArgumentError(f"mz_range must be (low, high) with 0 < low < high, got {mz_range}")
    pairs = integer("close_pairs", close_pairs, 0)
    if pairs > channels // 2:
        raise ArgumentError(f"close_pairs must be between 0 and half of n_channels, got {pairs}")
    bins = None if n_bins is None else integer("n_bins", n_bins, 2)
    if bins is not None and bins > _MOST_BINS:
        raise ArgumentError(f"n_bins must be at most {_MOST_BINS:,}, got {bins:,}")
    return Layout((height, width), channels, informative, (low, high), pairs, bins, integer("seed", seed, 0))


def check_levels(
    *, jitter_ppm: float, drift_ppm: float, noise_peaks: float, baseline: float, resolving_power: float
) -> None:
    """Checks the levels of error and noise.

    Raises:
        ArgumentError: One of them is not a number or is out of range.
    """
    number("jitter_ppm", jitter_ppm, 0.0, _LARGEST_PPM)
    number("drift_ppm", drift_ppm, 0.0, _LARGEST_PPM)
    number("noise_peaks", noise_peaks, 0.0, 1e6)
    number("baseline", baseline, 0.0, 1e12)
    number("resolving_power", resolving_power, 100.0, float("inf"))


def check_instrument(instrument: InstrumentName, spectrum_type: SpectrumType | None) -> InstrumentName:
    """Checks the name of an instrument, and that profiles are wanted.

    Raises:
        ArgumentError: There is no such instrument, or centroids are asked for.
    """
    if instrument not in INSTRUMENT_NAMES:
        raise ArgumentError(f"instrument must be one of {', '.join(INSTRUMENT_NAMES)}, got {instrument!r}")
    if spectrum_type == "centroid":
        raise ArgumentError(f"instrument {instrument!r} writes profile spectra; leave out spectrum_type")
    return instrument


def check_axis(
    mz_range: tuple[float, float], resolving_power: float, n_bins: int | None, instrument: Instrument | None = None
) -> None:
    """Refuses a default profile axis that is long because of a high resolving power.

    Raises:
        ArgumentError: The axis would have too many bins.
    """
    if n_bins is not None:
        return
    of_instrument = default_bins if instrument is None else instrument.default_bins
    bins = of_instrument(mz_range, resolving_power)
    if bins > _MOST_BINS_BY_DEFAULT:
        raise ArgumentError(
            f"resolving_power {resolving_power:g} over m/z {mz_range[0]:g} to {mz_range[1]:g} yields {bins:,} bins, "
            f"more than {_MOST_BINS_BY_DEFAULT:,}; set n_bins (up to {_MOST_BINS:,}), a narrower mz_range or a lower "
            "resolving_power"
        )
