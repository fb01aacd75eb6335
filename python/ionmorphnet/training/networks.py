"""Networks of recipes: ConvNeXt V2 or a timm backbone, weight dropout, compilation."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.models.networks.convnextv2 import SIZES, ConvNeXtV2, Head
from ionmorphnet.training.recipe import Recipe

logger = logging.getLogger(__name__)

Outputs = dict[str, Tensor]
Result = TypeVar("Result")


class TimmNetwork(nn.Module):
    """A timm backbone (parameters ``backbone.*``) with this package's head (``head.*``)."""

    def __init__(
        self,
        name: str,
        *,
        in_chans: int,
        num_classes: int,
        extra_outputs: Mapping[str, int],
        statistics: int,
        statistics_hidden: int,
        sample_channels: Sequence[str],
        drop_path: float,
    ) -> None:
        """Initialise as timm does; arguments as for ``ConvNeXtV2``.

        Raises:
            UnavailableError: timm is not installed.
            ArgumentError: timm does not know the backbone, or cannot build it with these arguments.
        """
        super().__init__()
        timm = _timm(name)
        if name not in timm.list_models():
            raise ArgumentError(f"unknown architecture {name!r}; known: {', '.join(SIZES)}, and the backbones of timm")
        self.name, self.in_chans = name, in_chans
        options = {"drop_path_rate": drop_path} if drop_path else {}
        try:
            self.backbone: nn.Module = timm.create_model(
                name, pretrained=False, in_chans=in_chans, num_classes=0, **options
            )
        except (TypeError, RuntimeError, ValueError) as error:
            raise ArgumentError(f"timm cannot build {name!r} with {in_chans} input channels: {error}") from error
        with torch.no_grad():  # in some families num_features differs from the width of the pooled output
            width = self.backbone.eval()(torch.zeros(1, in_chans, 224, 224)).shape[1]
        self.backbone.train()
        self.head = Head(width, num_classes, extra_outputs, statistics, statistics_hidden, sample_channels)

    def forward(self, x: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Compute the class logits, as ``ConvNeXtV2.forward``."""
        return self.forward_all(x, statistics)["logits"]

    def forward_all(self, x: Tensor, statistics: Tensor | None = None) -> Outputs:
        """Compute all outputs by name, as ``ConvNeXtV2.forward_all``."""
        outputs: Outputs = self.head(self.backbone(x), statistics, x)
        return outputs


def _timm(name: str) -> ModuleType:
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision does not match torch
        raise UnavailableError(
            f"architecture {name!r} is not one of {', '.join(SIZES)}; other backbones require timm, which cannot be "
            f"imported ({error}): pip install timm"
        ) from error


def make_network(recipe: Recipe) -> ConvNeXtV2 | TimmNetwork:
    """Build the network of a recipe with random weights.

    Raises:
        ArgumentError: The architecture is unknown.
        UnavailableError: The architecture requires timm, which is not installed.
    """
    kind: type[ConvNeXtV2 | TimmNetwork] = ConvNeXtV2 if recipe.architecture in SIZES else TimmNetwork
    return kind(
        recipe.architecture,
        in_chans=recipe.in_chans,
        num_classes=len(CLASSES),
        extra_outputs=recipe.extra_outputs,
        statistics=len(recipe.statistics),
        statistics_hidden=recipe.statistics_hidden,
        sample_channels=recipe.preprocessing.channels if recipe.sample_statistics else (),
        drop_path=recipe.drop_path,
    )


def all_outputs(network: nn.Module, images: Tensor, statistics: Tensor | None) -> Outputs:
    """Call ``forward_all`` of a network from :func:`make_network`."""
    call: Callable[[Tensor, Tensor | None], Outputs] = network.forward_all  # type: ignore[assignment]
    return call(images, statistics)


class AllOutputs(nn.Module):
    """Returns all outputs of a network, with DropConnect (Wan et al. 2013) in training mode."""

    def __init__(self, network: nn.Module, weight_dropout: float = 0.0) -> None:
        """Wrap ``network``; each weight of matrices and kernels is dropped with probability ``weight_dropout``."""
        super().__init__()
        self.network = network
        self.weight_dropout = weight_dropout

    def forward(self, images: Tensor, statistics: Tensor | None) -> Outputs:
        """Compute all outputs by name; arguments as for ``ConvNeXtV2.forward_all``."""
        if not self.training or self.weight_dropout == 0.0:
            return all_outputs(self.network, images, statistics)
        thinned = {
            f"network.{name}": nn.functional.dropout(value, self.weight_dropout)
            for name, value in self.network.named_parameters()
            if value.ndim > 1
        }
        outputs: Outputs = functional_call(AllOutputs(self.network), thinned, (images, statistics))
        return outputs


class Compiled:
    """A network compiled for one image size at a time; if compilation fails, it runs uncompiled after one warning.

    A missing compiler fails in the first forward pass, but a damaged file in its cache may fail only in a backward
    pass. All work with the network therefore goes through :meth:`run`.
    """

    def __init__(self, module: nn.Module, *, compile: bool = True) -> None:
        """Wrap ``module``, which is compiled on the first call."""
        self._module = module
        self._compile = compile
        self._fast: Callable[..., Outputs] | None = None

    def __call__(self, images: Tensor, statistics: Tensor | None) -> Outputs:
        """Compute all outputs by name; arguments as for ``ConvNeXtV2.forward_all``."""
        if self._compile and self._fast is None:
            self._fast = torch.compile(self._module, dynamic=False)
        # Not `or`: a compiled module defines a length that raises.
        outputs: Outputs = (self._module if self._fast is None else self._fast)(images, statistics)
        return outputs

    def run(self, work: Callable[[], Result]) -> Result:
        """Run work that calls the network; if it fails while compiled, run it again uncompiled.

        Args:
            work: Work that can be repeated with the same result.
        """
        if not self._compile:
            return work()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler warns about its dependencies
                return work()
        except Exception as error:
            self._compile, self._fast = False, None
            logger.warning("torch.compile failed (%s); training continues without it, more slowly", _reason(error))
        return work()


def _reason(error: Exception) -> str:
    """Reduce a message, which may contain a C++ compiler's output, to one line."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])
