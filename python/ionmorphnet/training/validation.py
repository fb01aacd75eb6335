"""Judging weights on images held out from the training, and stopping when they no longer get better."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.sources import Source
from ionmorphnet.training.batches import NetworkInputs, batches
from ionmorphnet.training.losses import loss_parts
from ionmorphnet.training.networks import all_outputs
from ionmorphnet.training.recipe import Recipe

VALIDATION_COLUMNS = (
    "step",
    "images",
    "size",
    "loss",
    "classes",
    "structure",
    "ranking",
    "accuracy",
    "balanced_accuracy",
    "best",
)


@dataclass(frozen=True)
class Validation:
    """Images to judge by, and when.

    Attributes:
        source: Images that the training does not see; a batch of them holds whole scenes.
        every: Images trained on between two judgements.
        patience: Judgements in the last phase without a smaller loss after which the training stops; None: never.
    """

    source: Source
    every: int
    patience: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ArgumentError: A value out of range, or no images.
        """
        if self.every < 1 or (self.patience is not None and self.patience < 1) or len(self.source) == 0:
            raise ArgumentError("every and patience must be at least 1, and there must be images to validate on")


class Validator:
    """Computes the losses of averaged weights, with a network of its own."""

    def __init__(self, validation: Validation, recipe: Recipe, network: nn.Module, weights: Tensor | None) -> None:
        """Copy the network; ``weights`` are the class weights of the loss."""
        self.validation, self.recipe, self.class_weights = validation, recipe, weights
        self.network = copy.deepcopy(network).eval()

    @torch.no_grad()
    def evaluate(self, average: dict[str, Tensor], size: int, batch: int, workers: int) -> dict[str, float]:
        """Losses (means over images) and accuracies.

        Args:
            average: The weights.
            size: Side of the images in pixels.
            batch: Images at once; the ranking loss compares within a batch.
            workers: Processes that make the images.
        """
        self.network.load_state_dict(average)
        device = next(self.network.parameters()).device
        source, recipe = self.validation.source, self.recipe
        inputs = NetworkInputs(source, size, recipe.in_chans, statistics=recipe.statistics)
        parts = [range(first, min(first + batch, len(source))) for first in range(0, len(source), batch)]
        sums: dict[str, float] = {}
        found, truth = [], []
        for each in batches(inputs, parts, workers):
            given = each.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
                outputs = all_outputs(self.network, given.images, given.statistics if recipe.statistics else None)
            floats = {name: value.float() for name, value in outputs.items()}
            for name, value in loss_parts(floats, given, recipe, self.class_weights).items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(each.images)
            known = ~each.probabilities.isnan().any(dim=1)
            found.append(floats["logits"].argmax(dim=1).cpu()[known])
            truth.append(each.labels[known])
        losses = {name: value / len(source) for name, value in sums.items()}
        return losses | _accuracies(torch.cat(found), torch.cat(truth))


def _accuracies(found: Tensor, truth: Tensor) -> dict[str, float]:
    if len(truth) == 0:
        return {"accuracy": math.nan, "balanced_accuracy": math.nan}
    right = (found == truth).double()
    recalls = [float(right[truth == k].mean()) for k in torch.bincount(truth).nonzero()[:, 0]]
    return {"accuracy": float(right.mean()), "balanced_accuracy": sum(recalls) / len(recalls)}


def update_best(
    extra: dict[str, Any], figures: dict[str, float], step: int, *, counts: bool, patience: int | None
) -> bool:
    """Note a judgement in a training's plain values.

    Args:
        extra: Receives ``best`` (step, loss, accuracies), ``waits`` (judgements since) and ``stopped``.
        figures: Of the judgement.
        step: When.
        counts: Whether it is compared; losses at another image size are not comparable.
        patience: See ``Validation``.

    Returns:
        Whether these are the best weights so far.
    """
    best = extra.get("best")
    if best is None or not best["counts"] or (counts and figures["loss"] < best["loss"]):
        extra["best"] = {"step": step, "counts": counts, **{name: float(value) for name, value in figures.items()}}
        extra["waits"] = 0
        return True
    extra["waits"] += 1
    extra["stopped"] = counts and patience is not None and extra["waits"] >= patience
    return False
