"""The fused kernels of the torch scorer against the network they stand for: on a GPU, else in Triton's interpreter."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("triton", reason="comes with torch for CUDA")

from ionmorphnet.models.networks.convnextv2 import Block, ConvNeXtV2, Layout  # noqa: E402
from ionmorphnet.scoring.torch import fused as fused_network  # noqa: E402
from ionmorphnet.scoring.torch.tiles import Plan, Tile  # noqa: E402

# With IMN_REQUIRE_GPU=1 a machine without GPU fails instead of interpreting.
ON_GPU = torch.cuda.is_available() or os.environ.get("IMN_REQUIRE_GPU") == "1"
DEVICE = "cuda" if ON_GPU else "cpu"
# The interpreter has no bfloat16 products; on a GPU float32 products would be TF32's.
DTYPE, TOLERANCE = (torch.bfloat16, 2e-2) if ON_GPU else (torch.float32, 2e-5)


def random_weights(module):
    torch.manual_seed(3)
    for parameter in module.parameters():
        std = 0.3 if parameter.ndim <= 1 else parameter[0].numel() ** -0.5
        torch.nn.init.normal_(parameter, std=std)
    return module.eval().to(DEVICE).requires_grad_(False)


def distance(given, wanted) -> float:
    return float((given.float().reshape(wanted.shape) - wanted).norm() / wanted.norm())


# One band of seven rows, one column tile and all channels in a tile of the convolution; tiles of 16 rows elsewhere.
SMALL_TILES = Plan(Tile((8, 16), 2, 1), Tile((16, 64, 32), 4), Tile((16, 16, 64), 4))


@pytest.mark.parametrize(
    ("dim", "side", "images", "plan"),
    [
        pytest.param(24, 21, 1, None, id="a band and a column of tiles inside of the image"),
        pytest.param(12, 14, 2, SMALL_TILES, id="all channels at once, more row tiles than a group has"),
        pytest.param(20, 7, 5, None, id="a row tile of several images"),
        pytest.param(80, 7, 2, None, id="channels that no tile divides"),
        pytest.param(192, 7, 2, None, id="columns in two parts"),
        pytest.param(40, 28, 1, None, marks=pytest.mark.long),
        pytest.param(24, 14, 3, None, marks=pytest.mark.long),
    ],
)
def test_block(dim: int, side: int, images: int, plan: Plan | None) -> None:
    """Each kernel alone: the interpreter takes a tenth of a second for a tile of the convolution."""
    block = random_weights(Block(dim, 0.0, Layout(), conv_weights=True))
    fused = fused_network.FusedBlock(block, side, DTYPE, plan)
    x = torch.randn((images, side, side, dim), device=DEVICE).to(DTYPE)
    norm, mlp = block.norm, block.mlp
    normed = norm(block.conv_dw(x.float()))
    y = fused.depthwise(x)
    assert distance(y, (normed - norm.bias) / norm.weight) < TOLERANCE
    wide = mlp.act(mlp.fc1(normed))
    h, partial = fused.widen(y)
    assert distance(h, wide) < TOLERANCE
    norms = wide.norm(dim=(1, 2))
    scale = fused.scale(partial, images)
    assert distance(scale, 1 + mlp.grn.weight * norms / (norms.mean(-1, keepdim=True) + 1e-6)) < TOLERANCE
    assert distance(fused.narrow(h, scale, x.clone()), block(x.float())) < TOLERANCE


def test_a_block_in_one_call_and_the_same_bits_again() -> None:
    block = random_weights(Block(24, 0.0, Layout(), conv_weights=True))
    fused = fused_network.FusedBlock(block, 7, DTYPE)
    x = torch.randn((3, 7, 7, 24), device=DEVICE).to(DTYPE)
    found = fused(x.clone())
    assert distance(found, block(x.float())) < TOLERANCE
    assert torch.equal(fused(x.clone()), found)


@pytest.mark.parametrize(
    "blocks", [pytest.param((0, 0, 1, 1), id="small stages"), pytest.param((1, 1, 1, 1), marks=pytest.mark.long)]
)
def test_whole_network(blocks: tuple[int, ...]) -> None:
    """Stem, downsampling and head too, with a structure output and statistics."""
    network = random_weights(ConvNeXtV2("convnextv2_atto", in_chans=2, extra_outputs={"structure": 1}, statistics=4))
    for stage, n in zip(network.stages, blocks, strict=True):
        stage.blocks = stage.blocks[:n]  # the interpreter takes its time
    image = torch.rand((1, 2, 224, 224), device=DEVICE).to(DTYPE)
    statistics = torch.rand((1, 4), device=DEVICE)
    wanted = torch.cat(list(network.forward_all(image.float(), statistics).values()), 1)
    features = fused_network.FusedFeatures(network, DTYPE)
    given = torch.cat(list(network.head(features(image).float().mean((1, 2)), statistics, image).values()), 1)
    assert given.shape == (1, 7)
    assert distance(given, wanted) < TOLERANCE
