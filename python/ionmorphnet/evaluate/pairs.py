"""Pairs of images that people ordered, read from a file."""

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
# How far a written m/z may lie from that of the labels: far below any window, above the rounding to four decimals.
_SAME_PPM = 1.0


def read_pairs(path: PathLike, images: EvaluationSet) -> npt.NDArray[np.int64]:
    """Reads pairs for :func:`~ionmorphnet.evaluate.pair_report`; the order of the labels does not matter.

    An image is named by its ``index`` in the image file where the label file has that column and the cell is a whole
    number; otherwise by its ``key`` as in the labels, or by its m/z (the nearest one within 1 ppm), which is the key of
    images of imzML sections. Images in memory without keys are counted from 0.

    Args:
        path: CSV with the columns ``better,worse``, one pair a row; other columns are ignored.
        images: The set that the pairs are of.

    Returns:
        (n, 2) positions in ``images``: better, worse. A file without rows gives none.

    Raises:
        FileError: Not a readable CSV, a column is missing, or a row names an image that is not in ``images`` (not in
            the file, or left out on reading), several images, or one image twice; names the line.
    """
    path = Path(path)
    rows = read_rows(path)
    if not rows:
        raise FileError(f"{path}: the file is empty; columns better,worse are needed")
    (line, names), rows = rows[0], rows[1:]
    header = [name.casefold() for name in names]
    for name in _COLUMNS:
        if header.count(name) != 1:
            cause = "several columns are named" if name in header else f"among {', '.join(names)} there is no column"
            raise FileError(f"{path}: line {line}: {cause} '{name}'")
    columns = [header.index(name) for name in _COLUMNS]
    find = _finder(images)
    pairs = np.zeros((len(rows), 2), dtype=np.int64)
    for pair, (line, row) in zip(pairs, rows, strict=True):
        where = f"{path}: line {line}"
        if len(row) > len(header):
            raise FileError(f"{where}: {len(row)} cells under {len(header)} columns; decimal comma?")
        for side, column in enumerate(columns):
            text = row[column] if column < len(row) else ""
            if not text:
                raise FileError(f"{where}: no image is named under '{_COLUMNS[side]}'")
            try:
                pair[side] = find(text)
            except LookupError as error:
                raise FileError(f"{where}: {error.args[0]}") from None
        if pair[0] == pair[1]:
            raise FileError(f"{where}: a pair must name two different images, not '{text}' twice")
    return pairs


def _finder(images: EvaluationSet) -> Callable[[str], int]:
    """Position of the image that a cell names; LookupError where there is not exactly one."""
    by_index = {index: position for position, index in enumerate(images.indices)}
    by_key: dict[str, list[int]] = {}
    for position, key in enumerate(images.keys):
        by_key.setdefault(key, []).append(position)
    mz = np.array([_number(key) for key in images.keys])
    among = f"is not among the {len(images)} labelled images of '{images.name}': left out on reading, or not there"

    def find(text: str) -> int:
        if by_index and text.isascii() and text.isdigit():
            if int(text) not in by_index:
                raise LookupError(f"image {text} (its index) {among}")
            return by_index[int(text)]
        found = by_key.get(text)
        if found is None:
            value = _number(text)
            ppm = np.abs(mz - value) / np.abs(value) * 1e6 if np.isfinite(value) and value else np.full(len(mz), np.inf)
            nearest = np.nanmin(ppm, initial=np.inf)
            if not nearest <= _SAME_PPM:
                raise LookupError(f"image '{text}' (its key or m/z) {among}")
            found = np.flatnonzero(ppm == nearest).tolist()
        if len(found) > 1:
            raise LookupError(f"'{text}' names {len(found)} images of '{images.name}'")
        return found[0]

    return find


def _number(text: str) -> float:
    try:
        return parse_number(text)
    except ValueError:
        return float("nan")
