"""The form of a network that runs fastest: a copy in which affine maps are folded into their neighbours.

Exact up to rounding, and the names of the parameters that remain do not change:

* the scale and shift of a normalisation go into the 1 x 1 or 2 x 2 convolution behind it;
* the shift of a global response normalisation goes into the bias of the layer behind it, which leaves one factor for
  each channel and image.

The normalisation of the stem keeps its scale and shift, because a padded convolution and a residual sum follow; the one
of the head keeps them, because it costs nothing there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.models.networks.convnextv2 import EPS, ChannelNorm, ConvNeXtV2, GlobalResponseNorm, Pointwise

# Values that make a folded parameter the identity, by the end of its name.
_IDENTITY = {
    "norm.weight": 1.0,
    "norm.bias": 0.0,
    "downsample.0.weight": 1.0,
    "downsample.0.bias": 0.0,
    "grn.bias": 0.0,
}


class _Standardise(nn.Module):
    """Zero mean and unit variance over the channels of each pixel, then scale and shift where they are not folded."""

    def __init__(self, norm: ChannelNorm, *, affine: bool) -> None:
        super().__init__()
        self.affine = affine
        if affine:  # in the shape that the graph needs, so that nothing stands between the name and its use
            self.weight = nn.Parameter(norm.weight.detach()[:, None, None].clone())
            self.bias = nn.Parameter(norm.bias.detach()[:, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, H, W)."""
        centred = x - x.mean(1, keepdim=True)
        standard = centred * torch.rsqrt((centred * centred).mean(1, keepdim=True) + EPS)
        return standard * self.weight + self.bias if self.affine else standard


class _ResponseScale(nn.Module):
    """Global response normalisation without its shift."""

    def __init__(self, norm: GlobalResponseNorm) -> None:
        super().__init__()
        self.weight = nn.Parameter(norm.weight.detach()[:, None, None].clone())

    def forward(self, x: Tensor) -> Tensor:
        """``x * (1 + weight * g / mean(g))`` of (N, C, H, W), g the L2 norm of each channel over the image."""
        norm = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        scaled: Tensor = x * (self.weight * (norm / (norm.mean(1, keepdim=True) + EPS)) + 1.0)
        return scaled


def deployed(model: ConvNeXtV2) -> ConvNeXtV2:
    """A copy in evaluation mode, channel-first, with everything folded; the model itself is not changed."""
    net = copy.deepcopy(model).eval().float()
    net.layout.channel_first = True
    parts: Any = net  # containers of torch do not tell the types of what they hold
    with torch.no_grad():
        parts.stem[1] = _Standardise(parts.stem[1], affine=True)
        for stage in parts.stages:
            if not isinstance(stage.downsample, nn.Identity):
                norm, convolution = stage.downsample
                _fold_norm(norm, convolution)
                stage.downsample[0] = _Standardise(norm, affine=False)
            for block in stage.blocks:
                mlp = block.mlp
                mlp.fc1, mlp.fc2 = _convolution(mlp.fc1), _convolution(mlp.fc2)
                _fold_norm(block.norm, mlp.fc1)
                block.norm = _Standardise(block.norm, affine=False)
                shift = mlp.fc2.weight.double().flatten(1) @ mlp.grn.bias.double()
                mlp.fc2.bias.copy_(mlp.fc2.bias.double() + shift)
                mlp.grn = _ResponseScale(mlp.grn)
    return net.requires_grad_(False)


def _convolution(layer: Pointwise) -> nn.Conv2d:
    """The same map as a 1 x 1 convolution."""
    outputs, inputs = layer.weight.shape[:2]
    convolution = nn.Conv2d(inputs, outputs, 1)
    convolution.weight.copy_(layer.weight.reshape(outputs, inputs, 1, 1))
    convolution.bias.copy_(layer.bias)  # type: ignore[union-attr]
    return convolution


def _fold_norm(norm: ChannelNorm, convolution: nn.Conv2d) -> None:
    """Move the scale and shift before an unpadded convolution into it."""
    weight = convolution.weight.double()
    shift = (weight * norm.bias.double()[:, None, None]).sum((1, 2, 3))
    convolution.bias.copy_(convolution.bias.double() + shift)  # type: ignore[union-attr]
    convolution.weight.copy_(weight * norm.weight.double()[:, None, None])


def restored(parameters: Mapping[str, Tensor], model: ConvNeXtV2) -> dict[str, Tensor]:
    """Weights for ``model`` from those of its deployed form; folded parameters come back as the identity.

    The network computes the same; only where a scale stands (in a normalisation or in the layer behind it) differs from
    what was trained.

    Args:
        parameters: Those of ``deployed(model)``, by name.
        model: Gives names and shapes; may live on the meta device.

    Returns:
        A state dict for ``load_state_dict(strict=True)``.

    Raises:
        IonMorphNetError: A parameter is missing, left over or of the wrong size.
    """
    state: dict[str, Tensor] = {}
    for name, wanted in model.state_dict().items():
        if name in parameters:
            if parameters[name].numel() != wanted.numel():
                raise IonMorphNetError(
                    f"{name} has the shape {tuple(parameters[name].shape)}, not {tuple(wanted.shape)}"
                )
            state[name] = parameters[name].reshape(wanted.shape).contiguous()
        elif (end := _folded(name)) is not None:
            state[name] = torch.full(wanted.shape, _IDENTITY[end])
        else:
            raise IonMorphNetError(f"{name} is missing")
    if left := sorted(set(parameters) - set(state)):
        raise IonMorphNetError(f"{left[0]} belongs to no layer of {model.name}")
    return state


def _folded(name: str) -> str | None:
    """Which kind of folded parameter this is; None: one that stays."""
    if not name.startswith("stages."):
        return None
    return next((end for end in _IDENTITY if name.endswith("." + end)), None)
