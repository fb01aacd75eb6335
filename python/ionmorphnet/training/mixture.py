"""Training images drawn from several sources in fixed shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.sources import Sample, SimulatedSource, Source


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


def fine_tuning_mix(
    labelled: Source, n: int, seed: int, *, simulated_share: float = 0.5, levels: int = 2
) -> MixedSource:
    """Labelled images, repeated as often as needed, among simulated ones never seen before.

    A few hundred labels of one laboratory hold too little variety to learn from them alone: the simulated half keeps
    what the network knows of everything else, and brings the scenes that the ranking loss needs.

    Args:
        labelled: The images to adapt to.
        n: Images of the whole training.
        seed: Seed of the order and of the simulated images.
        simulated_share: Part of simulated images, 0 to below 1.
        levels: Noise levels of a simulated scene; the batch size must be a multiple of it.

    Returns:
        The source to train on.

    Raises:
        ArgumentError: A share out of range, or nothing to mix.
    """
    if not 0.0 <= simulated_share < 1.0:
        raise ArgumentError(f"simulated_share must be 0 or more and below 1, not {simulated_share}")
    if simulated_share == 0.0:
        return MixedSource([labelled], [1.0], n, seed, block=levels)
    simulated = SimulatedSource(n, seed, levels=levels)
    return MixedSource([labelled, simulated], [1.0 - simulated_share, simulated_share], n, seed, block=levels)
