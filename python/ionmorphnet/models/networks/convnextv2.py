"""ConvNeXt V2 for ion images.

Implemented from the papers (ConvNeXt V2: arXiv 2301.00808; ConvNeXt: arXiv 2201.03545). Parameter names and shapes
match the timm models of the same name, so published weights load with ``load_state_dict(strict=True)``.

Activations are channel-last, which trains fastest on CPUs. For export, ``channel_first(model)`` switches to 1 x 1
convolutions without transposes, which run fastest in OpenVINO and compute the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.networks.sample_statistics import COUNT, SampleStatistics

EPS = 1e-6
STATISTICS_HIDDEN = 16
# Hidden units between the statistics of the sample and the outputs, and standard deviation of their first weights.
_SAMPLE_HIDDEN, _SAMPLE_STD = 32, 0.3


@dataclass(frozen=True)
class Size:
    """Blocks and channels of the four stages, and the weight shape of 1 x 1 layers.

    Attributes:
        depths: Number of blocks of each stage.
        dims: Number of channels of each stage.
        conv_weights: Whether weights of 1 x 1 layers have convolution shape (out, in, 1, 1), as in the small published
            models, or matrix shape (out, in).
    """

    depths: tuple[int, int, int, int]
    dims: tuple[int, int, int, int]
    conv_weights: bool


SIZES: Mapping[str, Size] = {
    "convnextv2_atto": Size((2, 2, 6, 2), (40, 80, 160, 320), True),
    "convnextv2_femto": Size((2, 2, 6, 2), (48, 96, 192, 384), True),
    "convnextv2_pico": Size((2, 2, 6, 2), (64, 128, 256, 512), True),
    "convnextv2_nano": Size((2, 2, 8, 2), (80, 160, 320, 640), True),
    "convnextv2_tiny": Size((3, 3, 9, 3), (96, 192, 384, 768), False),
    "convnextv2_base": Size((3, 3, 27, 3), (128, 256, 512, 1024), False),
    "convnextv2_large": Size((3, 3, 27, 3), (192, 384, 768, 1536), False),
}


class Layout:
    """Axis order of activations, shared by all layers of a model.

    Attributes:
        channel_first: False: (N, H, W, C). True: (N, C, H, W).
    """

    def __init__(self) -> None:
        """Start channel-last."""
        self.channel_first = False


class Convolution(nn.Conv2d):
    """Convolution of activations in the model's layout; square kernel."""

    def __init__(self, in_chans: int, out_chans: int, kernel: int, layout: Layout, *, depthwise: bool = False) -> None:
        """Depthwise convolutions keep the size; others divide it by the kernel size."""
        stride, padding, groups = (1, kernel // 2, in_chans) if depthwise else (kernel, 0, 1)
        super().__init__(in_chans, out_chans, kernel, stride=stride, padding=padding, groups=groups)
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        """Convolve."""
        if self.layout.channel_first:
            return super().forward(x)
        # Neither permute copies: a permuted channel-last tensor has torch's memory format channels_last.
        return super().forward(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over each pixel's channels."""

    def __init__(self, dim: int, layout: Layout) -> None:
        """Normalise ``dim`` channels."""
        super().__init__(dim, eps=EPS)
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        """Normalise."""
        if not self.layout.channel_first:
            return super().forward(x)
        centred = x - x.mean(1, keepdim=True)
        variance = (centred * centred).mean(1, keepdim=True)
        scale, shift = self.weight[:, None, None], self.bias[:, None, None]
        return centred * torch.rsqrt(variance + self.eps) * scale + shift


class Pointwise(nn.Module):
    """Linear map of each pixel's channels."""

    def __init__(self, in_chans: int, out_chans: int, layout: Layout, *, conv_weights: bool) -> None:
        """Create weights of shape (out, in, 1, 1) or (out, in)."""
        super().__init__()
        shape = (out_chans, in_chans, 1, 1) if conv_weights else (out_chans, in_chans)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.zeros(out_chans))
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        """Map."""
        if self.layout.channel_first:
            return F.conv2d(x, self.weight.reshape(*self.weight.shape[:2], 1, 1), self.bias)
        return F.linear(x, self.weight.flatten(1), self.bias)


class GlobalResponseNorm(nn.Module):
    """Global response normalisation: channels compete by their norm over the image (arXiv 2301.00808, section 3)."""

    def __init__(self, dim: int, layout: Layout) -> None:
        """Normalise ``dim`` channels; initialised to the identity."""
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))
        self.bias = nn.Parameter(torch.zeros(dim))
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        """Compute ``x + weight * x * g / mean(g) + bias``, where g is the L2 norm of each channel over the image."""
        if self.layout.channel_first:
            norm = (x * x).sum((2, 3), keepdim=True).sqrt()
            share = norm / (norm.mean(1, keepdim=True) + EPS)
            return x + (self.weight[:, None, None] * (x * share) + self.bias[:, None, None])
        norm = torch.linalg.vector_norm(x.float(), dim=(1, 2), keepdim=True)
        share = norm / (norm.mean(-1, keepdim=True) + EPS)
        scaled: Tensor = x * (1.0 + self.weight * share).to(x.dtype) + self.bias.to(x.dtype)
        return scaled


