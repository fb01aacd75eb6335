"""What is odd about the m/z values of a section: their unit, and shifts of the calibration during the run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import FileError

if TYPE_CHECKING:
    from ionmorphnet.io.dataset import Dataset

__all__ = ["mass_findings"]

Floats = NDArray[np.float64]
Reader = Callable[[int], tuple[Floats, Floats]]

_PARTS = 16  # of a run, compared with one another
_SPECTRA = 24  # of a part
_PEAKS = 60  # of a spectrum, the strongest
_BINS = 100  # of a histogram of m/z differences, from -_REACH to _REACH
_REACHES = (20e-6, 100e-6, 500e-6, 2500e-6)
_CLEAR = 8.0  # standard deviations above the background that make a maximum of such a histogram clear
_FEWEST_IONS = 8  # that have to agree on a shift
# A shift counts from this many widths of a peak on; smaller ones are covered by the window of a channel.
_WIDTHS = 1.5
_MOST_LAG = 60  # bins of a profile


def mass_findings(ds: Dataset, shown: NDArray[np.int64], mz: Floats, width: int) -> list[str]:
    """Findings from the m/z values.

    Args:
        ds: The section.
        shown: Pixel and spectrum of each measured pixel, int64 (n, 2).
        mz: m/z of a sample of its peaks, float64 (k,).
        width: Width of the grid.
    """
    low, high = float(mz.min()), float(mz.max())
    if high < 10:
        return [
            f"m/z range from {low:.4g} to {high:.4g}, as if in thousands (kDa); windows in ppm still fit, but m/z of "
            "lists and results do not; export m/z values"
        ]
    if low > 50_000 or high > 1_000_000:
        return [
            f"m/z range from {low:.6g} to {high:.6g}, as if their unit were a thousandth; windows in ppm still fit, "
            "but m/z of lists and results do not; export m/z values"
        ]
    if len(mz) >= 50 and ds.mode == "processed" and (mz == np.round(mz)).all():
        return ["all m/z are whole numbers, as after rounding; ions of one nominal mass share a channel"]
    if len(shown) < 4 * _PARTS:
        return []
    order = shown[np.argsort(shown[:, 1])]
    parts = np.array_split(order[:, 1], _PARTS)
    row = order[:, 0] // width
    lines = [order[row % 2 == parity, 1] for parity in (0, 1)]
    if ds.mode == "continuous":
        return _profile_shifts(ds, parts, lines) if ds.spectrum_type == "profile" else []
    return _peak_shifts(ds, parts, lines)


def _text(shift: float, width: float, where: str) -> list[str]:
    return [
        f"m/z shift by {shift:.3g} ppm {where}, and a peak is {width:.2g} ppm wide; channels split or mix ions; align "
        "or recalibrate the spectra before the export"
    ]


def _peak_shifts(ds: Dataset, parts: list[NDArray[np.int64]], lines: list[NDArray[np.int64]]) -> list[str]:
    halves = [(_peaks(ds, part[::2]), _peaks(ds, part[1::2])) for part in parts]
    even, again, odd = _peaks(ds, lines[0][::2]), _peaks(ds, lines[0][1::2]), _peaks(ds, lines[1])
    # A wider reach sees larger shifts, a narrower one smaller ones.
    found: list[tuple[float, float, str]] = []
    for reach in _REACHES:
        selves = [_maximum(first, second, reach) for first, second in halves]
        clear = [k for k, found in enumerate(selves) if found is not None and abs(found[0]) <= found[1]]
        if not clear:
            continue
        # The part with the narrowest peaks: a shift within it would hide others.
        start = min(clear, key=lambda k: _width(selves[k]))
        width = _width(selves[start])
        shifts = {k: at[0] for k in range(_PARTS) if (at := _maximum(halves[start][0], halves[k][1], reach))}
        far = {k: by for k, by in shifts.items() if abs(by) > _WIDTHS * width}
        if len(far) >= 2:
            jump = _jump(shifts)
            where = "over the run" if jump is None else f"after about {jump / _PARTS:.0%} of the run"
            found.append((max(shifts.values()) - min(shifts.values()), width, where))
        between, within = _maximum(even, odd, reach), _maximum(even, again, reach)
        if between and within and abs(between[0]) > _WIDTHS * within[1] and abs(within[0]) <= within[1]:
            found.append((abs(between[0]), within[1], "between even and odd lines"))
    if not found:
        return []
    # The narrowest reach that sees (nearly) all of the shift measures it best.
    largest = max(shift for shift, _, _ in found)
    shift, _, where = next(one for one in found if one[0] > 0.75 * largest)
    return _text(1e6 * shift, 1e6 * min(width for _, width, _ in found), where)


def _width(found: tuple[float, float] | None) -> float:
    return np.inf if found is None else found[1]


def _jump(shifts: dict[int, float]) -> int | None:
    """The part after which nearly all of the shift happens at once; None for a gradual one."""
    parts = sorted(shifts)
    values = np.array([shifts[k] for k in parts])
    steps = np.abs(np.diff(values))
    if not len(steps) or steps.max() < 0.7 * np.ptp(values):
        return None
    return parts[int(steps.argmax()) + 1]


def _peaks(ds: Dataset, spectra: NDArray[np.int64]) -> Floats:
    """Logarithms of the m/z of the strongest peaks of some spectra, ascending."""
    chosen = spectra[np.unique(np.linspace(0, len(spectra) - 1, _SPECTRA).astype(int))] if len(spectra) else spectra
    found = []
    for i in chosen.tolist():
        try:
            mz, intensity = ds.spectrum(i)
        except FileError:
            continue
        use = mz > 0
        mz, intensity = mz[use], intensity[use]
        if ds.spectrum_type == "profile" and len(mz) > 2:
            top = np.flatnonzero((intensity[1:-1] > intensity[:-2]) & (intensity[1:-1] >= intensity[2:])) + 1
            mz, intensity = mz[top], intensity[top]
        if len(mz) > _PEAKS:
            mz = mz[np.argpartition(intensity, -_PEAKS)[-_PEAKS:]]
        found.append(np.log(mz))
    return np.sort(np.concatenate(found)) if found else np.empty(0)


def _maximum(first: Floats, second: Floats, reach: float) -> tuple[float, float] | None:
    """Where the differences of two sets of peaks pile up, and the width of the pile at half its height.

    None where no pile stands out, or where it is not resolved: too few ions, or wider than a quarter of the range.
    """
    start = np.searchsorted(second, first - reach)
    count = np.searchsorted(second, first + reach) - start
    if not count.sum():
        return None
    which = np.repeat(np.arange(len(first)), count)
    within = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    delta = second[np.repeat(start, count) + within] - first[which]
    counts, edges = np.histogram(delta, bins=_BINS, range=(-reach, reach))
    smooth = np.convolve(counts, np.ones(3) / 3, mode="same")
    background = float(np.quantile(smooth, 0.25))
    top = int(smooth.argmax())
    height = smooth[top] - background
    if height < _CLEAR * np.sqrt(background + 1):
        return None
    above = smooth > background + height / 2
    left = top - int(np.argmin(above[top::-1])) if not above[: top + 1].all() else -1
    right = top + int(np.argmin(above[top:])) if not above[top:].all() else _BINS
    if right - left - 1 > _BINS // 4:
        return None
    bins = np.clip(np.digitize(delta, edges) - 1, 0, _BINS - 1)
    ions = np.unique(np.round(first[which[(bins > left) & (bins < right)]] / (4 * reach)))
    if len(ions) < _FEWEST_IONS:
        return None
    inside = slice(left + 1, right)
    middle = float(np.average((edges[:-1] + edges[1:])[inside] / 2, weights=smooth[inside]))
    return middle, (right - left - 1) * 2 * reach / _BINS


def _profile_shifts(ds: Dataset, parts: list[NDArray[np.int64]], lines: list[NDArray[np.int64]]) -> list[str]:
    """Shifts of the mean profiles of parts of a run along the shared axis, in bins."""
    mean = [found for part in parts if (found := _mean(ds, part)) is not None]
    rows = [found for part in lines if (found := _mean(ds, part)) is not None]
    if len(mean) < 3 or len(rows) < 2:
        return []
    axis = ds.spectrum(0)[0]
    if len(axis) < 8 * _MOST_LAG:
        return []
    spacing = float(np.median(np.diff(axis) / axis[1:])) * 1e6
    own = np.correlate(mean[0], np.pad(mean[0], _MOST_LAG), "valid")
    half = np.flatnonzero(own > own.max() / 2)
    width = max(2, len(half[np.abs(half - _MOST_LAG) < _MOST_LAG // 2]))
    lags = [_lag(mean[0], other) for other in mean[1:]]
    far = [by for by in lags if by is not None and abs(by) > _WIDTHS * width]
    if len(far) >= 2:
        known = [by for by in lags if by is not None]
        return _text((max(0, *known) - min(0, *known)) * spacing, width * spacing, "over the run")
    between = _lag(rows[0], rows[1])
    if between is not None and abs(between) > _WIDTHS * width:
        return _text(abs(between) * spacing, width * spacing, "between even and odd lines")
    return []


def _mean(ds: Dataset, spectra: NDArray[np.int64]) -> Floats | None:
    """Mean of some spectra less a running minimum-like baseline, as a square root and without its own mean."""
    total: Floats | None = None
    if not len(spectra):
        return None
    for i in spectra[np.unique(np.linspace(0, len(spectra) - 1, _SPECTRA).astype(int))].tolist():
        try:
            value = ds.spectrum(i)[1]
        except FileError:
            continue
        total = value if total is None else total + value
    if total is None or not total.any():
        return None
    smooth = np.convolve(total, np.ones(2 * _MOST_LAG + 1) / (2 * _MOST_LAG + 1), mode="same")
    peaks = np.sqrt(np.maximum(total - smooth, 0))
    centred: Floats = peaks - peaks.mean()
    return centred


def _lag(first: Floats, second: Floats) -> int | None:
    """Bins by which the second profile is shifted; None if the two do not agree anywhere."""
    agreement = np.correlate(second, np.pad(first, _MOST_LAG), "valid") if len(first) == len(second) else np.zeros(1)
    size = float(np.sqrt((first**2).sum() * (second**2).sum()))
    if size == 0 or agreement.max() < 0.4 * size:
        return None
    return _MOST_LAG - int(agreement.argmax())
