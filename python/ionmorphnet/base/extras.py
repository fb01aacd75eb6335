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


def require_pyarrow() -> None:
    """Checks that pyarrow is installed.

    Raises:
        UnavailableError: It is not.
    """
    if importlib.util.find_spec("pyarrow") is None:
        raise UnavailableError("writing Parquet needs pyarrow: pip install 'ionmorphnet[parquet]'")


def require_anndata() -> None:
    """Checks that anndata is installed.

    Raises:
        UnavailableError: It is not.
    """
    if importlib.util.find_spec("anndata") is None:
        raise UnavailableError("AnnData tables need anndata: pip install 'ionmorphnet[anndata]'")


def require_openpyxl() -> None:
    """Checks that openpyxl is installed.

    Raises:
        UnavailableError: It is not.
    """
    if importlib.util.find_spec("openpyxl") is None:
        raise UnavailableError("writing Excel workbooks needs openpyxl: pip install 'ionmorphnet[xlsx]'")
