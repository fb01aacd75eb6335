"""The patch classifier, a compact 3D CNN over (channel, y, x), and its 1D sibling for single spectra.

A convolution along the spectrum shares its weights between channels, and global pooling discards positions, so neither
can tell one m/z from another. The first layer therefore has separate weights for each channel (a small bank of spatial
filters). 3D convolutions follow that stride along the spectrum until few positions are left. A linear shortcut from the
patch's centre, mean and standard deviation adds to the logits, so the convolutions need not learn what a linear
classifier finds.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ionmorphnet.tumor.feature_networks import FeatureNet, mean_and_spread
from ionmorphnet.tumor.recipe import PatchRecipe

_STRIDE = 4
_DEPTH_LEFT = 8
_GROWTH = 2
_WIDEST = 48


class PatchNet(nn.Module):
    """Patches (N, channels, size, size) and masks (N, size, size) -> logits (N, classes).

    With size 1 every spatial kernel is 1 wide, which makes it a 1D CNN over the spectrum.
    """

    def __init__(self, channels: int, classes: int, size: int, *, width: int = 8, dropout: float = 0.3) -> None:
        """Makes a network with random weights.

        Args:
            channels: Number of m/z channels.
            classes: Number of classes.
            size: Side of a patch in pixels, odd.
            width: Features of the first layer.
            dropout: Dropout before the last layer.
        """
        super().__init__()
        self.channels, self.width = channels, width
        side, kernel = size, 3 if size >= 3 else 1
        self.stem = nn.Conv2d(channels, channels * width, kernel, groups=channels)
        self.measured = nn.Conv2d(1, width, kernel)
        self.stem_norm = nn.BatchNorm3d(width)
        side -= kernel - 1
        # The norms make these biases redundant, but OpenVINO does not read convolutions exported without one.
        stages: list[nn.Module] = []
        depth, now = channels, width
        while depth > _DEPTH_LEFT or side >= 3 or not stages:
            kernel = 3 if side >= 3 else 1
            stride = _STRIDE if depth > _STRIDE else 1
            wider = min(now * _GROWTH, max(_WIDEST, width))
            along = 5 if depth > 1 else 1
            convolution = nn.Conv3d(
                now, wider, (along, kernel, kernel), stride=(stride, 1, 1), padding=(along // 2, 0, 0)
            )
            stages += [convolution, nn.BatchNorm3d(wider), nn.GELU()]
            depth, now, side = -(-depth // stride), wider, side - kernel + 1
        self.stages = nn.Sequential(*stages)
        self.head = nn.Sequential(nn.Linear(now, 64), nn.GELU(), nn.Dropout(dropout), nn.Linear(64, classes))
        self.shortcut = nn.Linear(3 * channels, classes, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        nn.init.zeros_(self.shortcut.weight)

    @torch.no_grad()
    def start_with(self, weight: npt.NDArray[np.float64], bias: npt.NDArray[np.float64]) -> None:
        """Makes the network equal to a linear classifier, to which the convolutions then add.

        Args:
            weight: (classes, 2 channels), of the mean and the standard deviation of each channel of a patch.
            bias: (classes,).
        """
        last = cast(nn.Linear, self.head[-1])
        self.shortcut.weight[:, self.channels :] = torch.from_numpy(weight).to(self.shortcut.weight)
        last.bias.copy_(torch.from_numpy(bias))
        nn.init.zeros_(last.weight)

    def forward(self, patches: Tensor, mask: Tensor) -> Tensor:
        """Computes logits (N, classes)."""
        given = self.stem(patches)
        cube = given.unflatten(1, (self.channels, self.width)).transpose(1, 2)
        cube = cube + self.measured(mask.unsqueeze(1)).unsqueeze(2)
        cube = cube.contiguous(memory_format=torch.channels_last_3d)  # halves the time of 3D convolutions on a CPU
        features = self.stages(nn.functional.gelu(self.stem_norm(cube)))
        centre = patches[..., patches.shape[-2] // 2, patches.shape[-1] // 2]
        linear = self.shortcut(torch.cat([centre, *mean_and_spread(patches, mask)], dim=1))
        return cast(Tensor, self.head(features.mean(dim=(2, 3, 4))) + linear)


def make_patch_network(recipe: PatchRecipe) -> PatchNet:
    """Makes the network of a recipe, with random weights."""
    return PatchNet(recipe.channels, recipe.classes, recipe.size, width=recipe.width, dropout=recipe.dropout)


def cost(network: PatchNet | FeatureNet, size: int) -> dict[str, int]:
    """Counts ``parameters``, and ``multiply_adds`` of convolutions and linear layers for one patch.

    Args:
        network: The network; its mode is restored.
        size: Side of a patch in pixels.
    """
    total = 0

    def count(module: nn.Module, _given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Linear):
            total += module.weight.numel()
        elif isinstance(module, nn.Conv2d | nn.Conv3d):
            total += module.weight[0].numel() * out[0].numel()

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    training = network.training
    network.eval()
    with torch.no_grad():
        network(torch.zeros(1, network.channels, size, size), torch.ones(1, size, size))
    network.train(training)
    for hook in hooks:
        hook.remove()
    return {"parameters": sum(p.numel() for p in network.parameters()), "multiply_adds": total}
