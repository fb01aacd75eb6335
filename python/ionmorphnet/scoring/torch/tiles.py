"""How the fused kernels of :mod:`ionmorphnet.scoring.torch.kernels` are cut up, by channels and image size."""

from __future__ import annotations

from dataclasses import dataclass

ELEMENT_BYTES = 2  # bfloat16


@dataclass(frozen=True)
class Tile:
    """How a kernel is cut up.

    Attributes:
        blocks: BLOCK_W and BLOCK_C of the depthwise convolution; BLOCK_M, BLOCK_N and BLOCK_K of a matrix product.
        warps: Of a thread block.
        stages: Of the software pipeline.
        rest: Columns beyond BLOCK_N that a program of the contraction makes, too.
    """

    blocks: tuple[int, ...]
    warps: int
    stages: int = 3
    rest: int = 0

    @property
    def product_bytes(self) -> int:
        """Shared memory that a matrix product takes: its pipeline, and a tile of scales."""
        m, n, k = self.blocks
        return (self.stages * (m + n + self.rest) + m) * k * ELEMENT_BYTES


@dataclass(frozen=True)
class Plan:
    """Tiles of a block of the network."""

    depthwise: Tile
    expand: Tile
    contract: Tile


def plan_of(dim: int, side: int, shared_bytes: int) -> Plan:
    """Tiles for blocks of ``dim`` channels and ``side`` x ``side`` pixels.

    The fastest of ten to twenty each, measured on an H200 at the sizes of Atto and Tiny; other sizes take after these.

    Args:
        dim: Channels.
        side: Of the image, in pixels.
        shared_bytes: What a thread block may have of shared memory; the contraction takes tiles that fit.
    """
    fitting = [tile for tile in _contractions(dim) if tile.product_bytes <= shared_bytes]
    # Where none fits, the kernel says so when it is made.
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
    """Fastest first; the last fits into 99 KB, which GPUs from compute capability 8.0 have."""
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
