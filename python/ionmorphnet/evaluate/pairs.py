"""Pairs of images in the order that people prefer, read from a CSV file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.csv_rows import parse_number, read_rows
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.evaluate.evaluation_set import EvaluationSet

_COLUMNS = ("better", "worse")
# Tolerance between a written m/z and that of the labels: well below any window, above rounding to four decimals.
_SAME_PPM = 1.0


def read_pairs(path: PathLike, images: EvaluationSet) -> npt.NDArray[np.int64]:
    """Reads ordered pairs for :func:`~ionmorphnet.evaluate.pair_report`.

    A cell identifies an image by its ``index`` in the image file if the label file has that column and the cell is a
    whole number; otherwise by its ``key`` as in the labels, or by its m/z (the nearest within 1 ppm), which is the key
    of images from imzML. Images from memory without keys are numbered from 0. The order of the labels does not matter.

    Args:
        path: CSV with the columns ``better,worse`` and one pair per row; other columns are ignored.
        images: The set that the pairs refer to.

    Returns:
        Positions in ``images``, (n, 2): better, worse. Empty if the file has no rows.

    Raises:
        FileError: The file is not a readable CSV, a column is missing, or a row names an unknown image, several images,
            or the same image twice. The message contains the line number.
    """
    path = Path(path)
    rows = read_rows(path)
    if not rows:
        raise FileError(f"{path}: the file is empty; it needs the columns better,worse")
    (line, names), rows = rows[0], rows[1:]
    header = [name.casefold() for name in names]
    for name in _COLUMNS:
        if header.count(name) != 1:
            cause = f"repeated in {', '.join(names)}" if name in header else f"missing; found {', '.join(names)}"
            raise FileError(f"{path}: line {line}: column '{name}' is {cause}")
    columns = [header.index(name) for name in _COLUMNS]
    find = _finder(images)
    pairs = np.zeros((len(rows), 2), dtype=np.int64)
    for pair, (line, row) in zip(pairs, rows, strict=True):
        where = f"{path}: line {line}"
        if len(row) > len(header):
            raise FileError(f"{where}: {len(row)} cells for {len(header)} columns; check for decimal commas")
        for side, column in enumerate(columns):
            text = row[column] if column < len(row) else ""
            if not text:
                raise FileError(f"{where}: '{_COLUMNS[side]}' is empty")
            try:
                pair[side] = find(text)
            except LookupError as error:
                raise FileError(f"{where}: {error.args[0]}") from None
        if pair[0] == pair[1]:
            raise FileError(f"{where}: a pair needs two different images, not '{text}' twice")
    return pairs


def _finder(images: EvaluationSet) -> Callable[[str], int]:
    """Returns a function from a cell to the position of its image; it raises LookupError unless exactly one matches."""
    by_index = {index: position for position, index in enumerate(images.indices)}
    by_key: dict[str, list[int]] = {}
    for position, key in enumerate(images.keys):
        by_key.setdefault(key, []).append(position)
    mz = np.array([_number(key) for key in images.keys])
    among = f"is not among the {len(images)} labelled images of '{images.name}'; it is missing or was left out"

    def find(text: str) -> int:
        if by_index and text.isascii() and text.isdigit():
            if int(text) not in by_index:
                raise LookupError(f"image {text} (index) {among}")
            return by_index[int(text)]
        found = by_key.get(text)
        if found is None:
            value = _number(text)
            ppm = np.abs(mz - value) / np.abs(value) * 1e6 if np.isfinite(value) and value else np.full(len(mz), np.inf)
            nearest = np.nanmin(ppm, initial=np.inf)
            if not nearest <= _SAME_PPM:
                raise LookupError(f"image '{text}' (key or m/z) {among}")
            found = np.flatnonzero(ppm == nearest).tolist()
        if len(found) > 1:
            raise LookupError(f"'{text}' matches {len(found)} images of '{images.name}'")
        return found[0]

    return find


def _number(text: str) -> float:
    try:
        return parse_number(text)
    except ValueError:
        return float("nan")
