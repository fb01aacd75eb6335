"""Published checkpoints: the layout of reference-behaviour, on synthetic files.

No published checkpoint can be had here. The checkpoints of these tests are SYNTHETIC: random weights of our own module,
written in the published layout, with the names that the two forms of weight dropout give them.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

import ionmorphnet as imn  # noqa: E402
from ionmorphnet.base.errors import FileError, IonMorphNetError  # noqa: E402
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2  # noqa: E402
from ionmorphnet.models.networks.derive import read_network  # noqa: E402
from ionmorphnet.models.networks.onnx_export import check_parity, export_onnx, torch_outputs  # noqa: E402
from ionmorphnet.reference.preprocess import preprocess  # noqa: E402
from ionmorphnet.simulation import simulate_ion_image  # noqa: E402
from ionmorphnet.training.checkpoints import PREPROCESSING, export_checkpoint, read_checkpoint, unwrapped  # noqa: E402
from ionmorphnet.training.held_out import simulated_held_out  # noqa: E402
from networks import SPECK, add_speck, shaken  # noqa: E402

Names = Callable[[str, int], str]


def plain(name: str, _ndim: int) -> str:
    return name


def wrapped(name: str, ndim: int) -> str:
    """Move convolutions and linear layers (weights with two or more axes) and their biases one level down."""
    layer, _, parameter = name.rpartition(".")
    return f"{layer}.module.{parameter}" if ndim > 1 or layer.endswith(("conv_dw", "fc1", "fc2", "fc")) else name


def raw(name: str, ndim: int) -> str:
    return f"{name}_raw" if ndim > 1 else name


def write_checkpoint(
    folder: Path, net: ConvNeXtV2, *, names: Names = plain, meta: dict[str, Any] | None = None, **changes: Any
) -> Path:
    """A synthetic checkpoint in the published layout; None leaves an entry out."""
    folder.mkdir(exist_ok=True)
    hyperparameters = {"Resnet model": net.name, "Coarse mode": "full", "Learning rate": 3e-4} | (meta or {})
    run = {"Hyperparameters": hyperparameters, "Training type": "hard labels", "Arguments": {"root": "/somewhere"}}
    (folder / "run_meta.json").write_text(json.dumps(run))
    content = {
        "model": {names(name, value.ndim): value for name, value in net.state_dict().items()},
        "labels": list(imn.CLASSES),
        "input_hw": (224, 224),
        "hyperparams": hyperparameters,
        "epoch": 17,
        "optimizer": {"state": {}, "param_groups": [{"lr": 3e-4, "betas": (0.9, 0.999)}]},
        "best_val_loss": 0.5,
        "best_val_acc": 0.8,
    } | changes
    torch.save({key: value for key, value in content.items() if value is not None}, folder / "best_model.pt")
    return folder


@pytest.fixture
def speck(monkeypatch: pytest.MonkeyPatch) -> ConvNeXtV2:
    return shaken(add_speck(monkeypatch))


@pytest.mark.parametrize("names", [plain, wrapped, raw])
def test_names_of_weight_dropout_are_understood(speck: ConvNeXtV2, tmp_path: Path, names: Names) -> None:
    folder = write_checkpoint(tmp_path / "run", speck, names=names)
    written = torch.load(folder / "best_model.pt", weights_only=True)["model"]
    assert (set(written) == set(speck.state_dict())) == (names is plain)
    read = read_checkpoint(folder)
    assert not read.model.training
    torch.testing.assert_close(dict(read.model.state_dict()), dict(speck.state_dict()), rtol=0, atol=0)
    assert read.facts["epoch"] == 17
    assert read.facts["training_type"] == "hard labels"
    assert "/somewhere" not in json.dumps(read.facts)


def test_duplicate_parameters_are_refused() -> None:
    state = {"fc.module.weight": torch.zeros(2), "fc.weight_raw": torch.ones(2)}
    with pytest.raises(FileError, match=r"fc\.weight occurs twice"):
        unwrapped(state, Path("best_model.pt"))


@pytest.mark.parametrize("form", ["by name", "by index", "tuple"])
def test_labels_may_be_a_mapping(speck: ConvNeXtV2, tmp_path: Path, form: str) -> None:
    shuffled = [3, 0, 5, 1, 2, 4]
    forms = {
        "by name": {imn.CLASSES[i]: i for i in shuffled},
        "by index": {i: imn.CLASSES[i] for i in shuffled},
        "tuple": imn.CLASSES,
    }
    read_checkpoint(write_checkpoint(tmp_path / "run", speck, labels=forms[form], input_hw=224))
    wrong = {name: (i + 1) % 6 for i, name in enumerate(imn.CLASSES)}
    with pytest.raises(FileError, match=r"labels must be structured, .* got negative, structured"):
        read_checkpoint(write_checkpoint(tmp_path / "run", speck, labels=wrong))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"meta": {"Coarse mode": "binary"}}, r"run_meta\.json: coarse mode 'binary' is not supported, only 'full'"),
        ({"meta": {"Coarse mode": None}}, "coarse mode None"),
        ({"meta": {"Resnet model": "resnet50"}}, "'resnet50' is not supported; supported: .*convnextv2_tiny"),
        ({"meta": {"Resnet model": None}}, "'Resnet model' .* is missing"),
        ({"labels": list(imn.CLASSES[::-1])}, "labels must be structured, .* got negative"),
        ({"labels": ["on", "off"]}, "got on, off"),
        ({"labels": None}, "'labels' .* is missing"),
        ({"input_hw": [96, 96]}, "image size 96 x 96 is not supported, only 224 x 224"),
        ({"input_hw": None}, "'input_hw' .* is missing"),
        ({"model": None}, "'model' .* is missing"),
        ({"hyperparams": {"out": Path("x")}}, r"holds an object of pathlib\.\w+; only tensors"),
    ],
)
def test_other_checkpoints_are_refused(speck: ConvNeXtV2, tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    folder = write_checkpoint(tmp_path / "run", speck, **changes)
    with pytest.raises(FileError, match=text) as caught:
        export_checkpoint(folder, tmp_path / "m")
    assert str(folder) in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_other_weights_are_refused(speck: ConvNeXtV2, tmp_path: Path) -> None:
    state = dict(speck.state_dict())
    cases = [
        (
            {k: v for k, v in state.items() if "grn" not in k},
            r"missing stages\.0\.blocks\.0\.mlp\.grn\.weight, .* 6 more",
        ),
        (state | {"head.extra.weight": torch.zeros(1)}, r"unexpected head\.extra\.weight"),
        (state | {"stem.1.weight": torch.zeros(9)}, r"stem\.1\.weight \(9,\), expected \(8,\)"),
        (state | {"stem.0.weight": torch.zeros(8, 3, 4, 4)}, "3 input channels are not supported, only 1"),
        (state | {"head.fc.weight": torch.zeros(2, 32)}, "2 classes are not supported, only 6"),
        (state | {"head.fc.bias": torch.full((6,), float("inf"))}, r"head\.fc\.bias has values that are not finite"),
    ]
    for model, text in cases:
        with pytest.raises(FileError, match=text):
            read_checkpoint(write_checkpoint(tmp_path / "run", speck, model=model))


def test_missing_and_damaged_files(speck: ConvNeXtV2, tmp_path: Path) -> None:
    with pytest.raises(FileError, match="no such checkpoint folder"):
        read_checkpoint(tmp_path / "none")
    folder = write_checkpoint(tmp_path / "run", speck)
    with pytest.raises(FileError, match="is a file, not a checkpoint folder"):
        read_checkpoint(folder / "best_model.pt")
    (folder / "best_model.pt").write_bytes(b"x" * 100)
    with pytest.raises(FileError, match=r"best_model\.pt: damaged"):
        read_checkpoint(folder)
    (folder / "best_model.pt").unlink()
    with pytest.raises(FileError, match=r"best_model\.pt: no such file"):
        read_checkpoint(folder)
    for text, cause in (("{", "not valid JSON"), ("[]", "'Hyperparameters' is missing")):
        (folder / "run_meta.json").write_text(text)
        with pytest.raises(FileError, match=cause):
            read_checkpoint(folder)
    (folder / "run_meta.json").unlink()
    with pytest.raises(FileError, match=r"run_meta\.json: No such file"):
        read_checkpoint(folder)


@pytest.mark.parametrize("architecture", [SPECK, pytest.param("convnextv2_atto", marks=pytest.mark.long)])
def test_picking_with_an_exported_checkpoint(
    architecture: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, section: Path, cli: Callable[..., Any]
) -> None:
    """With the published score and preprocessing, the command's picks agree with torch."""
    add_speck(monkeypatch)
    net = shaken(architecture)
    folder, out = write_checkpoint(tmp_path / "run", net, names=wrapped), tmp_path / "published"
    done = cli("export", "--from-checkpoint", folder, "-o", out, "--images", 20)
    assert done.code == 0, done
    assert "none published" in done.stdout
    config = json.loads((out / "config.json").read_text())
    assert config["format"] == 1
    assert config["preprocessing"] == "p99-stretch-224"
    assert config["score"] == {"kind": "sum_of_probabilities", "classes": ["structured", "localized", "negative"]}
    assert config["threshold"] == 0.5
    assert config["calibration"] == "not calibrated"
    assert config["licence"] == "not stated in the checkpoint"
    torch.testing.assert_close(dict(read_network(out).state_dict()), dict(net.state_dict()), rtol=0, atol=0)

    images = [simulate_ion_image(np.random.default_rng(k), shape=(40, 50)).image for k in range(4)]
    inputs = np.concatenate([preprocess(image[None], "p99-stretch-224") for image in images])
    logits = torch_outputs(net, inputs, None).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    found = imn.score_images(np.stack(images), model=out, precision="f32")
    np.testing.assert_allclose(found["score"], p[:, [0, 2, 5]].sum(1), atol=1e-4)

    done = cli("pick", section, "-o", tmp_path / "picked", "--model", out, "--top", 5)
    assert done.code == 0, done
    run = json.loads((tmp_path / "picked" / section.stem / "run.json").read_text())
    assert "published" in json.dumps(run)
    assert len((tmp_path / "picked" / section.stem / "peaks.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize(
    "architecture",
    [
        SPECK,
        pytest.param("convnextv2_atto", marks=pytest.mark.long),
        pytest.param("convnextv2_tiny", marks=pytest.mark.long),
    ],
)
def test_published_sizes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, architecture: str) -> None:
    """Layers of 1 x 1 stored as matrices, as in Tiny and its little likeness, or as convolutions, as in Atto."""
    add_speck(monkeypatch)
    folder = write_checkpoint(tmp_path / "run", shaken(architecture), names=raw)
    config = export_checkpoint(folder, tmp_path / "exported", images=2, licence="CC0-1.0")
    assert config["architecture"] == architecture
    assert config["licence"] == "CC0-1.0"
    metrics = config["metrics"]
    assert metrics["onnx_against_torch_max_logit_difference"] <= metrics["onnx_against_torch_allowed"] < 1e-3
    assert imn.load_model(tmp_path / "exported").name == "exported"


