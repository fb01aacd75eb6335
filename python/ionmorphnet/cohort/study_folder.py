"""Where a study lies: in a folder, or behind a URL, with a local copy of what is needed of it."""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ionmorphnet.base.errors import FileError, IonMorphNetError
from ionmorphnet.base.files import make_folder
from ionmorphnet.base.paths import PathLike, is_url
from ionmorphnet.cohort.stores import Store, mark_of
from ionmorphnet.picking.earlier import REMEDY, earlier_result
from ionmorphnet.picking.outputs import RECORD
from ionmorphnet.picking.run_record import InputRecord

# Folder of the results within that of the study.
RESULTS = "sections"
# Files that make what lies beside them complete: they go first and come last.
_LAST = (".zmetadata", ".zattrs", RECORD, "consensus.json", ".zgroup")
_AT_ONCE = 8


class StudyFolder:
    """A study's folder.

    Attributes:
        shown: The folder or URL, as it was given.
        local: The folder itself, or the local copy of what lies behind the URL.
        store: What lies behind the URL; None for a folder.
    """

    def __init__(self, shown: str, local: Path, store: Store | None) -> None:
        """See :func:`study_folder`."""
        self.shown, self.local, self.store = shown, local, store
        self._marks: dict[str, object] = {}
        self._fetched: dict[str, tuple[int, int]] = {}

    @property
    def results(self) -> str:
        """Folder or URL of all results, absolute."""
        return os.path.abspath(self.local / RESULTS) if self.store is None else self.store.url_of(RESULTS)

    def place(self, name: str) -> str:
        """Where a file of the study is, for messages."""
        return str(Path(self.shown) / name) if self.store is None else self.store.url_of(name)

    def complete_results(self) -> Callable[[str], bool]:
        """A function that tells whether a result, by its name below ``sections``, is there and complete."""
        if self.store is None:
            return lambda name: (self.local / RESULTS / name / RECORD).is_file()
        there = self.store.find(RESULTS)
        return lambda name: f"{RESULTS}/{name}/{RECORD}" in there

    def fetch(self, wanted: Callable[[str], bool] | None = None) -> None:
        """Copies files of the study here that are not here yet.

        Args:
            wanted: Says of a name below the study's folder whether it is needed, beside the manifests; None: no other.

        Raises:
            FileError: The store cannot be read.
        """
        if self.store is None:
            return
        store = self.store

        def copy(name: str) -> None:
            target = self.local / name
            make_folder(target.parent)
            store.get(name, target, there[name])
            self._marks[name] = (there[name].get("size"), mark_of(there[name]))
            self._fetched[name] = _state(target)

        there = store.find(deep=wanted is not None)
        needed = [name for name in there if _is_manifest(name) or (wanted is not None and wanted(name))]
        _at_once(copy, [name for name in needed if not (self.local / name).exists()])

    def publish(self, path: Path) -> None:
        """Copies a file that only this process writes to the study.

        Raises:
            FileError: Another process wrote to it, or the store cannot be written.
        """
        if self.store is None:
            return
        name = path.relative_to(self.local).as_posix()
        before = self.store.info(name)
        if (None if before is None else (before.get("size"), mark_of(before))) != self._marks.get(name):
            raise FileError(
                f"{self.place(name)}: another cohort run works on it; wait for its end, or give each process a shard "
                "of its own"
            )
        self.store.put(path, name)
        after = self.store.info(name)
        self._marks[name] = None if after is None else (after.get("size"), mark_of(after))

    def publish_tree(self, *names: str) -> None:
        """Makes files and folders of the study what they are here: copies what is new, removes what is gone.

        A folder with a file that marks it as complete, such as a Zarr store, is incomplete until all of it is there.

        Args:
            names: Below the study's folder.

        Raises:
            FileError: The store cannot be written.
        """
        if self.store is None:
            return
        for name in names:
            top = self.local / name
            here = [top] if top.is_file() else [path for path in sorted(top.rglob("*")) if path.is_file()]
            files = {path.relative_to(self.local).as_posix(): path for path in here}
            there = self.store.find(name)
            changed = [each for each, path in files.items() if self._fetched.get(each) != _state(path)]
            _replace(self.store, name, {each: files[each] for each in changed}, set(files), set(there))
            self._fetched.update({each: _state(files[each]) for each in changed})

    def require_writable(self) -> None:
        """Finds out at once whether results can be written.

        Raises:
            FileError: They cannot.
        """
        if self.store is None:
            make_folder(self.local)
            return
        name = f".probe-{secrets.token_hex(4)}"
        (self.local / name).write_bytes(b"?")
        try:
            self.store.put(self.local / name, name)
            self.store.remove([name])
        except FileError as error:
            error.args = (str(error).replace(f"/{name}", ""), *error.args[1:])
            raise
        (self.local / name).unlink()


