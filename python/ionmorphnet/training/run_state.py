"""The state of a training at a step, and its files: the complete state for resuming, and the weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.models.networks.weights import WEIGHTS_FORMAT, WeightsFile, load_plain
from ionmorphnet.training.optimisation import OptimiserRecipe
from ionmorphnet.training.recipe import Recipe

LAST, WEIGHTS, LOG, VALIDATION_LOG = "last.pt", "weights.pt", "log.csv", "validation.csv"
STATE_FORMAT = 1


class Provenance(TypedDict):
    """Origin of trained weights, as stored next to them."""

    data: dict[str, object]
    images_seen: int
    seconds: float
    finished: bool
    device: str
    processes: int
    threads: int
    versions: dict[str, str]
    validation: NotRequired[dict[str, object]]


class StateFile(TypedDict):
    """Content of ``last.pt``."""

    format: int
    recipe: dict[str, object]
    step: int
    seconds: float
    window: dict[str, float]
    validation: dict[str, Any]
    data: dict[str, str]
    network: dict[str, Tensor]
    average: dict[str, Tensor]
    average_updates: int
    optimiser: dict[str, Any]


class MovingAverage:
    """Exponential moving average of a model's weights; its decay is lower during the first updates."""

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
        averages, values = [], []
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                averages.append(self.weights[name])
                values.append(value.detach())
            else:
                self.weights[name].copy_(value)
        torch._foreach_lerp_(averages, values, 1.0 - decay)


