"""CUDA graphs of engine launches, captured through the driver if TensorRT does not capture them itself.

A graph repeats launches with the addresses they were captured with, so each set of buffers needs its own graph. The
first call with a set runs normally (TensorRT requires one run before a capture); the second is captured.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
from collections.abc import Callable, Hashable, Iterator

from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.scoring.tensorrt.gpu import Driver

logger = logging.getLogger(__name__)

# The device loop prepares up to four batches ahead, so each of several concurrent picks uses up to four buffer sets.
_MOST = 16
_NO_TIMING = 2  # CU_EVENT_DISABLE_TIMING
_THREAD_LOCAL = 1  # CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may allocate
# Handles of the null stream and of the two default streams of CUDA, which cannot be captured.
_DEFAULT_STREAMS = (0, 1, 2)


class StreamOrder:
    """Keeps the work of one context in order on the GPU when it is submitted to several streams."""

    def __init__(self, driver: Driver) -> None:
        """The event that follows the latest work is created on first use."""
        self._driver = driver
        self._event = ctypes.c_void_p()
        self._last: int | None = None

    @contextlib.contextmanager
    def on(self, stream: int) -> Iterator[None]:
        """Submits work to ``stream`` after all earlier work on other streams."""
        if not self._event:
            self._driver.call("cuEventCreate", ctypes.byref(self._event), _NO_TIMING)
        if self._last not in (None, stream):
            self._driver.call("cuStreamWaitEvent", ctypes.c_void_p(stream), self._event, 0)
        yield
        self._driver.call("cuEventRecord", self._event, ctypes.c_void_p(stream))
        self._last = stream


class Graphs:
    """Captured graphs, by the buffers they use."""

    def __init__(self, driver: Driver) -> None:
        """Starts without graphs."""
        self._driver = driver
        self._captured: dict[Hashable, ctypes.c_void_p] = {}
        self._seen: dict[Hashable, None] = {}  # in order of use
        self._works = True

    def launch(self, buffers: Hashable, stream: int, enqueue: Callable[[], None]) -> None:
        """Runs the work of ``enqueue`` on a stream, from a graph if possible.

        Args:
            buffers: All addresses that ``enqueue`` uses.
            stream: The stream that ``enqueue`` uses.
            enqueue: Submits the work to the stream.

        Raises:
            IonMorphNetError: The work cannot be started. A failed capture is not an error: it is logged once, and the
                work runs without a graph.
        """
        graph = self._captured.get(buffers)
        if graph is None and self._works and buffers in self._seen and stream not in _DEFAULT_STREAMS:
            graph = self._capture(buffers, stream, enqueue)
        if graph is None:
            self._remember(buffers)
            enqueue()
            return
        self._driver.call("cuGraphLaunch", graph, ctypes.c_void_p(stream))

    def _remember(self, buffers: Hashable) -> None:
        """Forgets the oldest buffers, because those of a finished pick are not used again."""
        self._seen[buffers] = None
        while len(self._seen) > _MOST:
            oldest = next(iter(self._seen))
            del self._seen[oldest]
            if (graph := self._captured.pop(oldest, None)) is not None:
                self._driver.call("cuGraphExecDestroy", graph)

    def _capture(self, buffers: Hashable, stream: int, enqueue: Callable[[], None]) -> ctypes.c_void_p | None:
        graph, executable = ctypes.c_void_p(), ctypes.c_void_p()
        try:
            self._driver.call("cuStreamBeginCapture_v2", ctypes.c_void_p(stream), _THREAD_LOCAL)
            try:
                enqueue()
            finally:  # a stream must not stay in capture
                self._driver.call("cuStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
            self._driver.call("cuGraphInstantiateWithFlags", ctypes.byref(executable), graph, ctypes.c_ulonglong(0))
        except IonMorphNetError as error:
            self._works = False
            logger.warning("the engine runs without a CUDA graph, slightly slower: %s", error)
            return None
        finally:
            if graph:
                self._driver.call("cuGraphDestroy", graph)
        self._captured[buffers] = executable
        return executable

    def close(self) -> None:
        """Frees the graphs."""
        while self._captured:
            self._driver.call("cuGraphExecDestroy", self._captured.popitem()[1])
