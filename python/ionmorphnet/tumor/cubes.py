"""Sections as cubes [y, x, channel]: normalised once, then read by patches; on disk where they do not fit memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ionmorphnet._units import parse_bytes
from ionmorphnet.candidates import CandidateAxis
from ionmorphnet.dataset import Dataset
from ionmorphnet.errors import ArgumentError, FileError
from ionmorphnet.images import tic_image, window_images
from ionmorphnet.tumor.cohort import Cohort, labelled_shares, open_section
from ionmorphnet.tumor.regions import UNLABELLED

Normalisation = Literal["none", "tic", "rms", "median"]
NORMALISATIONS: tuple[str, ...] = get_args(Normalisation)
# A normalised pixel sums up to (TIC), has a root mean square of (RMS) or a median of (median) about this.
_LEVELS = {"tic": 1e4, "rms": 1e2, "median": 1e2}


@dataclass(frozen=True, eq=False, repr=False)
class Cube:
    """One section, or a block of it.

    Attributes:
        name: Name of the section.
        group: Patient (or block): never split between training and test.
        source: The file, for the check that no pixel is on both sides.
        values: float32 (H, W, C), square roots of normalised intensities; in memory or mapped from disk.
        measured: bool (H, W).
        labels: int16 (H, W), -1 = no label; labelled pixels are measured.
    """

    name: str
    group: str
    source: str
    values: npt.NDArray[np.float32]
    measured: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int16]

    @property
    def n_channels(self) -> int:
        """Number of channels."""
        return int(self.values.shape[2])

    def labelled(self) -> npt.NDArray[np.int64]:
        """Linear indices y * W + x of the labelled pixels, ascending."""
        return np.flatnonzero(self.labels.ravel() != UNLABELLED)

    def __repr__(self) -> str:
        """Name and size."""
        height, width, channels = self.values.shape
        return f"Cube({self.name!r}, {height} x {width} pixels, {channels} channels)"


class CubeStore:
    """Makes cubes; what exceeds its memory goes to files in a folder that is removed with it."""

    def __init__(self, memory_limit: int | str = "4GB", folder: Path | None = None) -> None:
        """Plan with ``memory_limit`` (bytes, or text such as "4GB"); files go to ``folder`` or the temporary one."""
        self.limit = parse_bytes(memory_limit)
        self.used = 0
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0

    def allocate(self, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
        """Zeros (H, W, C) in memory, or mapped from a new file once half of the limit is used."""
        size = 4 * shape[0] * shape[1] * shape[2]
        if self.used + size <= self.limit // 2:
            self.used += size
            return np.zeros(shape, np.float32)
        if self._temporary is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="ionmorphnet-", dir=self._folder)
        self._files += 1
        path = Path(self._temporary.name) / f"{self._files}.f32"
        try:
            return np.memmap(path, np.float32, "w+", shape=shape)
        except OSError as error:
            raise FileError(f"{path}: cannot be written: {error.strerror or error}") from error

    def fill(self, ds: Dataset, axis: CandidateAxis, normalisation: str) -> npt.NDArray[np.float32]:
        """The cube of a section, float32 (H, W, C); 0 where nothing was measured.

        Raises:
            ArgumentError: An unknown normalisation.
            FileError: The section cannot be read.
        """
        height, width = ds.shape
        factor = normalisation_factor(ds, normalisation)
        values = self.allocate((height, width, len(axis)))
        # The images, a scaled copy and the transposed piece are alive at once.
        step = max(1, self.limit // 4 // (16 * height * width))
        for first in range(0, len(axis), step):
            part = slice(first, first + step)
            images = window_images(ds, axis.mz_lo[part], axis.mz_hi[part])
            np.nan_to_num(images, copy=False, nan=0.0)
            np.maximum(images, 0.0, out=images)
            images *= factor
            np.sqrt(images, out=images)
            values[:, :, part] = images.transpose(1, 2, 0)
        return values

    def close(self) -> None:
        """Removes the files; cubes mapped from them must not be used any more."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


