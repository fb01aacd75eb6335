"""Networks of a recipe: our own backbones, dropout of weights, compilation."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ionmorphnet.labels import CLASSES
from ionmorphnet.training.convnextv2 import ConvNeXtV2
from ionmorphnet.training.recipe import Recipe

logger = logging.getLogger(__name__)

Outputs = dict[str, Tensor]
Forward = Callable[[Tensor, Tensor | None], Outputs]


def make_network(recipe: Recipe) -> ConvNeXtV2:
    """The network of a recipe with fresh weights from torch's random numbers.

    Raises:
        ArgumentError: Unknown architecture.
    """
    return ConvNeXtV2(
        recipe.architecture,
        in_chans=recipe.in_chans,
        num_classes=len(CLASSES),
        extra_outputs=recipe.extra_outputs,
        statistics=len(recipe.statistics_names),
        drop_path=recipe.drop_path,
    )


class AllOutputs(nn.Module):
    """A network whose call gives all outputs, with DropConnect of its weights (Wan et al. 2013) while training."""

    def __init__(self, network: ConvNeXtV2, weight_dropout: float = 0.0) -> None:
        """Set each weight of matrices and kernels to 0 with probability ``weight_dropout``; the rest grows for it."""
        super().__init__()
        self.network = network
        self.weight_dropout = weight_dropout

    def forward(self, images: Tensor, statistics: Tensor | None) -> Outputs:
        """All outputs by name; arguments as for ``ConvNeXtV2.forward_all``."""
        if self.training and self.weight_dropout > 0.0:
            thinned = {
                name: nn.functional.dropout(value, self.weight_dropout) if value.ndim > 1 else value
                for name, value in self.network.named_parameters()
            }
            caller = _Call(self.network)
            outputs: Outputs = functional_call(
                caller, {f"network.{name}": value for name, value in thinned.items()}, (images, statistics)
            )
            return outputs
        return self.network.forward_all(images, statistics)


class _Call(nn.Module):
    def __init__(self, network: ConvNeXtV2) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor, statistics: Tensor | None) -> Outputs:
        return self.network.forward_all(images, statistics)


def compiled(module: nn.Module) -> Forward:
    """Compile for one image size at a time; where the first call fails, say so and go on without."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiler warns of its own dependencies
        fast = torch.compile(module, dynamic=False)
    state = {"fast": True}

    def forward(images: Tensor, statistics: Tensor | None) -> Outputs:
        if state["fast"]:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    outputs: Outputs = fast(images, statistics)
                    return outputs
            except Exception as error:
                state["fast"] = False
                reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                logger.warning("torch.compile failed (%s): training goes on without, at about 3/4 of the speed", reason)
        outputs = module(images, statistics)
        return outputs

    return forward
