"""The manifest of a study: what became of each section, as append-only JSON lines that survive crashes."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, Self

import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.file_lock import FileLock
from ionmorphnet.base.files import atomic_path, make_folder
from ionmorphnet.base.json_output import plain
from ionmorphnet.cohort.carried import free_name

Status = Literal["done", "failed", "removed"]

_FILE = "manifest"


@dataclass(frozen=True)
class Shard:
    """A part of a study: the sections whose position is ``index`` modulo ``count``."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads ``2/8``, the second of eight.

        Raises:
            ArgumentError: Not two numbers, or not 1 <= first <= second.
        """
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise ArgumentError(f"a shard is written as i/n with 1 <= i <= n, not '{text}'")
        return cls(int(match[1]) - 1, int(match[2]))

    def __str__(self) -> str:
        """As it is written on the command line."""
        return f"{self.index + 1}/{self.count}"

    def has(self, position: int) -> bool:
        """Whether the section at a position belongs to the shard."""
        return position % self.count == self.index


@dataclass(frozen=True)
class Entry:
    """One attempt at a section.

    Attributes:
        name: The sample.
        path: Its file.
        status: ``done``, ``failed``, or ``removed`` from the study by its user.
        reason: Why it failed, in one line.
        key: What the result was made from and how; a rerun does nothing if it is the same.
        date: When the attempt ended, ISO 8601, UTC.
        seconds: How long it took.
        results: Folders of the results, below the study's folder; several for a file with several planes.
        candidates: Channels found, over all parts.
        picked: Channels picked.
        warnings: What was odd, one line each.
        deaths: How many workers died of it.
        worker: Where it ran: host and process.
        version: Version of the package.
        columns: What the sample list said of it.
    """

    name: str
    path: str
    status: Status
    reason: str
    key: Mapping[str, Any]
    date: str
    seconds: float
    results: tuple[str, ...] = ()
    candidates: int = 0
    picked: int = 0
    warnings: tuple[str, ...] = ()
    deaths: int = 0
    worker: str = ""
    version: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The entry from a line of the manifest; unknown fields are ignored.

        Raises:
            KeyError: A field is missing.
        """
        given = {each.name: values[each.name] for each in fields(cls) if each.name in values}
        for name in ("name", "path", "status", "reason", "key"):
            if name not in given:
                raise KeyError(name)
        given["results"] = tuple(given.get("results", ()))
        given["warnings"] = tuple(given.get("warnings", ()))
        return cls(**given)


class Manifest:
    """The manifest in a study's folder.

    A process appends to a file of its own, ``manifest.jsonl`` or ``manifest-2of8.jsonl`` of a shard; all of them
    together are the manifest. The last entry of a sample counts.
    """

    def __init__(self, folder: Path, shard: Shard | None = None) -> None:
        """Names the files; nothing is read or written yet.

        Args:
            folder: The study's folder.
            shard: The part that this process works on.
        """
        self.folder = folder
        name = _FILE if shard is None else f"{_FILE}-{shard.index + 1}of{shard.count}"
        self.path = folder / f"{name}.jsonl"

    def lock(self, shown: str) -> FileLock:
        """A lock that keeps other processes from writing to this file.

        Args:
            shown: The study's folder or URL, for the error.

        Raises:
            FileError: Another process has it.
        """
        return FileLock(
            self.folder / self.path.name.replace(_FILE, ".cohort").removesuffix(".jsonl"),
            shown=Path(shown),
            busy="another cohort run works on it",
            remedy="wait for its end, or give each process a shard of its own",
            required=False,
        )

    def append(self, entry: Entry) -> None:
        """Adds an entry; it is on the disk when this returns.

        Raises:
            FileError: It cannot be written.
        """
        line = json.dumps(plain(asdict(entry)), ensure_ascii=False) + "\n"
        make_folder(self.folder)
        try:
            with self.path.open("ab") as file:
                # A line that a crash cut short is left to itself.
                start = b"" if file.tell() == 0 or _ends_with_newline(self.path) else b"\n"
                file.write(start + line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written: {error.strerror}") from None

    def entries(self) -> dict[str, Entry]:
        """The last entry of each sample, by name.

        Raises:
            FileError: A manifest cannot be read, or a line that is complete is not an entry.
        """
        found: dict[str, Entry] = {}
        for path in self.files():
            for entry in _entries(path):
                known = found.get(entry.name)
                if known is None or entry.date >= known.date:
                    found[entry.name] = entry
        return found

    def files(self) -> list[Path]:
        """All manifest files of the study."""
        return sorted(self.folder.glob(f"{_FILE}*.jsonl"))

    def write_csv(self, names: Iterable[str] | None = None) -> Path:
        """Writes ``manifest.csv``, one row per sample, sorted as the samples are.

        Args:
            names: The samples in order; None: all entries by name.
        """
        entries = self.entries()
        order = sorted(entries) if names is None else [name for name in names if name in entries]
        frame = manifest_table([entries[name] for name in order])
        target = self.folder / f"{_FILE}.csv"
        with atomic_path(target) as temporary:
            frame.to_csv(temporary, index=False)
        return target


def timestamp() -> str:
    """The time now, as entries have it: ISO 8601, UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def manifest_table(entries: Iterable[Entry]) -> pd.DataFrame:
    """Entries as a table; the columns of the sample list come last."""
    rows = []
    for entry in entries:
        row = {
            "sample": entry.name,
            "status": entry.status,
            "reason": entry.reason,
            "candidates": entry.candidates,
            "picked": entry.picked,
            "seconds": round(entry.seconds, 3),
            "warnings": len(entry.warnings),
            "deaths": entry.deaths,
            "date": entry.date,
            "worker": entry.worker,
            "version": entry.version,
            "results": ";".join(entry.results),
            "path": entry.path,
        }
        rows.append({**row, **{free_name(key, {*row}, "sample"): value for key, value in entry.columns.items()}})
    return pd.DataFrame(rows)


def _entries(path: Path) -> Iterator[Entry]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise FileError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield Entry.from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError, AttributeError):
            # A crash may cut the line that was being written; nothing else may be wrong.
            if not _cut_short(line):
                raise FileError(f"{path}: line {number} is not an entry of a manifest; remove the line") from None


def _cut_short(line: bytes) -> bool:
    with contextlib.suppress(ValueError, UnicodeDecodeError):
        json.loads(line)
        return False
    return line.startswith(b"{")


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
