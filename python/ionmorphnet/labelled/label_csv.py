"""Label files: the morphology classes of a dataset's ion images.

There are two formats. The published format has one CSV per dataset with the columns
``filename,mz,min_fdr,databases,label``; the dataset's id is the stem of the file. Labels of image arrays have the
columns ``index,key,label,structure``. In both, ``label_a`` and ``label_b`` of two observers, or of two passes of one,
may replace ``label``. Unusable rows are skipped, counted and listed with their line numbers.
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

# Rows closer than this (ppm) are the same ion: far below any window width, far above rounding of the decimals.
SAME_MZ_PPM = 0.01
_SUFFIXES = (".imzml", ".ibd", ".csv")
# The second may be empty: a second pass need not be complete.
_PASSES = ("label_a", "label_b")


@dataclass(frozen=True)
class LabelProblem:
    """A row or file that was skipped.

    Attributes:
        kind: Kind of problem, for counting: ``"unknown class"``, ``"duplicate"`` ...
        text: ``<file>: line <n>: <cause>``.
    """

    kind: str
    text: str


@dataclass
class LabelReport:
    """Summary of what was read and skipped.

    Attributes:
        files: Number of label files read.
        rows: Number of rows in them.
        used: Number of labelled images that resulted.
        problems: Everything that was skipped, in reading order.
    """

    files: int = 0
    rows: int = 0
    used: int = 0
    problems: list[LabelProblem] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Number of problems of each kind, most frequent first."""
        return dict(Counter(problem.kind for problem in self.problems).most_common())

    def add(self, kind: str, text: str) -> None:
        """Record a problem."""
        self.problems.append(LabelProblem(kind, text))

    def extend(self, other: LabelReport) -> None:
        """Add the counts and problems of another report, except ``used``, which is set at the end of reading."""
        self.files += other.files
        self.rows += other.rows
        self.problems += other.problems

    def lines(self, limit: int = 10) -> list[str]:
        """Format as text: a summary, the counts, and the first ``limit`` problems."""
        # Contradicting rows share one text.
        texts = list(dict.fromkeys(problem.text for problem in self.problems))
        out = [f"{self.used} labelled images from {self.rows} rows of {self.files} label files"]
        if texts:
            out.append("left out: " + ", ".join(f"{n} {kind}" for kind, n in self.counts.items()))
            out += texts[:limit]
        if len(texts) > limit:
            out.append(f"... and {len(texts) - limit} more")
        return out

    def to_dict(self) -> dict[str, object]:
        """Return the counts for JSON, without the texts, which contain paths."""
        return {"files": self.files, "rows": self.rows, "used": self.used, "left_out": self.counts}


@dataclass(frozen=True)
class MzLabel:
    """One labelled ion of a dataset.

    Attributes:
        mz: m/z as written.
        labels: Label of each observer, as index into ``CLASSES``.
        structure: Grade 0 to 3 of meaningful spatial structure; NaN = not given.
        line: Line in the file.
    """

    mz: float
    labels: tuple[int, ...]
    structure: float
    line: int

    @property
    def label(self) -> int:
        """Label of the first observer, as index into ``CLASSES``."""
        return self.labels[0]

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """Soft label, float32 (6,), sum 1; the labels of two observers count half each."""
        return _soft_label(self.labels)


@dataclass(frozen=True)
class ImageLabel:
    """The label of one image of an array file.

    Attributes:
        index: Position of the image; None if the file has no column ``index``.
        key: Name of the image, or its m/z as text; empty if the file has no column ``key``.
        probabilities: float32 (6,), sum 1; the labels of two observers count half each.
        structure: Grade 0 to 3; NaN = not given.
        line: Line in the file.
        labels: Label of each observer, as index into ``CLASSES``.
    """

    index: int | None
    key: str
    probabilities: NDArray[np.float32]
    structure: float
    line: int
    labels: tuple[int, ...]


def one_hot(label: int) -> NDArray[np.float32]:
    """Return probability 1 for one class, float32 (6,)."""
    probabilities = np.zeros(len(CLASSES), dtype=np.float32)
    probabilities[label] = 1.0
    return probabilities


def _soft_label(labels: tuple[int, ...]) -> NDArray[np.float32]:
    soft: NDArray[np.float32] = np.stack([one_hot(label) for label in labels]).mean(axis=0, dtype=np.float32)
    return soft


