"""A streaming imzML writer: every spectrum goes to disk as it is added.

Both files are written under temporary names and renamed once they are complete, the imzML last, so an imzML file that
exists always has its complete ibd.
"""

from __future__ import annotations

import hashlib
import os
import weakref
import zlib as zlib_module
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from uuid import UUID, uuid4

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import temporary_beside
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.imzml_header import Header
from ionmorphnet.io.imzml_origin import Origin, Param
from ionmorphnet.io.literals import FloatType, Mode, SpectrumType

_SPECTRA_PER_WRITE = 4096
LARGEST_POSITION = 2**31 - 1


class ImzMLWriter:
    """Writes an imzML file and its ibd, one spectrum or many at a time.

    Use it as a context manager. A normal exit completes both files. An exception removes what was written and leaves an
    existing pair of the same name untouched. A writer that is never closed leaves no files.

    Memory grows by 72 bytes per spectrum; the spectra themselves are not kept.

    Example:
        >>> import ionmorphnet as imn
        >>> with imn.ImzMLWriter("section.imzML", mode="processed", spectrum_type="centroid") as writer:
        ...     writer.add(1, 1, [100.0, 200.0], [5.0, 7.0])
        ...     writer.add(2, 1, [100.0, 300.0], [6.0, 1.0])
        >>> imn.open("section.imzML").n_spectra
        2
    """

    def __init__(
        self,
        path: PathLike,
        *,
        mode: Mode,
        spectrum_type: SpectrumType,
        pixel_size_um: float | tuple[float, float] | None = None,
        mz_dtype: FloatType = "float64",
        intensity_dtype: FloatType = "float32",
        zlib: bool = False,
        uuid: UUID | None = None,
        ms_level: int | None = 1,
        origin: Origin | None = None,
        methods: Sequence[tuple[Param, ...]] = (),
    ) -> None:
        """Creates the temporary files.

        Args:
            path: The imzML file to write. The ibd file gets the same name with the suffix ``.ibd``.
            mode: ``"continuous"`` (all spectra share one m/z axis) or ``"processed"`` (each has its own).
            spectrum_type: ``"centroid"`` or ``"profile"``; declared in the file, not checked against the data.
            pixel_size_um: Pixel size in micrometres, one number or (width, height). None declares no size.
            mz_dtype: m/z type on disk.
            intensity_dtype: Intensity type on disk.
            zlib: Whether to compress every array.
            uuid: Identifier stored in both files; random by default.
            ms_level: MS level of the spectra; None declares none.
            origin: What the data were made from, by which instrument and programs, and their polarity.
            methods: What was done to the data besides writing them: the terms of each step.

        Raises:
            ArgumentError: An argument has the wrong type or is out of range.
            FileError: The files cannot be created, or a folder has one of their names.
        """
        self.path = Path(path)
        if self.path.suffix.lower() != ".imzml":
            raise ArgumentError(f"path must end in .imzML, got {self.path.name!r}")
        if mode not in ("continuous", "processed"):
            raise ArgumentError(f"mode must be 'continuous' or 'processed', got {mode!r}")
        if spectrum_type not in ("centroid", "profile"):
            raise ArgumentError(f"spectrum_type must be 'centroid' or 'profile', got {spectrum_type!r}")
        sides = None if pixel_size_um is None else np.broadcast_to(np.asarray(pixel_size_um, np.float64), (2,))
        if sides is not None and not (np.isfinite(sides) & (sides > 0)).all():
            raise ArgumentError(f"pixel_size_um must be positive, got {pixel_size_um}")
        self.ibd_path = self.path.with_suffix(".ibd")
        self._continuous = mode == "continuous"
        self._profile = spectrum_type == "profile"
        self._pixel_size_um = None if sides is None else (float(sides[0]), float(sides[1]))
        self._mz_dtype = _little_endian("mz_dtype", mz_dtype)
        self._intensity_dtype = _little_endian("intensity_dtype", intensity_dtype)
        self._zlib = zlib
        self._uuid = uuid4() if uuid is None else uuid
        self._ms_level = ms_level
        self._origin = Origin() if origin is None else origin
        self._methods = tuple(methods)
        self._records: list[NDArray[np.int64]] = []
        self._axis: NDArray[np.floating] | None = None
        self._axis_record = (0, 0, 0)
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._offset = 0
        self._imzml_target, self._imzml_part = temporary_beside(self.path)
        self._ibd_target, self._ibd_part = temporary_beside(self.ibd_path)
        try:
            self._ibd: BinaryIO = self._ibd_part.open("wb")
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written ({error.strerror})") from error
        # Alive until the files are complete or removed; also runs when the writer is garbage-collected.
        self._remove = weakref.finalize(self, _remove_parts, self._ibd, (self._ibd_part, self._imzml_part))
        self._put(self._uuid.bytes)

    @property
    def n_spectra(self) -> int:
        """Number of spectra added so far."""
        return sum(len(record) for record in self._records)

    def add(self, x: int, y: int, mz: ArrayLike | None, intensity: ArrayLike, *, z: int = 1) -> None:
        """Adds one spectrum.

        Args:
            x: Pixel column, counted from 1.
            y: Pixel row, counted from 1.
            mz: m/z values (n,), ascending and not negative. In a continuous file the first call sets the axis; later
                calls repeat it or pass None.
            intensity: Intensities (n,), finite.
            z: Plane, counted from 1.

        Raises:
            ArgumentError: The arrays differ in length, m/z is not ascending, the axis of a continuous file changes, a
                value overflows its type on disk, a position is not an integer of at least 1, or the writer is closed.
            FileError: The disk is full or not writable.
        """
        intensities = np.atleast_2d(np.asarray(intensity))
        if intensities.ndim != 2 or len(intensities) != 1:
            raise ArgumentError(f"intensity must be one-dimensional, got shape {np.shape(intensity)}")
        position = np.array([[x, y, z]])
        if self._continuous:
            self.add_shared(position, mz, intensities)
        elif mz is None:
            raise ArgumentError("a processed file needs the m/z of every spectrum")
        else:
            self.add_many(position, mz, intensities[0], np.array([intensities.shape[1]]))

    def add_many(self, positions: ArrayLike, mz: ArrayLike, intensity: ArrayLike, counts: ArrayLike) -> None:
        """Adds several spectra to a processed file.

        Args:
            positions: int (k, 3): x, y and z of each spectrum, counted from 1.
            mz: m/z of all spectra in sequence, (sum of ``counts``,); ascending within each spectrum, not negative.
            intensity: Intensities in the same order and shape, finite.
            counts: int (k,): number of points in each spectrum.

        Raises:
            ArgumentError: As :meth:`add`; also if the shapes do not match, or the file is continuous.
            FileError: The disk is full or not writable.
        """
        self._require_open()
        if self._continuous:
            raise ArgumentError("add_many writes processed files; use add or add_shared for a continuous file")
        where = _positions(positions)
        mz_values, values = _on_disk("m/z", mz, self._mz_dtype), _on_disk("intensity", intensity, self._intensity_dtype)
        lengths = np.asarray(counts)
        if lengths.size == 0:
            lengths = lengths.astype(np.int64)  # an empty list has no integer type
        if lengths.shape != (len(where),) or lengths.dtype.kind not in "iu" or np.any(lengths < 0):
            raise ArgumentError(f"counts must hold one non-negative integer for each of the {len(where)} spectra")
        lengths = lengths.astype(np.int64)
        if mz_values.ndim != 1 or mz_values.shape != values.shape or lengths.sum() != mz_values.size:
            raise ArgumentError(
                f"shapes do not match: mz {mz_values.shape}, intensity {values.shape}, sum of counts {lengths.sum()}"
            )
        if len(where) == 0:
            return
        ends = np.cumsum(lengths)
        rises = np.diff(mz_values) >= 0
        rises[ends[:-1][(ends[:-1] > 0) & (ends[:-1] < mz_values.size)] - 1] = True  # borders between spectra
        if not rises.all() or np.any(mz_values < 0):
            raise ArgumentError("m/z must be ascending and not negative within each spectrum")
        mz_record = self._write_arrays(mz_values, lengths)
        self._record(where, mz_record, self._write_arrays(values, lengths))

    def add_shared(self, positions: ArrayLike, mz: ArrayLike | None, intensities: ArrayLike) -> None:
        """Adds several spectra to a continuous file.

        Args:
            positions: int (k, 3): x, y and z of each spectrum, counted from 1.
            mz: The shared m/z axis (n,), ascending and not negative, or None once it is set.
            intensities: Intensities (k, n), finite.

        Raises:
            ArgumentError: As :meth:`add`; also if the shapes do not match, or the file is processed.
            FileError: The disk is full or not writable.
        """
        self._require_open()
        if not self._continuous:
            raise ArgumentError("add_shared writes continuous files; use add or add_many for a processed file")
        where, values = _positions(positions), _on_disk("intensity", intensities, self._intensity_dtype)
        axis = self._checked_axis(mz)
        if values.shape != (len(where), axis.size):
            raise ArgumentError(f"intensities must have the shape ({len(where)}, {axis.size}), got {values.shape}")
        if len(where) == 0:
            return
        if self._axis is None:
            self._axis = axis
            record = self._write_arrays(axis, np.array([axis.size]))
            self._axis_record = (int(record[0, 0]), int(record[0, 1]), int(record[0, 2]))
        record = self._write_arrays(values.ravel(), np.full(len(where), axis.size, dtype=np.int64))
        self._record(where, np.tile(np.array(self._axis_record, dtype=np.int64), (len(where), 1)), record)

    def close(self) -> None:
        """Writes the header and renames both files; does nothing if the writer is closed already.

        Raises:
            FileError: The disk is full or not writable. The temporary files are removed.
        """
        if not self._remove.alive:
            return
        try:
            self._ibd.close()
            self._write_header()
            os.replace(self._ibd_part, self._ibd_target)
            os.replace(self._imzml_part, self._imzml_target)
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written ({error.strerror})") from error
        finally:
            self.discard()  # a no-op after success: the temporary names are gone

    def discard(self) -> None:
        """Abandons the file and removes what was written so far; does nothing once the files are complete."""
        self._remove()

    def __enter__(self) -> Self:
        """Returns the writer; its files are open since construction."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Completes the files, or removes them after an exception."""
        if kind is None:
            self.close()
        else:
            self.discard()

    def _require_open(self) -> None:
        if not self._remove.alive:
            raise ArgumentError(f"{self.path}: the writer is closed; open a new one to add spectra")

    def _checked_axis(self, mz: ArrayLike | None) -> NDArray[np.floating]:
        """Shared axis of a continuous file, in its type on disk."""
        if mz is None:
            if self._axis is None:
                raise ArgumentError("mz is None, but the first spectrum of a continuous file must set the m/z axis")
            return self._axis
        axis = _on_disk("m/z", mz, self._mz_dtype)
        if self._axis is not None:
            if not np.array_equal(axis, self._axis):
                raise ArgumentError(
                    "mz differs from the axis of the first spectrum; a continuous file has one shared axis"
                )
            return self._axis
        if axis.ndim != 1 or np.any(np.diff(axis) < 0) or np.any(axis < 0):
            raise ArgumentError("m/z must be one-dimensional, ascending and not negative")
        return axis.copy()  # the caller may reuse the array

    def _write_arrays(self, flat: NDArray[np.floating], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """Writes consecutive arrays; returns length, offset and encoded bytes of each, (k, 3)."""
        sizes = lengths * flat.itemsize
        start = self._offset
        if self._zlib:
            packed = [zlib_module.compress(part.tobytes(), 6) for part in np.split(flat, np.cumsum(lengths)[:-1])]
            sizes = np.array([len(part) for part in packed], dtype=np.int64)
            self._put(b"".join(packed))
        else:
            self._put(np.ascontiguousarray(flat).view(np.uint8).data)
        offsets = start + np.concatenate([[0], np.cumsum(sizes)[:-1]])
        return np.stack([lengths, offsets, sizes], axis=1)

    def _put(self, data: bytes | memoryview) -> None:
        try:
            self._ibd.write(data)
        except OSError as error:
            self.discard()  # offsets recorded from here on would be wrong
            raise FileError(f"{self.ibd_path}: cannot be written ({error.strerror})") from error
        self._sha1.update(data)
        self._offset += len(data)  # data holds bytes, so len() counts bytes

    def _record(self, where: NDArray[np.int64], mz: NDArray[np.int64], intensity: NDArray[np.int64]) -> None:
        self._records.append(np.concatenate([where, mz, intensity], axis=1))

    def _write_header(self) -> None:
        records = np.concatenate(self._records) if self._records else np.zeros((0, 9), dtype=np.int64)
        extent = records[:, :2].max(axis=0) if len(records) else np.zeros(2, dtype=np.int64)
        header = Header(
            continuous=self._continuous,
            profile=self._profile,
            zlib=self._zlib,
            mz_dtype=self._mz_dtype,
            intensity_dtype=self._intensity_dtype,
            pixel_size_um=self._pixel_size_um,
            uuid=self._uuid,
            sha1=self._sha1.hexdigest(),
            extent=(int(extent[0]), int(extent[1])),
            n_spectra=len(records),
            ms_level=self._ms_level,
            origin=self._origin,
            methods=self._methods,
        )
        index = np.arange(len(records))
        rows = np.concatenate([(index + 1)[:, None], index[:, None], records], axis=1)
        template = header.spectrum_template()
        with self._imzml_part.open("w", encoding="utf-8", newline="\n") as file:
            file.write(header.head())
            for first in range(0, len(rows), _SPECTRA_PER_WRITE):
                part = rows[first : first + _SPECTRA_PER_WRITE]
                file.write((template * len(part)) % tuple(part.ravel().tolist()))
            file.write(header.tail())


def _little_endian(argument: str, name: str) -> np.dtype[np.floating]:
    if name not in ("float32", "float64"):
        raise ArgumentError(f"{argument} must be 'float32' or 'float64', got {name!r}")
    return np.dtype("<f4" if name == "float32" else "<f8")


def _remove_parts(ibd: BinaryIO, parts: tuple[Path, ...]) -> None:
    with suppress(OSError):  # closing flushes, which fails on a full disk
        ibd.close()
    for part in parts:
        part.unlink(missing_ok=True)


def _positions(positions: ArrayLike) -> NDArray[np.int64]:
    where = np.asarray(positions)
    if where.shape in ((0,), (0, 3)):
        return np.zeros((0, 3), dtype=np.int64)
    if where.ndim != 2 or where.shape[1] != 3 or where.dtype.kind not in "iu" or np.any(where < 1):
        raise ArgumentError("positions must be integers of the shape (k, 3): x, y and z, each at least 1")
    if np.any(where > LARGEST_POSITION):
        raise ArgumentError(f"positions must be at most {LARGEST_POSITION}, got {where.max()}")
    return where.astype(np.int64)


def _on_disk(name: str, values: ArrayLike, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
    """Converts values to their type on disk."""
    given = np.asarray(values)
    if given.dtype.kind not in "fiub":
        raise ArgumentError(f"{name} must be real numbers, got {given.dtype}")
    with np.errstate(over="ignore"):  # overflow becomes infinity, rejected below
        stored: NDArray[np.floating] = given.astype(dtype, copy=False)
    if not np.isfinite(stored).all():
        raise ArgumentError(f"{name} must be finite as {dtype.name}")
    return stored
