"""Excel workbooks of tables: a formatted sheet for each, and one that explains them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ionmorphnet.base.extras import require_openpyxl
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.paths import PathLike

if TYPE_CHECKING:
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.worksheet._write_only import WriteOnlyWorksheet

# Limits of Excel.
MOST_ROWS, MOST_COLUMNS = 1_048_576, 16_384
_LONGEST_TEXT = 32_767
# Excel reads a text that begins like this as a formula when it is edited or saved as CSV.
_FORMULA = re.compile(r"[=+\-@\t\r]")
# Control characters that XML cannot hold.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
_WIDEST = 48.0


@dataclass(frozen=True)
class Column:
    """A column of a sheet.

    Attributes:
        name: Its name in the table.
        title: Its header, with the unit.
        about: What it means, for the explaining sheet; empty: not listed there.
        number_format: Excel's number format, such as ``0.0000``; empty: as Excel likes.
    """

    name: str
    title: str
    about: str = ""
    number_format: str = ""


@dataclass(frozen=True)
class Sheet:
    """A table of a workbook.

    Attributes:
        title: Name of the sheet, at most 31 characters.
        table: The rows.
        columns: The columns that are shown, in order.
        about: What a row is.
        above: A line above the header, by column, such as names of compounds; empty: none.
        fixed: Columns that stay in view.
    """

    title: str
    table: pd.DataFrame
    columns: tuple[Column, ...]
    about: str
    above: Mapping[str, str] | None = None
    fixed: int = 1


def write_workbook(path: PathLike, title: str, facts: Sequence[tuple[str, object]], sheets: Sequence[Sheet]) -> None:
    """Writes a workbook: first a sheet with facts and the meaning of all columns, then the tables.

    Texts are never formulas, whatever they begin with. Missing and infinite numbers are empty cells.

    Args:
        path: The xlsx file.
        title: Heading of the first sheet.
        facts: What is known of the data: label and value.
        sheets: The tables.

    Raises:
        UnavailableError: openpyxl is not installed.
        FileError: The file cannot be written.
    """
    require_openpyxl()
    from openpyxl import Workbook

    book = Workbook(write_only=True)
    _about(book.create_sheet("About"), title, facts, sheets)
    for sheet in sheets:
        _table(book.create_sheet(sheet.title), sheet)
    with atomic_path(Path(path)) as temporary:
        book.save(temporary)


def fits(rows: int, columns: int) -> bool:
    """Whether a table of this size, with its header, is within Excel's limits."""
    return rows + 2 <= MOST_ROWS and columns <= MOST_COLUMNS


def magnitude_format(values: Iterable[float]) -> str:
    """A number format with about four digits for intensities of unknown scale."""
    finite = np.abs(np.asarray(list(values), np.float64))
    largest = float(np.max(finite, initial=0.0, where=np.isfinite(finite)))
    if largest >= 1000.0 or largest == 0.0:
        return "#,##0"
    return "0.000" if largest >= 1.0 else "0.00E+00"


def _about(sheet: WriteOnlyWorksheet, title: str, facts: Sequence[tuple[str, object]], sheets: Sequence[Sheet]) -> None:
    for letter, width in zip("ABC", (24.0, 36.0, 100.0), strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.append([_cell(sheet, title, bold=True, size=14)])
    for label, value in facts:
        sheet.append([_cell(sheet, label, bold=True), _cell(sheet, _plain(value), left=True)])
    sheet.append([])
    sheet.append([_cell(sheet, text, bold=True, fill=True) for text in ("Sheet", "Column", "Meaning")])
    for each in sheets:
        sheet.append([_cell(sheet, each.title, bold=True), None, _cell(sheet, each.about, wrap=True)])
        for column in each.columns:
            if column.about:
                sheet.append(
                    [
                        _cell(sheet, each.title),
                        _cell(sheet, column.title),
                        _cell(sheet, column.about, wrap=True),
                    ]
                )


def _table(sheet: WriteOnlyWorksheet, given: Sheet) -> None:
    from openpyxl.utils import get_column_letter

    table, columns = given.table, given.columns
    # Before the first row, as write-only sheets need it.
    header = 2 if given.above is not None else 1
    sheet.freeze_panes = f"{get_column_letter(min(given.fixed, len(columns)) + 1)}{header + 1}"
    for place, column in enumerate(columns, 1):
        above = "" if given.above is None else given.above.get(column.name, "")
        sheet.column_dimensions[get_column_letter(place)].width = _width(table[column.name], column, above)
    last = f"{get_column_letter(max(1, len(columns)))}{header + len(table)}"
    sheet.auto_filter.ref = f"A{header}:{last}"
    if given.above is not None:
        sheet.append([_cell(sheet, given.above.get(column.name), italic=True) for column in columns])
    sheet.append([_cell(sheet, column.title, bold=True, fill=True, wrap=True) for column in columns])
    formats = [column.number_format for column in columns]
    for row in _rows(table, columns):
        sheet.append([_cell(sheet, value, number_format=kind) for value, kind in zip(row, formats, strict=True)])


def _rows(table: pd.DataFrame, columns: Sequence[Column]) -> Iterator[tuple[Any, ...]]:
    return zip(*([_plain(value) for value in table[column.name].tolist()] for column in columns), strict=True)


def _plain(value: Any) -> Any:
    """A value as Excel holds it: text, number, truth value, or None."""
    if value is None or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    text = _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", str(value))
    if not text:
        return None
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 6] + " (cut)"


def _cell(
    sheet: WriteOnlyWorksheet,
    value: Any,
    *,
    bold: bool = False,
    italic: bool = False,
    size: int = 11,
    fill: bool = False,
    wrap: bool = False,
    left: bool = False,
    number_format: str = "",
) -> WriteOnlyCell | Any:
    """A cell; plain numbers without a style are left to openpyxl, which is faster."""
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Font, PatternFill

    is_text = isinstance(value, str)
    if not (is_text or number_format or bold or italic or fill or left):
        return value
    cell = WriteOnlyCell(sheet, value=value)
    if is_text:
        cell.data_type = "s"  # whatever it begins with, it is no formula
        if _FORMULA.match(value):
            cell.quotePrefix = True
    if bold or italic or size != 11:
        cell.font = Font(bold=bold, italic=italic, size=size)
    if fill:
        cell.fill = PatternFill("solid", fgColor="FFDDE6F0")
    if wrap or left:
        cell.alignment = Alignment(wrap_text=wrap, vertical="top", horizontal="left" if left else None)
    if number_format and not is_text:
        cell.number_format = number_format
    return cell


def _width(values: pd.Series, column: Column, above: str) -> float:
    """Width in characters: of the longest word of the header and of the first values."""
    shown = [_shown(_plain(value), column.number_format) for value in values.head(200).tolist()]
    words = max((len(word) for word in re.split(r"\s+", column.title)), default=0)
    header = max(words, len(column.title) / 2.0)
    return min(_WIDEST, max([8.0, header + 3.0, min(len(above), 24.0), *(len(text) + 2.0 for text in shown)]))


def _shown(value: Any, number_format: str) -> str:
    """About what Excel shows."""
    if value is None:
        return ""
    if isinstance(value, float):
        decimals = re.search(r"0\.(0+)", number_format)
        return f"{value:,.{len(decimals[1]) if decimals else 0}f}" if abs(value) < 1e15 else "0.00E+00"
    return str(value)
