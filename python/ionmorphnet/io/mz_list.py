"""m/z values from the command line and from list files."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.csv_rows import delimiter_of, parse_number, read_text, split_rows
from ionmorphnet.base.errors import ArgumentError, FileError

Row = tuple[int, list[str]]
Float = npt.NDArray[np.float64]
Column = npt.NDArray[np.float64] | npt.NDArray[np.object_]

# Names of the m/z column without units, case and separators; those of the first group that occurs are taken.
_NAMES = (
    {"mz", "m/z"},
    {"mzvalue", "m/zvalue", "m.z", "moverz", "mzcentroid", "m/zcentroid", "centroidmz", "centroidm/z", "centroid"},
    {"observedmz", "observedm/z", "measuredmz", "measuredm/z", "theoreticalmz", "theoreticalm/z"},
    {"mass", "inputmass", "observedmass"},
)
_BOUNDS = (("mzlo", "mzhi"), ("mzmin", "mzmax"), ("mzlower", "mzupper"))
_UNITS = {"da": 1.0, "m/z": 1.0, "mz": 1.0, "u": 1.0, "mda": 1e-3, "ppm": 1e-6}
# A half width with its unit, as in "Interval Width (+/- Da)".
_HALF_WIDTH = re.compile(r"(?:width|tolerance)\s*[(\[]\s*(?:\+/?-|±)\s*(da|mda|u|ppm|m/?z)\s*[)\]]", re.I)
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
# One column per pixel, as METASPACE exports intensities.
_PIXEL_COLUMN = re.compile(r"x_?\d+_?y_?\d+", re.I)


@dataclass(frozen=True, eq=False)
class MzList:
    """The rows of a list file.

    Attributes:
        mz: float64 (n,), as listed.
        lo: Lower bounds of the windows that the list states, (n,); None if it states none.
        hi: Upper bounds.
        width_column: The columns that state the windows, for messages; empty if there are none.
        columns: All other columns, n texts each, by their names in the file.
        notes: What was decided about the file, one line each.
    """

    mz: Float
    lo: Float | None
    hi: Float | None
    width_column: str
    columns: dict[str, list[str]]
    notes: tuple[str, ...]
    decimal_comma: bool = False

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.mz)

    def merged(self, lo: Float, hi: Float) -> tuple[Float, Float, Float, dict[str, Column]]:
        """One row for each window, by ascending m/z: rows with the same m/z and window are one channel.

        Cells that differ between such rows are joined by ``"; "``. A column of numbers becomes one of float64, with NaN
        for empty cells, if no two rows have to be joined.

        Args:
            lo: Lower bounds (n,).
            hi: Upper bounds (n,).

        Returns:
            m/z, lower and upper bounds, and the columns, (k,) each.
        """
        keys, group = np.unique(np.column_stack([self.mz, lo, hi]), axis=0, return_inverse=True)
        rows: list[list[int]] = [[] for _ in keys]
        for row, at in enumerate(group.ravel().tolist()):
            rows[at].append(row)
        columns: dict[str, Column] = {}
        for name, texts in self.columns.items():
            cells = ["; ".join(dict.fromkeys(texts[row] for row in own if texts[row])) for own in rows]
            columns[name] = typed_column(cells, ";" if self.decimal_comma else ",")
        return keys[:, 0], keys[:, 1], keys[:, 2], columns


def parse_mz_values(text: str) -> list[float]:
    """Reads m/z values from text such as ``500.1,600.2``, or from the file of that name.

    Raises:
        ArgumentError: The list is empty, or the text is neither a list of numbers nor a file.
        FileError: As :func:`read_mz_list`.
    """
    try:
        values = [parse_number(part) for part in text.replace(";", ",").split(",") if part.strip()]
    except ValueError:
        if _is_file(text):
            return read_mz_list(Path(text))
        raise ArgumentError(
            f"'{text}' is neither a list of m/z values such as 500.1,600.2 nor an existing file"
        ) from None
    if not values:
        raise ArgumentError(f"'{text}' contains no m/z value")
    return values


def read_mz_list(path: Path) -> list[float]:
    """The m/z column of a list file, see :func:`read_mz_table`."""
    values: list[float] = read_mz_table(path).mz.tolist()
    return values


def read_mz_table(path: Path) -> MzList:
    """Reads a list of m/z values: one column of a table with a header, or the only column of a file without.

    Read are tables of METASPACE (annotations), SCiLS Lab (feature lists), mMass, LIPID MAPS, and our own peaks.csv.
    Cells are separated by comma, semicolon or tab. The decimal mark is a point, or a comma if cells are separated by
    something else. Lines that begin with ``#`` are comments, unless they have a number in the m/z column.

    The m/z column is called ``mz``, ``m/z``, ``m/z [Da]``, ``centroid`` or ``mass``, whatever its case and unit.
    Windows are stated by two columns (``mz_lo`` and ``mz_hi``, ``mzmin`` and ``mzmax``) or by a half width with its
    unit (``Interval Width (+/- Da)``).

    Raises:
        FileError: The file cannot be read, has no m/z, has several columns but no header, has a row longer than its
            header, or has an invalid value; the message names the line.
    """
    notes: list[str] = []
    header, rows, delimiter = _table(path)
    if header is None:
        if not rows:
            raise FileError(f"{path}: no m/z values in the file")
        line, first = rows[0]
        if not _is_number(first[0], delimiter):
            raise FileError(f"{path}: line {line}: no column 'mz' among {', '.join(first)}")
        if len(first) > 1:
            raise FileError(
                f"{path}: line {line}: {len(first)} columns but no header with 'mz' "
                "(if these are decimal commas, use a decimal point)"
            )
        names, column = ["mz"], 0
    else:
        names, column = header[1], _mz_column(path, header)
    if not rows:
        raise FileError(f"{path}: no m/z values in the file")
    for line, row in rows:
        if len(row) > len(names):
            raise FileError(f"{path}: line {line}: more cells than the header or first line; is there a decimal comma?")
    if _plain(names[column]) in _NAMES[-1]:
        notes.append(
            f"column '{names[column]}' of the list was taken for m/z; if it holds masses of neutral molecules, "
            "list the m/z of their ions"
        )

    def numbers(which: int, what: str) -> Float:
        return np.array([_value(path, row, which, delimiter, what) for row in rows])

    mz = numbers(column, "an m/z value")
    lo, hi, used = _windows(path, names, rows, mz, numbers)
    kept: dict[str, list[str]] = {}
    for at, name in enumerate(names):
        if at in (column, *used) or not name or _PIXEL_COLUMN.fullmatch(name):
            continue
        repeats = (f"{name}.{k}" for k in range(1, len(names) + 1))
        unique = name if name not in kept else next(each for each in repeats if each not in kept)
        kept[unique] = [row[at] if at < len(row) else "" for _, row in rows]
    pixels = sum(_PIXEL_COLUMN.fullmatch(name) is not None for name in names)
    if pixels:
        notes.append(f"{pixels} columns of the list hold intensities of pixels and were left out")
    stated = " and ".join(f"'{names[at]}'" for at in used)
    return MzList(mz, lo, hi, stated, kept, tuple(notes), delimiter != ",")


def _table(path: Path) -> tuple[Row | None, list[Row], str]:
    """The header, the rows below it and the delimiter of a file, without its comments."""
    lines = read_text(path).splitlines(keepends=True)
    start = 0
    comment: tuple[int, str] | None = None  # the last line above the table that begins with #
    separator = None
    while start < len(lines) and (not lines[start].strip() or lines[start].startswith("#") or _separator(lines[start])):
        separator = _separator(lines[start]) or separator
        if lines[start].startswith("#"):
            comment = start + 1, lines[start].lstrip("#")
        start += 1
    if start == len(lines):
        return None, [], ","
    delimiter = separator or delimiter_of(lines[start])
    # Blank lines in place of what was skipped keep the line numbers.
    rows = split_rows(path, "\n" * start + "".join(lines[start:]), delimiter)
    header: Row | None = None
    if rows and _named(rows[0][1]):
        header, rows = rows[0], rows[1:]
    elif rows and comment is not None:  # a header that is marked as a comment, as numpy writes it
        cells = [cell.strip() for cell in comment[1].strip().split(delimiter)]
        if _named(cells) and len(cells) >= max(len(row) for _, row in rows):
            header = comment[0], cells
    column = None if header is None else _candidates(header[1])[0]

    def is_comment(row: list[str]) -> bool:
        return row[0].startswith("#") and not (
            column is not None and column < len(row) and _is_number(row[column], delimiter)
        )

    return header, [row for row in rows if not is_comment(row[1])], delimiter


def _separator(line: str) -> str | None:
    """The delimiter that a first line ``sep=;`` of a spreadsheet states."""
    found = re.fullmatch(r'"?sep=([,;\t])"?', line.strip("\r\n "), re.I)
    return found[1] if found else None


def _plain(name: str) -> str:
    """A column's name without units, case, spaces and underscores."""
    return re.sub(r"[\[(].*?[\])]|[\s_]+", "", name).lower()


