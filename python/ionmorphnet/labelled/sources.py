"""Where training images come from: one protocol, and the simulated and mixed sources."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
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


class MixedSource:
    """Draws from several sources in fixed shares; item ``i`` depends on the seed and ``i`` alone.

    A finite source is repeated as often as needed, in an order of its own each time through. Blocks of ``block`` items
    come from one source, so that the scenes of a simulated source stay together.
    """

    def __init__(
        self, sources: Sequence[Source], shares: Sequence[float], n: int, seed: int, *, block: int = 1
    ) -> None:
        """Mix sources.

        Args:
            sources: One or more, none empty.
            shares: Part of each, positive; scaled to sum 1.
            n: Number of items, rounded up to whole blocks.
            seed: Seed of the order.
            block: Consecutive items from one source; the levels of a simulated one.

        Raises:
            ArgumentError: Shares that do not fit, an empty source, or no items.
        """
        if not sources or len(sources) != len(shares) or not all(math.isfinite(s) and s > 0 for s in shares):
            raise ArgumentError(f"each of {len(sources)} sources needs a positive share, got {list(shares)}")
        if n < 1 or block < 1 or seed < 0 or any(len(source) == 0 for source in sources):
            raise ArgumentError("n and block must be at least 1, seed at least 0, and no source may be empty")
        self.sources, self.seed, self.block = tuple(sources), seed, block
        self._on_demand = [source.targets() is None for source in sources]
        self.shares = np.asarray(shares, dtype=np.float64) / float(sum(shares))
        self.blocks = math.ceil(n / block)
        # A golden-ratio sequence meets the shares over every stretch of the order, where independent draws would not.
        start = np.random.default_rng([seed, 0]).random()
        position = (start + np.arange(self.blocks) * 0.6180339887498949) % 1.0
        self._choice = np.searchsorted(np.cumsum(self.shares)[:-1], position, side="right").astype(np.int64)
        self._rank = np.zeros(self.blocks, dtype=np.int64)
        for k in range(len(self.sources)):
            chosen = self._choice == k
            self._rank[chosen] = np.arange(int(chosen.sum()))
        self._orders: dict[int, tuple[int, NDArray[np.int64]]] = {}

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        """Ids of all the sources."""
        return tuple(sorted({name for source in self.sources for name in source.dataset_ids}))

    def __len__(self) -> int:
        """Number of items."""
        return self.blocks * self.block

    def __getitem__(self, index: int) -> Sample:
        """An item of the source whose turn it is."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        block, offset = divmod(index, self.block)
        k = int(self._choice[block])
        source = self.sources[k]
        turn, place = divmod(int(self._rank[block]) * self.block + offset, len(source))
        # Images made on demand are new anyway; keeping their order keeps their scenes together.
        sample = source[place if self._on_demand[k] else int(self._order(k, turn)[place])]
        if sample.scene < 0:
            return sample
        return replace(sample, scene=sample.scene * len(self.sources) + k)

    def _order(self, k: int, turn: int) -> NDArray[np.int64]:
        """Order of source ``k`` the ``turn``-th time through."""
        if self._orders.get(k, (-1, None))[0] != turn:
            order = np.random.default_rng([self.seed, 1, k, turn]).permutation(len(self.sources[k]))
            self._orders[k] = (turn, order.astype(np.int64))
        return self._orders[k][1]

    def targets(self) -> None:
        """None: the mixture is not listed in advance."""
        return None

    def select(self, datasets: Iterable[str]) -> MixedSource:
        """Not for mixtures: split the sources first, then mix the parts meant for training."""
        raise ArgumentError("a mixture cannot be split; select the datasets of its sources, then mix those")

    def describe(self) -> dict[str, Any]:
        """The parts with their shares."""
        parts = [
            {"share": float(share)} | source.describe() for share, source in zip(self.shares, self.sources, strict=True)
        ]
        return {"kind": "mixture", "images": len(self), "seed": self.seed, "parts": parts}

    def __repr__(self) -> str:
        """Parts and shares."""
        parts = ", ".join(f"{s:.2f} of {source!r}" for s, source in zip(self.shares, self.sources, strict=True))
        return f"MixedSource({parts})"
