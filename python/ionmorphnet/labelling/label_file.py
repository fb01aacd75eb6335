"""The label CSV of a labelling session: read once, then replaced as a whole after every change."""

from __future__ import annotations

import csv
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ionmorphnet.base.csv_rows import parse_number, read_rows
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.file_lock import FileLock
from ionmorphnet.base.files import atomic_path
from ionmorphnet.labelled.label_csv import SAME_MZ_PPM, class_index, dataset_id
from ionmorphnet.labelling.candidates import Candidates
from ionmorphnet.models.labels import CLASSES

_OURS = ("filename", "mz", "index", "key", "label", "label_a", "label_b", "grade_a", "grade_b", "structure")


@dataclass(frozen=True)
class Label:
    """One observer's label of one image: index into ``CLASSES``, and a grade from 0 to 3 or None."""

    label: int
    grade: float | None = None


@dataclass(frozen=True)
class Row:
    """The labels of one image.

    Attributes:
        first: Label of the first pass.
        second: Label of the second pass, or None.
        name: m/z or key as the file has it; empty: the candidate's own.
        structure: Grade of the column ``structure`` in a file without the grades of each pass.
        other: Cells of columns that do not belong to the labelling page.
    """

    first: Label
    second: Label | None = None
    name: str = ""
    structure: float | None = None
    other: Mapping[str, str] = field(default_factory=dict)

    @property
    def mean_grade(self) -> float | None:
        """Mean of the grades that were given."""
        grades = [each.grade for each in (self.first, self.second) if each is not None and each.grade is not None]
        return float(np.mean(grades)) if grades else self.structure


