"""cohort remove: take sections out of a study, and bring them back."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.cohort.manifest import Entry, Manifest, timestamp
from ionmorphnet.cohort.study_folder import study_folder


def remove(out: PathLike, names: Iterable[str], *, undo: bool = False) -> list[Entry]:
    """Takes sections out of a study, such as failed measurements; nothing is deleted.

    They stay in the manifest with the status ``removed``, and their result folders stay too. The consensus, the matrix,
    tables and reports that are made afterwards leave them out, and :func:`run` does not pick them again.

    Args:
        out: The study's folder or URL.
        names: Samples as in ``manifest.csv``.
        undo: Bring them back instead, as they were.

    Returns:
        The new entries, in the order of the names.

    Raises:
        ArgumentError: A sample is not in the study, is removed already, or (with ``undo``) is not removed.
        FileError: There is no manifest, it cannot be written, or a run works on the study.
    """
    with study_folder(out) as folder:
        manifest = Manifest(folder.local)
        if not manifest.files():
            raise FileError(f"{folder.shown}: holds no manifest; pick the sections with ionmorphnet cohort run")
        lock = manifest.lock(folder.shown)
        try:
            entries = manifest.entries()
            changed = [_changed(entries, name, undo) for name in dict.fromkeys(names)]
            for entry in changed:
                manifest.append(entry)
            if changed:
                folder.publish(manifest.path)
                folder.publish_tree(manifest.write_csv().name)
        finally:
            lock.release()
    return changed


def _changed(entries: Mapping[str, Entry], name: str, undo: bool) -> Entry:
    entry = entries.get(name)
    if entry is None:
        raise ArgumentError(f"'{name}' is not a sample of the study; manifest.csv lists them")
    if undo != (entry.status == "removed"):
        raise ArgumentError(f"'{name}' is {'not removed' if undo else 'removed already'}")
    if not undo:
        return dataclasses.replace(entry, status="removed", date=timestamp())
    return dataclasses.replace(entry, status="failed" if entry.reason else "done", date=timestamp())
