"""Progress of a pick of many files."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from ionmorphnet.base.errors import ArgumentError

if TYPE_CHECKING:
    from rich.console import Console

Stage = Literal["opening", "finding channels", "scoring", "writing"]


@dataclass(frozen=True)
class PickProgress:
    """Where :func:`ionmorphnet.pick_files` is.

    Attributes:
        path: The file.
        number: Its number in the call, from 1.
        n_files: Number of files of the call.
        z: The plane of a file with several; None otherwise.
        stage: What is happening to it.
        done: Images scored so far.
        total: Images to score; 0 if they are not known yet.
        name: As much of the path as tells the file from the others of the call.
    """

    path: Path
    number: int
    n_files: int
    z: int | None
    stage: Stage
    done: int = 0
    total: int = 0
    name: str = ""


Report = Callable[[PickProgress], None]


class PickBar:
    """A bar for :func:`ionmorphnet.pick_files` on a terminal or in a notebook; elsewhere it draws nothing.

    Call it with each :class:`PickProgress`, and :meth:`hide` it before other output; the next call draws it again.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Prepares the bar.

        Args:
            console: Where it is drawn; None: stderr.
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
        self._drawn = console.is_terminal or console.is_jupyter
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("images"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, transient=True)
        self._task = self._bar.add_task("", total=None)

    def __call__(self, at: PickProgress) -> None:
        """Shows the state."""
        if not self._drawn:
            return
        place = f"[{at.number}/{at.n_files}] " if at.n_files > 1 else ""
        plane = "" if at.z is None else f" z={at.z}"
        text = f"{place}{at.name or at.path.name}{plane}: {at.stage}"
        if at.stage == "opening":  # a total cannot be taken back, so each file gets a new task
            self._bar.remove_task(self._task)
            self._task = self._bar.add_task(text, total=None)
        if at.total:
            self._bar.update(self._task, completed=at.done, total=at.total)
        self._bar.update(self._task, description=text)
        self._bar.start()

    def hide(self) -> None:
        """Removes the bar from the screen."""
        if self._drawn and self._bar.live.is_started:
            self._bar.stop()

    def __enter__(self) -> Self:
        """The bar; leaving hides it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Hides the bar."""
        self.hide()


@contextlib.contextmanager
def shown_pick(progress: Report | bool | None) -> Iterator[Report | None]:
    """Turns the ``progress`` argument of :func:`ionmorphnet.pick_files` into a callable, for one file.

    Args:
        progress: A callable; True: a bar on a terminal or in a notebook; False or None: nothing.

    Raises:
        ArgumentError: ``progress`` is none of these.
    """
    if progress is None or progress is False:
        yield None
    elif progress is True:
        with PickBar() as bar:
            yield bar
    elif callable(progress):
        yield progress
    else:
        raise ArgumentError(f"progress must be True, False or a callable, not {progress!r}")
