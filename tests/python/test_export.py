"""Export to ONNX and model folders: equal outputs, parameter names, atomic folders."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from safetensors import safe_open  # noqa: E402
from safetensors.torch import load_file  # noqa: E402

import ionmorphnet as imn  # noqa: E402
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError  # noqa: E402
from ionmorphnet.evaluate.metrics import spearman  # noqa: E402
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2, channel_first  # noqa: E402
from ionmorphnet.models.networks.deploy import deployed, restored  # noqa: E402
from ionmorphnet.models.networks.derive import derive_safetensors, network_of_folder, read_network  # noqa: E402
from ionmorphnet.models.networks.onnx_export import (  # noqa: E402
    check_parity,
    export_onnx,
    openvino_outputs,
    output_names,
    torch_outputs,
)
from ionmorphnet.training import export  # noqa: E402
from ionmorphnet.training.calibration import sigmoid  # noqa: E402
from ionmorphnet.training.export import export_model, score_weights, scores  # noqa: E402
from ionmorphnet.training.held_out import HeldOut, simulated_held_out  # noqa: E402
from networks import add_speck, shaken, write_weights  # noqa: E402

FULL = {"in_chans": 2, "extra_outputs": {"structure": 1}, "statistics": 4}


@pytest.fixture
def speck(monkeypatch: pytest.MonkeyPatch) -> str:
    return add_speck(monkeypatch)


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[ConvNeXtV2, Path]:
    """A network with two channels, statistics and structure, and its ONNX file."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        net = shaken(add_speck(monkeypatch), **FULL)
    path = tmp_path_factory.mktemp("full") / "model.onnx"
    export_onnx(net, path, 224)
    return net, path


def held_out(n: int, *, channels: int = 2, statistics: bool = True, seed: int = 5) -> Iterator[HeldOut]:
    rng = np.random.default_rng(seed)
    labels = np.eye(6)[np.arange(n) % 6] * 0.8 + 0.2 / 6
    for rows in np.array_split(np.arange(n), 3):
        yield HeldOut(
            rng.random((len(rows), channels, 224, 224), dtype=np.float32),
            rng.random((len(rows), 4), dtype=np.float32) if statistics else None,
            labels[rows],
            rng.uniform(0, 3, len(rows)),
        )


