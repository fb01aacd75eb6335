"""Augmentation of patches on the device, imitating differences between patients, sections and orientations."""

from __future__ import annotations

import torch
from torch import Tensor

from ionmorphnet.tumor.recipe import PatchRecipe


def augment(
    patches: Tensor, mask: Tensor, level: Tensor, recipe: PatchRecipe, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Flips, transposes and jitters a batch; each patch and its mask change together.

    Args:
        patches: float32 (N, C, p, p), standardised: (value - mean) / standard deviation.
        mask: float32 (N, p, p), 1 = measured.
        level: float32 (C,), mean / standard deviation of each channel; gains apply to values before standardisation.
        recipe: Strength of each augmentation.
        generator: Random generator on the device of the patches.

    Returns:
        New patches and masks; pixels that are not measured stay 0.
    """
    n, channels = patches.shape[:2]

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=patches.device)

    if recipe.flips and patches.shape[-1] > 1:
        draws = torch.rand((3, n), generator=generator, device=patches.device) < 0.5
        for draw, change in zip(draws, (_mirrored, _flipped, _transposed), strict=True):
            patches = torch.where(draw[:, None, None, None], change(patches), patches)
            mask = torch.where(draw[:, None, None], change(mask), mask)
    if recipe.gain_jitter or recipe.channel_jitter:
        gain = torch.exp(recipe.gain_jitter * normal(n, 1) + recipe.channel_jitter * normal(n, channels))
        patches = patches * gain[..., None, None] + ((gain - 1.0) * level)[..., None, None]
    if recipe.noise:
        patches = patches + recipe.noise * normal(*patches.shape)
    if recipe.channel_dropout:
        kept = torch.rand((n, channels), generator=generator, device=patches.device) >= recipe.channel_dropout
        patches = patches * kept[..., None, None]
    return patches * mask[:, None], mask


def _mirrored(x: Tensor) -> Tensor:
    return x.flip(-1)


def _flipped(x: Tensor) -> Tensor:
    return x.flip(-2)


def _transposed(x: Tensor) -> Tensor:
    return x.transpose(-1, -2)
