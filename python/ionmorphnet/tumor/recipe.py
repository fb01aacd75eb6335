"""Recipe of a patch classifier: all values that determine its weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.training.optimisation import OptimiserRecipe, warm_cosine

NETWORKS = ("cnn3d", "cnn1d")


@dataclass(frozen=True, kw_only=True)
class PatchRecipe(OptimiserRecipe):
    """Network, augmentation and optimiser settings of a patch classifier.

    Attributes:
        network: ``cnn3d`` (patches) or ``cnn1d`` (single spectra).
        channels: Number of m/z channels.
        classes: Number of classes.
        size: Side of a patch in pixels, odd; 1 for ``cnn1d``.
        width: Features of the first layer; later layers have more.
        dropout: Dropout before the last layer.
        steps: Optimiser steps.
        batch: Patches per step, drawn evenly from the classes and, within a class, evenly from the sections.
        flips: Whether patches are flipped and transposed.
        gain_jitter: Standard deviation of the log gain of a patch.
        channel_jitter: Standard deviation of the log gain of each channel of a patch, as between patients.
        noise: Standard deviation of the noise added to standardised values.
        channel_dropout: Share of the channels of a patch that are set to their mean.
        data: Fingerprint of the training data, which a resumed training must match.
    """

    network: str
    channels: int
    classes: int
    size: int = 9
    width: int = 8
    dropout: float = 0.3
    steps: int = 200
    batch: int = 96
    learning_rate: float = 3e-3
    min_learning_rate: float = 0.02
    warmup: float = 0.1
    ema_decay: float = 0.98
    label_smoothing: float = 0.05
    flips: bool = True
    gain_jitter: float = 0.1
    channel_jitter: float = 0.15
    noise: float = 0.1
    channel_dropout: float = 0.1
    seed: int = 0
    precision: str = "f32"
    data: str = ""

    _FRACTIONS: ClassVar[tuple[str, ...]] = (*OptimiserRecipe._FRACTIONS, "dropout", "channel_dropout")

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ArgumentError: A value is out of range.
        """
        super().__post_init__()
        if self.network not in NETWORKS:
            raise ArgumentError(f"network must be one of {', '.join(NETWORKS)}, not {self.network!r}")
        for name, least in (("channels", 1), ("classes", 2), ("size", 1), ("width", 1), ("steps", 1), ("batch", 2)):
            if getattr(self, name) < least:
                raise ArgumentError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.size % 2 == 0:
            raise ArgumentError(f"size must be odd, not {self.size}")
        if self.network == "cnn1d" and self.size != 1:
            raise ArgumentError(f"size must be 1 for cnn1d, which classifies single spectra, not {self.size}")
        for name in ("gain_jitter", "channel_jitter", "noise", "weight_decay", "gradient_clip"):
            if getattr(self, name) < 0.0:
                raise ArgumentError(f"{name} must be 0 or more, got {getattr(self, name)}")

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        return self.learning_rate * warm_cosine(step, self.steps, self.warmup, start=0.0, end=self.min_learning_rate)
