"""The m/z channels of a classifier: from lists, from picks, as a consensus of several sections, or all channels."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.cohort.consensus import consensus
from ionmorphnet.cohort.sources import section_channels
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.picking.peak_list import PeakList
from ionmorphnet.tumor.channel_checks import shared_span, unreached
from ionmorphnet.tumor.cohort import Cohort, open_section

logger = logging.getLogger("ionmorphnet")

ChannelsLike = (
    CandidateAxis | PeakList | PathLike | npt.ArrayLike | Sequence[CandidateAxis | PeakList | PathLike] | None
)


def make_channels(
    given: ChannelsLike, cohort: Cohort, *, ppm: float | None = None, tol: float | None = None, min_share: float = 0.5
) -> CandidateAxis:
    """Builds the channels from whatever form the user gives them in.

    Args:
        given: A CandidateAxis or PeakList; the path of its CSV, or of any CSV with a column ``mz``; a list of m/z; or a
            list of axes, peak lists and paths, of which the consensus is taken. None: the candidate axes of all
            sections, merged and restricted to channels that every section reaches.
        cohort: The sections.
        ppm: Half width of the windows around the m/z of a list. Where several lists are merged it is also the largest
            mass drift between them; None: see :func:`ionmorphnet.cohort.consensus`.
        tol: Half width of the windows in m/z units.
        min_share: Share of the lists that must contain a channel of the consensus.

    Returns:
        Channels in ascending m/z. Windows do not overlap where several lists were merged.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range, or no channel is left.
        FileError: A file cannot be read.
    """
    if given is None:
        axes, spans = [], []
        for section in cohort.sections:
            with open_section(section) as ds:
                axes.append(candidate_axis(ds))
                spans.append(ds.mz_range)
        merged = _merged(axes, ppm, 0.0)
        missing = unreached(merged, shared_span(spans, [section.name for section in cohort.sections]))
        if missing.any():
            logger.warning("%d of %d channels left out; not all sections reach them", missing.sum(), len(merged))
        return some_channels(merged, ~missing, merged.method)
    if isinstance(given, CandidateAxis | PeakList | str | Path):
        return _one(given, ppm, tol)
    if isinstance(given, Sequence) and given and isinstance(given[0], CandidateAxis | PeakList | str | Path):
        axes = [_one(each, ppm, tol) for each in given]  # type: ignore[arg-type]
        return _merged(axes, ppm, min_share)
    return CandidateAxis.from_mz_list(given, ppm=ppm, tol=tol)  # type: ignore[arg-type]


def _merged(axes: Sequence[CandidateAxis], reach_ppm: float | None, min_share: float) -> CandidateAxis:
    """The channels that enough of the lists share, after each list's mass drift was removed.

    Raises:
        ArgumentError: An argument is out of range, or no channel is left.
    """
    found = consensus([section_channels(axis) for axis in axes], min_share=min_share, reach_ppm=reach_ppm)
    if not len(found):
        raise ArgumentError(
            "no channels found"
            if not any(map(len, axes))
            else f"no channel occurs in {min_share:.0%} of the {len(axes)} lists"
        )
    method = f"consensus of {len(axes)} lists, in at least {min_share:.0%}"
    return dataclasses.replace(found.axis(), method=method)


def some_channels(axis: CandidateAxis, chosen: npt.NDArray[np.generic], method: str) -> CandidateAxis:
    """Selects channels of an axis by position or by a mask.

    Args:
        axis: The axis.
        chosen: Integer positions (k,), or bool (C,).
        method: Description of the result.

    Raises:
        ArgumentError: No channel is left.
    """
    mz, lo, hi, frequency = (getattr(axis, name)[chosen] for name in ("mz", "mz_lo", "mz_hi", "frequency"))
    if not len(mz):
        raise ArgumentError("no channels left")
    return CandidateAxis(mz, lo, hi, frequency, method)


def _one(given: CandidateAxis | PeakList | PathLike, ppm: float | None, tol: float | None) -> CandidateAxis:
    if isinstance(given, CandidateAxis):
        return given
    if isinstance(given, PeakList):
        return _from_table(given.to_frame(), "picked channels")
    return read_channels(Path(given), ppm=ppm, tol=tol)


def read_channels(path: Path, *, ppm: float | None = None, tol: float | None = None) -> CandidateAxis:
    """Reads channels from a CSV file.

    Args:
        path: CSV with a column ``mz``; the windows are ``mz_lo`` and ``mz_hi``, as in ``peaks.csv``.
        ppm: Half width of the windows, for files without windows or to replace them.
        tol: The same in m/z units.

    Raises:
        FileError: The file cannot be read, or lacks a column ``mz``.
        ArgumentError: The file has no windows, and neither ``ppm`` nor ``tol`` is given.
    """
    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not a readable CSV'}") from None
    if "mz" not in table or not len(table):
        raise FileError(f"{path}: the column 'mz' is missing or empty")
    if any(table[name].dtype.kind not in "fi" for name in ("mz", "mz_lo", "mz_hi") if name in table):
        raise FileError(f"{path}: mz, mz_lo and mz_hi must be numbers")
    if ppm is None and tol is None:
        if "mz_lo" not in table or "mz_hi" not in table:
            raise ArgumentError(f"{path}: has no windows (columns mz_lo, mz_hi); give ppm or tol")
        return _from_table(table, path.name)
    return CandidateAxis.from_mz_list(table["mz"].to_numpy(), ppm=ppm, tol=tol)


def _from_table(table: pd.DataFrame, method: str) -> CandidateAxis:
    if not len(table):
        raise ArgumentError(f"{method}: the list is empty")
    table = table.sort_values("mz")
    frequency = table["frequency"] if "frequency" in table else np.full(len(table), np.nan)
    return CandidateAxis(
        table["mz"].to_numpy(), table["mz_lo"].to_numpy(), table["mz_hi"].to_numpy(), np.asarray(frequency), method
    )
