"""Normalisation of ion images: one factor per pixel, from the norm of its spectrum."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.literals import Normalize

NORMALIZATIONS: tuple[Normalize, ...] = get_args(Normalize)


def checked_normalize(kind: str) -> Normalize:
    """Checks the name of a normalisation.

    Raises:
        ArgumentError: Unknown name.
    """
    for known in NORMALIZATIONS:
        if kind == known:
            return known
    raise ArgumentError(f"normalize must be one of {', '.join(NORMALIZATIONS)}, not {kind!r}")


def pixel_norms(
    native: _core.Dataset, kind: Normalize, span: tuple[float, float] | None = None, *, threads: int = 0
) -> npt.NDArray[np.float64]:
    """Norm of the spectrum of each pixel, in one pass over the spectra.

    ``tic``: the sum of the intensities. ``rms``: the root of the mean of the squared intensities of all points of the
    spectrum as it is stored, zeros included. ``median``: the median of the positive intensities.

    Args:
        native: The section, one plane.
        kind: ``tic``, ``rms`` or ``median``; ``none`` returns ones.
        span: m/z range (low, high), both ends inclusive; None: the whole spectrum.
        threads: CPU threads; 0: all.

    Returns:
        float64 (H, W); 0 for pixels without a spectrum or without a value.

    Raises:
        ArgumentError: Unknown kind, or several z planes.
        FileError: A spectrum cannot be read.
    """
    kind = checked_normalize(kind)
    if kind == "none":
        return np.ones((native.height, native.width))
    low, high = (0.0, np.inf) if span is None else span
    return _core.pixel_norms(native, kind, low, high, threads=thread_count(threads))


def normalization_factors(norms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Factors that make all norms equal to the median norm.

    A pixel with the median norm keeps its intensities, so that normalised values stay in the units of the file. Of an
    even number of pixels, the lower of the middle two is the median.

    Args:
        norms: float64 (H, W); what is not above 0 has no spectrum worth normalising.

    Returns:
        float64 (H, W): median / norm; 0 where the norm is not above 0.
    """
    return _core.normalization_factors(norms).reshape(norms.shape)


def median_norm(native: _core.Dataset, kind: Normalize, *, threads: int = 0) -> float:
    """The median norm of a section's pixels, to which its images are normalised; 0 if no pixel has a positive one.

    Args:
        native: The section, one plane.
        kind: See :func:`pixel_norms`.
        threads: CPU threads; 0: all.
    """
    return _core.median_norm(pixel_norms(native, kind, threads=threads))