class LabelFile:
    """Labels of some candidates, kept in a CSV that only one session may use at a time.

    The file has the columns ``filename,mz,label,structure`` (image arrays: ``filename,index,key,label,structure``).
    With the first label of a second pass, ``label_a,label_b,grade_a,grade_b`` replace ``label``, and ``structure`` is
    the mean grade. Other columns, and rows of m/z that are not among the candidates, are kept.

    Attributes:
        path: The file.
        rows: Labels by number of the candidate, in the order of the file.
        kept: Number of rows of other m/z.
    """

    def __init__(self, path: Path, candidates: Candidates) -> None:
        """Lock the file and read it if it exists.

        Raises:
            FileError: Another session uses it, it cannot be read or written, it belongs to another section, or a row
                cannot be understood.
        """
        self.path = path
        self._candidates = candidates
        self.rows: dict[int, Row] = {}
        self._kept: list[tuple[str, Row]] = []
        self._other_columns: list[str] = []
        if path.is_dir():
            raise FileError(f"{path}: is a folder, a file name is needed")
        self._lock = FileLock(path, busy="another session is labelling it")
        try:
            self._state = self._state_on_disk()
            if self._state is not None:
                self._read()
        except BaseException:
            self._lock.release()
            raise

    @property
    def kept(self) -> int:
        """Number of rows that are kept although their m/z is not among the candidates."""
        return len(self._kept)

    def close(self) -> None:
        """Release the lock."""
        self._lock.release()

    def save(self) -> None:
        """Replace the file. When this returns, the labels are on the disk.

        Raises:
            FileError: The file cannot be written, another program has changed it since it was read or saved, or it was
                closed.
        """
        if not self._lock.held:
            raise FileError(f"{self.path}: the session has ended; start it again to go on")
        if self._state_on_disk() != self._state:
            raise FileError(f"{self.path}: was changed by another program; end this session and start it again")
        target = self.path.resolve()
        with atomic_path(target) as temporary:
            with open(temporary, "w", encoding="utf-8", newline="") as stream:
                writer = csv.DictWriter(stream, self._columns(), restval="", lineterminator="\n")
                writer.writeheader()
                writer.writerows(self._cells())
                stream.flush()
                os.fsync(stream.fileno())
            if target.exists():
                shutil.copymode(target, temporary)
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)  # makes the new name durable, not only the content
        finally:
            os.close(folder)
        self._state = self._state_on_disk()

    def _state_on_disk(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _columns(self) -> list[str]:
        names = ["filename", *(["mz"] if self._candidates.indices is None else ["index", "key"])]
        names += ["label_a", "label_b", "grade_a", "grade_b"] if self._two_passes() else ["label"]
        return [*names, "structure", *self._other_columns]

    def _two_passes(self) -> bool:
        return any(row.second for row in self.rows.values()) or any(row.second for _, row in self._kept)

    def _cells(self) -> list[dict[str, str]]:
        cells = [{"mz": name, **self._label_cells(row)} for name, row in self._kept]
        for item, row in self.rows.items():
            name = row.name or self._candidates.keys[item]
            if self._candidates.indices is None:
                where = {"mz": name}
            else:
                where = {"index": str(self._candidates.indices[item]), "key": name}
            cells.append(where | self._label_cells(row))
        return cells

    def _label_cells(self, row: Row) -> dict[str, str]:
        if self._two_passes():
            cells = {"label_a": CLASSES[row.first.label], "grade_a": _grade_text(row.first.grade)}
            if row.second is not None:
                cells |= {"label_b": CLASSES[row.second.label], "grade_b": _grade_text(row.second.grade)}
        else:
            cells = {"label": CLASSES[row.first.label]}
        name = self._candidates.filename
        return {"filename": name, **cells, "structure": _grade_text(row.mean_grade), **row.other}

    def _read(self) -> None:
        lines = read_rows(self.path)
        if not lines:
            return
        number, cells = lines[0]
        header = ["mz" if cell.casefold() == "m/z" else cell.casefold() for cell in cells]
        identity = "mz" if self._candidates.indices is None else "index"
        if identity not in header or ("label" not in header and "label_a" not in header):
            kind = "a section" if identity == "mz" else "image arrays"
            raise FileError(
                f"{self.path}: line {number}: not the label file of {kind} (columns {', '.join(cells)}); choose another"
            )
        if len(set(header)) < len(header):
            raise FileError(f"{self.path}: line {number}: a column occurs twice; remove one")
        self._other_columns = [name for name in header if name not in _OURS]
        for line, row in lines[1:]:
            where = f"{self.path}: line {line}"
            if len(row) > len(header):
                raise FileError(f"{where}: {len(row)} cells for {len(header)} columns; mend or remove the row")
            self._add(where, header, dict(zip(header, row, strict=False)))
        if self._kept and not self.rows and "filename" not in header:
            raise FileError(
                f"{self.path}: none of its m/z is a candidate of {self._candidates.filename}; choose another label file"
            )

    def _add(self, where: str, header: list[str], cells: dict[str, str]) -> None:
        named = cells.get("filename", "")
        if named and dataset_id(named) != dataset_id(self._candidates.filename):
            raise FileError(
                f"{where}: belongs to {named}, not to {self._candidates.filename}; choose another label file"
            )
        try:
            item, name = self._item(cells)
            row = _row({column: cells.get(column, "") for column in header}, name, self._other_columns)
        except ValueError as error:
            raise FileError(f"{where}: {error}; mend or remove the row") from None
        if item is None:
            self._kept.append((name, row))
            return
        if item in self.rows:
            raise FileError(f"{where}: {self._candidates.caption(item)} is labelled twice; remove one of the rows")
        self.rows[item] = row

    def _item(self, cells: Mapping[str, str]) -> tuple[int | None, str]:
        """The candidate that a row names (None: there is none), and how the row names it.

        Raises:
            ValueError: The row names no image.
        """
        candidates = self._candidates
        if candidates.indices is not None:
            text, key = cells.get("index", ""), cells.get("key", "")
            if not (text.isascii() and text.isdigit() and int(text) in candidates.indices):
                raise ValueError(f"there is no image '{text}' in {candidates.filename}")
            item = candidates.indices.index(int(text))
            if key and candidates.keys[item] and not _same_key(key, candidates.keys[item]):
                raise ValueError(f"image {text} of {candidates.filename} is '{candidates.keys[item]}', not '{key}'")
            return item, key
        text = cells.get("mz", "")
        mz = _number(text)
        if not (math.isfinite(mz) and mz > 0):
            raise ValueError(f"'{text}' is not an m/z value")
        assert candidates.mz is not None
        assert candidates.mz_lo is not None
        assert candidates.mz_hi is not None
        item = int(np.argmin(np.abs(candidates.mz - mz)))
        same = abs(candidates.mz[item] / mz - 1.0) * 1e6 <= SAME_MZ_PPM
        within = candidates.mz_lo[item] <= mz <= candidates.mz_hi[item]
        return (item if same or within else None), text


def _row(cells: Mapping[str, str], name: str, other: list[str]) -> Row:
    """Parse the labels of a row.

    Raises:
        ValueError: A class or grade cannot be understood.
    """
    rest = {column: cells[column] for column in other}
    structure = _grade(cells.get("structure", ""))
    if "label" in cells:
        return Row(Label(class_index(cells["label"]), structure), None, name, None, rest)
    first, second = class_index(cells["label_a"]), cells.get("label_b", "")
    grades = _grade(cells.get("grade_a", "")), _grade(cells.get("grade_b", ""))
    if not second:
        return Row(Label(first, structure if grades[0] is None else grades[0]), None, name, None, rest)
    return Row(Label(first, grades[0]), Label(class_index(second), grades[1]), name, structure, rest)


def _grade(text: str) -> float | None:
    if not text:
        return None
    value = _number(text)
    if not 0.0 <= value <= 3.0:
        raise ValueError(f"'{text}' is not a structure grade from 0 to 3")
    return value


def _number(text: str) -> float:
    """The number in a cell; NaN if there is none."""
    try:
        return parse_number(text)
    except ValueError:
        return math.nan


def _grade_text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _same_key(a: str, b: str) -> bool:
    """Whether two keys are one: equal text, or m/z that differ by rounding only."""
    try:
        return a == b or abs(float(a) / float(b) - 1.0) <= 1e-4
    except (ValueError, ZeroDivisionError):
        return False
