"""What tells whether the files of a section are still the ones that were read."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any

from ionmorphnet import _core
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike, utf8_path


def file_state(imzml: PathLike, ibd: PathLike | None = None) -> dict[str, Any]:
    """Size and time of last change of both files, and a hash of pieces of them, as JSON holds it.

    A section of many gigabytes takes a millisecond. Sizes and hash tell one section from another whatever UUID they
    declare; with the times too they tell whether a file was changed.

    Args:
        imzml: The imzML file.
        ibd: Its ibd file; None: the one beside it.

    Returns:
        ``imzml_bytes``, ``imzml_mtime_ns``, ``ibd_bytes``, ``ibd_mtime_ns`` and ``pieces_sha256``.

    Raises:
        FileError: One of the files cannot be read.
    """
    if ibd is None:
        ibd = _core.find_ibd(utf8_path(imzml))
    return {**_core.file_state(utf8_path(imzml), utf8_path(ibd))}


def imzml_sha256(imzml: PathLike) -> str:
    """Hash of a whole imzML file, without its ibd file.

    Raises:
        FileError: The file cannot be read.
    """
    try:
        with open(imzml, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FileError(f"{os.fspath(imzml)}: {error.strerror}") from None


def known_state(imzml: PathLike, ibd: PathLike) -> dict[str, Any]:
    """As :func:`file_state`; empty if the files are gone, as they may be while their contents are still mapped."""
    try:
        return file_state(imzml, ibd)
    except FileError:
        return {}


def same_content(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two states are of the same section, wherever and whenever its files were written; both must be known."""
    keys = ("imzml_bytes", "ibd_bytes", "pieces_sha256")
    return bool(first) and bool(second) and all(first.get(key) == second.get(key) for key in keys)


def plain_uuid(text: str | None) -> str:
    """The digits of a UUID; empty if there is none, or if all of them are zero."""
    digits = re.sub("[^0-9a-f]", "", str(text or "").lower())
    return digits if digits.strip("0") else ""
