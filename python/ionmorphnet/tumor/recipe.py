"""Everything that determines the weights of a patch classifier, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from ionmorphnet.base.errors import ArgumentError

NETWORKS = ("cnn3d", "cnn1d")


@dataclass(frozen=True)
class PatchRecipe:
    """What is trained and how.

    Attributes:
        network: ``cnn3d`` (patches) or ``cnn1d`` (single spectra).
        channels: Number of m/z channels.
        classes: Number of classes.
        size: Side of a patch in pixels, odd; 1 for ``cnn1d``.
        width: Features of the first layer; later ones have more.
        dropout: Before the last layer.
        steps: Optimiser steps.
        batch: Patches a step, drawn evenly from the classes, and in each of them evenly from the sections.
        learning_rate: Peak learning rate.
        min_learning_rate: Where the cosine ends, as a part of the peak.
        warmup: Part of the steps over which the learning rate rises.
        weight_decay: AdamW weight decay of kernels (none on biases and norms).
        beta2: Decay of AdamW's second moment.
        gradient_clip: Largest norm of the gradient; 0: any.
        ema_decay: Decay a step of the moving average of the weights, which is what is kept.
        label_smoothing: Probability spread over all classes.
        flips: Whether patches are mirrored and turned.
        gain_jitter: Standard deviation of a patch's log gain.
        channel_jitter: Standard deviation of the log gain of each channel of a patch, as between patients.
        noise: Standard deviation of the noise added to standardised values.
        channel_dropout: Share of the channels of a patch that are set to their mean.
        seed: Seed of the start weights, the drawn patches, dropout and augmentation.
        precision: ``f32``, or ``bf16`` (mixed).
        data: Fingerprint of the training data; a resumed training must have the same.
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
    weight_decay: float = 0.05
    beta2: float = 0.98
    gradient_clip: float = 1.0
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

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ArgumentError: A value out of its range.
        """
        if self.network not in NETWORKS:
            raise ArgumentError(f"network must be one of {', '.join(NETWORKS)}, not {self.network!r}")
        if self.precision not in ("bf16", "f32"):
            raise ArgumentError(f"precision must be bf16 or f32, got {self.precision!r}")
        for name, least in (("channels", 1), ("classes", 2), ("size", 1), ("width", 1), ("steps", 1), ("batch", 2)):
            if getattr(self, name) < least:
                raise ArgumentError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.size % 2 == 0:
            raise ArgumentError(f"the side of a patch must be odd, not {self.size}")
        if self.network == "cnn1d" and self.size != 1:
            raise ArgumentError(f"cnn1d sees single spectra: size must be 1, not {self.size}")
        for name in ("dropout", "ema_decay", "label_smoothing", "channel_dropout"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ArgumentError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        for name in ("gain_jitter", "channel_jitter", "noise", "weight_decay", "gradient_clip"):
            if getattr(self, name) < 0.0:
                raise ArgumentError(f"{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 <= self.seed < 1 << 31:
            raise ArgumentError(f"seed must lie from 0 to {(1 << 31) - 1}, got {self.seed}")
        if not self.learning_rate > 0.0:
            raise ArgumentError(f"learning_rate must be above 0, got {self.learning_rate}")

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        from ionmorphnet.training.recipe import warm_cosine  # imports torch; a plan is checked without it

        return self.learning_rate * warm_cosine(step, self.steps, self.warmup, start=0.0, end=self.min_learning_rate)

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that ``to_dict`` wrote.

        Raises:
            ArgumentError: Values of another version.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ArgumentError(f"unknown entries of a recipe: {', '.join(unknown)}")
        return cls(**values)
