"""What a training is at a step, and its files: everything to go on with, and the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.models.networks.weights import load_plain
from ionmorphnet.training.recipe import PREPROCESSING, AnyRecipe, Recipe, differences

LAST, WEIGHTS, LOG, VALIDATION_LOG = "last.pt", "weights.pt", "log.csv", "validation.csv"
FORMAT = 1


class MovingAverage:
    """Exponential moving average of a model's weights; young averages decay faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start at the model's weights."""
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights."""
        self.updates += 1
        decay = min(self.decay, (1.0 + self.updates) / (10.0 + self.updates)) if self.decay else 0.0
        ours, theirs = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                ours.append(self.weights[name])
                theirs.append(value.detach())
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(ours, theirs, 1.0 - decay)


def make_optimiser(model: nn.Module, recipe: AnyRecipe) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, norms) are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), fused=True)


@dataclass
class RunState:
    """A training at a step.

    Random numbers are no part of it: every step starts them from the seed and its own number, so that a resumed
    training draws what an uninterrupted one would.

    Attributes:
        recipe: What is trained.
        network: Its weights now.
        average: Their moving average.
        optimiser: With its moments.
        step: Optimiser steps done.
        seconds: Wall time so far, over all sittings.
        window: Sums of the losses since the last line of the log.
        extra: Further plain values of the training, for example its best validation.
        data: Hash of what is learnt from and judged by, by name; a training goes on with the same data only.
    """

    recipe: AnyRecipe
    network: nn.Module
    average: MovingAverage
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    window: dict[str, float] = field(default_factory=dict)
    extra: dict[str, Any] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)

    def advance(self, losses: Mapping[str, Tensor], where: Path) -> None:
        """One step along the gradients that lie in the network's parameters.

        Args:
            losses: Of the step, scalars by name; added to ``window``, with the number of steps as ``steps``.
            where: Folder of the training, for the error.

        Raises:
            IonMorphNetError: The gradient is no number any more; nothing is changed then.
        """
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clip or math.inf)
        *values, norm_value = torch.stack([*[loss.detach() for loss in losses.values()], norm]).tolist()
        if not math.isfinite(norm_value):
            raise IonMorphNetError(
                f"{where}: the gradient is no number at step {self.step + 1}; try a smaller learning rate or f32"
            )
        self.optimiser.step()
        self.average.update(self.network)
        self.step += 1
        for name, value in zip([*losses, "steps"], [*values, 1.0], strict=True):
            self.window[name] = self.window.get(name, 0.0) + value

    def save(self, path: Path) -> None:
        """Write everything needed to go on; an interrupted write leaves the file as it was.

        Raises:
            FileError: It cannot be written.
        """
        content = {
            "format": FORMAT,
            "recipe": self.recipe.to_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "window": self.window,
            "extra": self.extra,
            "data": self.data,
            "network": self.network.state_dict(),
            "average": self.average.weights,
            "average_updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
        }
        save_file(content, path)

    def restore(self, path: Path) -> None:
        """Go on from a file of ``save``.

        Raises:
            FileError: Unreadable, or not such a file.
            ArgumentError: It belongs to another recipe or to other data.
        """
        content = load_file(path, "network", "average", "optimiser", "recipe")
        other = differences(self.recipe, content["recipe"])
        if other:
            written = content["recipe"]
            told = ", ".join(f"{name} = {written.get(name)!r}" for name in other)
            raise ArgumentError(
                f"{path}: belongs to a training with another recipe ({told}); choose another folder or the same recipe"
            )
        # Files of earlier versions do not tell.
        theirs = content.get("data", self.data)
        if theirs != self.data:
            changed = [name for name in {**theirs, **self.data} if theirs.get(name) != self.data.get(name)]
            raise ArgumentError(
                f"{path}: belongs to a training on other data ({' and '.join(changed)} differ); choose another folder, "
                "or give the same images, labels and shares"
            )
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        for name, value in content["average"].items():
            self.average.weights[name].copy_(value)
        self.average.updates = content["average_updates"]
        self.step, self.seconds = content["step"], content["seconds"]
        self.window, self.extra = content["window"], content["extra"]


def save_weights(
    path: Path, recipe: Recipe, weights: Mapping[str, Tensor], step: int, provenance: Mapping[str, Any]
) -> None:
    """Write trained weights with what a reader must know to use them.

    Raises:
        FileError: It cannot be written.
    """
    content = {
        "format": FORMAT,
        "architecture": recipe.architecture,
        "in_chans": recipe.in_chans,
        "extra_outputs": recipe.extra_outputs,
        "statistics": list(recipe.statistics_names),
        "preprocessing": PREPROCESSING[recipe.in_chans],
        "weights": {name: value.detach().cpu() for name, value in weights.items()},
        "recipe": recipe.to_dict(),
        "provenance": dict(provenance),
        "step": step,
    }
    save_file(content, path)


def save_file(content: Mapping[str, Any], path: Path) -> None:
    """Write tensors and plain values; an interrupted write leaves the file as it was.

    Raises:
        FileError: It cannot be written.
    """
    with atomic_path(path) as temporary:
        torch.save(dict(content), temporary)


def load_file(path: Path, *keys: str) -> dict[str, Any]:
    """Read a file of ``save_file``; code in it is refused.

    Raises:
        FileError: Missing, unreadable, or without one of ``keys``.
    """
    content = load_plain(path)
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise FileError(f"{path}: is not a file of a training: no {missing[0]} in it")
    return dict(content)
