"""Pieces that several commands use: progress bars, warnings, m/z lists."""

from __future__ import annotations

import contextlib
import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ionmorphnet.errors import ArgumentError, FileError

stderr = Console(stderr=True, highlight=False)
stdout = Console(highlight=False, soft_wrap=True)


@contextlib.contextmanager
def progress_bar(title: str, unit: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None] | None]:
    """Yields progress(done, total), drawn on a terminal; None in a pipe, where bars would only be noise."""
    if quiet or not stderr.is_terminal:
        yield None
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=stderr, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


def show_warnings(warnings: list[str], *, name: str) -> None:
    """Prints each warning of a reader once, on stderr."""
    for text in warnings:
        click.echo(f"warning: {name}: {text}", err=True)


def parse_mz_values(text: str) -> list[float]:
    """Reads m/z values from ``500.1,600.2`` or from a file.

    Raises:
        ArgumentError: Neither a list of numbers nor a readable file.
    """
    if Path(text).is_file():
        return read_mz_list(Path(text))
    try:
        return [float(part) for part in text.replace(";", ",").split(",") if part.strip()]
    except ValueError:
        raise ArgumentError(f"'{text}' is neither a list of m/z values such as 500.1,600.2 nor a file") from None


def read_mz_list(path: Path) -> list[float]:
    """Reads the ``mz`` (or ``m/z``) column of a CSV, or the first column of a file without a header.

    Raises:
        FileError: Not readable, no m/z, or a value that is not a number; names the line.
    """
    try:
        rows = list(csv.reader(path.read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    rows = [[cell.strip() for cell in row] for row in rows]
    first = next((row for row in rows if any(row)), None)
    if first is None:
        raise FileError(f"{path}: no m/z values in the file")
    column, start = 0, 0
    names = [cell.lower() for cell in first]
    if not _is_number(first[0]) or "mz" in names or "m/z" in names:
        start = rows.index(first) + 1
        known = [i for i, name in enumerate(names) if name in ("mz", "m/z")]
        if not known:
            raise FileError(f"{path}: no column 'mz' among {', '.join(first)}")
        column = known[0]
    values = []
    for number, row in enumerate(rows[start:], start=start + 1):
        if not any(row):
            continue
        if len(row) <= column or not _is_number(row[column]):
            raise FileError(f"{path}: line {number}: '{','.join(row)}' has no m/z value")
        values.append(float(row[column]))
    if not values:
        raise FileError(f"{path}: no m/z values in the file")
    return values


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
