"""Reads small CSV files: three delimiters, line numbers kept, errors that name the line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from ionmorphnet.base.errors import FileError

_DELIMITERS = (",", ";", "\t")


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Reads the rows that are not empty, with their line numbers. Cells are stripped, trailing empty cells dropped.

    The delimiter is the comma, semicolon or tab, whichever is most frequent in the first line.

    Args:
        path: UTF-8 text, with or without a byte order mark.

    Returns:
        (line number from 1, cells) of each row. A quoted cell may span lines; the number is then that of its last line.

    Raises:
        FileError: The file cannot be read or is not a CSV.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    first = next((line for line in text.splitlines() if line.strip()), "")
    reader = csv.reader(io.StringIO(text), delimiter=max(_DELIMITERS, key=first.count), strict=True)
    rows = []
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            while row and not row[-1]:
                row.pop()
            if row:
                rows.append((reader.line_num, row))
    except csv.Error as error:
        raise FileError(f"{path}: line {reader.line_num}: not a readable CSV: {error}") from None
    return rows


def parse_number(text: str) -> float:
    """Parses the number in a cell; the decimal mark is a point.

    Raises:
        ValueError: Not a number.
    """
    if "_" in text:  # Python's digit grouping: never intended in a list
        raise ValueError(text)
    return float(text)
