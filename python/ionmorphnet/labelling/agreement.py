"""How far two passes over the same images agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.models.labels import CLASSES


@dataclass(frozen=True)
class Agreement:
    """Agreement of two passes.

    Attributes:
        images: Number of images with a class in both passes.
        same: Share of them with the same class.
        kappa: Cohen's kappa: agreement beyond what the frequencies of the classes alone would give, 1 = perfect, 0 =
            chance; None if both passes used one class only, where it is undefined.
        graded: Number of images with a grade in both passes.
        grade_difference: Mean absolute difference of the grades; None without such images.
        table: Number of images with class i in the first pass and class j in the second, (6, 6).
    """

    images: int
    same: float
    kappa: float | None
    graded: int
    grade_difference: float | None
    table: tuple[tuple[int, ...], ...]


def measure_agreement(
    classes: Sequence[tuple[int, int]], grades: Sequence[tuple[float, float]] = ()
) -> Agreement | None:
    """Compare two passes.

    Args:
        classes: Class of each image in the first and in the second pass, as index into ``CLASSES``.
        grades: Grades of the images that have one in both passes.

    Returns:
        The agreement; None without images.
    """
    if not classes:
        return None
    table = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    for first, second in classes:
        table[first, second] += 1
    differences = [abs(first - second) for first, second in grades]
    return Agreement(
        images=len(classes),
        same=float(np.trace(table) / len(classes)),
        kappa=cohen_kappa(table),
        graded=len(differences),
        grade_difference=float(np.mean(differences)) if differences else None,
        table=tuple(tuple(row) for row in table.tolist()),
    )


def cohen_kappa(table: NDArray[np.int64]) -> float | None:
    """Cohen's kappa of a square table of counts (Cohen 1960).

    Args:
        table: int (k, k); rows: first pass, columns: second pass; at least one count.

    Returns:
        (observed - expected) / (1 - expected) agreement; None where the expected agreement is 1.
    """
    total = int(table.sum())
    # Whole numbers, so that an expected agreement of 1 is found exactly.
    expected = int((table.sum(axis=0) * table.sum(axis=1)).sum())
    if expected == total * total:
        return None
    return (int(np.trace(table)) * total - expected) / (total * total - expected)
