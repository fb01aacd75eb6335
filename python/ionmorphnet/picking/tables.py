"""The tables of a result, ``peaks.csv`` and ``scores.csv``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.mz_list import typed_column
from ionmorphnet.models.labels import PROBABILITY_COLUMNS, STATISTICS

# Columns without which a table is no peak list.
_NEEDED = ("rank", "mz", "mz_lo", "mz_hi", "score", "label", "scorer")
# All that a pick makes itself; any other column is one of the given m/z list.
_OWN = {*_NEEDED, *PROBABILITY_COLUMNS, *STATISTICS, "structure", "frequency", "spared", "normalize", "region"}


def listed_columns(frame: pd.DataFrame) -> list[str]:
    """The columns of a result that were carried from the given m/z list, such as names and formulas."""
    return [str(name) for name in frame if name not in _OWN]


def read_listed(path: Path, names: list[str]) -> pd.DataFrame:
    """Columns of an m/z list from one of our tables, as they were: identifiers such as 007 and the text NA stay texts.

    Args:
        path: The CSV.
        names: The columns.

    Returns:
        Texts (empty where there is none), or float64 where all cells are numbers.
    """
    if not names:
        return pd.DataFrame()
    texts = pd.read_csv(path, usecols=names, dtype=str, keep_default_na=False)[names]
    columns = {name: typed_column(texts[name].tolist()) for name in names}
    return pd.DataFrame(
        {
            name: pd.array(values, dtype="string") if values.dtype == object else values
            for name, values in columns.items()
        }
    )


def read_table(path: Path) -> pd.DataFrame:
    """The table in ``peaks.csv`` or ``scores.csv``, with the types that a pick gives it.

    Raises:
        FileError: Not readable, or not a peak list.
    """
    try:
        frame = pd.read_csv(path, float_precision="round_trip", dtype={"label": "string", "scorer": "string"})
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:
        raise FileError(f"{path}: not a readable CSV: {error}") from None
    missing = [name for name in _NEEDED if name not in frame]
    if missing:
        raise FileError(f"{path}: not a peak list: it lacks the column '{missing[0]}'")
    if frame.empty:  # a column without values has no type
        frame = frame.astype({name: np.float64 for name in frame if name not in ("label", "scorer")})
        frame["rank"] = frame["rank"].astype(np.int64)
    listed = read_listed(path, listed_columns(frame))
    frame[listed.columns] = listed
    wrong = [name for name in _NEEDED[:-2] if frame[name].dtype.kind not in "if"]
    if wrong:
        raise FileError(f"{path}: not a peak list: column '{wrong[0]}' does not hold numbers")
    if not frame["rank"].is_monotonic_increasing:
        raise FileError(f"{path}: not a peak list: the ranks do not ascend")
    return frame


def write_csv(frame: pd.DataFrame, path: PathLike) -> None:
    """Writes a table (UTF-8, full precision).

    Raises:
        FileError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False)
