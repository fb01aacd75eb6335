"""Tile sizes of the fused kernels in :mod:`ionmorphnet.scoring.torch.kernels`, by channels and image size."""

from __future__ import annotations

from dataclasses import dataclass

ELEMENT_BYTES = 2  # bfloat16


@dataclass(frozen=True)
class Tile:
    """Tile sizes of one kernel.

    Attributes:
        blocks: BLOCK_W and BLOCK_C of the depthwise convolution; BLOCK_M, BLOCK_N and BLOCK_K of a matrix product.
        warps: Warps per thread block.
        stages: Stages of the software pipeline.
        rest: Further columns beyond BLOCK_N that one program of the contraction computes.
    """

    blocks: tuple[int, ...]
    warps: int
    stages: int = 3
    rest: int = 0

    @property
    def product_bytes(self) -> int:
        """Shared memory of a matrix product in bytes: its pipeline and a tile of scales."""
        m, n, k = self.blocks
        return (self.stages * (m + n + self.rest) + m) * k * ELEMENT_BYTES


@dataclass(frozen=True)
class Plan:
    """Tiles of the kernels of one network block."""

    depthwise: Tile
    expand: Tile
    contract: Tile


def plan_of(dim: int, side: int, shared_bytes: int) -> Plan:
    """Chooses tiles for blocks of ``dim`` channels and ``side`` x ``side`` pixels.

    At the sizes of Atto and Tiny they are the fastest of ten to twenty candidates measured on an H200. Other sizes use
    the tiles of the nearest measured size.

    Args:
        dim: Number of channels.
        side: Side of the image in pixels.
        shared_bytes: Shared memory available to a thread block; limits the tiles of the contraction.
    """
    fitting = [tile for tile in _contractions(dim) if tile.product_bytes <= shared_bytes]
    # If none fits, compiling the kernel fails with a clear error.
    return Plan(_depthwise(dim, side), _expansion(dim, side), (fitting or _contractions(dim)[-1:])[0])


def _depthwise(dim: int, side: int) -> Tile:
    if side >= 56:
        return Tile((8, 64), 4, 1) if dim <= 64 else Tile((8, 32), 2, 1)
    columns = 16 if 8 < side <= 28 and dim > 128 else 8
    channels = 16 if dim <= 128 else 64 if side > 14 else 32 if dim <= 192 else 128
    return Tile((columns if channels < 128 else 8, channels), {16: 2, 32: 2, 64: 4, 128: 8}[channels], 1)


def _expansion(dim: int, side: int) -> Tile:
    if dim <= 64:
        return Tile((128, 64, 64), 4, 3)
    if dim <= 80:
        return Tile((64, 64, 32), 4, 4)
    if side <= 7:
        return Tile((64, 64, 64), 4, 4) if dim < 512 else Tile((64, 128, 64), 4, 3)
    return Tile((64, 128, 32), 4, 4)


def _contractions(dim: int) -> list[Tile]:
    """Candidates, fastest first. The last fits into 99 KB, which GPUs have from compute capability 8.0 on."""
    small = Tile((64, 128, 64), 4, 3)
    if dim <= 64:
        return [Tile((128, 64, 64), 8, 3)]
    if dim <= 128:
        return [Tile((64, 128, 32), 4, 4) if dim > 80 else Tile((64, 128, 64), 4, 2)]
    if dim == 192:
        return [Tile((64, 128, 64), 4, 3, rest=64), Tile((128, 64, 64), 8, 3)]
    if dim == 384:
        return [Tile((128, 256, 64), 8, 3, rest=128), small]
    if dim < 256:
        return [Tile((64, 128, 64), 4, 2)]
    return [Tile((64, 256, 64), 8, 3), small]
