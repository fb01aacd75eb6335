"""Table of picks and distribution of scores, as plain values for the page."""

from __future__ import annotations

import math
from collections import Counter
from typing import TypedDict

import numpy as np
import pandas as pd

from ionmorphnet.report.classes import ImageClass, image_classes, label_or_none
from ionmorphnet.report.data import ReportData

_BINS = 60

Plain = bool | int | float | str | None

# Columns of a given m/z list that name a compound, in lower case; the first that has a value is shown.
_NAMES = (
    "name",
    "moleculenames",
    "molecule names",
    "compound",
    "compound name",
    "annotation",
    "lipid",
    "ion",
    "formula",
)


class Histogram(TypedDict):
    """Distribution of the scores.

    Attributes:
        low: Lower end of the first bin.
        high: Upper end of the last bin.
        all: Candidates in each bin.
        picked: Picks in each bin.
        cut: Score at which the picks end, if any.
        cutName: What set the cut.
        highest: Highest score.
        without: Number of candidates without a finite score.
    """

    low: float
    high: float
    all: list[int]
    picked: list[int]
    cut: float | None
    cutName: str
    highest: float
    without: int


ClassCount = TypedDict(
    "ClassCount", {"class": ImageClass, "all": int, "picked": int, "share": float, "picked_share": float}
)


def plain_columns(frame: pd.DataFrame) -> dict[str, list[Plain]]:
    """Columns as lists of JSON values; NaN, infinite and missing values become None."""
    return {str(name): [_plain(v) for v in _exact(frame[name])] for name in frame.columns}


def names(frame: pd.DataFrame) -> list[str] | None:
    """What the compound of each pick is called in the list that was given; None if no column holds names."""
    own = {str(name).lower().removeprefix("list_"): name for name in reversed(frame.columns)}
    for known in _NAMES:
        if known in own and frame[own[known]].dtype.kind not in "biufc":
            return ["" if pd.isna(value) else str(value) for value in frame[own[known]]]
    return None


def _exact(column: pd.Series) -> list[object]:
    # Shortest decimal that restores the float32: a plain conversion to double would show digits the value lacks.
    return [float(str(v)) for v in column.to_numpy()] if column.dtype == np.float32 else column.tolist()


def _plain(value: object) -> Plain:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        # JavaScript numbers are doubles.
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return label_or_none(value)


def cut(data: ReportData) -> tuple[float | None, str]:
    """Score at which the picks end, and what set it: the number of picks, a minimum or the model threshold."""
    scores = data.frame["score"].to_numpy(dtype=np.float64, na_value=np.nan)
    scores = scores[np.isfinite(scores)]
    lowest = float(scores.min()) if scores.size else None
    top = data.fact("parameters", "top")
    if isinstance(top, int) and len(data.frame) >= top and lowest is not None:
        return lowest, "lowest pick"
    for key, name in (("min_score", "minimum score"), ("threshold", "model threshold")):
        value = data.fact("parameters", key)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value), name
    return lowest, "lowest pick"


def histogram(data: ReportData) -> Histogram | None:
    """Distribution of the finite scores of candidates and picks; None if there are none."""
    every = data.all_scores["score"].to_numpy(dtype=np.float64, na_value=np.nan)
    picked = data.frame["score"].to_numpy(dtype=np.float64, na_value=np.nan)
    finite = every[np.isfinite(every)]
    if finite.size == 0:
        return None
    low, high = float(finite.min()), float(finite.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low == high:
        low, high = low - 0.5, high + 0.5
    at, name = cut(data)
    if at is not None:
        low, high = min(low, at), max(high, at)
    counts, _ = np.histogram(finite, bins=_BINS, range=(low, high))
    picks, _ = np.histogram(picked[np.isfinite(picked)], bins=_BINS, range=(low, high))
    return {
        "low": low,
        "high": high,
        "all": counts.tolist(),
        "picked": picks.tolist(),
        "cut": at,
        "cutName": name,
        "highest": float(finite.max()),
        "without": int(every.size - finite.size),
    }


def class_counts(data: ReportData) -> list[ClassCount]:
    """Number of candidates and picks per class with bar lengths; empty if the scorer has no classes."""
    if "label" not in data.all_scores.columns or "label" not in data.frame.columns:
        return []
    every = Counter(label_or_none(v) for v in data.all_scores["label"])
    picked = Counter(label_or_none(v) for v in data.frame["label"])
    classes = image_classes([data.all_scores, data.frame])
    if not any(every[c.name] or picked[c.name] for c in classes):
        return []
    most = max(every.values())
    return [
        {
            "class": c,
            "all": every[c.name],
            "picked": picked[c.name],
            "share": every[c.name] / most,
            "picked_share": picked[c.name] / most,
        }
        for c in classes
    ]
