"""Atomic file writing: readers never see half a file."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike

# These errors concern the file being written even though they carry no file name.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def temporary_beside(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Resolves ``path`` and chooses a temporary name next to it.

    The temporary name is unique, so concurrent writers do not collide, and it keeps the suffix, because some writers
    choose the format by it.

    Args:
        path: The file to write. If it is a symbolic link, the target is the file it points to.

    Returns:
        ``(target, temporary)`` in the same folder, because a rename across file systems is not atomic. Neither file is
        created.

    Raises:
        FileError: The folder does not exist, or ``path`` is a folder.
    """
    shown = Path(path)
    target = shown.resolve() if shown.is_symlink() else shown
    if target.is_dir():
        raise FileError(f"{shown}: is a folder, a file name is needed")
    if not target.parent.is_dir():
        raise FileError(f"{shown}: the folder {target.parent} does not exist")
    return target, target.with_name(f".tmp-{secrets.token_hex(8)}{target.suffix}")


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        FileError: The file cannot be read or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise FileError(f"{path}: not valid JSON ({error})") from None


def make_folder(path: Path) -> None:
    """Makes a folder and its missing parents.

    Raises:
        FileError: The folder cannot be made, or a file is in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise FileError(f"{path}: is a file, a folder is needed") from None
    except OSError as error:
        raise FileError(f"{path}: the folder cannot be made: {error.strerror}") from None


@contextmanager
def filled_folder(path: Path) -> Iterator[None]:
    """Makes a folder for the block; what was made and is empty at the end, or after Ctrl-C, is removed again.

    Raises:
        FileError: The folder cannot be made, or a file is in its place.
    """
    missing = [each for each in (path, *path.parents) if not os.path.lexists(each)]
    try:
        make_folder(path)
        yield
    finally:
        for each in missing:
            with suppress(OSError):  # something is in it
                each.rmdir()


def refuse_replacing(targets: Iterable[Path], inputs: Iterable[PathLike], remedy: str) -> None:
    """Refuses targets that are inputs, under any name or link.

    Args:
        targets: Files that would be written or removed; they need not exist.
        inputs: Files that must stay.
        remedy: What the user can do instead; the end of the message.

    Raises:
        FileError: One of the targets is one of the inputs.
    """
    kept = list(inputs)
    for target in targets:
        for given in kept:
            try:
                same = os.path.samefile(target, given)
            except OSError:  # one of them does not exist
                continue
            if same:
                raise FileError(f"{target}: is the input and would be replaced; {remedy}")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yields a temporary path next to ``path`` and moves it to ``path`` when the block succeeds.

    If the block fails or is interrupted, ``path`` stays as it was and the temporary file is removed.

    Args:
        path: The file to write. If it is a symbolic link, the file it points to is replaced, not the link.

    Yields:
        The temporary path, see :func:`temporary_beside`. The block must create a file there.

    Raises:
        FileError: The folder does not exist, ``path`` is a folder, or the file cannot be written or moved into place.
    """
    shown = Path(path)
    target, temporary = temporary_beside(shown)
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        # The temporary name would mean nothing to the user: name the file that was requested.
        if error.filename == os.fspath(temporary) or error.errno in _DISK_ERRORS:
            raise FileError(f"{shown}: cannot be written: {error.strerror}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