class Mlp(nn.Module):
    """Fourfold expansion, GELU, global response normalisation, contraction."""

    def __init__(self, dim: int, layout: Layout, *, conv_weights: bool) -> None:
        """Create a block of ``dim`` channels."""
        super().__init__()
        self.fc1 = Pointwise(dim, 4 * dim, layout, conv_weights=conv_weights)
        self.act = nn.GELU()
        self.grn = GlobalResponseNorm(4 * dim, layout)
        self.fc2 = Pointwise(4 * dim, dim, layout, conv_weights=conv_weights)

    def forward(self, x: Tensor) -> Tensor:
        """Map."""
        mapped: Tensor = self.fc2(self.grn(self.act(self.fc1(x))))
        return mapped


class Block(nn.Module):
    """Residual block, randomly skipped per image in training (stochastic depth, arXiv 1603.09382)."""

    def __init__(self, dim: int, drop: float, layout: Layout, *, conv_weights: bool) -> None:
        """Create a block of ``dim`` channels that is skipped with probability ``drop``."""
        super().__init__()
        self.conv_dw = Convolution(dim, dim, 7, layout, depthwise=True)
        self.norm = ChannelNorm(dim, layout)
        self.mlp = Mlp(dim, layout, conv_weights=conv_weights)
        self.drop = drop

    def forward(self, x: Tensor) -> Tensor:
        """Add the residual."""
        residual: Tensor = self.mlp(self.norm(self.conv_dw(x)))
        if self.training and self.drop > 0.0:
            keep = torch.rand((len(x), 1, 1, 1), device=x.device) >= self.drop
            residual = residual * (keep / (1.0 - self.drop)).to(residual.dtype)
        return x + residual


class Stage(nn.Module):
    """Downsampling by 2 (except in the first stage), followed by blocks."""

    def __init__(self, in_dim: int, dim: int, drops: list[float], layout: Layout, *, conv_weights: bool) -> None:
        """Create one block for each entry of ``drops``."""
        super().__init__()
        self.downsample: nn.Module = nn.Identity()
        if in_dim != dim:
            self.downsample = nn.Sequential(ChannelNorm(in_dim, layout), Convolution(in_dim, dim, 2, layout))
        self.blocks = nn.Sequential(*[Block(dim, drop, layout, conv_weights=conv_weights) for drop in drops])

    def forward(self, x: Tensor) -> Tensor:
        """Map."""
        mapped: Tensor = self.blocks(self.downsample(x))
        return mapped


