"""Ion images, mean spectrum and TIC image of a :class:`~ionmorphnet.dataset.Dataset`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.errors import ArgumentError

if TYPE_CHECKING:
    from ionmorphnet.dataset import Dataset

FloatArray = npt.NDArray[np.float64]


def mz_windows(
    mz: float | Sequence[float] | npt.ArrayLike, *, ppm: float | None = None, tol: float | None = None
) -> tuple[FloatArray, FloatArray]:
    """Closed m/z windows around a list of m/z values.

    Args:
        mz: one value or a one-dimensional list, in any order, repeats allowed.
        ppm: half width in parts per million of each value.
        tol: half width in m/z units.

    Returns:
        ``(lo, hi)``, each float64 (n,); a value belongs to a window when ``lo <= value <= hi``.

    Raises:
        ArgumentError: an m/z is not finite or not positive; not exactly one of ``ppm`` and ``tol`` is given; the half
            width is negative or not finite.
    """
    try:
        values = np.atleast_1d(np.asarray(mz, dtype=np.float64))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"mz must be a number or a list of numbers: {error}") from error
    if values.ndim != 1:
        raise ArgumentError(f"mz must be a number or a one-dimensional list, not an array of shape {values.shape}")
    bad = ~(np.isfinite(values) & (values > 0))
    if bad.any():
        first = int(np.argmax(bad))
        raise ArgumentError(f"mz must be finite and positive; entry {first} is {values[first]}")
    if (ppm is None) == (tol is None):
        raise ArgumentError("give exactly one of ppm= (half width in parts per million) and tol= (half width in m/z)")
    half = float(ppm if ppm is not None else tol)  # type: ignore[arg-type]
    if not np.isfinite(half) or half < 0:
        raise ArgumentError(f"{'ppm' if ppm is not None else 'tol'} must be finite and not negative, not {half}")
    lo, hi = _core.mz_windows(values, half, ppm is not None)
    return lo, hi


def ion_images(
    ds: Dataset,
    mz: float | Sequence[float] | npt.ArrayLike,
    *,
    ppm: float | None = None,
    tol: float | None = None,
    threads: int = 0,
) -> npt.NDArray[np.float32]:
    """Ion images of a list of m/z values, made in one pass over the file.

    Args:
        ds: the section; one z plane.
        mz: one value or a list, in any order, repeats allowed. Values outside the file's range give images of zeros.
        ppm: half width of every window in parts per million.
        tol: half width of every window in m/z units.
        threads: worker threads, 0 = all. The result does not depend on it.

    Returns:
        float32 (n, H, W), in the order of ``mz``: the sum of the intensities with ``mz - half <= value <= mz + half``,
        bounds included, added in float64 and rounded once. NaN where nothing was measured.

    Raises:
        ArgumentError: see :func:`mz_windows`; or the file holds several z planes (take ``ds.plane(z)``).
        FileError: a spectrum cannot be read.
    """
    lo, hi = mz_windows(mz, ppm=ppm, tol=tol)
    return window_images(ds, lo, hi, threads=threads)


def window_images(ds: Dataset, lo: npt.ArrayLike, hi: npt.ArrayLike, *, threads: int = 0) -> npt.NDArray[np.float32]:
    """Ion images of closed m/z windows given by their bounds, as :func:`ion_images`.

    Args:
        ds: the section; one z plane.
        lo: lower bounds (n,), inclusive.
        hi: upper bounds (n,), inclusive; windows may overlap and repeat, in any order.
        threads: worker threads, 0 = all.

    Returns:
        float32 (n, H, W), NaN where nothing was measured.

    Raises:
        ArgumentError: bounds that do not fit each other, or the file holds several z planes (take ``ds.plane(z)``).
        FileError: a spectrum cannot be read.
    """
    _require_one_plane(ds)
    lower, upper = np.asarray(lo, dtype=np.float64), np.asarray(hi, dtype=np.float64)
    images: npt.NDArray[np.float32] = _core.bin_images(ds._native, lower, upper, threads=_checked(threads))
    return images


def mean_spectrum(ds: Dataset, *, ppm: float | None = None, threads: int = 0) -> tuple[FloatArray, FloatArray]:
    """Mean over all spectra.

    Args:
        ds: the section.
        ppm: processed files: width of the bins (equal on the ln(m/z) axis); None = chosen from the data (centroids:
            four standard deviations of a peak's position, profiles: the spacing of the samples).
        threads: worker threads, 0 = all. The result does not depend on it.

    Returns:
        ``(mz, intensity)``, float64, equal lengths: the shared axis of a continuous file; the non-empty bins of a
        processed one.

    Raises:
        ArgumentError: ``ppm`` is not finite and positive, or ``threads`` is negative.
        FileError: a spectrum cannot be read.
    """
    if ppm is not None and not (np.isfinite(ppm) and ppm > 0):
        raise ArgumentError(f"ppm must be finite and positive, not {ppm}")
    mz, intensity = _core.mean_spectrum(ds._native, ppm=0.0 if ppm is None else float(ppm), threads=_checked(threads))
    return mz, intensity


def tic_image(ds: Dataset, *, threads: int = 0) -> npt.NDArray[np.float32]:
    """Total ion current: the sum of all intensities of each pixel.

    Args:
        ds: the section; one z plane.
        threads: worker threads, 0 = all. The result does not depend on it.

    Returns:
        float32 (H, W), NaN where nothing was measured.

    Raises:
        ArgumentError: the file holds several z planes (take ``ds.plane(z)``), or ``threads`` is negative.
        FileError: a spectrum cannot be read.
    """
    _require_one_plane(ds)
    image: npt.NDArray[np.float32] = _core.tic_image(ds._native, threads=_checked(threads))
    return image


def _checked(threads: int) -> int:
    if threads < 0:
        raise ArgumentError(f"threads must be 0 (all) or more, not {threads}")
    return int(threads)


def _require_one_plane(ds: Dataset) -> None:
    planes = ds.z_planes
    if len(planes) > 1:
        listed = ", ".join(str(z) for z in planes[:8]) + (", ..." if len(planes) > 8 else "")
        raise ArgumentError(f"the file holds {len(planes)} z planes ({listed}); use ds.plane(z) to take one of them")
