"""Ray in place of own worker processes: a task per section, on this machine or on a cluster."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Self, TypeVar

from ionmorphnet.base.arguments import integer, number, positive
from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.base.units import format_bytes, parse_bytes
from ionmorphnet.base.versions import versions
from ionmorphnet.cohort.ray_cluster import LOCAL, connected
from ionmorphnet.cohort.supervisor import MOST_DEATHS, TaskResult, Work, WorkerError, error_line

T = TypeVar("T")
R = TypeVar("R")

_log = logging.getLogger("ionmorphnet")

# Tasks that wait at the cluster for each one that runs: enough to keep it busy, few enough to stop soon.
_QUEUED = 2
_LEAST_WINDOW = 4
# A node that is lost is not the fault of the section that it worked on, but there must be an end.
_MOST_LOST_NODES = 5
# Seconds between looks at the size of the cluster, and for tasks to end by themselves.
_PAUSE = 2.0
_PATIENCE = 20.0


@dataclass(frozen=True)
class RayOptions:
    """How a cohort run uses Ray.

    Attributes:
        address: ``local``: start Ray on this machine for the run. ``auto``: the cluster that this machine is part of.
            Or ``HOST:PORT`` of its head node.
        num_cpus: Cores of a task; None: ``threads`` of the run if given, else 4, or 1 for a classical scorer.
        num_gpus: GPUs of a task, or a share of one; None: 1 if the device is a GPU, else 0.
        memory: Memory that a task reserves, in bytes or as text; None: ``memory_limit`` of the run.
        max_retries: How often a section is tried again whose worker died. A lost node does not count.
    """

    address: str = LOCAL
    num_cpus: float | None = None
    num_gpus: float | None = None
    memory: int | str | None = None
    max_retries: int = MOST_DEATHS - 1

    @classmethod
    def of(cls, given: Self | str) -> Self:
        """The options, from themselves or from an address.

        Raises:
            ArgumentError: Neither of both, or one is out of range.
        """
        if isinstance(given, str):
            given = cls(given)
        if not isinstance(given, cls):
            raise ArgumentError(f"ray takes an address or RayOptions, not {type(given).__name__}")
        if given.num_cpus is not None:
            positive("num_cpus", given.num_cpus)
        if given.num_gpus is not None:
            number("num_gpus", given.num_gpus, 0.0, math.inf)
        if given.memory is not None:
            parse_bytes(given.memory)
        integer("max_retries", given.max_retries, 0)
        return given


@dataclass(frozen=True)
class Resources:
    """What a task reserves.

    Attributes:
        num_cpus: Cores.
        num_gpus: GPUs.
        memory: Bytes.
    """

    num_cpus: float
    num_gpus: float
    memory: int

    def times_in(self, node: dict[str, float]) -> int:
        """How many such tasks a node runs at once."""
        pairs = ((self.num_cpus, "CPU"), (self.num_gpus, "GPU"), (self.memory, "memory"))
        return int(min(node.get(name, 0.0) // need for need, name in pairs if need > 0))

    def __str__(self) -> str:
        """For messages."""
        gpus = f", {self.num_gpus:g} GPUs" if self.num_gpus else ""
        return f"{self.num_cpus:g} cores{gpus} and {format_bytes(self.memory)}"


@dataclass(frozen=True)
class _Answer:
    """What a task sends back."""

    kind: Literal["done", "failed", "failed to start"]
    value: Any
    seconds: float


@dataclass(frozen=True)
class _Errand:
    """What all tasks of a run need, sent to each node once.

    Attributes:
        work: What to do.
        name: Tells it from the work of other runs.
        version: Version of the package on the machine that asks.
        folder: Its working folder: options may hold relative paths.
    """

    work: Work[Any, Any]
    name: str
    version: str
    folder: str


class RayTeam(Generic[T, R]):
    """Does tasks on a Ray cluster as :class:`Supervisor` does them in processes of its own.

    A worker process of Ray's prepares the work once and keeps it for later tasks. A task whose worker dies is done once
    more, on whatever node has room. Progress within tasks is not reported.
    """

    def __init__(self, work: Work[T, R], options: RayOptions, resources: Resources, most: int | None = None) -> None:
        """Nothing is started yet.

        Args:
            work: What workers do.
            options: Cluster and retries.
            resources: What a task reserves.
            most: Tasks at once; None: as many as the cluster has room for.
        """
        self._work, self._options, self._resources, self._most = work, options, resources, most
        self._running: dict[Any, int] = {}
        self._ray: Any = None
        self._cluster = contextlib.ExitStack()
        self._window = _LEAST_WINDOW
        self._looked = -math.inf

    def __enter__(self) -> Self:
        """Connects to the cluster.

        Raises:
            ArgumentError: The address is none.
            UnavailableError: Ray is not installed, there is no such cluster, or it is too small.
        """
        self._ray = self._cluster.enter_context(connected(self._options.address))
        try:
            self._check_room()
        except BaseException:
            self._cluster.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stops what still runs, and disconnects."""
        try:
            self._stop_tasks()
        finally:
            self._cluster.close()

    def run(self, tasks: Sequence[T]) -> Iterator[TaskResult[T, R]]:
        """Yields one result per task, in the order in which they end.

        Args:
            tasks: What to do; each is pickled.

        Raises:
            WorkerError: Nodes cannot do the work.
        """
        ray, running = self._ray, self._running
        remote = ray.remote(
            num_cpus=self._resources.num_cpus,
            num_gpus=self._resources.num_gpus,
            memory=self._resources.memory,
            # Counted here, so that sections that kill workers are told from nodes that are lost, and are recorded.
            max_retries=0,
        )(_attempt)
        version = versions()["ionmorphnet"]
        work = ray.put(_Errand(self._work, secrets.token_hex(8), version, os.getcwd()))
        waiting = deque(range(len(tasks)))
        deaths, lost = dict.fromkeys(waiting, 0), dict.fromkeys(waiting, 0)
        since: dict[int, float] = {}
        errors = ray.exceptions
        while waiting or running:
            while waiting and len(running) < self._room():
                number = waiting.popleft()
                since[number] = time.monotonic()
                running[remote.remote(work, tasks[number])] = number
            ended, _ = ray.wait(list(running), num_returns=1, timeout=_PAUSE)
            for reference in ended:
                number = running.pop(reference)
                try:
                    answer: _Answer = ray.get(reference)
                except (errors.WorkerCrashedError, errors.OutOfMemoryError) as error:
                    deaths[number] += 1
                    if deaths[number] <= self._options.max_retries:
                        waiting.appendleft(number)
                        continue
                    full = isinstance(error, errors.OutOfMemoryError)
                    cause = "its node ran out of memory" if full else "killed, or crashed"
                    times = f"{deaths[number]} time" + "s" * (deaths[number] > 1)
                    text = f"its worker process died {times} ({cause})"
                    seconds = time.monotonic() - since[number]
                    yield TaskResult(tasks[number], None, text, deaths[number], seconds)
                    continue
                except (errors.NodeDiedError, errors.ObjectLostError, errors.LocalRayletDiedError):
                    lost[number] += 1
                    if lost[number] <= _MOST_LOST_NODES:
                        waiting.appendleft(number)
                        continue
                    text = f"{lost[number]} nodes were lost while they worked on it"
                    yield TaskResult(tasks[number], None, text, deaths[number], time.monotonic() - since[number])
                    continue
                except errors.RayError as error:
                    raise WorkerError(
                        f"nodes cannot do the work: {_last_line(error)}; ionmorphnet {version} must be installed on "
                        "each of them"
                    ) from None
                if answer.kind == "failed to start":
                    raise WorkerError(f"workers cannot start: {answer.value}")
                value, text = (answer.value, "") if answer.kind == "done" else (None, answer.value)
                yield TaskResult(tasks[number], value, text, deaths[number], answer.seconds)

    def _nodes(self) -> list[dict[str, float]]:
        return [node["Resources"] for node in self._ray.nodes() if node["Alive"]]

    def _room(self) -> int:
        """How many tasks may be at the cluster now."""
        if self._most is not None:
            return self._most
        if time.monotonic() - self._looked > _PAUSE:  # nodes come and go
            at_once = sum(self._resources.times_in(node) for node in self._nodes())
            self._window = max(_LEAST_WINDOW, _QUEUED * at_once)
            self._looked = time.monotonic()
        return self._window

    def _check_room(self) -> None:
        if any(self._resources.times_in(node) for node in self._nodes()):
            return
        text = f"--ray {self._options.address}: no node has {self._resources}, which a section reserves"
        if self._options.address == LOCAL:
            raise UnavailableError(f"{text}; give smaller --threads or --memory-limit")
        _log.warning("%s; waiting for one. Smaller --threads or --memory-limit need less", text)

    def _stop_tasks(self) -> None:
        """Lets running tasks remove what is half-written; those that do not end in time are killed."""
        references, self._running = list(self._running), {}
        if not references:
            return
        with contextlib.suppress(Exception):  # the cluster may be gone
            for reference in references:
                self._ray.cancel(reference)
            _, left = self._ray.wait(references, num_returns=len(references), timeout=_PATIENCE)
            for reference in left:
                self._ray.cancel(reference, force=True)


# The prepared work of this worker process, which Ray keeps for further tasks.
_prepared: dict[str, Callable[[Any, Callable[[Any], None]], Any]] = {}


def _attempt(errand: _Errand, task: Any) -> _Answer:
    """A task, in a worker process of Ray's."""
    begun = time.monotonic()
    own = versions()["ionmorphnet"]
    if own != errand.version:
        text = f"a node has ionmorphnet {own}, and the run {errand.version}; install the same version on all nodes"
        return _Answer("failed to start", text, 0.0)
    if errand.name not in _prepared:
        _prepared.clear()
        with contextlib.suppress(OSError):  # there may be no such folder, and no relative path that needs it
            os.chdir(errand.folder)
        try:
            _prepared[errand.name] = errand.work.start()
        except Exception as error:
            return _Answer("failed to start", error_line(error), 0.0)
    try:
        return _Answer("done", _prepared[errand.name](task, lambda _: None), time.monotonic() - begun)
    except Exception as error:
        return _Answer("failed", error_line(error), time.monotonic() - begun)


def _last_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1].strip() if lines else type(error).__name__
