"""Progress of long calls: a callable of the caller's, or a bar on the terminal or in a notebook."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ionmorphnet.base.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console

# Called as progress(done, total).
Progress = Callable[[int, int], None]


@contextlib.contextmanager
def shown_progress(progress: Progress | bool | None, title: str, unit: str) -> Iterator[Progress | None]:
    """Turns the ``progress`` argument of a public function into a callable.

    Args:
        progress: A callable, called as progress(done, total); True: a bar on stderr, if that is a terminal or a
            notebook; False or None: nothing.
        title: What is worked on.
        unit: What is counted.

    Raises:
        ArgumentError: ``progress`` is none of these.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        with progress_bar(title, unit) as bar:
            yield bar
    elif callable(progress):
        yield progress
    else:
        raise ArgumentError(f"progress must be True, False or a callable progress(done, total), not {progress!r}")


@contextlib.contextmanager
def progress_bar(
    title: str, unit: str, *, console: Console | None = None, before: str = "", after: str = ""
) -> Iterator[Progress | None]:
    """Yields progress(done, total), drawn as a bar; None where the output is neither a terminal nor a notebook.

    Args:
        title: What is worked on; shown as it is, never read as markup.
        unit: What is counted.
        console: Where the bar is drawn; None: stderr.
        before: What happens until the first call, for example ``"finding channels"``.
        after: What happens after the last one.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = console or Console(stderr=True)
    if not (console.is_terminal or console.is_jupyter):
        yield None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{title}: {before}" if before else title, total=None)

        def advance(done: int, total: int) -> None:
            text = f"{title}: {after}" if after and done >= total else title
            bar.update(task, description=text, completed=done, total=total)

        yield advance
