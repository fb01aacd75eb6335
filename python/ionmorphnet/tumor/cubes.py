"""Sections as normalised cubes [y, x, channel], from which patches are read; kept on disk if memory is short."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.normalization import checked_normalize, pixel_norms
from ionmorphnet.tumor.channel_checks import (
    Span,
    constant,
    covers,
    describe_unreached,
    log_new_warnings,
    shared_span,
    unreached,
)
from ionmorphnet.tumor.cohort import Cohort, Survey, open_section, survey
from ionmorphnet.tumor.regions import UNLABELLED
from ionmorphnet.tumor.standardization import checked_standardization, standardize_section

logger = logging.getLogger("ionmorphnet")

# Sum (TIC), root mean square (RMS) or median of a normalised pixel.
_LEVELS = {"tic": 1e4, "rms": 1e2, "median": 1e2}


@dataclass(frozen=True, eq=False, repr=False)
class Cube:
    """One section, or a block of it.

    Attributes:
        name: Name of the section.
        group: Patient, or block, that is never split between training and test.
        source: The file with links resolved, for the check that training and test share no pixel.
        values: float32 (H, W, C), square roots of normalised intensities, standardised if asked for; in memory or
            mapped from disk.
        measured: bool (H, W).
        labels: int16 (H, W), -1 = no label; labelled pixels are measured.
        identity: Identifies copies of the file, see :class:`~ionmorphnet.tumor.cohort.Survey`.
    """

    name: str
    group: str
    source: str
    values: npt.NDArray[np.float32]
    measured: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int16]
    identity: str = ""

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
    """Allocates cubes in memory up to a limit, then in temporary files, which :meth:`close` removes."""

    def __init__(self, memory_limit: int | str = "4GB", folder: Path | None = None) -> None:
        """Makes an empty store.

        Args:
            memory_limit: Limit of anonymous memory, in bytes or as text such as ``"4GB"``; cubes use half of it.
            folder: Folder for the files; None: the system's temporary folder.
        """
        self.limit = parse_bytes(memory_limit)
        self.used = 0
        self._folder = folder
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._files = 0

    def allocate(self, shape: tuple[int, int, int]) -> npt.NDArray[np.float32]:
        """Zeros float32 (H, W, C), in memory or, once half of the limit is used, mapped from a new file."""
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

    def fill(
        self, ds: Dataset, axis: CandidateAxis, normalize: str, span: Span | None = None
    ) -> npt.NDArray[np.float32]:
        """Reads the cube of a section, float32 (H, W, C); 0 where nothing was measured.

        Warnings of the reader about intensities are logged.

        Args:
            ds: The section.
            axis: The channels.
            normalize: Norm, see :func:`pixel_factors`.
            span: m/z range of the norm; None: the whole range.

        Raises:
            ArgumentError: An unknown normalisation.
            FileError: The section cannot be read.
        """
        height, width = ds.shape
        before = len(ds.warnings)
        factor = pixel_factors(ds, normalize, span)
        values = self.allocate((height, width, len(axis)))
        # The images, a scaled copy and the transposed part are held at the same time.
        step = max(1, self.limit // 4 // (16 * height * width))
        for first in range(0, len(axis), step):
            part = slice(first, first + step)
            images = ds.window_images(axis.mz_lo[part], axis.mz_hi[part])
            np.nan_to_num(images, copy=False, nan=0.0)
            np.maximum(images, 0.0, out=images)
            images *= factor
            np.sqrt(images, out=images)
            values[:, :, part] = images.transpose(1, 2, 0)
        log_new_warnings(ds, before)
        return values

    def close(self) -> None:
        """Removes the files. Cubes mapped from them must not be used afterwards."""
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None


@contextmanager
def open_cubes(
    cohort: Cohort,
    axis: CandidateAxis,
    *,
    normalize: str = "tic",
    standardize: str = "none",
    span: Span | None = None,
    surveys: Sequence[Survey] | None = None,
    memory_limit: int | str = "4GB",
    folder: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[list[Cube]]:
    """Reads the cubes of a cohort.

    Args:
        cohort: The sections.
        axis: The channels; every section must reach all of them.
        normalize: ``none``, ``tic``, ``rms`` or ``median``, see :meth:`ionmorphnet.Dataset.normalized`.
            Square roots are taken afterwards, which makes the variance of counting noise uniform.
        standardize: How each channel of each section is standardised after that, see
            :func:`~ionmorphnet.tumor.standardization.standardize_section`.
        span: m/z range of the norm, which keeps it independent of how far each file reaches; None: the range that all
            sections of the cohort span.
        surveys: Surveys of the cohort; None: they are made.
        memory_limit: Limit of anonymous memory, in bytes or as text such as ``"4GB"``. Cubes use half of it; the rest
            are mapped from files.
        folder: Folder for these files; None: the system's temporary folder.
        progress: Called as progress(done, total) in sections.

    Yields:
        One cube per section.

    Raises:
        ArgumentError: The normalisation or standardisation is unknown, the axis is empty, a section does not reach a
            channel, or the sections share no m/z range.
        FileError: A section or its regions cannot be used, or no pixel of the cohort has a label.
    """
    if not len(axis):
        raise ArgumentError("the list of channels is empty")
    checked_normalize(normalize)
    checked_standardization(standardize)
    surveys = survey(cohort) if surveys is None else surveys
    for section, known in zip(cohort.sections, surveys, strict=True):
        missing = unreached(axis, known.span)
        if missing.any():
            fault = describe_unreached(axis, missing, known.span)
            raise ArgumentError(f"section '{section.name}', {section.path}: {fault}")
    if span is None:
        span = shared_span([known.span for known in surveys], [section.name for section in cohort.sections])
    store = CubeStore(memory_limit, folder)
    try:
        cubes = []
        for section, known in zip(cohort.sections, surveys, strict=True):
            if normalize != "none" and not covers(known.span, span):
                logger.warning("%s: %s", section.path, describe_uncovered(known.span, span, normalize))
            with open_section(section) as ds:
                values = store.fill(ds, axis, normalize, span)
            flat = constant(values, known.measured)
            if flat.any():
                logger.warning(
                    "%s: %d of %d channels are constant, usually because they have no signal",
                    section.path,
                    flat.sum(),
                    len(axis),
                )
            standardize_section(values, known.measured, standardize)
            source = os.path.realpath(section.path)
            cubes.append(
                Cube(section.name, section.patient, source, values, known.measured, known.labels, known.identity)
            )
            if progress is not None:
                progress(len(cubes), len(cohort))
        yield cubes
    finally:
        store.close()


def pixel_factors(ds: Dataset, kind: str, span: Span | None = None) -> npt.NDArray[np.float32]:
    """Factor that normalises each pixel's intensities, float32 (H, W); 0 for pixels without signal.

    Args:
        ds: The section.
        kind: ``none``, ``tic``, ``rms`` or ``median``.
        span: m/z range (low, high) of the norm; None: the whole range.

    Raises:
        ArgumentError: The kind is unknown.
        FileError: A spectrum cannot be read.
    """
    kind = checked_normalize(kind)
    if kind == "none":
        return np.ones(ds.shape, np.float32)
    norm = pixel_norms(ds._native, kind, ds.mz_range if span is None else span)
    factor: npt.NDArray[np.float64] = np.divide(_LEVELS[kind], norm, out=np.zeros_like(norm), where=norm > 0)
    return factor.astype(np.float32)


def describe_uncovered(span: Span, wanted: Span, normalize: str) -> str:
    """Warns in logs that a file's norm is not comparable with that of the training sections."""
    return (
        f"spans m/z {span[0]:.4f} to {span[1]:.4f}, but the {normalize.upper()} is taken over {wanted[0]:.4f} to "
        f"{wanted[1]:.4f}; its normalised intensities are larger than in sections that span the whole range"
    )


