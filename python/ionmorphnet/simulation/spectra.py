"""Spectra from peaks: centroids with mass error, or profiles on a shared or per-pixel axis."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field

_FWHM_SIGMAS = 2.354820045
_KERNEL_SIGMAS = 3.5


@dataclass(frozen=True)
class MassError:
    """Errors of the m/z axis.

    Attributes:
        jitter_ppm: Largest random error of a peak; triangular distribution around 0.
        drift_ppm: Linear calibration drift from the first spectrum to the last, centred on 0.
    """

    jitter_ppm: float
    drift_ppm: float

    def drift(self, progress: NDArray[np.float64]) -> NDArray[np.float64]:
        """Relative error (not ppm) at each ``progress`` (0 = first spectrum, 1 = last)."""
        return (progress - 0.5) * self.drift_ppm * 1e-6

    def jitter(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Relative random errors, float64 (size,)."""
        if self.jitter_ppm == 0.0:
            return np.zeros(size)
        return (rng.random(size) - rng.random(size)) * self.jitter_ppm * 1e-6


@dataclass(frozen=True)
class Spectra:
    """Concatenated spectra: m/z float64, intensity float32, and the number of points in each spectrum, int64."""

    mz: NDArray[np.float64]
    intensity: Field
    counts: NDArray[np.int64]


def centroid_spectra(
    rng: np.random.Generator,
    mz: NDArray[np.float64],
    observed: Field,
    progress: NDArray[np.float64],
    error: MassError,
    noise_peaks: float,
    mz_range: tuple[float, float],
) -> Spectra:
    """Peak lists of a chunk of pixels.

    Args:
        rng: Source of randomness.
        mz: float64 (n,): true m/z of the channels.
        observed: float32 (pixels, n): intensities; 0 = no peak.
        progress: float64 (pixels,): position in the acquisition, 0 to 1.
        error: Mass error.
        noise_peaks: Mean number of peaks per pixel that belong to no channel.
        mz_range: m/z range of these peaks.
    """
    n_pixels = len(observed)
    pixel, channel = np.nonzero(observed)
    values = observed[pixel, channel]
    found = mz[channel] * (1.0 + error.drift(progress)[pixel] + error.jitter(rng, pixel.size))
    if noise_peaks > 0:
        extra = np.repeat(np.arange(n_pixels), rng.poisson(noise_peaks, n_pixels))
        floor = float(np.quantile(values, 0.05)) if values.size else 1.0
        pixel = np.concatenate([pixel, extra])
        found = np.concatenate([found, rng.uniform(*mz_range, extra.size)])
        values = np.concatenate([values, (floor * (0.5 + rng.standard_exponential(extra.size))).astype(np.float32)])
    by_mz = np.argsort(found)
    order = by_mz[np.argsort(pixel[by_mz], kind="stable")]
    return Spectra(found[order], values[order], np.bincount(pixel, minlength=n_pixels))


def default_bins(mz_range: tuple[float, float], resolving_power: float) -> int:
    """Length of a profile axis with three bins per full width at half maximum."""
    return max(2, round(3.0 * resolving_power * float(np.log(mz_range[1] / mz_range[0]))))


@dataclass(frozen=True)
class ProfileAxis:
    """m/z axis and peak width of profile spectra.

    Attributes:
        mz: float64 (bins,), equally spaced in log m/z.
        sigma: Relative standard deviation of a peak.
        step: Relative distance between two bins.
    """

    mz: NDArray[np.float64]
    sigma: float
    step: float

    @classmethod
    def build(cls, mz_range: tuple[float, float], resolving_power: float, n_bins: int | None) -> ProfileAxis:
        """Axis over ``mz_range`` with ``n_bins`` bins; by default :func:`default_bins`."""
        span = float(np.log(mz_range[1] / mz_range[0]))
        bins = default_bins(mz_range, resolving_power) if n_bins is None else n_bins
        mz = mz_range[0] * np.exp(np.linspace(0.0, span, bins))
        return cls(mz, 1.0 / (resolving_power * _FWHM_SIGMAS), span / (bins - 1))

    def profiles(self, mz: NDArray[np.float64], observed: Field, shift: NDArray[np.float64], baseline: Field) -> Field:
        """Adds Gaussian peaks to a baseline.

        Args:
            mz: float64 (n,): true m/z of the channels, ascending.
            observed: float32 (pixels, n): peak heights.
            shift: float64 (pixels, n) or (pixels, 1): relative mass error of each peak.
            baseline: float32 (pixels, bins), changed in place.

        Returns:
            ``baseline`` with the peaks, float32 (pixels, bins).
        """
        reach = _KERNEL_SIGMAS * self.sigma + float(np.abs(shift).max(initial=0.0))
        width = int(np.ceil(2.0 * reach / self.step)) + 1
        position = np.log(mz / self.mz[0])
        start = np.ceil((position - reach) / self.step).astype(np.int64)
        distinct = bool(np.all(np.diff(start) > 0))
        scale = np.float32(1.0 / self.sigma)
        for k in range(width):
            bins = start + k
            offset = (bins * self.step - position).astype(np.float32) - shift.astype(np.float32)
            offset *= scale
            peak = observed * np.exp(np.float32(-0.5) * offset * offset)
            inside = (bins >= 0) & (bins < self.mz.size)
            columns = bins[inside]
            if distinct:
                baseline[:, columns] += peak[:, inside]
            else:
                np.add.at(baseline.T, columns, peak[:, inside].T)
        return baseline


def baseline_noise(rng: np.random.Generator, n_pixels: int, n_bins: int, level: float) -> Field:
    """Detector noise of profile spectra: absolute Gaussian noise, float32 (pixels, bins)."""
    noise = rng.standard_normal((n_pixels, n_bins), dtype=np.float32)
    np.abs(noise, out=noise)
    noise *= np.float32(level)
    return noise


def suppress_baseline(axis: NDArray[np.float64], profiles: Field, shift: NDArray[np.float64], floor: float) -> Spectra:
    """Keeps only points above ``floor``, each pixel on its own shifted axis (processed profiles).

    Args:
        axis: float64 (bins,).
        profiles: float32 (pixels, bins).
        shift: float64 (pixels,): relative shift of each pixel's axis.
        floor: Points at or below this intensity are dropped.
    """
    pixel, bin_index = np.nonzero(profiles > np.float32(floor))
    return Spectra(
        axis[bin_index] * (1.0 + shift[pixel]),
        profiles[pixel, bin_index],
        np.bincount(pixel, minlength=len(profiles)),
    )
