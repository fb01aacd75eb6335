"""The scorer interface: ion images of a section, or images in memory, become a table of scores.

A scorer of your own is an instance that you pass as ``scorer=`` to any function that scores. For a function of the
image subclass :class:`ionmorphnet.ImageScorer`, which needs one method; for anything else subclass :class:`Scorer`.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.devices import Device
from ionmorphnet.base.progress import Progress
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.models.cascade import Cascade
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.names import Precision, ScorerName

__all__ = ["Precision", "ScoreOptions", "Scorer", "ScorerCallable", "ScorerName", "Scores"]

Float32 = npt.NDArray[np.float32]

# A function in the network's place: preprocessed images (n, channels, size, size) float32 and, if the model uses them,
# their statistics (n, k) float32, to the model's outputs: logits (n, 6), or (n, 7) with the structure logit last.
ScorerCallable = Callable[[Float32], Float32] | Callable[[Float32, Float32], Float32]

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class ScoreOptions:
    """What a scorer may use.

    Attributes:
        memory_limit: Host memory to plan with, bytes.
        device_memory_limit: Device memory to plan with, bytes; None: four fifths of what is free.
        threads: CPU threads; 0: all.
        progress: Called as progress(done, total) in images.
        sample: float32 (H, W), probability from 0 to 1 that a pixel of the section is sample, 0 where not measured;
            None: unknown. Networks without this channel, and classical scores, ignore it.
        cascade: Whether a network may be spared the images that its model's cascade finds to be noise.
    """

    memory_limit: int = 4_000_000_000
    device_memory_limit: int | None = None
    threads: int = 0
    progress: Progress | None = None
    sample: Float32 | None = field(default=None, repr=False, compare=False)
    cascade: bool = True


DEFAULT_OPTIONS = ScoreOptions()


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of some ion images, in the order of the images.

    Attributes:
        frame: One row per image; columns score, label, p_structured ... p_negative and, if the model estimates it,
            structure, and, if a cascade was at work, spared. A scorer without classes leaves label and p_* empty.
        blank: bool (n,), images that show nothing (not measured, or constant once clipped) and were not scored.
        timings: Where the time went, in seconds, and how the work was cut; empty if the scorer does not measure it.
        cascade: The cascade that spared the network some images; None if none was at work.
    """

    frame: pd.DataFrame
    blank: npt.NDArray[np.bool_]
    timings: Mapping[str, float | int | bool] = field(default_factory=dict)
    cascade: Cascade | None = None

    @property
    def n_spared(self) -> int:
        """Number of images that the network was spared."""
        return int(self.frame["spared"].sum()) if "spared" in self.frame else 0


class Scorer(abc.ABC):
    """A scorer that is ready to run, made by :func:`ionmorphnet.make_scorer` or a subclass of your own.

    Attributes:
        name: Name in tables and run records: ``openvino``, ``tensorrt``, ``torch``, ``callback``, ``moran`` ...
        device: Where it runs, the CPU or one GPU.
        precision: What it computes in: ``f32``, ``bf16``, ``fp16`` or ``int8``.
        model: The model; None for a score that needs none.
        refused: Engines that ``scorer="auto"`` tried before this one, and why they did not start.
    """

    name: str
    device: Device = Device("cpu")
    precision: str = "f32"
    model: Model | None = None
    refused: Mapping[str, str] = _NOTHING

    @property
    @abc.abstractmethod
    def description(self) -> str:
        """What the score is, in one line."""

    @abc.abstractmethod
    def score_windows(self, dataset: Dataset, axis: CandidateAxis, options: ScoreOptions = DEFAULT_OPTIONS) -> Scores:
        """Scores the ion image of every channel of an axis.

        Args:
            dataset: A section of one z plane.
            axis: (n,) channels with their m/z windows.
            options: Limits, threads, progress.

        Returns:
            n rows, in the order of the axis.

        Raises:
            FileError: A spectrum cannot be read.
            UnavailableError: The scorer does not work in this process.
        """

    @abc.abstractmethod
    def score_stack(
        self, images: Float32, mask: npt.NDArray[np.uint8] | None = None, options: ScoreOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """Scores ion images in memory.

        Args:
            images: float32 (n, H, W), axes [image, y, x]; NaN = not measured.
            mask: uint8 (H, W), non-zero = measured, for all images; None: every pixel that is not NaN.
            options: Threads, progress.

        Returns:
            n rows, in order.

        Raises:
            UnavailableError: The scorer does not work in this process.
        """

    def __repr__(self) -> str:
        """Name, model, device and precision."""
        model = "" if self.model is None else f", model={self.model.name!r}"
        return f"{type(self).__name__}({self.name!r}{model}, device='{self.device}', precision={self.precision!r})"