@contextlib.contextmanager
def study_folder(
    out: PathLike, stage: PathLike | None = None, *, wanted: Callable[[str], bool] | None = None
) -> Iterator[StudyFolder]:
    """The folder of a study, for the block.

    Args:
        out: A folder, or a URL such as ``s3://bucket/study``.
        stage: Folder for the local copy; None: the system's folder for temporary files.
        wanted: Says what of the study is needed here beside its manifests, by names below its folder; None: nothing.

    Raises:
        FileError: The store cannot be read.
        UnavailableError: fsspec, or its part for this kind of URL, is not installed.
    """
    text = os.fspath(out)
    if not is_url(text) or text.startswith(("file://", "local://")):
        local = text.partition("://")[2] if is_url(text) else text
        yield StudyFolder(local, Path(local), None)
        return
    store = Store(text)
    if stage is not None:
        make_folder(Path(stage))
    with tempfile.TemporaryDirectory(prefix="ionmorphnet-study-", dir=stage) as name:
        folder = StudyFolder(store.url, Path(name), store)
        try:
            folder.fetch(wanted)
            yield folder
        except IonMorphNetError as error:  # about the copy: it is gone when the user reads this
            error.args = (str(error).replace(name, store.url), *error.args[1:])
            raise


def _is_manifest(name: str) -> bool:
    return "/" not in name and name.startswith("manifest") and name.endswith(".jsonl")


def upload_result(folder: Path, url: str, name: str, record: InputRecord, *, overwrite: bool) -> None:
    """Copies the result of a section to a store: its ``run.json``, which makes it complete, comes last.

    Args:
        folder: The result here.
        url: URL of all results.
        name: Name of the result among them.
        record: The section.
        overwrite: Replace a result of another section.

    Raises:
        FileError: The result of another section is there, or the store cannot be written.
    """
    store = Store(url)
    there = store.find(name)
    if f"{name}/{RECORD}" in there and not overwrite:
        with tempfile.TemporaryDirectory(prefix="ionmorphnet-") as other:
            store.get(f"{name}/{RECORD}", Path(other) / RECORD)
            earlier = earlier_result(Path(other), record)
        if earlier is not None and not earlier.same:
            raise FileError(f"{store.url_of(name)}: holds the result of {earlier.owner}; {REMEDY}")
    files = {f"{name}/{path.relative_to(folder).as_posix()}": path for path in folder.rglob("*") if path.is_file()}
    _replace(store, name, files, set(files), set(there))


def _replace(store: Store, name: str, files: dict[str, Path], kept: set[str], there: set[str]) -> None:
    """Uploads files below a name and removes others; what marks a folder as complete goes first and comes last."""
    gone = there - kept
    if not files and not gone:
        return
    ends = [each for last in _LAST for each in files if _is_end(each) and each.rpartition("/")[2] == last]
    others = [each for each in files if each not in set(ends)]
    if others or gone:
        store.remove(each for each in reversed(ends) if each in there)
    _at_once(lambda each: store.put(files[each], each, check=False), others)
    _at_once(lambda each: store.remove([each]), gone)
    stored = store.find(name) if others else {}
    for each in others:
        if stored.get(each, {}).get("size") != files[each].stat().st_size:
            store.put(files[each], each)
    for each in ends:
        store.put(files[each], each)


def _is_end(name: str) -> bool:
    """Whether a file marks what lies beside it as complete."""
    folder, _, last = name.rpartition("/")
    return last in _LAST and (not last.startswith(".z") or folder.endswith(".zarr"))


def _at_once(action: Callable[[str], None], names: Iterable[str]) -> None:
    """Does something with several files at a time: most of it is waiting for the store."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        futures = [pool.submit(action, name) for name in names]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _state(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
