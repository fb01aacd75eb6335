"""The native test hooks, with a clear error if this build left them out."""

from __future__ import annotations

try:
    from ionmorphnet import _core_testing
except ImportError as error:
    raise ImportError(
        "ionmorphnet._core_testing was not built, and these tests need it; use `make test`, or build with "
        "IMN_BUILD_TESTING=ON"
    ) from error

__all__ = ["_core_testing"]
