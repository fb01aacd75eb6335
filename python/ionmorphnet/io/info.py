"""Declarations in the header of an imzML file; its spectra are not read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ionmorphnet import _core
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike, utf8_path

__all__ = ["FileInfo", "declared_checksums", "read_info"]


@dataclass(frozen=True)
class FileInfo:
    """Declarations of one imzML file, unverified. None or an empty value means the file does not state it.

    Attributes:
        path: Path of the imzML file.
        size_bytes: Size of the imzML file.
        ibd_path: Path of the ibd file; None if there is none.
        ibd_size_bytes: Size of the ibd file.
        mode: ``"continuous"`` or ``"processed"``.
        spectrum_type: ``"profile"`` or ``"centroid"``.
        n_spectra: Number of spectra.
        max_count: Number of pixels in x and y (width, height).
        pixel_size_um: Pixel width and height in micrometres.
        polarity: ``"positive"`` or ``"negative"``.
        instrument: Instrument model and further terms of its configuration.
        software: Name and version of each program.
        source_file: Names of the files that were converted, such as the instrument's own.
        other_arrays: Arrays in addition to m/z and intensity, such as ion mobility. They are ignored on reading.
        uuid: Identifier shared with the ibd file.
        checksums: Lower-case checksums of the ibd file by algorithm (``md5``, ``sha1``, ``sha256``).
    """

    path: str
    size_bytes: int
    ibd_path: str | None
    ibd_size_bytes: int | None
    mode: str | None
    spectrum_type: str | None
    n_spectra: int | None
    max_count: tuple[int | None, int | None]
    pixel_size_um: tuple[float, float] | None
    polarity: str | None
    instrument: list[str]
    software: list[str]
    source_file: list[str]
    other_arrays: list[str]
    uuid: str | None
    checksums: dict[str, str]

    def to_dict(self) -> dict[str, object]:
        """Returns all fields as plain Python values, ready for JSON."""
        return asdict(self)


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(float(text))
    except (ValueError, OverflowError):
        return None


def declared_checksums(declared: Mapping[str, str]) -> dict[str, str]:
    """Declared checksums of the ibd file, lower case, by algorithm (``md5``, ``sha1``, ``sha256``).

    Args:
        declared: Declarations of the file, as :attr:`~ionmorphnet.io.dataset.Dataset.declared`.
    """
    return {
        name: declared[f"ibd_{name}"].strip().lower() for name in ("md5", "sha1", "sha256") if f"ibd_{name}" in declared
    }


def read_info(path: PathLike, *, ibd_path: PathLike | None = None) -> FileInfo:
    """Reads the header of an imzML file, up to its list of spectra. Takes milliseconds for files of any size.

    Args:
        path: The imzML file.
        ibd_path: The ibd file; by default the one next to ``path``. Only its size is read.

    Returns:
        What the header declares; use :func:`ionmorphnet.validate` to check the data.

    Raises:
        FileError: The file cannot be read or is not imzML. A missing ibd file is not an error.

    Example:
        >>> import ionmorphnet as imn
        >>> info = imn.read_info("section.imzML")
        >>> info.mode, info.n_spectra
        ('processed', 2)
    """
    text = utf8_path(path)
    declared = dict(_core.read_head(text))
    ibd: str | None
    try:
        ibd = utf8_path(ibd_path) if ibd_path is not None else _core.find_ibd(text)
    except FileError:
        ibd = None
    if ibd is not None and not os.path.isfile(ibd):
        ibd = None
    pixel_size = None
    if "pixel_size_x_um" in declared:
        pixel_size = float(declared["pixel_size_x_um"]), float(declared["pixel_size_y_um"])

    def listed(key: str) -> list[str]:
        return declared[key].split("; ") if key in declared else []

    return FileInfo(
        path=text,
        size_bytes=os.path.getsize(text),
        ibd_path=ibd,
        ibd_size_bytes=None if ibd is None else os.path.getsize(ibd),
        mode=declared.get("mode"),
        spectrum_type=declared.get("spectrum_type"),
        n_spectra=_integer(declared.get("spectrum_count")),
        max_count=(_integer(declared.get("max_count_x")), _integer(declared.get("max_count_y"))),
        pixel_size_um=pixel_size,
        polarity=declared.get("polarity"),
        instrument=listed("instrument"),
        software=listed("software"),
        source_file=listed("source_file"),
        other_arrays=listed("other_arrays"),
        uuid=declared.get("uuid"),
        checksums=declared_checksums(declared),
    )
