"""m/z values from the command line and from list files."""

from __future__ import annotations

import math
from pathlib import Path

from ionmorphnet.base.csv_rows import parse_number, read_rows
from ionmorphnet.base.errors import ArgumentError, FileError

_NAMES = ("mz", "m/z")


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
    """Reads the ``mz`` (or ``m/z``) column of a CSV file, or the only column of a file without a header.

    Cells are separated by comma, semicolon or tab, whichever is most frequent in the first line. The decimal mark is a
    point.

    Raises:
        FileError: The file cannot be read, has no m/z, has several columns but no header, has a row longer than its
            header, or has an invalid value; the message names the line.
    """
    rows = read_rows(path)
    if not rows:
        raise FileError(f"{path}: no m/z values in the file")
    line, first = rows[0]
    names = [cell.lower() for cell in first]
    columns = [i for i, name in enumerate(names) if name in _NAMES]
    if columns:
        if len(columns) > 1:
            raise FileError(f"{path}: line {line}: several columns are named 'mz' or 'm/z'")
        rows = rows[1:]
    elif not _is_number(first[0]):
        raise FileError(f"{path}: line {line}: no column 'mz' among {', '.join(first)}")
    elif len(first) > 1:
        raise FileError(
            f"{path}: line {line}: {len(first)} columns but no header with 'mz' "
            "(if these are decimal commas, use a decimal point)"
        )
    if not rows:
        raise FileError(f"{path}: no m/z values in the file")
    column = columns[0] if columns else 0
    return [_value(path, line, row, column, len(first)) for line, row in rows]


def _value(path: Path, line: int, row: list[str], column: int, width: int) -> float:
    if len(row) > width:
        raise FileError(f"{path}: line {line}: more cells than the header or first line; is there a decimal comma?")
    text = row[column] if column < len(row) else ""
    if not text or not _is_number(text):
        hint = "; use a decimal point" if "," in text else ""
        raise FileError(f"{path}: line {line}: '{text}' is not an m/z value{hint}")
    value = parse_number(text)
    if not (math.isfinite(value) and value > 0):
        raise FileError(f"{path}: line {line}: '{text}' is not an m/z value")
    return value


def _is_number(text: str) -> bool:
    try:
        parse_number(text)
    except ValueError:
        return False
    return True


def _is_file(text: str) -> bool:
    try:
        return Path(text).is_file()
    except (OSError, ValueError):  # too long for a name, or a null character
        return False
