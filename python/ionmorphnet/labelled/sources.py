"""Where training images come from: one protocol, and the simulated and mixed sources."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.simulation.ion_image import SimulatedImage, draw_shape, simulate_ion_image, simulate_scene

SIMULATED = "simulated"


@dataclass(frozen=True)
class Sample:
    """One labelled ion image.

    Attributes:
        image: float32 (H, W), intensities in any unit, NaN = not measured.
        mask: bool (H, W), True = measured; equal to ``~isnan(image)``.
        probabilities: float32 (6,), soft label, sum 1.
        structure: Grade 0 to 3 of meaningful spatial structure, NaN = unknown (mask that loss).
        dataset: Id of the section the image belongs to; the unit of every split.
        key: What the image is within its dataset, for reports: m/z, name or number.
        scene: Images of equal ``scene`` >= 0 show the same truth at different noise and may be ranked against each
            other by ``structure``; -1 = none.
    """

    image: NDArray[np.float32]
    mask: NDArray[np.bool_]
    probabilities: NDArray[np.float32]
    structure: float
    dataset: str
    key: str = ""
    scene: int = -1


class Source(Protocol):
    """Labelled ion images by index.

    An item depends on the source and the index alone, whatever process asks. Everything that can be wrong with the
    files is found when the source is made. Sources pickle, so that worker processes may hold them.
    """

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of the sections, in ascending order; what a split divides."""
        ...

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Image ``index``, 0 to len - 1.

        Raises:
            IndexError: There is no such image.
        """
        ...

    def targets(self) -> NDArray[np.float32] | None:
        """Soft labels of all images, float32 (n, 6), without making an image; None where they are made on demand."""
        ...

    def select(self, datasets: Iterable[str]) -> Source:
        """The images of some sections, in the order they have here; unknown ids are an error."""
        ...

    def describe(self) -> dict[str, Any]:
        """Plain values for the provenance of trained weights: kind, datasets, counts. No paths."""
        ...


class SimulatedSource:
    """Endless variety by index: item ``i`` depends on the seed and ``i`` alone.

    With ``levels`` > 1 the items ``levels * k`` to ``levels * k + levels - 1`` are one scene at several noise levels.
    Ask for them one after the other, as batches of a multiple of ``levels`` in ascending order do: a scene is then
    simulated once.
    """

    def __init__(
        self, n: int, seed: int, *, levels: int = 1, sides: tuple[int, int] = (20, 260), dataset: str = SIMULATED
    ) -> None:
        """Simulate ``n`` images.

        Args:
            n: Number of images, rounded up to whole scenes.
            seed: Seed of everything random, from 0.
            levels: Noise levels of a scene; 1 = single images without pairs.
            sides: Smallest and largest side of an image in pixels.
            dataset: Id of all the images. Simulated images of different seeds are different sections, so a seed of its
                own is all that a validation set needs.

        Raises:
            ArgumentError: No images, a negative seed, or less than one level.
        """
        if n < 1 or levels < 1 or seed < 0:
            raise ArgumentError(f"n and levels must be at least 1 and seed at least 0, not {n}, {levels} and {seed}")
        self.seed, self.levels, self.sides, self.dataset = seed, levels, sides, dataset
        self.n = math.ceil(n / levels) * levels
        self._last: tuple[int, tuple[SimulatedImage, ...]] = (-1, ())

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """The one id."""
        return (self.dataset,)

    def __len__(self) -> int:
        """Number of images."""
        return self.n

    def __getitem__(self, index: int) -> Sample:
        """Image, soft label and structure."""
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
        """None: labels are known only after an image was simulated."""
        return None

    def select(self, datasets: Iterable[str]) -> SimulatedSource:
        """This source, if its id is asked for."""
        wanted = set(datasets)
        if wanted != {self.dataset}:
            raise ArgumentError(f"no dataset {', '.join(sorted(wanted - {self.dataset})) or '(none)'} in {self!r}")
        return self

    def describe(self) -> dict[str, Any]:
        """Kind, number of images, seed, levels."""
        return {"kind": "simulated", "images": self.n, "seed": self.seed, "levels": self.levels}

    def __repr__(self) -> str:
        """Number of images and seed."""
        return f"SimulatedSource({self.n} images, seed {self.seed}, {self.levels} levels)"
