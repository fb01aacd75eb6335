"""Sources of labelled ion images: the protocol, and the simulated source."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.simulation.ion_image import SIDES, SimulatedImage, draw_shape, simulate_ion_image, simulate_scene

SIMULATED = "simulated"


@dataclass(frozen=True)
class Sample:
    """One labelled ion image.

    Attributes:
        image: float32 (H, W), intensities in any unit, NaN = unmeasured.
        mask: bool (H, W), True = measured; equal to ``~isnan(image)``.
        probabilities: float32 (6,), soft label, sum 1.
        structure: Grade 0 to 3 of meaningful spatial structure; NaN = unknown, excluded from the structure loss.
        dataset: Id of the image's section, the unit of splits.
        key: Name of the image within its dataset, for reports: m/z, name or number.
        scene: Images with the same ``scene`` >= 0 show the same truth at different noise levels and may be ranked
            against each other by ``structure``; -1: no scene.
        sample: float32 (H, W), probability from 0 to 1 that a pixel is sample, 0 where not measured; None = unknown.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    structure: float
    dataset: str
    key: str = ""
    scene: int = -1
    sample: NDArray[np.float32] | None = None


class Source(Protocol):
    """Labelled ion images by index.

    An item depends only on the source and the index, not on the process. Files are checked when the source is created.
    Sources can be pickled for worker processes.
    """

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of the sections, in ascending order; the units of splits."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Image ``index``, 0 to len - 1.

        Raises:
            IndexError: ``index`` is out of range.
        """
        ...

    def targets(self) -> NDArray[np.float32] | None:
        """Soft labels of all images, float32 (n, 6), without reading images; None if labels are made on demand."""
        ...

    def select(self, datasets: Iterable[str]) -> Source:
        """Select the images of some sections, in the same order; unknown ids are an error."""
        ...

    def describe(self) -> dict[str, object]:
        """Describe kind, datasets and counts as plain values without paths, for the provenance of weights."""
        ...


class SimulatedSource:
    """Simulated images; item ``i`` depends only on the seed and ``i``.

    With ``levels`` > 1, the items ``levels * k`` to ``levels * k + levels - 1`` show one scene at several noise levels.
    Read them in sequence, as batches of a multiple of ``levels`` in ascending order do, so that each scene is simulated
    once.
    """

    def __init__(
        self, n: int, seed: int, *, levels: int = 1, sides: tuple[int, int] = SIDES, dataset: str = SIMULATED
    ) -> None:
        """Simulate ``n`` images.

        Args:
            n: Number of images, rounded up to whole scenes.
            seed: Random seed, at least 0.
            levels: Noise levels per scene; 1: single images without pairs.
            sides: Smallest and largest side of an image in pixels.
            dataset: Id of all images. Different seeds produce different sections, so a validation set only needs
                another seed.

        Raises:
            ArgumentError: ``n``, ``seed`` or ``levels`` is out of range.
        """
        if n < 1 or levels < 1 or seed < 0:
            raise ArgumentError(f"n and levels must be at least 1 and seed at least 0, got {n}, {levels} and {seed}")
        self.seed, self.levels, self.sides, self.dataset = seed, levels, sides, dataset
        self.n = math.ceil(n / levels) * levels
        self._last: tuple[int, tuple[SimulatedImage, ...]] = (-1, ())

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """The single id."""
        return (self.dataset,)

    def __len__(self) -> int:
        """Number of images."""
        return self.n

    def __getitem__(self, index: int) -> Sample:
        """Simulate image ``index`` with its label and structure."""
        if not 0 <= index < self.n:
            raise IndexError(f"image {index} of {self.n}")
        scene, level = divmod(index, self.levels)
        simulated = self._scene(scene)[level]
        return Sample(
            simulated.image,
            simulated.mask,
            simulated.probabilities,
            float(simulated.structure),
            self.dataset,
            str(index),
            scene if self.levels > 1 else -1,
            simulated.sample,
        )

    def _scene(self, scene: int) -> tuple[SimulatedImage, ...]:
        if self._last[0] != scene:
            rng = np.random.default_rng([self.seed, scene])
            shape = draw_shape(rng, self.sides)
            if self.levels == 1:
                images: tuple[SimulatedImage, ...] = (simulate_ion_image(rng, shape=shape),)
            else:
                images = simulate_scene(rng, shape=shape, levels=self.levels)
            self._last = (scene, images)
        return self._last[1]

    def targets(self) -> None:
        """None: labels are known only after simulation."""
        return None

    def select(self, datasets: Iterable[str]) -> SimulatedSource:
        """Return this source, if its id is the only one requested."""
        wanted = set(datasets)
        if wanted != {self.dataset}:
            raise ArgumentError(
                f"unknown dataset {', '.join(sorted(wanted - {self.dataset})) or '(none)'}; known: {self.dataset}"
            )
        return self

    def describe(self) -> dict[str, object]:
        """Describe kind, number of images, seed and levels."""
        return {"kind": "simulated", "images": self.n, "seed": self.seed, "levels": self.levels}

    def __repr__(self) -> str:
        """Show the number of images, seed and levels."""
        return f"SimulatedSource({self.n} images, seed {self.seed}, {self.levels} levels)"
