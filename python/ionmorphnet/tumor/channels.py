"""Which m/z channels a classifier sees: given lists, picks, a consensus of several sections, or all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.picking.peak_list import PeakList
from ionmorphnet.tumor.cohort import Cohort, open_section
from ionmorphnet.tumor.reach import shared_span, unreached

logger = logging.getLogger("ionmorphnet")

MERGE_PPM = 15.0

ChannelsLike = (
    CandidateAxis | PeakList | PathLike | npt.ArrayLike | Sequence[CandidateAxis | PeakList | PathLike] | None
)


def make_channels(
    given: ChannelsLike, cohort: Cohort, *, ppm: float | None = None, tol: float | None = None, min_share: float = 0.5
) -> CandidateAxis:
    """The channels that a user means.

    Args:
        given: None: those of all sections (candidate axes, merged) that every section reaches; a CandidateAxis or
            PeakList; the CSV of one, or any CSV with a column ``mz``; a list of m/z; or a list of several of these:
            their consensus.
        cohort: The sections.
        ppm: Half width of the windows around a given m/z list, and largest distance of merged m/z (default 15).
        tol: Half width of the windows in m/z units.
        min_share: Consensus: share of the lists that must hold a channel.

    Returns:
        Channels ascending in m/z, windows that do not overlap where several lists were merged.

    Raises:
        ArgumentError: Nothing that can be meant, or no channel is left.
        FileError: A file cannot be read.
    """
    if given is None:
        axes, spans = [], []
        for section in cohort.sections:
            with open_section(section) as ds:
                axes.append(candidate_axis(ds))
                spans.append(ds.mz_range)
        merged = consensus(axes, ppm=MERGE_PPM if ppm is None else ppm, min_share=0.0)
        missing = unreached(merged, shared_span(spans, [section.name for section in cohort.sections]))
        if missing.any():
            logger.warning("%d of %d channels are left out: not every section reaches them", missing.sum(), len(merged))
        return some_channels(merged, ~missing, merged.method)
    if isinstance(given, CandidateAxis | PeakList | str | Path):
        return _one(given, ppm, tol)
    if isinstance(given, Sequence) and given and isinstance(given[0], CandidateAxis | PeakList | str | Path):
        axes = [_one(each, ppm, tol) for each in given]  # type: ignore[arg-type]
        return consensus(axes, ppm=MERGE_PPM if ppm is None else ppm, min_share=min_share)
    return CandidateAxis.from_mz_list(given, ppm=ppm, tol=tol)  # type: ignore[arg-type]


def consensus(axes: Sequence[CandidateAxis], *, ppm: float = MERGE_PPM, min_share: float = 0.5) -> CandidateAxis:
    """Channels that several lists share.

    Neighbours at most ``ppm`` apart are one channel: its m/z is their median, its window covers theirs but ends
    half-way to the next channel.

    Args:
        axes: The lists.
        ppm: Largest distance of two m/z of one channel.
        min_share: Share of the lists, 0 to 1, that must hold a channel; at least one.

    Raises:
        ArgumentError: Values out of range, or no channel is left.
    """
    if not 0.0 <= min_share <= 1.0 or not (np.isfinite(ppm) and ppm > 0):
        raise ArgumentError(f"min_share must be 0 to 1 and ppm positive, not {min_share} and {ppm}")
    mz = np.concatenate([axis.mz for axis in axes]) if axes else np.zeros(0)
    if not mz.size:
        raise ArgumentError("no channel was found")
    lo, hi = (np.concatenate([getattr(axis, name) for axis in axes]) for name in ("mz_lo", "mz_hi"))
    owner = np.repeat(np.arange(len(axes)), [len(axis) for axis in axes])
    order = np.argsort(mz, kind="stable")
    mz, lo, hi, owner = mz[order], lo[order], hi[order], owner[order]
    group = np.concatenate([[0], np.cumsum(np.diff(mz) > ppm * 1e-6 * mz[:-1])])
    table = pd.DataFrame({"group": group, "mz": mz, "lo": lo, "hi": hi, "owner": owner}).groupby("group")
    merged = table.agg(mz=("mz", "median"), lo=("lo", "min"), hi=("hi", "max"), owners=("owner", "nunique"))
    kept = merged[merged["owners"] >= max(1, int(np.ceil(min_share * len(axes) - 1e-9)))]
    if not len(kept):
        raise ArgumentError(f"no channel is in {min_share:.0%} of the {len(axes)} lists within {ppm:g} ppm")
    centre = kept["mz"].to_numpy()
    between = 0.5 * (centre[1:] + centre[:-1])
    # The next float, so that no value belongs to two windows.
    lower = np.maximum(kept["lo"].to_numpy(), np.concatenate([[-np.inf], np.nextafter(between, np.inf)]))
    upper = np.minimum(kept["hi"].to_numpy(), np.concatenate([between, [np.inf]]))
    share = kept["owners"].to_numpy() / len(axes)
    method = f"consensus of {len(axes)} lists, {ppm:g} ppm, in at least {min_share:.0%}"
    return CandidateAxis(centre, np.minimum(lower, centre), np.maximum(upper, centre), share, method)


def some_channels(axis: CandidateAxis, chosen: npt.NDArray[np.generic], method: str) -> CandidateAxis:
    """The channels of an axis at some positions, or where a mask is true.

    Raises:
        ArgumentError: None is left.
    """
    mz, lo, hi, frequency = (getattr(axis, name)[chosen] for name in ("mz", "mz_lo", "mz_hi", "frequency"))
    if not len(mz):
        raise ArgumentError("no channel is left")
    return CandidateAxis(mz, lo, hi, frequency, method)


def _one(given: CandidateAxis | PeakList | PathLike, ppm: float | None, tol: float | None) -> CandidateAxis:
    if isinstance(given, CandidateAxis):
        return given
    if isinstance(given, PeakList):
        return _from_table(given.to_frame(), "picked channels")
    return read_channels(Path(given), ppm=ppm, tol=tol)


def read_channels(path: Path, *, ppm: float | None = None, tol: float | None = None) -> CandidateAxis:
    """Channels of a CSV file: the windows ``mz_lo`` and ``mz_hi`` where it has them (as ``peaks.csv``), else ``mz``.

    Args:
        path: CSV with a header.
        ppm: Half width of the windows, where the file has none or other ones are wanted.
        tol: The same in m/z units.

    Raises:
        FileError: Not readable, or without a column ``mz``.
        ArgumentError: No windows in the file, and neither ``ppm`` nor ``tol``.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not a readable CSV'}") from None
    if "mz" not in table or not len(table):
        raise FileError(f"{path}: no column 'mz', or no channel in it")
    if any(table[name].dtype.kind not in "fi" for name in ("mz", "mz_lo", "mz_hi") if name in table):
        raise FileError(f"{path}: m/z must be numbers")
    if ppm is None and tol is None:
        if "mz_lo" not in table or "mz_hi" not in table:
            raise ArgumentError(f"{path}: holds no windows (mz_lo, mz_hi): give ppm or tol")
        return _from_table(table, path.name)
    return CandidateAxis.from_mz_list(table["mz"].to_numpy(), ppm=ppm, tol=tol)


def _from_table(table: pd.DataFrame, method: str) -> CandidateAxis:
    if not len(table):
        raise ArgumentError(f"{method}: there is no channel in it")
    table = table.sort_values("mz")
    frequency = table["frequency"] if "frequency" in table else np.full(len(table), np.nan)
    return CandidateAxis(
        table["mz"].to_numpy(), table["mz_lo"].to_numpy(), table["mz_hi"].to_numpy(), np.asarray(frequency), method
    )
