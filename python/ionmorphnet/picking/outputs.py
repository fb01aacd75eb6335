"""The result folder of a pick: which files it holds, how it is prepared and replaced."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

from ionmorphnet.base.deferred_signals import DeferredSignals
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.extras import require_anndata, require_openpyxl, require_pyarrow
from ionmorphnet.base.file_lock import FileLock
from ionmorphnet.base.files import refuse_replacing
from ionmorphnet.base.paths import PathLike

FORMATS = ("csv", "parquet", "xlsx", "imzml", "h5ad", "scils", "metaspace")
# What a run writes in any case, run.json last.
TABLES = ("peaks.csv", "scores.csv")
RECORD = "run.json"
# What a run may write besides.
OPTIONAL_FILES = {
    "parquet": ("peaks.parquet",),
    "xlsx": ("peaks.xlsx",),
    "imzml": ("peaks.imzML", "peaks.ibd"),
    "h5ad": ("peaks.h5ad",),
    "scils": ("peaks_scils.csv",),
    "metaspace": ("peaks_metaspace.tsv",),
    "report": ("report.html",),
}
# Written if there is a warning, for those who open the tables only.
WARNINGS = "warnings.txt"
# Where a new result is assembled, within its folder.
_STAGE = ".ionmorphnet-new-"


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


def require_packages(formats: Iterable[str]) -> None:
    """Checks that formats can be written, before the work whose result they will hold.

    Raises:
        UnavailableError: A package is not installed.
    """
    needs = {"parquet": require_pyarrow, "xlsx": require_openpyxl, "h5ad": require_anndata}
    for name in formats:
        if name in needs:
            needs[name]()


class PreparedFolder:
    """Makes a result folder, checks that it can be written to and locks it, before the work whose result it will hold.

    At the end folders that were made here and are still empty are removed. Ctrl-C never falls between a step and its
    note, and what is left all the same goes with the object, at the end of the process at the latest.
    """

    def __init__(self, folder: Path, *, note: str = "") -> None:
        """Changes nothing yet.

        Args:
            folder: The folder.
            note: What others that find the folder locked are told, see :class:`ionmorphnet.base.file_lock.LockedError`.
        """
        self.folder = folder
        self._note = note
        self._made: list[Path] = []
        self._lock: list[FileLock] = []
        self._at_the_latest = weakref.finalize(self, _leave, self._made, self._lock, os.getpid())

    def __enter__(self) -> Self:
        """Makes and locks the folder.

        Raises:
            LockedError: Another process writes to it.
            FileError: The folder cannot be made or written to.
        """
        try:
            with DeferredSignals():
                self._make()
            return self
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        """Releases the folder; if it was made here and is empty, it is removed."""
        try:
            _leave(self._made, self._lock, os.getpid())
        except BaseException:  # a signal just before they are deferred
            _leave(self._made, self._lock, os.getpid())
            raise
        self._at_the_latest.detach()

    def _make(self) -> None:
        try:
            for path in reversed([path for path in (self.folder, *self.folder.parents) if not os.path.lexists(path)]):
                path.mkdir(exist_ok=True)
                self._made.append(path)
            self.folder.mkdir(exist_ok=True)  # raises if a file is in its place
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise FileError(f"{self.folder}: cannot be written: {error.strerror}") from None
        lock = FileLock(
            self.folder / ".ionmorphnet",
            shown=self.folder,
            busy="another pick writes to it",
            remedy="wait for its end or choose another folder",
            note=self._note,
            required=False,
        )
        self._lock.append(lock)
        if lock.exclusive:
            _remove_stages(self.folder)  # of a run that was killed


def _leave(made: list[Path], lock: list[FileLock], process: int) -> None:
    if process != os.getpid():  # a forked process inherits the object, not the folder
        return
    with DeferredSignals():
        for each in lock:
            if each.held and each.exclusive:
                _remove_stages(each.path.parent)
            each.release()
        for path in reversed(made):
            with contextlib.suppress(OSError):  # something is in it
                path.rmdir()
        lock.clear()
        made.clear()


def _remove_stages(folder: Path) -> None:
    for stage in folder.glob(f"{_STAGE}*"):
        shutil.rmtree(stage, ignore_errors=True)


@contextlib.contextmanager
def replaced_result(folder: Path) -> Iterator[Path]:
    """Yields a folder in which a new result is assembled; when the block succeeds, it takes the place of the old one.

    If the block fails or is interrupted, the old result stays as it was. The replacement itself takes one rename a
    file, during which signals wait. ``run.json`` goes first and comes last, so that a folder is complete if it has one,
    even after a power failure in between. Files that the new result does not have are removed if they are of an earlier
    one: the folder then has a ``run.json`` or both tables. Files of others stay.

    Args:
        folder: The result folder, which is locked.

    Raises:
        FileError: A file cannot be written, or a folder is in its place.
    """
    stage = folder / f"{_STAGE}{secrets.token_hex(4)}"
    try:
        stage.mkdir()
        try:
            yield stage
        except FileError as error:  # the folder in which it happened says nothing to the user
            raise FileError(str(error).replace(str(stage), str(folder))) from error.__cause__
        files = sorted((path.name for path in stage.iterdir()), key=lambda name: name == RECORD)
        taken = [file for file in files if (folder / file).is_dir()]
        if taken:
            raise FileError(f"{folder / taken[0]}: is a folder, a file name is needed")
        with DeferredSignals():
            _move_into_place(stage, folder, files)
    except OSError as error:
        if isinstance(error, FileError) or not str(error.filename or "").startswith(str(folder)):
            raise
        raise FileError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _move_into_place(stage: Path, folder: Path, files: list[str]) -> None:
    for file in files:
        with (stage / file).open("rb") as written:
            os.fsync(written.fileno())
    ours = (folder / RECORD).is_file() or all((folder / file).is_file() for file in TABLES)
    for file in (RECORD, *optional_files()) if ours else ():
        if file == RECORD or file not in files:
            (folder / file).unlink(missing_ok=True)
    for file in files:
        (stage / file).replace(folder / file)


def refuse_input_folder(inputs: Iterable[PathLike], folder: Path) -> None:
    """Refuses a folder in which a run would overwrite or remove its own input.

    Raises:
        FileError: It holds the input under the name of a result.
    """
    targets = (folder / file for file in (*TABLES, RECORD, *optional_files()))
    refuse_replacing(targets, inputs, "give another folder")


def optional_files() -> tuple[str, ...]:
    """Names of the files that a result may have."""
    return (*(file for group in OPTIONAL_FILES.values() for file in group), WARNINGS)
