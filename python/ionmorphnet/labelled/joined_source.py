"""Concatenation of labelled sources."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.sources import Sample, Source


class JoinedSource:
    """The images of several sources in order; datasets with the same id count as one."""

    def __init__(self, sources: Sequence[Source]) -> None:
        """Join one or more sources."""
        self.sources = tuple(sources)
        self._ends = np.cumsum([len(source) for source in sources]).tolist()

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of all the sources."""
        return tuple(sorted({name for source in self.sources for name in source.dataset_ids}))

    def __len__(self) -> int:
        """Number of images."""
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Sample:
        """Image ``index``."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        k = bisect.bisect_right(self._ends, index)
        return self.sources[k][index - (self._ends[k - 1] if k else 0)]

    def targets(self) -> NDArray[np.float32] | None:
        """Soft labels of all images, float32 (n, 6); None if a source makes its images on demand."""
        parts = [source.targets() for source in self.sources]
        listed = [part for part in parts if part is not None]
        return np.concatenate(listed) if len(listed) == len(parts) else None

    def select(self, datasets: Iterable[str]) -> JoinedSource:
        """Select the images of some datasets.

        Raises:
            ArgumentError: An id is unknown, or there are no ids.
        """
        wanted = set(datasets)
        unknown = wanted - set(self.dataset_ids)
        if unknown or not wanted:
            raise ArgumentError(
                f"unknown dataset {', '.join(sorted(unknown)) or '(none)'}; known: {', '.join(self.dataset_ids)}"
            )
        parts = [(source, wanted & set(source.dataset_ids)) for source in self.sources]
        return JoinedSource([source.select(ids) for source, ids in parts if ids])

    def describe(self) -> dict[str, object]:
        """Describe the sources."""
        if len(self.sources) == 1:
            return self.sources[0].describe()
        return {"kind": "joined", "images": len(self), "parts": [source.describe() for source in self.sources]}