def _candidates(names: list[str]) -> list[int]:
    plain = [_plain(name) for name in names]
    for group in _NAMES:
        found = [at for at, name in enumerate(plain) if name in group]
        if found:
            return found
    return []


def _named(cells: list[str]) -> bool:
    return bool(_candidates(cells))


def _mz_column(path: Path, header: Row) -> int:
    line, names = header
    found = _candidates(names)
    if len(found) > 1:
        listed = " and ".join(f"'{names[at]}'" for at in found)
        raise FileError(f"{path}: line {line}: several columns hold m/z: {listed}; keep or rename one of them")
    return found[0]


def _windows(
    path: Path, names: list[str], rows: list[Row], mz: Float, numbers: Callable[[int, str], Float]
) -> tuple[Float | None, Float | None, tuple[int, ...]]:
    """The windows that the list states, and the columns that do."""
    plain = [_plain(name) for name in names]
    for low, high in _BOUNDS:
        if low in plain and high in plain:
            used = plain.index(low), plain.index(high)
            lo, hi = (numbers(at, "a bound of an m/z window") for at in used)
            outside = (mz < lo) | (mz > hi)
            if outside.any():
                line = rows[int(outside.argmax())][0]
                between = " and ".join(f"'{names[at]}'" for at in used)
                raise FileError(f"{path}: line {line}: the m/z is not between {between}")
            return lo, hi, used
    for at, name in enumerate(names):
        found = _HALF_WIDTH.search(name)
        if found:
            half = numbers(at, "a half width") * _UNITS[found[1].lower()]
            if found[1].lower() == "ppm":
                half = half * mz
            return mz - half, mz + half, (at,)
    return None, None, ()


