"""Images of many sections labelled by two passes: filters, units of splits, and folds that share no section."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.image_arrays import CLASS_STRUCTURE, LabelledImages, LabelledItem
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.label_csv import LabelReport
from ionmorphnet.labelled.sources import Sample

Unit = Literal["source", "specimen", "section"]

# Sources that a leave-one-source-out evaluation holds out together: too small to judge alone, or one specimen.
SOURCE_GROUPS: Mapping[str, tuple[str, ...]] = {
    "bladder": ("bladder79", "bladder150"),
    "ion beam": ("nanosims", "tofsims_grid"),
    "small MALDI": ("metaspace_coloc", "msanalysis", "plaque"),
}


@dataclass(frozen=True)
class CorpusImage(LabelledItem):
    """Label and origin of an image of a corpus, without its pixels.

    ``dataset`` is the id of the image's unit of splits, see :meth:`Corpus.by`.

    Attributes:
        source: Where the image is from: one laboratory, repository or data set.
        picture: Picture or file the image was taken from.
        section: Images with the same section show the same piece in the same frame, perhaps in another resolution;
            empty = unknown.
        specimen: Images that may show the same piece, directly or through a picture they share, have the same
            specimen.
        grades: Grade of each pass, 0 to 3; empty if only their mean is known.
        may_train: Whether the image may train weights that are distributed.
        off_sample: Label of the source's own expert: True = the ion is not of the sample; None = not labelled.
    """

    source: str = ""
    picture: str = ""
    section: str = ""
    specimen: str = ""
    grades: tuple[float, ...] = ()
    may_train: bool = True
    off_sample: bool | None = None

    @property
    def agreed(self) -> bool:
        """Whether all passes chose the same class."""
        return len(set(self.labels)) == 1


class Corpus(LabelledImages):
    """Labelled images of many sections, see :class:`CorpusImage`; a source for training and evaluation.

    Attributes:
        unit: What ``Sample.dataset`` and ``dataset_ids`` name: sources, specimens or sections.
        maps: Sample map (H, W) of each image by its number in the store; images without one are missing.
    """

    items: tuple[CorpusImage, ...]

    def __init__(
        self,
        store: ImageStore,
        items: Iterable[CorpusImage],
        report: LabelReport,
        *,
        unit: Unit = "source",
        maps: Mapping[int, NDArray[np.float32]] | None = None,
    ) -> None:
        """Combine the images of ``store`` with their labels."""
        self.unit, self.maps = unit, dict(maps or {})
        super().__init__("corpus", store, [_named(item, unit) for item in items], report)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index`` with its label and its section's sample map."""
        sample = super().__getitem__(index)
        return replace(sample, sample=self.maps.get(self.items[index].number))

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in ascending order."""
        return tuple(sorted({item.source for item in self.items}))

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class of each pass, (passes, n), indices into ``CLASSES``."""
        rows = max((len(item.labels) for item in self.items), default=0)
        padded = [item.labels + (-1,) * (rows - len(item.labels)) for item in self.items]
        return np.array(padded, dtype=np.int64).reshape(len(self), rows).T

    @property
    def grades(self) -> NDArray[np.float64]:
        """Grade of each pass, (2, n); NaN where only the mean is known."""
        pairs = [item.grades if len(item.grades) == 2 else (np.nan, np.nan) for item in self.items]
        return np.array(pairs, dtype=np.float64).reshape(len(self), 2).T

    @property
    def structure(self) -> NDArray[np.float64]:
        """Mean grade, (n,); NaN = unknown."""
        return np.array([item.structure for item in self.items], dtype=np.float64)

    def by(self, unit: Unit) -> Corpus:
        """Return the same images with another unit of splits.

        Images of unknown section are sections of their own.
        """
        return Corpus(self._store, self.items, self.report, unit=unit, maps=self.maps)

    def where(self, condition: Callable[[CorpusImage], bool]) -> Corpus:
        """Select the images that meet a condition, in the same order."""
        return Corpus(self._store, filter(condition, self.items), self.report, unit=self.unit, maps=self.maps)

    def select(self, datasets: Iterable[str]) -> Corpus:
        """Select the images of some sources, specimens or sections, depending on ``unit``.

        Raises:
            ArgumentError: An id is unknown.
        """
        kept = set(super().select(datasets).dataset_ids)
        return self.where(lambda item: item.dataset in kept)

    def with_class_structure(self, grades: Mapping[str, float] = CLASS_STRUCTURE) -> Corpus:
        """Assign the mean grade of their class to images without a grade, as LabelledImages does."""
        graded = super().with_class_structure(grades).items
        items = [replace(item, structure=each.structure) for item, each in zip(self.items, graded, strict=True)]
        return Corpus(self._store, items, self.report, unit=self.unit, maps=self.maps)

    def with_maps(self, maps: Mapping[int, NDArray[np.float32]]) -> Corpus:
        """Return the same images with these sample maps by store number."""
        return Corpus(self._store, self.items, self.report, unit=self.unit, maps=maps)

    def describe(self) -> dict[str, object]:
        """Describe kind, sources, number of images and of sample maps."""
        facts = self.by("source") if self.unit != "source" else self
        mapped = sum(item.number in self.maps for item in self.items)
        return super(Corpus, facts).describe() | {"unit": self.unit, "sample_maps": mapped}

    def __repr__(self) -> str:
        """Show the numbers of images and sources."""
        return f"Corpus({len(self)} images of {len(self.sources)} sources, split by {self.unit})"


