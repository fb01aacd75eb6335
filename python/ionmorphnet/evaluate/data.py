"""Labelled ion images for evaluation: NPZ with a label CSV, or imzML with a label CSV."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet.dataset import Dataset, open_dataset
from ionmorphnet.errors import ArgumentError, FileError
from ionmorphnet.label_csv import ImageLabel, LabelReport, read_image_labels, read_mz_labels
from ionmorphnet.paths import PathLike

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class LabelledImages:
    """Ion images of one dataset and what is known of them.

    Attributes:
        name: Name of the dataset.
        images: One array (H, W) float32 for each image, NaN = not measured; sizes may differ.
        keys: Name or m/z of each image as text.
        labels: (labellings, n) indices into ``CLASSES``, -1 = none; one row for each independent labelling.
        structure: (n,) grade 0 to 3 of meaningful structure; NaN = not graded.
        mz: (n,) m/z; None where the images have none.
        notes: What was left out on reading, one line each.
    """

    name: str
    images: tuple[Float32, ...]
    keys: tuple[str, ...]
    labels: npt.NDArray[np.int64]
    structure: Float64
    mz: Float64 | None = None
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        """Checks the lengths.

        Raises:
            ArgumentError: They differ, or an image is not (H, W).
        """
        n = len(self.images)
        labels = np.asarray(self.labels, dtype=np.int64)
        object.__setattr__(self, "labels", labels.reshape(-1, n) if labels.size else labels.reshape(0, n))
        object.__setattr__(self, "structure", np.asarray(self.structure, dtype=np.float64))
        for what, length in (("keys", len(self.keys)), ("structure", len(self.structure))):
            if length != n:
                raise ArgumentError(f"{self.name}: {n} images but {length} {what}")
        for image in self.images:
            if image.ndim != 2 or 0 in image.shape:
                raise ArgumentError(f"{self.name}: each image must have shape (H, W), not {image.shape}")

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __repr__(self) -> str:
        """Name and what there is."""
        graded = int(np.isfinite(self.structure).sum())
        return f"LabelledImages({self.name!r}, {len(self)} images, {len(self.labels)} labellings, {graded} graded)"

    def stacks(self) -> Iterator[tuple[npt.NDArray[np.intp], Float32]]:
        """Images of equal size together: (positions, (n, H, W))."""
        shapes = {image.shape for image in self.images}
        for shape in sorted(shapes):
            where = np.array([i for i, image in enumerate(self.images) if image.shape == shape], dtype=np.intp)
            yield where, np.stack([self.images[i] for i in where])


@dataclass(frozen=True, eq=False, repr=False)
class ImageFile:
    """What an NPZ of ion images holds.

    Attributes:
        images: float32 (n, H, W) or a tuple of (H, W); NaN = not measured.
        names: Array names, where every image is an array of its own; empty otherwise.
        mz: (n,) or None.
        measured: bool (H, W) or None.
        regions: (H, W) class mask or None.
    """

    images: Float32 | tuple[Float32, ...]
    names: tuple[str, ...]
    mz: Float64 | None
    measured: npt.NDArray[np.bool_] | None
    regions: npt.NDArray[Any] | None


def read_image_file(path: PathLike) -> ImageFile:
    """Reads an NPZ of ion images.

    Either ``images`` (n, H, W), with ``mask`` (H, W; 0 = not measured), ``mz`` (n,) and ``regions`` (H, W) where
    present (``ionmorphnet images`` writes such files), or one array (H, W) for each image.

    Raises:
        FileError: Not readable, or arrays of other shapes.
    """
    path = Path(path)
    arrays = read_arrays(path)
    if "images" not in arrays:
        for name, array in arrays.items():
            if array.ndim != 2 or not array.size:
                raise FileError(f"{path}: array '{name}' has shape {array.shape}; an image (H, W) is expected")
        return ImageFile(tuple(a.astype(np.float32) for a in arrays.values()), tuple(arrays), None, None, None)
    stack = arrays["images"].astype(np.float32)
    if stack.ndim != 3 or 0 in stack.shape[1:]:
        raise FileError(f"{path}: 'images' has shape {stack.shape}; (n, H, W) is expected")
    for name, shape in (("mask", stack.shape[1:]), ("regions", stack.shape[1:]), ("mz", stack.shape[:1])):
        if name in arrays and arrays[name].shape != shape:
            raise FileError(f"{path}: '{name}' has shape {arrays[name].shape}; the images call for {shape}")
    measured = arrays["mask"].astype(bool) if "mask" in arrays else None
    if measured is not None:
        stack[:, ~measured] = np.nan
    mz = arrays["mz"].astype(np.float64) if "mz" in arrays else None
    return ImageFile(stack, (), mz, measured, arrays.get("regions"))


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """The arrays of numbers of an NPZ by name, or that of an NPY under the file's stem.

    Raises:
        FileError: Not readable, or an array of something else.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            arrays = {path.stem: loaded}
        else:
            with loaded:
                arrays = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not a readable NPZ or NPY file'}") from None
    for name, array in arrays.items():
        if array.dtype.kind not in "fiub":
            raise FileError(f"{path}: array '{name}' does not hold numbers ({array.dtype})")
    return arrays


