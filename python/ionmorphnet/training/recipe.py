"""Everything that determines trained weights, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol, Self

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.models.networks.convnextv2 import STATISTICS_HIDDEN

PREPROCESSING = {1: "p99-stretch-224", 2: "p99-stretch-224-mask"}


@dataclass(frozen=True)
class Phase:
    """A part of the training at one image size.

    Attributes:
        size: Side of the images in pixels, a multiple of 32.
        images: Number of images; rounded up to whole batches.
        batch: Images a step.
        peak: Learning rate to which the schedule rises anew at the start of this phase, as a part of the recipe's;
            0: it goes on falling.
    """

    size: int
    images: int
    batch: int
    peak: float = 0.0

    @property
    def steps(self) -> int:
        """Number of optimiser steps; all batches are full."""
        return math.ceil(self.images / self.batch)


@dataclass(frozen=True)
class Recipe:
    """What is trained and how. The defaults are those of the bundled model.

    Attributes:
        architecture: Name in ``convnextv2.SIZES``, or a backbone of timm where that is installed.
        in_chans: 2: image and mask of measured pixels; 1: the image alone (published preprocessing).
        structure: Whether a structure output is trained beside the classes.
        statistics: Whether the classical statistics join in the last layer.
        statistics_hidden: Hidden units between them and the outputs.
        phases: Image sizes in order; one cosine schedule runs over all of them.
        seed: Seed of the images, the start weights, dropout and augmentation.
        learning_rate: Peak learning rate.
        min_learning_rate: Where the cosine ends, as a part of the peak.
        warmup: Part of the steps over which the learning rate rises.
        warmup_start: Where it starts to rise, as a part of the peak.
        weight_decay: AdamW weight decay of matrices and kernels (none on biases and norms).
        beta2: Decay of AdamW's second moment.
        gradient_clip: Largest norm of the gradient; 0: any.
        soft_labels: Whether targets are the source's class probabilities; else the most probable class.
        label_smoothing: Probability spread over all classes.
        class_balance: Whether classes count by their inverse frequency (sources with known frequencies only).
        structure_weight: Weight of the structure loss.
        ranking_weight: Weight of the pairwise ranking loss; 0: off.
        drop_path: Stochastic depth of the last block.
        weight_dropout: Share of weights set to 0 in each step (DropConnect).
        ema_decay: Decay a step of the moving average of the weights, which is what is kept; 0: no average.
        augmentation: ``none``, ``turns`` (flips and quarter turns, which leave the statistics true) or ``mild`` (also
            warps, contrast, blur, noise, lines and holes, see ``augment.DEFAULT``).
        augmented_share: Share of images that anything beyond turns meets. It changes images but not the statistics
            that were taken before, so a network with statistics must see enough images where both agree.
        precision: ``bf16`` (mixed) or ``f32``.
        compile: Whether the network is compiled; where that fails training goes on without.
        start: What the weights start from (name and hash); empty: random numbers of the seed.
    """

    architecture: str = "convnextv2_atto"
    in_chans: int = 2
    structure: bool = True
    statistics: bool = True
    statistics_hidden: int = STATISTICS_HIDDEN
    phases: tuple[Phase, ...] = (Phase(96, 100_000, 32), Phase(224, 16_000, 16, peak=0.2))
    seed: int = 20_260_419
    learning_rate: float = 1.5e-3
    min_learning_rate: float = 0.01
    warmup: float = 0.03
    warmup_start: float = 0.0
    weight_decay: float = 0.05
    beta2: float = 0.98
    gradient_clip: float = 1.0
    soft_labels: bool = True
    label_smoothing: float = 0.02
    class_balance: bool = False
    structure_weight: float = 1.0
    ranking_weight: float = 0.5
    drop_path: float = 0.03
    weight_dropout: float = 0.0
    ema_decay: float = 0.998
    augmentation: str = "turns"
    augmented_share: float = 0.5
    precision: str = "bf16"
    compile: bool = True
    start: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ArgumentError: A value out of its range.
        """
        if self.in_chans not in PREPROCESSING:
            raise ArgumentError(f"in_chans must be 1 (image) or 2 (image and mask), got {self.in_chans}")
        if not self.phases:
            raise ArgumentError("a recipe needs at least one phase")
        for phase in self.phases:
            if phase.size < 32 or phase.size % 32 or phase.images < 1 or phase.batch < 1:
                raise ArgumentError(
                    "a training needs a size in multiples of 32 pixels, at least one image and a batch of at least 1, "
                    f"got size {phase.size}, images {phase.images}, batch {phase.batch}"
                )
        if any(not 0.0 <= phase.peak <= 1.0 for phase in self.phases):
            raise ArgumentError("the peak of a phase must lie in [0, 1]")
        if self.augmentation not in ("none", "turns", "mild"):
            raise ArgumentError(f"augmentation must be none, turns or mild, got {self.augmentation!r}")
        if self.precision not in ("bf16", "f32"):
            raise ArgumentError(f"precision must be bf16 or f32, got {self.precision!r}")
        for name in ("label_smoothing", "drop_path", "weight_dropout", "ema_decay"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise ArgumentError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if not 0 <= self.seed < 1 << 31:
            raise ArgumentError(f"seed must lie from 0 to {(1 << 31) - 1}, got {self.seed}")
        if not self.learning_rate > 0.0:
            raise ArgumentError(f"learning_rate must be above 0, got {self.learning_rate}")

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        return sum(phase.steps for phase in self.phases)

    @property
    def extra_outputs(self) -> dict[str, int]:
        """Outputs of the network beside the class logits."""
        return {"structure": 1} if self.structure else {}

    @property
    def statistics_names(self) -> tuple[str, ...]:
        """Statistics that the network takes."""
        return STATISTICS if self.statistics else ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as written into checkpoints and config.json."""
        return {**asdict(self), "phases": [asdict(phase) for phase in self.phases]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe that ``to_dict`` wrote.

        Raises:
            ArgumentError: Values of another version.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ArgumentError(f"unknown entries of a recipe: {', '.join(unknown)}")
        return cls(**{**values, "phases": tuple(Phase(**phase) for phase in values["phases"])})


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear rise, then cosine to the end of the training; anew where a phase has a peak of its own."""
    begin, first, peak = 0, 0, 1.0
    for phase in recipe.phases:
        if phase.peak and step >= first:
            begin, peak = first, phase.peak
        first += phase.steps
    share = warm_cosine(
        step - begin, recipe.steps - begin, recipe.warmup, start=recipe.warmup_start, end=recipe.min_learning_rate
    )
    return recipe.learning_rate * peak * share


def warm_cosine(step: int, steps: int, warmup: float, *, start: float, end: float) -> float:
    """Part of the peak learning rate: a linear rise, then half a cosine.

    Args:
        step: Steps done.
        steps: Steps in all.
        warmup: Part of them over which it rises.
        start: Where the rise starts.
        end: Where the cosine ends.
    """
    rising = max(1, round(warmup * steps))
    if step < rising:
        return start + (1.0 - start) * (step + 1) / rising
    progress = (step - rising) / max(1, steps - rising)
    return end + (1.0 - end) * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0)))


def images_seen(recipe: Recipe, step: int) -> int:
    """Number of images trained on after ``step`` steps."""
    seen = 0
    for phase in recipe.phases:
        steps = min(step, phase.steps)
        seen += steps * phase.batch
        step -= steps
    return seen


class AnyRecipe(Protocol):
    """What a training state knows of its recipe."""

    @property
    def weight_decay(self) -> float:
        """AdamW weight decay of matrices and kernels."""

    @property
    def learning_rate(self) -> float:
        """Peak learning rate."""

    @property
    def beta2(self) -> float:
        """Decay of AdamW's second moment."""

    @property
    def gradient_clip(self) -> float:
        """Largest norm of the gradient; 0: any."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The recipe that ``to_dict`` wrote."""


def differences(ours: AnyRecipe, theirs: Mapping[str, Any]) -> list[str]:
    """Names of the entries in which a recipe and a written one differ; entries unknown then have their default.

    Raises:
        ArgumentError: The written one has entries that this version does not know.
    """
    mine, written = ours.to_dict(), ours.from_dict(theirs).to_dict()
    return [name for name in mine if mine[name] != written[name]]
