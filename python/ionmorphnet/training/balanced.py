"""Draws from a labelled source so that its datasets and classes weigh more equally than their numbers of images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.sources import Sample, Source
from ionmorphnet.simulation.reframe import Frame, draw_padded, has_dark_border

# Half the largest side of a padded image, in pixels.
_LARGEST_PADDED = 300


class BalancedSource:
    """Draws with replacement; item ``i`` depends only on the seed and ``i``.

    The probability of an image is proportional to ``(images of its dataset) ** -dataset_power * (images of its class)
    ** -class_power``. Powers of 1 make all datasets and all classes equally likely; a power of 0 leaves them as they
    are. Images of one dataset get the same ``scene``, so that the ranking loss compares images of one laboratory with
    small differences of grade, and others with large ones only.

    Some images with a dark border are put into a larger frame: a sample that is small in its frame is still the whole
    sample, so its class stays.
    """

    def __init__(
        self,
        source: Source,
        n: int,
        seed: int,
        *,
        dataset_power: float = 0.5,
        class_power: float = 0.5,
        padded: float = 0.0,
    ) -> None:
        """Draw ``n`` images.

        Args:
            source: The labelled images, with known labels.
            n: Number of items.
            seed: Seed of the draws, at least 0.
            dataset_power: 0 to 1, how far datasets are balanced.
            class_power: 0 to 1, how far classes are balanced.
            padded: Share of images with a dark border that are put into a larger frame, 0 to 1.

        Raises:
            ArgumentError: A number is out of range, or the source is empty or makes its labels on demand.
        """
        if n < 1 or seed < 0 or not all(0.0 <= share <= 1.0 for share in (dataset_power, class_power, padded)):
            raise ArgumentError(
                "n must be at least 1, seed at least 0, and powers and padded from 0 to 1, got "
                f"{n}, {seed}, {dataset_power}, {class_power} and {padded}"
            )
        targets = source.targets()
        if targets is None or not len(source):
            raise ArgumentError("only a source with images and known labels can be balanced")
        self.source, self.n, self.seed = source, n, seed
        self.dataset_power, self.class_power, self.padded = dataset_power, class_power, padded
        names = [source[k].dataset for k in range(len(source))]
        ids = {name: k for k, name in enumerate(source.dataset_ids)}
        self._dataset = np.array([ids[name] for name in names], dtype=np.int64)
        per_dataset = np.bincount(self._dataset, minlength=len(ids))[self._dataset]
        share = np.nan_to_num(targets.astype(np.float64))
        # Soft labels count for each of their classes; an image of unknown class counts as average.
        total = share.sum(axis=0)
        rarity = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0) ** class_power
        per_class = np.where(share.sum(axis=1) > 0, share @ rarity, rarity[total > 0].mean() if share.any() else 1.0)
        weights = per_dataset ** (-dataset_power) * per_class
        self._cumulative: NDArray[np.float64] = np.cumsum(weights / weights.sum())

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of the datasets."""
        return self.source.dataset_ids

    def __len__(self) -> int:
        """Number of draws."""
        return self.n

    def __getitem__(self, index: int) -> Sample:
        """Draw ``index``."""
        if not 0 <= index < self.n:
            raise IndexError(f"image {index} of {self.n}")
        rng = np.random.default_rng([self.seed, index])
        k = min(int(np.searchsorted(self._cumulative, rng.random(), side="right")), len(self._cumulative) - 1)
        drawn = replace(self.source[k], scene=int(self._dataset[k]))
        return _padded(rng, drawn) if rng.random() < self.padded else drawn

    def targets(self) -> None:
        """None: the order of the draws is fixed, as of images made on demand."""
        return None

    def select(self, datasets: Iterable[str]) -> BalancedSource:
        """Balance the images of some datasets, with the same number of draws."""
        return BalancedSource(
            self.source.select(datasets),
            self.n,
            self.seed,
            dataset_power=self.dataset_power,
            class_power=self.class_power,
            padded=self.padded,
        )

    def describe(self) -> dict[str, object]:
        """Describe the images and how they are drawn."""
        return self.source.describe() | {
            "draws": self.n,
            "seed": self.seed,
            "dataset_power": self.dataset_power,
            "class_power": self.class_power,
            "padded": self.padded,
        }

    def __repr__(self) -> str:
        """Show the number of draws and the source."""
        return f"BalancedSource({self.n} draws of {self.source!r})"


def _padded(rng: np.random.Generator, sample: Sample) -> Sample:
    """Put an image with a dark border into a larger frame; others are returned as they are."""
    frame = Frame(np.where(sample.mask, sample.image, np.float32(0)), sample.mask, sample.sample)
    if not has_dark_border(frame):
        return sample
    larger = draw_padded(rng, frame, _LARGEST_PADDED)
    image = np.where(larger.measured, larger.values, np.float32(np.nan))
    return replace(sample, image=image, mask=larger.measured, sample=larger.sample)
