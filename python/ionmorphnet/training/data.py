"""Simulated training images, made on the fly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ionmorphnet.reference.preprocess import SMALLEST_DIVISOR, quantile99, resize_bilinear
from ionmorphnet.simulation.ion_image import draw_shape, simulate_ion_image


def prepare(image: NDArray[np.float32], size: int) -> NDArray[np.float32]:
    """Preprocessing ``p99-stretch-224`` at any size: the parts of the specification, which knows only 224.

    Args:
        image: float32 (H, W), NaN = not measured (counts as 0).
        size: Side of the result in pixels.

    Returns:
        float32 (size, size) in [0, 1].
    """
    x = np.nan_to_num(image, nan=0.0)
    divisor = max(quantile99(x), SMALLEST_DIVISOR)
    return resize_bilinear(np.clip(x / divisor, 0.0, 1.0).astype(np.float32), size)


def augment(rng: np.random.Generator, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn, mirror, change the contrast, add a little noise or blank a rectangle; float32 (S, S) in [0, 1]."""
    x = np.rot90(x, int(rng.integers(4)))
    if rng.random() < 0.5:
        x = x[:, ::-1]
    if rng.random() < 0.25:
        x = x ** np.float32(np.exp(rng.normal(0.0, 0.3)))
    if rng.random() < 0.1:
        x = np.clip(x + np.float32(rng.uniform(0.0, 0.05)) * rng.standard_normal(x.shape, dtype=np.float32), 0.0, 1.0)
    if rng.random() < 0.05:
        height, width = (rng.uniform(0.05, 0.25, 2) * x.shape[0]).astype(int)
        y0, x0 = (int(rng.integers(0, x.shape[0] - n)) for n in (height, width))
        x = x.copy()
        x[y0 : y0 + height, x0 : x0 + width] = 0.0
    return np.ascontiguousarray(x)


class SimulatedImages(Dataset[tuple[Tensor, int, float]]):
    """Endless variety by index: item ``i`` depends on the seed and ``i`` alone, whatever worker makes it.

    An item is (image float32 (1, size, size), class index, structure 0 to 3).
    """

    def __init__(self, n: int, size: int, seed: int, *, augmented: bool = True) -> None:
        """``n`` images of ``size`` pixels a side."""
        self.n, self.size, self.seed, self.augmented = n, size, seed, augmented

    def __len__(self) -> int:
        """Number of images."""
        return self.n

    def __getitem__(self, index: int) -> tuple[Tensor, int, float]:
        """Image, class index, structure."""
        rng = np.random.default_rng([self.seed, index])
        simulated = simulate_ion_image(rng, shape=draw_shape(rng, (20, 260)))
        x = prepare(simulated.image, self.size)
        if self.augmented:
            x = augment(rng, x)
        return torch.from_numpy(x)[None], simulated.label, simulated.structure


@dataclass(frozen=True)
class Batch:
    """Images float32 (N, 1, S, S), labels int64 (N,), structure float32 (N,)."""

    images: Tensor
    labels: Tensor
    structure: Tensor


def _collate(items: list[tuple[Tensor, int, float]]) -> Batch:
    images, labels, structure = zip(*items, strict=True)
    return Batch(torch.stack(images), torch.tensor(labels), torch.tensor(structure, dtype=torch.float32))


def _single_thread(_worker: int) -> None:
    torch.set_num_threads(1)


def loader(dataset: SimulatedImages, batch: int, workers: int) -> DataLoader[Batch]:
    """Batches in the dataset's order, made by ``workers`` processes (0: in this process)."""
    return DataLoader(
        dataset,  # type: ignore[arg-type]
        batch_size=batch,
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_single_thread,
        prefetch_factor=4 if workers else None,
    )
