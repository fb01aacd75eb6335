"""Checks of optional packages, made before they are imported."""

from __future__ import annotations

import importlib.util
import os
import sys

from ionmorphnet.base.errors import UnavailableError


def require_torch(message: str) -> None:
    """Checks that torch is installed, and makes its threads sleep while they wait for each other.

    By default they spin, which takes cores from the simulator and makes training several times slower next to other
    work. An ``OMP_WAIT_POLICY`` that is already set stays; once torch is loaded, this has no effect.

    Args:
        message: The error message if torch is missing.

    Raises:
        UnavailableError: torch is not installed.
    """
    if importlib.util.find_spec("torch") is None:
        raise UnavailableError(message)
    if "torch" not in sys.modules:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def require_matplotlib() -> None:
    """Checks that matplotlib is installed, before work whose result would be plotted.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UnavailableError("plots need matplotlib: pip install 'ionmorphnet[plots]'") from None
