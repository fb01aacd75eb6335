"""The sections of a study: from files, folders and patterns, or from a CSV that describes them."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ionmorphnet.base.csv_rows import read_rows
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike, is_url
from ionmorphnet.io.inputs import listed_inputs, name_key

# Columns of a sample list that name the file, and those that name the sample; the rest is kept as it is.
_PATH_COLUMNS = ("path", "file", "imzml")
_NAME_COLUMNS = ("sample", "name")


@dataclass(frozen=True)
class Sample:
    """One section of a study.

    Attributes:
        path: Its imzML file, absolute, or a URL.
        name: Its name, unique in the study; ``/`` separates folders. The result goes to a folder of this name.
        columns: What the sample list says of it, such as ``patient``, ``batch`` and ``group``.
        problem: What is wrong with it before it is opened; empty if nothing is.
    """

    path: str
    name: str
    columns: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""

    @property
    def is_remote(self) -> bool:
        """Whether the path is a URL."""
        return is_url(self.path)


def read_samples(inputs: Iterable[PathLike]) -> list[Sample]:
    """The sections of a study, in the order given.

    Args:
        inputs: imzML files; folders, which are searched with all that is below them; patterns; URLs; and CSV files with
            a column ``path`` (or ``file``), relative to the CSV, and optionally ``sample`` (or ``name``), ``patient``,
            ``batch``, ``group`` and any others.

    Returns:
        One sample per section. Names that are not given are the shortest ends of the paths that tell them apart. An
        input that cannot be found is a sample with a ``problem``.

    Raises:
        ArgumentError: There are no inputs, or two samples have the same name or file.
        FileError: A CSV cannot be read, or lacks the column of the files.
    """
    samples: list[Sample] = []
    unnamed: list[str] = []
    columns_of: dict[str, Mapping[str, str]] = {}
    for given in inputs:
        text = os.fspath(given)
        rows = _listed(Path(text)) if text.lower().endswith(".csv") and not is_url(text) else [Sample(text, "")]
        for row in rows:
            if row.name:
                missing = not row.is_remote and not os.path.isfile(row.path)
                samples.append(dataclasses.replace(row, problem=f"{row.path}: no such file" if missing else ""))
            elif row.is_remote:
                samples.append(dataclasses.replace(row, name=_stem_of_url(row.path)))
            else:
                unnamed.append(row.path)
                columns_of[os.path.abspath(row.path)] = row.columns
    # All at once, because a name depends on the others that it must be told from.
    for found in listed_inputs(unnamed):
        path = os.path.abspath(found.path)
        problem = "" if found.problem is None else str(found.problem)
        if not problem and not os.path.isfile(path):
            problem = f"{found.path}: no such file"
        samples.append(Sample(path, found.name, columns_of.get(path, {}), problem))
    if not samples:
        raise ArgumentError("there are no inputs")
    _refuse_twins(samples)
    return samples


def _stem_of_url(path: str) -> str:
    last = path.rstrip("/").rsplit("/", 1)[-1]
    return last.rsplit(".", 1)[0] or last


def _listed(path: Path) -> list[Sample]:
    """The rows of a sample list; those without a name have an empty one."""
    rows = read_rows(path)
    if not rows:
        raise FileError(f"{path}: is empty")
    header = [name.strip().lower() for name in rows[0][1]]
    twice = [name for name, count in Counter(header).items() if count > 1]
    if twice:
        raise FileError(f"{path}: two columns are called '{twice[0]}'")
    place = next((header.index(name) for name in _PATH_COLUMNS if name in header), None)
    naming = next((header.index(name) for name in _NAME_COLUMNS if name in header), None)
    if place is None:
        raise FileError(f"{path}: no column 'path' among {', '.join(rows[0][1])}; it names the imzML files")
    samples = []
    for line, cells in rows[1:]:
        cells = cells + [""] * (len(header) - len(cells))
        if len(cells) > len(header):
            raise FileError(f"{path}: line {line}: {len(cells)} cells, but {len(header)} columns")
        file = cells[place]
        if not file:
            raise FileError(f"{path}: line {line}: no file")
        full = file if is_url(file) else os.path.abspath(path.parent / file)
        name = "" if naming is None else cells[naming]
        if name and (name.startswith("/") or ".." in name.split("/") or "\0" in name):
            raise FileError(f"{path}: line {line}: the name of a sample must be a path below the output, not {name!r}")
        columns = {
            key: value for k, (key, value) in enumerate(zip(header, cells, strict=True)) if k not in (place, naming)
        }
        samples.append(Sample(full, name, columns))
    return samples


def _refuse_twins(samples: Sequence[Sample]) -> None:
    """Refuses a list in which two results would have one place, or one section would count twice."""
    for what, values in (
        ("name", [name_key(each.name) for each in samples]),
        ("file", [each.path for each in samples]),
    ):
        twice = [value for value, count in Counter(values).items() if count > 1]
        if twice:
            raise ArgumentError(f"two samples have the same {what}: {twice[0]}")
