"""Label files: which morphology class the ion images of a dataset show.

Two formats. The published one has a CSV for each dataset, with the columns ``filename,mz,min_fdr,databases,label``; the
dataset's id is the stem of the file. Labels of image arrays have the columns ``index,key,label_a,label_b,structure`` or
``index,label``. What can be used is used; what cannot is left out, counted and listed with its line.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath, PureWindowsPath

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.csv_rows import parse_number, read_rows
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.models.labels import CLASSES

# Rows closer than this (ppm) are one ion written twice: far below any window, far above the rounding of a decimal.
SAME_MZ_PPM = 0.01
_SUFFIXES = (".imzml", ".ibd", ".csv")


@dataclass(frozen=True)
class LabelProblem:
    """One thing that was left out.

    Attributes:
        kind: What is wrong, in words that many rows share: ``"unknown class"``, ``"duplicate"`` ...
        text: ``<file>: line <n>: <cause>``.
    """

    kind: str
    text: str


@dataclass
class LabelReport:
    """What was read and what was left out.

    Attributes:
        files: Label files read.
        rows: Rows in them.
        used: Labelled images that came out.
        problems: Everything left out, in the order it was met.
    """

    files: int = 0
    rows: int = 0
    used: int = 0
    problems: list[LabelProblem] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind, the most frequent first."""
        return dict(Counter(problem.kind for problem in self.problems).most_common())

    def add(self, kind: str, text: str) -> None:
        """Note a problem."""
        self.problems.append(LabelProblem(kind, text))

    def extend(self, other: LabelReport) -> None:
        """Take in what another report counted, except ``used``, which only the end of the reading knows."""
        self.files += other.files
        self.rows += other.rows
        self.problems += other.problems

    def lines(self, limit: int = 10) -> list[str]:
        """Text for people: a summary, the counts, and the first ``limit`` problems."""
        # Rows that contradict each other share one text.
        texts = list(dict.fromkeys(problem.text for problem in self.problems))
        out = [f"{self.used} labelled images from {self.rows} rows of {self.files} label files"]
        if texts:
            out.append("left out: " + ", ".join(f"{n} {kind}" for kind, n in self.counts.items()))
            out += texts[:limit]
        if len(texts) > limit:
            out.append(f"... and {len(texts) - limit} more")
        return out

    def to_dict(self) -> dict[str, object]:
        """Numbers for JSON; without the texts, which hold paths."""
        return {"files": self.files, "rows": self.rows, "used": self.used, "left_out": self.counts}


@dataclass(frozen=True)
class MzLabel:
    """One labelled ion of a dataset.

    Attributes:
        mz: m/z as written.
        label: Index into ``CLASSES``.
        structure: Grade 0 to 3 of meaningful spatial structure; NaN where the file does not say.
        line: Line of the file.
    """

    mz: float
    label: int
    structure: float
    line: int


@dataclass(frozen=True)
class ImageLabel:
    """The label of one image of an array file.

    Attributes:
        index: Position of the image; None where the file has no column ``index``.
        key: Name of the image or its m/z as text; empty where the file has no column ``key``.
        probabilities: float32 (6,), sum 1; two observers who disagree count half each.
        structure: Grade 0 to 3; NaN where the file does not say.
        line: Line of the file.
        labels: What each observer says, indices into ``CLASSES``.
    """

    index: int | None
    key: str
    probabilities: NDArray[np.float32]
    structure: float
    line: int
    labels: tuple[int, ...]


def one_hot(label: int) -> NDArray[np.float32]:
    """Probability 1 for one class; float32 (6,)."""
    probabilities = np.zeros(len(CLASSES), dtype=np.float32)
    probabilities[label] = 1.0
    return probabilities


def class_index(text: str) -> int:
    """The class that a name means.

    Capitals do not matter, and a space or hyphen may stand for the underscore. Numbers are refused: other tools count
    the classes from 1 or in another order, and a wrong guess would never be noticed.

    Raises:
        ValueError: No such class; the message says what is accepted.
    """
    name = "_".join(text.casefold().replace("-", " ").replace("_", " ").split())
    if name in CLASSES:
        return CLASSES.index(name)
    try:
        parse_number(text)
    except ValueError:
        raise ValueError(f"'{text}' is no class; the classes are {', '.join(CLASSES)}") from None
    raise ValueError(f"'{text}' is a number; write the class's name ({', '.join(CLASSES)})")


