"""Columns of m/z lists, such as names and formulas, carried from the sections' candidates to common channels."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.io.mz_list import typed_column


def carried_columns(
    members: npt.NDArray[np.int64], columns: Sequence[Mapping[str, npt.NDArray[Any]]], taken: Iterable[str]
) -> pd.DataFrame:
    """What the candidates of each channel were called.

    Args:
        members: int64 (n_sections, C): the candidate of each section, -1 where it has none.
        columns: For each section its columns, one value per candidate.
        taken: Names that the table of the channels has itself; such a column becomes ``list_<name>``.

    Returns:
        C rows. A cell holds the value that most sections have, followed by others if they differ, with ``"; "`` in
        between; numbers stay numbers where no channel has two.
    """
    names = list(dict.fromkeys(name for each in columns for name in each))
    found = {name: _carried(name, members, columns) for name in names}
    return pd.DataFrame(
        {free_name(name, {*taken}, "list"): values for name, values in found.items()}, index=range(members.shape[1])
    )


def free_name(name: str, taken: set[str], prefix: str) -> str:
    """A column's name, with the prefix as often as it is needed to tell it from others."""
    while name in taken:
        name = f"{prefix}_{name}"
    return name


def _carried(name: str, members: npt.NDArray[np.int64], columns: Sequence[Mapping[str, npt.NDArray[Any]]]) -> Any:
    parts = []
    for own, each in zip(members, columns, strict=True):
        if name in each:
            has = np.flatnonzero(own >= 0)
            parts.append(pd.DataFrame({"channel": has, "text": [_text(value) for value in each[name][own[has]]]}))
    texts = [""] * members.shape[1]
    table = pd.concat(parts, ignore_index=True)
    counts = table[table["text"] != ""].groupby(["channel", "text"], sort=True).size().reset_index(name="n")
    for channel, group in counts.sort_values("n", ascending=False, kind="stable").groupby("channel"):
        texts[int(str(channel))] = "; ".join(group["text"])
    values = typed_column(texts)
    return pd.array(values, dtype="string") if values.dtype == object else values


def _text(value: object) -> str:
    """A cell as it stands in a file."""
    if value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value)):
        return ""
    return repr(float(value)).removesuffix(".0") if isinstance(value, float) else str(value)
