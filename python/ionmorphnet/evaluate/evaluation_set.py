"""Labelled ion images for evaluation, read from files by the same code as in training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack, overload

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.open_options import OpenOptions, checked_open_options
from ionmorphnet.labelled.image_arrays import LabelledImages, from_npz
from ionmorphnet.labelled.sections import PPM, find_labels, from_imzml

Float32 = npt.NDArray[np.float32]

# Number of pixels scored in one call (256 MB).
_BLOCK = 64_000_000


@dataclass(frozen=True, eq=False, repr=False)
class EvaluationSet:
    """Ion images of one dataset with their labels and grades.

    Attributes:
        name: Name of the dataset.
        images: Arrays (H, W) float32, NaN = not measured; sizes may differ.
        labels: (labellings, n) indices into ``CLASSES``, -1 = no label; one row per independent labelling.
        structure: (n,) grade of meaningful structure from 0 to 3; NaN = not graded.
        keys: Name or m/z of each image; by default their positions.
        notes: One line per entry that was left out on reading.
        indices: Index of each image in its file, as in the column ``index`` of the label CSV; empty for imzML, for
            labels without that column, and for images from memory.
    """

    name: str
    images: Sequence[Float32]
    labels: npt.NDArray[np.int64]
    structure: npt.NDArray[np.float64]
    keys: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())
    indices: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Converts and checks the values.

        Raises:
            ArgumentError: The lengths differ.
        """
        n = len(self.images)
        labels = np.asarray(self.labels, dtype=np.int64)
        object.__setattr__(
            self, "labels", labels.reshape(-1, labels.shape[-1]) if labels.size else np.zeros((0, n), int)
        )
        object.__setattr__(self, "structure", np.asarray(self.structure, dtype=np.float64))
        if not self.keys:
            object.__setattr__(self, "keys", tuple(map(str, range(n))))
        lengths = {"labels": self.labels.shape[1], "structure": self.structure.size, "keys": len(self.keys)}
        if self.indices:
            lengths["indices"] = len(self.indices)
        for what, length in lengths.items():
            if length != n:
                raise ArgumentError(f"{self.name}: {n} images but {length} {what}")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __repr__(self) -> str:
        """Name and counts."""
        graded = int(np.isfinite(self.structure).sum())
        return f"EvaluationSet({self.name!r}, {len(self)} images, {len(self.labels)} labellings, {graded} graded)"

    def stacks(self) -> Iterator[tuple[npt.NDArray[np.intp], Float32]]:
        """Groups consecutive images of equal size into stacks of limited memory.

        Yields:
            Positions (n,) and images (n, H, W) float32, NaN = not measured.

        Raises:
            ArgumentError: An image is not (H, W).
        """
        held: list[Float32] = []
        for i, image in enumerate(self.images):
            if image.ndim != 2 or 0 in image.shape:
                raise ArgumentError(f"{self.name}: image {i} must have shape (H, W), not {image.shape}")
            if held and (image.shape != held[0].shape or (len(held) + 1) * image.size > _BLOCK):
                yield np.arange(i - len(held), i), np.stack(held)
                held = []
            held.append(np.asarray(image, dtype=np.float32))
        if held:
            yield np.arange(len(self) - len(held), len(self)), np.stack(held)


def load_sets(
    path: PathLike,
    labels: PathLike | None = None,
    *,
    ppm: float = PPM,
    name: str | None = None,
    **opened: Unpack[OpenOptions],
) -> list[EvaluationSet]:
    """Reads labelled images, one set per dataset.

    Images of sections are not clipped at hot spots, because the picker scores them unclipped.

    Args:
        path: NPZ of images, an imzML section, or a folder of imzML sections; see
            :func:`~ionmorphnet.labelled.image_arrays.from_npz` and
            :func:`~ionmorphnet.labelled.sections.from_imzml`.
        labels: Label CSV, or a folder of label CSVs. None: for ``X.npz`` the file ``X_labels.csv``; for ``X.imzML`` the
            first that exists of ``X.csv``, ``X_labels.csv`` and ``X_truth.csv`` (from ``ionmorphnet simulate``); for a
            folder the folder itself.
        ppm: Half width of the window around each labelled m/z (imzML only).
        name: Name of the set, for files with a single dataset; None: the id of the dataset.
        **opened: How sections are opened: options of :func:`ionmorphnet.open`; without effect on an NPZ.

    Returns:
        The labelled images by dataset; unusable entries are listed in ``notes``.

    Raises:
        FileError: A file is missing or invalid, or contains no usable image.
        ArgumentError: ``ppm`` is out of range, or a name is given for several datasets.
    """
    checked_open_options(opened, function="load_sets")
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path}: file or folder not found")
    if path.is_dir() or path.suffix.casefold() == ".imzml":
        where = find_labels(path) if labels is None else labels
        source = from_imzml(path, where, ppm=ppm, hotspot_quantile=None, **opened)
    else:
        source = from_npz(path, labels)
    notes = tuple(source.report.lines()[1:])
    ids = source.dataset_ids
    if name is not None and len(ids) > 1:
        raise ArgumentError(f"{path}: contains {len(ids)} datasets, which one name cannot cover; leave name out")
    return [_from_source(source, each, name or each, notes if each == ids[0] else ()) for each in ids]


def require_unique_names(names: Iterable[str], *, reserved: str | None = None) -> None:
    """Refuses datasets with the same name, which reports could not tell apart.

    Args:
        names: Names of the datasets.
        reserved: Name that a report uses for its mean or pool.

    Raises:
        ArgumentError: A name is not unique or is reserved.
    """
    given = list(names)
    wrong = {name for name in given if given.count(name) > 1 or name == reserved}
    if wrong:
        raise ArgumentError(f"dataset names must be unique; repeated or reserved: {', '.join(sorted(wrong))}")


def _from_source(source: LabelledImages, dataset: str, name: str, notes: tuple[str, ...]) -> EvaluationSet:
    where = [i for i, item in enumerate(source.items) if item.dataset == dataset]
    items = [source.items[i] for i in where]
    rows = max(len(item.labels) for item in items)
    indices = [item.index for item in items if item.index is not None]
    return EvaluationSet(
        name=name,
        images=_Stored(source, where),
        labels=np.array([item.labels + (-1,) * (rows - len(item.labels)) for item in items], dtype=np.int64).T,
        structure=np.array([item.structure for item in items]),
        keys=tuple(item.key for item in items),
        notes=notes,
        indices=tuple(indices) if len(indices) == len(items) else (),
    )


class _Stored(Sequence[Float32]):
    """Images that are read from disk on access."""

    def __init__(self, source: LabelledImages, where: list[int]) -> None:
        self._source, self._where = source, where

    def __len__(self) -> int:
        return len(self._where)

    @overload
    def __getitem__(self, index: int) -> Float32: ...
    @overload
    def __getitem__(self, index: slice) -> list[Float32]: ...
    def __getitem__(self, index: int | slice) -> Float32 | list[Float32]:
        if isinstance(index, slice):
            return [self._source[i].image for i in self._where[index]]
        return self._source[self._where[index]].image
