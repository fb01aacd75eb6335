"""The mean of the structure estimates of the network and of the statistics alone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from ionmorphnet.base.errors import ArgumentError  # noqa: E402
from ionmorphnet.models.model import sigmoid  # noqa: E402
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2  # noqa: E402
from ionmorphnet.training.fusion import Fusion, fit_fusion, fused  # noqa: E402


@pytest.fixture(scope="module")
def net() -> ConvNeXtV2:
    torch.manual_seed(4)
    net = ConvNeXtV2(in_chans=2, extra_outputs={"structure": 1}, statistics=4).eval()
    with torch.no_grad():
        for value in net.head.parameters():
            value.normal_(0.0, 0.5)
    return net


def test_the_fused_network_computes_the_mean(net: ConvNeXtV2) -> None:
    fusion = Fusion(0.3, (1.5, -2.0, 0.25, 4.0), -0.7)
    images, statistics = torch.rand(5, 2, 32, 32), torch.rand(5, 4)
    with torch.no_grad():
        before, after = net.forward_all(images, statistics), fused(net, fusion).forward_all(images, statistics)
    torch.testing.assert_close(after["logits"], before["logits"], atol=1e-5, rtol=1e-5)
    wanted = fusion.apply(before["structure"][:, 0].double().numpy(), statistics.double().numpy())
    np.testing.assert_allclose(after["structure"][:, 0].numpy(), wanted, atol=1e-5)
    assert np.abs(wanted - before["structure"][:, 0].numpy()).max() > 0.1


def test_the_network_itself_is_not_changed(net: ConvNeXtV2) -> None:
    before = {name: value.clone() for name, value in net.state_dict().items()}
    fused(net, Fusion(0.5, (1.0, 1.0, 1.0, 1.0), 0.0))
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())


def test_the_regression_recovers_its_parameters(rng: np.random.Generator) -> None:
    statistics = rng.random((4000, 4))
    truth = np.array([3.0, -2.0, 0.0, 1.0])
    fusion = fit_fusion(statistics, sigmoid(statistics @ truth - 0.5), share=0.4)
    np.testing.assert_allclose(fusion.weights, truth, atol=0.01)
    assert fusion.bias == pytest.approx(-0.5, abs=0.01)
    assert fusion.share == 0.4


def test_share_and_network_are_checked(rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match=r"from 0 to 1, got 1\.5"):
        fit_fusion(rng.random((10, 4)), rng.random(10), share=1.5)
    plain = ConvNeXtV2(in_chans=2, extra_outputs={"structure": 1})
    with pytest.raises(ArgumentError, match="requires a network with a structure output and statistics"):
        fused(plain, Fusion(0.5, (1.0,) * 4, 0.0))
