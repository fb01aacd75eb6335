"""Training images: from a source of labelled ion images to batches of network inputs."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ionmorphnet.reference.preprocess import SMALLEST_DIVISOR, measured_pixels, quantile99, resize_bilinear
from ionmorphnet.training._stand_in import simulate_scene
from ionmorphnet.training.image_statistics import statistics_of

FloatImage = NDArray[np.float32]


class LabelledImage(Protocol):
    """An ion image with its truth; simulated images are such.

    Attributes:
        image: float32 (H, W), intensities, NaN = not measured.
        probabilities: float32 (6,), soft class label; all NaN = the class is not known.
        structure: 0 (none) to 3 (clear); NaN = not known.
    """

    @property
    def image(self) -> FloatImage: ...  # noqa: D102
    @property
    def probabilities(self) -> FloatImage: ...  # noqa: D102
    @property
    def structure(self) -> float: ...  # noqa: D102


class Source(Protocol):
    """Where training images come from, in scenes: images of one scene are ranked against each other.

    Attributes:
        scenes: Number of scenes; None = endless variety.
        images_per_scene: Number of images of every scene.
    """

    @property
    def scenes(self) -> int | None: ...  # noqa: D102
    @property
    def images_per_scene(self) -> int: ...  # noqa: D102

    def scene(self, index: int, rng: np.random.Generator) -> Sequence[LabelledImage]:
        """The images of scene ``index``.

        Args:
            index: 0 to ``scenes`` - 1; any number for endless sources.
            rng: Source of all randomness; the same index and state give the same images, in any process.
        """

    def describe(self) -> dict[str, object]:
        """Plain values that say what the images are, for the provenance of weights."""


@dataclass(frozen=True)
class SimulatedSource:
    """Simulated scenes at two noise levels."""

    scenes: None = None
    images_per_scene: int = 2

    def scene(self, index: int, rng: np.random.Generator) -> Sequence[LabelledImage]:
        """Simulate; the index only selects the state of ``rng``."""
        return simulate_scene(rng, levels=self.images_per_scene)

    def describe(self) -> dict[str, object]:
        """Simulated only."""
        return {"kind": "simulated", "text": "simulated ion images only; no measured image was seen in training"}


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


def turned(x: FloatImage, turn: int) -> FloatImage:
    """One of the 8 flips and quarter turns of (C, S, S); the statistics are the same for all."""
    x = np.rot90(x, turn % 4, axes=(1, 2))
    return x[:, :, ::-1] if turn >= 4 else x


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


Sample = tuple[FloatImage, FloatImage, FloatImage, float, int]


class Stream(Dataset[list[Sample]]):
    """Endless stream of scenes: item ``k`` depends on the source, the seed and ``k`` alone, whatever worker makes it.

    Finite sources are gone through in a new order each time round.
    """

    def __init__(self, source: Source, size: int, channels: int, seed: int, *, augmented: bool = True) -> None:
        """Images of ``size`` pixels a side; flipped and turned where ``augmented``."""
        self.source, self.size, self.channels, self.seed, self.augmented = source, size, channels, seed, augmented

    def __getitem__(self, k: int) -> list[Sample]:
        """The images of one scene with statistics, class probabilities, structure and scene number."""
        rng = np.random.default_rng([self.seed, k])
        samples = []
        for labelled in self.source.scene(self._scene(k), rng):
            x = prepare(labelled.image, self.size, self.channels)
            if self.augmented:
                x = turned(x, int(rng.integers(8)))
            samples.append((x, statistics_of(labelled.image), labelled.probabilities, float(labelled.structure), k))
        return samples

    def _scene(self, k: int) -> int:
        n = self.source.scenes
        if n is None:
            return k
        if not self.augmented:
            return k % n
        return int(np.random.default_rng([self.seed, 1 << 40, k // n]).permutation(n)[k % n])


def _collate(scenes: list[list[Sample]]) -> Batch:
    images, statistics, probabilities, structure, scene = zip(
        *[sample for samples in scenes for sample in samples], strict=True
    )
    return Batch(
        torch.from_numpy(np.stack(images)),
        torch.from_numpy(np.stack(statistics)),
        torch.from_numpy(np.stack(probabilities).astype(np.float32)),
        torch.tensor(structure, dtype=torch.float32),
        torch.tensor(scene, dtype=torch.int64),
    )


def _start_worker(_worker: int) -> None:
    torch.set_num_threads(1)
    # Ctrl-C reaches the whole process group; the trainer still needs its images to finish the step and save.
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def batches(stream: Stream, scenes: Sequence[range], workers: int, *, pin: bool = False) -> DataLoader[Batch]:
    """Batches in order, made by worker processes.

    Args:
        stream: What to draw from.
        scenes: Scenes of each batch.
        workers: Processes (0: this one); the batches do not depend on it.
        pin: Page-locked memory, for training on a GPU.
    """
    return DataLoader(
        stream,  # type: ignore[arg-type]
        batch_sampler=scenes,  # type: ignore[arg-type]
        num_workers=workers,
        collate_fn=_collate,
        worker_init_fn=_start_worker,
        prefetch_factor=4 if workers else None,
        pin_memory=pin,
    )
