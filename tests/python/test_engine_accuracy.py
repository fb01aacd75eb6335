"""Accuracy of 16 bit: typed graphs of the bundled model compared with float32, and their distance from overflow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.engine import Prepared, TypedNetwork, agreement, extreme_inputs, reference_outputs, simulated_inputs
from ionmorphnet.engine.accuracy import Ranges
from ionmorphnet.scoring.tensorrt.graph import Constant, read_onnx, write_onnx
from ionmorphnet.scoring.tensorrt.rewrite import rewritten
from ionmorphnet.scoring.tensorrt.typed import typed_onnx

# Largest difference of a logit, smallest rank correlation of the score; docs/maintainers/engines.md has measurements.
TOLERANCE = {"bf16": (0.1, 0.999), "fp16": (0.02, 0.9999)}


@pytest.fixture(scope="module")
def model() -> imn.Model:
    return imn.load_model()


@pytest.fixture(scope="module")
def simulated(model: imn.Model) -> tuple[Prepared, np.ndarray]:
    prepared = simulated_inputs(model, 6, seed=4)
    return prepared, reference_outputs(model, prepared)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_simulated_images(precision: str, model: imn.Model, simulated: tuple[Prepared, np.ndarray]) -> None:
    prepared, reference = simulated
    network = TypedNetwork(model, precision)
    found = agreement(model, network(prepared), reference)
    largest, correlation = TOLERANCE[precision]
    assert found.images == 6
    assert 0 < found.rms_difference < found.max_difference < largest
    assert found.spearman >= correlation
    assert found.max_score_difference < 0.01
    assert found.top1 == 1.0
    assert network.ranges.margin > 50


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_real_images(precision: str, model: imn.Model, shared_data: Callable[[str], Path]) -> None:
    with np.load(shared_data("ion_images/bladder150.npz")) as arrays:
        stack = arrays["images"][::19].astype(np.float32)
        stack[:, ~arrays["mask"].astype(bool)] = np.nan
    prepared = Prepared.of(model, list(stack))
    reference = reference_outputs(model, prepared)
    network = TypedNetwork(model, precision)
    found = agreement(model, network(prepared), reference)
    largest, correlation = TOLERANCE[precision]
    assert found.images == 8
    assert 0 < found.max_difference < largest
    assert found.spearman >= correlation
    assert found.top1 == 1.0
    assert network.ranges.margin > 50


def test_extreme_inputs_do_not_overflow_float16(model: imn.Model) -> None:
    inputs = extreme_inputs(model)
    assert inputs.images.shape == (33, 2, 224, 224)
    assert len({image.tobytes() for image in inputs.images}) > 25
    some = Prepared(inputs.images[:9], inputs.statistics[:9])
    network = TypedNetwork(model, "fp16")
    outputs = network(some)
    assert np.isfinite(outputs).all()
    assert len(network.ranges.largest) > 100  # weights and activations
    assert all(np.isfinite(value) for value in network.ranges.largest.values())
    assert network.ranges.margin > 50
    assert np.abs(outputs - reference_outputs(model, some)).max() < 0.05


def test_an_overflow_is_found(model: imn.Model, tmp_path: Path) -> None:
    """The same network with its first convolution scaled by a million."""
    graph = rewritten(read_onnx(model.onnx_path))
    weight = graph.constants["stem.0.weight"]
    graph.constants["stem.0.weight"] = Constant(weight.values * 1e6, "f32")
    (tmp_path / "model.onnx").write_bytes(write_onnx(graph))
    loud = replace(model, folder=tmp_path)
    network = TypedNetwork(loud, "fp16")
    network(simulated_inputs(model, 1, seed=1))
    assert network.ranges.margin < 1
    assert network.ranges.top(1)[0][1] == float("inf") or network.ranges.maximum > 65504


def test_bf16_convolutions_of_openvino(model: imn.Model, simulated: tuple[Prepared, np.ndarray]) -> None:
    """On a CPU with bf16, OpenVINO runs the typed graph with bf16 convolutions and float32 reductions."""
    core = openvino.Core()
    has_bf16 = "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    prepared, reference = simulated
    read = openvino.preprocess.PrePostProcessor(core.read_model(typed_onnx(model, "bf16", len(prepared))))
    read.input("image").tensor().set_element_type(openvino.Type.f32)
    network = core.compile_model(read.build(), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    kinds: dict[str, set[str]] = {}
    for node in network.get_runtime_model().get_ordered_ops():
        info = node.get_rt_info()
        kinds.setdefault(info["layerType"].astype(str), set()).add(info["runtimePrecision"].astype(str))
    assert kinds["Convolution"] == {"bf16" if has_bf16 else "f32"}
    assert kinds["Reduce"] == {"f32"}
    outputs = np.array(network({"image": prepared.images, "statistics": prepared.statistics})[0])
    found = agreement(model, outputs, reference)
    assert found.max_difference < TOLERANCE["bf16"][0]
    assert found.max_difference > 1e-5 or not has_bf16
    assert found.spearman >= TOLERANCE["bf16"][1]


def test_agreement(model: imn.Model) -> None:
    rng = np.random.default_rng(1)
    outputs = rng.normal(size=(20, 7)).astype(np.float32)
    same = agreement(model, outputs, outputs)
    assert (same.max_difference, same.spearman, same.top1) == (0.0, 1.0, 1.0)
    changed = outputs.copy()
    changed[:, 6] *= -1
    changed[:5, :6] = -outputs[:5, :6]
    other = agreement(model, changed, outputs)
    assert other.spearman == pytest.approx(-1.0)
    assert other.top1 == 0.75
    assert other.max_difference == pytest.approx(2 * max(np.abs(outputs[:, 6]).max(), np.abs(outputs[:5, :6]).max()))
    for shape in ((20, 6), (0, 7)):
        with pytest.raises(ArgumentError, match="cannot compare outputs of shapes"):
            agreement(model, np.zeros(shape, np.float32), outputs[: shape[0]])


def test_ranges() -> None:
    ranges = Ranges("fp16")
    assert (ranges.maximum, ranges.margin) == (0.0, float("inf"))
    ranges.note("a", "fp16", np.array([1.0, -4.0], np.float32))
    ranges.note("a", "fp16", np.array([3.0], np.float32))
    ranges.note("b", "f32", np.array([1e9], np.float32))
    ranges.note("c", "fp16", np.zeros(0, np.float32))
    assert ranges.largest == {"a": 4.0}
    assert ranges.margin == 65504 / 4
    ranges.note("d", "fp16", np.array([np.nan], np.float32))
    assert ranges.top(1) == [("d", float("inf"))]
    assert ranges.margin == 0.0