def make_optimiser(model: nn.Module, recipe: OptimiserRecipe) -> torch.optim.Optimizer:
    """Create AdamW; vectors (biases, norms) are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, recipe.beta2), fused=True)


@dataclass
class ValidationState:
    """The best validation so far, and early stopping.

    Attributes:
        best: Step, loss and further figures of the best validation; None before the first one.
        comparable: Whether later losses may be compared with that of ``best``.
        waits: Number of validations since ``best``.
        stopped: Whether early stopping ended the training.
    """

    best: dict[str, float] | None = None
    comparable: bool = False
    waits: int = 0
    stopped: bool = False

    def update(self, figures: Mapping[str, float], step: int, *, comparable: bool, patience: int | None) -> bool:
        """Record a validation.

        Args:
            figures: Its figures, with ``loss``.
            step: Optimiser step.
            comparable: Whether its loss may be compared; losses at different image sizes may not.
            patience: Number of comparable validations without a lower loss before training stops; None: never stop.

        Returns:
            Whether these are the best weights so far.
        """
        if self.best is None or not self.comparable or (comparable and figures["loss"] < self.best["loss"]):
            self.best = {"step": step, **{name: float(value) for name, value in figures.items()}}
            self.comparable, self.waits = comparable, 0
            return True
        self.waits += 1
        self.stopped = comparable and patience is not None and self.waits >= patience
        return False


@dataclass
class RunState:
    """A training at a step.

    Random numbers are not part of the state: each step seeds them from the recipe's seed and its own number, so a
    resumed training draws the same numbers as an uninterrupted one.

    Attributes:
        recipe: What is trained.
        network: Network with the current weights.
        average: Moving average of the weights.
        optimiser: Optimiser with its moments.
        step: Optimiser steps done.
        seconds: Wall time so far, summed over interruptions.
        window: Sums of the losses since the last line of the log.
        validation: The best validation so far.
        data: Hashes of training and validation data by name; a training resumes only with the same data.
    """

    recipe: OptimiserRecipe
    network: nn.Module
    average: MovingAverage
    optimiser: torch.optim.Optimizer
    step: int = 0
    seconds: float = 0.0
    window: dict[str, float] = field(default_factory=dict)
    validation: ValidationState = field(default_factory=ValidationState)
    data: dict[str, str] = field(default_factory=dict)

    def seed_step(self, generator: torch.Generator, *, rank: int = 0) -> None:
        """Seed torch and ``generator`` for the current step of process ``rank``."""
        seed = (self.recipe.seed << 24) + self.step + (rank << 48)
        torch.manual_seed(seed)
        generator.manual_seed(seed)

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate

    def advance(self, losses: Mapping[str, Tensor], where: Path) -> None:
        """Take a step along the gradients stored in the network's parameters.

        Args:
            losses: Scalar losses of the step by name; added to ``window``, which also counts ``steps``.
            where: Folder of the training, for the error.

        Raises:
            IonMorphNetError: The gradient is not finite; nothing has changed then.
        """
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.gradient_clip or math.inf)
        *values, norm_value = torch.stack([*[loss.detach() for loss in losses.values()], norm]).tolist()
        if not math.isfinite(norm_value):
            raise IonMorphNetError(
                f"{where}: the gradient is not finite at step {self.step + 1}; lower the learning rate or use f32"
            )
        self.optimiser.step()
        self.average.update(self.network)
        self.step += 1
        for name, value in zip([*losses, "steps"], [*values, 1.0], strict=True):
            self.window[name] = self.window.get(name, 0.0) + value

    def save(self, path: Path) -> None:
        """Write the complete state; an interrupted write leaves the previous file unchanged.

        Raises:
            FileError: The file cannot be written.
        """
        content: StateFile = {
            "format": STATE_FORMAT,
            "recipe": self.recipe.to_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "window": self.window,
            "validation": asdict(self.validation),
            "data": self.data,
            "network": self.network.state_dict(),
            "average": self.average.weights,
            "average_updates": self.average.updates,
            "optimiser": self.optimiser.state_dict(),
        }
        save_file(content, path)

    def restore(self, path: Path) -> None:
        """Resume from a file written by ``save``.

        Raises:
            FileError: The file cannot be read, or is not the state of a training.
            ArgumentError: The file belongs to a training with another recipe or on other data.
        """
        content = cast(StateFile, load_file(path, *StateFile.__required_keys__))
        if different := self.recipe.differences(content["recipe"]):
            entries = ", ".join(f"{name} = {content['recipe'].get(name)!r}" for name in different)
            raise ArgumentError(
                f"{path}: belongs to a training with another recipe ({entries}); choose another folder or that recipe"
            )
        data = content["data"]
        if data != self.data:
            changed = [name for name in {**data, **self.data} if data.get(name) != self.data.get(name)]
            raise ArgumentError(
                f"{path}: belongs to a training on other data ({' and '.join(changed)} differ); choose another folder, "
                "or pass the same images, labels and shares"
            )
        self.network.load_state_dict(content["network"])
        self.optimiser.load_state_dict(content["optimiser"])
        for name, value in content["average"].items():
            self.average.weights[name].copy_(value)
        self.average.updates = content["average_updates"]
        self.step, self.seconds = content["step"], content["seconds"]
        self.window, self.validation = content["window"], ValidationState(**content["validation"])


def save_weights(path: Path, recipe: Recipe, weights: Mapping[str, Tensor], step: int, provenance: Provenance) -> None:
    """Write trained weights with everything needed to use them.

    Raises:
        FileError: The file cannot be written.
    """
    content: WeightsFile = {
        "format": WEIGHTS_FORMAT,
        "architecture": recipe.architecture,
        "in_chans": recipe.in_chans,
        "extra_outputs": recipe.extra_outputs,
        "statistics": list(recipe.statistics),
        "preprocessing": str(recipe.preprocessing),
        "weights": {name: value.detach().cpu() for name, value in weights.items()},
        "recipe": recipe.to_dict(),
        "provenance": dict(provenance),
        "step": step,
    }
    save_file(content, path)


def save_file(content: Mapping[str, object], path: Path) -> None:
    """Write tensors and plain values; an interrupted write leaves the previous file unchanged.

    Raises:
        FileError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        torch.save(dict(content), temporary)


def load_file(path: Path, *keys: str) -> dict[str, Any]:
    """Read a file written by ``save_file``; code in it is refused.

    Raises:
        FileError: The file is missing, unreadable, or lacks one of ``keys``.
    """
    content = load_plain(path)
    missing = [key for key in keys if not isinstance(content, dict) or key not in content]
    if missing:
        raise FileError(f"{path}: not a file of a training ('{missing[0]}' is missing)")
    return dict(content)
