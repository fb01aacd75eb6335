"""Closed m/z windows around m/z values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.arguments import optional_number
from ionmorphnet.base.errors import ArgumentError

FloatArray = npt.NDArray[np.float64]


def mz_windows(
    mz: float | Sequence[float] | npt.ArrayLike, *, ppm: float | None = None, tol: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Closed m/z windows around a list of m/z values.

    Args:
        mz: One value or a one-dimensional list, in any order, repeats allowed.
        ppm: Half width in parts per million of each value. Pass exactly one of ``ppm`` and ``tol``.
        tol: Half width in m/z units.

    Returns:
        ``(lo, hi)``, each float64 (n,). A value is in a window if ``lo <= value <= hi``.

    Raises:
        ArgumentError: An m/z value or half width is not finite and positive, or not exactly one of ``ppm`` and ``tol``
            is given.
    """
    return _core.mz_windows(mz_values(mz), ppm=optional_number("ppm", ppm), tol=optional_number("tol", tol))


def mz_values(mz: float | Sequence[float] | npt.ArrayLike) -> FloatArray:
    """A list of m/z values as an array float64 (n,).

    Raises:
        ArgumentError: Not numbers, or not one-dimensional.
    """
    try:
        values = np.atleast_1d(np.asarray(mz, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"mz must be a number or a list of numbers: {error}") from error
    if values.ndim != 1:
        raise ArgumentError(f"mz must be a number or a one-dimensional list, got an array of shape {values.shape}")
    return values
