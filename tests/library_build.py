"""Where a build of the library for C and C++ lies: made by `make test`, or by CMake with IMN_BUILD_LIBRARY=ON."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
_ON = "IMN_BUILD_LIBRARY:BOOL=ON"


def library_build() -> Path:
    """The build folder: IMN_LIBRARY_BUILD, or the newest below build/ that has the library. Skips where none is."""
    given = os.environ.get("IMN_LIBRARY_BUILD")
    if given:
        return Path(given).resolve()
    found = [
        path for path in ROOT.glob("build/*/libionmorphnet.so") if _ON in (path.parent / "CMakeCache.txt").read_text()
    ]
    if not found:
        pytest.skip("no build of the library; configure one with -DIMN_BUILD_LIBRARY=ON")
    return max(found, key=lambda path: path.stat().st_mtime).parent
