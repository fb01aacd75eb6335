"""What the head of an imzML file declares, without reading its spectra."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ionmorphnet import _core
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike, utf8_path

__all__ = ["FileInfo", "declared_checksums", "read_info"]


@dataclass(frozen=True)
class FileInfo:
    """Declarations of one file; nothing is verified, ``None`` and empty values mean that the file does not tell."""

    path: str
    size_bytes: int
    ibd_path: str | None
    ibd_size_bytes: int | None
    mode: str | None
    spectrum_type: str | None
    n_spectra: int | None
    max_count: tuple[int | None, int | None]
    """Declared pixel counts in x and y."""
    pixel_size_um: tuple[float, float] | None
    """Width and height of a pixel in micrometres."""
    polarity: str | None
    instrument: list[str]
    software: list[str]
    other_arrays: list[str]
    """Arrays beside m/z and intensity that the parameter groups announce (ion mobility ...); they are skipped."""
    uuid: str | None
    checksums: dict[str, str]
    """Declared checksums of the ibd file by algorithm (``md5``, ``sha1``, ``sha256``), lower case."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain Python values, for JSON."""
        return asdict(self)


def _integer(text: str | None) -> int | None:
    try:
        return None if text is None else int(float(text))
    except (ValueError, OverflowError):
        return None


def declared_checksums(declared: Mapping[str, str]) -> dict[str, str]:
    """Checksums of the ibd file by algorithm (``md5``, ``sha1``, ``sha256``), lower case.

    Args:
        declared: what the head of the file declares, as :attr:`~ionmorphnet.io.dataset.Dataset.declared`.
    """
    return {
        name: declared[f"ibd_{name}"].strip().lower() for name in ("md5", "sha1", "sha256") if f"ibd_{name}" in declared
    }


def read_info(path: PathLike, *, ibd_path: PathLike | None = None) -> FileInfo:
    """Reads the head of an imzML file, up to its list of spectra: milliseconds whatever its size.

    Args:
        path: the imzML file.
        ibd_path: the ibd file; by default the one beside ``path``. It is looked for but not read.

    Raises:
        FileError: the file cannot be read or is not imzML. A missing ibd file is no error here.
    """
    text = utf8_path(path)
    declared = dict(_core.read_head(text))
    ibd: str | None
    try:
        ibd = utf8_path(ibd_path) if ibd_path is not None else str(_core.find_ibd(text))
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
        other_arrays=listed("other_arrays"),
        uuid=declared.get("uuid"),
        checksums=declared_checksums(declared),
    )
