"""Supervised worker processes: one that dies costs only its task, and the others go on."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Generic, Protocol, TypeVar

from ionmorphnet.base.arguments import integer
from ionmorphnet.base.errors import IonMorphNetError

T = TypeVar("T")
R = TypeVar("R")
Given = TypeVar("Given", contravariant=True)
Found = TypeVar("Found", covariant=True)

# A task whose worker dies this often is given up.
MOST_DEATHS = 2
# Workers that die before they take a task: something is wrong with all of them.
_MOST_FALSE_STARTS = 3
# Seconds for a worker to end by itself after it was asked to.
_PATIENCE = 20.0


class WorkerError(IonMorphNetError):
    """Workers cannot start."""


class Work(Protocol[Given, Found]):
    """What a worker does: called once per task, in the worker process. It is pickled to get there."""

    def start(self) -> Callable[[Given, Callable[[Any], None]], Found]:
        """Prepares the worker, such as by loading a model.

        Returns:
            A function of a task and of a callback for news about its progress, which may raise: that is the task's
            result too.
        """
        ...


@dataclass(frozen=True)
class TaskResult(Generic[T, R]):
    """What became of a task.

    Attributes:
        task: The task.
        value: What the work returned; None if it failed.
        error: Why it failed, in one line; empty if it did not.
        deaths: How many workers died of it.
        seconds: Wall time of the last attempt.
    """

    task: T
    value: R | None
    error: str
    deaths: int
    seconds: float


@dataclass
class _Worker(Generic[T]):
    process: SpawnProcess
    link: Connection
    task: T | None = None
    ready: bool = False
    since: float = field(default_factory=time.monotonic)


class Supervisor(Generic[T, R]):
    """Runs tasks in worker processes and starts new workers for those that die.

    A context manager: leaving it ends the workers. They also end by themselves when this process is gone, even if it
    was killed.
    """

    def __init__(self, work: Work[T, R], jobs: int, *, news: Callable[[T, Any], None] | None = None) -> None:
        """Prepares; workers start with :meth:`run`.

        Args:
            work: What to do with a task.
            jobs: Number of worker processes.
            news: Called with a task and what its worker told of it.

        Raises:
            ArgumentError: ``jobs`` is not a positive integer.
        """
        self._work, self._jobs, self._news = work, integer("jobs", jobs, 1), news
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker[T]] = []
        self._false_starts = 0

    def __enter__(self) -> Supervisor[T, R]:
        """The supervisor itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Ends the workers."""
        self.close()

    def run(self, tasks: Sequence[T]) -> Iterator[TaskResult[T, R]]:
        """Yields one result per task, in the order in which they end.

        Args:
            tasks: What to do; each is pickled.

        Raises:
            WorkerError: Workers die before they take a task.
        """
        waiting = deque(range(len(tasks)))
        running: dict[int, int] = {}  # by worker, the number of its task
        lost: dict[int, int] = {}  # by task, how many workers died of it
        while waiting or running:
            while waiting and len(self._workers) < min(self._jobs, len(waiting) + len(running)):
                self._workers.append(self._started())
            for worker in [each for each in self._workers if each.ready and each.task is None]:
                if not waiting:
                    break
                number = waiting.popleft()
                if self._given(worker, tasks[number]):
                    running[id(worker)] = number
                else:
                    waiting.appendleft(number)
            for worker in self._with_news():
                message = self._received(worker)
                if message is None:  # the worker is gone
                    self._workers.remove(worker)
                    number = running.pop(id(worker), -1)
                    if number < 0:
                        self._count_false_start(worker)
                        continue
                    deaths = lost[number] = lost.get(number, 0) + 1
                    if deaths < MOST_DEATHS:
                        waiting.appendleft(number)
                    else:
                        error = f"its worker process died {deaths} times ({_death(worker.process)})"
                        yield TaskResult(tasks[number], None, error, deaths, time.monotonic() - worker.since)
                    continue
                kind, content = message
                if kind == "ready":
                    worker.ready, self._false_starts = True, 0
                elif kind == "failed to start":
                    raise WorkerError(f"workers cannot start: {content}")
                elif kind == "news":
                    if self._news is not None and worker.task is not None:
                        self._news(worker.task, content)
                else:
                    number = running.pop(id(worker))
                    worker.task = None
                    value, error = (content, "") if kind == "done" else (None, content)
                    deaths = lost.get(number, 0)
                    yield TaskResult(tasks[number], value, error, deaths, time.monotonic() - worker.since)

    def close(self) -> None:
        """Ends all workers: they finish nothing, and clean up what they had begun."""
        workers, self._workers = self._workers, []
        for worker in workers:
            with contextlib.suppress(OSError):
                worker.link.close()
            if worker.task is not None:
                worker.process.terminate()
        end = time.monotonic() + _PATIENCE
        for worker in workers:
            worker.process.join(max(0.0, end - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.process.close()

    def _started(self) -> _Worker[T]:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work), daemon=True)
        process.start()
        theirs.close()  # so that the worker's death ends the connection
        return _Worker(process, ours)

    def _given(self, worker: _Worker[T], task: T) -> bool:
        try:
            worker.link.send(task)
        except OSError:
            return False
        worker.task, worker.since = task, time.monotonic()
        return True

    def _with_news(self) -> list[_Worker[T]]:
        ready = set(wait([worker.link for worker in self._workers]))
        return [worker for worker in self._workers if worker.link in ready]

    def _received(self, worker: _Worker[T]) -> tuple[str, Any] | None:
        try:
            message: tuple[str, Any] = worker.link.recv()
        except (EOFError, OSError):
            worker.process.join()
            return None
        return message

    def _count_false_start(self, worker: _Worker[T]) -> None:
        self._false_starts += 1
        if self._false_starts >= _MOST_FALSE_STARTS:
            raise WorkerError(f"workers cannot start: {_death(worker.process)}")


def _death(process: SpawnProcess) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"
    return f"exit code {code}"


def _serve(link: Connection, work: Work[Any, Any]) -> None:
    """The worker process: takes tasks until the connection ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the supervisor decides
    signal.signal(signal.SIGTERM, _stop)
    _end_with_parent()
    try:
        try:
            do = work.start()
        except Exception as error:
            link.send(("failed to start", error_line(error)))
            return
        link.send(("ready", None))
        while True:
            task = link.recv()
            try:
                answer = ("done", do(task, lambda content: link.send(("news", content))))
            except Exception as error:
                answer = ("failed", error_line(error))
            link.send(answer)
    except (EOFError, OSError):
        pass  # the supervisor ended the connection, or is gone
    except KeyboardInterrupt:
        pass


def _stop(_number: int, _frame: object) -> None:
    # As Ctrl-C: whoever writes a file removes what is half-written.
    raise KeyboardInterrupt


def _end_with_parent() -> None:
    """Ends this process when the supervisor's is gone, also in the middle of a task."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(_PATIENCE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def error_line(error: Exception) -> str:
    """What went wrong, in one line; of an error that is not of this package also where."""
    """What went wrong, in one line; of errors that are not of this package with the place."""
    if isinstance(error, IonMorphNetError):
        return " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return "there is not enough memory"
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f" ({os.path.basename(last[0].filename)}:{last[0].lineno})" if last else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
