"""Profile spectra as instruments write them, and the truth about their peaks."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.instruments import Background, Instrument
from ionmorphnet.simulation.spectra import Spectra, baseline_noise, suppress_baseline

PeakKind = Literal["ion", "isotope", "adduct"]

_LEAST_SHARE = 0.02  # fainter isotopes are left out
_CARBONS = 5.6e-4  # mean number of heavy isotopes per unit of mass of a peptide or lipid
_ISOTOPE_STEP = 1.00235
_SHAPE_OF_GAIN = 12.0  # gamma distribution of a spectrum's background
_SUPPRESSED = 3.0  # standard deviations of the noise
# Root mean square of what suppression leaves of absolute normal noise, over its standard deviation.
_LEFT_OF_NOISE = 0.171
_SIDE = 1.5  # m/z within which chemical noise is compared


@dataclass(frozen=True)
class PeakTable:
    """Peaks of all channels in ascending m/z; a channel has one peak or more.

    Attributes:
        mz: float64 (n,).
        channel: int64 (n,): index of the ion.
        kind: ``"ion"``, ``"isotope"`` or ``"adduct"``, one per peak.
        share: float64 (n,): height over the intensity of the channel.
    """

    mz: NDArray[np.float64]
    channel: NDArray[np.int64]
    kind: tuple[PeakKind, ...]
    share: NDArray[np.float64]

    @classmethod
    def draw(
        cls, rng: np.random.Generator, instrument: Instrument, mz: NDArray[np.float64], mz_range: tuple[float, float]
    ) -> PeakTable:
        """Draws the peaks of ions at ``mz``, without those outside the range."""
        rows: list[tuple[float, int, PeakKind, float]] = []
        for channel, centre in enumerate(mz.tolist()):
            for peak, share, kind in _with_adducts(rng, instrument, centre):
                if not instrument.isotopes:
                    rows.append((peak, channel, kind, share))
                    continue
                mean = _CARBONS * peak
                height = 1.0
                for heavy in range(int(peak)):
                    if heavy:
                        height *= mean / heavy
                    if share * height >= _LEAST_SHARE:
                        rows.append(
                            (peak + heavy * _ISOTOPE_STEP, channel, "isotope" if heavy else kind, share * height)
                        )
                    elif heavy > mean:
                        break
        rows = sorted(row for row in rows if mz_range[0] <= row[0] <= mz_range[1])
        found, channels, kinds, shares = zip(*rows, strict=True)
        return cls(np.array(found), np.array(channels, dtype=np.int64), kinds, np.array(shares))


def _with_adducts(rng: np.random.Generator, instrument: Instrument, mz: float) -> list[tuple[float, float, PeakKind]]:
    peaks: list[tuple[float, float, PeakKind]] = [(mz, 1.0, "ion")]
    for adduct in instrument.adducts:
        share = float(rng.uniform(adduct.least, adduct.most))
        if rng.random() < 0.5:
            peaks.append((mz + adduct.shift, share, "adduct"))
    return peaks


@dataclass
class InstrumentSpectra:
    """Renders the spectra of one section and adds up the truth.

    Attributes:
        instrument: The mass analyser.
        peaks: All peaks.
        mz: float64 (bins,): the shared m/z axis.
        width: float64 (peaks,): full width at half maximum of each peak.
        background: Baseline and chemical noise.
        noise: Standard deviation of the detector noise where there is no background.
    """

    instrument: Instrument
    peaks: PeakTable
    mz: NDArray[np.float64]
    width: NDArray[np.float64]
    background: Background
    noise: float
    n_pixels: int = 0
    total: NDArray[np.float64] = field(init=False)  # (peaks,) sum of the heights
    best: NDArray[np.float64] = field(init=False)  # (peaks,) largest height

    def __post_init__(self) -> None:
        """Empties the sums and prepares the background."""
        self.total = np.zeros(self.peaks.mz.size)
        self.best = np.zeros(self.peaks.mz.size)
        self._mean = self.background.baseline + self.background.chemical
        self._sd = self.noise * np.sqrt(1.0 + self._mean / max(4.0 * self.noise, 1e-9))

    @classmethod
    def build(
        cls,
        rng: np.random.Generator,
        instrument: Instrument,
        mz: NDArray[np.float64],
        *,
        mz_range: tuple[float, float],
        resolving_power: float,
        n_bins: int | None,
        noise: float,
    ) -> InstrumentSpectra:
        """Draws the peaks of ions at ``mz`` and the background."""
        peaks = PeakTable.draw(rng, instrument, mz, mz_range)
        bins = instrument.default_bins(mz_range, resolving_power) if n_bins is None else n_bins
        axis = instrument.axis(mz_range, bins)
        background = instrument.background(rng, axis, instrument.width(axis, resolving_power))
        return cls(instrument, peaks, axis, instrument.width(peaks.mz, resolving_power), background, noise)

    def profiles(self, rng: np.random.Generator, observed: Field, shift: NDArray[np.float64]) -> Field:
        """Spectra of a chunk of pixels on the shared axis, which must all be passed once.

        Args:
            rng: Source of randomness.
            observed: float32 (pixels, channels): intensities.
            shift: float64 (pixels,): relative mass error of each spectrum.

        Returns:
            float32 (pixels, bins), not negative.
        """
        n = len(observed)
        self._add(observed)
        if self.instrument.suppressed:
            spectra = baseline_noise(rng, n, self.mz.size, self.noise)
        else:
            gain = rng.standard_gamma(_SHAPE_OF_GAIN, size=(n, 1)).astype(np.float32) / np.float32(_SHAPE_OF_GAIN)
            spectra = rng.standard_normal((n, self.mz.size), dtype=np.float32)
            spectra *= self._sd.astype(np.float32)
            spectra += gain * self._mean.astype(np.float32)
        below, above = self.instrument.reach
        farthest = 1.0 + float(np.abs(shift).max(initial=0.0))
        first = np.searchsorted(self.mz, self.peaks.mz / farthest - below * self.width)
        last = np.searchsorted(self.mz, self.peaks.mz * farthest + above * self.width)
        for p, (begin, end) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
            heights = observed[:, self.peaks.channel[p]]
            shown = np.flatnonzero(heights)
            if end <= begin or not shown.size:
                continue
            centre = self.peaks.mz[p] * (1.0 + shift[shown, None])
            shape = self.instrument.shape((self.mz[begin:end] - centre) / self.width[p])
            spectra[shown, begin:end] += (heights[shown, None] * self.peaks.share[p] * shape).astype(np.float32)
        np.maximum(spectra, 0.0, out=spectra)
        if self.instrument.suppressed:
            spectra[spectra <= np.float32(_SUPPRESSED * self.noise)] = 0.0
        return spectra

    def processed(self, profiles: Field, shift: NDArray[np.float64]) -> Spectra:
        """The spectra, each on its own axis, without mass error until now; removed noise is left out."""
        floor = 0.0 if self.instrument.suppressed else -1.0
        return suppress_baseline(self.mz, profiles, shift, floor)

    def _add(self, observed: Field) -> None:
        heights = observed[:, self.peaks.channel] * self.peaks.share
        if self.instrument.suppressed:
            heights *= _share_above(heights / max(self.noise, 1e-9))
        self.n_pixels += len(observed)
        self.total += heights.sum(axis=0)
        np.maximum(self.best, heights.max(axis=0, initial=0.0), out=self.best)

    def truth(self) -> pd.DataFrame:
        """Truth of each peak, ascending in m/z; columns as in ``SimulatedSection.peaks``."""
        mean = self.total / max(self.n_pixels, 1)
        sd = np.interp(self.peaks.mz, self.mz, self._sd)
        chemical = np.interp(self.peaks.mz, self.mz, _spread(self.mz, self.background.chemical, _SIDE))
        detector = sd * (_LEFT_OF_NOISE if self.instrument.suppressed else 1.0) / np.sqrt(max(self.n_pixels, 1))
        return pd.DataFrame(
            {
                "mz": self.peaks.mz,
                "channel": self.peaks.channel,
                "kind": list(self.peaks.kind),
                "width": self.width,
                "mean_height": mean,
                "best_height": self.best,
                "snr_mean": mean / np.maximum(np.hypot(detector, chemical), 1e-12),
                "snr_best": self.best / np.maximum(np.hypot(sd, chemical), 1e-12),
            }
        )


def _share_above(snr: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probability that a height of ``snr`` standard deviations, with absolute normal noise on it, is not suppressed."""
    at = np.linspace(0.0, _SUPPRESSED, 64)
    share: NDArray[np.float64] = np.interp(snr, at, [math.erfc((_SUPPRESSED - x) / math.sqrt(2.0)) for x in at])
    return np.where(snr > 0.0, share, 0.0)


def _spread(mz: NDArray[np.float64], curve: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    """Standard deviation of a curve within ``side`` of every m/z."""
    first, last = np.searchsorted(mz, mz - side), np.searchsorted(mz, mz + side)
    n = np.maximum(last - first, 1)
    sums, squares = (np.concatenate([[0.0], np.cumsum(curve**power)]) for power in (1, 2))
    mean = (sums[last] - sums[first]) / n
    spread: NDArray[np.float64] = np.sqrt(np.maximum((squares[last] - squares[first]) / n - mean**2, 0.0))
    return spread
