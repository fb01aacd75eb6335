"""Work for supervised workers; in a module of its own, because the workers import it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ionmorphnet as imn


@dataclass(frozen=True)
class Errands:
    """Does what a task says: a number to double, or a word."""

    folder: str

    def start(self) -> Callable[[Any, Callable[[Any], None]], Any]:
        """Nothing to prepare."""
        return self.do

    def do(self, task: Any, tell: Callable[[Any], None]) -> Any:
        """A task."""
        tell(os.getpid())
        if isinstance(task, int):
            return 2 * task
        word, _, rest = task.partition(" ")
        if word == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "die-once":
            mark = Path(self.folder) / rest
            if not mark.exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return "alive"
        if word == "fail":
            raise imn.ArgumentError(rest)
        if word == "crash":
            raise ZeroDivisionError(rest)
        if word == "write":
            path = Path(self.folder) / rest
            path.write_text("half")
            try:
                for _ in range(600):  # Ray interrupts between the steps of Python only
                    time.sleep(0.1)
            except BaseException:
                path.unlink()
                raise
        if word == "exit":
            os._exit(3)
        return task


@dataclass(frozen=True)
class NeverStarts:
    """Cannot be prepared."""

    kill: bool = False

    def start(self) -> Callable[[Any, Callable[[Any], None]], Any]:
        """Fails, or dies."""
        if self.kill:
            os._exit(7)
        raise imn.FileError("model: not found")


@dataclass(frozen=True)
class Noted:
    """Notes each start of a task in a file of its own, then takes a while."""

    folder: str
    seconds: float

    def start(self) -> Callable[[Any, Callable[[Any], None]], Any]:
        """Notes the start of the worker."""
        (Path(self.folder) / f"worker-{os.getpid()}").touch()
        return self.do

    def do(self, task: int, tell: Callable[[Any], None]) -> int:
        """Waits, and returns the number of this process."""
        (Path(self.folder) / f"task-{task}-{os.getpid()}-{time.time_ns()}").touch()
        time.sleep(self.seconds)
        return os.getpid()
