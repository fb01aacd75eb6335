"""Statistics of the sample, computed within the network: values by hand, the network around them, its model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra [train]")
onnx = pytest.importorskip("onnx", reason="needs the extra [train]")

from ionmorphnet.base.errors import ArgumentError  # noqa: E402
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2, channel_first  # noqa: E402
from ionmorphnet.models.networks.deploy import deployed, restored  # noqa: E402
from ionmorphnet.models.networks.onnx_export import bf16_agreement, check_parity, export_onnx  # noqa: E402
from ionmorphnet.models.networks.sample_statistics import COUNT, LEVELS, SampleStatistics  # noqa: E402
from ionmorphnet.scoring.torch.scorer import OneOutput  # noqa: E402
from ionmorphnet.training.networks import make_network  # noqa: E402
from ionmorphnet.training.recipe import Phase, Recipe  # noqa: E402
from ionmorphnet.training.start_weights import read_start  # noqa: E402

CHANNELS = ("image", "mask", "sqrt", "sample")
GENERAL, PER_SCALE = 3, 6
SCALES = (slice(GENERAL, GENERAL + len(LEVELS) + PER_SCALE), slice(GENERAL + len(LEVELS) + PER_SCALE, COUNT))
ALL = {"in_chans": 4, "extra_outputs": {"structure": 1}, "statistics": 4}
MAPPED = Recipe(
    resize="area",
    sqrt=True,
    sample=True,
    sample_statistics=True,
    phases=(Phase(96, 8, 8),),
    statistics=("moran", "blur", "chaos", "coverage"),
)


def scene(top: int = 24, left: int = 24, *, bright: float = 1.0, rest: float = 0.1, side: int = 96) -> torch.Tensor:
    """A square sample of 48 pixels, the upper half of which is bright; nothing around it."""
    x = torch.zeros(1, 4, side, side)
    x[:, 1] = 1.0
    x[:, 0, top : top + 24, left : left + 48] = bright
    x[:, 0, top + 24 : top + 48, left : left + 48] = rest
    x[:, 3, top : top + 48, left : left + 48] = 1.0
    x[:, 2] = x[:, 0].sqrt()
    return x


def shares(x: torch.Tensor, scale: int = 0) -> np.ndarray:
    """Statistics of one scale in [0, 1]: top, levels, off the sample, rim, core, mean, standard deviation."""
    found: np.ndarray = 0.5 * (SampleStatistics(CHANNELS)(x)[0, SCALES[scale]].numpy() + 1.0)
    return found


def test_values_by_hand() -> None:
    found = 0.5 * (SampleStatistics(CHANNELS)(scene())[0].numpy() + 1.0)
    assert found.shape == (COUNT,)
    np.testing.assert_allclose(found[:GENERAL], [1.0, 1.0, 0.25], atol=2e-3)  # a map; all measured; a quarter is sample
    for scale in (0, 1):
        top, *levels, off, rim, core, mean, spread = shares(scene(), scale)
        assert 0.8 < top <= 1.0
        # The dim half is at 0.1 of the bright one: above the first level, in the transition to the second.
        assert levels[0] > 0.95
        np.testing.assert_allclose(levels[2:], 0.5, atol=0.12)
        assert np.all(np.diff(levels) <= 1e-6)
        assert off < 0.1 * mean
        assert 0.4 < rim < core < 0.7
        assert mean == pytest.approx(0.55, abs=0.06)
        assert spread == pytest.approx(0.45, abs=0.06)


def test_only_the_sample_counts() -> None:
    """Neither the place of the sample nor the unit of intensity matters, and noise off the sample barely."""
    wanted = shares(scene())
    np.testing.assert_allclose(shares(scene(2, 40))[1:], wanted[1:], atol=5e-3)
    np.testing.assert_allclose(shares(scene(bright=0.5, rest=0.05))[1:], wanted[1:], atol=0.02)
    noisy = scene()
    noisy[:, 0, :20] = 0.8
    found = shares(noisy)
    np.testing.assert_allclose(found[1:8], wanted[1:8], atol=0.02)
    assert found[8] > wanted[8] + 0.1  # off the sample
    lit = scene(rest=0.9)
    assert shares(lit)[5] > wanted[5] + 0.3  # all of it is above 0.45


def test_without_a_map_everything_measured_is_sample() -> None:
    unknown, whole = scene(), scene()
    unknown[:, 3], whole[:, 3] = 0.5, 1.0
    statistics = SampleStatistics(CHANNELS)
    found, wanted = statistics(unknown)[0].numpy(), statistics(whole)[0].numpy()
    assert found[0] == -1.0
    assert wanted[0] == 1.0
    np.testing.assert_allclose(found[GENERAL:], wanted[GENERAL:], atol=0.01)


def test_empty_images_and_other_channels() -> None:
    empty = torch.zeros(2, 4, 96, 96)
    empty[1, 1] = 1.0
    assert bool(torch.isfinite(SampleStatistics(CHANNELS)(empty)).all())
    x = scene()
    without = SampleStatistics(("image", "sample"))(x[:, [0, 3]])
    torch.testing.assert_close(without, SampleStatistics(CHANNELS)(x))
    for side in (32, 112, 224):
        assert SampleStatistics(CHANNELS)(torch.rand(3, 4, side, side)).shape == (3, COUNT)
    with pytest.raises(ArgumentError, match="need the channel 'sample', got image, mask"):
        SampleStatistics(("image", "mask"))
    with pytest.raises(ArgumentError, match="sample_statistics needs the sample map"):
        Recipe(sample_statistics=True)


@pytest.fixture
def network() -> ConvNeXtV2:
    torch.manual_seed(3)
    net = ConvNeXtV2(sample_channels=CHANNELS, **ALL).eval()
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.05 * torch.randn_like(value))
        net.head.sample[2].weight.normal_(std=0.3)
    return net


def test_they_start_without_effect_and_change_the_classes_only() -> None:
    torch.manual_seed(1)
    net, x, s = ConvNeXtV2(sample_channels=CHANNELS, **ALL).eval(), torch.rand(3, 4, 96, 96), torch.rand(3, 4)
    plain = ConvNeXtV2(**ALL).eval()
    plain.load_state_dict({k: v for k, v in net.state_dict().items() if not k.startswith("head.sample.")})
    with torch.no_grad():
        wanted = plain.forward_all(x, s)
        torch.testing.assert_close(net.forward_all(x, s), wanted, atol=0, rtol=0)
        net.head.sample[2].bias.fill_(1.0)
        found = net.forward_all(x, s)
        torch.testing.assert_close(found["logits"], wanted["logits"] + 1.0)
        torch.testing.assert_close(found["structure"], wanted["structure"], atol=0, rtol=0)
        with channel_first(net):
            torch.testing.assert_close(net.forward_all(x, s), found, atol=2e-5, rtol=0)
        torch.testing.assert_close(OneOutput(net, "f32")(x, s), torch.cat(list(found.values()), 1), atol=2e-5, rtol=0)


def test_the_exported_file_computes_the_same(network: ConvNeXtV2, tmp_path: Path, rng: np.random.Generator) -> None:
    path = tmp_path / "model.onnx"
    export_onnx(network, path, 96)
    graph = onnx.load(str(path)).graph
    assert not {"SplitToSequence", "Transpose"} & {node.op_type for node in graph.node}
    assert {i.name for i in graph.initializer} == set(deployed(network).state_dict())
    parameters = {i.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(i))) for i in graph.initializer}
    images, statistics = rng.random((6, 4, 96, 96), dtype=np.float32), rng.random((6, 4), dtype=np.float32)
    images[:3] = scene().numpy()  # images in which the statistics matter
    assert check_parity(network, path, images, statistics).difference < 1e-4
    again = ConvNeXtV2(sample_channels=CHANNELS, **ALL).eval()
    again.load_state_dict(restored(parameters, again))
    assert check_parity(again, path, images, statistics).difference < 1e-4
    assert bf16_agreement(path, images, statistics, n_classes=6).max_difference < 0.3


def test_trainings_start_from_networks_without_them(tmp_path: Path) -> None:
    begun = read_start(_bundled(), MAPPED, architecture=None)
    assert begun.recipe.sample_statistics
    assert not any(name.startswith("head.sample.") for name in begun.weights)
    net = make_network(begun.recipe)
    net.load_state_dict({**net.state_dict(), **begun.weights})
    # Weights that have them keep them, whatever the recipe says.
    torch.save(
        {
            "architecture": "convnextv2_atto",
            "in_chans": 4,
            "extra_outputs": {"structure": 1},
            "statistics": list(MAPPED.statistics),
            "preprocessing": "p99-area-96-mask-sqrt-sample",
            "weights": net.state_dict(),
        },
        tmp_path / "weights.pt",
    )
    plain = Recipe(resize="area", sqrt=True, sample=True, statistics=MAPPED.statistics, phases=MAPPED.phases)
    again = read_start(tmp_path / "weights.pt", plain, architecture=None)
    assert again.recipe.sample_statistics
    torch.testing.assert_close(again.weights["head.sample.0.weight"], net.state_dict()["head.sample.0.weight"])


def _bundled() -> Path:
    import ionmorphnet as imn

    return imn.load_model().folder