def split_blocks(cube: Cube, rows: int, columns: int, *, buffer: int) -> list[Cube]:
    """Cuts a section into spatial blocks that count as separate sections.

    A block keeps the labels at least ``buffer`` pixels inside its inner borders, and only its own pixels count as
    measured. Labelled pixels of two blocks are therefore more than ``2 * buffer`` apart, and no patch shares a pixel
    with a patch of another block.

    Args:
        cube: The section.
        rows: Number of blocks from top to bottom.
        columns: Number of blocks from left to right.
        buffer: Width in pixels of the strips along inner borders that lose their labels; 0 or more.

    Returns:
        The blocks that have labels, row by row; ``group`` is the name of the block.

    Raises:
        ArgumentError: The blocks are no larger than their buffers.
    """
    height, width = cube.measured.shape
    edges = [np.linspace(0, side, parts + 1).round().astype(int) for side, parts in ((height, rows), (width, columns))]
    if buffer < 0 or min(int(np.diff(each).min()) for each in edges) <= 2 * buffer:
        raise ArgumentError(
            f"{rows} x {columns} blocks of {height} x {width} pixels leave no pixels inside a buffer of {buffer}; "
            "use fewer blocks or a smaller buffer"
        )
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
                blocks.append(replace(cube, name=name, group=name, measured=cube.measured & own, labels=labels))
    return blocks
