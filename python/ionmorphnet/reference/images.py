"""Reference implementation of the image stage: binning, TIC and mean spectrum.

Spectra are sequences of ``(mz, intensity)`` pairs of float64 arrays with ascending m/z, independent of their storage.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Spectra = Sequence[tuple[FloatArray, FloatArray]]


def windows(mz: npt.ArrayLike, *, ppm: float | None = None, tol: float | None = None) -> tuple[FloatArray, FloatArray]:
    """Closed m/z intervals around ``mz`` (n,) with a half width of ``ppm`` parts per million or ``tol`` m/z units.

    Returns:
        ``(lo, hi)``, each float64 (n,).
    """
    centre = np.asarray(mz, dtype=np.float64)
    half = centre * np.float64(ppm) * 1e-6 if ppm is not None else np.full_like(centre, float(tol or 0.0))
    return centre - half, centre + half


def window_sum(mz: FloatArray, intensity: FloatArray, lo: float, hi: float) -> float:
    """Sum of the intensities with ``lo <= mz <= hi``, in float64, from low to high m/z."""
    total = 0.0
    for value in intensity[(mz >= lo) & (mz <= hi)]:
        total += float(value)
    return total


def bin_images(
    spectra: Spectra,
    pixel_index: Sequence[int],
    shape: tuple[int, int],
    lo: FloatArray,
    hi: FloatArray,
    *,
    unmeasured: float = float("nan"),
) -> npt.NDArray[np.float32]:
    """Ion images of closed m/z windows.

    Args:
        spectra: One ``(mz, intensity)`` per spectrum.
        pixel_index: Linear pixel ``y * width + x`` of each spectrum; spectra of one pixel are added.
        shape: Size of the images, (height, width).
        lo: Lower bounds (n,), inclusive.
        hi: Upper bounds (n,), inclusive.
        unmeasured: Value of pixels without a spectrum.

    Returns:
        float32 (n, height, width); each value is summed in float64 and rounded once.
    """
    sums = np.zeros((len(lo), shape[0] * shape[1]), dtype=np.float64)
    measured = np.zeros(shape[0] * shape[1], dtype=bool)
    for (mz, intensity), index in zip(spectra, pixel_index, strict=True):
        measured[index] = True
        for w in range(len(lo)):
            sums[w, index] += window_sum(mz, intensity, float(lo[w]), float(hi[w]))
    images = sums.astype(np.float32)
    images[:, ~measured] = unmeasured
    return images.reshape(len(lo), *shape)


def tic_image(
    spectra: Spectra, pixel_index: Sequence[int], shape: tuple[int, int], *, unmeasured: float = float("nan")
) -> npt.NDArray[np.float32]:
    """Total ion current: the sum of all intensities in each pixel, float32 (height, width)."""
    everything = np.array([-np.inf]), np.array([np.inf])
    image: npt.NDArray[np.float32] = bin_images(spectra, pixel_index, shape, *everything, unmeasured=unmeasured)[0]
    return image


def mean_spectrum_continuous(spectra: Spectra) -> tuple[FloatArray, FloatArray]:
    """Mean of all spectra on their shared axis: ``(mz, intensity)``."""
    total = np.zeros_like(spectra[0][1], dtype=np.float64)
    for _, intensity in spectra:
        total += intensity
    return spectra[0][0], total / len(spectra)


def mean_spectrum_processed(spectra: Spectra, ppm: float) -> tuple[FloatArray, FloatArray]:
    """Mean of all spectra in non-empty bins of equal width on the ln(m/z) axis.

    A value falls into bin ``floor((ln(mz) - ln(lowest)) / (ppm * 1e-6))``, where lowest is the smallest m/z of all
    spectra. The m/z of a bin is its middle.

    Args:
        spectra: One ``(mz, intensity)`` per spectrum.
        ppm: Full width of a bin in parts per million.

    Returns:
        ``(mz, intensity)``, both float64.
    """
    mz = np.concatenate([m for m, _ in spectra])
    intensity = np.concatenate([i for _, i in spectra])
    if len(mz) == 0:
        return np.empty(0), np.empty(0)
    origin = np.log(mz.min())
    bins = np.floor((np.log(mz) - origin) / (ppm * 1e-6)).astype(np.int64)
    found, inverse = np.unique(bins, return_inverse=True)
    total = np.zeros(len(found))
    np.add.at(total, inverse, intensity)
    keep = total != 0
    return np.exp(origin + (found[keep] + 0.5) * ppm * 1e-6), total[keep] / len(spectra)


def pixel_norms(spectra: Spectra, pixel_index: Sequence[int], shape: tuple[int, int], kind: str) -> FloatArray:
    """Norm of each pixel's spectrum: ``tic``, ``rms`` or ``median``; norms of several spectra of a pixel are added.

    TIC: sum of the intensities. RMS: square root of the mean square of all points of the spectrum, zeros included.
    Median: of the positive intensities. The three are those of Deininger et al., Anal Bioanal Chem 401:167 (2011).

    Returns:
        float64 (height, width); 0 where there is no spectrum or no value.
    """
    norms = np.zeros(shape[0] * shape[1])
    for (_, intensity), index in zip(spectra, pixel_index, strict=True):
        if kind == "tic":
            norms[index] += intensity.sum()
        elif kind == "rms":
            norms[index] += np.sqrt(np.mean(intensity**2)) if intensity.size else 0.0
        else:
            positive = intensity[intensity > 0]
            norms[index] += np.median(positive) if positive.size else 0.0
    return norms.reshape(shape)


def normalization_factors(norms: FloatArray) -> FloatArray:
    """Median of the positive norms (the lower one of an even number) / norm, float64 (height, width); else 0."""
    factors = np.zeros_like(norms)
    positive = norms[norms > 0]
    if positive.size:
        level = np.sort(positive)[(positive.size - 1) // 2]
        for at in np.ndindex(norms.shape):
            factors[at] = level / norms[at] if norms[at] > 0 else 0.0
    return factors
