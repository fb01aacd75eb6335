"""The level between the peaks of profile spectra: what it does from pixel to pixel is done to all channels.

Baseline, chemical noise and detector noise of a spectrum are thousands of points, so their level is known far better
than any channel, and it follows the sensitivity of the instrument. The sample changes it as well, but neither along
whole lines nor evenly over the run. The limits were set with real ion images in place of levels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.picking.image_measures import block_means, border_distance, correlation
from ionmorphnet.picking.lines import line_pattern

Float = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

_MOST_BANDS = 24
_FEWEST_BANDS = 6
# Share of pixels in which most bands may be empty; where noise was left out of the file, there is no level.
_MOST_EMPTY = 0.1
# Parts of a line that a step must show alike, and lines on either side of it.
_PARTS = 8
_BESIDE = 4
# Logarithms of the least factors that are told. Of 933 real ion images, taken for a level, none reaches one of them.
_STEP = 0.4
_FADE = 0.4
_EDGE = 0.4


def between_peaks(channels: CandidateAxis, most: int) -> tuple[Float, Float]:
    """Bounds of windows between the candidates of a profile section, (n,) each; none for other files.

    They stay away from the candidates by half a window, to leave out flanks, and are no narrower than one.

    Args:
        channels: All candidates.
        most: Largest number of windows.
    """
    none = np.empty(0), np.empty(0)
    if "peak_width" not in channels.evidence:
        return none
    width = channels.mz_hi - channels.mz_lo
    apart = (width[:-1] + width[1:]) / 4
    lo, hi = channels.mz_hi[:-1] + apart, channels.mz_lo[1:] - apart
    wide = np.flatnonzero(hi - lo >= 2 * apart)
    if len(wide) < _FEWEST_BANDS:
        return none
    chosen = wide[np.unique(np.linspace(0, len(wide) - 1, min(most, _MOST_BANDS, len(wide))).astype(int))]
    return lo[chosen], hi[chosen]


def level_patterns(bands: Float, order: npt.NDArray[np.int64]) -> list[str]:
    """What the level between the peaks shows of the measurement, none for most sections.

    Args:
        bands: Images of windows between the peaks (n, H, W), 0 where not measured.
        order: Number of the spectrum of each pixel (H, W); -1 = not measured.
    """
    measured = order >= 0
    mean = bands[:, measured].mean(axis=1)
    bands = bands[mean > 0] / mean[mean > 0, None, None]
    if len(bands) < _FEWEST_BANDS:
        return []
    level = np.where(measured, np.median(bands, axis=0), 0.0)  # a peak that is no candidate is in few bands
    if (level[measured] <= 0).mean() > _MOST_EMPTY:
        return []
    if edge := _bright_edge(level, measured):
        return edge
    found = []
    for name, planes, mask in (("row", bands, measured), ("column", bands.transpose(0, 2, 1), measured.T)):
        found += _step(name, planes, level if name == "row" else level.T, mask) or _line_to_line(name, planes, mask)
    return found or _fading(level, order)


def _line_to_line(name: str, bands: Float, measured: Bools) -> list[str]:
    lines = line_pattern(bands, measured)
    clear = lines.agreement >= 0.85 and lines.alternation <= -0.35 and lines.amplitude >= 0.1
    if not (lines.varies or clear):
        return []
    return [f"the level between the peaks changes from {name} to {name}, by {lines.amplitude:.0%}"]


def _step(name: str, bands: Float, level: Float, measured: Bools) -> list[str]:
    """A change that all parts of a line and all bands make at one line, and that lasts."""
    height, width = measured.shape
    edges = np.linspace(0, width, _PARTS + 1).astype(int)[:-1]
    n = np.add.reduceat(measured.astype(np.float64), edges, axis=1)
    parts = np.add.reduceat(level, edges, axis=1)
    rows = level.sum(axis=1) / np.maximum(measured.sum(axis=1), 1)
    per_band = bands.sum(axis=2)
    best, text = _STEP, ""
    for at in range(_BESIDE, height - _BESIDE + 1):
        before, after = slice(at - _BESIDE, at), slice(at, at + _BESIDE)
        used = np.minimum(n[before].sum(axis=0), n[after].sum(axis=0)) >= 2 * _BESIDE
        if used.sum() < _PARTS / 2 or (n[at - _BESIDE : at + _BESIDE].sum(axis=1) < _PARTS).any():
            continue
        change = _log_ratio(
            parts[after].sum(axis=0) / np.maximum(n[after].sum(axis=0), 1),
            parts[before].sum(axis=0) / np.maximum(n[before].sum(axis=0), 1),
        )[used]
        common = float(np.median(change))
        size = abs(common)
        if size <= best or (change / common).min() < 0.7:
            continue
        beside = _log_ratio(rows[at - _BESIDE : at + _BESIDE], rows[at - _BESIDE : at + _BESIDE].mean())
        sudden = (beside[_BESIDE] - beside[_BESIDE - 1]) / common
        uneven = max(beside[:_BESIDE].std(), beside[_BESIDE:].std()) / size
        each = _log_ratio(
            per_band[:, after].sum(axis=1) / n[after].sum(), per_band[:, before].sum(axis=1) / n[before].sum()
        )
        alike = (each * common > 0).mean() >= 0.9 and np.median(np.abs(each - np.median(each))) <= 0.25 * size
        if sudden >= 0.8 and uneven <= 0.15 and alike:
            best = size
            text = (
                f"the level between the peaks changes by {np.expm1(common):+.0%} at {name} {at + 1} of {height} and "
                "stays there"
            )
    return [text] if text else []


def _fading(level: Float, order: npt.NDArray[np.int64]) -> list[str]:
    """Whether the level follows the order of acquisition."""
    measured = order >= 0
    logs = _log_ratio(level, 1.0)
    blocks = block_means(np.stack([logs, order.astype(np.float64)]), measured)
    blocks = blocks[:, np.isfinite(blocks).all(axis=0)]
    if blocks.shape[1] < 32 or abs(correlation(blocks[0], blocks[1])) < 0.9:
        return []
    rank = np.argsort(np.argsort(order[measured])) * 8 // measured.sum()
    change = float(logs[measured][rank == 7].mean() - logs[measured][rank == 0].mean())
    if abs(change) < _FADE:
        return []
    word = "rises" if change > 0 else "falls"
    return [
        f"the level between the peaks {word} with the order of acquisition, by {np.expm1(change):+.0%} from the first "
        "to the last eighth"
    ]


def _bright_edge(level: Float, measured: Bools) -> list[str]:
    """Whether the two outermost pixels are brighter than the next two, on all four sides."""
    distance = border_distance(measured, 6)
    y, x = np.nonzero(measured)
    rows, columns = np.indices(measured.shape)
    up = (rows - (y.min() + y.max()) / 2) / max(1, int(np.ptp(y)))
    right = (columns - (x.min() + x.max()) / 2) / max(1, int(np.ptp(x)))
    side = np.where(np.abs(up) > np.abs(right), np.where(up > 0, 0, 1), np.where(right > 0, 2, 3))
    changes = []
    for k in range(4):
        outer, inner = (level[(side == k) & (distance >= a) & (distance <= a + 1)] for a in (1, 3))
        if min(len(outer), len(inner)) < 16:
            return []
        changes.append(float(_log_ratio(outer.mean(), inner.mean())))
    common = float(np.median(changes))
    if common < _EDGE or min(changes) < 0.5 * common:
        return []
    return [
        f"the level between the peaks is {np.exp(common):.1f} times as high within two pixels of the border of the "
        "measured area as next to it"
    ]


def _log_ratio(a: npt.ArrayLike, b: npt.ArrayLike) -> Float:
    """ln(a / b), of values that are 1 on average; empty ones count as a thousandth."""
    ratio: Float = np.log(np.maximum(a, 1e-3)) - np.log(np.maximum(b, 1e-3))
    return ratio
