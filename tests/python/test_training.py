"""The network against plain formulas, and its parameter names."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from ionmorphnet.base.errors import ArgumentError  # noqa: E402
from ionmorphnet.models.networks.convnextv2 import (  # noqa: E402
    ChannelNorm,
    ConvNeXtV2,
    GlobalResponseNorm,
    Layout,
    channel_first,
)


@pytest.fixture(scope="module")
def model() -> ConvNeXtV2:
    """Atto with norms and biases different from their initial values, so that errors in them show."""
    torch.manual_seed(0)
    net = ConvNeXtV2("convnextv2_atto", extra_outputs={"structure": 1})
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.02 * torch.randn_like(p))
    return net.eval()


def test_parameter_names_and_shapes_of_atto() -> None:
    state = ConvNeXtV2("convnextv2_atto").state_dict()
    expected = {
        "stem.0.weight": (40, 1, 4, 4),
        "stem.1.weight": (40,),
        "stages.0.blocks.1.conv_dw.weight": (40, 1, 7, 7),
        "stages.1.downsample.0.weight": (40,),
        "stages.1.downsample.1.weight": (80, 40, 2, 2),
        "stages.2.blocks.5.norm.bias": (160,),
        "stages.2.blocks.0.mlp.fc1.weight": (640, 160, 1, 1),
        "stages.3.blocks.1.mlp.grn.weight": (1280,),
        "stages.3.blocks.1.mlp.grn.bias": (1280,),
        "stages.3.blocks.1.mlp.fc2.weight": (320, 1280, 1, 1),
        "head.norm.weight": (320,),
        "head.fc.weight": (6, 320),
        "head.fc.bias": (6,),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected
    assert "stages.0.downsample.1.weight" not in state
    # stem 4, downsampling 4 each for three stages, 10 for each of 12 blocks, head 4
    assert len(state) == 4 + 3 * 4 + 12 * 10 + 4


# Millions of parameters stated in arXiv 2301.00808 (table 10) for 3 input channels and 1000 classes.
@pytest.mark.parametrize(
    ("name", "millions", "digit"),
    [
        ("atto", 3.7, 0.05),
        ("femto", 5.2, 0.05),
        ("pico", 9.1, 0.05),
        ("nano", 15.6, 0.05),
        ("tiny", 28.6, 0.05),
        ("base", 89, 0.5),
        ("large", 198, 0.5),
    ],
)
def test_number_of_parameters(name: str, millions: float, digit: float) -> None:
    with torch.device("meta"):
        net = ConvNeXtV2(f"convnextv2_{name}", in_chans=3, num_classes=1000)
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=digit)


def test_larger_sizes_store_matrices() -> None:
    with torch.device("meta"):
        state = ConvNeXtV2("convnextv2_tiny").state_dict()
    assert state["stages.0.blocks.0.mlp.fc1.weight"].shape == (384, 96)


def test_outputs(model: ConvNeXtV2) -> None:
    x = torch.rand(2, 1, 64, 96)
    with torch.no_grad():
        outputs = model.forward_all(x)
        assert outputs["logits"].shape == (2, 6)
        assert outputs["structure"].shape == (2, 1)
        torch.testing.assert_close(model(x), outputs["logits"])
        # An image's outputs do not depend on its neighbours in the batch.
        torch.testing.assert_close(model(x[:1]), outputs["logits"][:1], atol=1e-5, rtol=1e-5)
    with pytest.raises(ArgumentError, match="convnextv2_atto"):
        ConvNeXtV2("resnet50")


def test_both_layouts_compute_the_same(model: ConvNeXtV2) -> None:
    x = torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        last = model(x)
        with channel_first(model):
            first = model(x)
        assert not model.layout.channel_first
    assert last.abs().max() > 0.01
    torch.testing.assert_close(first, last, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("first", [False, True])
def test_global_response_norm_formula(first: bool) -> None:
    torch.manual_seed(1)
    layout = Layout()
    layout.channel_first = first
    layer = GlobalResponseNorm(5, layout)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    x = torch.randn(3, 4, 6, 5)
    a = x.numpy().astype(np.float64)
    g = np.sqrt((a**2).sum(axis=(1, 2), keepdims=True))
    n = g / (g.mean(axis=-1, keepdims=True) + 1e-6)
    expected = layer.weight.detach().numpy() * (a * n) + layer.bias.detach().numpy() + a
    got = layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) if first else layer(x)
    np.testing.assert_allclose(got.detach().numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("first", [False, True])
def test_channel_norm_formula(first: bool) -> None:
    torch.manual_seed(2)
    layout = Layout()
    layout.channel_first = first
    layer = ChannelNorm(7, layout)
    with torch.no_grad():
        layer.weight.normal_()
        layer.bias.normal_()
    x = 3.0 + torch.randn(2, 4, 3, 7)
    a = x.numpy().astype(np.float64)
    scaled = (a - a.mean(-1, keepdims=True)) / np.sqrt(a.var(-1, keepdims=True) + 1e-6)
    expected = scaled * layer.weight.detach().numpy() + layer.bias.detach().numpy()
    got = layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1) if first else layer(x)
    np.testing.assert_allclose(got.detach().numpy(), expected, atol=1e-5)


def test_stochastic_depth_keeps_the_mean() -> None:
    torch.manual_seed(3)
    net = ConvNeXtV2(drop_path=0.5)
    block = net.stages[3].blocks[1]
    assert block.drop == pytest.approx(0.5)
    assert net.stages[0].blocks[0].drop == 0.0
    x = torch.randn(1, 2, 2, 320)
    with torch.no_grad():
        block.mlp.fc2.bias.fill_(1.0)
        residual = block.eval()(x) - x
        many = block.train()(x.expand(4000, -1, -1, -1)) - x
    dropped = (many.flatten(1).abs().amax(1) < 1e-6).float().mean()
    assert float(dropped) == pytest.approx(0.5, abs=0.04)
    torch.testing.assert_close(many.mean(0), residual[0], atol=0.1, rtol=0.1)