def _value(path: Path, row: Row, column: int, delimiter: str, what: str) -> float:
    line, cells = row
    text = cells[column] if column < len(cells) else ""
    if not text or not _is_number(text, delimiter):
        hint = "; use a decimal point" if "," in text else ""
        raise FileError(f"{path}: line {line}: '{text}' is not {what}{hint}")
    value = _number(text, delimiter)
    if not (math.isfinite(value) and value > 0):
        raise FileError(f"{path}: line {line}: '{text}' is not {what}")
    return value


def typed_column(cells: list[str], delimiter: str = ",") -> Column:
    """Numbers if all cells are empty or numbers, else texts. Digits after a leading zero are an identifier.

    Args:
        cells: n texts.
        delimiter: What separates the cells of the file; unless it is the comma, decimal commas are read.

    Returns:
        float64 (n,) with NaN for empty cells, or the texts.
    """
    filled = [cell for cell in cells if cell]
    if filled and all(_is_number(cell, delimiter) and not re.match(r"[+-]?0\d", cell) for cell in filled):
        return np.array([_number(cell, delimiter) if cell else np.nan for cell in cells])
    return np.array(cells, dtype=object)


def _number(text: str, delimiter: str) -> float:
    """The number in a cell.

    Raises:
        ValueError: Not a number.
    """
    if delimiter != "," and _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return parse_number(text)


def _is_number(text: str, delimiter: str) -> bool:
    try:
        _number(text, delimiter)
    except ValueError:
        return False
    return True


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or a null character
        return False
