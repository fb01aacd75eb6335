"""What every training recipe shares: settings of the optimiser, the learning rate, and plain values for files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import ClassVar, Self

from ionmorphnet.base.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class OptimiserRecipe:
    """Settings of AdamW, its learning rate and the averaged weights.

    Attributes:
        learning_rate: Peak learning rate.
        min_learning_rate: End of the cosine decay, as a fraction of the peak.
        warmup: Fraction of the steps over which the learning rate rises.
        weight_decay: AdamW weight decay of matrices and kernels; biases and norms are not decayed.
        beta2: Decay of AdamW's second moment.
        gradient_clip: Largest norm of the gradient; 0: unlimited.
        ema_decay: Decay per step of the moving average of the weights, which is what the training saves; 0: no average.
        label_smoothing: Probability spread over all classes.
        seed: Seed of the start weights, the drawn images, dropout and augmentation.
        precision: ``bf16`` (mixed) or ``f32``.
    """

    learning_rate: float = 1.5e-3
    min_learning_rate: float = 0.01
    warmup: float = 0.03
    weight_decay: float = 0.05
    beta2: float = 0.98
    gradient_clip: float = 1.0
    ema_decay: float = 0.998
    label_smoothing: float = 0.02
    seed: int = 20_260_419
    precision: str = "bf16"

    # Names of the entries that are fractions from 0 to below 1.
    _FRACTIONS: ClassVar[tuple[str, ...]] = ("label_smoothing", "ema_decay")

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ArgumentError: A value is out of range.
        """
        if self.precision not in ("bf16", "f32"):
            raise ArgumentError(f"precision must be bf16 or f32, got {self.precision!r}")
        for name in self._FRACTIONS:
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ArgumentError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        if not 0 <= self.seed < 1 << 31:
            raise ArgumentError(f"seed must be from 0 to {(1 << 31) - 1}, got {self.seed}")
        if not self.learning_rate > 0.0:
            raise ArgumentError(f"learning_rate must be above 0, got {self.learning_rate}")

    def to_dict(self) -> dict[str, object]:
        """Return plain values, as stored in checkpoints and config.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Build the recipe from the result of ``to_dict``; missing entries get their defaults.

        Raises:
            ArgumentError: An entry is unknown to this version.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ArgumentError(f"unknown recipe entries: {', '.join(unknown)}")
        return cls(**values)  # type: ignore[arg-type]

    def differences(self, written: Mapping[str, object]) -> list[str]:
        """List the entries in which the result of another recipe's ``to_dict`` differs from this recipe.

        Raises:
            ArgumentError: An entry is unknown to this version.
        """
        mine, theirs = self.to_dict(), self.from_dict(written).to_dict()
        return [name for name in mine if mine[name] != theirs[name]]


def warm_cosine(step: int, steps: int, warmup: float, *, start: float, end: float) -> float:
    """Compute the learning rate as a fraction of its peak: a linear rise, then half a cosine.

    Args:
        step: Steps done.
        steps: Steps in total.
        warmup: Fraction of the steps over which the rate rises.
        start: Fraction at which the rise starts.
        end: Fraction at which the cosine ends.
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return start + (1.0 - start) * (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))
