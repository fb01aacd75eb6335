"""Paths as the native core expects them."""

from __future__ import annotations

import os

from ionmorphnet.base.errors import ArgumentError, FileError

PathLike = str | os.PathLike[str]


def utf8_path(path: PathLike) -> str:
    """The path as text that can be encoded as UTF-8, which is what the core expects on every system.

    Raises:
        ArgumentError: Not a path.
        FileError: The name's bytes are not valid UTF-8.
    """
    if not isinstance(path, str | os.PathLike):
        raise ArgumentError(f"a path must be text or a path object, not {type(path).__name__}")
    text = os.fspath(path)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FileError(f"{text!r}: the path is not valid UTF-8") from None
    return text


def same_file(first: PathLike, second: PathLike) -> bool:
    """Whether two paths lead to one file, as far as their names tell."""
    return os.path.abspath(first) == os.path.abspath(second) or os.path.realpath(first) == os.path.realpath(second)


def is_url(path: str) -> bool:
    """Whether a path is a URL such as ``s3://bucket/section.imzML``; a Windows drive is none."""
    scheme, separator, _ = path.partition("://")
    return bool(separator) and len(scheme) > 1 and scheme.replace("+", "").isalnum()
