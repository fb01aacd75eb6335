"""Writing files so that nobody ever meets half of one."""

from __future__ import annotations

import errno
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike

# Errors that concern the file being written although they carry no file name.
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def temporary_beside(path: str | os.PathLike[str]) -> tuple[Path, Path]:
    """The file that ``path`` means, and a name to write it under first.

    The temporary name is unique, so concurrent writers do not meet, and it keeps the suffix, because some writers
    choose the format by it.

    Args:
        path: The file to write. Through a symbolic link it is the file the link points to.

    Returns:
        ``(target, temporary)`` in the same folder (a rename across file systems is not atomic); neither is created.

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
    """What a JSON file holds.

    Raises:
        FileError: It cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise FileError(f"{path}: not valid JSON ({error})") from None


def make_folder(path: Path) -> None:
    """Make a folder and those above it, where they are missing.

    Raises:
        FileError: It cannot be made, or there is a file at its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise FileError(f"{path}: is a file, a folder is needed") from None
    except OSError as error:
        raise FileError(f"{path}: the folder cannot be made: {error.strerror}") from None


def refuse_replacing(targets: Iterable[Path], inputs: Iterable[PathLike], remedy: str) -> None:
    """Refuses targets that are an input, by whatever name or link.

    Args:
        targets: Files that would be written or removed; they need not exist.
        inputs: Files that must stay.
        remedy: What the user can do.

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
                raise FileError(f"{target}: is the input, and would be replaced; {remedy}")


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary path beside ``path`` and move it to ``path`` when the block succeeds.

    A block that fails or is interrupted leaves ``path`` as it was and removes the temporary file.

    Args:
        path: The file to write. Through a symbolic link the file it points to is replaced, not the link.

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
        # The temporary name means nothing to the reader of the message: name the file that was asked for.
        if error.filename == os.fspath(temporary) or error.errno in _DISK_ERRORS:
            raise FileError(f"{shown}: cannot be written: {error.strerror}") from error
        raise
    finally:
        temporary.unlink(missing_ok=True)