@pytest.mark.parametrize("architecture", ["convnextv2_atto", "speck"])
def test_the_deployed_form_is_exact(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Folding is exact up to rounding: in float32 the difference is that between the two layouts."""
    name = add_speck(monkeypatch) if architecture == "speck" else architecture
    net = shaken(name, **FULL)
    x, s = torch.rand(2, 2, 96, 64), torch.rand(2, 4)
    fast = deployed(net)
    assert len(fast.state_dict()) < len(net.state_dict())
    with torch.no_grad():
        for out, expected in zip(fast.forward_all(x, s).values(), net.forward_all(x, s).values(), strict=True):
            assert expected.abs().max() > 0.1
            torch.testing.assert_close(out, expected, atol=2e-5, rtol=0)
        exact = {k: v.double() for k, v in restored(fast.state_dict(), net).items()}
        double = ConvNeXtV2(name, **FULL).double().eval()
        double.load_state_dict(exact)
        with channel_first(double):
            folded = double(x.double(), s.double())
        torch.testing.assert_close(folded, net.double()(x.double(), s.double()), atol=2e-6, rtol=0)


def test_restoring_names_what_does_not_fit(speck: str) -> None:
    net = shaken(speck)
    parameters = dict(deployed(net).state_dict())
    for changed, text in (
        ({k: v for k, v in parameters.items() if k != "head.fc.bias"}, r"head\.fc\.bias is missing"),
        (parameters | {"extra": torch.zeros(1)}, "extra is not a parameter of"),
        (parameters | {"stem.0.bias": torch.zeros(3)}, r"stem\.0\.bias has shape \(3,\), expected \(8,\)"),
    ):
        with pytest.raises(IonMorphNetError, match=text):
            restored(changed, net)


def test_onnx_of_the_full_network(full: tuple[ConvNeXtV2, Path], rng: np.random.Generator) -> None:
    net, path = full
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
    content = path.read_bytes()
    assert b".py" not in content
    assert str(Path.home()).encode() not in content
    graph = onnx.load(str(path)).graph
    shapes = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input}
    assert shapes == {"image": ["batch", 2, 224, 224], "statistics": ["batch", 4]}
    assert [(o.name, o.type.tensor_type.shape.dim[1].dim_value) for o in graph.output] == [("outputs", 7)]
    assert {i.name for i in graph.initializer} == set(deployed(net).state_dict())
    assert not {"SplitToSequence", "Transpose"} & {node.op_type for node in graph.node}
    images = rng.random((5, 2, 224, 224), dtype=np.float32)
    statistics = rng.random((5, 4), dtype=np.float32)
    parity = check_parity(net, path, images, statistics)
    assert parity.difference < 1e-4
    assert 1e-4 <= parity.allowed < 1e-3
    # The statistics matter, and images do not influence each other.
    other = openvino_outputs(path, images, statistics + 1.0)
    assert np.abs(other - torch_outputs(net, images, statistics)).max() > 1e-2
    np.testing.assert_allclose(openvino_outputs(path, images[2:3], statistics[2:3] + 1.0), other[2:3], atol=1e-5)


def test_a_file_that_differs_from_torch_is_refused(full: tuple[ConvNeXtV2, Path], rng: np.random.Generator) -> None:
    net, path = full
    images, statistics = rng.random((2, 2, 224, 224), dtype=np.float32), rng.random((2, 4), dtype=np.float32)
    with torch.no_grad():
        bias = net.head.extra["structure"].bias
        bias.add_(0.01)
        with pytest.raises(IonMorphNetError, match="differs from torch"):
            check_parity(net, path, images, statistics)
        bias.sub_(0.01)


def test_unknown_outputs_are_refused(speck: str, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="depth"):
        export_onnx(ConvNeXtV2(speck, extra_outputs={"depth": 1}), tmp_path / "x.onnx", 224)
    with pytest.raises(ArgumentError, match="structure"):
        output_names(ConvNeXtV2(speck, extra_outputs={"structure": 2}))
    assert not list(tmp_path.iterdir())


def test_a_full_model_folder(speck: str, tmp_path: Path, rng: np.random.Generator) -> None:
    net = shaken(speck, **FULL)
    weights = write_weights(tmp_path / "weights.pt", net)
    out = tmp_path / "new" / "speck-1"
    written = export_model(
        weights, out, validation=held_out(24), data="random numbers", card={"fails_on": ["everything"]}
    )
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config == written
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "model.onnx", "model.safetensors"]
    assert [p.name for p in out.parent.iterdir()] == ["speck-1"]
    assert config["format"] == 2
    assert config["name"] == "speck-1"
    assert config["preprocessing"] == "p99-stretch-224-mask"
    assert config["input"] == {"name": "image", "channels": 2, "size": 224}
    assert config["statistics"] == ["moran", "blur", "chaos", "coverage"]
    assert config["outputs"] == ["logits", "structure"]
    assert config["score"] == {"kind": "structure"}
    assert config["card"] == {"fails_on": ["everything"]}
    assert config["provenance"]["data"] == "random numbers"
    assert config["provenance"]["source"] == {"images_seen": 8, "best_loss": None}
    assert config["provenance"]["recipe"]["phases"] == [{"size": 64, "images": 8}]
    assert config["metrics"]["onnx_against_torch_max_logit_difference"] < 1e-4
    assert config["metrics"]["validation"]["images"] == 24
    agreement = config["metrics"]["bf16_against_f32"]
    assert agreement == "not run" or (agreement["images"] == 24 and 0 < agreement["max_output_difference"] < 1)
    calibration = config["calibration"]
    assert calibration["images"] == calibration["measured_on"] == 12

    # What is written is the calibrated network, in both files.
    images, statistics = rng.random((4, 2, 224, 224), dtype=np.float32), rng.random((4, 4), dtype=np.float32)
    raw = torch_outputs(net, images, statistics).astype(np.float64)
    expected = raw.copy()
    expected[:, :6] /= calibration["temperature"]
    expected[:, 6] = calibration["structure"]["scale"] * raw[:, 6] + calibration["structure"]["shift"]
    assert np.abs(expected - raw).max() > 0.01
    np.testing.assert_allclose(openvino_outputs(out / "model.onnx", images, statistics), expected, atol=1e-4)
    stored = network_of_folder(out, config)
    np.testing.assert_allclose(torch_outputs(stored, images, statistics), expected, atol=1e-4)
    # Body: the very trained parameters. Without the file: derived from the ONNX file, the same outputs.
    assert torch.equal(stored.stages[0].blocks[0].norm.weight, net.stages[0].blocks[0].norm.weight)
    (out / "model.safetensors").unlink()
    derived = network_of_folder(out, config)
    assert torch.equal(derived.stages[0].blocks[0].norm.weight, torch.ones(8))
    np.testing.assert_allclose(torch_outputs(derived, images, statistics), expected, atol=1e-4)


def test_bundled_folders_are_small(speck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = write_weights(tmp_path / "weights.pt", shaken(speck))
    out = tmp_path / "m"
    options: dict[str, Any] = {"bundled": True, "name": "speck", "licence": "CC0-1.0"}
    config = export_model(weights, out, validation=held_out(12, channels=1, statistics=False), **options)
    assert sorted(p.name for p in out.iterdir()) == ["config.json", "model.onnx"]
    assert config["format"] == 1
    assert (config["name"], config["licence"]) == ("speck", "CC0-1.0")
    assert config["score"]["kind"] == "weighted_probabilities"
    assert "structure" not in config["calibration"]
    model = imn.load_model(out)
    assert model.threshold == config["threshold"]

    def large_network(_net: object, folder: Path, *_: object) -> dict[str, Any]:
        (folder / "model.onnx").write_bytes(bytes(16_000_001))
        return {}

    # A folder that gets too large is not written, and the one before stays.
    before = (out / "model.onnx").read_bytes()
    monkeypatch.setattr(export, "write_network", large_network)
    with pytest.raises(FileError, match="limit of bundled models"):
        export_model(weights, out, validation=held_out(12, channels=1, statistics=False), **options)
    assert (out / "model.onnx").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m", "weights.pt"]
    # Its safetensors can be derived, load strictly and give the network's outputs.
    (out / "config.json").write_text(json.dumps({**config, "int8": {"same_class": 1.0}}))
    for name in ("model.int8.xml", "model.int8.bin"):
        (out / name).touch()
    derived = derive_safetensors(out, tmp_path / "derived")
    assert "int8" not in derived
    assert derived["safetensors"]["max_output_difference_to_onnx"] < 1e-4
    net = ConvNeXtV2(speck)
    state = load_file(tmp_path / "derived" / "model.safetensors")
    net.load_state_dict(state, strict=True)
    assert all(value.dtype == torch.float32 for value in state.values())
    with safe_open(tmp_path / "derived" / "model.safetensors", "pt") as stored:
        assert "derived from model.onnx" in stored.metadata()["origin"]
    images = np.random.default_rng(1).random((3, 1, 224, 224), dtype=np.float32)
    np.testing.assert_allclose(
        torch_outputs(net.eval(), images, None), openvino_outputs(out / "model.onnx", images), atol=1e-4
    )
    assert imn.load_model(tmp_path / "derived").sha256 == model.sha256
    with pytest.raises(ArgumentError, match="is the model itself"):
        derive_safetensors(out, out)


def test_a_failed_export_leaves_nothing(speck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = write_weights(tmp_path / "weights.pt", shaken(speck))

    def differ(_net: object, folder: Path, *_: object) -> None:
        (folder / "model.onnx").write_bytes(b"half")
        raise IonMorphNetError("model.onnx: differs from torch by 1")

    monkeypatch.setattr(export, "write_network", differ)
    with pytest.raises(IonMorphNetError, match="differs"):
        export_model(weights, tmp_path / "m", validation=held_out(12, channels=1, statistics=False))
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pt"]


def with_grades(parts: Iterable[HeldOut], grades: Callable[[np.ndarray], np.ndarray]) -> list[HeldOut]:
    return [replace(part, structure=grades(part.structure)) for part in parts]


def no_network(_net: object, folder: Path, *_: object) -> dict[str, Any]:
    """Stands in for the ONNX export, which takes seconds and does not affect the calibration."""
    (folder / "model.onnx").write_bytes(b"no network")
    return {}


def test_images_without_a_grade_count_for_the_classes_only(
    speck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not affect the structure, whatever their position."""
    monkeypatch.setattr(export, "write_network", no_network)
    weights = write_weights(tmp_path / "weights.pt", shaken(speck, **FULL))
    graded = list(held_out(18))
    unknown = with_grades(held_out(12, seed=6), lambda structure: np.full_like(structure, np.nan))
    alone = export_model(weights, tmp_path / "a", validation=graded, statistics_share=0.3)
    both = export_model(weights, tmp_path / "b", validation=[*unknown, *graded], statistics_share=0.3)
    assert (both["metrics"]["validation"]["images"], both["metrics"]["validation"]["graded"]) == (30, 18)
    assert both["fusion"] == alone["fusion"]
    assert both["calibration"]["structure"] == alone["calibration"]["structure"]
    assert both["calibration"]["temperature"] != alone["calibration"]["temperature"]
    for when in ("before", "after"):
        figures = [config["calibration"][when] for config in (alone, both)]
        assert figures[0]["structure_nll"] == figures[1]["structure_nll"] > 0
        assert figures[0]["class_nll"] != figures[1]["class_nll"]
    assert both["threshold"] == alone["threshold"]
    for name in ("spearman", "auc_structure_at_least_half", "balanced_accuracy_at_threshold"):
        assert both["metrics"]["validation"][name] == alone["metrics"]["validation"][name]


def test_class_weights_of_images_without_a_grade(speck: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "write_network", no_network)
    weights = write_weights(tmp_path / "weights.pt", shaken(speck))
    parts = list(held_out(12, channels=1, statistics=False))
    some = with_grades(parts, lambda structure: np.where(np.arange(len(structure)) % 3 == 0, np.nan, structure))
    config = export_model(weights, tmp_path / "m", validation=some)
    assert all(0 < value < 1 for value in config["score"]["weights"].values())


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"images": 0}, "images must be at least 2, got 0"),
        ({"images": -5}, "images must be at least 2"),
        ({"images": 1}, "images must be at least 2"),
        ({"validation": []}, "at least two validation images, got 0"),
        ({"validation": list(held_out(1, channels=1, statistics=False))}, "at least two validation images, got 1"),
        ({"grades": 2.5}, "all 12 grades are at least 1.5"),
        ({"grades": 0.5}, "all 12 grades are less than 1.5"),
        ({"grades": np.nan}, "none of the 12 validation images has a structure grade"),
        ({"grades": 3.5}, "from 0 to 3"),
        ({"grades": np.inf}, "from 0 to 3"),
    ],
)
def test_insufficient_validation_images(speck: str, tmp_path: Path, options: dict[str, Any], text: str) -> None:
    weights = write_weights(tmp_path / "weights.pt", shaken(speck))
    if "grades" in options:
        grade = options["grades"]
        parts = held_out(12, channels=1, statistics=False)
        options = {"validation": with_grades(parts, lambda structure: np.full_like(structure, grade))}
    with pytest.raises(ArgumentError, match=text):
        export_model(weights, tmp_path / "m", **options)
    assert [p.name for p in tmp_path.iterdir()] == ["weights.pt"]


