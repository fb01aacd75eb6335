"""Simulated imzML sections with known ground truth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.arguments import number
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.progress import Progress, shown_progress
from ionmorphnet.io.imzml_writer import ImzMLWriter
from ionmorphnet.io.literals import InstrumentName, Mode, SpectrumType
from ionmorphnet.io.sizes import pixels_text
from ionmorphnet.simulation.arguments import check_axis, check_instrument, check_layout, check_levels
from ionmorphnet.simulation.channels import Channels, abundance, draw_channels, draw_maps, draw_mz, make_rare, observe
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.instrument_spectra import InstrumentSpectra
from ionmorphnet.simulation.instruments import INSTRUMENTS
from ionmorphnet.simulation.ion_image import draw_measured_area
from ionmorphnet.simulation.section_truth import Tally
from ionmorphnet.simulation.silhouettes import draw_silhouette
from ionmorphnet.simulation.spectra import (
    MassError,
    ProfileAxis,
    baseline_noise,
    centroid_spectra,
    suppress_baseline,
)

# Pixels are processed in chunks of about this many channel or bin values, to limit memory.
_CHUNK_VALUES = 4_000_000


@dataclass(frozen=True)
class SimulatedSection:
    """A simulated section and its ground truth.

    Attributes:
        path: The imzML file; the ibd file is next to it.
        truth_path: CSV file with the columns of ``truth``.
        mask_path: NPZ file with ``measured``, ``tissue`` and ``regions``.
        truth: One row per channel: ``mz``; ``label`` (class that most observers choose); ``informative`` (drawn as
            structured, localized or negative, even if too faint to be seen as such); ``structure`` (0 to 3,
            how clearly the noise-free image is visible); ``region`` (where the channel is
            brightest: 0 outside the sample, 1 and up for its compartments, -1 for noise); ``frequency`` (share of
            measured pixels with a peak); ``mean_intensity`` (over the measured pixels).
        measured: bool (height, width), the mask of the opened file. The grid is the bounding box of the measured
            pixels, which is smaller than the simulated frame if an outline was measured.
        tissue: bool (height, width): pixels on the sample.
        regions: int64 (height, width): 0 outside the sample, 1 and up for its compartments.
        seed: The random seed.
        peaks: With an instrument, one row per peak of a channel, ascending in ``mz``: ``channel`` (row of ``truth``);
            ``kind`` (``ion``, ``isotope`` or ``adduct``); ``width`` (full width at half maximum); ``mean_height`` and
            ``best_height`` (over the measured pixels and in the brightest one); ``snr_mean`` and ``snr_best`` (these
            over the detector noise of the mean spectrum or of one spectrum, and over the chemical noise). Otherwise
            None.
        peaks_path: CSV file with the columns of ``peaks``, or None.
    """

    path: Path
    truth_path: Path
    mask_path: Path
    truth: pd.DataFrame
    measured: NDArray[np.bool_]
    tissue: NDArray[np.bool_]
    regions: NDArray[np.int64]
    seed: int
    peaks: pd.DataFrame | None = None
    peaks_path: Path | None = None

    @property
    def informative_mz(self) -> NDArray[np.float64]:
        """m/z of the informative channels in ascending order."""
        mz: NDArray[np.float64] = self.truth.loc[self.truth["informative"], "mz"].to_numpy(dtype=np.float64)
        return mz

    def __repr__(self) -> str:
        """Name, size and number of channels in one line."""
        return (
            f"SimulatedSection({self.path.name!r}, {pixels_text(self.measured.shape)}, {len(self.truth)} channels, "
            f"{len(self.informative_mz)} informative)"
        )


def simulate(
    path: str | os.PathLike[str],
    *,
    shape: tuple[int, int] = (100, 100),
    n_channels: int | None = None,
    n_informative: int | None = None,
    mode: Mode = "processed",
    spectrum_type: SpectrumType | None = None,
    instrument: InstrumentName | None = None,
    rare_share: float = 0.0,
    mz_range: tuple[float, float] | None = None,
    jitter_ppm: float | None = None,
    drift_ppm: float = 0.0,
    min_gap_ppm: float | None = None,
    close_pairs: int = 0,
    noise_peaks: float = 20.0,
    resolving_power: float | None = None,
    n_bins: int | None = None,
    baseline: float | None = None,
    outline: bool = False,
    pixel_size_um: float = 50.0,
    zlib: bool = False,
    seed: int = 0,
    progress: Progress | bool | None = None,
) -> SimulatedSection:
    """Writes a simulated section with known ground truth: imzML, ibd, ``<stem>_truth.csv`` and ``<stem>_mask.npz``.

    All channels share one sample outline; its regions, layers and ducts make up the informative channels. Pixels are
    generated and written in chunks, so memory use does not depend on the size of the section. Equal arguments produce
    identical files.

    Args:
        path: The imzML file to write.
        shape: Height and width of the simulated frame, each at least 16. This is the pixel grid of the file unless
            ``outline`` is set.
        n_channels: Number of channels; by default 2,000, or as many as the instrument's range holds.
        n_informative: Number of structured, localized or negative channels; a quarter by default. The others are noise,
            faint or fragmented.
        mode: ``"processed"`` or ``"continuous"``. Continuous centroids have no mass error.
        spectrum_type: ``"centroid"`` or ``"profile"``; by default profile with an instrument and centroid without.
            Profiles are Gaussian peaks on detector noise. Continuous profiles share one axis; processed profiles omit
            the baseline and each has its own axis.
        instrument: Mass analyser whose profile spectra are written: ``"linear-tof"``, ``"reflector-tof"``,
            ``"orbitrap"`` or ``"ft-icr"``. It decides how peak width and sampling change with m/z, the shape of peaks,
            isotopes, adducts, baseline and chemical noise, and the defaults of the other arguments
            (:mod:`ionmorphnet.simulation.instruments`). Processed profiles then keep their baseline, except that
            Orbitrap and FT-ICR spectra omit noise, as the software of these instruments does.
        rare_share: Share of channels, 0 to 1, that are replaced by ions in 1 % of the measured pixels.
        mz_range: Smallest and largest m/z; by default 100 to 1000, or the instrument's.
        jitter_ppm: Largest random mass error, 0 to 10,000; by default 2, or the instrument's. Drawn per peak, or per
            spectrum for processed profiles and instruments.
        drift_ppm: Calibration drift over the section, 0 to 10,000.
        min_gap_ppm: Smallest distance between two channels; by default 15 ppm for centroids and three peak widths for
            profiles.
        close_pairs: Number of channel pairs exactly ``min_gap_ppm`` apart. All other channels then keep three times
            that distance.
        noise_peaks: Mean number of peaks per pixel that belong to no channel (processed centroids).
        resolving_power: m/z divided by the full width at half maximum of a peak, at least 100 (profiles); by default
            20,000, or the instrument's. With an instrument, at the m/z where it is usually stated: 5000 (linear TOF),
            800 (reflector TOF), 200 (Orbitrap) or 400 (FT-ICR).
        n_bins: Length of the profile axis, up to 20 million; by default three bins per peak width (four or five with an
            instrument) and up to 2 million.
        baseline: Standard deviation of the detector noise (profiles); by default 5, or the instrument's. Bright pixels
            of a channel are around 2000.
        outline: Whether to measure only an outline around the sample instead of the whole frame. The pixel grid is then
            the bounding box of the measured pixels.
        pixel_size_um: Pixel width and height in micrometres.
        zlib: Whether to compress the arrays.
        seed: Random seed, an integer of at least 0.
        progress: Called as progress(pixels written, all pixels) after each chunk; True: a bar on the terminal or in
            the notebook.

    Returns:
        The section with its ground truth.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range.
        FileError: The files cannot be written, or a folder has one of their names. No partial files are left.

    Example:
        >>> import ionmorphnet as imn
        >>> section = imn.simulate("section.imzML", shape=(40, 60), n_channels=100, seed=1)
        >>> section
        SimulatedSection('section.imzML', 60 x 40 pixels (width x height), 100 channels, 25 informative)
    """
    target = Path(path)
    device = None if instrument is None else INSTRUMENTS[check_instrument(instrument, spectrum_type)]
    if spectrum_type is None:
        spectrum_type = "centroid" if device is None else "profile"
    profile = spectrum_type == "profile"
    if n_channels is None:
        n_channels = 2000 if device is None else device.n_channels
    if mz_range is None:
        mz_range = (100.0, 1000.0) if device is None else device.mz_range
    if jitter_ppm is None:
        jitter_ppm = 2.0 if device is None else device.jitter_ppm
    if resolving_power is None:
        resolving_power = 20_000.0 if device is None else device.resolving_power
    if baseline is None:
        baseline = 5.0 if device is None else device.noise
    layout = check_layout(
        shape=shape,
        n_channels=n_channels,
        n_informative=n_informative,
        mz_range=mz_range,
        close_pairs=close_pairs,
        n_bins=n_bins,
        seed=seed,
    )
    check_levels(
        jitter_ppm=jitter_ppm,
        drift_ppm=drift_ppm,
        noise_peaks=noise_peaks,
        baseline=baseline,
        resolving_power=resolving_power,
    )
    number("rare_share", rare_share, 0.0, 1.0)
    if profile:
        check_axis(layout.mz_range, resolving_power, layout.n_bins, device)
    if min_gap_ppm is None:
        min_gap_ppm = 3e6 / resolving_power if profile else 15.0
    number("min_gap_ppm", min_gap_ppm, 1e-3, 1e6)

    rng = np.random.default_rng(layout.seed)
    mz = draw_mz(rng, layout.n_channels, layout.mz_range, min_gap_ppm, layout.close_pairs)
    silhouette = draw_silhouette(rng, layout.shape, coverage=(0.25, 0.7))
    measured = draw_measured_area(rng, silhouette, kind=0.8 if outline else 0.0)
    maps = draw_maps(rng, silhouette)
    channels = draw_channels(rng, maps, measured, mz, layout.n_informative)
    n_rare = round(rare_share * layout.n_channels)
    if n_rare:
        channels, maps = make_rare(rng, channels, maps, measured, n_rare)
    tally = Tally.start(channels, maps, measured)
    error = MassError(jitter_ppm, drift_ppm)
    source: ProfileAxis | InstrumentSpectra | None = None
    if device is not None:
        source = InstrumentSpectra.build(
            rng,
            device,
            mz,
            mz_range=layout.mz_range,
            resolving_power=resolving_power,
            n_bins=layout.n_bins,
            noise=baseline,
        )
    elif profile:
        source = ProfileAxis.build(layout.mz_range, resolving_power, layout.n_bins)
    chunks = _chunks(rng, channels, tally, source=source, error=error)
    truth_path = target.with_name(f"{target.stem}_truth.csv")
    mask_path = target.with_name(f"{target.stem}_mask.npz")
    peaks_path = target.with_name(f"{target.stem}_peaks.csv") if isinstance(source, InstrumentSpectra) else None
    settings = _SpectrumSettings(mode == "continuous", noise_peaks, layout.mz_range, baseline)
    box = bounding_box(measured)
    measured, tissue, regions = measured[box], silhouette.tissue[box], maps.regions[box]
    writer = ImzMLWriter(
        target,
        mode=mode,
        spectrum_type=spectrum_type,
        pixel_size_um=pixel_size_um,
        zlib=zlib,
        uuid=UUID(bytes=rng.bytes(16), version=4),
    )
    with ExitStack() as stack:
        stack.callback(writer.discard)
        # Exited in reverse order: the imzML pair is complete before truth and mask are renamed.
        truth_part = stack.enter_context(atomic_path(truth_path))
        mask_part = stack.enter_context(atomic_path(mask_path))
        peaks_part = None if peaks_path is None else stack.enter_context(atomic_path(peaks_path))
        stack.enter_context(writer)
        shown = stack.enter_context(shown_progress(progress, target.name, "pixels"))
        for chunk in chunks:
            chunk.write(rng, writer, settings)
            if shown is not None:
                shown(chunk.stop, tally.n_pixels)
        truth = tally.truth()
        truth.to_csv(truth_part, index=False)
        with mask_part.open("wb") as file:
            np.savez_compressed(file, measured=measured, tissue=tissue, regions=regions)
        peaks = source.truth() if isinstance(source, InstrumentSpectra) else None
        if peaks is not None and peaks_part is not None:
            peaks.to_csv(peaks_part, index=False)
    return SimulatedSection(
        target, truth_path, mask_path, truth, measured, tissue, regions, layout.seed, peaks, peaks_path
    )


def bounding_box(measured: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Smallest rectangle with all measured pixels; a reader of the file sees this grid."""
    rows, cols = np.flatnonzero(measured.any(axis=1)), np.flatnonzero(measured.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


@dataclass(frozen=True)
class _SpectrumSettings:
    continuous: bool
    noise_peaks: float
    mz_range: tuple[float, float]
    baseline: float


@dataclass(frozen=True)
class _Chunk:
    """A chunk of measured pixels in raster order."""

    stop: int
    positions: NDArray[np.int64]
    progress: NDArray[np.float64]
    mz: NDArray[np.float64]
    observed: Field
    source: ProfileAxis | InstrumentSpectra | None
    error: MassError

    def write(self, rng: np.random.Generator, writer: ImzMLWriter, settings: _SpectrumSettings) -> None:
        if self.source is None:
            if settings.continuous:
                writer.add_shared(self.positions, self.mz, self.observed)
                return
            spectra = centroid_spectra(
                rng, self.mz, self.observed, self.progress, self.error, settings.noise_peaks, settings.mz_range
            )
        elif isinstance(self.source, InstrumentSpectra):
            shift = self.error.drift(self.progress) + self.error.jitter(rng, len(self.observed))
            if settings.continuous:
                writer.add_shared(self.positions, self.source.mz, self.source.profiles(rng, self.observed, shift))
                return
            profiles = self.source.profiles(rng, self.observed, np.zeros(len(shift)))
            spectra = self.source.processed(profiles, shift)
        else:
            n = len(self.observed)
            noise = baseline_noise(rng, n, self.source.mz.size, settings.baseline)
            drift = self.error.drift(self.progress)
            if settings.continuous:
                shift = drift[:, None] + self.error.jitter(rng, self.observed.size).reshape(self.observed.shape)
                profiles = self.source.profiles(self.mz, self.observed, shift, noise)
                writer.add_shared(self.positions, self.source.mz, profiles)
                return
            profiles = self.source.profiles(self.mz, self.observed, np.zeros((n, 1)), noise)
            shift = drift + self.error.jitter(rng, n)
            # At three standard deviations, only rare single points of the detector noise remain.
            spectra = suppress_baseline(self.source.mz, profiles, shift, 3.0 * settings.baseline)
        writer.add_many(self.positions, spectra.mz, spectra.intensity, spectra.counts)


def _chunks(
    rng: np.random.Generator,
    channels: Channels,
    tally: Tally,
    *,
    source: ProfileAxis | InstrumentSpectra | None,
    error: MassError,
) -> Iterator[_Chunk]:
    n = tally.n_pixels
    widest = max(channels.mz.size, 0 if source is None else source.mz.size)
    step = int(np.clip(_CHUNK_VALUES // widest, 1, n))
    for first in range(0, n, step):
        part = slice(first, min(first + step, n))
        expected = abundance(channels, tally.maps[:, part])
        observed = observe(rng, channels, expected)
        tally.add(part, expected, observed)
        rows, cols = tally.rows[part], tally.cols[part]
        positions = np.stack([cols - tally.cols.min() + 1, rows - tally.rows.min() + 1, np.ones_like(rows)], axis=1)
        progress = np.arange(part.start, part.stop) / max(n - 1, 1)
        yield _Chunk(part.stop, positions, progress, channels.mz, observed, source, error)
