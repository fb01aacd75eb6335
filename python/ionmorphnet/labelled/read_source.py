"""Reading of labelled images of any supported kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.labelled.image_arrays import MEMORY_LIMIT, LabelledImages, from_npz
from ionmorphnet.labelled.sections import PPM, find_labels, from_imzml


def read_source(
    images: PathLike,
    labels: PathLike | None = None,
    *,
    ppm: float = PPM,
    class_structure: bool = False,
    memory_limit: int = MEMORY_LIMIT,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LabelledImages:
    """Read labelled images from sections (imzML) or image arrays (npz), depending on ``images``.

    Args:
        images: An imzML file, a folder of imzML files, or an npz file.
        labels: CSV or folder of CSVs; None: found next to the images, see :func:`~.sections.find_labels` for sections;
            ``<stem>_labels.csv`` for an npz file.
        ppm: Half width of the window around each m/z of sections.
        class_structure: Whether images without a structure grade get the mean grade of their class, see
            :meth:`~.image_arrays.LabelledImages.with_class_structure`.
        memory_limit: Bytes of images held in memory; the rest goes to a temporary file.
        threads: CPU threads; 0: all cores.
        progress: Called after each section with (sections read, sections in total).

    Returns:
        The images; ``report`` lists what was skipped.

    Raises:
        FileError: A path is missing or malformed, or no image can be used.
        ArgumentError: An argument is out of range, or the file type is not supported.
    """
    path = Path(images)
    if not path.exists():
        raise FileError(f"{path}: no such file or folder")
    suffix = path.suffix.casefold()
    if path.is_dir() or suffix == ".imzml":
        where = find_labels(path) if labels is None else labels
        source = from_imzml(path, where, ppm=ppm, memory_limit=memory_limit, threads=threads, progress=progress)
    elif suffix == ".npz":
        if labels is not None and Path(labels).is_dir():
            labels = Path(labels) / f"{path.stem}_labels.csv"
        source = from_npz(path, labels, memory_limit=memory_limit)
    else:
        raise ArgumentError(
            f"{path}: not a source of labelled images; pass an .imzML file, a folder of them, or an .npz file"
        )
    return source.with_class_structure() if class_structure else source
