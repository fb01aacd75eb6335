"""Reference implementation of the candidate axis of profile spectra (csrc/images/axis_profile.cpp).

Two curves over the m/z bins of a section are searched: its mean spectrum, and an upper spectrum that shows what is
bright in few pixels. Everything is measured in widths of a peak (full widths at half maximum), which are learnt from
the mean spectrum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

FWHM_SIGMAS = 2.354820045
NOISES = 8.0  # hysteresis of the maxima from which widths are learnt
NARROWEST = 1.5  # bins per width
SEGMENT, SEGMENT_WIDTHS = 512, 20.0  # bins that share a noise level, estimated from three times as many
MOST_PEAKS = 512  # highest maxima that the width is learnt from
FEWEST_PEAKS = 8  # for a slope of the width over m/z
KERNEL_REACH = 3.0  # where the weights end, in their standard deviations
MOST_BINS = 128  # on each side of a fit
SNIP_WIDTHS = 4.0  # half width of the window of the baseline
FALSE = 0.02  # maxima of noise to be expected above the least signal to noise, per curve and scale
SKEW_OF_KERNEL = 0.42  # of a fit's amplitude, relative to one sample, if its kernel is one sample wide
SKEW_OF_MAXIMUM = 2.5  # of the largest of many values: 1.14, and more for its kurtosis
FEWEST_CARRYING = 0.1
KERNELS = (0.5, 0.8, 1.25)  # standard deviations of the weights of local fits, in standard deviations of a peak
APART, APART_OF_UPPER = 0.6, 0.75  # widths; nearer maxima are one peak
DIP, DIP_NOISES = 0.25, 2.0  # by which the amplitude falls between two maxima
HIDDEN_SNR, HIDDEN_SHARE, HIDDEN_NEAR, HIDDEN_WIDTHS = 7.0, 0.1, 2.0, 1.8  # peaks on the flank of another
CLIP, GUARD, ROUNDS = 3.5, 1.5, 3  # noises, widths: what is no noise
FOOT = 0.4  # share of the height where a window ends
SIDE_WIDTHS = 1.25  # farthest end of a window from its apex
GROUP = 96  # spectra of a group whose maximum enters the upper spectrum
FEWEST_PIXELS = 3.0


@dataclass(frozen=True)
class Curves:
    """What one pass over the spectra yields for every bin.

    Attributes:
        mz: float64 (bins,), ascending.
        mean: float64 (bins,): mean over the spectra.
        square: float64 (bins,): mean of the squares.
        upper: float64 (bins,): mean, over groups of spectra, of the largest value in a group.
        n: Number of spectra.
    """

    mz: FloatArray
    mean: FloatArray
    square: FloatArray
    upper: FloatArray
    n: int


def groups_of(n: int) -> int:
    """Number of groups of the upper spectrum; spectrum ``i`` is in group ``i % groups``."""
    return max(1, min(n // GROUP, 64))


def curves(mz: FloatArray, spectra: FloatArray) -> Curves:
    """Curves of spectra on a shared axis, float64 (n, bins)."""
    n, groups = len(spectra), groups_of(len(spectra))
    upper = np.mean([spectra[g::groups].max(axis=0) for g in range(groups)], axis=0)
    return Curves(mz, spectra.mean(axis=0), np.square(spectra).mean(axis=0), upper, n)


# Width of a peak as a function of m/z


def running_noise(curve: FloatArray) -> FloatArray:
    """Noise of every bin: 1.4826 MAD of the first differences around its segment, over the square root of 2."""
    steps = np.abs(np.diff(curve))
    shown = (curve[1:] != 0.0) | (curve[:-1] != 0.0)
    noise = np.zeros(curve.size)
    for first in range(0, curve.size, SEGMENT):
        part = slice(max(0, first - SEGMENT), min(curve.size, first + 2 * SEGMENT) - 1)
        noise[first : first + SEGMENT] = 1.4826 * upper_median(steps[part][shown[part]]) / np.sqrt(2.0)
    return noise


def upper_median(values: FloatArray) -> float:
    """Median; of an even number of values the larger one in the middle. 0 of none."""
    return float(np.partition(values, values.size // 2)[values.size // 2]) if values.size else 0.0


def settled_maxima(curve: FloatArray, threshold: FloatArray) -> list[tuple[int, float]]:
    """Maxima that rise by ``threshold`` over the valleys on both sides: (bin, height of the higher valley)."""
    found: list[tuple[int, float]] = []
    top, valley, rising = 0, min(0.0, float(curve[0])), True
    for i in range(curve.size + 1):
        y = float(curve[i]) if i < curve.size else 0.0
        if rising:
            if i < curve.size and y > curve[top]:
                top = i
            drop, rise = curve[top] - y, curve[top] - valley
            if drop >= threshold[top] and drop > 0.0 and rise >= threshold[top] and rise > 0.0:
                found.append((top, valley))
                valley, rising = y, False
            elif y < valley:
                valley, top = y, min(i, curve.size - 1)
        else:
            if y <= valley:
                valley = y
            if i < curve.size and y - valley >= threshold[i] and y > valley:
                found[-1] = (found[-1][0], max(found[-1][1], valley))
                top, rising = i, True
    if found and not rising:
        found[-1] = (found[-1][0], max(found[-1][1], valley))
    return found


def half_height_width(mz: FloatArray, curve: FloatArray, top: int, valley: float) -> float:
    """Full width at half of the height over ``valley``, interpolated; 0 where the curve does not fall that far."""
    half = valley + 0.5 * (curve[top] - valley)
    ends = []
    for step in (-1, 1):
        i = top
        while 0 <= i + step < curve.size and curve[i + step] > half:
            i += step
        if not 0 <= i + step < curve.size:
            return 0.0
        share = (curve[i] - half) / (curve[i] - curve[i + step])
        ends.append(mz[i] + share * (mz[i + step] - mz[i]))
    return float(ends[1] - ends[0])


@dataclass(frozen=True)
class WidthLaw:
    """Width of a peak: ``at_one * mz**power``, learnt from ``n_peaks`` peaks."""

    at_one: float
    power: float
    n_peaks: int

    def at(self, mz: FloatArray) -> FloatArray:
        """Full widths at half maximum, in m/z."""
        width: FloatArray = self.at_one * mz**self.power
        return width


def learn_width(mz: FloatArray, curve: FloatArray) -> WidthLaw:
    """Width of a peak as a power of m/z, from the highest settled maxima of a curve."""
    maxima = settled_maxima(curve, NOISES * running_noise(curve))
    widths = [(curve[top] - valley, mz[top], half_height_width(mz, curve, top, valley)) for top, valley in maxima]
    widths = sorted((w for w in widths if w[2] > 0.0), key=lambda w: (-w[0], w[1]))[:MOST_PEAKS]
    if not widths:
        steps = np.diff(mz)
        step = upper_median(steps / mz[1:]) if steps.size else 1e-5
        return WidthLaw(4.0 * step, 1.0, 0)
    x, y = (np.log([w[k] for w in widths]) for k in (1, 2))
    kept = np.ones(x.size, dtype=bool)
    power, level = 1.0, 0.0
    for _ in range(3):
        power = _slope(x[kept], y[kept])
        rest = y - power * x
        level = upper_median(rest[kept])
        kept = np.abs(rest - level) <= np.log(1.6)
    return WidthLaw(float(np.exp(level)), power, int(kept.sum()))


def _slope(x: FloatArray, y: FloatArray) -> float:
    """Median of the slopes between pairs at least a tenth of the range apart, 0 to 3; 1 for few points."""
    if x.size < FEWEST_PEAKS or np.ptp(x) < 0.2:
        return 1.0
    first, second = np.triu_indices(x.size, 1)
    far = np.abs(x[second] - x[first]) >= 0.1 * np.ptp(x)
    slopes = (y[second] - y[first])[far] / (x[second] - x[first])[far]
    return float(np.clip(upper_median(slopes), 0.0, 3.0))


# Maxima


@dataclass(frozen=True)
class Bins:
    """m/z, smallest distance to a neighbour, and width of a peak at every bin, each float64 (bins,)."""

    mz: FloatArray
    step: FloatArray
    width: FloatArray


def bins_of(mz: FloatArray, law: WidthLaw) -> Bins:
    """Bins with the width that a law gives them, at least ``NARROWEST`` steps."""
    gaps = np.diff(mz)
    gaps = np.concatenate([[np.inf], np.where(gaps > 0.0, gaps, np.inf), [np.inf]])
    step = np.minimum(gaps[:-1], gaps[1:])
    step = np.where(np.isfinite(step), step, mz * 1e-5)
    return Bins(mz, step, np.maximum(law.at(mz), NARROWEST * step))


@dataclass(frozen=True)
class Fits:
    """Local quadratic fits, each float64 (bins,).

    Attributes:
        smooth: Height.
        amplitude: Height of a normal peak with the same curvature.
        smooth_gain: Standard deviation of ``smooth`` for white noise of standard deviation 1.
        amplitude_gain: The same of ``amplitude``.
    """

    smooth: FloatArray
    amplitude: FloatArray
    smooth_gain: FloatArray
    amplitude_gain: FloatArray


def local_fits(bins: Bins, curve: FloatArray, kernel: float) -> Fits:
    """Weighted quadratic fit around every bin; its curvature does not depend on a linear baseline."""
    mz, n = bins.mz, curve.size
    sigma = bins.width / FWHM_SIGMAS
    h = np.maximum(kernel * sigma, 0.7 * bins.step)  # so that five samples count
    index = np.arange(n)
    first = np.maximum(np.searchsorted(mz, mz - KERNEL_REACH * h), index - MOST_BINS)
    last = np.minimum(np.searchsorted(mz, mz + KERNEL_REACH * h, side="right"), index + MOST_BINS + 1)
    moments, sums, squares = np.zeros((5, n)), np.zeros((3, n)), np.zeros((5, n))
    for k in range(-int((index - first).max(initial=0)), int((last - index).max(initial=1))):
        j = index + k
        inside = (j >= first) & (j < last)
        at = j[inside]
        x = (mz[at] - mz[inside]) / h[inside]
        weight = np.exp(-0.5 * x * x)
        for p in range(5):
            moments[p, inside] += weight * x**p
            squares[p, inside] += weight * weight * x**p
        for p in range(3):
            sums[p, inside] += weight * x**p * curve[at]
    m0, m1, m2, m3, m4 = moments
    s0, s1, s2 = sums
    determinant = m0 * (m2 * m4 - m3 * m3) - m1 * (m1 * m4 - m2 * m3) + m2 * (m1 * m3 - m2 * m2)
    known = determinant > 1e-9 * m0**3
    det = np.where(known, determinant, 1.0)
    # Rows of the inverse of the matrix of moments: smooth = a . sums, curvature / 2 = c . sums.
    a = np.stack([m2 * m4 - m3 * m3, m2 * m3 - m1 * m4, m1 * m3 - m2 * m2]) / det
    c = np.stack([m1 * m3 - m2 * m2, m1 * m2 - m0 * m3, m0 * m2 - m1 * m1]) / det
    scale = -2.0 * (sigma / h) ** 2 * (1.0 + (h / sigma) ** 2) ** 1.5

    def gain(row: FloatArray) -> FloatArray:
        q0, q1, q2, q3, q4 = squares
        variance = (
            row[0] ** 2 * q0
            + 2.0 * row[0] * row[1] * q1
            + (row[1] ** 2 + 2.0 * row[0] * row[2]) * q2
            + 2.0 * row[1] * row[2] * q3
            + row[2] ** 2 * q4
        )
        deviation: FloatArray = np.sqrt(np.maximum(variance, 0.0))
        return deviation

    return Fits(
        np.where(known, a[0] * s0 + a[1] * s1 + a[2] * s2, curve),
        np.where(known, scale * (c[0] * s0 + c[1] * s1 + c[2] * s2), 0.0),
        np.where(known, gain(a), 1.0),
        np.where(known, np.abs(scale) * gain(c), np.inf),
    )


def snip(bins: Bins, curve: FloatArray) -> FloatArray:
    """Baseline by clipping at the mean of both sides, from far to near (SNIP, Ryan et al. 1988, Morhac et al. 1997)."""
    n, index = curve.size, np.arange(curve.size)
    base = curve.copy()
    side = np.minimum(SNIP_WIDTHS * bins.width / bins.step, 4 * MOST_BINS)
    rounds = int(np.ceil(side.max(initial=1.0)))
    for k in range(rounds, 0, -1):
        offset = np.maximum(1, np.floor(side * k / rounds + 0.5)).astype(np.int64)
        at = index[(index >= offset) & (index + offset < n)]
        clipped = base.copy()
        clipped[at] = np.minimum(base[at], 0.5 * (base[at - offset[at]] + base[at + offset[at]]))
        base = clipped
    return base


def noise_of(bins: Bins, fits: Fits) -> FloatArray:
    """Noise of the amplitude along m/z: 1.4826 MAD, or more where large values are more frequent than in normal noise.

    Several rounds leave out the peaks that the last one shows.
    """
    white = fits.amplitude / fits.amplitude_gain
    segment = max(SEGMENT, int(np.ceil(SEGMENT_WIDTHS * upper_median(bins.width / bins.step))))
    noise = _running_level(white, np.ones(white.size, dtype=bool), segment, None)
    side = np.maximum(1, np.ceil(GUARD * bins.width / bins.step)).astype(np.int64)
    for _ in range(ROUNDS):
        peaks = np.flatnonzero(white > CLIP * noise)
        marks = np.zeros(white.size + 1, dtype=np.int64)
        np.add.at(marks, np.maximum(0, peaks - side[peaks]), 1)
        np.add.at(marks, np.minimum(white.size, peaks + side[peaks] + 1), -1)
        noise = _running_level(white, np.cumsum(marks[:-1]) == 0, segment, noise)
    known = np.isfinite(fits.amplitude_gain)
    return np.where(known, noise * np.where(known, fits.amplitude_gain, 1.0), np.inf)


def _running_level(
    values: FloatArray, used: npt.NDArray[np.bool_], segment: int, otherwise: FloatArray | None
) -> FloatArray:
    noise = np.zeros(values.size)
    for first in range(0, values.size, segment):
        part, own = slice(max(0, first - segment), min(values.size, first + 2 * segment)), slice(first, first + segment)
        here = np.sort(np.abs(values[part][used[part]]))
        if otherwise is None:
            noise[own] = 1.4826 * upper_median(here)
        elif here.size * 8 < part.stop - part.start:
            noise[own] = otherwise[own]
        else:
            noise[own] = max(1.4826 * upper_median(here), here[int(0.99 * here.size)] / 2.57583)
    return noise


@dataclass(frozen=True)
class Peak:
    """A maximum and its window, in bins, both ends inclusive; ``mz`` is interpolated."""

    apex: int
    first: int
    last: int
    mz: float


def least_snr(bins: Bins) -> float:
    """Signal to noise that normal noise exceeds ``FALSE`` times among two independent values per width."""
    values = float(np.sum(2.0 * np.minimum(1.0, bins.step / bins.width)))
    z = 4.0
    for _ in range(8):
        z = float(np.sqrt(max(1.0, 2.0 * np.log(values / (FALSE * z * np.sqrt(2.0 * np.pi))))))
    return z


def find_peaks(bins: Bins, curve: FloatArray, skewness: FloatArray) -> list[Peak]:
    """Maxima of the amplitude at three scales, those on the flanks of others, and the windows of all."""
    normal = least_snr(bins)
    apexes: list[int] = []
    scales = []
    for kernel in KERNELS:
        fits = local_fits(bins, curve, kernel)
        noise = noise_of(bins, fits)
        scales.append((fits, noise))
        samples = np.maximum(1.0, kernel * bins.width / (FWHM_SIGMAS * bins.step))
        least = normal + SKEW_OF_KERNEL * skewness / np.sqrt(samples) * (normal * normal - 1.0) / 6.0
        for apex in separate_maxima(fits.amplitude, noise, least):
            if _nearest(bins, apexes, apex) > APART:
                apexes.append(apex)
    narrow = scales[0][0]
    base = snip(bins, narrow.smooth)
    sure = list(apexes)
    for fits, noise in scales[:-1]:
        rise = np.maximum(HIDDEN_SNR * noise, HIDDEN_SHARE * running_maximum(bins, fits.amplitude))
        for apex, _ in settled_maxima(fits.amplitude, rise):
            of_height = noise[apex] * fits.smooth_gain[apex] / fits.amplitude_gain[apex]
            near = _nearest(bins, sure, apex) < HIDDEN_WIDTHS and _nearest(bins, apexes, apex) > APART
            if near and fits.smooth[apex] - base[apex] >= HIDDEN_SNR * of_height:
                apexes.append(apex)
    return windows(bins, narrow, base, sorted(apexes))


def _nearest(bins: Bins, among: list[int], at: int) -> float:
    """Distance to the nearest of the bins ``among``, in widths."""
    return float(np.abs(bins.mz[among] - bins.mz[at]).min(initial=np.inf) / bins.width[at])


def running_maximum(bins: Bins, values: FloatArray) -> FloatArray:
    """Largest value within ``HIDDEN_NEAR`` widths of every bin."""
    side = HIDDEN_NEAR * bins.width
    first, last = np.searchsorted(bins.mz, bins.mz - side), np.searchsorted(bins.mz, bins.mz + side, side="right")
    return np.array([values[a:b].max() for a, b in zip(first, last, strict=True)])


def separate_maxima(amplitude: FloatArray, noise: FloatArray, least: FloatArray) -> list[int]:
    """Maxima of at least ``least`` times the noise; of two without a clear dip between them, the higher one."""
    padded = np.concatenate([[-np.inf], amplitude, [-np.inf]])
    top = (padded[1:-1] > padded[:-2]) & (padded[1:-1] >= padded[2:]) & (amplitude > 0.0)
    top &= amplitude >= least * np.where(np.isfinite(noise), noise, np.finfo(float).max / 100)
    kept: list[int] = []
    for apex in np.flatnonzero(top).tolist():
        if kept:
            before = kept[-1]
            dip = float(amplitude[before : apex + 1].min())
            lower = min(amplitude[before], amplitude[apex])
            if lower - dip < max(DIP * lower, DIP_NOISES * noise[apex]):
                if amplitude[apex] > amplitude[before]:
                    kept[-1] = apex
                continue
        kept.append(apex)
    return kept


def windows(bins: Bins, fits: Fits, base: FloatArray, apexes: list[int]) -> list[Peak]:
    """Window of every apex: down to FOOT of the height, a valley, or SIDE_WIDTHS."""
    mz, height = bins.mz, fits.smooth - base
    found = []
    begin = 0
    for apex, following in zip(apexes, [*apexes[1:], None], strict=True):
        end = mz.size - 1
        if following is not None:
            between = slice(apex, following + 1)
            end = apex + int(np.argmin(fits.smooth[between]))
            if end in (apex, following):  # shoulders
                end = apex + int(np.argmin(fits.amplitude[between]))
        inside = (height > FOOT * height[apex]) & (np.abs(mz - mz[apex]) <= SIDE_WIDTHS * bins.width[apex])
        first = last = apex
        while first > begin and inside[first - 1]:
            first -= 1
        while last < end and inside[last + 1]:
            last += 1
        found.append(Peak(apex, first, last, vertex(mz, fits.amplitude, apex)))
        begin = max(end, apex) + 1
    return found


def vertex(mz: FloatArray, curve: FloatArray, apex: int) -> float:
    """m/z of the parabola through a maximum and its two neighbours."""
    if apex == 0 or apex == mz.size - 1:
        return float(mz[apex])
    left, right = mz[apex - 1] - mz[apex], mz[apex + 1] - mz[apex]
    down, up = curve[apex - 1] - curve[apex], curve[apex + 1] - curve[apex]
    bend = left * up - right * down
    offset = 0.5 * (left * left * up - right * right * down) / bend if bend != 0.0 else 0.0
    return float(mz[apex] + np.clip(offset, 0.5 * left, 0.5 * right))


# Both curves


def skewness_of_mean(found: Curves) -> FloatArray:
    """Skewness of the noise of the mean: one over the root of the spectra that make up the mean of a bin."""
    carrying = found.n * found.mean**2 / np.where(found.square > 0.0, found.square, 1.0)
    skewness = np.zeros(carrying.size)
    for first in range(0, carrying.size, 512):
        here = np.sort(carrying[first : first + 512])
        lower = here[: max(1, here.size * 4 // 5)].mean()
        skewness[first : first + 512] = 1.0 / np.sqrt(max(FEWEST_CARRYING, lower))
    return skewness


def profile_peaks(found: Curves) -> list[Peak]:
    """Peaks of the mean spectrum, and those of the upper spectrum that it does not show; ascending."""
    law = learn_width(found.mz, found.mean)
    if law.n_peaks == 0:
        law = learn_width(found.mz, found.upper)
    bins = bins_of(found.mz, law)
    mean = np.square(found.mean - snip(bins, found.mean))
    variance = np.maximum(0.0, found.square - found.mean**2)
    carrying = found.n * mean / np.maximum(mean + variance - snip(bins, variance), 1e-300)
    enough = carrying >= min(FEWEST_PIXELS, max(1.0, 0.25 * found.n)) * (1.0 - 1e-9)
    peaks = [p for p in find_peaks(bins, found.mean, skewness_of_mean(found)) if enough[p.apex]]
    apexes = [p.apex for p in peaks]
    taken = np.zeros(found.mz.size, dtype=bool)
    for peak in peaks:
        taken[peak.first : peak.last + 1] = True
    skewness = np.full(found.mz.size, SKEW_OF_MAXIMUM / np.sqrt(groups_of(found.n)))
    for peak in find_peaks(bins, found.upper, skewness):
        if taken[peak.apex] or not enough[peak.apex] or _nearest(bins, apexes, peak.apex) < APART_OF_UPPER:
            continue
        first = last = peak.apex
        while first > peak.first and not taken[first - 1]:
            first -= 1
        while last < peak.last and not taken[last + 1]:
            last += 1
        peaks.append(Peak(peak.apex, first, last, peak.mz))
    return sorted(peaks, key=lambda p: p.first)
