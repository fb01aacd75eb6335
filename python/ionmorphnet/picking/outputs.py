"""The result folder of a pick: which files it holds, what it is called, how it is prepared."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.file_lock import FileLock
from ionmorphnet.base.files import read_json, refuse_replacing
from ionmorphnet.base.paths import PathLike

FORMATS = ("csv", "parquet", "imzml", "h5ad")
# What a run writes in any case, run.json last.
TABLES = ("peaks.csv", "scores.csv")
RECORD = "run.json"
# What a run may write besides.
OPTIONAL_FILES = {
    "parquet": ("peaks.parquet",),
    "imzml": ("peaks.imzML", "peaks.ibd"),
    "h5ad": ("peaks.h5ad",),
    "report": ("report.html",),
}


def parse_formats(formats: str | Iterable[str]) -> tuple[str, ...]:
    """Reads ``"csv,parquet"`` or a list of names; csv is always part of the result.

    Raises:
        ArgumentError: Not a known format.
    """
    names = formats.split(",") if isinstance(formats, str) else formats
    wanted = [name.strip().lower() for name in names if name.strip()]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown:
        raise ArgumentError(f"unknown format '{unknown[0]}'; known: {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(["csv", *wanted]))


def output_names(inputs: Sequence[Path]) -> list[str]:
    """A folder name for each input: its stem, with the parent folder's name as prefix if stems repeat.

    Raises:
        ArgumentError: Two inputs would still write to the same folder.
    """
    counts = Counter(path.stem for path in inputs)
    names = [path.stem if counts[path.stem] == 1 else f"{_parent(path)}_{path.stem}" for path in inputs]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ArgumentError(f"two inputs would write to '{twice[0]}': pick them into separate folders")
    return names


def _parent(path: Path) -> str:
    # Not resolve(): the folder as the user names it, not the one that a symbolic link leads to.
    return Path(os.path.abspath(path)).parent.name


@contextlib.contextmanager
def prepared_folder(folder: Path) -> Iterator[None]:
    """Makes the folder, checks that it can be written to and locks it, before the work whose result it will hold.

    If the block fails, folders that were made here and are still empty are removed.

    Raises:
        FileError: The folder cannot be made or written to, or another process writes to it.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise FileError(f"{folder}: cannot be written: {error.strerror}") from None
        lock = FileLock(
            folder / ".ionmorphnet",
            shown=folder,
            busy="another pick writes to it",
            remedy="wait for its end or choose another folder",
            required=False,
        )
        try:
            yield
        finally:
            lock.release()
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError):  # never made, or something is in it
                path.rmdir()
        raise


def refuse_input_folder(inputs: Iterable[PathLike], folder: Path) -> None:
    """Refuses a folder in which a run would overwrite or remove its own input.

    Raises:
        FileError: It holds the input under the name of a result.
    """
    targets = (folder / file for file in (*TABLES, RECORD, *_optional_files()))
    refuse_replacing(targets, inputs, "give another folder")


def refuse_other_result(
    folder: Path,
    path: PathLike,
    *,
    uuid: str | None,
    z: int | None,
    size: tuple[int, int, int],
) -> None:
    """Refuses a folder that holds the result of another input.

    Two inputs are the same if their UUIDs are, so that a file can move; without a UUID (or with zeros only) on one of
    the sides, if their paths are. Some converters give each file the same UUID: at different paths, the size has to be
    the same too.

    Args:
        folder: The result folder; it need not exist.
        path: The input whose result will be written.
        uuid: The UUID that it declares.
        z: Its plane; None for a file with one plane.
        size: Number of spectra, height and width.

    Raises:
        FileError: ``run.json`` is that of another input, or does not tell its input.
    """
    if not (folder / RECORD).is_file():
        return
    remedy = "choose another folder or pass --overwrite (Python: overwrite=True)"
    try:
        record: dict[str, Any] = read_json(folder / RECORD)["input"]
        other_path, other_uuid, other_z = str(record["path"]), record["uuid"], record["z"]
        other_size = (record["n_spectra"], record["height"], record["width"])
    except (FileError, KeyError, TypeError):
        raise FileError(f"{folder}: holds a {RECORD} that does not tell the input of its result; {remedy}") from None
    same_path = _same_path(path, other_path)
    ours, theirs = _plain_uuid(uuid), _plain_uuid(other_uuid)
    if ours and theirs:
        same = ours == theirs and (same_path or size == other_size)
    else:
        same = same_path
    if same and (None in (z, other_z) or z == other_z):
        return
    plane = "" if other_z is None else f" z={other_z}"
    earlier = f" as it was with UUID {theirs}" if same_path and ours != theirs else ""
    raise FileError(f"{folder}: holds the result of {other_path}{plane}{earlier}; {remedy}")


def _same_path(first: PathLike, second: PathLike) -> bool:
    return os.path.abspath(first) == os.path.abspath(second) or os.path.realpath(first) == os.path.realpath(second)


def _plain_uuid(text: str | None) -> str:
    """The digits of a UUID; empty if there is none, or if all of them are zero."""
    digits = re.sub("[^0-9a-f]", "", str(text or "").lower())
    return digits if digits.strip("0") else ""


def remove_stale_files(folder: Path, kept: Iterable[str]) -> None:
    """Removes what an earlier run left in a folder, run.json first: until the new one is there, no run is complete.

    Files of others stay, even under a name that a run uses: the files are ours if the folder has a run.json or both
    tables.

    Args:
        folder: The result folder.
        kept: Names that the new run writes; they are replaced, not removed.
    """
    if not ((folder / RECORD).is_file() or all((folder / file).is_file() for file in TABLES)):
        return
    stay = set(kept) - {RECORD}
    for file in (RECORD, *_optional_files()):
        if file not in stay:
            (folder / file).unlink(missing_ok=True)


def _optional_files() -> tuple[str, ...]:
    return tuple(file for group in OPTIONAL_FILES.values() for file in group)
