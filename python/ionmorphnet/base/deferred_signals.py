"""A few steps that Ctrl-C does not tear apart."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


class DeferredSignals:
    """A block of short steps during which SIGINT and SIGTERM wait; they take effect when the block ends.

    For steps that belong together, such as making a folder and noting that it was made. Signals only ever interrupt the
    main thread; in other threads the block does nothing. Signals that are ignored stay ignored. Blocks may be nested.
    """

    def __init__(self) -> None:
        """Changes nothing yet."""
        self._before: dict[int, Any] = {}
        self._pending: list[int] = []

    def __enter__(self) -> None:
        """From here on signals wait."""
        if threading.current_thread() is not threading.main_thread():
            return
        try:
            for number in _NUMBERS:
                handler = signal.getsignal(number)
                if handler not in (None, signal.SIG_IGN):
                    self._before[number] = handler
                    signal.signal(number, self._note)
        except BaseException:  # one came while the handlers were being replaced
            self._restore()
            raise

    def __exit__(self, *_: object) -> None:
        """Lets the signals that waited take effect."""
        self._restore()
        while self._pending:
            signal.raise_signal(self._pending.pop(0))

    def _note(self, number: int, _: FrameType | None) -> None:
        self._pending.append(number)

    def _restore(self) -> None:
        # One that comes in between is raised by the handler that is back already, and must not keep the other one away.
        try:
            try:
                self._put_back(signal.SIGINT)
            finally:
                self._put_back(signal.SIGTERM)
        finally:
            self._put_back(signal.SIGTERM)

    def _put_back(self, number: int) -> None:
        if number in self._before:
            signal.signal(number, self._before[number])
