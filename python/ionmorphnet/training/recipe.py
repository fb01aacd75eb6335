"""Everything that determines the weights of the ion-image classifier, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar, Self

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.labels import STATISTICS, check_statistics
from ionmorphnet.models.networks.convnextv2 import STATISTICS_HIDDEN
from ionmorphnet.models.preprocessing import Preprocessing, Resize
from ionmorphnet.training.optimisation import OptimiserRecipe, warm_cosine


@dataclass(frozen=True)
class Phase:
    """A part of the training at one image size.

    Attributes:
        size: Side of the images in pixels, as in preprocessing ids: a multiple of 16 from 32 to 384. The network itself
            halves the side five times; at sides that are not multiples of 32 it ignores the last row and column.
        images: Number of images, rounded up to whole batches.
        batch: Images per step.
        peak: Learning rate at which the schedule restarts in this phase, as a fraction of the recipe's; 0: no restart.
    """

    size: int
    images: int
    batch: int
    peak: float = 0.0

    @property
    def steps(self) -> int:
        """Number of optimiser steps; all batches are full."""
        return math.ceil(self.images / self.batch)


@dataclass(frozen=True, kw_only=True)
class Recipe(OptimiserRecipe):
    """Network, images, losses and optimiser of a training. The defaults are those of the bundled model.

    Attributes:
        architecture: Name in ``convnextv2.SIZES``, or a timm backbone if timm is installed.
        resize: How images are resized: ``stretch`` or, antialiased, ``area``; see
            :class:`~ionmorphnet.models.preprocessing.Preprocessing`, also for the channels.
        mask: Whether the measured pixels are a channel.
        sqrt: Whether the square root of the image is a channel.
        sample: Whether the sample map is a channel.
        structure: Whether the network has a structure output next to the classes.
        statistics: Names of the classical statistics that enter the last layer, in order; empty: none.
        statistics_hidden: Hidden units between the statistics and the outputs.
        sample_statistics: Whether shares and levels relative to the sample enter the last layer as well, see
            :class:`~ionmorphnet.models.networks.sample_statistics.SampleStatistics`; needs ``sample``.
        phases: Image sizes in order; one cosine schedule covers all of them.
        warmup_start: Learning rate at which the warm-up starts, as a fraction of the peak.
        soft_labels: Whether the targets are the class probabilities of the source; otherwise the most probable class.
        class_balance: Whether classes are weighted by inverse frequency (only for sources with known frequencies).
        structure_weight: Weight of the structure loss.
        ranking_weight: Weight of the pairwise ranking loss; 0: off.
        drop_path: Stochastic depth of the last block.
        weight_dropout: Fraction of weights set to 0 in each step (DropConnect).
        augmentation: ``none``; ``turns`` (flips and quarter turns, which preserve the statistics); or ``mild`` (also
            warps, contrast, blur, noise, stripes and holes, see ``augment.DEFAULT``).
        augmented_share: Fraction of images that get more than turns. Such changes affect the image but not its
            statistics, which are computed before, so a network with statistics must see enough images where both agree.
        unknown_maps: Fraction of images whose sample map is withheld, so that the network also works without one.
        compile: Whether to compile the network; if compilation fails, training continues without it.
        start: Name and hash of the start weights; empty: random numbers from the seed.
    """

    architecture: str = "convnextv2_atto"
    resize: Resize = "stretch"
    mask: bool = True
    sqrt: bool = False
    sample: bool = False
    structure: bool = True
    statistics: tuple[str, ...] = STATISTICS
    statistics_hidden: int = STATISTICS_HIDDEN
    sample_statistics: bool = False
    phases: tuple[Phase, ...] = (Phase(96, 100_000, 32), Phase(224, 16_000, 16, peak=0.2))
    warmup_start: float = 0.0
    soft_labels: bool = True
    class_balance: bool = False
    structure_weight: float = 1.0
    ranking_weight: float = 0.5
    drop_path: float = 0.03
    weight_dropout: float = 0.0
    augmentation: str = "turns"
    augmented_share: float = 0.5
    unknown_maps: float = 0.25
    compile: bool = True
    start: str = ""

    _FRACTIONS: ClassVar[tuple[str, ...]] = (*OptimiserRecipe._FRACTIONS, "drop_path", "weight_dropout")

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ArgumentError: A value is out of range.
        """
        super().__post_init__()
        check_statistics(self.statistics)
        if self.sample_statistics and not self.sample:
            raise ArgumentError("sample_statistics needs the sample map as a channel; set sample as well")
        if not self.phases:
            raise ArgumentError("a recipe needs at least one phase")
        for phase in self.phases:
            self.preprocessing_at(phase.size)
            if phase.images < 1 or phase.batch < 1:
                raise ArgumentError(f"images and batch must be at least 1, got {phase.images} and {phase.batch}")
        if any(not 0.0 <= phase.peak <= 1.0 for phase in self.phases):
            raise ArgumentError("the peak of a phase must be from 0 to 1")
        if not 0.0 <= self.unknown_maps <= 1.0:
            raise ArgumentError(f"unknown_maps must be from 0 to 1, got {self.unknown_maps}")
        if self.augmentation not in ("none", "turns", "mild"):
            raise ArgumentError(f"augmentation must be none, turns or mild, got {self.augmentation!r}")

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        return sum(phase.steps for phase in self.phases)

    def preprocessing_at(self, size: int) -> Preprocessing:
        """The preprocessing of images with a side of ``size`` pixels.

        Raises:
            ArgumentError: There is no such preprocessing.
        """
        return Preprocessing(self.resize, size, self.mask, self.sqrt, self.sample)

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of the trained network: that of the last phase."""
        return self.preprocessing_at(self.phases[-1].size)

    @property
    def in_chans(self) -> int:
        """Number of channels of the network's input."""
        return len(self.preprocessing.channels)

    @property
    def extra_outputs(self) -> dict[str, int]:
        """Width of each network output other than the class logits."""
        return {"structure": 1} if self.structure else {}

    def to_dict(self) -> dict[str, object]:
        """Return plain values, as stored in checkpoints and config.json."""
        return {**super().to_dict(), "phases": [asdict(phase) for phase in self.phases]}

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Build the recipe from the result of ``to_dict``; missing entries get their defaults.

        Raises:
            ArgumentError: An entry is unknown to this version.
        """
        phases = values.get("phases")
        if isinstance(phases, list):
            values = {**values, "phases": tuple(Phase(**phase) for phase in phases)}
        statistics = values.get("statistics")
        if isinstance(statistics, list):
            values = {**values, "statistics": tuple(statistics)}
        return super().from_dict(values)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Compute the learning rate of a step: linear warm-up, then a cosine; phases with a peak restart both."""
    begin, first, peak = 0, 0, 1.0
    for phase in recipe.phases:
        if phase.peak and step >= first:
            begin, peak = first, phase.peak
        first += phase.steps
    share = warm_cosine(
        step - begin, recipe.steps - begin, recipe.warmup, start=recipe.warmup_start, end=recipe.min_learning_rate
    )
    return recipe.learning_rate * peak * share


def images_seen(recipe: Recipe, step: int) -> int:
    """Number of images trained on after ``step`` steps."""
    seen = 0
    for phase in recipe.phases:
        steps = min(step, phase.steps)
        seen += steps * phase.batch
        step -= steps
    return seen
