"""Networks of a recipe: our own backbones and timm's, dropout of weights, compilation."""

from __future__ import annotations

import importlib
import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

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
    """A backbone of timm under our head: classes, structure, statistics. Parameters ``backbone.*`` and ``head.*``."""

    def __init__(
        self,
        name: str,
        *,
        in_chans: int,
        num_classes: int,
        extra_outputs: Mapping[str, int],
        statistics: int,
        statistics_hidden: int,
        drop_path: float,
    ) -> None:
        """Build with timm's fresh weights; arguments as for ``ConvNeXtV2``.

        Raises:
            UnavailableError: timm is not installed.
            ArgumentError: timm knows no such backbone, or cannot build it so.
        """
        super().__init__()
        timm = _timm(name)
        if name not in timm.list_models():
            raise ArgumentError(
                f"unknown architecture {name!r}: neither one of {', '.join(SIZES)} nor a backbone of timm"
            )
        self.name, self.in_chans = name, in_chans
        options: dict[str, Any] = {"drop_path_rate": drop_path} if drop_path else {}
        try:
            self.backbone: nn.Module = timm.create_model(
                name, pretrained=False, in_chans=in_chans, num_classes=0, **options
            )
        except (TypeError, RuntimeError, ValueError) as error:
            raise ArgumentError(f"timm cannot build {name!r} with {in_chans} input channels: {error}") from error
        with torch.no_grad():  # num_features is not what the pooled output has in every family
            width = self.backbone.eval()(torch.zeros(1, in_chans, 224, 224)).shape[1]
        self.backbone.train()
        self.head = Head(width, num_classes, extra_outputs, statistics, statistics_hidden)

    def forward(self, x: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Class logits, as ``ConvNeXtV2.forward``."""
        return self.forward_all(x, statistics)["logits"]

    def forward_all(self, x: Tensor, statistics: Tensor | None = None) -> Outputs:
        """All outputs by name, as ``ConvNeXtV2.forward_all``."""
        outputs: Outputs = self.head(self.backbone(x), statistics)
        return outputs


def _timm(name: str) -> Any:
    try:
        return importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:  # RuntimeError: a torchvision that does not fit the torch beside it
        raise UnavailableError(
            f"architecture {name!r} is none of {', '.join(SIZES)}; other backbones need timm, which cannot be "
            f"imported here ({error}): pip install timm"
        ) from error


def make_network(recipe: Recipe) -> nn.Module:
    """The network of a recipe with fresh weights from torch's random numbers.

    Raises:
        ArgumentError: Unknown architecture.
        UnavailableError: It would need timm, which is not installed.
    """
    kind: type[ConvNeXtV2 | TimmNetwork] = ConvNeXtV2 if recipe.architecture in SIZES else TimmNetwork
    return kind(
        recipe.architecture,
        in_chans=recipe.in_chans,
        num_classes=len(CLASSES),
        extra_outputs=recipe.extra_outputs,
        statistics=len(recipe.statistics_names),
        statistics_hidden=recipe.statistics_hidden,
        drop_path=recipe.drop_path,
    )


def all_outputs(network: nn.Module, images: Tensor, statistics: Tensor | None) -> Outputs:
    """What ``forward_all`` of a network of this module gives."""
    call: Callable[[Tensor, Tensor | None], Outputs] = network.forward_all  # type: ignore[assignment]
    return call(images, statistics)


class AllOutputs(nn.Module):
    """A network whose call gives all outputs, with DropConnect of its weights (Wan et al. 2013) while training."""

    def __init__(self, network: nn.Module, weight_dropout: float = 0.0) -> None:
        """Set each weight of matrices and kernels to 0 with probability ``weight_dropout``; the rest grows for it."""
        super().__init__()
        self.network = network
        self.weight_dropout = weight_dropout

    def forward(self, images: Tensor, statistics: Tensor | None) -> Outputs:
        """All outputs by name; arguments as for ``ConvNeXtV2.forward_all``."""
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
    """A network compiled for one image size at a time. Where that fails, training goes on without, and says so once.

    A missing compiler shows in the first forward pass, a damaged file of its cache perhaps in a backward pass only:
    whatever uses the network goes through :meth:`run`.
    """

    def __init__(self, module: nn.Module, *, compile: bool = True) -> None:
        """Wrap ``module``; nothing is compiled before the first call."""
        self._module = module
        self._compile = compile
        self._fast: Callable[..., Outputs] | None = None

    def __call__(self, images: Tensor, statistics: Tensor | None) -> Outputs:
        """All outputs by name; arguments as for ``ConvNeXtV2.forward_all``."""
        if self._compile and self._fast is None:
            self._fast = torch.compile(self._module, dynamic=False)
        # Not `or`: a compiled module has a length, and asking for it fails.
        outputs: Outputs = (self._module if self._fast is None else self._fast)(images, statistics)
        return outputs

    def run(self, work: Callable[[], Result]) -> Result:
        """Do work that calls the network; where that fails in compiled form, do it once more without.

        Args:
            work: Gives the same when it is done twice.
        """
        if not self._compile:
            return work()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler warns of its own dependencies
                return work()
        except Exception as error:
            self._compile, self._fast = False, None
            logger.warning("torch.compile failed (%s): training goes on without it, more slowly", _reason(error))
        return work()


def _reason(error: Exception) -> str:
    """One line of a message that may hold all that a C++ compiler says."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])