@contextmanager
def open_cubes(
    cohort: Cohort,
    axis: CandidateAxis,
    *,
    normalisation: str = "tic",
    memory_limit: int | str = "4GB",
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[list[Cube]]:
    """The cubes of a cohort.

    Args:
        cohort: The sections.
        axis: The channels.
        normalisation: ``none``, ``tic`` (sum of the whole spectrum), ``rms`` or ``median`` (of its non-zero values).
            Square roots are taken afterwards, which makes counting noise even.
        memory_limit: Anonymous memory to plan with; half of it for cubes, the others are mapped from files.
        folder: Where these files go.
        progress: Called after every section with (done, sections).

    Yields:
        One cube a section.

    Raises:
        ArgumentError: An unknown normalisation, or no channel.
        FileError: A section or its regions cannot be used, or no pixel of the cohort has a label.
    """
    if not len(axis):
        raise ArgumentError("there is no channel")
    store = CubeStore(memory_limit, folder)
    try:
        cubes = []
        for section in cohort.sections:
            with open_section(section) as ds:
                measured = ds.mask
                labels = np.where(measured, cohort.labels(section, ds.shape), np.int16(UNLABELLED))
                values = store.fill(ds, axis, normalisation)
            cubes.append(Cube(section.name, section.patient, str(section.path), values, measured, labels))
            if progress is not None:
                progress(len(cubes), len(cohort))
        counts = sum(labelled_shares(cube.labels, len(cohort.classes)) for cube in cubes)
        if not np.any(counts):
            regions = cohort.sections[0].regions
            raise FileError(f"{regions}: no measured pixel of any section has a label (classes: {cohort.classes})")
        yield cubes
    finally:
        store.close()


def normalisation_factor(ds: Dataset, kind: str) -> npt.NDArray[np.float32]:
    """What each pixel's intensities are multiplied by, float32 (H, W); 0 for pixels without signal.

    Raises:
        ArgumentError: An unknown kind.
        FileError: A spectrum cannot be read.
    """
    if kind not in NORMALISATIONS:
        raise ArgumentError(f"normalisation must be one of {', '.join(NORMALISATIONS)}, not '{kind}'")
    if kind == "none":
        return np.ones(ds.shape, np.float32)
    if kind == "tic":
        level = np.nan_to_num(tic_image(ds).astype(np.float64))
    else:
        level = np.zeros(ds.shape[0] * ds.shape[1])
        for pixel, spectrum in ds._native.pixels:
            intensity = ds.spectrum(int(spectrum))[1]
            present = intensity[intensity > 0]
            if present.size:
                level[pixel] = np.sqrt(np.mean(present**2)) if kind == "rms" else np.median(present)
        level = level.reshape(ds.shape)
    factor = np.divide(_LEVELS[kind], level, out=np.zeros_like(level), where=level > 0)
    return factor.astype(np.float32)


def split_blocks(cube: Cube, rows: int, columns: int, *, buffer: int) -> list[Cube]:
    """A section cut into spatial blocks, as if each was a section of its own.

    Every block keeps the labels that lie at least ``buffer`` pixels inside its inner borders, and sees only its own
    pixels as measured, so that labelled pixels of two blocks are more than ``2 * buffer`` apart and no patch shares a
    pixel with one of another block.

    Args:
        cube: The section.
        rows: Blocks from top to bottom.
        columns: Blocks from left to right.
        buffer: Pixels along inner borders that lose their label, from 0.

    Returns:
        Blocks with labels, row by row; ``group`` is the name of the block.

    Raises:
        ArgumentError: Blocks smaller than their buffers.
    """
    height, width = cube.measured.shape
    edges = [np.linspace(0, side, parts + 1).round().astype(int) for side, parts in ((height, rows), (width, columns))]
    if buffer < 0 or min(int(np.diff(each).min()) for each in edges) <= 2 * buffer:
        raise ArgumentError(f"{rows} x {columns} blocks of {height} x {width} pixels leave nothing within {buffer}")
    blocks = []
    for r in range(rows):
        for c in range(columns):
            top, bottom, left, right = edges[0][r], edges[0][r + 1], edges[1][c], edges[1][c + 1]
            own = np.zeros((height, width), bool)
            own[top:bottom, left:right] = True
            inner = np.zeros_like(own)
            inner[
                top + (buffer if r else 0) : bottom - (buffer if r < rows - 1 else 0),
                left + (buffer if c else 0) : right - (buffer if c < columns - 1 else 0),
            ] = True
            labels = np.where(inner, cube.labels, np.int16(UNLABELLED))
            if (labels != UNLABELLED).any():
                name = f"{cube.name}[{r},{c}]"
                blocks.append(Cube(name, name, cube.source, cube.values, cube.measured & own, labels))
    return blocks
