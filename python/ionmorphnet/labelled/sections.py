"""Labelled images from sections: imzML files with label CSVs in the published format."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.io.open_options import OpenOptions, checked_open_options
from ionmorphnet.io.windows import mz_windows
from ionmorphnet.labelled.image_arrays import MEMORY_LIMIT, LabelledImages, LabelledItem, make_source
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.label_csv import LabelReport, MzLabel, dataset_id, read_mz_labels
from ionmorphnet.models.labels import CLASSES

PPM = 3.0
HOTSPOT_QUANTILE = 0.99
# Bytes of images per pass over a file; more labels need further passes.
_PASS_BYTES = 256 * 2**20
_UNSTRUCTURED = CLASSES.index("unstructured")


@dataclass(frozen=True)
class Pair:
    """A section and its label file.

    Attributes:
        dataset: Id of the section.
        imzml: Path of the section.
        csv: Path of its label file.
    """

    dataset: str
    imzml: Path
    csv: Path


def pair_files(sections: PathLike, labels: PathLike, report: LabelReport) -> list[Pair]:
    """Find the label file of each section.

    Args:
        sections: An imzML file, or a folder of imzML files (without subfolders).
        labels: A CSV, or a folder of CSVs. Files with equal stems form pairs; a single CSV belongs to a single section
            whatever its name.
        report: Receives sections without labels, and labels without a section.

    Returns:
        The pairs in ascending order of dataset ids.

    Raises:
        FileError: A path is missing, or two sections have the same id.
        ArgumentError: ``labels`` is one CSV for several sections.
    """
    sections, labels = Path(sections), Path(labels)
    imzml = _by_id(sections, ".imzml")
    csv = _by_id(labels, ".csv")
    if labels.is_file():
        if len(imzml) > 1:
            raise ArgumentError(
                f"{labels}: one label file for {len(imzml)} sections; pass a folder with one CSV per section"
            )
        # A single file may have any name; its rows are checked against the dataset when it is read.
        csv = dict.fromkeys(imzml, labels)
    for name in sorted(set(imzml) - set(csv)):
        report.add("section without labels", f"{imzml[name]}: no file {name}.csv in {labels}")
    if not sections.is_file():
        for name in sorted(set(csv) - set(imzml)):
            report.add("labels without section", f"{csv[name]}: no file {name}.imzML in {sections}")
    return [Pair(name, imzml[name], csv[name]) for name in sorted(set(imzml) & set(csv))]


def find_labels(sections: Path) -> Path:
    """Find the labels of sections next to them.

    Args:
        sections: For a folder, the result is the folder itself. For ``X.imzML``, it is the first existing file of
            ``X.csv``, ``X_labels.csv`` and ``X_truth.csv`` (which ``ionmorphnet simulate`` writes).

    Raises:
        FileError: No label file exists.
    """
    if sections.is_dir():
        return sections
    candidates = [sections.with_name(sections.stem + suffix) for suffix in (".csv", "_labels.csv", "_truth.csv")]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise FileError(f"{sections}: no label file found ({', '.join(c.name for c in candidates)}); pass labels")


def _by_id(path: Path, suffix: str) -> dict[str, Path]:
    if path.is_file():
        return {dataset_id(path.name): path}
    if not path.is_dir():
        raise FileError(f"{path}: no such file or folder")
    found: dict[str, Path] = {}
    for file in sorted(path.iterdir()):
        if file.name.startswith(".") or not file.name.casefold().endswith(suffix) or not file.is_file():
            continue
        name = dataset_id(file.name)
        if name in found:
            raise FileError(f"{file}: duplicates dataset {found[name].name}")
        found[name] = file
    if not found:
        raise FileError(f"{path}: the folder contains no {'imzML' if suffix == '.imzml' else 'CSV'} file")
    return found


def clip_hotspots(image: NDArray[np.float32], quantile: float = HOTSPOT_QUANTILE) -> NDArray[np.float32]:
    """Clip single bright pixels to a quantile of the pixels above 1/256 of the maximum.

    The published training images were extracted this way (arXiv 2604.19369).

    Args:
        image: float32 (H, W), NaN = unmeasured.
        quantile: Quantile, 0 to 1.

    Returns:
        float32 (H, W); images without signal are returned unchanged.
    """
    top = np.nanmax(image) if not np.isnan(image).all() else np.float32(0.0)
    if not top > 0:
        return image
    limit = np.quantile(image[image > top / 256.0], quantile)
    clipped: NDArray[np.float32] = np.minimum(image, np.float32(limit))
    return clipped


def from_imzml(
    sections: PathLike,
    labels: PathLike,
    *,
    ppm: float = PPM,
    hotspot_quantile: float | None = HOTSPOT_QUANTILE,
    memory_limit: int = MEMORY_LIMIT,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
    **opened: Unpack[OpenOptions],
) -> LabelledImages:
    """Read the labelled ion images of one or more sections.

    All images are extracted now, so unreadable files fail here and not in the middle of a training. Unusable rows are
    skipped and counted: those listed in :func:`~ionmorphnet.labelled.label_csv.read_mz_labels`, m/z outside the
    section's range, and windows without signal whose label is not ``unstructured``, since that label was made on other
    data. Unusable sections and label files are skipped too, as long as others are usable.

    Args:
        sections: An imzML file, or a folder of imzML files.
        labels: A label CSV, or a folder of label CSVs; see :func:`pair_files`.
        ppm: Half width of the window around each m/z.
        hotspot_quantile: Quantile for :func:`clip_hotspots`; None: no clipping.
        memory_limit: Bytes of images held in memory; the rest goes to a temporary file.
        threads: CPU threads; 0: all cores.
        progress: Called after each section with (sections read, sections in total).
        **opened: How every section is opened: options of :func:`ionmorphnet.open`.

    Returns:
        The images, ordered by dataset and m/z; ``report`` lists what was skipped.

    Raises:
        FileError: A path is missing, or no image can be used.
        ArgumentError: ``ppm`` or the quantile is out of range.
    """
    if not (math.isfinite(ppm) and ppm > 0):
        raise ArgumentError(f"ppm must be finite and positive, got {ppm}")
    if hotspot_quantile is not None and not 0.0 < hotspot_quantile <= 1.0:
        raise ArgumentError(f"hotspot_quantile must be above 0 and at most 1, got {hotspot_quantile}")
    report = LabelReport()
    pairs = pair_files(sections, labels, report)
    checked_open_options(opened, function="from_imzml", paths=pairs)
    store = ImageStore(memory_limit)
    items: list[LabelledItem] = []
    for k, pair in enumerate(pairs):
        try:
            items += _read_pair(pair, ppm, hotspot_quantile, store, threads, report, opened)
        except FileError as error:
            report.add("unusable file", str(error))
        if progress is not None:
            progress(k + 1, len(pairs))
    return make_source("imzml", store, items, report, str(sections))


def _read_pair(
    pair: Pair,
    ppm: float,
    quantile: float | None,
    store: ImageStore,
    threads: int,
    report: LabelReport,
    opened: OpenOptions,
) -> list[LabelledItem]:
    rows, found = read_mz_labels(pair.csv, dataset=pair.dataset)
    report.extend(found)
    if not rows:
        return []
    with open_dataset(pair.imzml, **opened) as ds:
        ds.require_one_plane("the label file does not state which plane it describes", error=FileError)
        rows = _within_range(rows, ds, ppm, pair, report)
        height, width = ds.shape
        step = max(1, _PASS_BYTES // (4 * height * width))
        items = []
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            lo, hi = mz_windows([row.mz for row in part], ppm=ppm)
            for row, image in zip(part, ds.window_images(lo, hi, threads=threads), strict=True):
                if not np.nanmax(image) > 0 and set(row.labels) != {_UNSTRUCTURED}:
                    names = " and ".join(CLASSES[label] for label in dict.fromkeys(row.labels))
                    report.add(
                        "no signal",
                        f"{pair.csv}: line {row.line}: m/z {row.mz} is labelled {names}, "
                        f"but {pair.imzml.name} has no signal within {ppm:g} ppm",
                    )
                    continue
                number = store.add(image if quantile is None else clip_hotspots(image, quantile))
                items.append(
                    LabelledItem(pair.dataset, f"{row.mz:.6f}", row.probabilities, row.structure, number, row.labels)
                )
    return items


def _within_range(rows: list[MzLabel], ds: Dataset, ppm: float, pair: Pair, report: LabelReport) -> list[MzLabel]:
    low, high = ds.mz_range
    lo, hi = mz_windows([row.mz for row in rows], ppm=ppm)
    kept = []
    for row, below, above in zip(rows, lo, hi, strict=True):
        if above < low or below > high:
            report.add(
                "m/z out of range",
                f"{pair.csv}: line {row.line}: m/z {row.mz} is outside {pair.imzml.name} ({low:.4f} to {high:.4f})",
            )
        else:
            kept.append(row)
    return kept
