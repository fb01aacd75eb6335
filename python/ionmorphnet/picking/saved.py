"""open_run: a result folder of an earlier pick as a PeakList."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.files import atomic_path, read_json
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.picking.outputs import RECORD
from ionmorphnet.picking.peak_list import PeakList
from ionmorphnet.picking.run_record import InputRecord, read_run_record
from ionmorphnet.picking.tables import read_table


def open_run(folder: PathLike, *, dataset: Dataset | None = None) -> PeakList:
    """Opens a result folder that ``ionmorphnet pick``, :func:`ionmorphnet.pick_files` or ``PeakList.save`` wrote.

    Args:
        folder: The folder with ``run.json``, ``peaks.csv`` and ``scores.csv``.
        dataset: The section that was picked, for images and exports. None: it is opened where it was when it was
            picked, once something needs it.

    Returns:
        The peak list with its record. Scores and m/z are exactly those of the pick.

    Raises:
        FileError: No complete result folder, or the section is another one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder")
    if not (folder / RECORD).is_file():
        raise FileError(f"{folder}: holds no {RECORD}, so it is not the complete result of a pick")
    run = read_run_record(folder / RECORD)
    if dataset is not None:
        run.input.require_same(dataset)
    scores, picks = read_table(folder / "scores.csv"), read_table(folder / "peaks.csv")
    chosen = np.flatnonzero(np.isin(scores["rank"], picks["rank"]))
    if len(chosen) != len(picks) or not np.array_equal(scores["mz"].to_numpy()[chosen], picks["mz"].to_numpy()):
        raise FileError(f"{folder}: peaks.csv and scores.csv are not of the same pick")
    return PeakList(scores, chosen, run.scorer, run.score, run, dataset if dataset is not None else run.input)


def with_moved_input(peaks: PeakList, folder: Path, record: InputRecord) -> PeakList:
    """A list from a result folder whose input has moved: list and folder then know its new place.

    Args:
        peaks: The list, as :func:`open_run` returned it.
        folder: Its folder.
        record: The input where it is now.

    Raises:
        FileError: The folder's record cannot be written.
    """
    assert peaks.run is not None
    if (peaks.run.input.path, peaks.run.input.ibd_path) == (record.path, record.ibd_path):
        return peaks
    values = read_json(folder / RECORD)
    values["input"].update(path=record.path, ibd_path=record.ibd_path)
    with atomic_path(folder / RECORD) as temporary:
        temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    moved = dataclasses.replace(peaks.run.input, path=record.path, ibd_path=record.ibd_path)
    return dataclasses.replace(peaks, run=dataclasses.replace(peaks.run, input=moved), section=moved)
