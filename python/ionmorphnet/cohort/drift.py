"""Mass drift of a section against a list of reference m/z: found from the candidates alone, without lock masses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.arguments import positive

Float64 = npt.NDArray[np.float64]

PPM = 1e-6
# Fewer matched peaks than this tell nothing about a slope, and less than a third of them nothing at all.
_ENOUGH = 12
_ROUNDS = 3
# Step of the first, coarse search; as the widths below it, in units of the expected jitter.
_GRID = 0.5
# Residual beyond which a pair of peaks is not a match, at first and at most; else three robust standard deviations.
_FIRST_WIDTH, _MOST_WIDTH = 3.0, 5.0
_TRIM = 3.0
# A piecewise drift needs this many matches in each of its pieces, and residuals that exceed both limits.
_PIECES = 5
_PER_PIECE = 30
_BENT = 0.5
_BENT_SIGMA = 4.0


@dataclass(frozen=True)
class Drift:
    """How far the m/z of a section lie from the reference, as a function of m/z.

    The deviation in ppm is linear in ln(m/z) between the knots and goes on with the outer slopes beyond them; two knots
    are an offset and a slope.

    Attributes:
        mz: Knots in m/z, ascending, at least two.
        ppm: Deviation at the knots: section minus reference.
        n_matched: Peaks that were matched with the reference.
        residual_ppm: Robust standard deviation of the matched peaks around the drift; NaN without matches.
    """

    mz: tuple[float, ...] = (100.0, 1000.0)
    ppm: tuple[float, ...] = (0.0, 0.0)
    n_matched: int = 0
    residual_ppm: float = float("nan")

    def at(self, mz: npt.ArrayLike) -> Float64:
        """Deviation in ppm at reference m/z (any shape)."""
        x, knots, values = np.log(np.asarray(mz, np.float64)), np.log(self.mz), np.asarray(self.ppm)
        found = np.interp(x, knots, values)
        first = (values[1] - values[0]) / (knots[1] - knots[0])
        last = (values[-1] - values[-2]) / (knots[-1] - knots[-2])
        found = np.where(x < knots[0], values[0] + first * (x - knots[0]), found)
        return np.asarray(np.where(x > knots[-1], values[-1] + last * (x - knots[-1]), found))

    def to_section(self, mz: npt.ArrayLike) -> Float64:
        """Where reference m/z lie in the section."""
        values = np.asarray(mz, np.float64)
        return np.asarray(values * np.exp(self.at(values) * PPM))

    def to_reference(self, mz: npt.ArrayLike) -> Float64:
        """Where m/z of the section lie in the reference.

        The drift is taken at the section's m/z, which are off by some ppm; the error is of the order of ppm squared.
        """
        values = np.asarray(mz, np.float64)
        return values * np.exp(-self.at(values) * PPM)

    def minus(self, other: Drift) -> Drift:
        """The drift against a reference that itself drifted by ``other``."""
        # A line needs no knots of its own: it goes on straight.
        knots = self.mz if len(other.mz) == 2 else tuple(sorted({*self.mz, *other.mz}))
        ppm = self.at(knots) - other.at(knots)
        return Drift(knots, tuple(float(value) for value in ppm), self.n_matched, self.residual_ppm)


def find_drift(
    mz: npt.ArrayLike, reference: npt.ArrayLike, *, reach_ppm: float = 25.0, jitter_ppm: float = 1.0
) -> Drift:
    """Drift of a section against a reference list.

    Of all pairs of a section's and a reference's m/z within reach, those of the same ion agree in one offset and slope,
    and the others are spread evenly. The densest place of an (offset, slope) grid is refined by trimmed least squares.
    Where the residuals show that a line does not do, the drift becomes piecewise linear.

    Args:
        mz: m/z of the section (n,), any order.
        reference: m/z of the reference (k,), any order.
        reach_ppm: Largest deviation that is looked for, in ppm.
        jitter_ppm: Order of magnitude of a single m/z's random error, in ppm: 1 for FT instruments, 10 for TOF.

    Returns:
        The drift; zero, with ``n_matched`` 0, where too few peaks match to tell.

    Raises:
        ArgumentError: ``reach_ppm`` or ``jitter_ppm`` is not positive.
    """
    reach_ppm, unit = positive("reach_ppm", reach_ppm), positive("jitter_ppm", jitter_ppm)
    peaks, wanted = np.sort(np.asarray(mz, np.float64)), np.sort(np.asarray(reference, np.float64))
    low, high = _span(peaks, wanted)
    x, d = _pairs(peaks, wanted, reach_ppm)
    if len(x) < _ENOUGH // 3 or not high > low:
        return Drift(mz=(low, high) if high > low else Drift.mz)
    middle, half = 0.5 * (np.log(low) + np.log(high)), 0.5 * (np.log(high) - np.log(low))
    u = (x - middle) / half
    offset, slope = _densest(u, d, reach_ppm, _GRID * unit)
    kept = np.ones(len(u), np.bool_)
    width = _FIRST_WIDTH * unit
    for _ in range(_ROUNDS):
        residual = d - offset - slope * u
        kept = np.abs(residual) <= width
        if kept.sum() < _ENOUGH // 3:
            return Drift(mz=(low, high))
        if kept.sum() >= _ENOUGH:
            slope, offset = np.polyfit(u[kept], d[kept], 1)
        else:
            slope, offset = 0.0, float(np.median(d[kept]))
        width = float(np.clip(_TRIM * _robust(d[kept] - offset - slope * u[kept]), _GRID * unit, _MOST_WIDTH * unit))
    residual = d - offset - slope * u
    kept = np.abs(residual) <= width
    line = Drift((low, high), (offset - slope, offset + slope), int(kept.sum()), _robust(residual[kept]))
    return _bent(line, x, d, width, unit)


def median_drift(drifts: Sequence[Drift]) -> Drift:
    """The line through the median deviations at both ends: what a cohort cannot know of its own drift.

    Args:
        drifts: Drifts of the sections against one reference, at least one.
    """
    ends = (min(drift.mz[0] for drift in drifts), max(drift.mz[-1] for drift in drifts))
    low, high = np.median([drift.at(ends) for drift in drifts], axis=0)
    return Drift(ends, (float(low), float(high)))


def lock_drift(mz: npt.ArrayLike, true_mz: npt.ArrayLike) -> Drift:
    """Drift that maps true m/z to measured ones: an offset from one or two lock masses, a line from three or more.

    Args:
        mz: Measured m/z (n,), n >= 1.
        true_mz: Their true values (n,).
    """
    seen, true = np.asarray(mz, np.float64), np.asarray(true_mz, np.float64)
    d = (np.log(seen) - np.log(true)) / PPM
    low, high = float(true.min()), float(true.max())
    if len(true) < 3 or high / low < 1.05:
        value = float(np.median(d))
        return Drift((low, low * 2.0), (value, value), len(true), float("nan"))
    slope, offset = np.polyfit(np.log(true), d, 1)
    ends = tuple(float(offset + slope * np.log(value)) for value in (low, high))
    return Drift((low, high), ends, len(true), _robust(d - offset - slope * np.log(true)))


def _span(peaks: Float64, wanted: Float64) -> tuple[float, float]:
    if not len(peaks) or not len(wanted):
        return 0.0, 0.0
    return float(max(peaks[0], wanted[0])), float(min(peaks[-1], wanted[-1]))


def _pairs(peaks: Float64, wanted: Float64, reach_ppm: float) -> tuple[Float64, Float64]:
    """ln of the reference's m/z and deviation in ppm of all pairs within reach."""
    x, y = np.log(wanted), np.log(peaks)
    first = np.searchsorted(y, x - reach_ppm * PPM)
    last = np.searchsorted(y, x + reach_ppm * PPM, side="right")
    count = last - first
    owner = np.repeat(np.arange(len(x)), count)
    within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
    return x[owner], (y[within] - x[owner]) / PPM