def load_labelled(
    path: PathLike, labels: PathLike | None = None, *, ppm: float = 3.0, name: str | None = None
) -> LabelledImages:
    """Reads labelled images.

    Args:
        path: NPZ of images (see :func:`read_image_file`), or an imzML section.
        labels: The label CSV. None: for ``X.npz`` the file ``X_labels.csv``; for ``X.imzML`` the first that exists of
            ``X.csv``, ``X_labels.csv`` and ``X_truth.csv`` (which ``ionmorphnet simulate`` writes).
        ppm: imzML: half width of the window around each labelled m/z, parts per million.
        name: Name of the dataset; None: the file's stem.

    Returns:
        The images that are labelled; what could not be used is listed in ``notes``.

    Raises:
        FileError: A file is missing or not understood, or nothing in it can be used.
    """
    path = Path(path)
    title = path.stem if name is None else name
    is_section = path.suffix.lower() == ".imzml"
    suffixes = (".csv", "_labels.csv", "_truth.csv") if is_section else ("_labels.csv",)
    csv = Path(labels) if labels is not None else _beside(path, suffixes)
    found = _from_section(path, csv, ppm, title) if is_section else _from_arrays(path, csv, title)
    if not len(found):
        raise FileError(f"{csv}: no labelled image of {path.name} can be used" + "".join(f"; {n}" for n in found.notes))
    return found


def _beside(path: Path, suffixes: tuple[str, ...]) -> Path:
    candidates = [path.with_name(path.stem + suffix) for suffix in suffixes]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileError(f"{path}: no label file given, and none found beside it ({', '.join(c.name for c in candidates)})")


def _from_arrays(path: Path, csv: Path, name: str) -> LabelledImages:
    rows, report = read_image_labels(csv)
    file = read_image_file(path)
    positions = {key: i for i, key in enumerate(file.names)}
    used: list[tuple[int, ImageLabel]] = []
    for row in rows:
        at = positions.get(row.key, row.index) if file.names else row.index
        if at is None or at >= len(file.images):
            which = row.key if row.index is None else f"{row.index}"
            report.add("no such image", f"{csv}: line {row.line}: there is no image {which} in {path.name}")
            continue
        used.append((at, row))
    labellings = max((len(row.labels) for _, row in used), default=0)
    where = np.array([at for at, _ in used], dtype=np.intp)
    return LabelledImages(
        name=name,
        images=tuple(file.images[at] for at in where),
        keys=tuple(row.key or str(at) for at, row in used),
        labels=np.array([row.labels for _, row in used], dtype=np.int64).reshape(-1, labellings).T,
        structure=np.array([row.structure for _, row in used]),
        mz=None if file.mz is None else file.mz[where],
        notes=_notes(report),
    )


def _from_section(path: Path, csv: Path, ppm: float, name: str) -> LabelledImages:
    if not (np.isfinite(ppm) and ppm > 0):
        raise ArgumentError(f"ppm must be finite and positive, not {ppm}")
    # A truth or label file beside the section is named after it, with an ending of its own.
    rows, report = read_mz_labels(csv, dataset=path.stem)
    with open_dataset(path) as ds:
        _require_one_plane(path, ds)
        low, high = ds.mz_range
        kept = []
        for row in rows:
            if low * (1 - ppm * 1e-6) <= row.mz <= high * (1 + ppm * 1e-6):
                kept.append(row)
            else:
                report.add(
                    "m/z outside the range",
                    f"{csv}: line {row.line}: m/z {row.mz} is outside of the file's {low:.4f} to {high:.4f}",
                )
        mz = np.array([row.mz for row in kept])
        images = ds.ion_images(mz, ppm=ppm) if kept else np.zeros((0, *ds.shape), np.float32)
        extra = tuple(f"{path.name}: {text}" for text in ds.warnings)
    return LabelledImages(
        name=name,
        images=tuple(images),
        keys=tuple(f"{value:.4f}" for value in mz),
        labels=np.array([[row.label for row in kept]], dtype=np.int64),
        structure=np.array([row.structure for row in kept]),
        mz=mz,
        notes=_notes(report) + extra,
    )


def _require_one_plane(path: Path, ds: Dataset) -> None:
    if len(ds.z_planes) > 1:
        raise FileError(f"{path}: holds {len(ds.z_planes)} z planes; evaluation takes sections of one plane")


def _notes(report: LabelReport, limit: int = 5) -> tuple[str, ...]:
    texts = [problem.text for problem in report.problems]
    more = [f"... and {len(texts) - limit} more rows left out"] if len(texts) > limit else []
    return tuple(texts[:limit] + more)
