"""Pieces that several commands use: progress bars, spinners, warnings."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator

import click
from rich.console import Console
from rich.text import Text

from ionmorphnet.base.progress import Progress
from ionmorphnet.base.progress import progress_bar as drawn_bar


class PipeConsole(Console):
    """A console that leaves a closed pipe to the command line."""

    def on_broken_pipe(self) -> None:
        """Leaves a closed pipe to the command line, where rich would exit with code 1."""
        raise BrokenPipeError


stderr = PipeConsole(stderr=True, highlight=False)


@contextlib.contextmanager
def progress_bar(
    title: str, unit: str, *, quiet: bool = False, before: str = "", after: str = ""
) -> Iterator[Progress | None]:
    """Yields progress(done, total), drawn on a terminal; None in a pipe, where bars would only be noise.

    Args:
        title: What is worked on; shown as it is, never read as markup.
        unit: What is counted.
        quiet: Draw nothing on terminals either.
        before: What happens until the first call, for example ``"finding channels"``.
        after: What happens after the last one.
    """
    if quiet:
        yield None
        return
    with drawn_bar(title, unit, console=stderr, before=before, after=after) as bar:
        yield bar


@contextlib.contextmanager
def spinner(text: str, *, quiet: bool = False) -> Iterator[None]:
    """Shows that something is going on, on a terminal only."""
    if quiet or not stderr.is_terminal:
        yield
        return
    with stderr.status(Text(text)):
        yield


def show_warnings(warnings: Iterable[str], *, name: str) -> None:
    """Prints each warning of a reader once, on stderr."""
    for text in dict.fromkeys(warnings):
        click.echo(f"warning: {name}: {text}", err=True)


@contextlib.contextmanager
def log_shown() -> Iterator[None]:
    """Shows the package's own log from warnings upwards on stderr, above whatever bar is drawn there."""
    logger = logging.getLogger("ionmorphnet")
    handler = _OnStderr(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _OnStderr(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        stderr.print(Text(f"{record.levelname.lower()}: {record.getMessage()}"), soft_wrap=True)
