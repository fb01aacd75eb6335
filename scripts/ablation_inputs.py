"""Simulated images of one seed as network inputs, made once for all variants of an ablation and stored in a folder."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.json_output import write_json
from ionmorphnet.labelled.sources import SimulatedSource
from ionmorphnet.models.labels import CLASSES, STATISTICS
from ionmorphnet.models.preprocessing import Preprocessing
from ionmorphnet.training.batches import Item, NetworkInputs, prepare

logger = logging.getLogger(__name__)

DONE = "inputs.json"
# Columns stored with the images: class probabilities, structure, scene, statistics.
COLUMNS = len(CLASSES) + 2 + len(STATISTICS)
SCENES = 64  # images per task of a process


class KeptInputs(Dataset[Item]):
    """Items of :class:`NetworkInputs`, from arrays."""

    def __init__(
        self, images: NDArray[np.float16], rows: NDArray[np.float64], *, mask: bool, statistics: Sequence[str]
    ) -> None:
        """Read from ``images`` (n, 3, S, S): image and mask of the two-channel input, and the one-channel input."""
        self.images, self.rows, self.statistics = images, rows, statistics
        self.planes = slice(0, 2) if mask else slice(2, 3)

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, k: int) -> Item:
        """Return input, statistics, class probabilities, structure and scene number of an image."""
        row = self.rows[k].astype(np.float32)
        values = row[len(CLASSES) + 2 :][[STATISTICS.index(name) for name in self.statistics]]
        structure, scene = row[len(CLASSES)], self.rows[k, len(CLASSES) + 1]
        return self.images[k, self.planes].astype(np.float32), values, row[: len(CLASSES)], float(structure), int(scene)


class KeptSource(SimulatedSource):
    """A simulated source whose network inputs of one size are stored in a folder, as float16."""

    def __init__(self, source: SimulatedSource, size: int, folder: Path, *, workers: int) -> None:
        """Simulate all images, unless the folder already contains them."""
        super().__init__(len(source), source.seed, levels=source.levels, sides=source.sides, dataset=source.dataset)
        self.size, self.folder = size, folder
        asked = {**source.describe(), "sides": list(source.sides), "size": size}
        done = folder / DONE
        if not (done.is_file() and json.loads(done.read_text(encoding="utf-8")) == asked):
            _simulate(source, size, folder, workers)
            write_json(done, asked)

    def network_inputs(self, preprocessing: Preprocessing, *, statistics: Sequence[str] = STATISTICS) -> KeptInputs:
        """Return the stored inputs."""
        if preprocessing != Preprocessing(size=self.size, mask=preprocessing.mask):
            raise ArgumentError(f"the stored inputs are p99-stretch-{self.size}[-mask], requested was {preprocessing}")
        images = np.load(self.folder / "images.npy", mmap_mode="r")
        return KeptInputs(images, np.load(self.folder / "rows.npy"), mask=preprocessing.mask, statistics=statistics)


def _simulate(source: SimulatedSource, size: int, folder: Path, workers: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DONE).unlink(missing_ok=True)
    for name, shape, kind in (("images", (len(source), 3, size, size), "f2"), ("rows", (len(source), COLUMNS), "f8")):
        np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=kind, shape=shape)
    began = time.monotonic()
    each = SCENES * source.levels
    parts = [(source, size, folder, range(k, min(k + each, len(source)))) for k in range(0, len(source), each)]
    if workers < 2:
        for part in parts:
            _simulate_part(part)
    else:
        with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
            for _ in pool.map(_simulate_part, parts):
                pass
    seconds = time.monotonic() - began
    logger.info("%s: %d images in %.0f s, %.0f a second", folder, len(source), seconds, len(source) / seconds)


def _simulate_part(part: tuple[SimulatedSource, int, Path, range]) -> None:
    source, size, folder, numbers = part
    images = np.load(folder / "images.npy", mmap_mode="r+")
    rows = np.load(folder / "rows.npy", mmap_mode="r+")
    inputs = NetworkInputs(source, Preprocessing(size=size, mask=True))
    for k in numbers:
        x, statistics, probabilities, structure, scene = inputs[k]
        if not (math.isfinite(structure) and np.isfinite(statistics).all()):
            raise ArgumentError(f"image {k} has no structure grade or no statistics")
        images[k, :2], images[k, 2:] = x, prepare(source[k].image, Preprocessing(size=size))
        rows[k] = np.concatenate([probabilities, [structure, scene], statistics])
