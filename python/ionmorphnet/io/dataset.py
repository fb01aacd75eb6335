"""Datasets: opened imzML files, and what a file's head declares."""

from __future__ import annotations

import logging
import os
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ionmorphnet import _core
from ionmorphnet.base.arguments import positive, thread_count
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from ionmorphnet.base.paths import PathLike, utf8_path
from ionmorphnet.io.info import FileInfo, read_info
from ionmorphnet.io.windows import mz_windows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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

    def ion_images(
        self,
        mz: float | Sequence[float] | ArrayLike,
        *,
        ppm: float | None = None,
        tol: float | None = None,
        threads: int = 0,
    ) -> NDArray[np.float32]:
        """Ion images of a list of m/z values, made in one pass over the file.

        Args:
            mz: One value or a list, in any order, repeats allowed. Values outside the file's range give images of
                zeros.
            ppm: Half width of every window in parts per million; exactly one of ``ppm`` and ``tol``.
            tol: Half width of every window in m/z units.
            threads: Worker threads, 0 = all. The result does not depend on it.

        Returns:
            float32 (n, height, width), in the order of ``mz``: the sum of the intensities with
            ``mz - half <= value <= mz + half``, bounds included, added in float64 and rounded once. NaN = not measured.

        Raises:
            ArgumentError: ``mz``, ``ppm`` or ``tol`` is out of range, or the file holds several z planes (take
                ``ds.plane(z)``).
            FileError: A spectrum cannot be read.
        """
        lo, hi = mz_windows(mz, ppm=ppm, tol=tol)
        return self.window_images(lo, hi, threads=threads)

    def window_images(self, lo: ArrayLike, hi: ArrayLike, *, threads: int = 0) -> NDArray[np.float32]:
        """Ion images of m/z windows given by their bounds, as :meth:`ion_images`.

        Args:
            lo: Lower bounds (n,), inclusive.
            hi: Upper bounds (n,), inclusive. Windows may overlap and repeat, in any order.
            threads: Worker threads, 0 = all.

        Returns:
            float32 (n, height, width), NaN = not measured.

        Raises:
            ArgumentError: The bounds do not fit each other, or the file holds several z planes (take ``ds.plane(z)``).
            FileError: A spectrum cannot be read.
        """
        self.require_one_plane()
        lower, upper = np.asarray(lo, dtype=np.float64), np.asarray(hi, dtype=np.float64)
        images: NDArray[np.float32] = _core.bin_images(self._native, lower, upper, threads=thread_count(threads))
        return images

    def mean_spectrum(
        self, *, ppm: float | None = None, threads: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean over all spectra.

        Args:
            ppm: Processed files: half width of the bins, which are equally wide on the ln(m/z) axis. None: chosen from
                the data (centroids: two standard deviations of a peak's position; profiles: half the spacing of the
                samples).
            threads: Worker threads, 0 = all. The result does not depend on it.

        Returns:
            ``(mz, intensity)``, float64, of equal length: the shared axis of a continuous file, the non-empty bins of a
            processed one.

        Raises:
            ArgumentError: ``ppm`` is not finite and positive, or ``threads`` is negative.
            FileError: A spectrum cannot be read.
        """
        width = 0.0 if ppm is None else 2.0 * positive("ppm", ppm)
        mz, intensity = _core.mean_spectrum(self._native, ppm=width, threads=thread_count(threads))
        return mz, intensity

    def tic_image(self, *, threads: int = 0) -> NDArray[np.float32]:
        """Total ion current: the sum of all intensities of each pixel.

        Args:
            threads: Worker threads, 0 = all. The result does not depend on it.

        Returns:
            float32 (height, width), NaN = not measured.

        Raises:
            ArgumentError: The file holds several z planes (take ``ds.plane(z)``), or ``threads`` is negative.
            FileError: A spectrum cannot be read.
        """
        self.require_one_plane()
        image: NDArray[np.float32] = _core.tic_image(self._native, threads=thread_count(threads))
        return image

    def require_one_plane(
        self, remedy: str = "take one of them with ds.plane(z)", *, error: type[IonMorphNetError] = ArgumentError
    ) -> None:
        """Checks that the dataset is one image plane.

        Args:
            remedy: What the caller suggests, the end of the message.
            error: What is raised where there are several.

        Raises:
            ArgumentError: The file holds several z planes.
        """
        planes = self.z_planes
        if len(planes) > 1:
            listed = ", ".join(str(z) for z in planes[:8]) + (", ..." if len(planes) > 8 else "")
            raise error(f"{self.path}: holds {len(planes)} z planes ({listed}); {remedy}")

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


# The public name; inside the package open_dataset leaves the built-in open() alone.
open = open_dataset
