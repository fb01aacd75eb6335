"""Lists of channels for other programs: feature lists of SCiLS Lab, and databases of METASPACE."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.paths import PathLike

# Columns of m/z lists, without case and separators; those further left are preferred.
_NAMES = ("name", "names", "moleculenames", "compound", "compoundname", "commonname", "molecule", "lipid", "metabolite")
_FORMULAS = ("formula", "molformula", "molecularformula", "sumformula", "chemicalformula")
_IDS = ("moleculeids", "moleculeid", "id", "hmdbid", "lmid", "lipidmapsid", "chebiid", "keggid")
_COLORS = ("color", "colour")
# What METASPACE's parser takes for a formula; a point, a charge or a blank it refuses.
_FORMULA = re.compile(r"(?:[A-Z][a-z]?\d*|\((?:[A-Z][a-z]?\d*)+\)\d*)+")
_HEX_COLOR = re.compile(r"#[0-9A-Fa-f]{6}")
_COLOR = "#4363d8"
_JOINED = "; "

NO_FORMULAS = (
    "the channels have no formulas, and METASPACE searches for formulas, not for m/z; pick with an m/z list that has a "
    "column formula"
)


def name_column(columns: Iterable[object]) -> str | None:
    """The column that names compounds; None without one."""
    return _found(columns, _NAMES)


def formula_column(columns: Iterable[object]) -> str | None:
    """The column of neutral sum formulas; None without one."""
    return _found(columns, _FORMULAS)


def write_scils(path: PathLike, channels: pd.DataFrame, comments: Sequence[str] = ()) -> None:
    """Writes a feature list that SCiLS Lab imports: ``m/z;Interval Width (+/- Da);Color;Name``.

    An interval is centred, a window need not be: ``m/z`` is the middle of the window, so that both are the same.
    Semicolons, line breaks and quotes in names become commas, blanks and apostrophes, so that no cell needs quotes.

    Args:
        path: The CSV file: UTF-8, semicolons, decimal points.
        channels: Columns ``mz_lo``, ``mz_hi``, and those of an m/z list, of which names and colours are used.
        comments: Lines above the table; they begin with ``#`` in the file.

    Raises:
        FileError: The file cannot be written.
    """
    low, high = (channels[column].to_numpy(np.float64) for column in ("mz_lo", "mz_hi"))
    names, colors = _texts(channels, name_column(channels)), _texts(channels, _found(channels, _COLORS))
    lines = [f"# {_one_line(text)}" for text in comments]
    lines.append("m/z;Interval Width (+/- Da);Color;Name")
    for middle, half, color, name in zip((low + high) / 2, (high - low) / 2, colors, names, strict=True):
        shown = color if _HEX_COLOR.fullmatch(color) else _COLOR
        plain = _one_line(name).replace(";", ",").replace('"', "'")
        lines.append(f"{middle:.7f};{half:.7f};{shown};{plain}")
    with atomic_path(Path(path)) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


def metaspace_table(channels: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The compounds of the channels as a database that METASPACE takes: ``id``, ``name``, ``formula``.

    METASPACE ignores the columns that follow, ``mz``, ``mz_lo`` and ``mz_hi``; they make the list readable as an m/z
    list.

    Args:
        channels: Columns ``mz``, ``mz_lo``, ``mz_hi``, and those of an m/z list.

    Returns:
        One row per compound (a channel may have several, joined by ``"; "``), and the formulas left out because
        METASPACE refuses a database with them.
    """
    columns = [_texts(channels, found) for found in (formula_column(channels), name_column(channels))]
    ids = _texts(channels, _found(channels, _IDS))
    windows = channels[["mz", "mz_lo", "mz_hi"]].to_numpy(np.float64)
    rows: list[tuple[object, ...]] = []
    refused: list[str] = []
    for number, (formulas, names, identifiers, window) in enumerate(zip(*columns, ids, windows, strict=True), 1):
        each = [text.strip() for text in formulas.split(_JOINED) if text.strip()]
        for k, formula in enumerate(each):
            if not _FORMULA.fullmatch(formula):
                refused.append(formula)
                continue
            name = _part(names, k, len(each)) or formula
            identifier = _part(identifiers, k, len(each)) or f"channel{number}"
            rows.append((_one_line(identifier), _one_line(name), formula, *window))
    table = pd.DataFrame(rows, columns=["id", "name", "formula", "mz", "mz_lo", "mz_hi"])
    return table, list(dict.fromkeys(refused))


def write_metaspace(path: PathLike, table: pd.DataFrame) -> None:
    """Writes the table of :func:`metaspace_table` as METASPACE takes it: UTF-8, tabs.

    Raises:
        FileError: The file cannot be written.
    """
    with atomic_path(Path(path)) as temporary:
        # Without quotes: a quote in a name is a character like others.
        plain = table.assign(**{name: table[name].str.replace('"', "'") for name in ("id", "name")})
        plain.to_csv(temporary, sep="\t", index=False)


def _found(columns: Iterable[object], wanted: Sequence[str]) -> str | None:
    plain = {re.sub(r"[\[(].*?[\])]|[\s_.\-]+", "", str(name)).lower().removeprefix("list"): name for name in columns}
    return next((str(plain[name]) for name in wanted if name in plain), None)


def _texts(channels: pd.DataFrame, column: str | None) -> list[str]:
    if column is None:
        return [""] * len(channels)
    return ["" if pd.isna(value) else str(value) for value in channels[column].tolist()]


def _part(text: str, place: int, count: int) -> str:
    """The name of one of several formulas: the one in its place if there are as many, else all."""
    parts = text.split(_JOINED)
    return parts[place] if len(parts) == count else text


def _one_line(text: str) -> str:
    return " ".join(text.split())