def test_folders_with_other_things_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FileError, match=r"holds thesis\.tex"):
        export_model(tmp_path / "w.pt", tmp_path)
    with pytest.raises(FileError, match="is a file"):
        export_model(tmp_path / "w.pt", tmp_path / "thesis.tex")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": 2}, "weights format 2 is not supported; this version reads 1"),
        ({"architecture": "resnet50"}, "unknown architecture 'resnet50'"),
        ({"preprocessing": "letterbox"}, "unknown preprocessing id 'letterbox'"),
        ({"preprocessing": "p99-stretch-224-mask"}, "1 input channels, but p99-stretch-224-mask produces 2"),
        ({"statistics": ["geary"]}, "unknown statistic 'geary'; known: moran, blur"),
        ({"statistics": ["moran", "moran"]}, "statistics are repeated: moran, moran"),
        ({"statistics": None}, "'statistics' is missing"),
        ({"weights": None}, "not a weights file"),
        ({"weights": {}}, r"missing stem\.0\.weight, .* and \d+ more"),
        ({"weights": {"a": 1}}, "not a mapping of names to tensors"),
        ({"recipe": {"path": Path("x")}}, r"not loaded because it holds an object of pathlib\.\w+"),
    ],
)
def test_weights_that_cannot_be_used(speck: str, tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    path = write_weights(tmp_path / "weights.pt", shaken(speck), **changes)
    with pytest.raises(FileError, match=text) as caught:
        export_model(path, tmp_path / "m")
    assert str(path) in str(caught.value)
    assert not (tmp_path / "m").exists()


def test_files_that_are_not_weights(speck: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with pytest.raises(FileError, match="no such file"):
        export_model(path, tmp_path / "m")
    for content in (b"", b"random bytes", b"PK\x03\x04 half a file"):
        path.write_bytes(content)
        with pytest.raises(FileError, match=r"w\.pt: damaged"):
            export_model(path, tmp_path / "m")
    net = shaken(speck)
    state = dict(net.state_dict())
    state["head.fc.bias"] = torch.full((6,), float("nan"))
    with pytest.raises(FileError, match=r"head\.fc\.bias has values that are not finite"):
        export_model(write_weights(path, net, weights=state), tmp_path / "m")


def test_networks_of_other_origin_are_refused(speck: str, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    folder.mkdir()
    config = {"architecture": speck, "input": {"channels": 1}, "outputs": ["logits"]}
    (folder / "model.onnx").write_bytes(b"no network")
    with pytest.raises(FileError, match="cannot be read as ONNX"):
        network_of_folder(folder, config)
    onnx.save_model(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [])), str(folder / "model.onnx"))
    with pytest.raises(FileError, match="not written by this package's export"):
        network_of_folder(folder, config)
    with pytest.raises(FileError, match="malformed description of the network"):
        network_of_folder(folder, {"architecture": speck})
    (folder / "model.safetensors").write_bytes(b"x")
    with pytest.raises(FileError, match=r"model\.safetensors"):
        network_of_folder(folder, config)


def test_scores_and_class_weights() -> None:
    labels = np.array([[0.5, 0.5, 0, 0, 0, 0], [1.0, 0, 0, 0, 0, 0]])
    assert score_weights(labels, np.array([3.0, 1.5])) == {
        "structured": pytest.approx(0.67),
        "weak_structured": 1.0,
        **dict.fromkeys(imn.CLASSES[2:], 0.0),
    }
    outputs = np.array([[50.0, 0, 0, 0, 0, 0, 1.5], [0, 50.0, 0, 0, 0, 0, -2.0]])
    np.testing.assert_allclose(scores(outputs, {"kind": "structure"}), sigmoid(np.array([1.5, -2.0])))
    published = {"kind": "sum_of_probabilities", "classes": ["structured", "localized", "negative"]}
    np.testing.assert_allclose(scores(outputs, published), [1.0, 0.0], atol=1e-6)
    weighted = {"kind": "weighted_probabilities", "weights": {"structured": 1.0, "weak_structured": 0.5}}
    np.testing.assert_allclose(scores(outputs, weighted), [1.0, 0.5], atol=1e-6)


@pytest.mark.parametrize(
    ("data", "start", "line"),
    [
        ({"kind": "simulated", "images": 8}, "", export.SIMULATED_DATA),
        ({"kind": "simulated"}, "model 12ab", "simulated ion images, starting from model 12ab"),
        (
            {
                "kind": "mixture",
                "parts": [
                    {"kind": "joined", "parts": [{"kind": "npz", "images": 5, "datasets": {"a": 5}}] * 2},
                    {"kind": "simulated"},
                ],
            },
            "",
            "simulated ion images and 10 labelled images of 1 datasets",
        ),
        ({"kind": "imzml", "images": 5, "datasets": {"a": 3, "b": 2}}, "", "5 labelled images of 2 datasets"),
        (None, "", "not recorded"),
    ],
)
def test_the_description_of_the_training_data(data: dict[str, Any] | None, start: str, line: str) -> None:
    assert export.data_line({"data": data}, {"start": start}) == line


def test_rank_correlation() -> None:
    assert spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 21])) == pytest.approx(1.0)
    assert spearman(np.array([1.0, 2, 2, 4]), np.array([4.0, 2, 2, 1])) == pytest.approx(-1.0)
    # By hand: ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4 give 4.5 / sqrt(4.5 * 5).
    assert spearman(np.array([1.0, 2, 2, 4]), np.array([1.0, 3, 2, 4])) == pytest.approx(4.5 / np.sqrt(22.5))
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))


