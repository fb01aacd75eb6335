"""Checks of numeric arguments."""

from __future__ import annotations

import math
import operator
import os
from typing import Any

from ionmorphnet.base.errors import ArgumentError


def usable_cores() -> int:
    """Number of cores this process may use; all cores where the system does not say, as on macOS."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def integer(name: str, value: Any, least: int) -> int:
    """Returns ``value`` as a plain integer of at least ``least``.

    Raises:
        ArgumentError: Not an integer (floats such as 1.0 are refused too), or too small.
    """
    try:
        result = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{name} must be an integer, got {value!r}") from None
    if result < least:
        raise ArgumentError(f"{name} must be at least {least}, got {result}")
    return result


def number(name: str, value: Any, least: float, most: float) -> float:
    """Returns ``value`` as a finite number between ``least`` and ``most``, bounds included.

    Raises:
        ArgumentError: Not a number, or out of range.
    """
    result = _as_float(name, value)
    if not (math.isfinite(result) and least <= result <= most):
        upper = f" to {most:g}" if math.isfinite(most) else ""
        raise ArgumentError(f"{name} must be a number from {least:g}{upper}, got {value}")
    return result


def positive(name: str, value: Any) -> float:
    """Returns ``value`` as a finite number above 0.

    Raises:
        ArgumentError: Not a number, or not above 0.
    """
    result = _as_float(name, value)
    if not (math.isfinite(result) and result > 0.0):
        raise ArgumentError(f"{name} must be a number above 0, got {value}")
    return result


def thread_count(threads: Any) -> int:
    """Returns a number of threads as a plain integer; 0 means all cores.

    Raises:
        ArgumentError: Not an integer, or negative.
    """
    try:
        result = operator.index(threads)
    except TypeError:
        raise ArgumentError(f"threads must be an integer, got {threads!r}") from None
    if result < 0:
        raise ArgumentError(f"threads must be 0 (all) or more, not {threads}")
    return result


def optional_number(name: str, value: Any) -> float | None:
    """Returns ``value`` as a float; None stays None. The core checks the range.

    Raises:
        ArgumentError: Not a number.
    """
    return None if value is None else _as_float(name, value)


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be a number, got {value!r}") from None
