"""Numbers that a user gave, checked."""

from __future__ import annotations

import math
import operator
import os
from typing import Any

from ionmorphnet.errors import ArgumentError


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


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ArgumentError(f"{name} must be a number, got {value!r}") from None