def dataset_id(filename: str) -> str:
    """The dataset that a file name means: its stem, whatever the folder; ``imzML``, ``ibd`` and ``csv`` end a name."""
    # Both kinds of separators: label files travel between systems.
    name = PureWindowsPath(PurePath(filename).name).name
    for suffix in _SUFFIXES:
        if name.casefold().endswith(suffix):
            return name[: -len(suffix)]
    return name


def read_mz_labels(path: PathLike, *, dataset: str | None = None) -> tuple[list[MzLabel], LabelReport]:
    """Read a label file of the published format.

    Columns ``mz`` (or ``m/z``) and ``label`` are needed, ``filename`` and ``structure`` (0 to 3) are read where
    present, all others are ignored. Rows that name another dataset, an unknown class, no class or no m/z are left out.
    Rows of the same m/z (within 0.01 ppm) and class are merged; where classes contradict each other, none is used.

    Args:
        path: The CSV.
        dataset: Id that the rows' ``filename`` must mean; the stem of ``path`` where None.

    Returns:
        The labels in ascending m/z, and what was left out. An empty file gives no labels.

    Raises:
        FileError: Missing, not a CSV, or a needed column is missing.
    """
    path = Path(path)
    expected = dataset_id(path.name) if dataset is None else dataset
    report = LabelReport(files=1)
    header, rows = _table(path, report)
    if header is None:
        return [], report
    _need(path, header, "mz")
    _need(path, header, "label")
    labels = []
    for line, row in rows:
        try:
            labels.append(_mz_label(row, line, expected))
        except _BadRow as bad:
            report.add(bad.kind, f"{path}: line {line}: {bad}")
    return _merged(path, labels, report), report


def read_image_labels(path: PathLike) -> tuple[list[ImageLabel], LabelReport]:
    """Read the labels of an array of images.

    Columns: ``index`` (from 0) or ``key`` or both; ``label``, or ``label_a`` and ``label_b`` of two observers;
    optionally ``structure`` (0 to 3). An image that is named twice with different content is not used.

    Args:
        path: The CSV.

    Returns:
        The labels in the order of the file, and what was left out. An empty file gives no labels.

    Raises:
        FileError: Missing, not a CSV, or a needed column is missing.
    """
    path = Path(path)
    report = LabelReport(files=1)
    header, rows = _table(path, report)
    if header is None:
        return [], report
    if "index" not in header and "key" not in header:
        raise FileError(f"{path}: line {header['']}: no column 'index' or 'key' among {_listed(header)}")
    columns = ["label"] if "label" in header else ["label_a", "label_b"]
    if "label" not in header and not all(name in header for name in columns):
        raise FileError(
            f"{path}: line {header['']}: no column 'label' (nor 'label_a' and 'label_b') among {_listed(header)}"
        )
    labels = []
    for line, row in rows:
        try:
            labels.append(_image_label(row, line, columns, "index" in header))
        except _BadRow as bad:
            report.add(bad.kind, f"{path}: line {line}: {bad}")
    return _unrepeated(path, labels, report), report


def _table(path: Path, report: LabelReport) -> tuple[dict[str, int] | None, list[tuple[int, dict[str, str]]]]:
    """Header (column name -> position; under "" the line it is on) and rows as dicts; None for an empty file."""
    lines = read_rows(path)
    if not lines:
        report.add("empty file", f"{path}: the file is empty, nothing is labelled in it")
        return None, []
    number, cells = lines[0]
    names = ["mz" if cell.casefold() == "m/z" else cell.casefold() for cell in cells]
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise FileError(f"{path}: line {number}: several columns are named '{repeated[0]}'")
    header = {name: position for position, name in enumerate(names)} | {"": number}
    rows = []
    for line, row in lines[1:]:
        report.rows += 1
        if len(row) > len(names):
            report.add(
                "too many cells", f"{path}: line {line}: {len(row)} cells under {len(names)} columns; decimal comma?"
            )
            continue
        rows.append((line, dict(zip(names, row, strict=False))))
    if len(lines) == 1:
        report.add("empty file", f"{path}: no rows below the header")
    return header, rows


