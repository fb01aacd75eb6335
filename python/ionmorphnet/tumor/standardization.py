"""Standardisation of every channel within a section, which removes gains and offsets between sections; no labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError

Float64 = npt.NDArray[np.float64]

DEFAULT_STANDARDIZATION = "z"
_VALUES = 4_000_000  # held at once, as float64
_NORMAL_IQR = 1.349  # interquartile range of a standard normal distribution


def standardize_section(values: npt.NDArray[np.float32], measured: npt.NDArray[np.bool_], kind: str) -> None:
    """Standardises each channel of a section over its measured pixels, in place.

    Args:
        values: float32 (H, W, C). Pixels that are not measured are left as they are.
        measured: bool (H, W).
        kind: ``z`` (mean 0, standard deviation 1); ``robust`` (median 0, interquartile range that of a standard normal
            distribution; the standard deviation where more than half of the values are equal); ``rank`` (uniform ranks
            of mean 0 and standard deviation 1; ties get their mean rank); or ``none``. Constant channels become 0.

    Raises:
        ArgumentError: The kind is unknown.
    """
    transform = _TRANSFORMS[checked_standardization(kind)]
    where = np.flatnonzero(measured.ravel())
    if transform is None or not len(where):
        return
    flat = values.reshape(-1, values.shape[2])
    step = max(1, _VALUES // len(where))
    for first in range(0, values.shape[2], step):
        part = slice(first, first + step)
        flat[where, part] = transform(flat[where, part].astype(np.float64))


def checked_standardization(kind: str) -> str:
    """The kind itself.

    Raises:
        ArgumentError: The kind is unknown.
    """
    if kind not in STANDARDIZATIONS:
        raise ArgumentError(f"standardize must be one of {', '.join(STANDARDIZATIONS)}, not '{kind}'")
    return kind


def _z(values: Float64) -> Float64:
    return _divided(values - values.mean(axis=0), values.std(axis=0), np.abs(values).max(axis=0))


def _robust(values: Float64) -> Float64:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    spread = (high - low) / _NORMAL_IQR
    spread = np.where(spread > 0, spread, values.std(axis=0))
    return _divided(values - middle, spread, np.abs(values).max(axis=0))


def _rank(values: Float64) -> Float64:
    found = np.empty_like(values)
    for channel in range(values.shape[1]):
        _, inverse, counts = np.unique(values[:, channel], return_inverse=True, return_counts=True)
        found[:, channel] = (np.cumsum(counts) - (counts - 1) / 2.0)[inverse]
    n = len(values)
    found -= (n + 1) / 2.0
    found *= np.sqrt(12.0) / n
    return found


def _divided(centred: Float64, spread: Float64, largest: Float64) -> Float64:
    """Values over their spread; 0 where the spread is no more than rounding errors."""
    varies = spread > 1e-6 * largest
    found: Float64 = np.where(varies, centred / np.where(varies, spread, 1.0), 0.0)
    return found


_TRANSFORMS: Mapping[str, Callable[[Float64], Float64] | None] = {
    "z": _z,
    "robust": _robust,
    "rank": _rank,
    "none": None,
}
STANDARDIZATIONS = tuple(_TRANSFORMS)
