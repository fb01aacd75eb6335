"""Types a float32 network: 16 bit where it is faster, float32 where it is needed.

Convolutions and large matrix products use 16-bit weights and activations; operations between them (GELU, residual sums)
stay in 16 bit. Reductions, and everything computed from their results up to the next convolution, form float32 islands:
statistics and scaling of the normalisations, the sum of squares of the global response normalisation, the head, the
branch of the classical statistics and the outputs. An island lies between two casts. An engine that fuses elementwise
operations computes it without writing float32 to memory.

The sum of squares must not be computed in 16 bit: it overflows float16 if the root mean square of 56 x 56 values
exceeds 4.6.
"""

from __future__ import annotations

import numpy as np

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.tensorrt.graph import Constant, Graph, Node, Port, ranks, read_onnx, write_onnx
from ionmorphnet.scoring.tensorrt.rewrite import rewritten
from ionmorphnet.scoring.tensorrt.rounding import round_to

PRECISIONS = ("bf16", "fp16", "f32")
# Increase it when the graph built from a model changes, so that cached engines are built again.
GRAPH_REVISION = 1

# Always computed in float32.
_WIDE = {
    "Div", "Erf", "Gemm", "GlobalAveragePool", "LayerNormalization", "Pow", "Reciprocal", "ReduceL2", "ReduceMean",
    "ReduceSum", "Sqrt",
}  # fmt: skip
# Computed in float32 if one input is float32, otherwise in 16 bit.
_FOLLOWING = {"Add", "Concat", "Flatten", "Gelu", "Identity", "Mul", "Reshape", "Sub", "Transpose"}


def typed_onnx(model: Model, precision: str, batch: int) -> bytes:
    """Typed network of a model, from which an engine is built.

    Args:
        model: A loaded model folder.
        precision: ``"bf16"``, ``"fp16"`` or ``"f32"``.
        batch: Images per call; all shapes in the graph are fixed.

    Returns:
        ONNX with the input ``image`` in the chosen type, and ``statistics`` (if the model uses them) and the outputs in
        float32.

    Raises:
        ArgumentError: The precision is unknown, or the batch is below 1.
        FileError: The network has an operation without a typing rule.
        UnavailableError: onnx is not installed.
    """
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision of an engine must be one of {', '.join(PRECISIONS)}, got '{precision}'")
    if batch < 1:
        raise ArgumentError(f"batch of an engine must be at least 1, got {batch}")
    graph = rewritten(read_onnx(model.onnx_path))
    return write_onnx(typed(with_batch(graph, batch), precision, name=str(model.onnx_path)))


def with_batch(graph: Graph, batch: int) -> Graph:
    """Network for a fixed batch size; shares nodes and constants with ``graph``."""
    inputs = {name: Port(each.kind, (batch, *each.shape[1:])) for name, each in graph.inputs.items()}
    output = Port(graph.output_port.kind, (batch, *graph.output_port.shape[1:]))
    return Graph(inputs, graph.output, output, graph.nodes, graph.constants)


def typed(graph: Graph, precision: str, *, name: str = "model.onnx") -> Graph:
    """Copy of the network with a type for each tensor.

    Args:
        graph: Simplified network in float32.
        precision: ``"bf16"``, ``"fp16"`` or ``"f32"``.
        name: Name of the network in error messages.

    Raises:
        FileError: An operation has no typing rule.
    """
    if precision == "f32":
        return graph
    return _Typing(graph, precision, name).run()


class _Typing:
    def __init__(self, graph: Graph, kind: str, name: str) -> None:
        self._graph, self._kind, self._name = graph, kind, name
        self._consumers = graph.consumers()
        self._ranks = ranks(graph)
        self._kinds: dict[str, str] = {}  # type of each tensor produced
        self._read_as: dict[str, str] = {}  # cast that other nodes read instead of a tensor
        self._nodes: list[Node] = []
        self._constants: dict[str, Constant] = {}

    def run(self) -> Graph:
        inputs = dict(self._graph.inputs)
        for name, port in inputs.items():
            # The image is passed in 16 bit, the vector of classical statistics in float32.
            kind = self._kind if len(port.shape) == 4 else "f32"
            inputs[name] = Port(kind, port.shape)
            self._kinds[name] = kind
        for node in self._graph.nodes:
            self._add(node)
        self._finish()
        return Graph(inputs, self._graph.output, self._graph.output_port, self._nodes, self._constants)

    def _add(self, node: Node) -> None:
        wide = self._is_wide(node)
        kind = "f32" if wide else self._kind
        given = [self._input(node, i, kind) for i in range(len(node.inputs))]
        self._nodes.append(Node(node.op, given, node.output, dict(node.attributes)))
        self._kinds[node.output] = kind
        readers = self._consumers.get(node.output, [])
        if wide and any(self._narrow(reader) for reader in readers):
            self._read_as[node.output] = self._cast(node.output, self._kind)

    def _narrow(self, node: Node) -> bool:
        """Whether this node dominates the cost: a convolution, or a matrix product with an image."""
        return node.op == "Conv" or (node.op == "MatMul" and self._ranks.get(node.inputs[0], 0) > 2)

    def _is_wide(self, node: Node) -> bool:
        if self._narrow(node):
            return False
        if node.op in _WIDE or node.op == "MatMul":
            return True
        if node.op in _FOLLOWING:
            read = [self._read_as.get(name, name) for name in node.inputs if name not in self._graph.constants]
            return any(self._kinds[name] == "f32" for name in read)
        raise FileError(f"{self._name}: no typing rule for {node.op} ('{node.output}')")

    def _input(self, node: Node, index: int, kind: str) -> str:
        name = node.inputs[index]
        if name == "":
            return name
        constant = self._graph.constants.get(name)
        if constant is not None:
            return self._constant(name, constant, kind)
        read = self._read_as.get(name, name)
        return read if self._kinds[read] == kind else self._cast(read, kind)

    def _constant(self, name: str, constant: Constant, kind: str) -> str:
        if constant.kind == "i64" or kind == "f32":
            self._constants[name] = constant
            return name
        typed_name = f"{name}.{kind}"
        if typed_name not in self._constants:
            values = np.asarray(constant.values, np.float32)
            self._constants[typed_name] = Constant(round_to(values, kind), kind)
        return typed_name

    def _cast(self, name: str, kind: str) -> str:
        """Cast of a tensor, created once."""
        cast = f"{name}.{kind}"
        if cast not in self._kinds:
            self._nodes.append(Node("Cast", [name], cast, {"to": kind}))
            self._kinds[cast] = kind
        return cast

    def _finish(self) -> None:
        output = self._graph.output
        if self._kinds[output] == "f32":
            return
        last = next(node for node in self._nodes if node.output == output)
        last.output = f"{output}.{self._kind}"
        for node in self._nodes:
            node.inputs = [last.output if name == output else name for name in node.inputs]
        self._nodes.append(Node("Cast", [last.output], output, {"to": "f32"}))
