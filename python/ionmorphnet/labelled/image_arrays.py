"""Labelled images from image arrays (npz) with a label CSV."""

from __future__ import annotations

import logging
import math
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.label_csv import ImageLabel, LabelReport, read_image_labels
from ionmorphnet.labelled.sources import Sample
from ionmorphnet.models.labels import CLASSES

logger = logging.getLogger("ionmorphnet")

MEMORY_LIMIT = 2 * 2**30

# Mean grade that two observers gave to the images of each class in two real data sets; "fragmented" did not occur there
# and has the mean of simulated images. Grades within a class vary by about half a grade.
CLASS_STRUCTURE: Mapping[str, float] = {
    "structured": 3.0,
    "weak_structured": 2.1,
    "localized": 2.75,
    "fragmented": 1.3,
    "unstructured": 0.0,
    "negative": 2.4,
}


@dataclass(frozen=True)
class LabelledItem:
    """Label and origin of an image, without its pixels; attributes as in :class:`~.sources.Sample`.

    ``number`` is the image's number in the store. ``labels`` holds each observer's label as index into ``CLASSES``, and
    ``probabilities`` their mean. ``index`` is the value in the column ``index`` of the label file, or None.
    """

    dataset: str
    key: str
    probabilities: NDArray[np.float32]
    structure: float
    number: int
    labels: tuple[int, ...]
    index: int | None = None


class LabelledImages:
    """A source of images read from files by :func:`from_npz` or :func:`.sections.from_imzml`.

    Attributes:
        items: Label and origin of each image.
        report: Rows and files that were skipped.
        kind: ``npz`` or ``imzml``.
    """

    def __init__(self, kind: str, store: ImageStore, items: Iterable[LabelledItem], report: LabelReport) -> None:
        """Combine the images of ``store`` with their labels."""
        self.kind, self._store, self.items, self.report = kind, store, tuple(items), report

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of the sections, in ascending order."""
        return tuple(sorted({item.dataset for item in self.items}))

    def __len__(self) -> int:
        """Number of images."""
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index`` with its label."""
        if not 0 <= index < len(self.items):
            raise IndexError(f"image {index} of {len(self.items)}")
        item = self.items[index]
        image = self._store[item.number]
        return Sample(image, ~np.isnan(image), item.probabilities, item.structure, item.dataset, item.key)

    def digest(self, index: int) -> str:
        """Hash of image ``index``; equal images have equal hashes."""
        return self._store.digests[self.items[index].number]

    @property
    def nbytes(self) -> int:
        """Bytes of the images."""
        return self._store.memory_bytes + self._store.disk_bytes

    def targets(self) -> NDArray[np.float32]:
        """Soft labels, float32 (n, 6)."""
        return np.array([item.probabilities for item in self.items], dtype=np.float32).reshape(-1, len(CLASSES))

    def select(self, datasets: Iterable[str]) -> LabelledImages:
        """Select the images of some sections.

        Raises:
            ArgumentError: An id is unknown.
        """
        wanted = set(datasets)
        unknown = sorted(wanted - set(self.dataset_ids))
        if unknown:
            raise ArgumentError(f"unknown dataset {', '.join(unknown)}; known: {', '.join(self.dataset_ids)}")
        return LabelledImages(self.kind, self._store, [i for i in self.items if i.dataset in wanted], self.report)

    def with_class_structure(self, grades: Mapping[str, float] = CLASS_STRUCTURE) -> LabelledImages:
        """Assign the mean grade of their class to images without a structure grade.

        Label files of the published format contain only classes, from which the structure output, and therefore the
        ranking, learns nothing. With mean grades, it learns which classes matter, but not which image of a class is
        better.

        Args:
            grades: Grade of each class, 0 to 3.

        Raises:
            ArgumentError: A class is missing or a grade is out of range.
        """
        if set(grades) != set(CLASSES) or not all(0.0 <= grade <= 3.0 for grade in grades.values()):
            raise ArgumentError(f"grades must hold a grade from 0 to 3 for each of {', '.join(CLASSES)}")
        values = np.array([grades[name] for name in CLASSES])
        items = [
            replace(i, structure=float(i.probabilities @ values)) if math.isnan(i.structure) else i for i in self.items
        ]
        return LabelledImages(self.kind, self._store, items, self.report)

    def describe(self) -> dict[str, object]:
        """Describe kind, datasets, number of images, and label files."""
        names, counts = np.unique([item.dataset for item in self.items], return_counts=True)
        datasets = dict(zip(names.tolist(), counts.tolist(), strict=True))
        graded = sum(not math.isnan(item.structure) for item in self.items)
        per_class = {name: float(n) for name, n in zip(CLASSES, self.targets().sum(axis=0), strict=True)}
        return {
            "kind": self.kind,
            "images": len(self),
            "datasets": datasets,
            "classes": per_class,
            "graded": graded,
            "labels": self.report.to_dict(),
        }

    def __repr__(self) -> str:
        """Show the numbers of images and datasets."""
        return f"LabelledImages({len(self)} {self.kind} images of {len(self.dataset_ids)} datasets)"


def make_source(
    kind: str, store: ImageStore, items: list[LabelledItem], report: LabelReport, where: str
) -> LabelledImages:
    """Create the source of images that were read, and log what was skipped.

    Raises:
        FileError: No image is left.
    """
    report.used = len(items)
    lines = report.lines()
    if not items:
        raise FileError(f"{where}: no usable labelled image; " + "; ".join(lines[1:4] or lines))
    if report.problems:
        for line in lines:
            logger.warning("%s", line)
    else:
        logger.info("%s", lines[0])
    return LabelledImages(kind, store, items, report)


