"""Simulated validation images that no training uses, preprocessed by the native core as in inference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet import _core
from ionmorphnet.simulation.ion_image import draw_shape, simulate_ion_image
from ionmorphnet.training.batches import named_statistics

MAX_STRUCTURE = 3.0
HELD_OUT_SEED = 77_003_001

Float32 = NDArray[np.float32]


@dataclass(frozen=True)
class HeldOut:
    """A batch of a validation set.

    Attributes:
        images: float32 (N, C, size, size), preprocessed.
        statistics: float32 (N, count) in the order of the network's input; None for networks without statistics.
        labels: float64 (N, 6), class probabilities.
        structure: float64 (N,), grade 0 to 3; NaN = not graded.
    """

    images: Float32
    statistics: Float32 | None
    labels: NDArray[np.float64]
    structure: NDArray[np.float64]


def simulated_held_out(
    n: int, preprocessing: str, *, statistics: Sequence[str], seed: int = HELD_OUT_SEED, batch: int = 64
) -> Iterator[HeldOut]:
    """Simulate validation images in batches, to limit memory. Image i depends only on the seed and i.

    Args:
        n: Number of images.
        preprocessing: Preprocessing id.
        statistics: Names of the classical statistics, in the order of the network's input; empty: none.
        seed: Random seed; no training may use the default.
        batch: Images per batch.

    Yields:
        Batches of ``batch`` images; the last one may be smaller.
    """
    for first in range(0, n, batch):
        rows = []
        for index in range(first, min(first + batch, n)):
            rng = np.random.default_rng([seed, index])
            simulated = simulate_ion_image(rng, shape=draw_shape(rng, (20, 260)))
            image = simulated.image[None]
            beside = named_statistics(simulated.image, statistics)
            prepared = _core.preprocess(image, preprocessing, None, simulated.sample, threads=1)[0]
            rows.append((prepared, beside, simulated.probabilities, simulated.structure))
        images, values, labels, structure = zip(*rows, strict=True)
        yield HeldOut(
            np.stack(images),
            np.stack(values).astype(np.float32) if statistics else None,
            np.stack(labels).astype(np.float64),
            np.asarray(structure, dtype=np.float64),
        )