def test_simulated_images_of_the_validation() -> None:
    parts = list(simulated_held_out(5, "p99-stretch-224-mask", statistics=(), batch=3))
    assert [p.images.shape for p in parts] == [(3, 2, 224, 224), (2, 2, 224, 224)]
    assert parts[0].statistics is None
    np.testing.assert_allclose(parts[0].labels.sum(1), 1.0, atol=1e-5)
    assert all(p.structure.min() >= 0 and p.structure.max() <= 3 for p in parts)
    alone = next(simulated_held_out(1, "p99-stretch-224-mask", statistics=()))
    np.testing.assert_array_equal(alone.images[0], parts[0].images[0])


def test_command(speck: str, tmp_path: Path, cli: Callable[..., Any]) -> None:
    weights = write_weights(tmp_path / "weights.pt", shaken(speck))
    done = cli("export", weights, "-o", tmp_path / "m", "--images", 24, "--name", "mine", "--data", "my own")
    assert done.code == 0, done
    assert "mine: convnextv2_speck" in done.stdout
    assert "model.safetensors" in done.stdout
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert config["metrics"]["simulated"]["images"] == 24
    assert config["provenance"]["data"] == "my own"
    done = cli("export", "--from-model", tmp_path / "m", "-o", tmp_path / "copy", "--json")
    assert json.loads(done.stdout)["safetensors"]["max_output_difference_to_onnx"] < 1e-4
    assert read_network(tmp_path / "copy").name == speck
    for arguments, word in (
        ((), "give exactly one of WEIGHTS.pt"),
        ((weights, "--from-model", "x"), "give exactly one of WEIGHTS.pt"),
        (("--from-model", "x", "--name", "n"), "cannot be combined with --from-model"),
        (("--from-checkpoint", "x", "--data", "d"), "cannot be combined with --from-checkpoint"),
    ):
        done = cli("export", *arguments, "-o", tmp_path / "n")
        assert done.code == 2
        assert word in done.stderr
    cli("export", tmp_path / "none.pt", "-o", tmp_path / "n").is_one_line_error("none.pt: no such file")
    cli("export", "--from-model", "nothing", "-o", tmp_path / "n").is_one_line_error("neither a folder nor a bundled")


def test_the_command_without_the_extra(
    tmp_path: Path, cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("ionmorphnet.training.", "ionmorphnet.models.networks."))
    ]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("export_model", "export_checkpoint", "derive_safetensors"):
        monkeypatch.delitem(vars(imn), name, raising=False)  # names that were loaded before
    monkeypatch.setitem(sys.modules, "onnx", None)
    cli("export", "w.pt", "-o", tmp_path / "m").is_one_line_error("extra [train]", "onnx")
