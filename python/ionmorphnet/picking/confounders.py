"""Patterns of the measurement rather than of the sample: what all channels of a section, or its picks, share.

The thresholds were set on simulated sections with and without faults and on real ones; docs/reference/scores.md gives
the rates at which each fault is found.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.data_checks import CUT_OFF
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.picking.displaced_lines import displaced_lines
from ionmorphnet.picking.image_measures import autocorrelation, block_means, border_distance, correlation
from ionmorphnet.picking.levels import between_peaks, level_patterns
from ionmorphnet.picking.lines import line_pattern

Float = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Images of each kind, picks and candidates, and pixels of all of them.
_MOST_IMAGES = 32
_MOST_PIXELS = 1 << 22
# Smaller sections have too few lines and pixels to tell a pattern of the measurement.
_LEAST_SIDE = 16
_LEAST_PIXELS = 256
# Fewer channels may share a shape by chance; these are the more frequent half of all candidates.
_LEAST_OTHERS = 9


def shared_patterns(ds: Dataset, channels: CandidateAxis, lo: Float, hi: Float) -> list[str]:
    """Warnings about patterns of the measurement, from the images of some picks and candidates in one binning pass.

    Args:
        ds: The section, normalised as it was scored.
        channels: All candidates.
        lo: Lower bounds of the picks' windows, best first.
        hi: Upper bounds.

    Raises:
        FileError: A spectrum cannot be read.
    """
    height, width = ds.shape
    most = int(np.clip(_MOST_PIXELS // max(1, height * width) // 2, 8, _MOST_IMAGES))
    if not len(lo):
        return []
    chosen = np.unique(np.linspace(0, len(lo) - 1, min(most, len(lo))).astype(int))
    # Channels with signal nearly everywhere tell best what happened to all of them.
    known = np.nan_to_num(channels.frequency, nan=1.0)
    frequent = np.flatnonzero(known >= np.median(known))
    others = frequent[np.unique(np.linspace(0, len(frequent) - 1, min(most, len(frequent))).astype(int))]
    gap_lo, gap_hi = between_peaks(channels, most)
    images = ds.window_images(
        np.concatenate([lo[chosen], channels.mz_lo[others], gap_lo]),
        np.concatenate([hi[chosen], channels.mz_hi[others], gap_hi]),
    )
    of_picks, of_others, of_gaps = np.split(images, [len(chosen), len(chosen) + len(others)])
    order = np.full(ds.shape, -1, dtype=np.int64)
    pixels = ds._native.pixels
    order.ravel()[pixels[:, 0]] = pixels[:, 1]
    told = any(text.startswith(CUT_OFF) for text in ds.warnings)
    normalized = ds.normalize != "none"
    return describe(of_picks, of_others, order, between=of_gaps, normalized=normalized, limit_told=told)


def describe(
    picks: npt.NDArray[np.float32],
    others: npt.NDArray[np.float32],
    order: npt.NDArray[np.int64],
    *,
    between: npt.NDArray[np.float32] | None = None,
    normalized: bool = False,
    limit_told: bool = False,
) -> list[str]:
    """Warnings about patterns that images share, none for most sections.

    Args:
        picks: Ion images of picks (k, H, W); NaN = not measured.
        others: Ion images of frequent candidates (m, H, W).
        order: Number of the spectrum of each pixel (H, W); -1 = not measured.
        between: Images of windows between the peaks of profile spectra (k, H, W).
        normalized: Whether the images are normalised already.
        limit_told: Whether a limit of all intensities was found in the file, which then explains repeated maxima.
    """
    measured = order >= 0
    texts = []
    own = np.where(measured, np.nan_to_num(picks), 0).astype(np.float64)
    clipped = repeated_maxima(own[:, measured])
    if clipped.any() and not limit_told:
        texts.append(
            f"{clipped.mean():.0%} of the picks have the same largest value in 1% of their pixels or more: the "
            "detector was saturated there, and these pixels show less than there was"
        )
    if min(measured.shape) < _LEAST_SIDE or measured.sum() < _LEAST_PIXELS:
        return texts
    every = np.concatenate([own, np.where(measured, np.nan_to_num(others), 0)])
    texts += _dead_lines(every, measured)
    limits = np.quantile(every[:, measured], 0.99, axis=1)
    limits = np.where(limits > 0, limits, every.max(axis=(1, 2)))
    every = np.minimum(every, limits[:, None, None])
    every = every[every.any(axis=(1, 2))]
    if not len(every):
        return texts
    texts += displaced_lines(every, measured)
    found = []
    if len(others) >= _LEAST_OTHERS:
        found = _line_patterns(every, measured)
        found += _edge_pattern(every, measured) + ([] if found else _fading(every, order))
    if not found and between is not None:
        found = level_patterns(np.where(measured, np.nan_to_num(between), 0).astype(np.float64), order)
    found += _pick_patterns(np.minimum(own, limits[: len(own), None, None]), every, order)
    if found:
        remedy = "" if normalized else '; compare with --normalize tic (Python: normalize="tic")'
        texts.append(f"picks may show the measurement rather than the sample: {'; '.join(found)}{remedy}")
    return texts


def _line_patterns(every: Float, measured: Bools) -> list[str]:
    found = []
    for name, images, mask in (("row", every, measured), ("column", every.transpose(0, 2, 1), measured.T)):
        lines = line_pattern(images, mask)
        if lines.varies:
            found.append(
                f"all channels change from {name} to {name}, by {lines.amplitude:.0%} (the parts of a {name} agree "
                f"with correlation {lines.agreement:.2f})"
            )
        elif lines.step:
            found.append(
                f"all channels change by {lines.step:+.0%} at {name} {lines.at + 1} of {mask.shape[0]} and stay there"
            )
    return found


def _fading(every: Float, order: npt.NDArray[np.int64]) -> list[str]:
    """Whether all channels become stronger or weaker over the acquisition, in each quarter of it.

    Only pixels with signal count: where the sample lies says nothing of the instrument.
    """
    measured = order >= 0
    filled = (every > 0).sum(axis=(1, 2))
    values = every[filled >= np.median(filled)][:, measured]
    part = np.argsort(np.argsort(order[measured])) * 4 // measured.sum()
    n = np.array([(values[:, part == k] > 0).sum(axis=1) for k in range(4)])
    used = (n >= 5).all(axis=0)
    if not used.any():
        return []
    levels = (np.array([values[:, part == k].sum(axis=1) for k in range(4)]) / np.maximum(n, 1))[:, used]
    change = 2 * (levels[2] + levels[3] - levels[0] - levels[1]) / levels.sum(axis=0)
    sign = np.sign(np.median(change))
    agree = (np.sign(change) == sign).mean()
    steady = (np.sign(np.diff(levels, axis=0)) == sign).mean(axis=1)
    moderate = abs(np.median(change)) >= 0.4 and agree >= 0.8 and steady.min() >= 0.6
    # A large change of nearly all channels need not show in each quarter: the sample lies in some more than in others.
    large = abs(np.median(change)) >= 0.6 and agree >= 0.85 and steady.mean() >= 0.7
    if not (moderate or large):
        return []
    ratio = float(np.median(levels[3] / levels[0])) - 1
    return [f"{agree:.0%} of the channels change by {ratio:+.0%} from the first to the last quarter of the acquisition"]


def _edge_pattern(every: Float, measured: Bools) -> list[str]:
    distance = border_distance(measured, 6)
    outer, inner = (distance >= 1) & (distance <= 2), distance >= 4
    inner &= distance <= 6
    if min(outer.sum(), inner.sum()) < 64:
        return []
    n = [(every[:, ring] > 0).sum(axis=1) for ring in (outer, inner)]
    used = np.minimum(*n) >= 5
    if used.sum() < _LEAST_OTHERS:
        return []
    a, b = (every[used][:, ring].sum(axis=1) / n[k][used] for k, ring in enumerate((outer, inner)))
    change = 2 * (a - b) / (a + b)
    middle = float(np.median(change))
    lower, higher = float((change < -0.1).mean()), float((change > 0.1).mean())
    if middle <= -0.5 and lower >= 0.9:
        return [f"{lower:.0%} of the channels are weaker within two pixels of the border of the measured area"]
    if middle >= 0.25 and higher >= 0.6:
        return [f"{higher:.0%} of the channels are stronger within two pixels of the border of the measured area"]
    return []


def _pick_patterns(own: Float, every: Float, order: npt.NDArray[np.int64]) -> list[str]:
    """Picks that are flat once divided by the signal of all channels, or follow the order of acquisition."""
    measured = order >= 0
    blocks = block_means(np.concatenate([own, every]), measured)
    valid = np.isfinite(blocks[0])
    if valid.sum() < 32:
        return []
    flat = blocks[:, valid]
    flat = np.minimum(flat, np.quantile(flat, 0.98, axis=1, keepdims=True))
    mean = flat.mean(axis=1, keepdims=True)
    flat = np.divide(flat, mean, out=np.zeros_like(flat), where=mean > 0)
    picks, rest = flat[: len(own)], flat[len(own) :]
    total = (rest.sum(axis=0) - picks) / max(1, len(rest) - 1)  # the picks are among the rest
    # Off the sample there may be no signal at all; that picks share its outline says nothing of the instrument.
    level = rest.mean(axis=0)
    on = level > 0.15 * np.quantile(level, 0.75)
    if on.sum() < 32:
        return []
    planes = np.full((2, len(picks), *valid.shape), np.nan)
    there = np.zeros(valid.shape, dtype=np.bool_)
    there[valid] = on
    planes[0][:, there] = picks[:, on]
    planes[1][:, there] = np.divide(picks[:, on], total[:, on], out=np.zeros_like(picks[:, on]), where=total[:, on] > 0)
    follows = (correlation(picks[:, on], total[:, on]) > 0.8) & (autocorrelation(planes[0]) > 0.3)
    follows &= autocorrelation(planes[1]) < 0.3
    found = []
    if follows.mean() >= 0.5 and follows.sum() >= 2:
        found.append(
            f"{follows.mean():.0%} of the picks follow the signal of all channels (correlation above 0.8) and are flat "
            "once divided by it"
        )
    index = block_means(order[None].astype(np.float64), measured)[0][valid]
    trend = correlation(picks, index)
    for sign, word in ((1, "rise"), (-1, "fall")):
        share = (trend * sign > 0.8).mean()
        if share >= 0.5 and len(picks) >= 3:
            found.append(f"{share:.0%} of the picks {word} with the order of acquisition (correlation above 0.8)")
    return found


def _dead_lines(every: Float, measured: Bools) -> list[str]:
    """Measured rows or columns inside the section without signal in any channel, while those beside them have some."""
    texts = []
    total = every.sum(axis=0)
    for name, plane, mask in (("row", total, measured), ("column", total.T, measured.T)):
        n = mask.sum(axis=1)
        mean = plane.sum(axis=1) / np.maximum(n, 1)
        inside = (n[1:-1] >= 8) & (n[:-2] >= 8) & (n[2:] >= 8)
        dead = 1 + np.flatnonzero(inside & (mean[1:-1] < 0.02 * np.minimum(mean[:-2], mean[2:])))
        if len(dead):
            listed = ", ".join(str(at + 1) for at in dead[:5]) + (", ..." if len(dead) > 5 else "")
            lines = f"{name} {listed} has" if len(dead) == 1 else f"{name}s {listed} have"
            texts.append(
                f"{lines} hardly any signal in all channels, though the lines beside do: the acquisition failed "
                "there; its pixels count as measured"
            )
    return texts


def repeated_maxima(values: Float) -> Bools:
    """Whether far more pixels hold the largest value than hold each of the values just below it, (n,).

    That is so for 1 to 50 % of the pixels with signal, five at least, and five times as many as share a value between
    0.8 and 1 of the largest one, on average. Counts repeat as well, but not at their maximum.

    Args:
        values: (n, pixels).
    """
    out = np.zeros(len(values), dtype=np.bool_)
    for k, row in enumerate(values):
        present = row[row > 0]
        if present.size < 50:
            continue
        largest = present.max()
        top = int((present == largest).sum())
        if not max(5, 0.01 * present.size) <= top < 0.5 * present.size:
            continue
        below = present[(present >= 0.8 * largest) & (present < largest)]
        out[k] = len(np.unique(present)) >= 20 and top >= 5 * below.size / max(1, len(np.unique(below)))
    return out
