"""Whole simulated sections with known truth, as imzML."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.arguments import number
from ionmorphnet.base.files import atomic_path
from ionmorphnet.io.imzml_writer import ImzMLWriter
from ionmorphnet.io.literals import Mode, SpectrumType
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation.arguments import check_axis, check_layout, check_levels
from ionmorphnet.simulation.channels import Channels, SectionMaps, abundance, draw_channels, draw_maps, draw_mz, observe
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.ion_image import draw_measured_area
from ionmorphnet.simulation.silhouettes import draw_silhouette
from ionmorphnet.simulation.spectra import (
    MassError,
    ProfileAxis,
    baseline_noise,
    centroid_spectra,
    suppress_baseline,
)
from ionmorphnet.simulation.verdict import FRAGMENTED, UNSTRUCTURED

# Values held at once: pixels are handled in chunks of about this many channel or bin values.
_CHUNK_VALUES = 4_000_000
_BLOCKS = 24


@dataclass(frozen=True)
class SimulatedSection:
    """A simulated section and its truth.

    Attributes:
        path: The imzML file; the ibd lies beside it.
        truth_path: CSV with the columns of ``truth``.
        mask_path: NPZ with ``measured``, ``tissue`` and ``regions``.
        truth: One row for each channel: ``mz``; ``label`` (class name); ``informative`` (structured, localized or
            negative); ``structure`` (0 to 3, how well the noise-free image shows through); ``region`` (0 outside the
            sample, from 1 its compartments, where the channel is brightest; -1 for noise); ``frequency`` (part of the
            measured pixels with a peak); ``mean_intensity`` (over the measured pixels).
        measured: bool (H, W), equal to the mask of the opened file: the grid is the bounding box of the measured
            pixels, smaller than the simulated frame where an outline was measured.
        tissue: bool (H, W): pixels on the sample.
        regions: int64 (H, W): 0 outside the sample, from 1 its compartments.
        seed: The seed.
    """

    path: Path
    truth_path: Path
    mask_path: Path
    truth: pd.DataFrame
    measured: NDArray[np.bool_]
    tissue: NDArray[np.bool_]
    regions: NDArray[np.int64]
    seed: int

    @property
    def informative_mz(self) -> NDArray[np.float64]:
        """m/z of the informative channels, ascending."""
        mz: NDArray[np.float64] = self.truth.loc[self.truth["informative"], "mz"].to_numpy(dtype=np.float64)
        return mz

    def __repr__(self) -> str:
        """Name, size and number of channels."""
        height, width = self.measured.shape
        return (
            f"SimulatedSection({self.path.name!r}, {height} x {width} pixels, {len(self.truth)} channels, "
            f"{len(self.informative_mz)} informative)"
        )


def simulate(
    path: str | os.PathLike[str],
    *,
    shape: tuple[int, int] = (100, 100),
    n_channels: int = 2000,
    n_informative: int | None = None,
    mode: Mode = "processed",
    spectrum_type: SpectrumType = "centroid",
    mz_range: tuple[float, float] = (100.0, 1000.0),
    jitter_ppm: float = 2.0,
    drift_ppm: float = 0.0,
    min_gap_ppm: float | None = None,
    close_pairs: int = 0,
    noise_peaks_per_pixel: float = 20.0,
    resolving_power: float = 20_000.0,
    n_bins: int | None = None,
    baseline: float = 5.0,
    outline: bool = False,
    pixel_size_um: float = 50.0,
    zlib: bool = False,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedSection:
    """Write a section with known truth: ``path``, the ibd, ``<stem>_truth.csv`` and ``<stem>_mask.npz``.

    One sample outline is shared by all channels; its regions, layers and ducts build the informative channels. Memory
    stays bounded whatever the size: pixels are made and written in chunks. The same arguments give the same bytes.

    Args:
        path: Name of the imzML file.
        shape: (H, W) of the simulated frame, each at least 16; the pixel grid of the file unless ``outline``.
        n_channels: Number of channels.
        n_informative: How many of them are structured, localized or negative; a quarter where None. The others are
            noise, faint or fragmented.
        mode: ``processed`` or ``continuous``. Continuous centroids lie on the channels' m/z, without mass error.
        spectrum_type: ``centroid`` or ``profile`` (Gaussian peaks over detector noise; shared axis where continuous,
            an axis of its own without the baseline for each pixel where processed).
        mz_range: Smallest and largest m/z.
        jitter_ppm: Largest random mass error, 0 to 10,000; of each peak (centroid, continuous profile) or each spectrum
            (processed profile).
        drift_ppm: Change of calibration over the section, 0 to 10,000.
        min_gap_ppm: Smallest distance of two channels; where None 15 ppm for centroids, three peak widths for
            profiles.
        close_pairs: Number of pairs of channels exactly ``min_gap_ppm`` apart; all others then keep three times that.
        noise_peaks_per_pixel: Mean number of peaks that belong to no channel (processed centroids).
        resolving_power: m/z over full width at half maximum (profile), from 100.
        n_bins: Length of the profile axis, at most 20 million; three bins for each peak width where None, which must
            not make more than 2 million.
        baseline: Standard deviation of the detector noise (profile); a channel's bright pixel is around 2000.
        outline: Measure an outline around the sample instead of the whole frame. The pixel grid is then the bounding
            box of the measured pixels, in the file and in the returned masks.
        pixel_size_um: Side of a pixel in micrometres.
        zlib: Compress the arrays.
        seed: Seed of everything random, an integer from 0.
        progress: Called after every chunk with (pixels written, pixels).

    Returns:
        The section with its truth.

    Raises:
        ArgumentError: An argument cannot be meant.
        FileError: The files cannot be written, or one of the names is a folder; nothing half-written is left.
    """
    target = Path(path)
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
        noise_peaks_per_pixel=noise_peaks_per_pixel,
        baseline=baseline,
        resolving_power=resolving_power,
    )
    profile = spectrum_type == "profile"
    if profile:
        check_axis(layout.mz_range, resolving_power, layout.n_bins)
    if min_gap_ppm is None:
        min_gap_ppm = 3e6 / resolving_power if profile else 15.0
    number("min_gap_ppm", min_gap_ppm, 1e-3, 1e6)

    rng = np.random.default_rng(layout.seed)
    mz = draw_mz(rng, layout.n_channels, layout.mz_range, min_gap_ppm, layout.close_pairs)
    silhouette = draw_silhouette(rng, layout.shape, coverage=(0.25, 0.7))
    measured = draw_measured_area(rng, silhouette, kind=0.8 if outline else 0.0)
    maps = draw_maps(rng, silhouette)
    channels = draw_channels(rng, maps, measured, mz, layout.n_informative)
    tally = _Tally.start(channels, maps, measured)
    chunks = _chunks(
        rng,
        channels,
        tally,
        axis=ProfileAxis.build(layout.mz_range, resolving_power, layout.n_bins) if profile else None,
        error=MassError(jitter_ppm, drift_ppm),
    )
    truth_path = target.with_name(f"{target.stem}_truth.csv")
    mask_path = target.with_name(f"{target.stem}_mask.npz")
    settings = _SpectrumSettings(mode == "continuous", noise_peaks_per_pixel, layout.mz_range, baseline)
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
        # Left in reverse order: the pair is complete before truth and mask get their names.
        truth_part = stack.enter_context(atomic_path(truth_path))
        mask_part = stack.enter_context(atomic_path(mask_path))
        stack.enter_context(writer)
        for chunk in chunks:
            chunk.write(rng, writer, settings)
            if progress is not None:
                progress(chunk.stop, tally.n_pixels)
        truth = tally.truth()
        truth.to_csv(truth_part, index=False)
        with mask_part.open("wb") as file:
            np.savez_compressed(file, measured=measured, tissue=tissue, regions=regions)
    return SimulatedSection(target, truth_path, mask_path, truth, measured, tissue, regions, layout.seed)


def bounding_box(measured: NDArray[np.bool_]) -> tuple[slice, slice]:
    """Smallest rectangle with all measured pixels, which is the grid that a reader sees."""
    rows, cols = np.flatnonzero(measured.any(axis=1)), np.flatnonzero(measured.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(cols[0]), int(cols[-1]) + 1)


@dataclass
class _Tally:
    """What is known of the channels while the pixels go by."""

    channels: Channels
    maps: Field  # (maps, pixels), measured pixels only
    regions: NDArray[np.int64]  # (pixels,)
    rows: NDArray[np.int64]
    cols: NDArray[np.int64]
    block: NDArray[np.int64]  # (pixels,)
    hits: NDArray[np.int64] = field(init=False)
    total: NDArray[np.float64] = field(init=False)
    observed: NDArray[np.float64] = field(init=False)  # (blocks, channels) sums
    expected: NDArray[np.float64] = field(init=False)
    by_region: NDArray[np.float64] = field(init=False)  # (regions, channels) sums of the expectation

    @classmethod
    def start(cls, channels: Channels, maps: SectionMaps, measured: NDArray[np.bool_]) -> _Tally:
        rows, cols = np.nonzero(measured)
        height, width = measured.shape
        block = (rows * _BLOCKS // height) * _BLOCKS + cols * _BLOCKS // width
        return cls(channels, maps.stacked()[:, measured], maps.regions[measured], rows, cols, block)

    def __post_init__(self) -> None:
        n = self.channels.mz.size
        self.hits = np.zeros(n, dtype=np.int64)
        self.total = np.zeros(n)
        self.observed = np.zeros((_BLOCKS**2, n))
        self.expected = np.zeros((_BLOCKS**2, n))
        self.by_region = np.zeros((int(self.regions.max()) + 1, n))

    @property
    def n_pixels(self) -> int:
        return self.rows.size

    def add(self, part: slice, expected: Field, observed: Field) -> None:
        self.hits += np.count_nonzero(observed, axis=0)
        self.total += observed.sum(axis=0, dtype=np.float64)
        _add_by_group(self.observed, self.block[part], np.minimum(observed, 3.0 * self.channels.level))
        _add_by_group(self.expected, self.block[part], expected)
        _add_by_group(self.by_region, self.regions[part], expected)

    def truth(self) -> pd.DataFrame:
        labels = self.channels.labels
        pixels = np.bincount(self.block, minlength=_BLOCKS**2)
        used = pixels > 0
        seen = _column_correlation(self.observed[used] / pixels[used, None], self.expected[used] / pixels[used, None])
        structure = 3.0 * np.clip((seen - 0.2) / 0.65, 0.0, 1.0)
        structure[labels == FRAGMENTED] *= 0.5
        structure[labels == UNSTRUCTURED] = 0.0
        in_region = np.maximum(np.bincount(self.regions, minlength=len(self.by_region)), 1)
        brightest = np.argmax(self.by_region / in_region[:, None], axis=0)
        return pd.DataFrame(
            {
                "mz": self.channels.mz,
                "label": np.array(CLASSES)[labels],
                "informative": self.channels.informative,
                "structure": structure.round(3),
                "region": np.where(labels == UNSTRUCTURED, -1, brightest),
                "frequency": self.hits / self.n_pixels,
                "mean_intensity": self.total / self.n_pixels,
            }
        )


@dataclass(frozen=True)
class _SpectrumSettings:
    continuous: bool
    noise_peaks: float
    mz_range: tuple[float, float]
    baseline: float


@dataclass(frozen=True)
class _Chunk:
    """Some measured pixels in raster order."""

    stop: int
    positions: NDArray[np.int64]
    progress: NDArray[np.float64]
    mz: NDArray[np.float64]
    observed: Field
    axis: ProfileAxis | None
    error: MassError

    def write(self, rng: np.random.Generator, writer: ImzMLWriter, settings: _SpectrumSettings) -> None:
        if self.axis is None:
            if settings.continuous:
                writer.add_shared(self.positions, self.mz, self.observed)
                return
            spectra = centroid_spectra(
                rng, self.mz, self.observed, self.progress, self.error, settings.noise_peaks, settings.mz_range
            )
        else:
            n = len(self.observed)
            noise = baseline_noise(rng, n, self.axis.mz.size, settings.baseline)
            drift = self.error.drift(self.progress)
            if settings.continuous:
                shift = drift[:, None] + self.error.jitter(rng, self.observed.size).reshape(self.observed.shape)
                writer.add_shared(
                    self.positions, self.axis.mz, self.axis.profiles(self.mz, self.observed, shift, noise)
                )
                return
            profiles = self.axis.profiles(self.mz, self.observed, np.zeros((n, 1)), noise)
            shift = drift + self.error.jitter(rng, n)
            # Three standard deviations: what is left of the detector noise is rare single points.
            spectra = suppress_baseline(self.axis.mz, profiles, shift, 3.0 * settings.baseline)
        writer.add_many(self.positions, spectra.mz, spectra.intensity, spectra.counts)


def _chunks(
    rng: np.random.Generator, channels: Channels, tally: _Tally, *, axis: ProfileAxis | None, error: MassError
) -> Iterator[_Chunk]:
    n = tally.n_pixels
    widest = max(channels.mz.size, 0 if axis is None else axis.mz.size)
    step = int(np.clip(_CHUNK_VALUES // widest, 1, n))
    for first in range(0, n, step):
        part = slice(first, min(first + step, n))
        expected = abundance(channels, tally.maps[:, part])
        observed = observe(rng, channels, expected)
        tally.add(part, expected, observed)
        rows, cols = tally.rows[part], tally.cols[part]
        positions = np.stack([cols - tally.cols.min() + 1, rows - tally.rows.min() + 1, np.ones_like(rows)], axis=1)
        progress = np.arange(part.start, part.stop) / max(n - 1, 1)
        yield _Chunk(part.stop, positions, progress, channels.mz, observed, axis, error)


def _add_by_group(sums: NDArray[np.float64], group: NDArray[np.int64], values: Field) -> None:
    """``sums[g] += values[group == g]`` summed over the pixels."""
    order = np.argsort(group, kind="stable")
    present, first = np.unique(group[order], return_index=True)
    sums[present] += np.add.reduceat(values[order], first, axis=0, dtype=np.float64)


def _column_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of the columns; 0 where one is constant."""
    da, db = a - a.mean(axis=0), b - b.mean(axis=0)
    norm = np.sqrt((da**2).sum(axis=0) * (db**2).sum(axis=0))
    result: NDArray[np.float64] = np.where(norm > 1e-9, (da * db).sum(axis=0) / np.where(norm > 1e-9, norm, 1.0), 0.0)
    return result