def class_index(text: str) -> int:
    """Return the index of a class name.

    Case is ignored, and spaces or hyphens may replace the underscore. Numbers are refused: other tools number the
    classes from 1 or in another order, and a wrong guess would go unnoticed.

    Raises:
        ValueError: The class is unknown; the message lists the accepted names.
    """
    name = "_".join(text.casefold().replace("-", " ").replace("_", " ").split())
    if name in CLASSES:
        return CLASSES.index(name)
    try:
        parse_number(text)
    except ValueError:
        raise ValueError(f"unknown class '{text}'; known: {', '.join(CLASSES)}") from None
    raise ValueError(f"class '{text}' is a number; use a name: {', '.join(CLASSES)}")


def dataset_id(filename: str) -> str:
    """Return the dataset of a file name: the name without folder and without the suffix imzML, ibd or csv."""
    # Both kinds of separators, because label files move between systems.
    name = PureWindowsPath(PurePath(filename).name).name
    for suffix in _SUFFIXES:
        if name.casefold().endswith(suffix):
            return name[: -len(suffix)]
    return name


def read_mz_labels(path: PathLike, *, dataset: str | None = None) -> tuple[list[MzLabel], LabelReport]:
    """Read a label file of the published format.

    The columns ``mz`` (or ``m/z``) and ``label`` are required; ``label_a`` and ``label_b`` of two observers may replace
    ``label``, and ``label_b`` may be empty. ``filename`` and ``structure`` (0 to 3) are optional; others are ignored.
    Rows with another dataset, an unknown class, no class or no m/z are skipped. Rows with the same m/z (within
    0.01 ppm) and class are merged; if their classes contradict each other, all of them are skipped.

    Args:
        path: Path of the CSV.
        dataset: Dataset that ``filename`` must match; None: the stem of ``path``.

    Returns:
        The labels in ascending m/z, and a report of what was skipped. An empty file yields no labels.

    Raises:
        FileError: The file is missing or not a CSV, or lacks a required column.
    """
    path = Path(path)
    expected = dataset_id(path.name) if dataset is None else dataset
    report = LabelReport(files=1)
    header, rows = _table(path, report)
    if header is None:
        return [], report
    _need(path, header, "mz")
    columns = _label_columns(path, header)
    labels = []
    for line, row in rows:
        try:
            labels.append(_mz_label(row, line, columns, expected))
        except _BadRow as bad:
            report.add(bad.kind, f"{path}: line {line}: {bad}")
    return _merged(path, labels, report), report


def read_image_labels(path: PathLike) -> tuple[list[ImageLabel], LabelReport]:
    """Read the label file of an array of images.

    The columns are ``index`` (from 0), ``key`` or both; ``label``, or ``label_a`` and ``label_b`` of two observers
    (``label_b`` may be empty); and optionally ``structure`` (0 to 3). Images with contradicting rows are skipped.

    Args:
        path: Path of the CSV.

    Returns:
        The labels in the order of the file, and a report of what was skipped. An empty file yields no labels.

    Raises:
        FileError: The file is missing or not a CSV, or lacks a required column.
    """
    path = Path(path)
    report = LabelReport(files=1)
    header, rows = _table(path, report)
    if header is None:
        return [], report
    if "index" not in header and "key" not in header:
        raise FileError(f"{path}: line {header['']}: column 'index' or 'key' is missing; found {_listed(header)}")
    columns = _label_columns(path, header)
    labels = []
    for line, row in rows:
        try:
            labels.append(_image_label(row, line, columns, "index" in header))
        except _BadRow as bad:
            report.add(bad.kind, f"{path}: line {line}: {bad}")
    return _unrepeated(path, labels, report), report


def _table(path: Path, report: LabelReport) -> tuple[dict[str, int] | None, list[tuple[int, dict[str, str]]]]:
    """Read the header (column name -> position, and its line number as "") and the rows; None for an empty file."""
    lines = read_rows(path)
    if not lines:
        report.add("empty file", f"{path}: the file is empty")
        return None, []
    number, cells = lines[0]
    names = ["mz" if cell.casefold() == "m/z" else cell.casefold() for cell in cells]
    repeated = [name for name, n in Counter(names).items() if n > 1]
    if repeated:
        raise FileError(f"{path}: line {number}: duplicate column '{repeated[0]}'")
    header = {name: position for position, name in enumerate(names)} | {"": number}
    rows = []
    for line, row in lines[1:]:
        report.rows += 1
        if len(row) > len(names):
            report.add(
                "too many cells",
                f"{path}: line {line}: {len(row)} cells for {len(names)} columns; check for decimal commas",
            )
            continue
        rows.append((line, dict(zip(names, row, strict=False))))
    if len(lines) == 1:
        report.add("empty file", f"{path}: no rows below the header")
    return header, rows


