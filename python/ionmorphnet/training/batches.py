"""Training images: from a source of labelled ion images to batches of network inputs."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ionmorphnet import _core
from ionmorphnet.labelled.sources import Source
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.reference.preprocess import SMALLEST_DIVISOR, measured_pixels, quantile99, resize_bilinear

FloatImage = NDArray[np.float32]


def prepare(image: FloatImage, size: int, channels: int = 1) -> FloatImage:
    """The preprocessing ids at any size, built of the parts of the specification, which knows only 224.

    Args:
        image: float32 (H, W), NaN = not measured.
        size: Side of the result in pixels.
        channels: 1: ``p99-stretch-224``; 2: ``p99-stretch-224-mask``.

    Returns:
        float32 (channels, size, size) in [0, 1].
    """
    measured = measured_pixels(image)
    filled = np.where(measured, image, np.float32(0))
    counted = image[measured] if channels == 2 else filled
    out = np.zeros((channels, size, size), np.float32)
    if counted.size == 0:
        return out
    divisor = max(quantile99(counted), SMALLEST_DIVISOR)
    with np.errstate(over="ignore"):
        out[0] = resize_bilinear(np.clip(filled / divisor, 0, 1).astype(np.float32), size)
    if channels == 2:
        out[1] = 1.0 if measured.all() else resize_bilinear(measured.astype(np.float32), size)
    return out


@dataclass(frozen=True)
class Batch:
    """Network inputs with their truth.

    Attributes:
        images: float32 (N, C, S, S).
        statistics: float32 (N, 4), in the order of ``STATISTICS``.
        probabilities: float32 (N, 6), soft class labels; NaN = not known.
        structure: float32 (N,), 0 to 3; NaN = not known.
        scene: int64 (N,); images of one scene carry the same number.
    """

    images: Tensor
    statistics: Tensor
    probabilities: Tensor
    structure: Tensor
    scene: Tensor

    @property
    def labels(self) -> Tensor:
        """Most probable class, int64 (N,)."""
        return self.probabilities.argmax(dim=1)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(*[value.to(device, non_blocking=True) for value in vars(self).values()])

    def pin_memory(self) -> Batch:
        """The same in page-locked memory, from where copies to a GPU run beside its work."""
        return Batch(*[value.pin_memory() for value in vars(self).values()])


Item = tuple[FloatImage, FloatImage, FloatImage, float, int]


class NetworkInputs(Dataset[Item]):
    """Images of a source as network inputs; item ``k`` depends on the source and ``k`` alone, whatever worker asks."""

    def __init__(self, source: Source, size: int, channels: int, *, statistics: bool = True) -> None:
        """Images of ``size`` pixels a side; statistics are zeros where nobody needs them."""
        self.source, self.size, self.channels, self.statistics = source, size, channels, statistics

    def __len__(self) -> int:
        """Number of images."""
        return len(self.source)

    def __getitem__(self, k: int) -> Item:
        """Input, statistics, class probabilities, structure and scene number of an image."""
        sample = self.source[k]
        x = prepare(sample.image, self.size, self.channels)
        if self.statistics:
            statistics: FloatImage = _core.image_statistics(sample.image[None], threads=1)[0]
        else:
            statistics = np.zeros(len(STATISTICS), np.float32)
        # Images without a scene are each a scene of their own.
        return x, statistics, sample.probabilities, sample.structure, sample.scene if sample.scene >= 0 else -1 - k


def network_inputs(source: Source, size: int, channels: int, *, statistics: bool = True) -> Dataset[Item]:
    """What :class:`NetworkInputs` gives; a source with a ``network_inputs`` of its own (same arguments) makes it."""
    make: Callable[..., Dataset[Item]] = getattr(source, "network_inputs", partial(NetworkInputs, source))
    return make(size, channels, statistics=statistics)


def _collate(items: list[Item]) -> Batch:
    images, statistics, probabilities, structure, scene = zip(*items, strict=True)
    return Batch(
        torch.from_numpy(np.stack(images)),
        torch.from_numpy(np.stack(statistics)),
        torch.from_numpy(np.stack(probabilities)),
        torch.tensor(structure, dtype=torch.float32),
        torch.tensor(scene, dtype=torch.int64),
    )


def _start_worker(_worker: int) -> None:
    torch.set_num_threads(1)
    # These signals reach the whole process group; the trainer still needs its images to finish the step and save.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def batches(inputs: Dataset[Item], parts: Sequence[range], workers: int, *, pin: bool = False) -> DataLoader[Batch]:
    """Batches in order, made by worker processes.

    Args:
        inputs: What to draw from.
        parts: Numbers of the images of each batch.
        workers: Processes (0: this one); the batches do not depend on it.
        pin: Page-locked memory, for training on a GPU.
    """
    return DataLoader(
        inputs,  # type: ignore[arg-type]
        batch_sampler=parts,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_start_worker,
        prefetch_factor=4 if workers else None,
        pin_memory=pin,
    )