def joined(parts: Sequence[Corpus]) -> Corpus:
    """Combine corpora into one; its sources are those of the parts.

    Raises:
        ArgumentError: There is no part, or two parts have a source in common.
    """
    names = [name for part in parts for name in part.sources]
    if not parts or len(set(names)) < len(names):
        raise ArgumentError("joined needs one or more corpora without common sources")
    store, items, maps, report = ImageStore(sum(part.nbytes for part in parts)), [], {}, LabelReport()
    for part in parts:
        report.extend(part.report)
        report.used += len(part)
        for k, item in enumerate(part.items):
            number = store.add(part[k].image)
            items.append(replace(item, number=number))
            if item.number in part.maps:
                maps[number] = part.maps[item.number]
    return Corpus(store, items, report, unit=parts[0].unit, maps=maps)


@dataclass(frozen=True, eq=False)
class Fold:
    """One division of a corpus; no specimen is in both parts.

    Attributes:
        name: Name of the source or group of sources that is held out, or ``pictures <k>``.
        training: Images to train on.
        held_out: Images to test on.
    """

    name: str
    training: Corpus
    held_out: Corpus


def source_folds(
    corpus: Corpus,
    groups: Mapping[str, Sequence[str]] = SOURCE_GROUPS,
    *,
    names: Sequence[str] | None = None,
    may_train: bool = True,
) -> list[Fold]:
    """Hold out each source in turn, and small sources in groups.

    Args:
        corpus: The images.
        groups: Sources that are held out together, by the name of the fold. Sources that the corpus lacks are ignored.
        names: Folds to return; None: all. Names of folds are those of ``groups`` and of the other sources.
        may_train: Whether only images that may train distributed weights are trained on.

    Returns:
        The folds in ascending order of names.

    Raises:
        ArgumentError: A name is unknown, a source is in two groups, or no image is left to train on.
    """
    fold_of = {source: name for name, members in groups.items() for source in members}
    if len(fold_of) < sum(len(members) for members in groups.values()):
        raise ArgumentError("groups must not contain a source twice")
    folds: dict[str, set[str]] = {}
    for source in corpus.sources:
        folds.setdefault(fold_of.get(source, source), set()).add(source)
    wanted = sorted(folds) if names is None else list(names)
    if unknown := sorted(set(wanted) - set(folds)):
        raise ArgumentError(f"unknown fold {', '.join(unknown)}; known: {', '.join(sorted(folds))}")
    return [_fold(corpus, name, [item.source in folds[name] for item in corpus.items], may_train) for name in wanted]


def picture_folds(corpus: Corpus, n: int = 5, *, may_train: bool = True) -> list[Fold]:
    """Hold out parts of every source, without dividing a specimen.

    The specimens of each source are dealt to the folds from the largest to the smallest, each to the fold that has the
    fewest images of this source so far. A source of a single specimen is held out as a whole in one fold.

    Args:
        corpus: The images.
        n: Number of folds, at least 2.
        may_train: Whether only images that may train distributed weights are trained on.

    Raises:
        ArgumentError: ``n`` is out of range, or no image is left to train on.
    """
    if n < 2:
        raise ArgumentError(f"n must be at least 2, got {n}")
    sizes: dict[str, dict[str, int]] = {}
    for item in corpus.items:
        of_source = sizes.setdefault(item.source, {})
        of_source[item.specimen] = of_source.get(item.specimen, 0) + 1
    fold_of: dict[str, int] = {}
    total = [0] * n
    for source in sorted(sizes):
        held = [0] * n
        for specimen, size in sorted(sizes[source].items(), key=lambda each: (-each[1], each[0])):
            # A specimen of two sources stays in the fold of the first.
            k = fold_of.get(specimen, min(range(n), key=lambda k: (held[k], total[k], k)))
            fold_of[specimen] = k
            held[k] += size
            total[k] += size
    return [
        _fold(corpus, f"pictures {k}", [fold_of[item.specimen] == k for item in corpus.items], may_train)
        for k in range(n)
        if total[k]
    ]


def _fold(corpus: Corpus, name: str, held: Sequence[bool], may_train: bool) -> Fold:
    out = {item.number for item, each in zip(corpus.items, held, strict=True) if each}
    training = corpus.where(lambda item: item.number not in out and (item.may_train or not may_train))
    if not len(training):
        raise ArgumentError(f"fold '{name}' leaves no image to train on")
    return Fold(name, training, corpus.where(lambda item: item.number in out))


def _named(item: CorpusImage, unit: Unit) -> CorpusImage:
    names = {
        "source": item.source,
        "specimen": item.specimen,
        "section": item.section or f"{item.source}:{item.key}",
    }
    if unit not in names:
        raise ArgumentError(f"unit must be source, specimen or section, got '{unit}'")
    return replace(item, dataset=names[unit])


def specimens(items: Sequence[CorpusImage], places: Sequence[str]) -> list[str]:
    """Name the specimen of each image: images are joined that share a picture or a place, also through others.

    Args:
        items: The images; pictures count per source.
        places: Name of the piece that each image shows; empty = unknown. Names count per source.

    Returns:
        ``<source>:<name>`` for each image, where the name is a place or, without one, a picture.
    """
    parent: dict[tuple[str, str, str], tuple[str, str, str]] = {}

    def root(node: tuple[str, str, str]) -> tuple[str, str, str]:
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    nodes = []
    for item, place in zip(items, places, strict=True):
        picture = (item.source, "picture", item.picture)
        nodes.append(picture)
        if place:
            # The smaller name becomes the root: places come before pictures, so that a place gives the name.
            first, second = sorted((root(picture), root((item.source, "", place))), key=lambda node: node[1:])
            parent[second] = first
    return [f"{source}:{name}" for source, _, name in map(root, nodes)]
