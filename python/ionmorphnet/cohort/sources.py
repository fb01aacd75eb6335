"""Candidates of a section for the consensus: from a result folder, a peak list or an axis."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.cohort.consensus import SectionChannels
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.picking.peak_list import PeakList
from ionmorphnet.picking.saved import open_run
from ionmorphnet.picking.tables import listed_columns


def section_channels(given: CandidateAxis | PeakList | PathLike, name: str | None = None) -> SectionChannels:
    """The candidates of a section.

    Args:
        given: A peak list with all its candidates, the result folder of a pick, or an axis (then without scores).
        name: Name of the section; None: the stem of its file, the folder's name, or empty.

    Raises:
        ArgumentError: The type is none of these.
        FileError: The folder holds no complete result.
    """
    if isinstance(given, CandidateAxis):
        n = len(given)
        return SectionChannels(
            "" if name is None else name,
            given.mz,
            given.mz_lo,
            given.mz_hi,
            np.full(n, np.nan),
            np.zeros(n, np.bool_),
            np.full(n, -1, np.int64),
            given.columns,
        )
    if isinstance(given, PeakList):
        file = "" if given.run is None else Path(given.run.input.path).stem
        return _of_table(given.all_scores, given.to_frame(), file if name is None else name)
    if isinstance(given, str | Path):
        return section_channels(open_run(given), Path(given).name if name is None else name)
    raise ArgumentError(f"expected an axis, a peak list or a result folder, got {type(given).__name__}")


def _of_table(scores: pd.DataFrame, picks: pd.DataFrame, name: str) -> SectionChannels:
    picked = scores["rank"].isin(picks["rank"]).to_numpy(np.bool_)
    order = np.argsort(scores["mz"].to_numpy(np.float64), kind="stable")
    table = scores.iloc[order]
    codes = {label: code for code, label in enumerate(CLASSES)}
    label = np.asarray(table["label"].map(codes).fillna(-1), np.int64)
    mz, lo, hi, score = (table[column].to_numpy(np.float64) for column in ("mz", "mz_lo", "mz_hi", "score"))
    columns = {key: table[key].to_numpy() for key in listed_columns(table)}
    return SectionChannels(name, mz, lo, hi, score, picked[order], label, columns)