def _need(path: Path, header: Mapping[str, int], name: str) -> None:
    if name not in header:
        raise FileError(f"{path}: line {header['']}: no column '{name}' among {_listed(header)}")


def _listed(header: Iterable[str]) -> str:
    return ", ".join(name for name in header if name)


class _BadRow(Exception):  # noqa: N818 - caught in this file
    """A row that cannot be used; the first thing that is wrong with it."""

    def __init__(self, kind: str, cause: str) -> None:
        super().__init__(cause)
        self.kind = kind


def _mz_label(row: Mapping[str, str], line: int, expected: str) -> MzLabel:
    named = row.get("filename", "")
    if named and dataset_id(named) != expected:
        raise _BadRow("other dataset", f"'{named}' is not of the dataset '{expected}'")
    mz = row.get("mz", "")
    try:
        value = parse_number(mz)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise _BadRow("no m/z", f"'{mz}' is no m/z value")
    return MzLabel(value, _class(row.get("label", "")), _grade(row.get("structure", "")), line)


def _image_label(row: Mapping[str, str], line: int, columns: list[str], indexed: bool) -> ImageLabel:
    key, text = row.get("key", ""), row.get("index", "")
    if indexed and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _BadRow("no index", f"'{text}' is no position of an image")
    if not indexed and not key:
        raise _BadRow("no index", "no key is given")
    labels = tuple(_class(row.get(name, "")) for name in columns)
    probabilities = np.stack([one_hot(label) for label in labels]).mean(axis=0).astype(np.float32)
    grade = _grade(row.get("structure", ""))
    return ImageLabel(int(text) if indexed else None, key, probabilities, grade, line, labels)


def _class(text: str) -> int:
    if not text:
        raise _BadRow("no class", "no class is given")
    try:
        return class_index(text)
    except ValueError as error:
        raise _BadRow("unknown class", str(error)) from None


def _grade(text: str) -> float:
    """The grade, NaN where none is given."""
    if not text:
        return math.nan
    try:
        value = parse_number(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 3.0:
        raise _BadRow("no grade", f"'{text}' is no structure grade from 0 to 3")
    return value


def _merged(path: Path, labels: list[MzLabel], report: LabelReport) -> list[MzLabel]:
    """Ascending m/z; equal rows once, contradicting ones not at all."""
    groups: list[list[MzLabel]] = []
    for label in sorted(labels, key=lambda each: (each.mz, each.line)):
        # Against the first of the group, so that a chain of close values cannot grow.
        if groups and (label.mz / groups[-1][0].mz - 1.0) * 1e6 <= SAME_MZ_PPM:
            groups[-1].append(label)
        else:
            groups.append([label])
    kept = []
    for group in groups:
        first, rest = group[0], group[1:]
        lines = ", ".join(str(each.line) for each in sorted(group, key=lambda each: each.line))
        if len({each.label for each in group}) > 1:
            names = " and ".join(sorted({CLASSES[each.label] for each in group}))
            for _ in group:
                report.add("contradiction", f"{path}: lines {lines}: m/z {first.mz} is labelled {names}; none is used")
            continue
        for each in rest:
            report.add("duplicate", f"{path}: line {each.line}: m/z {each.mz} is labelled twice (lines {lines})")
        grades = [each.structure for each in group if not math.isnan(each.structure)]
        structure = float(np.mean(grades)) if grades else math.nan
        kept.append(MzLabel(first.mz, first.label, structure, first.line))
    return kept


def _unrepeated(path: Path, labels: list[ImageLabel], report: LabelReport) -> list[ImageLabel]:
    groups: dict[object, list[ImageLabel]] = {}
    for label in labels:
        groups.setdefault(label.key if label.index is None else label.index, []).append(label)
    kept = []
    for name, group in groups.items():
        first = group[0]
        if any(_differ(first, other) for other in group[1:]):
            for each in group:
                report.add("contradiction", f"{path}: line {each.line}: image {name} is labelled differently twice")
            continue
        for each in group[1:]:
            report.add("duplicate", f"{path}: line {each.line}: image {name} is labelled twice")
        kept.append(first)
    return kept


def _differ(a: ImageLabel, b: ImageLabel) -> bool:
    same_grade = a.structure == b.structure or (math.isnan(a.structure) and math.isnan(b.structure))
    return not same_grade or a.key != b.key or not np.array_equal(a.probabilities, b.probabilities)
