"""Reads small CSV files: three delimiters, line numbers kept, errors that name the line."""

from __future__ import annotations

import codecs
import csv
import io
import re
from pathlib import Path

from ionmorphnet.base.errors import FileError

_DELIMITERS = (",", ";", "\t")
_QUOTED = re.compile(r'"[^"]*"')
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Reads the rows that are not empty, with their line numbers. Cells are stripped, trailing empty cells dropped.

    The delimiter is the comma, semicolon or tab, whichever is most frequent outside quotes in the first line.

    Args:
        path: UTF-8 text, with or without a byte order mark, or UTF-16 with one.

    Returns:
        (line number from 1, cells) of each row. A quoted cell may span lines; the number is then that of its last line.

    Raises:
        FileError: The file cannot be read or is not a CSV.
    """
    text = read_text(path)
    first = next((line for line in text.splitlines() if line.strip()), "")
    return split_rows(path, text, delimiter_of(first))


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, or in UTF-16 if it begins with a byte order mark.

    Raises:
        FileError: The file cannot be read or has another encoding.
    """
    try:
        data = path.read_bytes()
        names = [name for mark, name in _BYTE_ORDER_MARKS.items() if data.startswith(mark)]
        return data.decode(names[0] if names else "utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None


def delimiter_of(line: str) -> str:
    """The comma, semicolon or tab, whichever is most frequent outside quotes in a line."""
    return max(_DELIMITERS, key=_QUOTED.sub("", line).count)


def split_rows(path: Path, text: str, delimiter: str) -> list[tuple[int, list[str]]]:
    """As :func:`read_rows`, for a text that was read already; the path is for errors.

    Raises:
        FileError: Not a CSV.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")
    reader = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True)
    rows = []
    try:
        for cells in reader:
            row = [cell.strip() for cell in cells]
            while row and not row[-1]:
                row.pop()
            if row:
                rows.append((reader.line_num, row))
    except csv.Error as error:
        # Python tells programmers to open the file in another mode.
        mixed = "new-line character" in str(error)
        cause = "a carriage return inside of it; save the file with line ends of one kind" if mixed else str(error)
        raise FileError(f"{path}: line {reader.line_num}: not a readable CSV: {cause}") from None
    return rows


def parse_number(text: str) -> float:
    """Parses the number in a cell; the decimal mark is a point.

    Raises:
        ValueError: Not a number.
    """
    if "_" in text:  # Python's digit grouping: never intended in a list
        raise ValueError(text)
    return float(text)
