"""The training loop: AdamW, cosine schedule, moving average of the weights, bfloat16."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ionmorphnet._files import atomic_path
from ionmorphnet.labels import CLASSES
from ionmorphnet.training.convnextv2 import ConvNeXtV2
from ionmorphnet.training.data import Batch, SimulatedImages, loader

logger = logging.getLogger(__name__)

CHECKPOINT_STEPS = 50


@dataclass(frozen=True)
class Phase:
    """A part of the training at one image size.

    Attributes:
        size: Side of the images in pixels, a multiple of 32.
        images: Number of images, each seen once.
        batch: Images a step.
    """

    size: int
    images: int
    batch: int


@dataclass(frozen=True)
class Recipe:
    """Everything that determines the weights.

    Attributes:
        architecture: Name in ``convnextv2.SIZES``.
        phases: Image sizes in order; one cosine schedule runs over all of them.
        seed: Seed of the images, the start weights and the stochastic depth.
        learning_rate: Peak learning rate.
        weight_decay: AdamW weight decay of matrices and kernels (none on biases and norms).
        warmup: Part of the steps over which the learning rate rises.
        label_smoothing: Probability spread over all classes.
        drop_path: Stochastic depth of the last block.
        ema_decay: Decay a step of the moving average of the weights.
    """

    architecture: str = "convnextv2_atto"
    phases: tuple[Phase, ...] = (Phase(112, 40_000, 32), Phase(224, 9_600, 16))
    seed: int = 20_260_419
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: float = 0.05
    label_smoothing: float = 0.05
    drop_path: float = 0.03
    ema_decay: float = 0.995

    @property
    def steps(self) -> int:
        """Number of optimiser steps."""
        return sum(math.ceil(phase.images / phase.batch) for phase in self.phases)


class MovingAverage:
    """Exponential moving average of a model's weights; young averages decay faster."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Start at the model's weights."""
        self.decay = decay
        self.updates = 0
        self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def update(self, model: nn.Module) -> None:
        """Move towards the model's weights."""
        self.updates += 1
        decay = min(self.decay, (1.0 + self.updates) / (10.0 + self.updates))
        for name, value in model.state_dict().items():
            self.weights[name].lerp_(value.detach(), 1.0 - decay)


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear rise, then cosine to a hundredth of the peak."""
    warmup = max(1, round(recipe.warmup * recipe.steps))
    if step < warmup:
        return recipe.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, recipe.steps - warmup)
    return recipe.learning_rate * (0.01 + 0.99 * 0.5 * (1.0 + math.cos(math.pi * min(progress, 1.0))))


def make_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW; vectors (biases, norms) are not decayed."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": recipe.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, betas=(0.9, 0.98))


@dataclass(frozen=True)
class Fitted:
    """A trained model.

    Attributes:
        model: With the averaged weights, in evaluation mode.
        images_seen: Number of images trained on.
        seconds: Wall time.
        losses: Loss of every step.
    """

    model: ConvNeXtV2
    images_seen: int
    seconds: float
    losses: list[float]


def fit(
    recipe: Recipe,
    *,
    workers: int = 1,
    threads: int = 1,
    checkpoint: Path | None = None,
    progress: Callable[[int, int, float], None] | None = None,
) -> Fitted:
    """Train on simulated images.

    Args:
        recipe: What to train.
        workers: Processes that simulate images; the images do not depend on it.
        threads: Threads of the arithmetic; the last bits of the weights depend on it.
        checkpoint: File that receives the averaged weights every ``CHECKPOINT_STEPS`` steps (dict ``weights``,
            ``recipe`` and ``step``).
        progress: Called after every step with (step, steps, loss).

    Returns:
        The model and how it went.
    """
    torch.manual_seed(recipe.seed)
    model = ConvNeXtV2(recipe.architecture, num_classes=len(CLASSES), drop_path=recipe.drop_path)
    model.train()
    average = MovingAverage(model, recipe.ema_decay)
    optimiser = make_optimiser(model, recipe)
    began, step, seen = time.monotonic(), 0, 0
    losses: list[float] = []
    with _arithmetic_threads(threads):
        for k, phase in enumerate(recipe.phases):
            for batch in loader(SimulatedImages(phase.images, phase.size, recipe.seed + k), phase.batch, workers):
                for group in optimiser.param_groups:
                    group["lr"] = learning_rate(recipe, step)
                losses.append(_train_step(model, optimiser, batch, recipe))
                average.update(model)
                step += 1
                seen += len(batch.labels)
                if progress is not None:
                    progress(step, recipe.steps, losses[-1])
                if checkpoint is not None and step % CHECKPOINT_STEPS == 0:
                    save_checkpoint(checkpoint, average.weights, recipe, step)
    model.load_state_dict(average.weights)
    if checkpoint is not None:
        save_checkpoint(checkpoint, average.weights, recipe, step)
    logger.info("trained on %d images in %.0f s", seen, time.monotonic() - began)
    return Fitted(model.eval(), seen, time.monotonic() - began, losses)


@contextmanager
def _arithmetic_threads(n: int) -> Iterator[None]:
    """Limit torch to ``n`` threads; the caller's limit comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_step(model: ConvNeXtV2, optimiser: torch.optim.Optimizer, batch: Batch, recipe: Recipe) -> float:
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(batch.images)
    loss = F.cross_entropy(logits.float(), batch.labels, label_smoothing=recipe.label_smoothing)
    optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimiser.step()
    return float(loss.detach())


def save_checkpoint(path: Path, weights: dict[str, Tensor], recipe: Recipe, step: int) -> None:
    """Write a checkpoint; an interrupted write leaves the one before.

    Raises:
        FileError: It cannot be written.
    """
    with atomic_path(path) as temporary:
        torch.save({"weights": weights, "recipe": asdict(recipe), "step": step}, temporary)
