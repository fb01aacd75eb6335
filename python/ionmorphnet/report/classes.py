"""Classes of ion images: order, meaning and colour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from ionmorphnet.models.labels import CLASSES, DESCRIPTIONS


class ImageClass(NamedTuple):
    """A class with its colour and meaning."""

    name: str
    colour: str
    meaning: str


# Distinguishable with the common forms of colour blindness; the class name is always shown as well.
_COLOURS = {
    "structured": "#0072b2",
    "weak_structured": "#56b4e9",
    "localized": "#009e73",
    "fragmented": "#e69f00",
    "unstructured": "#8c8c8c",
    "negative": "#cc79a7",
}
_SPARE = ("#d55e00", "#b8a900", "#5d4ea3", "#7f4f24")


def known_classes() -> list[ImageClass]:
    """The six published classes in their usual order."""
    return [ImageClass(name, _COLOURS[name], DESCRIPTIONS[name]) for name in CLASSES]


def label_or_none(value: object) -> str | None:
    """Label as text; None if it is missing or empty."""
    missing = value is None or value is pd.NA or value is pd.NaT or value == ""
    return None if missing or (isinstance(value, float | np.floating) and np.isnan(value)) else str(value)


def probability_columns(frame: pd.DataFrame) -> list[str]:
    """Columns ``p_<class>`` with at least one probability, in table order."""
    return [c for c in map(str, frame.columns) if c.startswith("p_") and frame[c].notna().any()]


def image_classes(frames: Iterable[pd.DataFrame]) -> list[ImageClass]:
    """All classes in the tables: known ones in their usual order, then others."""
    names: dict[str, None] = {}
    for frame in frames:
        names |= dict.fromkeys(c.removeprefix("p_") for c in probability_columns(frame))
        if "label" in frame.columns:
            names |= dict.fromkeys(n for v in frame["label"].unique() if (n := label_or_none(v)) is not None)
    known = [each for each in known_classes() if each.name in names]
    others = [n for n in names if n not in CLASSES]
    return known + [ImageClass(n, _SPARE[i % len(_SPARE)], "") for i, n in enumerate(others)]
