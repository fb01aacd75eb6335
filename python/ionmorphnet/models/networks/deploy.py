"""The fastest form of a network for inference: a copy with affine maps folded into neighbouring layers.

Folding is exact up to rounding, and the remaining parameters keep their names:

* The scale and shift of a normalisation are folded into the 1 x 1 or 2 x 2 convolution that follows it.
* The shift of a global response normalisation is folded into the bias of the layer that follows it, which leaves one
  factor per channel and image.

The normalisation of the stem keeps its scale and shift, because a padded convolution and a residual sum follow; that of
the head keeps them, because they cost nothing there.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.models.networks.convnextv2 import (
    EPS,
    Block,
    ChannelNorm,
    ConvNeXtV2,
    GlobalResponseNorm,
    Pointwise,
    Stage,
)

# Identity values of folded parameters, by the end of their names.
_IDENTITY = {
    "norm.weight": 1.0,
    "norm.bias": 0.0,
    "downsample.0.weight": 1.0,
    "downsample.0.bias": 0.0,
    "grn.bias": 0.0,
}


class _Standardise(nn.Module):
    """Zero mean and unit variance over each pixel's channels, then scale and shift unless they are folded."""

    def __init__(self, norm: ChannelNorm, *, affine: bool) -> None:
        super().__init__()
        self.affine = affine
        if affine:  # in the shape that the graph uses, so that the exporter keeps the parameters' names
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
        """Compute ``x * (1 + weight * g / mean(g))`` of (N, C, H, W), where g is the L2 norm of each channel."""
        norm = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        scaled: Tensor = x * (self.weight * (norm / (norm.mean(1, keepdim=True) + EPS)) + 1.0)
        return scaled


def deployed(model: ConvNeXtV2) -> ConvNeXtV2:
    """Return a folded, channel-first copy in evaluation mode; the model itself is not changed."""
    net = copy.deepcopy(model).eval().float()
    net.layout.channel_first = True
    with torch.no_grad():
        stem = net.stem[1]
        assert isinstance(stem, ChannelNorm)
        net.stem[1] = _Standardise(stem, affine=True)
        for stage in net.stages:
            assert isinstance(stage, Stage)
            if isinstance(stage.downsample, nn.Sequential):
                norm, convolution = stage.downsample
                assert isinstance(norm, ChannelNorm)
                assert isinstance(convolution, nn.Conv2d)
                _fold_norm(norm, convolution)
                stage.downsample[0] = _Standardise(norm, affine=False)
            for block in stage.blocks:
                assert isinstance(block, Block)
                _fold_block(block)
    return net.requires_grad_(False)


def _fold_block(block: Block) -> None:
    """Fold both normalisations of a block into its 1 x 1 layers."""
    mlp = block.mlp
    fc1, fc2 = _convolution(mlp.fc1), _convolution(mlp.fc2)
    _fold_norm(block.norm, fc1)
    shift = fc2.weight.double().flatten(1) @ mlp.grn.bias.double()
    fc2.bias.copy_(fc2.bias.double() + shift)  # type: ignore[union-attr]
    block.register_module("norm", _Standardise(block.norm, affine=False))
    mlp.register_module("fc1", fc1)
    mlp.register_module("fc2", fc2)
    mlp.register_module("grn", _ResponseScale(mlp.grn))


def _convolution(layer: Pointwise) -> nn.Conv2d:
    """Convert the layer to an equivalent 1 x 1 convolution."""
    outputs, inputs = layer.weight.shape[:2]
    convolution = nn.Conv2d(inputs, outputs, 1)
    convolution.weight.copy_(layer.weight.reshape(outputs, inputs, 1, 1))
    convolution.bias.copy_(layer.bias)  # type: ignore[union-attr]
    return convolution


def _fold_norm(norm: ChannelNorm, convolution: nn.Conv2d) -> None:
    """Fold the scale and shift of a normalisation into the unpadded convolution that follows it."""
    weight = convolution.weight.double()
    shift = (weight * norm.bias.double()[:, None, None]).sum((1, 2, 3))
    convolution.bias.copy_(convolution.bias.double() + shift)  # type: ignore[union-attr]
    convolution.weight.copy_(weight * norm.weight.double()[:, None, None])


def restored(parameters: Mapping[str, Tensor], model: ConvNeXtV2) -> dict[str, Tensor]:
    """Convert weights of ``deployed(model)`` to weights of ``model``; folded parameters become identities.

    The outputs are the same; compared with the trained weights, scales have moved from normalisations to the layers
    that follow them.

    Args:
        parameters: Parameters of ``deployed(model)`` by name.
        model: Network that defines names and shapes; may be on the meta device.

    Returns:
        A state dict for ``load_state_dict(strict=True)``.

    Raises:
        IonMorphNetError: A parameter is missing, unexpected or has the wrong size.
    """
    state: dict[str, Tensor] = {}
    for name, wanted in model.state_dict().items():
        if name in parameters:
            if parameters[name].numel() != wanted.numel():
                raise IonMorphNetError(
                    f"{name} has shape {tuple(parameters[name].shape)}, expected {tuple(wanted.shape)}"
                )
            state[name] = parameters[name].reshape(wanted.shape).contiguous()
        elif (end := _folded(name)) is not None:
            state[name] = torch.full(wanted.shape, _IDENTITY[end])
        else:
            raise IonMorphNetError(f"{name} is missing")
    if left := sorted(set(parameters) - set(state)):
        raise IonMorphNetError(f"{left[0]} is not a parameter of {model.name}")
    return state


def _folded(name: str) -> str | None:
    """Return the entry of ``_IDENTITY`` for a folded parameter; None for others."""
    if not name.startswith("stages."):
        return None
    return next((end for end in _IDENTITY if name.endswith("." + end)), None)