def from_npz(
    path: PathLike, labels: PathLike | None = None, *, dataset: str | None = None, memory_limit: int = MEMORY_LIMIT
) -> LabelledImages:
    """Read labelled images from an array file.

    Args:
        path: npz file with ``images`` (n, H, W), and optionally ``mask`` (H, W) or (n, H, W), where 0 means unmeasured,
            and ``mz`` (n,). Or an npz file with one array (H, W) per image, in which NaN means unmeasured.
        labels: CSV as for :func:`~ionmorphnet.labelled.label_csv.read_image_labels`; None: ``<stem>_labels.csv`` in the
            folder of ``path``. Arrays with names are matched by ``key`` if the CSV has that column, otherwise by
            ``index``.
        dataset: Id of all images; None: the stem of ``path``. A file is one dataset, since a split cannot tell its
            samples apart. Two files of one sample need the same id.
        memory_limit: Bytes of images held in memory; the rest goes to a temporary file.

    Returns:
        The labelled images, in the order of the label file.

    Raises:
        FileError: A file is missing or malformed, or no image can be used.
    """
    path = Path(path)
    csv = path.with_name(f"{path.stem}_labels.csv") if labels is None else Path(labels)
    rows, report = read_image_labels(csv)
    arrays = ImageArrays(path)
    store, items = ImageStore(memory_limit), []
    for row in rows:
        where = f"{csv}: line {row.line}"
        try:
            name, image = arrays.find(row)
        except LookupError as error:
            report.add("no such image", f"{where}: {error}")
            continue
        if np.isinf(image).any() or np.isnan(image).all():
            report.add("no values", f"{where}: image {name} has infinite values or no measured pixel")
            continue
        number = store.add(image)
        name_of = (dataset or path.stem, name)
        items.append(LabelledItem(*name_of, row.probabilities, row.structure, number, row.labels, row.index))
    return make_source("npz", store, items, report, str(csv))


class ImageArrays:
    """The images of an npz file, in the forms that :func:`from_npz` describes."""

    def __init__(self, path: Path) -> None:
        """Read the file.

        Raises:
            FileError: The file is missing or malformed.
        """
        try:
            # A .npy file loads as an array, which is not a context manager: TypeError.
            with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except OSError as error:
            raise FileError(f"{path}: {error.strerror or 'cannot be read'}") from None
        except (ValueError, EOFError, zipfile.BadZipFile, TypeError) as error:
            raise FileError(f"{path}: not a readable npz file ({error})") from None
        mask = arrays.pop("mask", None)
        self._mz = arrays.pop("mz", None)
        if "images" in arrays:
            images = arrays["images"]
            if images.ndim != 3 or 0 in images.shape[1:]:
                raise FileError(f"{path}: 'images' must have the shape (n, H, W), got {images.shape}")
            self._names = [str(k) for k in range(len(images))]
            self._images = list(images)
            self._named = False
        else:
            self._names = [name for name, array in arrays.items() if array.ndim == 2 and array.size > 0]
            self._images = [arrays[name] for name in self._names]
            self._named = True
        if not self._images:
            raise FileError(f"{path}: contains neither 'images' (n, H, W) nor arrays (H, W)")
        if any(image.dtype.kind not in "fiub" for image in self._images):
            raise FileError(f"{path}: the images must contain real numbers")
        self._masks = self._checked_masks(path, mask)
        if self._mz is not None and self._mz.shape != (len(self._images),):
            raise FileError(f"{path}: 'mz' must have the shape ({len(self._images)},), got {self._mz.shape}")

    def _checked_masks(self, path: Path, mask: NDArray[np.generic] | None) -> list[NDArray[np.bool_]] | None:
        if mask is None:
            return None
        masks = [mask != 0] * len(self._images) if mask.ndim == 2 else list(mask != 0)
        if [m.shape for m in masks] != [image.shape for image in self._images]:
            raise FileError(f"{path}: the shape of 'mask', {mask.shape}, does not match the images")
        return masks

    def __len__(self) -> int:
        """Number of images."""
        return len(self._images)

    def __getitem__(self, index: int) -> NDArray[np.float32]:
        """Image ``index``, float32 (H, W), NaN = unmeasured."""
        image: NDArray[np.float32] = self._images[index].astype(np.float32)
        if self._masks is not None:
            image[~self._masks[index]] = np.nan
        return image

    def key(self, index: int) -> str:
        """Return the ``key`` of an image in label files: its name or m/z; empty if it has neither."""
        if self._named:
            return self._names[index]
        return "" if self._mz is None else f"{float(self._mz[index]):.10g}"

    def find(self, row: ImageLabel) -> tuple[str, NDArray[np.float32]]:
        """Return name and image, NaN = unmeasured.

        Raises:
            LookupError: There is no such image, or index and key contradict each other.
        """
        index = row.index
        if self._named and row.key:
            if row.key not in self._names:
                raise LookupError(f"no array named '{row.key}'")
            by_key = self._names.index(row.key)
            if index is not None and index != by_key:
                raise LookupError(f"'{row.key}' is image {by_key}, but the row has index {index}")
            index = by_key
        if index is None:
            raise LookupError(f"'{row.key}' does not identify an image; add a column 'index'")
        if index >= len(self._images):
            raise LookupError(f"there is no image {index}; the file has {len(self._images)} images")
        if self._mz is not None and row.key:
            self._compare_mz(index, row.key)
        return (self._names[index] if self._named else row.key or self._names[index]), self[index]

    def _compare_mz(self, index: int, key: str) -> None:
        """Compare m/z values, which reveals a CSV that was sorted or belongs to another file."""
        assert self._mz is not None
        try:
            written = float(key)
        except ValueError:
            return
        if abs(written - float(self._mz[index])) > 1e-4 * abs(written):
            raise LookupError(f"image {index} has m/z {self._mz[index]:.4f}, but the row has {key}")