def _label_columns(path: Path, header: Mapping[str, int]) -> tuple[str, ...]:
    if "label" in header:
        return ("label",)
    if not all(name in header for name in _PASSES):
        raise FileError(
            f"{path}: line {header['']}: columns 'label' or 'label_a' and 'label_b' are missing; "
            f"found {_listed(header)}"
        )
    return _PASSES


def _need(path: Path, header: Mapping[str, int], name: str) -> None:
    if name not in header:
        raise FileError(f"{path}: line {header['']}: column '{name}' is missing; found {_listed(header)}")


def _listed(header: Iterable[str]) -> str:
    return ", ".join(name for name in header if name)


class _BadRow(Exception):  # noqa: N818 - caught in this file
    """The first problem of an unusable row."""

    def __init__(self, kind: str, cause: str) -> None:
        super().__init__(cause)
        self.kind = kind


def _mz_label(row: Mapping[str, str], line: int, columns: tuple[str, ...], expected: str) -> MzLabel:
    named = row.get("filename", "")
    if named and dataset_id(named) != expected:
        raise _BadRow("other dataset", f"'{named}' does not belong to dataset '{expected}'")
    mz = row.get("mz", "")
    try:
        value = parse_number(mz)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise _BadRow("no m/z", f"'{mz}' is not an m/z value")
    return MzLabel(value, _labels(row, columns), _grade(row.get("structure", "")), line)


def _image_label(row: Mapping[str, str], line: int, columns: tuple[str, ...], indexed: bool) -> ImageLabel:
    key, text = row.get("key", ""), row.get("index", "")
    if indexed and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise _BadRow("no index", f"'{text}' is not an image index")
    if not indexed and not key:
        raise _BadRow("no index", "the key is empty")
    labels = _labels(row, columns)
    grade = _grade(row.get("structure", ""))
    return ImageLabel(int(text) if indexed else None, key, _soft_label(labels), grade, line, labels)


def _labels(row: Mapping[str, str], columns: tuple[str, ...]) -> tuple[int, ...]:
    """Parse the class of each observer; those after the first may be missing."""
    first, *others = (row.get(name, "") for name in columns)
    return (_class(first), *(_class(text) for text in others if text))


def _class(text: str) -> int:
    if not text:
        raise _BadRow("no class", "the class is empty")
    try:
        return class_index(text)
    except ValueError as error:
        raise _BadRow("unknown class", str(error)) from None


def _grade(text: str) -> float:
    """Parse the grade; NaN if empty."""
    if not text:
        return math.nan
    try:
        value = parse_number(text)
    except ValueError:
        value = math.nan
    if not 0.0 <= value <= 3.0:
        raise _BadRow("no grade", f"'{text}' is not a structure grade from 0 to 3")
    return value


def _merged(path: Path, labels: list[MzLabel], report: LabelReport) -> list[MzLabel]:
    """Sort by m/z, merge equal rows, and drop contradicting ones."""
    groups: list[list[MzLabel]] = []
    for label in sorted(labels, key=lambda each: (each.mz, each.line)):
        # Compared with the first of the group, so that close values cannot form a chain.
        if groups and (label.mz / groups[-1][0].mz - 1.0) * 1e6 <= SAME_MZ_PPM:
            groups[-1].append(label)
        else:
            groups.append([label])
    kept = []
    for group in groups:
        first, rest = group[0], group[1:]
        lines = ", ".join(str(each.line) for each in sorted(group, key=lambda each: each.line))
        if len({each.labels for each in group}) > 1:
            names = " and ".join(sorted({CLASSES[label] for each in group for label in each.labels}))
            for _ in group:
                report.add(
                    "contradiction",
                    f"{path}: lines {lines}: m/z {first.mz} has contradicting labels ({names}); skipped",
                )
            continue
        for each in rest:
            report.add(
                "duplicate", f"{path}: line {each.line}: m/z {each.mz} is labelled more than once (lines {lines})"
            )
        grades = [each.structure for each in group if not math.isnan(each.structure)]
        structure = float(np.mean(grades)) if grades else math.nan
        kept.append(MzLabel(first.mz, first.labels, structure, first.line))
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
                report.add("contradiction", f"{path}: line {each.line}: image {name} has contradicting labels")
            continue
        for each in group[1:]:
            report.add("duplicate", f"{path}: line {each.line}: image {name} is labelled more than once")
        kept.append(first)
    return kept


def _differ(a: ImageLabel, b: ImageLabel) -> bool:
    same_grade = a.structure == b.structure or (math.isnan(a.structure) and math.isnan(b.structure))
    return not same_grade or a.key != b.key or not np.array_equal(a.probabilities, b.probabilities)
