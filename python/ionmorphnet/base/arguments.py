"""Numbers that a user gave, checked."""

from __future__ import annotations

import math
import operator
import os
from typing import Any

from ionmorphnet.base.errors import ArgumentError


def usable_cores() -> int:
    """Cores that this process may use; where the system does not tell, as on macOS, all there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def integer(name: str, value: Any, least: int) -> int:
    """``value`` as a plain integer from ``least``.

    Raises:
        ArgumentError: Not an integer (1.5, but also 1.0), or smaller.
    """
    try:
        result = operator.index(value)
    except TypeError:
        raise ArgumentError(f"{name} must be an integer, got {value!r}") from None
    if result < least:
        raise ArgumentError(f"{name} must be at least {least}, got {result}")
    return result


def number(name: str, value: Any, least: float, most: float) -> float:
    """``value`` as a finite number from ``least`` to ``most``.

    Raises:
        ArgumentError: Not a number, or out of range.
    """
    result = _as_float(name, value)
    if not (math.isfinite(result) and least <= result <= most):
        upper = f" to {most:g}" if math.isfinite(most) else ""
        raise ArgumentError(f"{name} must be a number from {least:g}{upper}, got {value}")
    return result


def positive(name: str, value: Any) -> float:
    """``value`` as a finite number above 0.

    Raises:
        ArgumentError: Not a number, or not above 0.
    """
    result = _as_float(name, value)
    if not (math.isfinite(result) and result > 0.0):
        raise ArgumentError(f"{name} must be a number above 0, got {value}")
    return result


def thread_count(threads: Any) -> int:
    """A number of threads as a plain integer; 0 means all.

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


def half_width(ppm: float | None, tol: float | None) -> tuple[float, bool]:
    """The half width of m/z windows: exactly one of ``ppm`` and ``tol``.

    Args:
        ppm: Parts per million of the m/z.
        tol: m/z units.

    Returns:
        The half width, and whether it is in parts per million.

    Raises:
        ArgumentError: None or both are given, or the value is negative or not finite.
    """
    if (ppm is None) == (tol is None):
        raise ArgumentError("give exactly one of ppm (half width in parts per million) and tol (half width in m/z)")
    name, value = ("tol", tol) if ppm is None else ("ppm", ppm)
    return number(name, value, 0.0, math.inf), ppm is not None


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be a number, got {value!r}") from None
