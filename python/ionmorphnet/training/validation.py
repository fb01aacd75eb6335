"""Losses and accuracies of weights on images held out from the training."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

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
    """Images to validate on, and when.

    Attributes:
        source: Images the training does not see.
        every: Number of training images between two validations.
        patience: Number of validations in the last phase without a lower loss before training stops; None: never stop.
    """

    source: Source
    every: int
    patience: int | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ArgumentError: A value is out of range, or the source has no images.
        """
        if self.every < 1 or (self.patience is not None and self.patience < 1) or len(self.source) == 0:
            raise ArgumentError("a validation needs at least one image, and every and patience of at least 1")


class Validator:
    """Computes the losses of averaged weights in a copy of the network."""

    def __init__(self, validation: Validation, recipe: Recipe, network: nn.Module, weights: Tensor | None) -> None:
        """Copy the network.

        Args:
            validation: Images to validate on.
            recipe: Recipe of the training.
            network: Network of the training; it is not changed.
            weights: Class weights of the loss, or None.
        """
        self.validation, self.recipe, self.class_weights = validation, recipe, weights
        self.network = copy.deepcopy(network).eval()

    @torch.no_grad()
    def evaluate(self, average: dict[str, Tensor], size: int, batch: int, workers: int) -> dict[str, float]:
        """Compute losses (means over images) and accuracies.

        Args:
            average: Weights by parameter name.
            size: Side of the images in pixels.
            batch: Images per batch; the ranking loss compares images of a batch.
            workers: Number of processes that prepare images.
        """
        self.network.load_state_dict(average)
        device = next(self.network.parameters()).device
        source, recipe = self.validation.source, self.recipe
        inputs = NetworkInputs(source, recipe.preprocessing_at(size), statistics=recipe.statistics)
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
