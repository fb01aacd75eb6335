"""Consensus: the channels that the sections of a cohort have in common, from the candidates of each section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.arguments import number, positive
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.cohort.carried import carried_columns
from ionmorphnet.cohort.drift import PPM, Drift, checked_lock_masses, find_drift, lock_drift, median_drift
from ionmorphnet.io.candidates import CandidateAxis

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]

# Rounds of drift and reference: the first reference is one section, the second has the noise of all averaged out.
_ROUNDS = 3
# The jitter of an m/z is about this share of the half width of its window, and at least a ppm.
_JITTER_SHARE = 0.2
_LEAST_JITTER_PPM = 1.0
# Windows with a gap below this share of their width touch; half widths of such windows say no more than this.
_TOUCHING = 1e-6
_MOST_HALF_OF_BINS_PPM = 50.0
# Largest drift that is looked for, and limits of the pooled width, in units of the jitter.
_REACH_JITTERS = 25.0
_LEAST_WIDTH, _MOST_WIDTH = 0.2, 10.0
# Steps of the density per standard deviation, and steps that are smoothed at once.
_STEPS = 4
_CHUNK = 1 << 21
# Width of the kernel in each pass, in standard deviations. Two ions that every section tells apart may be one mode, and
# the few peaks of an ion in a small cohort two: the further passes see what the first has left, more smoothly.
_KERNELS = (1.0, 1.5, 2.0)
# Peaks of a channel lie within this many standard deviations of its mode, times the root of the kernel's width.
_REACH = 4.0


@dataclass(frozen=True)
class SectionChannels:
    """The candidates of a section, picked or not.

    Attributes:
        name: Name of the section.
        mz: m/z (n,), ascending.
        mz_lo: Lower bounds of the windows.
        mz_hi: Upper bounds.
        score: Scores; NaN where there is none.
        picked: Whether a channel was picked.
        label: Classes as positions in ``imn.CLASSES``; -1: none.
        columns: Further columns of a given m/z list, such as names, (n,) each.
    """

    name: str
    mz: Float64
    mz_lo: Float64
    mz_hi: Float64
    score: Float64
    picked: npt.NDArray[np.bool_]
    label: Int64
    columns: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        """Number of candidates."""
        return len(self.mz)


@dataclass(frozen=True)
class Consensus:
    """Channels of a cohort.

    Attributes:
        channels: One row per channel, ascending in m/z: ``mz``, ``mz_lo``, ``mz_hi`` (on the reference's scale),
            ``n_present``, ``share_present``, ``n_picked``, ``share_picked``, ``score`` (mean over all sections, 0 where
            a channel is absent), ``score_present`` (mean over the sections that have it), ``spread_ppm`` (standard
            deviation of its m/z after the drift was removed), ``label`` (position of the class with most votes, -1:
            none), ``votes`` (share of that class among the votes); then the columns of the m/z list, if the candidates
            were those of one.
        members: int64 (n_sections, n_channels): the candidate of each section, -1 where it has none.
        sections: Names of the sections.
        drift: Drift of each section against the reference.
        width_ppm: Standard deviation of an m/z around its channel, pooled.
        absolute: Whether lock masses fix the scale; otherwise it is the cohort's median.
    """

    channels: pd.DataFrame
    members: Int64
    sections: tuple[str, ...]
    drift: tuple[Drift, ...]
    width_ppm: float
    absolute: bool

    def __len__(self) -> int:
        """Number of channels."""
        return len(self.channels)

    @property
    def unaligned(self) -> tuple[str, ...]:
        """Sections whose drift is not known, since they share too few channels with others: taken as they are."""
        if len(self.sections) < 2:
            return ()
        return tuple(name for name, drift in zip(self.sections, self.drift, strict=True) if not drift.n_matched)

    def axis(self, section: int | None = None) -> CandidateAxis:
        """The channels as an axis for extraction.

        Args:
            section: Position of a section: its own drift is put back into the windows. None: the reference's scale.
        """
        mz, lo, hi = (self.channels[name].to_numpy(np.float64) for name in ("mz", "mz_lo", "mz_hi"))
        if section is not None:
            mz, lo, hi = (self.drift[section].to_section(values) for values in (mz, lo, hi))
        where = "" if section is None else f", moved by the drift of {self.sections[section]}"
        share = self.channels["share_present"].to_numpy(np.float64)
        method = f"consensus of {len(self.sections)} sections{where}"
        return CandidateAxis(mz, lo, hi, share, method)


def consensus(
    sections: Sequence[SectionChannels],
    *,
    min_share: float = 0.2,
    reach_ppm: float | None = None,
    align: bool = True,
    lock_masses: npt.ArrayLike | None = None,
) -> Consensus:
    """Finds the channels that enough sections share.

    Each section's drift is found against a reference list, first the section with most candidates, then the channels
    found so far. A density of all drift-free ln(m/z) follows, smoothed by the pooled jitter and cut at its minima. A
    section contributes at most one candidate to a channel, the nearest.

    Args:
        sections: Candidates of each section. All candidates, not only the picks: otherwise "not picked" and "absent"
            cannot be told apart.
        min_share: Share of the sections, 0 to 1, that must have a channel; at least one must.
        reach_ppm: Largest drift that is looked for, in ppm. None: five times the half width of a window, at least 25.
        align: False takes the m/z as they are.
        lock_masses: True m/z of ions that occur in the cohort, which make the scale absolute; None: it is relative to
            the median of the cohort.

    Returns:
        The consensus; it may be empty.

    Raises:
        ArgumentError: An argument is out of range, there is no section, or no lock mass was found.
    """
    min_share = number("min_share", min_share, 0.0, 1.0)
    if not sections:
        raise ArgumentError("a consensus needs at least one section")
    jitter = _expected_jitter(sections)
    reach_ppm = _REACH_JITTERS * jitter if reach_ppm is None else positive("reach_ppm", reach_ppm)
    locks = checked_lock_masses(lock_masses)
    least = max(1, int(np.ceil(min_share * len(sections) - 1e-9)))
    drift = [Drift() for _ in sections]
    if align and len(sections) > 1:
        drift = _aligned(sections, least, reach_ppm, jitter)
    width = _pooled_width(drift, jitter)
    pool = _Pool.of(sections, drift)
    found = pool.channels(width, least)
    if len(locks):
        common = _locked(found, sections, drift, pool, locks, reach_ppm)
        drift = [_plus(each, common) for each in drift]
        pool = _Pool.of(sections, drift)
        found = pool.channels(width, least)
    table = _table(found, pool, sections, width)
    return Consensus(table, found, tuple(each.name for each in sections), tuple(drift), width, bool(len(locks)))


def _aligned(sections: Sequence[SectionChannels], least: int, reach_ppm: float, jitter: float) -> list[Drift]:
    """Drift of each section relative to the median of all."""
    first = max(sections, key=len)
    reference: Float64 = first.mz
    drift = [find_drift(each.mz, reference, reach_ppm=reach_ppm, jitter_ppm=jitter) for each in sections]
    for _ in range(_ROUNDS - 1):
        width = _pooled_width(drift, jitter)
        pool = _Pool.of(sections, drift)
        # Not only what will be reported: a few sections are enough to fix the place of an ion. One is not: it would be
        # aligned with itself.
        members = pool.channels(width, max(2, min(least, len(sections) // 20)))
        if members.shape[1] < 3:
            return [Drift() for _ in sections]
        reference = np.exp(pool.means(members))
        # The section that came first must not define the scale: its own drift would be that of all others.
        drift = [find_drift(each.mz, reference, reach_ppm=reach_ppm, jitter_ppm=jitter) for each in sections]
        common = median_drift([each for each in drift if each.n_matched] or drift)
        drift = [each.minus(common) if each.n_matched else each for each in drift]
    return drift


def _expected_jitter(sections: Sequence[SectionChannels]) -> float:
    """Order of magnitude of an m/z's random error in ppm, from the widths of the windows."""
    halves = [_half_width(each) for each in sections if len(each)]
    return max(_LEAST_JITTER_PPM, _JITTER_SHARE * float(np.median(halves))) if halves else _LEAST_JITTER_PPM


def _half_width(section: SectionChannels) -> float:
    """Half width of a section's windows in ppm, as far as they tell of the width of its peaks.

    Windows that reach half-way to their neighbours (the bins of a file with a shared axis) tell of the spacing instead:
    the peaks are narrower than the narrowest of them.
    """
    halves = (section.mz_hi - section.mz_lo) / (2.0 * section.mz * PPM)
    gaps = section.mz_lo[1:] - section.mz_hi[:-1]
    touching = gaps <= _TOUCHING * (section.mz_hi - section.mz_lo)[1:]
    if len(gaps) and touching.mean() >= 0.5:
        return min(float(np.quantile(halves, 0.05)), _MOST_HALF_OF_BINS_PPM)
    return float(np.median(halves))


def _pooled_width(drift: Sequence[Drift], jitter: float) -> float:
    """Jitter of an m/z in ppm: the median of the sections' residuals; the expected one where nothing was matched."""
    residuals = [each.residual_ppm for each in drift if each.n_matched and np.isfinite(each.residual_ppm)]
    width = float(np.median(residuals)) if residuals else jitter
    return float(np.clip(width, _LEAST_WIDTH * jitter, _MOST_WIDTH * jitter))


@dataclass(frozen=True)
class _Pool:
    """The candidates of all sections, without drift, ascending in ln(m/z)."""

    x: Float64
    owner: Int64
    index: Int64
    n_sections: int

    @classmethod
    def of(cls, sections: Sequence[SectionChannels], drift: Sequence[Drift]) -> _Pool:
        x = np.concatenate([np.log(d.to_reference(each.mz)) for each, d in zip(sections, drift, strict=True)])
        owner = np.repeat(np.arange(len(sections)), [len(each) for each in sections])
        index = np.concatenate([np.arange(len(each)) for each in sections])
        order = np.argsort(x, kind="stable")
        return cls(x[order], owner[order], index[order], len(sections))

    def channels(self, width_ppm: float, least: int) -> Int64:
        """Members of the channels that at least ``least`` sections have, (n_sections, n_channels), -1: none."""
        found, left = [], self
        for kernel in _KERNELS:
            members, left = left._densest_channels(width_ppm * PPM, kernel, least)
            found.append(members)
        return np.concatenate(found, axis=1)

    def _densest_channels(self, sigma: float, kernel: float, least: int) -> tuple[Int64, _Pool]:
        """Channels around the modes of the density, and the candidates that are in none of them."""
        modes, lower, upper = self._modes(sigma * kernel, _REACH * sigma * kernel**0.5)
        first, last = np.searchsorted(self.x, lower), np.searchsorted(self.x, upper, side="right")
        wide = last - first >= least
        columns = []
        taken = np.zeros(len(self.x), np.bool_)
        for mode, begin, end in zip(modes[wide], first[wide], last[wide], strict=True):
            # The nearest of each section: in order of falling distance, the last one written stays.
            order = begin + np.argsort(-np.abs(self.x[begin:end] - mode), kind="stable")
            nearest = np.full(self.n_sections, -1, np.int64)
            nearest[self.owner[order]] = order
            has = nearest >= 0
            if has.sum() < least:
                continue
            members = np.full(self.n_sections, -1, np.int64)
            members[has] = self.index[nearest[has]]
            taken[nearest[has]] = True
            columns.append(members)
        found = np.stack(columns, axis=1) if columns else np.zeros((self.n_sections, 0), np.int64)
        return found, _Pool(self.x[~taken], self.owner[~taken], self.index[~taken], self.n_sections)

    def means(self, members: Int64) -> Float64:
        """Mean ln(m/z) of each channel."""
        total = np.zeros(members.shape[1])
        for section in range(self.n_sections):
            values = self.of_section(section)
            has = members[section] >= 0
            total[has] += values[members[section, has]]
        mean: Float64 = total / (members >= 0).sum(axis=0)
        return mean

    def of_section(self, section: int) -> Float64:
        """ln(m/z) of a section's candidates in their own order."""
        mine = self.owner == section
        values = np.empty(int(mine.sum()))
        values[self.index[mine]] = self.x[mine]
        return values

    def _modes(self, sigma: float, reach: float) -> tuple[Float64, Float64, Float64]:
        """Modes of the density of x, and the interval of each: to the minima beside it, or as far as a peak reaches."""
        if not len(self.x):
            return np.zeros(0), np.zeros(0), np.zeros(0)
        step = sigma / _STEPS
        margin = 5 * _STEPS
        kernel = np.exp(-0.5 * (np.arange(-margin, margin + 1) / _STEPS) ** 2)
        begin = float(self.x[0]) - (margin + 1) * step
        n = int(np.ceil((self.x[-1] - begin) / step)) + margin + 2
        bins = ((self.x - begin) / step).astype(np.int64)
        found: list[list[Float64]] = []
        for start in range(0, n, _CHUNK):
            low, high = max(0, start - 8 * margin), min(n, start + _CHUNK + 8 * margin)
            inside = slice(*np.searchsorted(bins, [low, high]))
            density = np.bincount(bins[inside] - low, minlength=high - low).astype(np.float64)
            smooth = np.convolve(np.pad(density, margin), kernel, "valid")
            rises = np.diff(smooth) > 0
            top = np.flatnonzero(rises[:-1] & ~rises[1:]) + 1
            valley = np.concatenate([[0], np.flatnonzero(~rises[:-1] & rises[1:]) + 1, [high - low]])
            mine = (top + low >= start) & (top + low < start + _CHUNK)
            right = np.searchsorted(valley, top)
            lower, upper = valley[right - 1], valley[right]
            most = int(reach / step)
            lower, upper = np.maximum(lower, top - most), np.minimum(upper, top + most)
            places = (np.asarray(place[mine], np.float64) for place in (top, lower, upper))
            found.append([begin + (low + 0.5 + place) * step for place in places])
        modes, lows, highs = (np.concatenate([part[k] for part in found]) for k in range(3))
        return modes, lows, highs


def _locked(
    members: Int64,
    sections: Sequence[SectionChannels],
    drift: Sequence[Drift],
    pool: _Pool,
    locks: Float64,
    reach_ppm: float,
) -> Drift:
    """Drift of the relative scale against the lock masses that are among the channels."""
    mz = np.exp(pool.means(members))
    if not len(mz):
        raise ArgumentError("no lock mass was found: there are no common channels")
    nearest = np.abs(np.log(mz)[:, None] - np.log(locks)[None]).argmin(axis=0)
    near = np.abs(np.log(mz[nearest] / locks)) <= reach_ppm * PPM
    if not near.any():
        raise ArgumentError(
            f"no lock mass was found: no common channel lies within {reach_ppm:g} ppm of "
            f"{', '.join(f'{lock:.4f}' for lock in locks[:5])}"
        )
    return lock_drift(mz[nearest[near]], locks[near])


def _plus(drift: Drift, common: Drift) -> Drift:
    return drift.minus(Drift(common.mz, tuple(-value for value in common.ppm)))


def _table(members: Int64, pool: _Pool, sections: Sequence[SectionChannels], width_ppm: float) -> pd.DataFrame:
    n_sections = len(members)
    has = members >= 0
    x = np.full(members.shape, np.nan)
    below, above = np.full(members.shape, np.nan), np.full(members.shape, np.nan)
    score = np.zeros(members.shape)
    picked = np.zeros(members.shape, np.bool_)
    label = np.full(members.shape, -1, np.int64)
    for k, section in enumerate(sections):
        own = members[k, has[k]]
        x[k, has[k]] = pool.of_section(k)[own]
        below[k, has[k]] = np.log(section.mz_lo[own] / section.mz[own])
        above[k, has[k]] = np.log(section.mz_hi[own] / section.mz[own])
        score[k, has[k]] = np.nan_to_num(section.score[own])
        picked[k, has[k]] = section.picked[own]
        label[k, has[k]] = section.label[own]
    count = has.sum(axis=0)
    mean = np.nansum(x, axis=0) / np.maximum(count, 1)
    order = np.argsort(mean, kind="stable")
    spread = np.sqrt(np.nansum((x - mean) ** 2, axis=0) / np.maximum(count - 1, 1)) / PPM
    lower, upper = _windows(mean[order], below[:, order], above[:, order], width_ppm * PPM)
    votes = np.stack([((label == each) & has).sum(axis=0) for each in range(max(1, int(label.max(initial=0)) + 1))])
    total = votes.sum(axis=0)
    best = np.where(total > 0, votes.argmax(axis=0), -1)
    members[:] = members[:, order]
    table = pd.DataFrame(
        {
            "mz": np.exp(mean[order]),
            "mz_lo": np.exp(lower),
            "mz_hi": np.exp(upper),
            "n_present": count[order],
            "share_present": count[order] / n_sections,
            "n_picked": picked.sum(axis=0)[order],
            "share_picked": picked.sum(axis=0)[order] / n_sections,
            "score": score.sum(axis=0)[order] / n_sections,
            "score_present": (score.sum(axis=0) / np.maximum(count, 1))[order],
            "spread_ppm": np.where(count > 1, spread, np.nan)[order],
            "label": best[order],
            "votes": (votes.max(axis=0) / np.maximum(total, 1))[order],
        }
    )
    carried = carried_columns(members, [each.columns for each in sections], ("channel", *table))
    return pd.concat([table, carried], axis=1)


def _windows(mean: Float64, below: Float64, above: Float64, width: float) -> tuple[Float64, Float64]:
    """Windows in ln(m/z): the median of the sections' and the jitter between sections, cut half-way to neighbours."""
    if not len(mean):
        return mean, mean
    between = 0.5 * (mean[1:] + mean[:-1])
    lower = mean + np.nanmedian(below, axis=0) - width
    upper = mean + np.nanmedian(above, axis=0) + width
    # One float beyond the middle, so that no value belongs to two windows.
    lower = np.maximum(lower, np.concatenate([[-np.inf], np.nextafter(between, np.inf)]))
    return np.minimum(lower, mean), np.maximum(np.minimum(upper, np.concatenate([between, [np.inf]])), mean)