def published(architecture: str, *, grn: float) -> ConvNeXtV2:
    """Random weights in the published layout: response normalisation at work, logits of standard deviation 2."""
    torch.manual_seed(7)
    net = ConvNeXtV2(architecture).eval()
    images = np.concatenate([part.images for part in simulated_held_out(8, PREPROCESSING, statistics=False)])
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".grn." in name:
                parameter.normal_(0.0, grn)
        net.head.fc.weight.mul_(2.0 / float(torch_outputs(net, images, None).std(0).mean()))
        net.head.fc.bias.uniform_(0.02, 0.04)  # 1 to 2 % of the spread
    return net


@pytest.mark.parametrize(
    ("architecture", "grn"),
    [(SPECK, 0.5), (SPECK, 3.0), pytest.param("convnextv2_tiny", 5.0, marks=pytest.mark.long)],
)
def test_wide_logits_are_not_refused_for_rounding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, architecture: str, grn: float
) -> None:
    add_speck(monkeypatch)
    net = published(architecture, grn=grn)
    folder = write_checkpoint(tmp_path / "run", net)
    metrics = export_checkpoint(folder, tmp_path / "exported", images=8)["metrics"]
    assert metrics["onnx_against_torch_max_logit_difference"] <= metrics["onnx_against_torch_allowed"]
    assert metrics["torch_float32_rounding"] > 0
    assert metrics["onnx_against_torch_allowed"] < 0.02  # 1 % of the spread


