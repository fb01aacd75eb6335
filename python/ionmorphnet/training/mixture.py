"""Training images drawn from several sources in fixed shares."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.sources import Sample, SimulatedSource, Source


class MixedSource:
    """Draws from several sources in fixed shares; item ``i`` depends only on the seed and ``i``.

    Finite sources are repeated as often as necessary, in a new order each time. Each block of ``block`` items comes
    from one source, which keeps the scenes of a simulated source together.
    """

    def __init__(
        self, sources: Sequence[Source], shares: Sequence[float], n: int, seed: int, *, block: int = 1
    ) -> None:
        """Mix sources.

        Args:
            sources: One or more sources with images.
            shares: Share of each source, positive; scaled to a sum of 1.
            n: Number of items, rounded up to whole blocks.
            seed: Seed of the order.
            block: Number of consecutive items from one source; for a simulated source, its number of levels.

        Raises:
            ArgumentError: The shares do not match the sources, a source is empty, or a number is out of range.
        """
        if not sources or len(sources) != len(shares) or not all(math.isfinite(s) and s > 0 for s in shares):
            raise ArgumentError(f"each of {len(sources)} sources needs a positive share, got {list(shares)}")
        if n < 1 or block < 1 or seed < 0 or any(len(source) == 0 for source in sources):
            raise ArgumentError("n and block must be at least 1 and seed at least 0, and every source needs images")
        self.sources, self.seed, self.block = tuple(sources), seed, block
        self._on_demand = [source.targets() is None for source in sources]
        self.shares = np.asarray(shares, dtype=np.float64) / float(sum(shares))
        self.blocks = math.ceil(n / block)
        # Unlike independent draws, a golden-ratio sequence keeps the shares in every part of the order.
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
        """Item ``index``."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        block, offset = divmod(index, self.block)
        k = int(self._choice[block])
        source = self.sources[k]
        turn, place = divmod(int(self._rank[block]) * self.block + offset, len(source))
        # Images made on demand never repeat; keeping their order keeps their scenes together.
        sample = source[place if self._on_demand[k] else int(self._order(k, turn)[place])]
        if sample.scene < 0:
            return sample
        return replace(sample, scene=sample.scene * len(self.sources) + k)

    def _order(self, k: int, turn: int) -> NDArray[np.int64]:
        """Order of source ``k`` in its repetition ``turn``."""
        if self._orders.get(k, (-1, None))[0] != turn:
            order = np.random.default_rng([self.seed, 1, k, turn]).permutation(len(self.sources[k]))
            self._orders[k] = (turn, order.astype(np.int64))
        return self._orders[k][1]

    def targets(self) -> None:
        """None: the labels of a mixture are not known in advance."""
        return None

    def select(self, datasets: Iterable[str]) -> MixedSource:
        """Raise ArgumentError: split the sources first, then mix the parts for training."""
        raise ArgumentError("a mixture cannot be split; select datasets from its sources, then mix the results")

    def describe(self) -> dict[str, object]:
        """Describe the sources and their shares."""
        parts = [
            {"share": float(share)} | source.describe() for share, source in zip(self.shares, self.sources, strict=True)
        ]
        return {"kind": "mixture", "images": len(self), "seed": self.seed, "parts": parts}

    def __repr__(self) -> str:
        """Show sources and shares."""
        parts = ", ".join(f"{s:.2f} of {source!r}" for s, source in zip(self.shares, self.sources, strict=True))
        return f"MixedSource({parts})"


def fine_tuning_mix(
    labelled: Source, n: int, seed: int, *, simulated_share: float = 0.5, levels: int = 2
) -> MixedSource:
    """Mix labelled images, repeated as often as necessary, with new simulated ones.

    A few hundred labels from one laboratory are too uniform to train on alone: simulated images preserve what the
    network knows about other data, and provide the scenes that the ranking loss needs.

    Args:
        labelled: Images to adapt to.
        n: Number of images of the whole training.
        seed: Seed of the order and of the simulated images.
        simulated_share: Fraction of simulated images, 0 to below 1.
        levels: Noise levels per simulated scene; the batch size must be a multiple of it.

    Raises:
        ArgumentError: ``simulated_share`` is out of range, or ``labelled`` is empty.
    """
    if not 0.0 <= simulated_share < 1.0:
        raise ArgumentError(f"simulated_share must be from 0 to below 1, got {simulated_share}")
    if simulated_share == 0.0:
        return MixedSource([labelled], [1.0], n, seed, block=levels)
    simulated = SimulatedSource(n, seed, levels=levels)
    return MixedSource([labelled, simulated], [1.0 - simulated_share, simulated_share], n, seed, block=levels)
