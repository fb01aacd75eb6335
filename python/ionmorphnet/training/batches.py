"""Batches of network inputs from a source of labelled ion images."""

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
from ionmorphnet.models.preprocessing import Preprocessing

FloatImage = NDArray[np.float32]


def prepare(image: FloatImage, preprocessing: Preprocessing, sample: FloatImage | None = None) -> FloatImage:
    """Preprocess an image with the native core, as inference does.

    Args:
        image: float32 (H, W), NaN = unmeasured.
        preprocessing: Size and channels of the result.
        sample: float32 (H, W), the sample map; None = unknown.

    Returns:
        float32 (channels, size, size) in [0, 1].
    """
    prepared: FloatImage = _core.preprocess(image[None], str(preprocessing), None, sample, threads=1)[0]
    return prepared


def named_statistics(image: FloatImage, names: Sequence[str]) -> FloatImage:
    """Compute classical statistics of an image (H, W), NaN = unmeasured: float32 (count), in the order of the names."""
    if not names:
        return np.zeros(0, np.float32)
    values: FloatImage = _core.image_statistics(image[None], threads=1)[0]
    return values[[STATISTICS.index(name) for name in names]]


@dataclass(frozen=True)
class Batch:
    """Network inputs with their labels.

    Attributes:
        images: float32 (N, C, S, S).
        statistics: float32 (N, count), in the order of the network's input.
        probabilities: float32 (N, 6), soft class labels; NaN = unknown.
        structure: float32 (N,), grade 0 to 3; NaN = unknown.
        scene: int64 (N,); images of one scene have the same number.
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
        """Copy the batch to a device."""
        return Batch(*[value.to(device, non_blocking=True) for value in vars(self).values()])

    def pin_memory(self) -> Batch:
        """Copy the batch to page-locked memory, so that transfers to a GPU overlap with its work."""
        return Batch(*[value.pin_memory() for value in vars(self).values()])


Item = tuple[FloatImage, FloatImage, FloatImage, float, int]


class NetworkInputs(Dataset[Item]):
    """Images of a source as network inputs; item ``k`` depends only on the source and ``k``, not on the worker."""

    def __init__(self, source: Source, preprocessing: Preprocessing, *, statistics: Sequence[str] = STATISTICS) -> None:
        """Prepare images as ``preprocessing`` says, and the named statistics in this order."""
        self.source, self.preprocessing, self.statistics = source, preprocessing, statistics

    def __len__(self) -> int:
        """Number of images."""
        return len(self.source)

    def __getitem__(self, k: int) -> Item:
        """Return input, statistics, class probabilities, structure and scene number of an image."""
        sample = self.source[k]
        x = prepare(sample.image, self.preprocessing, sample.sample)
        statistics = named_statistics(sample.image, self.statistics)
        # An image without a scene forms a scene by itself.
        return x, statistics, sample.probabilities, sample.structure, sample.scene if sample.scene >= 0 else -1 - k


def network_inputs(
    source: Source, preprocessing: Preprocessing, *, statistics: Sequence[str] = STATISTICS
) -> Dataset[Item]:
    """Create the network inputs of a source, with its method ``network_inputs`` (same arguments) if it has one."""
    make: Callable[..., Dataset[Item]] = getattr(source, "network_inputs", partial(NetworkInputs, source))
    return make(preprocessing, statistics=statistics)


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
    # These signals reach the whole process group, but the trainer still needs images to finish the step and save.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def batches(inputs: Dataset[Item], parts: Sequence[range], workers: int, *, pin: bool = False) -> DataLoader[Batch]:
    """Load batches in order with worker processes.

    Args:
        inputs: Network inputs to load.
        parts: Image numbers of each batch.
        workers: Number of processes; 0: the calling process. The batches do not depend on it.
        pin: Whether to use page-locked memory, for training on a GPU.
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
