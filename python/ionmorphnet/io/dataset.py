"""Opened imzML files: spectra, geometry, ion images, mean spectrum."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypedDict, Unpack

import numpy as np
from numpy.typing import NDArray

from ionmorphnet import _core
from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import PathLike, utf8_path
from ionmorphnet.io.html import facts_table
from ionmorphnet.io.literals import Copies, Duplicates, Mode, Normalize, Polarity, SpectrumType
from ionmorphnet.io.open_options import OpenOptions, checked_open_options
from ionmorphnet.io.regions import Region, found_regions, part_text, region_map
from ionmorphnet.io.section_images import SectionImages
from ionmorphnet.io.sizes import pixel_size_text, pixels_text
from ionmorphnet.io.spectrum_kinds import SpectrumKinds

__all__ = ["Dataset", "Duplicates", "Mode", "SpectrumType", "open_dataset"]

logger = logging.getLogger("ionmorphnet")

CHANGED = "its ibd file was written to after it was opened; what was read may mix both states, read it again"


class _Reopen(TypedDict):
    """All that is needed to open the same files again."""

    path: str
    ibd_path: str | None
    strict: bool
    duplicates: Duplicates
    spectrum_type: SpectrumType | None
    repair: bool
    copies: Copies
    ms_level: int | None
    polarity: Polarity | None
    run: str | None


class Dataset(SectionImages, SpectrumKinds):
    """An opened imzML section, or one z plane or region of it.

    Returned by :func:`ionmorphnet.open`. The ibd file is memory-mapped, so spectra are read on request; several threads
    may read at once. A dataset is a context manager. Pickling stores its absolute path and options; unpickling opens
    the files again.
    """

    def __init__(
        self,
        native: _core.Dataset | None,
        options: _Reopen,
        plane: int | None = None,
        normalize: Normalize = "none",
        region: int | None = None,
    ) -> None:
        """Wraps a native handle; use :func:`ionmorphnet.open` instead.

        Args:
            native: The native dataset, None for a closed one.
            options: Arguments of :func:`open_dataset` that open the same file again.
            plane: z of the plane, None for a whole file.
            normalize: How ion images are normalised.
            region: Number of the region, None for all of them.
        """
        self._handle = native
        self._options = options
        self._plane = plane
        self._region = region
        self._normalize: Normalize = normalize
        self._findings: list[str] | None = None  # of ionmorphnet.check_data
        self._scaled: dict[Normalize, _core.Dataset] = {}  # with the factors of each normalisation asked for

    @property
    def _native(self) -> _core.Dataset:
        """Native handle, for the later stages."""
        if self._handle is None:
            raise ArgumentError(f"{self._options['path']}: the dataset is closed")
        return self._handle

    @property
    def path(self) -> str:
        """Path of the imzML file, as given."""
        return str(self._options["path"])

    @property
    def ibd_path(self) -> str:
        """Path of the ibd file."""
        return self._native.ibd_path

    @property
    def n_spectra(self) -> int:
        """Number of spectra."""
        return self._native.n_spectra

    @property
    def shape(self) -> tuple[int, int]:
        """Size of the pixel grid, (height, width)."""
        return self._native.height, self._native.width

    @property
    def coordinates(self) -> NDArray[np.int32]:
        """Pixel of each spectrum, int32 (n_spectra, 3): x, y and z, counted from 1.

        ``coordinates = (raw_coordinates - coordinate_origin) // coordinate_step + 1``.
        """
        return self._native.coordinates

    @property
    def raw_coordinates(self) -> NDArray[np.int64]:
        """Positions as written in the file, int64 (n_spectra, 3): x, y and z; 0 where the file states none."""
        return self._native.raw_coordinates

    @property
    def coordinate_origin(self) -> tuple[int, int, int]:
        """Position x, y and z in the file that becomes coordinate 1."""
        return self._native.coordinate_origin

    @property
    def coordinate_step(self) -> tuple[int, int, int]:
        """Units of the written positions per pixel along x, y and z; above 1 for stage coordinates."""
        return self._native.coordinate_step

    @property
    def mode(self) -> Mode:
        """``"continuous"`` (one shared m/z axis) or ``"processed"``, derived from the m/z offsets."""
        return self._native.mode

    @property
    def was_changed(self) -> bool:
        """Whether the ibd file was written to after it was opened; data read since then may mix both states.

        False if the file was replaced by another one, because the original is still the one being read.
        """
        return self._native.changed()

    @property
    def spectrum_type(self) -> SpectrumType:
        """``"profile"`` or ``"centroid"``: as passed to ``open``, else as declared, else inferred from the data."""
        return self._native.spectrum_type

    @property
    def mz_range(self) -> tuple[float, float]:
        """Smallest and largest m/z of all spectra; (0, 0) if all are empty. Read on first use.

        Raises:
            FileError: An m/z array starts or ends with an invalid value.
        """
        return self._native.mz_range()

    @property
    def pixel_size_um(self) -> tuple[float, float] | None:
        """Distance of neighbouring pixels in x and y, in micrometres; None if the file does not state it or contradicts
        itself."""
        size: tuple[float, float] | None = self._native.pixel_size_um
        return size

    @property
    def z_planes(self) -> list[int]:
        """Values of z in :attr:`coordinates`, ascending. Each plane is a separate section, see :meth:`plane`."""
        return self._native.z_planes

    @property
    def plane_z(self) -> int | None:
        """z of the plane if this dataset came from :meth:`plane`; None for a whole file."""
        return self._plane

    @property
    def open_options(self) -> OpenOptions:
        """Options the file was opened with, except ``ibd_path``, which :attr:`ibd_path` states."""
        given = self._options
        return {
            "strict": given["strict"],
            "duplicates": given["duplicates"],
            "spectrum_type": given["spectrum_type"],
            "repair": given["repair"],
            "copies": given["copies"],
            "ms_level": given["ms_level"],
            "polarity": given["polarity"],
            "run": given["run"],
        }

    def log_warnings(self) -> None:
        """Logs the warnings found so far, to the logger ``ionmorphnet``."""
        for line in self.warnings:
            logger.warning("%s: %s", self.path, line)

    def reopened(self, **changed: Unpack[OpenOptions]) -> Dataset:
        """The same file opened once more, with other options; nothing is logged.

        Args:
            **changed: Options of :func:`ionmorphnet.open` that differ.

        Raises:
            FileError: It cannot be opened so.
            ArgumentError: An option has an unknown value.
        """
        checked_open_options(changed, function="reopened")
        options = _Reopen(**{**self._options, **changed})  # type: ignore[typeddict-item]
        return Dataset(_open_native(options), options, normalize=self._normalize)

    def native_of_all_spectra(self) -> _core.Dataset:
        """A handle on all spectra of the file, those of other MS levels and polarities too; this one if it has them.

        Raises:
            FileError: The spectra that are not read here are damaged.
        """
        if sum(self.runs.values()) == self.n_spectra:
            return self._native
        options = self._options.copy()
        options["duplicates"] = "first"
        return _core.open_dataset(**options, everything=True)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Measured pixels, bool (height, width).

        Raises:
            ArgumentError: The file holds several z planes, or regions too far apart for one image.
        """
        pixels = self._native.pixels  # first: raises where the grid is too large for an image
        mask = np.zeros(self.shape, dtype=np.bool_)
        mask.reshape(-1)[pixels[:, 0]] = True
        return mask

    @property
    def warnings(self) -> list[str]:
        """One line for each kind of problem found so far; grows as spectra are read, and by :func:`check_data`."""
        return [*self._native.warnings, *(self._findings or [])]

    @property
    def declared(self) -> dict[str, str]:
        """Declarations in the file header as text: ``mode``, ``spectrum_type``, ``uuid``, ``instrument`` and others."""
        return dict(self._native.declared)

    def copies(self, *, threads: int = 0) -> NDArray[np.int64]:
        """Finds spectra that repeat an earlier one value for value, as converters write them to fill lines or gaps.

        Empty and constant spectra repeat none, nor do spectra with so few digits (counts of a few ions) that chance
        makes them equal. From the first call on, :attr:`warnings` tells how many there are.

        Args:
            threads: CPU threads; 0: all cores.

        Returns:
            int64 (n_spectra,): number in the file of the first spectrum with these values, -1 where it is the spectrum
            itself.

        Raises:
            ArgumentError: ``threads`` is negative.
            FileError: The ibd file cannot be read.
        """
        return self._native.copies(threads=thread_count(threads))

    def spectrum(self, index: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Reads one spectrum.

        Args:
            index: 0 to n_spectra - 1; negative numbers count from the end.

        Returns:
            m/z (ascending) and intensity, both float64 (n,). NaN intensities are returned as 0.

        Raises:
            IndexError: The index is out of range.
            FileError: m/z values are not ascending, not finite or negative, or the data are damaged.
        """
        n = self.n_spectra
        if not -n <= index < n:
            raise IndexError(f"spectrum {index} is out of range for a dataset of {n} spectra")
        mz, intensity = self._native.spectrum(index + n if index < 0 else index)
        return mz, intensity

    def plane(self, z: int) -> Dataset:
        """One z plane as a separate dataset on the same pixel grid; it shares the opened files.

        Args:
            z: One of :attr:`z_planes`.

        Raises:
            ArgumentError: The file has no such plane.
        """
        return Dataset(self._native.plane(z), self._options, z, self._normalize)

    @property
    def regions(self) -> list[Region]:
        """Sections that lie side by side on the slide: connected regions of measured pixels, the largest first.

        Raises:
            ArgumentError: The file holds several z planes (use ``ds.plane(z)``).
        """
        self.require_one_plane()
        return found_regions(self._native)

    @property
    def region_number(self) -> int | None:
        """Number of the region if this dataset came from :meth:`region`; None otherwise."""
        return self._region

    @property
    def region_map(self) -> NDArray[np.int32]:
        """Number of the region of each pixel, int32 (height, width); 0: in no region, or not measured.

        Raises:
            ArgumentError: As :attr:`mask`.
        """
        return region_map(self._native)

    def region(self, number: int) -> Dataset:
        """One region as a separate dataset on a grid of its own box; it shares the opened files.

        Measured pixels of other regions that lie in the box are left out.

        Args:
            number: That of one of :attr:`regions`.

        Raises:
            ArgumentError: There is no such region, or the file holds several z planes (use ``ds.plane(z)``).
        """
        self.require_one_plane()
        return Dataset(self._native.region(number), self._options, self._plane, self._normalize, number)

    def _as_normalized(self, kind: Normalize) -> Self:
        same = type(self)(self._native, self._options, self._plane, kind, self._region)
        same._scaled = self._scaled
        return same

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._handle is None

    def close(self) -> None:
        """Releases the files. Reading afterwards raises an error; closing twice does not."""
        self._handle = None
        self._scaled = {}

    def __enter__(self) -> Dataset:
        """Returns the dataset, which is closed on exit."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the dataset."""
        self.close()

    def __len__(self) -> int:
        """Number of spectra."""
        return self.n_spectra

    def __reduce__(self) -> tuple[Callable[..., Dataset], tuple[object, ...]]:
        """Pickles absolute paths and options; unpickling opens the files again."""
        options = self._options.copy()
        options["path"] = os.path.abspath(options["path"])
        if options["ibd_path"]:
            options["ibd_path"] = os.path.abspath(options["ibd_path"])
        return _reopen, (options, self._plane, self._normalize, self._region, self.closed)

    def __repr__(self) -> str:
        """Path, size and kind in one line."""
        if self.closed:
            return f"<Dataset {self.path!r}, closed>"
        plane = self._plane_text()
        return (
            f"<Dataset {self.path!r}: {self.n_spectra} spectra, {pixels_text(self.shape)}{plane and ', ' + plane}, "
            f"{self.mode} {self.spectrum_type}>"
        )

    def _repr_html_(self) -> str:
        """Table of facts for notebooks; reads no spectra."""
        if self.closed:
            return facts_table("Dataset (closed)", [("file", self.path)])
        size = self.pixel_size_um
        return facts_table(
            "Dataset",
            [
                ("file", self.path),
                ("grid", pixels_text(self.shape)),
                ("plane", self._plane_text()),
                ("spectra", f"{self.n_spectra:,}"),
                ("data", f"{self.mode} {self.spectrum_type}"),
                ("ion images", "" if self._normalize == "none" else f"normalised by {self._normalize}"),
                ("pixel size", "" if size is None else pixel_size_text(size)),
                ("instrument", self.declared.get("instrument", "")),
                ("warnings", "; ".join(self.warnings)),
            ],
        )

    def _plane_text(self) -> str:
        return part_text(len(self.z_planes), self._plane, self._region)


def _reopen(options: _Reopen, plane: int | None, normalize: Normalize, region: int | None, closed: bool) -> Dataset:
    if closed:
        return Dataset(None, options, plane, normalize, region)
    # No logging: the process that pickled the dataset has logged its warnings.
    dataset = Dataset(_open_native(options), options, None, normalize)
    if plane is not None:
        dataset = dataset.plane(plane)
    return dataset if region is None else dataset.region(region)


def _open_native(options: _Reopen) -> _core.Dataset:
    return _core.open_dataset(**options)


def open_quietly(path: PathLike, **opened: Unpack[OpenOptions]) -> Dataset:
    """As :func:`open_dataset`, but nothing is logged: for callers that choose among the spectra first."""
    checked_open_options(opened, function="open")
    ibd_path = opened.get("ibd_path")
    options: _Reopen = {
        "path": utf8_path(path),
        "ibd_path": None if ibd_path is None else utf8_path(ibd_path),
        "strict": bool(opened.get("strict", True)),
        "duplicates": opened.get("duplicates", "first"),
        "spectrum_type": opened.get("spectrum_type"),
        "repair": bool(opened.get("repair", False)),
        "copies": opened.get("copies", "keep"),
        "ms_level": opened.get("ms_level"),
        "polarity": opened.get("polarity"),
        "run": opened.get("run"),
    }
    return Dataset(_open_native(options), options)


def open_dataset(
    path: PathLike,
    *,
    ibd_path: PathLike | None = None,
    strict: bool = True,
    duplicates: Duplicates = "first",
    spectrum_type: SpectrumType | None = None,
    repair: bool = False,
    copies: Copies = "keep",
    ms_level: int | None = None,
    polarity: Polarity | None = None,
    run: str | None = None,
) -> Dataset:
    """Opens an imzML section (exported as :func:`ionmorphnet.open`).

    Reads the header and checks every offset against the size of the ibd file; spectra are read later. Oddities that do
    not prevent reading are listed in :attr:`Dataset.warnings` and logged to the logger ``ionmorphnet``.

    Args:
        path: The imzML file.
        ibd_path: The ibd file; by default the one next to ``path`` with the same name, upper or lower case.
        strict: Whether to refuse a truncated ibd file. False keeps the spectra that can be read.
        duplicates: What to do with several spectra at one pixel: show the ``"first"``, their ``"sum"`` or their
            ``"mean"``, or raise an ``"error"``. Spectra that are not shown contribute to nothing.
        spectrum_type: Overrides the declared or inferred spectrum type.
        repair: Whether to sort m/z values and drop NaN and negative ones instead of refusing the spectrum.
        copies: What to do with spectra that repeat an earlier one value for value (see :meth:`Dataset.copies`):
            ``"drop"`` counts them as not measured, which reads every spectrum now.
        ms_level: MS level to read; the spectra of others are as if absent. None reads the lowest and warns if there
            are others.
        polarity: Polarity to read, ``"positive"`` or ``"negative"``. None reads the one that more spectra have and
            warns if there are both.
        run: Name of the run to read, one of :attr:`Dataset.runs`. None reads all and warns if they share pixels.

    Returns:
        The dataset. Close it, or use it as a context manager, to release the files.

    Raises:
        FileError: The file is missing, truncated or not imzML, or has no spectra of what was asked for; the message
            names the file and the cause.
        ArgumentError: An option has the wrong type or an unknown value.
    """
    dataset = open_quietly(
        path,
        ibd_path=ibd_path,
        strict=strict,
        duplicates=duplicates,
        spectrum_type=spectrum_type,
        repair=repair,
        copies=copies,
        ms_level=ms_level,
        polarity=polarity,
        run=run,
    )
    dataset.log_warnings()
    return dataset


# The public name. Code inside the package calls open_dataset and keeps the built-in open().
open = open_dataset