def permuted(net: ConvNeXtV2) -> None:
    net.head.fc.weight.copy_(net.head.fc.weight[[1, 0, 2, 3, 4, 5]])


def scaled(net: ConvNeXtV2) -> None:
    net.stages[2].blocks[1].mlp.fc2.weight.mul_(1.02)


def without_bias(net: ConvNeXtV2) -> None:
    net.head.fc.bias[3] = 0.0


@pytest.mark.parametrize("grn", [0.5, 3.0])
def test_a_mismatch_is_refused_however_wide_the_logits(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, grn: float
) -> None:
    add_speck(monkeypatch)
    net = published(SPECK, grn=grn)
    images = np.concatenate([part.images for part in simulated_held_out(8, PREPROCESSING, statistics=False)])
    export_onnx(net, tmp_path / "model.onnx", 224)
    check_parity(net, tmp_path / "model.onnx", images)
    for change in (permuted, scaled, without_bias):
        changed = copy.deepcopy(net)
        with torch.no_grad():
            change(changed)
        with pytest.raises(IonMorphNetError, match=r"model\.onnx: differs from torch by .* allowed"):
            check_parity(changed, tmp_path / "model.onnx", images)


def test_tiny_has_the_published_layout() -> None:
    """Only shapes: 28 million parameters, the 1 x 1 layers as matrices."""
    with torch.device("meta"):
        net = ConvNeXtV2("convnextv2_tiny")
    shapes = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    assert shapes["stages.2.blocks.8.mlp.fc1.weight"] == (1536, 384)
    assert shapes["stages.3.blocks.2.mlp.fc2.weight"] == (768, 3072)
    assert sum(np.prod(shape) for shape in shapes.values()) == pytest.approx(27.9e6, rel=0.01)