def _densest(u: Float64, d: Float64, reach_ppm: float, step: float) -> tuple[float, float]:
    """Offset and slope in ppm with the most pairs close to them.

    A pair of other ions is as likely at any deviation, so it adds the same to all offsets that it reaches.
    """
    slopes = np.arange(-reach_ppm, reach_ppm + step, step)
    n = int(np.ceil(2.0 * reach_ppm / step)) + 1
    best = (-1.0, 0.0, 0.0)
    for slope in sorted(slopes, key=abs):  # at equal density, the flattest
        place = (d - slope * u + reach_ppm) / step
        inside = (place >= 0) & (place < n)
        density = np.bincount(place[inside].astype(np.int64), minlength=n).astype(np.float64)
        smooth = np.convolve(density, [0.5, 1.0, 1.0, 0.5], "same")
        top = int(smooth.argmax())
        if smooth[top] > best[0]:
            best = (float(smooth[top]), (top + 0.5) * step - reach_ppm, float(slope))
    return best[1], best[2]


def _bent(line: Drift, x: Float64, d: Float64, width: float, unit: float) -> Drift:
    """The drift as a polygon if the residuals of the line bend; else the line."""
    residual = d - line.at(np.exp(x))
    near = np.abs(residual) <= unit + width
    if near.sum() < _PIECES * _PER_PIECE:
        return line
    edges = np.quantile(x[near], np.linspace(0.0, 1.0, _PIECES + 1))
    piece = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, _PIECES - 1)
    knots, values, errors = [], [], []
    for k in range(_PIECES):
        mine = near & (piece == k)
        centre = float(np.median(residual[mine]))
        kept = mine & (np.abs(residual - centre) <= width)
        if kept.sum() < _PER_PIECE:
            return line
        knots.append(float(np.median(x[kept])))
        values.append(float(np.median(residual[kept])))
        errors.append(1.25 * _robust(residual[kept]) / np.sqrt(kept.sum()))
    bend = np.abs(values)
    if not np.any((bend > _BENT * unit) & (bend > _BENT_SIGMA * np.asarray(errors))):
        return line
    at = np.exp(knots)
    polygon = Drift(tuple(float(v) for v in at), tuple(float(v) for v in line.at(at) + np.asarray(values)))
    left = d - polygon.at(np.exp(x))
    kept = np.abs(left) <= width
    return Drift(polygon.mz, polygon.ppm, int(kept.sum()), _robust(left[kept]))


def _robust(values: Float64) -> float:
    """Standard deviation from the median absolute deviation; NaN without values."""
    if not len(values):
        return float("nan")
    return float(1.4826 * np.median(np.abs(values - np.median(values))))


def checked_lock_masses(masses: npt.ArrayLike | None) -> Float64:
    """Lock masses as ascending m/z; empty without any.

    Raises:
        ArgumentError: Not positive, finite numbers.
    """
    if masses is None:
        return np.zeros(0)
    given = np.atleast_1d(np.asarray(masses, np.float64))
    return np.sort([positive("lock_masses", value) for value in given])
