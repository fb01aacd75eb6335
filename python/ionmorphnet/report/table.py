"""The table of picks and the distribution of all scores, as plain values for the page."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pandas as pd

from ionmorphnet.report.classes import image_classes, label_or_none
from ionmorphnet.report.data import ReportData

_BINS = 60


def plain_columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns as lists of JSON values; None for NaN, infinities and missing values."""
    return {str(name): [_plain(v) for v in _exact(frame[name])] for name in frame.columns}


def _exact(column: pd.Series[Any]) -> list[Any]:
    # The shortest decimal that gives the same float32 back; as doubles they would show digits that they do not have.
    return [float(str(v)) for v in column.to_numpy()] if column.dtype == np.float32 else column.tolist()


def _plain(value: Any) -> Any:
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        # JavaScript has doubles only.
        return value if abs(value) < 2**53 else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return label_or_none(value)


def cut(data: ReportData) -> tuple[float | None, str]:
    """Score at which the picks end, and what set it: the number asked for, a minimum, or the model's threshold."""
    scores = data.frame["score"].to_numpy(dtype=np.float64, na_value=np.nan)
    scores = scores[np.isfinite(scores)]
    lowest = float(scores.min()) if scores.size else None
    top = data.fact("parameters", "top")
    if isinstance(top, int) and len(data.frame) >= top and lowest is not None:
        return lowest, "lowest pick"
    for key, name in (("min_score", "minimum score"), ("threshold", "threshold of the model")):
        value = data.fact("parameters", key)
        if isinstance(value, int | float) and math.isfinite(value):
            return float(value), name
    return lowest, "lowest pick"


def histogram(data: ReportData) -> dict[str, Any] | None:
    """Counts of the finite scores of all candidates and of the picks over equal bins; None where there are none."""
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


def class_counts(data: ReportData) -> list[dict[str, Any]]:
    """Number of candidates and of picks per class, and the share for a bar; empty where the scorer gives no class."""
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
