"""The six published morphology classes in the order of model outputs, and the names of the classical statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError

CLASSES: tuple[str, ...] = tuple(_core.class_names())

PROBABILITY_COLUMNS: tuple[str, ...] = tuple(f"p_{name}" for name in CLASSES)

# Classical statistics of an ion image, in the column order of image_statistics().
STATISTICS: tuple[str, ...] = tuple(_core.statistic_names())

DESCRIPTIONS: dict[str, str] = {
    "structured": "the whole sample is visible; signal dense and continuous",
    "weak_structured": "the whole sample is visible but faint, thin, gappy or low in contrast",
    "localized": "one or two confined regions of the sample, the rest empty",
    "fragmented": "several separate clusters, no continuous shape",
    "unstructured": "random, sparse, noisy or empty; no shape",
    "negative": "the area outside the sample is bright, the sample dark",
}


def checked_classes(names: str | Iterable[str]) -> tuple[str, ...]:
    """Names of classes, each once, in the order of :data:`CLASSES`; from a list, or a text with commas.

    Raises:
        ArgumentError: A name is unknown.
    """
    given = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    unknown = [name for name in given if name and name not in CLASSES]
    if unknown:
        raise ArgumentError(f"unknown class '{unknown[0]}'; known: {', '.join(CLASSES)}")
    return tuple(name for name in CLASSES if name in given)


def check_statistics(names: Sequence[str]) -> None:
    """Checks the names of the statistics that a network uses.

    Raises:
        ArgumentError: A name is unknown or repeated, or there is no list of names.
    """
    known = ", ".join(STATISTICS)
    if isinstance(names, str) or not isinstance(names, Sequence):
        raise ArgumentError(f"statistics must be a list of names ({known}), got {names!r}")
    for name in names:
        if name not in STATISTICS:
            raise ArgumentError(f"unknown statistic {name!r}; known: {known}")
    if len(set(names)) < len(names):
        raise ArgumentError(f"statistics are repeated: {', '.join(names)}")