class Head(nn.Module):
    """Mean over the image, layer normalisation, linear outputs."""

    def __init__(
        self,
        dim: int,
        num_classes: int,
        extra_outputs: Mapping[str, int],
        statistics: int,
        hidden: int,
        sample_channels: Sequence[str] = (),
    ) -> None:
        """Create the layers.

        Args:
            dim: Number of features.
            num_classes: Number of class logits (layer ``fc``).
            extra_outputs: Width of further outputs of the same features by name (layers ``extra.<name>``).
            statistics: Number of classical statistics, from which a small network adds to all outputs; 0: none.
            hidden: Number of hidden units of that network.
            sample_channels: Names of the channels of the image, if a small network adds to the class logits from the
                statistics of the sample; empty: none does.

        Raises:
            ArgumentError: The image has no sample map.
        """
        super().__init__()
        self.norm = nn.LayerNorm(dim, eps=EPS)
        self.fc = nn.Linear(dim, num_classes)
        self.extra = nn.ModuleDict({name: nn.Linear(dim, width) for name, width in extra_outputs.items()})
        self.widths = {"logits": num_classes, **extra_outputs}
        width = sum(self.widths.values())
        self.statistics: nn.Sequential | None = None
        if statistics:
            self.statistics = nn.Sequential(nn.Linear(statistics, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.sample_statistics: SampleStatistics | None = None
        self.sample: nn.Sequential | None = None
        if sample_channels:
            self.sample_statistics = SampleStatistics(sample_channels)
            layers = nn.Linear(COUNT, _SAMPLE_HIDDEN), nn.GELU(), nn.Linear(_SAMPLE_HIDDEN, num_classes)
            self.sample = nn.Sequential(*layers)
        self.start_sample()

    def start_sample(self) -> None:
        """Initialise the network of the statistics of the sample, if there is one, so that it adds nothing yet."""
        if self.sample is not None:
            first, last = self.sample[0], self.sample[2]
            assert isinstance(first, nn.Linear)
            assert isinstance(last, nn.Linear)
            nn.init.trunc_normal_(first.weight, std=_SAMPLE_STD)
            for zero in (last.weight, last.bias):
                nn.init.zeros_(zero)

    def forward(self, pooled: Tensor, statistics: Tensor | None, image: Tensor) -> dict[str, Tensor]:
        """Compute all outputs by name, logits first.

        Args:
            pooled: (N, dim), pooled features.
            statistics: (N, count), classical statistics, if the head uses them.
            image: (N, C, side, side), the network's input.
        """
        columns = self.columns(pooled, statistics, image)
        return dict(zip(self.widths, torch.split(columns, list(self.widths.values()), dim=1), strict=True))

    def columns(self, pooled: Tensor, statistics: Tensor | None, image: Tensor) -> Tensor:
        """Compute all outputs side by side, logits first; arguments as in ``forward``."""
        features = self.norm(pooled)
        columns = torch.cat([layer(features) for layer in (self.fc, *self.extra.values())], 1)
        if self.statistics is not None:
            if statistics is None:
                raise ArgumentError("this network needs the classical statistics of its images; pass statistics")
            columns = columns + self.statistics(statistics)
        if self.sample is None or self.sample_statistics is None:
            return columns
        # Classes are relative to the sample. The structure is not: it ranks real images worse if it sees these.
        others = columns.shape[1] - self.fc.out_features
        return columns + F.pad(self.sample(self.sample_statistics(image)), (0, others))


class ConvNeXtV2(nn.Module):
    """ConvNeXt V2 classifier with timm's parameter names."""

    def __init__(
        self,
        name: str = "convnextv2_atto",
        *,
        in_chans: int = 1,
        num_classes: int = 6,
        extra_outputs: Mapping[str, int] | None = None,
        statistics: int = 0,
        statistics_hidden: int = STATISTICS_HIDDEN,
        sample_channels: Sequence[str] = (),
        drop_path: float = 0.0,
    ) -> None:
        """Build with random weights.

        Args:
            name: One of ``SIZES``.
            in_chans: Channels of the input.
            num_classes: Number of class logits.
            extra_outputs: Width of outputs other than the logits, by name.
            statistics: Number of classical statistics per image that enter the last layer; 0: none.
            statistics_hidden: Hidden units between these statistics and the outputs.
            sample_channels: Names of the input's channels, if the statistics of the sample enter the last layer; see
                :class:`~ionmorphnet.models.networks.sample_statistics.SampleStatistics`. Empty: they do not.
            drop_path: Stochastic depth of the last block; earlier blocks have linearly smaller values from 0.

        Raises:
            ArgumentError: ``name`` is unknown, or the input has no sample map.
        """
        super().__init__()
        if name not in SIZES:
            raise ArgumentError(f"unknown architecture {name!r}; known: {', '.join(SIZES)}")
        size = SIZES[name]
        self.name = name
        self.in_chans = in_chans
        self.layout = Layout()
        self.stem = nn.Sequential(
            Convolution(in_chans, size.dims[0], 4, self.layout), ChannelNorm(size.dims[0], self.layout)
        )
        last = sum(size.depths) - 1
        drops = [drop_path * k / last for k in range(last + 1)]
        stages, in_dim = [], size.dims[0]
        for depth, dim in zip(size.depths, size.dims, strict=True):
            stages.append(Stage(in_dim, dim, drops[:depth], self.layout, conv_weights=size.conv_weights))
            drops, in_dim = drops[depth:], dim
        self.stages = nn.Sequential(*stages)
        self.head = Head(in_dim, num_classes, extra_outputs or {}, statistics, statistics_hidden, sample_channels)
        self.apply(_initialise)
        self.head.start_sample()

    def features(self, x: Tensor) -> Tensor:
        """Compute the features, averaged over the image.

        Args:
            x: (N, in_chans, H, W), H and W multiples of 32.

        Returns:
            (N, channels of the last stage), before the head's normalisation.
        """
        if not self.layout.channel_first:
            x = x.permute(0, 2, 3, 1)
        x = self.stages(self.stem(x))
        return x.mean((2, 3) if self.layout.channel_first else (1, 2))

    def forward(self, x: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Compute class logits (N, num_classes) of images (N, in_chans, H, W) and, if built so, their statistics."""
        return self.forward_all(x, statistics)["logits"]

    def forward_all(self, x: Tensor, statistics: Tensor | None = None) -> dict[str, Tensor]:
        """Compute the class logits as ``logits``, and each extra output by its name; arguments as in ``forward``."""
        outputs: dict[str, Tensor] = self.head(self.features(x), statistics, x)
        return outputs


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear, Pointwise)):
        nn.init.trunc_normal_(module.weight, std=0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@contextmanager
def channel_first(model: ConvNeXtV2) -> Iterator[ConvNeXtV2]:
    """Switch a model to channel-first activations within the block, for export."""
    before = model.layout.channel_first
    model.layout.channel_first = True
    try:
        yield model
    finally:
        model.layout.channel_first = before
