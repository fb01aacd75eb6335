"""Mean spectrum, reduced to few enough points to embed in the page."""

from __future__ import annotations

import base64
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.report.data import ReportData

MAX_POINTS = 20_000
# Spectra drawn as sticks; others are drawn as a line.
_STICK_TYPES = {"centroid"}
# The bins of a mean spectrum may be wider than the window of a pick. A window that falls between two points uses the
# nearest point up to this many window widths away.
_REACH_WIDTHS = 2.0


def thin(intensity: NDArray[np.floating], max_points: int = MAX_POINTS) -> NDArray[np.intp]:
    """Indices of at most ``max_points`` points that draw the same curve.

    Keeps the lowest and the highest point of each run of neighbours, so no peak is lost or moved.
    """
    n = len(intensity)
    if n <= max_points:
        return np.arange(n)
    runs = max_points // 2
    starts = np.arange(runs) * n // runs
    # Run lengths differ by at most one point; shorter runs repeat their first point.
    width = -(-n // runs)
    index = starts[:, None] + np.arange(width)
    index = np.where(index < np.append(starts[1:], n)[:, None], index, starts[:, None])
    values = intensity[index]
    rows = np.arange(runs)
    return np.unique(np.concatenate([index[rows, values.argmin(axis=1)], index[rows, values.argmax(axis=1)]]))


def heights_at(data: ReportData) -> list[float]:
    """Highest intensity of the mean spectrum in the window of each pick.

    If a window contains no point, this is the intensity of the nearest point within two window widths, otherwise 0. If
    the table has no windows, it is the intensity of the nearest point.
    """
    mz, intensity, picked = data.mean_mz, _clean(data.mean_intensity), _column(data, "mz")
    nearest = np.searchsorted((mz[1:] + mz[:-1]) / 2, picked)
    if not {"mz_lo", "mz_hi"} <= set(data.frame.columns):
        return [float(v) for v in intensity[nearest]]
    low, high = _column(data, "mz_lo"), _column(data, "mz_hi")
    first, last = np.searchsorted(mz, low, side="left"), np.searchsorted(mz, high, side="right")
    near = np.abs(mz[nearest] - picked) <= _REACH_WIDTHS * (high - low)
    outside = np.where(near, intensity[nearest], 0.0)
    return [float(intensity[a:b].max() if a < b else v) for a, b, v in zip(first, last, outside, strict=True)]


class MeanSpectrum(TypedDict):
    """Points of the plot.

    Attributes:
        mz: m/z, little-endian float32 as base64, a third of the size of text.
        intensity: Intensity, encoded like ``mz``.
        drawn: Number of points.
        total: Number of points of the mean spectrum.
        sticks: Whether to draw sticks rather than a line.
        picks: Height at each pick.
    """

    mz: str
    intensity: str
    drawn: int
    total: int
    sticks: bool
    picks: list[float]


def mean_spectrum(data: ReportData) -> MeanSpectrum | None:
    """Points of the plot and heights of the picks; None without a mean spectrum."""
    if len(data.mean_mz) == 0:
        return None
    intensity = _clean(data.mean_intensity)
    keep = thin(intensity)
    return {
        "mz": _packed(data.mean_mz[keep]),
        "intensity": _packed(intensity[keep]),
        "drawn": len(keep),
        "total": len(data.mean_mz),
        "sticks": data.fact("input", "spectrum_type") in _STICK_TYPES,
        "picks": heights_at(data),
    }


def _column(data: ReportData, name: str) -> NDArray[np.float64]:
    return data.frame[name].to_numpy(dtype=np.float64, na_value=np.nan)


def _clean(intensity: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.where(np.isfinite(intensity), intensity, 0.0)


def _packed(values: NDArray[np.floating]) -> str:
    return base64.b64encode(values.astype("<f4").tobytes()).decode("ascii")
