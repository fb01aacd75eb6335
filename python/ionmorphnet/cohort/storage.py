"""Sections behind URLs: staged to the local disk, removed when they were picked."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cohort.stores import Store, mark_of


def remote_state(url: str) -> dict[str, Any]:
    """What tells whether a remote section has changed: sizes and version marks of both files, without reading them.

    Raises:
        FileError: One of the files cannot be reached.
        UnavailableError: fsspec, or its part for this kind of URL, is not installed.
    """
    state: dict[str, Any] = {}
    for kind, (_, _, info) in zip(("imzml", "ibd"), _both(url), strict=True):
        state[f"{kind}_bytes"] = info.get("size")
        state[f"{kind}_mark"] = mark_of(info)
    return state


def ibd_url(url: str) -> str:
    """URL of the ibd file of a section.

    Raises:
        FileError: It cannot be reached.
        UnavailableError: fsspec, or its part for this kind of URL, is not installed.
    """
    store, name, _ = _both(url)[1]
    return store.url_of(name)


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
    both = _both(url)
    with tempfile.TemporaryDirectory(prefix="ionmorphnet-", dir=folder) as name:
        stem = Path(both[0][1]).stem or "section"
        local = [Path(name) / f"{stem}{suffix}" for suffix in (".imzML", ".ibd")]
        needed = sum(int(info.get("size") or 0) for _, _, info in both)
        free = shutil.disk_usage(name).free
        if needed > free:
            raise FileError(
                f"{url}: needs {format_bytes(needed)}, and {name} has {format_bytes(free)}; choose another folder with "
                "--stage"
            )
        for (store, remote, info), target in zip(both, local, strict=True):
            store.get(remote, target, info)
        yield local[0]


def _both(url: str) -> tuple[tuple[Store, str, Mapping[str, Any]], ...]:
    """The store, the names and the state of the imzML and the ibd file, whose suffix may be in upper or lower case."""
    folder, _, name = url.rpartition("/")
    store = Store(folder)
    imzml = store.info(name)
    if imzml is None:
        raise FileError(f"{url}: no such file; check the URL")
    stem = name[: -len(".imzML")] if name.lower().endswith(".imzml") else name.rpartition(".")[0]
    for suffix in (".ibd", ".IBD", ".Ibd"):
        ibd = store.info(stem + suffix)
        if ibd is not None:
            return (store, name, imzml), (store, stem + suffix, ibd)
    raise FileError(f"{url}: there is no ibd file beside it; put {stem}.ibd there")
