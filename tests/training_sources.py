"""A source of images that a network learns to tell apart within a few steps."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.labelled.sources import Sample


@dataclass(frozen=True)
class DiscsAndNoise:
    """Even numbers show a disc (structured, grade 3), odd ones noise (unstructured, grade 0)."""

    n: int
    datasets: int = 1
    structure_known: bool = True

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        return tuple(f"d{k}" for k in range(self.datasets))

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.n:
            raise IndexError(index)
        rng = np.random.default_rng([7, index])
        y, x = np.mgrid[:24, :28]
        image = rng.random((24, 28), dtype=np.float32)
        if index % 2 == 0:
            image = image * 0.1 + ((y - 12) ** 2 + (x - rng.integers(8, 20)) ** 2 < 40).astype(np.float32)
        image[:2] = np.nan
        structure = (3.0 if index % 2 == 0 else 0.0) if self.structure_known else float("nan")
        dataset = f"d{index * self.datasets // self.n}"
        return Sample(image, ~np.isnan(image), self.targets()[index], structure, dataset, str(index), index // 2)

    def targets(self) -> NDArray[np.float32]:
        labels = np.where(np.arange(self.n) % 2 == 0, 0, 4)
        return np.eye(6, dtype=np.float32)[labels]

    def select(self, datasets: Iterable[str]) -> DiscsAndNoise:
        return DiscsAndNoise(self.n * len(set(datasets)) // self.datasets, len(set(datasets)), self.structure_known)

    def describe(self) -> dict[str, Any]:
        return {"kind": "discs", "images": self.n}
