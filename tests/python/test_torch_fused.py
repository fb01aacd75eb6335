"""The fused kernels of the torch scorer against the network they stand for: on a GPU, else in Triton's interpreter."""

from __future__ import annotations

import os

import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("triton", reason="comes with torch for CUDA")

from ionmorphnet.models.networks.convnextv2 import Block, ConvNeXtV2, Layout  # noqa: E402
from ionmorphnet.scoring.torch import fused as fused_network  # noqa: E402

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


@pytest.mark.parametrize(("dim", "side", "images"), [(40, 28, 1), (24, 14, 3), (36, 7, 5), (80, 7, 2), (192, 7, 2)])
def test_block(dim: int, side: int, images: int) -> None:
    """Tiles that end within an image, tiles with rows of several images, and columns in two parts."""
    block = random_weights(Block(dim, 0.0, Layout(), conv_weights=True))
    fused = fused_network.FusedBlock(block, side, DTYPE)
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
    wanted = block(x.float())
    assert distance(fused.narrow(h, scale, x.clone()), wanted) < TOLERANCE
    assert distance(fused(x.clone()), wanted) < TOLERANCE


def test_the_same_input_gives_the_same_bits() -> None:
    block = random_weights(Block(24, 0.0, Layout(), conv_weights=True))
    fused = fused_network.FusedBlock(block, 14, DTYPE)
    x = torch.randn((3, 14, 14, 24), device=DEVICE).to(DTYPE)
    assert torch.equal(fused(x.clone()), fused(x.clone()))


def test_whole_network() -> None:
    """Stem, downsampling and head too, with a structure output and statistics."""
    network = random_weights(ConvNeXtV2("convnextv2_atto", in_chans=2, extra_outputs={"structure": 1}, statistics=4))
    for stage in network.stages:
        stage.blocks = stage.blocks[:1]  # the interpreter takes its time
    image = torch.rand((1, 2, 224, 224), device=DEVICE).to(DTYPE)
    statistics = torch.rand((1, 4), device=DEVICE)
    wanted = torch.cat(list(network.forward_all(image.float(), statistics).values()), 1)
    features = fused_network.FusedFeatures(network, DTYPE)
    given = torch.cat(list(network.head(features(image).float().mean((1, 2)), statistics).values()), 1)
    assert given.shape == (1, 7)
    assert distance(given, wanted) < TOLERANCE
