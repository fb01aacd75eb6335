"""Datasets: opened imzML files, and what a file's head declares."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionmorphnet import _core
from ionmorphnet.errors import ArgumentError
from ionmorphnet.file_info import FileInfo, read_info
from ionmorphnet.paths import PathLike, utf8_path

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Dataset", "FileInfo", "open_dataset", "read_info"]

logger = logging.getLogger("ionmorphnet")

CHANGED = "its ibd file was written to after it was opened; what was read may mix both states, read it again"

Mode = Literal["continuous", "processed"]
SpectrumType = Literal["profile", "centroid"]
Duplicates = Literal["first", "sum", "error"]


class Dataset:
    """One opened imzML section, or one z plane of it.

    Made by :func:`ionmorphnet.open`. The ``.ibd`` file is memory-mapped: spectra are read when they are asked for, from
    several threads at once if need be. A dataset is a context manager, and it pickles (as path and options: the
    receiving process opens the files again).
    """

    def __init__(self, native: Any, options: Mapping[str, Any], plane: int | None = None) -> None:
        """Wraps a native handle; use :func:`ionmorphnet.open`.

        Args:
            native: ``_core.Dataset``.
            options: arguments of :func:`open_dataset` that open the same file again.
            plane: z plane that this is, ``None`` for the whole file.
        """
        self._handle = native
        self._options = dict(options)
        self._plane = plane

    @property
    def _native(self) -> Any:
        """Native handle, for the other stages."""
        if self._handle is None:
            raise ArgumentError(f"{self._options['path']}: the dataset is closed")
        return self._handle

    @property
    def path(self) -> str:
        """Path of the imzML file, as given."""
        return str(self._options["path"])

    @property
    def ibd_path(self) -> str:
        """Path of the ibd file, as given or found."""
        return str(self._native.ibd_path)

    @property
    def n_spectra(self) -> int:
        """Number of spectra."""
        return int(self._native.n_spectra)

    @property
    def shape(self) -> tuple[int, int]:
        """Pixel grid as (height, width)."""
        return int(self._native.height), int(self._native.width)

    @property
    def coordinates(self) -> NDArray[np.int32]:
        """Pixel of each spectrum, (n_spectra, 3) int32: x, y, z, all counted from 1.

        ``coordinates = (raw_coordinates - coordinate_origin) // coordinate_step + 1``.
        """
        out: NDArray[np.int32] = self._native.coordinates
        return out

    @property
    def raw_coordinates(self) -> NDArray[np.int64]:
        """Positions as written in the file, (n_spectra, 3) int64: x, y, z (0 where the file has none)."""
        out: NDArray[np.int64] = self._native.raw_coordinates
        return out

    @property
    def coordinate_origin(self) -> tuple[int, int, int]:
        """Smallest written x, y, z of the file; the pixel with coordinate 1."""
        x, y, z = self._native.coordinate_origin
        return x, y, z

    @property
    def coordinate_step(self) -> tuple[int, int, int]:
        """Written units per pixel along x, y, z; 1 except for stage coordinates."""
        x, y, z = self._native.coordinate_step
        return x, y, z

    @property
    def mode(self) -> Mode:
        """``"continuous"`` (one shared m/z axis) or ``"processed"``, as the m/z offsets show."""
        mode: Mode = self._native.mode
        return mode

    @property
    def was_changed(self) -> bool:
        """Whether the ibd file was written to since it was opened, so that what was read may mix both states.

        False where another file has taken its place: the one that was opened is still read.
        """
        return bool(self._native.changed())

    @property
    def spectrum_type(self) -> SpectrumType:
        """``"profile"`` or ``"centroid"``: given on opening, else declared, else inferred from the data."""
        kind: SpectrumType = self._native.spectrum_type
        return kind

    @property
    def mz_range(self) -> tuple[float, float]:
        """Smallest and largest m/z over all spectra; (0, 0) if all are empty. Read on first use.

        Raises:
            FileError: an m/z array that starts or ends with something that is no m/z.
        """
        lo, hi = self._native.mz_range()
        return lo, hi

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Width and height of a pixel in micrometres; ``None`` if the file does not tell."""
        size: tuple[float, float] | None = self._native.pixel_size_um
        return size

    @property
    def z_planes(self) -> list[int]:
        """Values of z in :attr:`coordinates`, ascending; each is a section of its own, see :meth:`plane`."""
        return list(self._native.z_planes)

    @property
    def plane_z(self) -> int | None:
        """z of the plane that this dataset was made for by :meth:`plane`; None for a whole file."""
        return self._plane

    @property
    def open_options(self) -> dict[str, Any]:
        """How the file was opened: strict, duplicates, spectrum_type, repair."""
        return {name: self._options[name] for name in ("strict", "duplicates", "spectrum_type", "repair")}

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Measured pixels, (height, width) bool.

        Raises:
            ArgumentError: the file holds several z planes.
        """
        height, width = self.shape
        mask = np.zeros(height * width, dtype=np.bool_)
        mask[self._native.pixels[:, 0]] = True
        return mask.reshape(height, width)

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of problem met so far; grows while spectra are read."""
        return list(self._native.warnings)

    @property
    def declared(self) -> dict[str, str]:
        """What the head of the file declares, as text (``mode``, ``spectrum_type``, ``uuid``, ``instrument`` ...)."""
        return dict(self._native.declared)

    def spectrum(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Reads one spectrum.

        Args:
            index: 0 .. n_spectra - 1; negative ones count from the end.

        Returns:
            m/z (ascending) and intensity, both (n,) float64. NaN intensities have become 0.

        Raises:
            IndexError: there is no such spectrum.
            FileError: its m/z values are not ascending, not finite or negative, or its data are damaged.
        """
        n = self.n_spectra
        if not -n <= index < n:
            raise IndexError(f"spectrum {index} of a dataset of {n} spectra")
        mz, intensity = self._native.spectrum(index + n if index < 0 else index)
        return mz, intensity

    def plane(self, z: int) -> Dataset:
        """The spectra of one z plane as a dataset of its own, on the same pixel grid; shares the opened files.

        Args:
            z: value as in :attr:`z_planes`.

        Raises:
            ArgumentError: there is no such plane.
        """
        return Dataset(self._native.plane(z), self._options, z)

    def ion_images(self, mz: ArrayLike, *, ppm: float | None = None, tol: float | None = None, threads: int = 0) -> Any:
        """Ion images of a list of m/z; see :func:`ionmorphnet.images.ion_images`.

        Args:
            mz: (n,) centres of the windows.
            ppm: half width of the windows in parts per million; exactly one of ``ppm`` and ``tol``.
            tol: half width of the windows in m/z units.
            threads: number of threads, 0 for all.

        Returns:
            (n, height, width) float32, summed in float64 over ``mz - half <= m/z <= mz + half``; NaN = not measured.
        """
        from ionmorphnet import images

        return images.ion_images(self, mz, ppm=ppm, tol=tol, threads=threads)

    def mean_spectrum(self) -> Any:
        """Mean over all spectra; see :func:`ionmorphnet.images.mean_spectrum`."""
        from ionmorphnet import images

        return images.mean_spectrum(self)

    def tic_image(self) -> Any:
        """Sum of all intensities of each pixel, (height, width); see :func:`ionmorphnet.images.tic_image`."""
        from ionmorphnet import images

        return images.tic_image(self)

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._handle is None

    def close(self) -> None:
        """Lets go of the files. Reading afterwards is an error; closing twice is not."""
        self._handle = None

    def __enter__(self) -> Dataset:
        """The dataset itself; leaving closes it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes."""
        self.close()

    def __len__(self) -> int:
        """Number of spectra."""
        return self.n_spectra

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles absolute paths and options; the files are opened again on the other side."""
        options = dict(self._options)
        for name in ("path", "ibd_path"):
            if options.get(name):
                options[name] = os.path.abspath(options[name])
        return _reopen, (options, self._plane, self.closed)

    def __repr__(self) -> str:
        """One line: path, size, kind."""
        if self.closed:
            return f"<Dataset {self.path!r}, closed>"
        height, width = self.shape
        planes = self.z_planes
        where = f", plane z={self._plane}" if self._plane is not None else ""
        if len(planes) > 1:
            where = f", {len(planes)} z planes"
        return (
            f"<Dataset {self.path!r}: {self.n_spectra} spectra on {height} x {width} pixels{where}, "
            f"{self.mode} {self.spectrum_type}>"
        )


def _reopen(options: Mapping[str, Any], plane: int | None, closed: bool) -> Dataset:
    if closed:
        return Dataset(None, options, plane)
    # The warnings were logged by the process that opened the file first.
    dataset = Dataset(_open_native(options), options)
    return dataset if plane is None else dataset.plane(plane)


def _open_native(options: Mapping[str, Any]) -> Any:
    return _core.open_dataset(
        options["path"],
        ibd_path=options["ibd_path"] or "",
        strict=options["strict"],
        duplicates=options["duplicates"],
        spectrum_type=options["spectrum_type"],
        repair=options["repair"],
    )


def open_dataset(
    path: PathLike,
    *,
    ibd_path: PathLike | None = None,
    strict: bool = True,
    duplicates: Duplicates = "first",
    spectrum_type: SpectrumType | None = None,
    repair: bool = False,
) -> Dataset:
    """Opens an imzML section (exported as :func:`ionmorphnet.open`).

    Reads the header and checks every offset against the size of the ibd file; spectra are read later. What is odd but
    can be read is listed in :attr:`Dataset.warnings` and logged to the logger ``ionmorphnet``.

    Args:
        path: the imzML file.
        ibd_path: the ibd file; by default the one beside ``path``, whatever the case of its name.
        strict: ``False`` keeps the readable spectra of a truncated ibd file instead of refusing it.
        duplicates: several spectra at one pixel: show the ``"first"``, ``"sum"`` them, or an ``"error"``.
        spectrum_type: overrides what the file declares or what its data look like.
        repair: sort m/z values and drop those that are NaN or negative, instead of refusing the spectrum.

    Raises:
        FileError: not imzML, ibd missing, truncated, ...: the message names file and cause.
        ArgumentError: an option that cannot be meant.
    """
    options: dict[str, Any] = {
        "path": utf8_path(path),
        "ibd_path": None if ibd_path is None else utf8_path(ibd_path),
        "strict": bool(strict),
        "duplicates": duplicates,
        "spectrum_type": spectrum_type,
        "repair": bool(repair),
    }
    dataset = Dataset(_open_native(options), options)
    for line in dataset.warnings:
        logger.warning("%s: %s", dataset.path, line)
    return dataset
