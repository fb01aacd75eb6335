"""Sections behind URLs: staged to the local disk through fsspec, removed when they were picked."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ionmorphnet.base.errors import FileError, UnavailableError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_TRIES = 3
# What a store says of an object; the first that it knows tells versions apart.
_MARKS = ("ETag", "etag", "md5Hash", "content_hash", "LastModified", "last_modified", "mtime", "Last-Modified")


def remote_state(url: str) -> dict[str, Any]:
    """What tells whether a remote section has changed: sizes and version marks of both files, without reading them.

    Raises:
        FileError: One of the files cannot be reached.
        UnavailableError: fsspec, or its part for this kind of URL, is not installed.
    """
    files, place = _file_system(url)
    state: dict[str, Any] = {}
    for kind, each in zip(("imzml", "ibd"), _both(files, place, url), strict=True):
        info = _info(files, each, url)
        state[f"{kind}_bytes"] = info.get("size")
        state[f"{kind}_mark"] = next((str(info[mark]) for mark in _MARKS if info.get(mark)), None)
    return state


@contextlib.contextmanager
def staged(url: str, folder: Path | None = None) -> Iterator[Path]:
    """A local copy of a remote section, removed at the end.

    Each file is copied anew if its size is not that of the store, up to three times.

    Args:
        url: The imzML file.
        folder: Where copies go; None: the system's folder for temporary files.

    Yields:
        Path of the local imzML file, with its ibd file beside it.

    Raises:
        FileError: One of the files cannot be read, or arrives incomplete every time.
        UnavailableError: fsspec, or its part for this kind of URL, is not installed.
    """
    files, place = _file_system(url)
    with tempfile.TemporaryDirectory(prefix="ionmorphnet-", dir=folder) as name:
        stem = Path(place.rsplit("/", 1)[-1]).stem or "section"
        local = [Path(name) / f"{stem}{suffix}" for suffix in (".imzML", ".ibd")]
        needed = sum(int(_info(files, each, url).get("size") or 0) for each in _both(files, place, url))
        free = shutil.disk_usage(name).free
        if needed > free:
            raise FileError(f"{url}: needs {needed} bytes, and {name} has {free}; choose another folder with --stage")
        for remote, target in zip(_both(files, place, url), local, strict=True):
            _copy(files, remote, target, url)
        yield local[0]


def _copy(files: AbstractFileSystem, remote: str, target: Path, url: str) -> None:
    wanted = _info(files, remote, url).get("size")
    problem = ""
    for _ in range(_TRIES):
        try:
            files.get_file(remote, str(target))
        except Exception as error:  # each kind of store has errors of its own
            problem = _text(error)
            continue
        size = target.stat().st_size
        if wanted is None or size == wanted:
            return
        problem = f"{size} of {wanted} bytes arrived"
    raise FileError(f"{url}: the copy failed {_TRIES} times: {problem}")


def _file_system(url: str) -> tuple[AbstractFileSystem, str]:
    try:
        import fsspec
    except ImportError:
        raise UnavailableError(f"{url}: URLs need fsspec: pip install 'ionmorphnet[remote]'") from None
    try:
        files, place = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise UnavailableError(f"{url}: {error}") from None
    except ValueError as error:
        raise FileError(f"{url}: {_text(error)}") from None
    return files, place


def _both(files: AbstractFileSystem, place: str, url: str) -> tuple[str, str]:
    """The imzML and the ibd file, whose suffix may be in upper or lower case."""
    stem = place[: -len(".imzML")] if place.lower().endswith(".imzml") else place.rsplit(".", 1)[0]
    for suffix in (".ibd", ".IBD", ".Ibd"):
        with contextlib.suppress(Exception):
            if files.exists(stem + suffix):
                return place, stem + suffix
    raise FileError(f"{url}: there is no ibd file beside it, or the store cannot be reached")


def _info(files: AbstractFileSystem, place: str, url: str) -> dict[str, Any]:
    try:
        found: dict[str, Any] = files.info(place)
    except FileNotFoundError:
        raise FileError(f"{url}: no such file") from None
    except Exception as error:
        raise FileError(f"{url}: cannot be read: {_text(error)}") from None
    return found


def _text(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
