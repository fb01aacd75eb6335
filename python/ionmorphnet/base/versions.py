"""Versions of the package and of the libraries that a result depends on."""

from __future__ import annotations

import platform
from importlib import metadata

from ionmorphnet import _core


def versions() -> dict[str, str]:
    """Package, interpreter and library versions, for run records and bug reports."""
    found = {"ionmorphnet": _core.__version__, "python": platform.python_version()}
    for name in ("numpy", "pandas", "openvino"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
