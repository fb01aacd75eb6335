"""Mass analysers whose profile spectra the simulator writes: resolving power, sampling, peak shape and background."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.io.literals import InstrumentName

INSTRUMENT_NAMES: tuple[InstrumentName, ...] = get_args(InstrumentName)

_FWHM_SIGMAS = 2.354820045
_CORE = 2.0  # widths from the centre to where a Gaussian ends
_WINGS = 6.0  # widths, or decay lengths, to where a Lorentzian or a tail ends


@dataclass(frozen=True)
class Adduct:
    """A second peak of an ion, ``shift`` above it, with a share of its height drawn from ``least`` to ``most``."""

    shift: float
    least: float
    most: float


@dataclass(frozen=True)
class Instrument:
    """A mass analyser. Widths are full widths at half maximum.

    Attributes:
        mz_range: Default range.
        n_channels: Default number of ions.
        resolving_power: m/z over the width of a peak at ``reference_mz``.
        reference_mz: Where the resolving power is given.
        width_power: A peak's width grows with this power of m/z: 1 where the resolving power is constant.
        sampling_power: Samples are equidistant in this power of m/z: 1/2 in flight time, -1/2 in the frequency of an
            Orbitrap, -1 in the cyclotron frequency.
        samples_per_width: Samples per width at ``reference_mz``.
        jitter_ppm: Default of the largest random mass error of a spectrum.
        noise: Default standard deviation of the detector noise. Bright pixels of a channel are around 2000.
        slope: Height of the baseline at the lower end of the range; it decays over a third of the range.
        hump: Height of the matrix hump near the lower end.
        chemical_noise: Mean height of the peaks at every nominal mass.
        tail: Height of the tail towards higher m/z relative to the peak.
        tail_widths: Decay length of the tail in widths.
        lorentzian: Share of a Lorentzian in the peak; the rest is Gaussian.
        isotopes: Whether isotopes are resolved. Where not, m/z are average masses.
        adducts: Further peaks of an ion, each present in half of the ions.
        suppressed: Whether the software removes the noise: samples up to three standard deviations are 0 or left out.
    """

    mz_range: tuple[float, float]
    n_channels: int
    resolving_power: float
    reference_mz: float
    width_power: float
    sampling_power: float
    samples_per_width: float
    jitter_ppm: float
    noise: float
    slope: float = 0.0
    hump: float = 0.0
    chemical_noise: float = 0.0
    tail: float = 0.0
    tail_widths: float = 1.0
    lorentzian: float = 0.0
    isotopes: bool = True
    adducts: tuple[Adduct, ...] = ()
    suppressed: bool = False

    def width(self, mz: NDArray[np.float64], resolving_power: float) -> NDArray[np.float64]:
        """Width of a peak in m/z, with another resolving power at ``reference_mz``."""
        at_reference = self.reference_mz / resolving_power
        width: NDArray[np.float64] = at_reference * (mz / self.reference_mz) ** self.width_power
        return width

    def default_bins(self, mz_range: tuple[float, float], resolving_power: float) -> int:
        """Number of samples over ``mz_range`` at ``samples_per_width``."""
        step = self.reference_mz / resolving_power / self.samples_per_width
        per_mz: float = abs(self.sampling_power) * self.reference_mz ** (self.sampling_power - 1.0)
        low, high = (float(end**self.sampling_power) for end in mz_range)
        return max(2, round(abs(high - low) / (per_mz * step)))

    def axis(self, mz_range: tuple[float, float], n_bins: int) -> NDArray[np.float64]:
        """m/z of the samples, float64 (n_bins,), ascending."""
        low, high = (end**self.sampling_power for end in mz_range)
        axis: NDArray[np.float64] = np.linspace(low, high, n_bins) ** (1.0 / self.sampling_power)
        axis[0], axis[-1] = mz_range
        return axis

    def shape(self, distance: NDArray[np.float64]) -> NDArray[np.float64]:
        """Height of a peak ``distance`` widths from its centre, relative to the height at the centre."""
        gaussian = np.exp(-0.5 * np.square(_FWHM_SIGMAS * distance))
        peak = gaussian
        if self.lorentzian:
            wings = np.where(np.abs(distance) < _WINGS, 1.0 / (1.0 + np.square(2.0 * distance)), 0.0)
            peak = (1.0 - self.lorentzian) * gaussian + self.lorentzian * wings
        if self.tail:
            behind = np.maximum(distance, 0.0)
            peak = peak + self.tail * np.exp(-behind / self.tail_widths) * (1.0 - np.exp(-0.5 * np.square(behind)))
        return peak

    @property
    def reach(self) -> tuple[float, float]:
        """Widths below and above the centre outside which :meth:`shape` is taken as 0."""
        below = _WINGS if self.lorentzian else _CORE
        return below, max(below, _WINGS * self.tail_widths if self.tail else 0.0)

    def background(self, rng: np.random.Generator, axis: NDArray[np.float64], width: NDArray[np.float64]) -> Background:
        """Draws baseline and chemical noise, both in the mean over the pixels.

        Args:
            rng: Source of randomness.
            axis: float64 (bins,): m/z of the samples.
            width: float64 (bins,): width of a peak at each of them.
        """
        low, high = float(axis[0]), float(axis[-1])
        place = (axis - low) / (high - low)
        baseline = self.slope * np.exp(-3.0 * place) + self.hump * np.exp(-0.5 * np.square((place - 0.09) / 0.055))
        chemical = np.zeros(axis.size)
        if self.chemical_noise:
            for mass in range(int(low), int(high) + 2):
                centre = mass * 1.00048  # mass defect of peptides and of clusters of the matrix
                height = (
                    self.chemical_noise * rng.standard_gamma(4.0) / 4.0 * np.exp(-2.0 * (centre - low) / (high - low))
                )
                first, last = np.searchsorted(axis, [centre - 4.0 * width[-1] - 1.0, centre + 4.0 * width[-1] + 1.0])
                part = slice(int(first), int(last))
                spread = np.sqrt(np.square(0.12) + np.square(width[part] / _FWHM_SIGMAS))
                # Its area does not depend on the width of a peak.
                chemical[part] += height * 0.12 / spread * np.exp(-0.5 * np.square((axis[part] - centre) / spread))
        return Background(baseline, chemical)


@dataclass(frozen=True)
class Background:
    """Mean background, float64 (bins,): smooth ``baseline``, and ``chemical`` noise at every nominal mass."""

    baseline: NDArray[np.float64]
    chemical: NDArray[np.float64]


_SODIUM, _POTASSIUM, _SINAPINIC = 21.982, 37.956, 206.058
INSTRUMENTS: Mapping[InstrumentName, Instrument] = MappingProxyType(
    {
        "linear-tof": Instrument(
            mz_range=(2400.0, 11_000.0),
            n_channels=60,
            resolving_power=500.0,
            reference_mz=5000.0,
            width_power=1.0,
            sampling_power=0.5,
            samples_per_width=5.0,
            jitter_ppm=300.0,
            noise=150.0,
            slope=1500.0,
            hump=800.0,
            chemical_noise=60.0,
            tail=0.1,
            tail_widths=1.5,
            isotopes=False,
            adducts=(
                Adduct(_SODIUM, 0.05, 0.3),
                Adduct(_POTASSIUM, 0.03, 0.2),
                Adduct(_SINAPINIC, 0.02, 0.12),
            ),
        ),
        "reflector-tof": Instrument(
            mz_range=(300.0, 1200.0),
            n_channels=250,
            resolving_power=20_000.0,
            reference_mz=800.0,
            width_power=1.0,
            sampling_power=0.5,
            samples_per_width=5.0,
            jitter_ppm=8.0,
            noise=100.0,
            slope=150.0,
            chemical_noise=40.0,
            tail=0.02,
            tail_widths=1.0,
            adducts=(Adduct(_SODIUM, 0.05, 0.5), Adduct(_POTASSIUM, 0.05, 0.4)),
        ),
        "orbitrap": Instrument(
            mz_range=(200.0, 1000.0),
            n_channels=300,
            resolving_power=70_000.0,
            reference_mz=200.0,
            width_power=1.5,
            sampling_power=-0.5,
            samples_per_width=4.0,
            jitter_ppm=1.0,
            noise=100.0,
            lorentzian=0.05,
            adducts=(Adduct(_SODIUM, 0.05, 0.5), Adduct(_POTASSIUM, 0.05, 0.4)),
            suppressed=True,
        ),
        "ft-icr": Instrument(
            mz_range=(300.0, 1000.0),
            n_channels=300,
            resolving_power=100_000.0,
            reference_mz=400.0,
            width_power=2.0,
            sampling_power=-1.0,
            samples_per_width=4.0,
            jitter_ppm=0.5,
            noise=100.0,
            lorentzian=0.15,
            adducts=(Adduct(_SODIUM, 0.05, 0.5), Adduct(_POTASSIUM, 0.05, 0.4)),
            suppressed=True,
        ),
    }
)
