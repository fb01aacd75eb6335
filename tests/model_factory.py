"""Model folders with tiny networks, for tests: linear in the mean of each image channel and in the statistics."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ionmorphnet.models.labels import CLASSES
from ionmorphnet.models.preprocessing import Preprocessing

INFORMATIVE = {"kind": "sum_of_probabilities", "classes": ["structured", "localized", "negative"]}


def save_onnx(path: Path, nodes: list, inputs: list, outputs: list, constants: dict[str, np.ndarray]) -> Path:
    """Writes a graph that onnx itself finds valid."""
    initializers = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    return path


def tensor(name: str, shape: list, kind: int = TensorProto.FLOAT) -> object:
    """An input or output of a graph."""
    return helper.make_tensor_value_info(name, kind, shape)


@dataclass(frozen=True)
class Network:
    """The same arithmetic as the ONNX file, in numpy."""

    of_means: np.ndarray
    of_statistics: np.ndarray
    bias: np.ndarray

    def __call__(self, images: np.ndarray, statistics: np.ndarray | None = None) -> np.ndarray:
        """(n, c, h, w), (n, f) -> (n, k)."""
        outputs = images.mean(axis=(2, 3), dtype=np.float64) @ self.of_means + self.bias
        if statistics is not None:
            outputs += statistics @ self.of_statistics
        return outputs.astype(np.float32)


def write_network(
    path: Path, *, n_outputs: int = 6, n_statistics: int = 0, channels: int = 1, size: int = 224, seed: int = 3
) -> Network:
    """Writes an ONNX file with the input ``image`` and, for n_statistics > 0, ``statistics``."""
    rng = np.random.default_rng(seed)
    network = Network(
        rng.normal(size=(channels, n_outputs)).astype(np.float32) * 4,
        rng.normal(size=(n_statistics, n_outputs)).astype(np.float32),
        rng.normal(size=n_outputs).astype(np.float32),
    )
    inputs = [tensor("image", ["n", channels, size, size])]
    constants = {"w": network.of_means, "b": network.bias}
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("Gemm", ["means", "w", "b"], ["y" if n_statistics == 0 else "of_image"]),
    ]
    if n_statistics:
        # The order of the inputs must not matter.
        inputs.insert(0, tensor("statistics", ["n", n_statistics]))
        constants["v"] = network.of_statistics
        nodes.append(helper.make_node("MatMul", ["statistics", "v"], ["of_statistics"]))
        nodes.append(helper.make_node("Add", ["of_image", "of_statistics"], ["y"]))
    save_onnx(path, nodes, inputs, [tensor("y", ["n", n_outputs])], constants)
    return network


def write_model(
    folder: Path,
    *,
    structure: bool = False,
    statistics: Sequence[str] = (),
    preprocessing: str = "p99-stretch-224",
    **config: Any,
) -> Network:
    """Writes a model folder of format 2; what is in ``config`` replaces keys of config.json, None removes them."""
    folder.mkdir(parents=True, exist_ok=True)
    values: dict[str, Any] = {
        "format": 2,
        "name": folder.name,
        "architecture": "linear",
        "preprocessing": preprocessing,
        "classes": list(CLASSES),
        "outputs": ["logits", "structure"] if structure else ["logits"],
        "statistics": list(statistics),
        "score": {"kind": "structure"} if structure else INFORMATIVE,
        "threshold": 0.5,
    } | config
    values = {key: value for key, value in values.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(values))
    return write_network(
        folder / "model.onnx",
        n_outputs=7 if structure else 6,
        n_statistics=len(statistics),
        channels=Preprocessing.parse(preprocessing).shape[0],
        size=Preprocessing.parse(preprocessing).size,
    )
