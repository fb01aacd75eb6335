"""Networks as plain lists of nodes, read from and written to ONNX. Only this module imports onnx."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import FileError, UnavailableError
from ionmorphnet.scoring.tensorrt.rounding import bf16_bits, from_bf16_bits

# First opset in which Conv accepts bfloat16. The parser of TensorRT supports it since 10.12.
OPSET = 22
_IR_VERSION = 10


@dataclass(frozen=True)
class Constant:
    """A constant of the network.

    Attributes:
        values: float32 (also for 16-bit types) or int64.
        kind: ``f32``, ``bf16``, ``fp16`` or ``i64``.
    """

    values: NDArray[Any]
    kind: str


@dataclass
class Node:
    """One operation. An omitted input has the name ``""``; the type of a Cast is written as in Constant."""

    op: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Port:
    """Input or output of the network: type and shape, None for a free size."""

    kind: str
    shape: tuple[int | None, ...]


@dataclass
class Graph:
    """A network with one output."""

    inputs: dict[str, Port]
    output: str
    output_port: Port
    nodes: list[Node]
    constants: dict[str, Constant]

    def consumers(self) -> dict[str, list[Node]]:
        """Nodes that read each tensor."""
        found: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(node)
        return found

    def producers(self) -> dict[str, Node]:
        """Node that produces each tensor."""
        return {node.output: node for node in self.nodes}


def require_onnx() -> ModuleType:
    """Imports onnx.

    Raises:
        UnavailableError: onnx is not installed.
    """
    try:
        import onnx
    except ModuleNotFoundError:
        raise UnavailableError(
            "building an engine needs onnx, which is not installed: "
            "pip install 'ionmorphnet[tensorrt]' or 'ionmorphnet[tensorrt-rtx]'"
        ) from None
    return onnx


def read_onnx(source: Path | bytes, name: str = "model.onnx") -> Graph:
    """Reads a network.

    Args:
        source: An ONNX file or its content.
        name: Name of the content in error messages.

    Raises:
        FileError: The source is not ONNX, or not a network of plain tensors with one output.
        UnavailableError: onnx is not installed.
    """
    onnx = require_onnx()
    if isinstance(source, Path):
        name = str(source)
    try:
        proto = onnx.load_from_string(source if isinstance(source, bytes) else source.read_bytes())
    except OSError as error:
        raise FileError(f"{name}: {error.strerror}") from None
    except Exception as error:  # protobuf, whose exception types differ between versions
        raise FileError(f"{name}: not an ONNX file ({error})") from None
    return _read(onnx, proto.graph, name)


def _read(onnx: ModuleType, graph: Any, name: str) -> Graph:
    kinds = _kinds(onnx)

    def constant(tensor: Any) -> Constant:
        if tensor.data_type == onnx.TensorProto.BFLOAT16:
            bits = np.frombuffer(tensor.raw_data, np.uint16).reshape(tuple(tensor.dims))
            return Constant(from_bf16_bits(bits), "bf16")
        values = onnx.numpy_helper.to_array(tensor)
        if tensor.data_type not in kinds:
            raise FileError(f"{name}: constant '{tensor.name}' has an unsupported type ({values.dtype})")
        kind = kinds[tensor.data_type]
        return Constant(values if kind == "i64" else values.astype(np.float32), kind)

    def port(value: Any) -> Port:
        kind = kinds.get(value.type.tensor_type.elem_type, "")
        if kind in ("", "i64"):
            raise FileError(f"{name}: '{value.name}' is not a tensor of floating-point numbers")
        return Port(kind, tuple(d.dim_value or None for d in value.type.tensor_type.shape.dim))

    constants = {tensor.name: constant(tensor) for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        if len(node.output) != 1:
            raise FileError(f"{name}: {node.op_type} with {len(node.output)} outputs is not supported")
        if node.op_type == "Constant":
            constants[node.output[0]] = _value(constant, attributes)
        else:
            if node.op_type == "Cast":
                attributes = {"to": kinds.get(attributes["to"], "")}
            nodes.append(Node(node.op_type, list(node.input), node.output[0], attributes))
    if len(graph.output) != 1:
        raise FileError(f"{name}: expected one output, found {len(graph.output)}")
    inputs = {value.name: port(value) for value in graph.input if value.name not in constants}
    return Graph(inputs, graph.output[0].name, port(graph.output[0]), nodes, constants)


def _value(constant: Any, attributes: dict[str, Any]) -> Constant:
    """Value of a Constant node, stored in one of several attributes."""
    key, value = next(iter(attributes.items()))
    if key == "value":
        read: Constant = constant(value)
        return read
    whole = key in ("value_int", "value_ints")
    return Constant(np.asarray(value, np.int64 if whole else np.float32), "i64" if whole else "f32")


def write_onnx(graph: Graph) -> bytes:
    """Serialises the network and runs the full check of onnx on it.

    Raises:
        UnavailableError: onnx is not installed.
    """
    onnx = require_onnx()
    proto = _proto(onnx, graph)
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString(deterministic=True)
    return content


def ranks(graph: Graph) -> dict[str, int]:
    """Number of axes of each tensor for which onnx can infer it.

    Raises:
        UnavailableError: onnx is not installed.
    """
    onnx = require_onnx()
    inferred = onnx.shape_inference.infer_shapes(_proto(onnx, graph)).graph
    values = [*inferred.value_info, *inferred.input, *inferred.output]
    return {value.name: len(value.type.tensor_type.shape.dim) for value in values}


def _proto(onnx: ModuleType, graph: Graph) -> Any:
    numbers = {kind: number for number, kind in _kinds(onnx).items()}

    def port(name: str, each: Port) -> Any:
        shape = ["batch" if size is None else size for size in each.shape]
        return onnx.helper.make_tensor_value_info(name, numbers[each.kind], shape)

    def node_proto(node: Node) -> Any:
        attributes = node.attributes
        if node.op == "Cast":
            attributes = {"to": numbers[attributes["to"]]}
        return onnx.helper.make_node(node.op, node.inputs, [node.output], **attributes)

    return onnx.helper.make_model(
        onnx.helper.make_graph(
            [node_proto(node) for node in graph.nodes],
            "ionmorphnet",
            [port(name, each) for name, each in graph.inputs.items()],
            [port(graph.output, graph.output_port)],
            [_tensor(onnx, name, each, numbers[each.kind]) for name, each in graph.constants.items()],
        ),
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="ionmorphnet",
    )


def _tensor(onnx: ModuleType, name: str, constant: Constant, number: int) -> Any:
    if constant.kind == "bf16":
        raw = bf16_bits(constant.values).tobytes()
    else:
        dtype = {"f32": np.float32, "fp16": np.float16, "i64": np.int64}[constant.kind]
        raw = np.ascontiguousarray(constant.values, dtype).tobytes()
    return onnx.helper.make_tensor(name, number, constant.values.shape, raw, raw=True)


def _kinds(onnx: ModuleType) -> dict[int, str]:
    proto = onnx.TensorProto
    return {proto.FLOAT: "f32", proto.FLOAT16: "fp16", proto.BFLOAT16: "bf16", proto.INT64: "i64"}
