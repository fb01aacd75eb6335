"""Named recipes: the default, the published one, and the one for fine-tuning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.sources import Source
from ionmorphnet.training.recipe import Phase, Recipe

PUBLISHED_EPOCHS = 100
PUBLISHED_PATIENCE = 10
# Size of an epoch of simulated images, which never run out.
ENDLESS_EPOCH = 10_000
FINE_TUNING_IMAGES = 4_000
# Compilation takes minutes, which shorter trainings do not recover.
MIN_IMAGES_TO_COMPILE = 20_000
# Largest ratio of two class weights.
MAX_WEIGHT_RATIO = 10.0


def published_recipe(epoch: int, epochs: int = PUBLISHED_EPOCHS) -> Recipe:
    """Return the recipe of arXiv 2604.19369: one channel, hard labels, classes only, 224 pixels throughout.

    Args:
        epoch: Images per epoch.
        epochs: Number of epochs; the first 8 of 100 are warm-up.
    """
    return Recipe(
        architecture="convnextv2_tiny",
        mask=False,
        structure=False,
        statistics=(),
        phases=(Phase(224, epoch * epochs, 16),),
        learning_rate=3e-4,
        min_learning_rate=1e-6 / 3e-4,
        warmup=8 / PUBLISHED_EPOCHS,
        warmup_start=0.1,
        weight_decay=1e-4,
        beta2=0.999,
        gradient_clip=0.0,
        soft_labels=False,
        label_smoothing=0.0,
        class_balance=True,
        structure_weight=0.0,
        ranking_weight=0.0,
        drop_path=0.05,
        weight_dropout=0.05,
        ema_decay=0.0,
        augmentation="turns",
        compile=False,
    )


def fine_tuning_recipe(images: int = FINE_TUNING_IMAGES, size: int = 224) -> Recipe:
    """Return the recipe for weights already trained on ion images: one size, low rate, all augmentations.

    Args:
        images: Number of images.
        size: Side of the images in pixels, for which the weights were trained.
    """
    return replace(
        Recipe(),
        phases=(Phase(size, images, 16),),
        learning_rate=2e-4,
        warmup=0.1,
        ema_decay=0.99,
        augmentation="mild",
        class_balance=True,
        compile=False,
    )


def scaled(recipe: Recipe, images: int) -> Recipe:
    """Scale the phases to ``images`` in total, in the same proportions; phases that would get no image are dropped.

    Raises:
        ArgumentError: ``images`` is below 1.
    """
    if images < 1:
        raise ArgumentError(f"images must be at least 1, got {images}")
    ends = np.cumsum([phase.images for phase in recipe.phases])
    counts = np.diff(np.rint(images * ends / ends[-1]).astype(int), prepend=0).tolist()
    phases = [replace(phase, images=n) for phase, n in zip(recipe.phases, counts, strict=True) if n]
    return replace(recipe, phases=tuple(phases))


def class_weights(
    source: Source, *, simulated_share: float = 0.0, limit: float = MAX_WEIGHT_RATIO
) -> tuple[float, ...] | None:
    """Weight each class by its inverse frequency among the images the network sees, with a mean of 1 over them.

    Simulated images count as balanced: a sixth per class. A class without images, which only validation can contain,
    gets the weight of the rarest class.

    Args:
        source: The labelled images.
        simulated_share: Fraction of simulated images mixed in, 0 to below 1.
        limit: Largest ratio of two weights. Without it, a class of two images in a thousand would dominate batches.

    Returns:
        Six weights; None if labels are made on demand or all are unknown.
    """
    targets = source.targets()
    if targets is None or np.isnan(targets).any(axis=1).all():
        return None
    labelled = np.nanmean(targets.astype(np.float64), axis=0)
    share = (1.0 - simulated_share) * labelled + simulated_share / len(labelled)
    rarest = max(share[share > 0].min(), share.max() / limit)
    weights = 1.0 / np.maximum(share, rarest)
    return tuple(float(weight) for weight in weights / (share @ weights))
