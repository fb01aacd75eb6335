"""Labels that follow what can be seen: images whose random halves do not agree are unstructured."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.sources import Sample, Source
from ionmorphnet.models.labels import CLASSES, STATISTICS

# Of labelled real images, the median split-half reliability is .23 in the class unstructured and .82 in
# weak_structured; a tenth of the latter lies below .63.
LIMIT, WIDTH = 0.5, 0.06
# Grade of an image in which nothing repeats.
_GRADE = 0.3
_RELIABILITY = STATISTICS.index("reliability")
_UNSTRUCTURED = CLASSES.index("unstructured")


class VisibleSource:
    """Images of a simulating source, with the label ``unstructured`` as far as their structure cannot be seen.

    A simulator knows the truth below the noise, also where no observer could. The share ``1 / (1 + exp((r - limit) /
    width))`` of the label moves to ``unstructured``, where r is the split-half reliability of the image.
    """

    def __init__(self, source: Source, *, limit: float = LIMIT, width: float = WIDTH) -> None:
        """Wrap ``source``.

        Args:
            source: Simulated or semi-synthetic images.
            limit: Reliability at which half of the label moves, 0 to 1.
            width: Width of the transition, above 0.

        Raises:
            ArgumentError: A number is out of range.
        """
        if not 0.0 <= limit <= 1.0 or not width > 0.0:
            raise ArgumentError(f"limit must be from 0 to 1 and width above 0, got {limit} and {width}")
        self.source, self.limit, self.width = source, limit, width

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of the source."""
        return self.source.dataset_ids

    def __len__(self) -> int:
        """Number of images."""
        return len(self.source)

    def __getitem__(self, index: int) -> Sample:
        """Image ``index`` with its label as seen."""
        sample = self.source[index]
        r = float(_core.image_statistics(sample.image[None], threads=1)[0, _RELIABILITY])
        share = 1.0 / (1.0 + math.exp(min(max((r - self.limit) / self.width, -50.0), 50.0)))
        unstructured = np.zeros_like(sample.probabilities)
        unstructured[_UNSTRUCTURED] = 1.0
        return replace(
            sample,
            probabilities=((1.0 - share) * sample.probabilities + share * unstructured).astype(np.float32),
            structure=(1.0 - share) * sample.structure + share * min(sample.structure, _GRADE),
        )

    def targets(self) -> None:
        """None: labels are known only when an image is made."""
        return None

    def select(self, datasets: Iterable[str]) -> VisibleSource:
        """Select datasets of the source."""
        return VisibleSource(self.source.select(datasets), limit=self.limit, width=self.width)

    def describe(self) -> dict[str, object]:
        """Describe the source and the limit."""
        return self.source.describe() | {"reliability_limit": self.limit, "reliability_width": self.width}

    def __repr__(self) -> str:
        """Show the source."""
        return f"VisibleSource({self.source!r})"
