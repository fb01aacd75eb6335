"""One door to labelled images of any supported kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.labelled.image_arrays import MEMORY_LIMIT, LabelledImages, from_npz
from ionmorphnet.labelled.sections import PPM, from_imzml, labels_beside


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
    """Read labelled images: sections (imzML) or image arrays (npz), chosen by what ``images`` is.

    Args:
        images: An imzML file, a folder of imzML files, or an npz file.
        labels: CSV or folder of CSVs. Where None they are looked for beside the images: see
            :func:`~.sections.labels_beside`; for an npz ``<stem>_labels.csv``.
        ppm: Half width of the window around each m/z (sections).
        class_structure: Give images without a structure grade the mean grade of their class, so that the ranking is
            trained too: :meth:`~.labelled_images.LabelledImages.with_class_structure`.
        memory_limit: Bytes of images held in memory; the rest lies in a temporary file.
        threads: Threads that read, 0 = all.
        progress: Called after every section with (sections read, sections).

    Returns:
        The images; ``report`` tells what was left out.

    Raises:
        FileError: A path is missing or of another kind, or no image can be used.
        ArgumentError: An argument is out of range.
    """
    path = Path(images)
    if not path.exists():
        raise FileError(f"{path}: no such file or folder")
    suffix = path.suffix.casefold()
    if path.is_dir() or suffix == ".imzml":
        where = labels_beside(path) if labels is None else labels
        source = from_imzml(path, where, ppm=ppm, memory_limit=memory_limit, threads=threads, progress=progress)
    elif suffix == ".npz":
        if labels is not None and Path(labels).is_dir():
            labels = Path(labels) / f"{path.stem}_labels.csv"
        source = from_npz(path, labels, memory_limit=memory_limit)
    else:
        raise ArgumentError(f"{path}: labelled images are read from .imzML files, a folder of them, or an .npz file")
    return source.with_class_structure() if class_structure else source
