"""ConvNeXt V2 at inference on the fused kernels of :mod:`ionmorphnet.scoring.torch.kernels`."""

from __future__ import annotations

from typing import Any

import torch
import triton
from torch import Tensor, nn

from ionmorphnet.models.networks.convnextv2 import EPS, Block, ConvNeXtV2, Stage
from ionmorphnet.scoring.torch import kernels
from ionmorphnet.scoring.torch.tiles import Plan, plan_of

GROUP = 8  # rows of tiles that share the matrix in the cache
STEM_ROWS = 64


def _power(n: int) -> int:
    return int(triton.next_power_of_2(n))


def _shared_bytes(device: torch.device) -> int:
    """Shared memory available to a thread block. Without a GPU, Triton's interpreter sets no limit."""
    if device.type != "cuda":
        return 1 << 30
    properties: Any = torch.cuda.get_device_properties(device)  # torch's types lack the field
    return int(properties.shared_memory_per_block_optin)


class FusedBlock:
    """One block of the network at inference, on weights folded once."""

    def __init__(self, block: Block, side: int, dtype: torch.dtype = torch.bfloat16, plan: Plan | None = None) -> None:
        """Folds the affine part of the normalisation into the expansion, and that of GRN into the contraction."""
        self.dtype = dtype
        self.fast = dtype == torch.bfloat16
        convolution, norm, mlp = block.conv_dw, block.norm, block.mlp
        expand, contract = (layer.weight.detach().float().flatten(1) for layer in (mlp.fc1, mlp.fc2))
        self.dim, self.hidden, self.side = expand.shape[1], expand.shape[0], side
        self.taps = convolution.weight.detach().float()[:, 0].permute(1, 2, 0).contiguous()  # (7, 7, C)
        self.taps_bias = convolution.bias.detach().float()  # type: ignore[union-attr]
        self.expand = (expand * norm.weight.detach().float()).to(dtype).contiguous()
        self.expand_bias = mlp.fc1.bias.detach().float() + expand @ norm.bias.detach().float()
        self.grn = mlp.grn.weight.detach().float()
        self.contract = contract.to(dtype).contiguous()
        self.contract_bias = mlp.fc2.bias.detach().float() + contract @ mlp.grn.bias.detach().float()
        self.plan = plan_of(self.dim, side, _shared_bytes(self.contract.device)) if plan is None else plan

    def __call__(self, x: Tensor) -> Tensor:
        """Applies the block to (N, side, side, C) in place."""
        y = self.depthwise(x)
        h, partial = self.widen(y)
        return self.narrow(h, self.scale(partial, len(x)), x)

    def depthwise(self, x: Tensor) -> Tensor:
        """Depthwise convolution and normalisation."""
        y, tile = torch.empty_like(x), self.plan.depthwise
        columns, channels = tile.blocks
        grid = (len(x) * (self.side // kernels.ROWS) * triton.cdiv(self.side, columns),)
        kernels.depthwise_norm[grid](
            x, self.taps, self.taps_bias, y, self.side, self.side, EPS,
            C=self.dim, BLOCK_W=columns, BLOCK_C=channels, num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
        return y

    @property
    def _span(self) -> int:
        """Largest number of images that the rows of one expansion tile can span."""
        return -(-(self.plan.expand.blocks[0] - 1) // self.side**2) + 1

    def widen(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """GELU of the expansion, (rows, 4 C), and the sums of its squares per tile, image within the tile, and
        channel.
        """
        rows, tile = y.numel() // self.dim, self.plan.expand
        m, n, k = tile.blocks
        h = torch.empty((rows, self.hidden), dtype=y.dtype, device=y.device)
        partial = torch.empty((triton.cdiv(rows, m), self._span, self.hidden), dtype=torch.float32, device=y.device)
        kernels.expand[(triton.cdiv(rows, m) * triton.cdiv(self.hidden, n),)](
            y, self.expand, self.expand_bias, h, partial, rows, self.side**2,
            K=self.dim, N=self.hidden, SPAN=self._span, FAST=self.fast, BLOCK_M=m, BLOCK_N=n, BLOCK_K=k, GROUP=GROUP,
            num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
        return h, partial

    def scale(self, partial: Tensor, images: int) -> Tensor:
        """GRN as one factor per image and channel, (N, 4 C)."""
        scale = torch.empty((images, self.hidden), dtype=self.dtype, device=partial.device)
        m = self.plan.expand.blocks[0]
        kernels.grn_scale[(images,)](
            partial, self.grn, scale, self.side**2, EPS,
            N=self.hidden, SPAN=self._span, TILES=-(-(self.side**2 - 1) // m) + 1, BLOCK_M=m,
            BLOCK_N=_power(self.hidden), num_warps=4,
        )  # fmt: skip
        return scale

    def narrow(self, h: Tensor, scale: Tensor, x: Tensor) -> Tensor:
        """The contraction, added to ``x`` in place."""
        rows, tile = len(h), self.plan.contract
        m, n, k = tile.blocks
        kernels.contract[(triton.cdiv(rows, m) * triton.cdiv(self.dim, n + tile.rest),)](
            h, scale, self.contract, self.contract_bias, x, x, rows, self.side**2,
            K=self.hidden, N=self.dim, REST=tile.rest, BLOCK_M=m, BLOCK_N=n, BLOCK_K=k, GROUP=GROUP,
            num_warps=tile.warps, num_stages=tile.stages,
        )  # fmt: skip
        return x


class FusedFeatures:
    """Stem and stages of a network at inference in bfloat16: (N, in_chans, 224, 224) to (N, 7, 7, C)."""

    def __init__(self, network: ConvNeXtV2, dtype: torch.dtype = torch.bfloat16, size: int = 224) -> None:
        """Folds the weights of a network in evaluation mode and leaves the network unchanged.

        Args:
            network: In evaluation mode.
            dtype: Type of the computation.
            size: Side of the input, a multiple of 224.
        """
        stem: Any = network.stem[0]
        norm: Any = network.stem[1]
        weight = stem.weight.detach().float()  # (C, in, 4, 4)
        self.dim, self.dtype = len(weight), dtype
        self.stem = weight.flatten(1).T.to(dtype).contiguous()  # (in * 4 * 4, C)
        self.stem_bias = stem.bias.detach().float()
        self.norm = (norm.weight.detach().float(), norm.bias.detach().float())
        side = size // 4
        self.stages: list[tuple[tuple[Tensor, Tensor] | None, list[FusedBlock]]] = []
        stages: Any = network.stages  # a Sequential's modules have no types
        for stage in stages:
            down = _folded_downsample(stage, dtype)
            side //= 1 if down is None else 2
            self.stages.append((down, [FusedBlock(block, side, dtype) for block in stage.blocks]))

    def __call__(self, image: Tensor) -> Tensor:
        """Features of bfloat16 images."""
        x = self._stem(image.contiguous())
        for down, blocks in self.stages:
            if down is not None:
                weight, bias = down
                n, height, width, _ = x.shape
                x = torch.addmm(bias, _normed_patches(x), weight).view(n, height // 2, width // 2, -1)
            for block in blocks:
                x = block(x)
        return x

    def _stem(self, image: Tensor) -> Tensor:
        n, channels, height, width = image.shape
        rows = n * height * width // 16
        y = torch.empty((n, height // 4, width // 4, self.dim), dtype=self.dtype, device=image.device)
        kernels.stem[(triton.cdiv(rows, STEM_ROWS),)](
            image, self.stem, self.stem_bias, *self.norm, y, rows, height // 4, width // 4, EPS,
            CHANNELS=channels, C=self.dim, BLOCK_M=STEM_ROWS, BLOCK_C=_power(self.dim), num_warps=4,
        )  # fmt: skip
        return y


class FusedOutput:
    """All outputs of a network in one tensor, like ``scorer.OneOutput``, computed from fused features."""

    def __init__(self, network: ConvNeXtV2) -> None:
        """Takes over a network that is in evaluation mode and on its GPU."""
        self.features = FusedFeatures(network)
        self.head = network.head.float().requires_grad_(False)

    def __call__(self, image: Tensor, statistics: Tensor | None) -> Tensor:
        """Maps bfloat16 (N, C, 224, 224) and float32 (N, F), or None if the network reads none, to float32 (N, K)."""
        pooled = self.features(image).float().mean((1, 2))
        outputs: dict[str, Tensor] = self.head(pooled, statistics, image.float())
        return torch.cat(list(outputs.values()), 1)


def _folded_downsample(stage: Stage, dtype: torch.dtype) -> tuple[Tensor, Tensor] | None:
    """Matrix (4 C, 2 C) and bias that map the normalised pixels of each 2 x 2 patch; None without downsampling."""
    if isinstance(stage.downsample, nn.Identity):
        return None
    parts: Any = stage.downsample
    norm, convolution = parts
    weight = convolution.weight.detach().float()  # (out, in, 2, 2)
    bias = convolution.bias.detach().float() + torch.einsum("oiyx,i->o", weight, norm.bias.detach().float())
    scaled = weight * norm.weight.detach().float()[:, None, None]
    return scaled.permute(2, 3, 1, 0).flatten(0, 2).to(dtype).contiguous(), bias.to(dtype)


def _normed_patches(x: Tensor) -> Tensor:
    """Normalises each pixel of (N, H, W, C) and orders them by 2 x 2 patches: (N H W / 4, 4 C)."""
    n, height, width, dim = x.shape
    rows = n * height * width
    y = torch.empty((rows // 4, 4 * dim), dtype=x.dtype, device=x.device)
    block = max(1, 4096 // _power(dim))
    kernels.norm_patches[(triton.cdiv(rows, block),)](
        x, y, rows, height, width, EPS, C=dim, BLOCK_M=block, BLOCK_C=_power(dim), num_warps=4
    )
    return y
