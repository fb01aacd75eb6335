"""Classes of ion images: order, meaning, colours."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import pandas as pd

from ionmorphnet.models.labels import CLASSES, DESCRIPTIONS


class ImageClass(NamedTuple):
    """One class as the report shows it."""

    name: str
    colour: str
    meaning: str


# Colours are distinguishable with every common colour blindness; the name always stands beside them.
_COLOURS = {
    "structured": "#0072b2",
    "weak_structured": "#56b4e9",
    "localized": "#009e73",
    "fragmented": "#e69f00",
    "unstructured": "#8c8c8c",
    "negative": "#cc79a7",
}
_SPARE = ("#d55e00", "#b8a900", "#5d4ea3", "#7f4f24")


def label_or_none(value: Any) -> str | None:
    """A label as text; None where the scorer gave none."""
    return None if value is None or pd.isna(value) or value == "" else str(value)


def probability_columns(frame: pd.DataFrame) -> list[str]:
    """Columns ``p_<class>`` that hold at least one probability, in the table's order."""
    return [c for c in map(str, frame.columns) if c.startswith("p_") and frame[c].notna().any()]


def image_classes(frames: Iterable[pd.DataFrame]) -> list[ImageClass]:
    """Every class that occurs in the tables, known ones first and in their usual order."""
    names: dict[str, None] = {}
    for frame in frames:
        names |= dict.fromkeys(c.removeprefix("p_") for c in probability_columns(frame))
        if "label" in frame.columns:
            names |= dict.fromkeys(n for v in frame["label"].unique() if (n := label_or_none(v)) is not None)
    known = [ImageClass(n, _COLOURS[n], DESCRIPTIONS[n]) for n in CLASSES if n in names]
    others = [n for n in names if n not in CLASSES]
    return known + [ImageClass(n, _SPARE[i % len(_SPARE)], "") for i, n in enumerate(others)]
