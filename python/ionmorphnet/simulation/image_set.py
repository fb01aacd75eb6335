"""Sets of simulated ion images with their ground truth, written as data or as a picture."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.progress import Progress, shown_progress
from ionmorphnet.io.rendering import contact_sheet
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.ion_image import SimulatedImage, simulate_scene

_TILE = 128
_MAX_IMAGES = 100_000


@dataclass(frozen=True)
class SimulatedImages:
    """Files written by :func:`simulate_images`.

    Attributes:
        path: The NPZ or PNG file.
        truth_path: The CSV file with the ground truth; None for a picture.
        counts: Number of images of each class, in the order of ``CLASSES``.
        seed: The random seed.
    """

    path: Path
    truth_path: Path | None
    counts: tuple[int, ...]
    seed: int


def iterate_images(
    seed: int, *, shape: tuple[int, int] | None = None, label: int | None = None, levels: int = 1
) -> Iterator[SimulatedImage]:
    """Endless simulated images; each scene is followed by its other noise levels."""
    scene = 0
    while True:
        yield from simulate_scene(np.random.default_rng([seed, scene]), shape=shape, label=label, levels=levels)
        scene += 1


def simulate_images(
    out: str | os.PathLike[str],
    n: int = 1000,
    *,
    shape: tuple[int, int] | None = None,
    label: str | None = None,
    levels: int = 1,
    seed: int = 0,
    progress: Progress | bool | None = None,
) -> SimulatedImages:
    """Writes simulated ion images.

    Args:
        out: ``.npz`` for data: one float32 array (height, width) per image, named ``image_00000`` and so on, NaN = not
            measured. ``<stem>_labels.csv`` next to it has index, key, label, structure (0 to 3) and the share of
            observers who would choose each class. ``.png`` for a sheet of the images.
        n: Number of images.
        shape: Height and width in pixels, each at least 16; by default drawn from 20 to 300 for each scene.
        label: Target class; by default drawn for each scene.
        levels: Number of consecutive images of one scene at different noise levels.
        seed: Random seed. Equal arguments produce the same images.
        progress: Called as progress(images done, n); True: a bar on the terminal or in the notebook.

    Returns:
        The files written and the number of images of each class.

    Raises:
        ArgumentError: An argument is out of range.
        FileError: A file cannot be written.
    """
    path = Path(out)
    if path.suffix.lower() not in (".npz", ".png"):
        raise ArgumentError(f"{path}: the output must end in .npz or .png")
    if not 1 <= n <= _MAX_IMAGES:
        raise ArgumentError(f"the number of images must be 1 to {_MAX_IMAGES:,}, got {n}")
    if label is not None and label not in CLASSES:
        raise ArgumentError(f"label must be one of {', '.join(CLASSES)}, got '{label}'")
    if seed < 0:
        raise ArgumentError(f"seed must be at least 0, got {seed}")
    source = iterate_images(seed, shape=shape, label=None if label is None else CLASSES.index(label), levels=levels)
    images = []
    with shown_progress(progress, path.name, "images") as shown:
        for k, simulated in zip(range(n), source, strict=False):
            images.append(simulated)
            if shown is not None:
                shown(k + 1, n)
    counts = np.bincount([s.label for s in images], minlength=len(CLASSES))
    truth: Path | None = None
    if path.suffix.lower() == ".png":
        with atomic_path(path) as temporary:
            temporary.write_bytes(_sheet(images))
    else:
        keys = [f"image_{k:05d}" for k in range(n)]
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(stream, **{key: s.image for key, s in zip(keys, images, strict=True)})  # type: ignore[arg-type]
        truth = path.with_name(f"{path.stem}_labels.csv")
        _write_truth(truth, keys, images)
    return SimulatedImages(path, truth, tuple(int(count) for count in counts), seed)


def _write_truth(path: Path, keys: list[str], images: list[SimulatedImage]) -> None:
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["index", "key", "label", "structure", *PROBABILITY_COLUMNS])
        for k, (key, s) in enumerate(zip(keys, images, strict=True)):
            shares = [f"{share:.4f}" for share in s.probabilities]
            writer.writerow([k, key, s.class_name, f"{s.structure:.3f}", *shares])


def _sheet(images: list[SimulatedImage]) -> bytes:
    tiles = np.stack([_tile(s.image) for s in images])
    captions = [f"{s.class_name}  {s.structure:.1f}" for s in images]
    return contact_sheet(tiles, captions, zoom=1)


def _tile(image: Field) -> Field:
    """Repeats or skips pixels to fit a square tile; the rest is NaN."""
    height, width = image.shape
    scale = _TILE / max(height, width)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    y, x = (np.arange(rows) * height) // rows, (np.arange(columns) * width) // columns
    tile = np.full((_TILE, _TILE), np.nan, dtype=np.float32)
    top, left = (_TILE - rows) // 2, (_TILE - columns) // 2
    tile[top : top + rows, left : left + columns] = image[np.ix_(y, x)]
    return tile
