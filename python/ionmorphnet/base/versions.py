"""Versions of the package and of the libraries that a result depends on."""

from __future__ import annotations

import functools
import platform
from importlib import metadata

from ionmorphnet import _core


def versions() -> dict[str, str]:
    """Package, interpreter and library versions, for run records and bug reports."""
    found = {"ionmorphnet": _core.__version__, "python": platform.python_version()}
    return {**found, **{name: _installed(name) for name in ("numpy", "pandas", "openvino")}}


@functools.cache  # a run over many files asks once a file, and each answer parses the package's metadata
def _installed(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
