"""Corpora of real ion images: the folder ``real_images`` and labelled image arrays of single sections."""

from __future__ import annotations

import csv
import math
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.csv_rows import parse_number, read_rows
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.labelled.corpus import Corpus, CorpusImage, joined, specimens
from ionmorphnet.labelled.image_arrays import MEMORY_LIMIT, from_npz
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.label_csv import LabelReport, class_index, one_hot

REAL_IMAGES = "real_images"
_COLUMNS = ("index", "source", "key", "label_a", "label_b", "grade_a", "grade_b", "usable", "may_train")
_SECTIONS = "real_images_sections.csv"


@dataclass(frozen=True)
class _ImageArray:
    """A labelled array file of one source: whether it may train, its specimen, and how a key names the section."""

    may_train: bool
    specimen: str = ""
    section_of: str = ""  # text before which a key names the section; empty: all images are one section


IMAGE_ARRAYS: Mapping[str, _ImageArray] = {
    "barley101": _ImageArray(may_train=False),
    "bladder79": _ImageArray(may_train=True, specimen="bladder"),
    "bladder150": _ImageArray(may_train=False, specimen="bladder"),
    "brain96": _ImageArray(may_train=True, section_of="_"),
}


def read_corpora(
    folder: PathLike,
    names: Collection[str] | None = None,
    *,
    may_train: bool | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Corpus:
    """Read real labelled images: the sources of ``real_images`` and the array files ``ion_images/<name>.npz``.

    Args:
        folder: Folder with ``real_images/`` and ``ion_images/``.
        names: Sources, or ``real_images`` for all of its sources; None: everything that is there.
        may_train: True: only images that may train distributed weights; False: only the others; None: both.
        memory_limit: Bytes of images held in memory; the rest goes to a temporary file.

    Returns:
        The usable images, by source.

    Raises:
        FileError: A file is missing or malformed, or no image is left.
        ArgumentError: A name is unknown.
    """
    folder = Path(folder)
    wanted = None if names is None else set(names)
    parts = []
    real = folder / REAL_IMAGES
    if real.is_dir() and (wanted is None or wanted - set(IMAGE_ARRAYS)):
        listed = None if wanted is None or REAL_IMAGES in wanted else wanted - set(IMAGE_ARRAYS)
        parts.append(read_real_images(real, listed, memory_limit=memory_limit))
    for name in sorted(IMAGE_ARRAYS):
        path = folder / "ion_images" / f"{name}.npz"
        if path.is_file() if wanted is None else name in wanted:
            parts.append(read_image_array(path, memory_limit=memory_limit))
    found = {name for part in parts for name in part.sources} | ({REAL_IMAGES} if real.is_dir() else set())
    if wanted is not None and (unknown := sorted(wanted - found)):
        raise ArgumentError(f"unknown source {', '.join(unknown)}; {folder} has {', '.join(sorted(found))}")
    if not parts:
        raise FileError(f"{folder}: contains neither {REAL_IMAGES}/ nor ion_images/")
    corpus = joined(parts) if len(parts) > 1 else parts[0]
    return _training_part(corpus, may_train, str(folder))


def read_real_images(
    folder: PathLike,
    sources: Collection[str] | None = None,
    *,
    exclude_sources: Collection[str] = (),
    may_train: bool | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Corpus:
    """Read the folder ``real_images``: ``images.npz`` with arrays ``image_<index>``, and ``labels.csv``.

    Columns of ``labels.csv``: ``index``, ``source``, ``key``, ``label_a``, ``label_b``, ``grade_a``, ``grade_b``,
    ``usable`` and ``may_train`` (0 or 1); optionally ``expert_off_sample`` (``on`` or ``off``). Rows with ``usable`` 0
    are left out. A key begins with the picture the image was taken from, up to ``#``. The section of each known image
    is in the package, as found by looking at the images; other images belong to the section in the column ``section``,
    if there is one.

    Args:
        folder: Folder with the two files.
        sources: Sources to read; None: all.
        exclude_sources: Sources to leave out.
        may_train: True: only images that may train distributed weights; False: only the others; None: both.
        memory_limit: Bytes of images held in memory; the rest goes to a temporary file.

    Returns:
        The usable images in the order of ``labels.csv``.

    Raises:
        FileError: A file is missing or malformed, or no image is left.
        ArgumentError: A source is unknown.
    """
    folder = Path(folder)
    path = folder / "labels.csv"
    rows = _rows(path)
    known = {row["source"] for _, row in rows}
    if unknown := sorted((set(sources or ()) | set(exclude_sources)) - known):
        raise ArgumentError(f"unknown source {', '.join(unknown)}; {path} has {', '.join(sorted(known))}")
    kept = (known if sources is None else set(sources)) - set(exclude_sources)
    sections = known_sections()
    store, report = ImageStore(memory_limit), LabelReport(files=1, rows=len(rows))
    items: list[CorpusImage] = []
    places: list[str] = []
    with _open_arrays(folder / "images.npz") as arrays:
        for line, row in rows:
            where = f"{path}: line {line}"
            if row["source"] not in kept:
                continue
            if not _flag(row["usable"], "usable", where):
                report.add("not usable", f"{where}: image {row['index']} is marked as not usable")
                continue
            place = sections.get((row["source"], row["key"]))
            if place is None:
                place = row.get("section", "").removeprefix(f"{row['source']}:")
            number = store.add(_array(arrays, row["index"], where))
            items.append(_item(row, number, place, where))
            places.append(place.removesuffix("?"))
    report.used = len(items)
    named = [replace(item, specimen=name) for item, name in zip(items, specimens(items, places), strict=True)]
    return _training_part(Corpus(store, named, report), may_train, str(path))


def read_image_array(
    path: PathLike,
    *,
    may_train: bool | None = None,
    memory_limit: int = MEMORY_LIMIT,
) -> Corpus:
    """Read an array file of :data:`IMAGE_ARRAYS` as a corpus of one source, named like the file.

    Args:
        path: npz file with labels next to it, see :func:`~ionmorphnet.labelled.image_arrays.from_npz`.
        may_train: True: only images that may train distributed weights; False: only the others; None: both.
        memory_limit: Bytes of images held in memory; the rest goes to a temporary file.

    Raises:
        FileError: A file is missing or malformed, or no image is left.
        ArgumentError: The file is not one of them.
    """
    path = Path(path)
    facts = IMAGE_ARRAYS.get(path.stem)
    if facts is None:
        raise ArgumentError(f"{path}: not a known array file; known: {', '.join(IMAGE_ARRAYS)}")
    images = from_npz(path, memory_limit=memory_limit)
    store = ImageStore(memory_limit)
    items = []
    for k, item in enumerate(images.items):
        part = item.key.split(facts.section_of)[0] if facts.section_of else ""
        specimen = ":".join(filter(None, (facts.specimen or path.stem, part)))
        section = ":".join(filter(None, (path.stem, part)))
        items.append(
            CorpusImage(
                **vars(item) | {"number": store.add(images[k].image)},
                source=path.stem,
                picture=section,
                section=section,
                specimen=specimen,
                may_train=facts.may_train,
            )
        )
    return _training_part(Corpus(store, items, images.report), may_train, str(path))


def known_sections() -> dict[tuple[str, str], str]:
    """Section of each image of ``real_images`` by (source, key), as found by looking at the images.

    An empty name: the image is the only one of its section, or its section is unknown. A name that ends in ``?``: the
    image may show this section, but not in the same frame.
    """
    text = resources.files("ionmorphnet.labelled").joinpath(_SECTIONS).read_text(encoding="utf-8")
    return {(row["source"], row["key"]): row["section"] for row in csv.DictReader(text.splitlines())}


def _training_part(corpus: Corpus, may_train: bool | None, where: str) -> Corpus:
    kept = corpus if may_train is None else corpus.where(lambda item: item.may_train == may_train)
    if not len(kept):
        raise FileError(f"{where}: no usable image is left")
    return kept


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    lines = read_rows(path)
    if not lines:
        raise FileError(f"{path}: the file is empty")
    number, names = lines[0]
    missing = [name for name in _COLUMNS if name not in names]
    if missing:
        raise FileError(f"{path}: line {number}: column '{missing[0]}' is missing; found {', '.join(names)}")
    rows = []
    seen: set[str] = set()
    for line, cells in lines[1:]:
        row = dict.fromkeys(names, "") | dict(zip(names, cells, strict=False))
        if len(cells) > len(names) or row["index"] in seen:
            cause = f"index {row['index']} is listed twice" if len(cells) <= len(names) else "too many cells"
            raise FileError(f"{path}: line {line}: {cause}")
        seen.add(row["index"])
        rows.append((line, row))
    return rows


def _item(row: Mapping[str, str], number: int, place: str, where: str) -> CorpusImage:
    try:
        labels = (class_index(row["label_a"]), class_index(row["label_b"]))
        grades = (parse_number(row["grade_a"]), parse_number(row["grade_b"]))
    except ValueError as error:
        raise FileError(f"{where}: {error}") from None
    if not all(0.0 <= grade <= 3.0 for grade in grades):
        raise FileError(f"{where}: grades must be from 0 to 3, got {row['grade_a']} and {row['grade_b']}")
    source = row["source"]
    return CorpusImage(
        dataset=source,
        key=row["key"],
        probabilities=((one_hot(labels[0]) + one_hot(labels[1])) / 2).astype(np.float32),
        structure=math.fsum(grades) / 2.0,
        number=number,
        labels=labels,
        index=int(row["index"]),
        source=source,
        picture=row["key"].split("#")[0],
        section=f"{source}:{place}" if place and not place.endswith("?") else "",
        grades=grades,
        may_train=_flag(row["may_train"], "may_train", where),
        off_sample=_expert(row.get("expert_off_sample", ""), where),
    )


def _flag(text: str, name: str, where: str) -> bool:
    try:
        value = parse_number(text)
    except ValueError:
        value = math.nan
    if value not in (0.0, 1.0):
        raise FileError(f"{where}: {name} must be 0 or 1, got '{text}'")
    return value == 1.0


def _expert(text: str, where: str) -> bool | None:
    if text not in ("", "on", "off"):
        raise FileError(f"{where}: expert_off_sample must be on, off or empty, got '{text}'")
    return text == "off" if text else None


def _open_arrays(path: Path) -> np.lib.npyio.NpzFile:
    try:
        arrays = np.load(path, allow_pickle=False)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or 'cannot be read'}") from None
    except (ValueError, EOFError, zipfile.BadZipFile):
        raise FileError(f"{path}: not an npz file") from None
    if not isinstance(arrays, np.lib.npyio.NpzFile):
        raise FileError(f"{path}: not an npz file")
    return arrays


def _array(arrays: np.lib.npyio.NpzFile, index: str, where: str) -> NDArray[np.float32]:
    name = f"image_{index}"
    if not index.isdigit() or name not in arrays.files:
        raise FileError(f"{where}: images.npz has no array {name}")
    image = np.asarray(arrays[name], dtype=np.float32)
    if image.ndim != 2 or np.isinf(image).any() or np.isnan(image).all():
        raise FileError(f"{where}: {name} must be (height, width) with finite values, NaN = not measured")
    return image
