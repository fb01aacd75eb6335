"""From a float32 network to a strongly typed one: 16 bit where it pays, float32 where it must be.

Convolutions and large matrix products take 16-bit weights and activations; what passes between them (GELU, residual
sums) stays in 16 bit. Float32 islands are reductions and everything that is computed with their results until the next
convolution: statistics and scaling of the normalisations, the sum of squares of the global response normalisation, the
head, the branch of the classical statistics, the outputs. An island lies between two casts, and an engine that fuses
elementwise operations computes it without float32 ever reaching memory.

The sum of squares overflows float16 where the root mean square of 56 x 56 values exceeds 4.6, which is why it must not
be taken in 16 bit.
"""

from __future__ import annotations

import numpy as np

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.tensorrt.graph import Constant, Graph, Node, Port, ranks, read_onnx, write_onnx
from ionmorphnet.scoring.tensorrt.rewrite import rewritten
from ionmorphnet.scoring.tensorrt.rounding import round_to

PRECISIONS = ("bf16", "fp16", "f32")
# Counts up when what is built from the same model changes: engines in the cache are then built anew.
GRAPH_REVISION = 1

# Computed in float32 whatever comes in.
_WIDE = {
    "Div", "Erf", "Gemm", "GlobalAveragePool", "LayerNormalization", "Pow", "Reciprocal", "ReduceL2", "ReduceMean",
    "ReduceSum", "Sqrt",
}  # fmt: skip
# Computed in float32 where one input is, else in 16 bit.
_FOLLOWING = {"Add", "Concat", "Flatten", "Gelu", "Identity", "Mul", "Reshape", "Sub", "Transpose"}


def typed_onnx(model: Model, precision: str, batch: int) -> bytes:
    """The network of a model as an engine is built from it.

    Args:
        model: A loaded model folder.
        precision: ``bf16``, ``fp16`` or ``f32``.
        batch: Images of each call; every shape in the graph is fixed.

    Returns:
        ONNX with the input ``image`` in the chosen type, ``statistics`` (where the model takes them) and the outputs in
        float32.

    Raises:
        ArgumentError: Unknown precision, or a batch below 1.
        FileError: The network has something that there is no rule for.
        UnavailableError: onnx is not installed.
    """
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision of an engine must be one of {', '.join(PRECISIONS)}, not '{precision}'")
    if batch < 1:
        raise ArgumentError(f"the batch of an engine must be at least 1, not {batch}")
    graph = rewritten(read_onnx(model.onnx_path))
    return write_onnx(typed(with_batch(graph, batch), precision, name=str(model.onnx_path)))


def with_batch(graph: Graph, batch: int) -> Graph:
    """The network for batches of one size; nodes and constants are shared with the one given."""
    inputs = {name: Port(each.kind, (batch, *each.shape[1:])) for name, each in graph.inputs.items()}
    output = Port(graph.output_port.kind, (batch, *graph.output_port.shape[1:]))
    return Graph(inputs, graph.output, output, graph.nodes, graph.constants)


def typed(graph: Graph, precision: str, *, name: str = "model.onnx") -> Graph:
    """The network with a type on every tensor; the one given is not changed.

    Args:
        graph: In float32, rewritten.
        precision: ``bf16``, ``fp16`` or ``f32``.
        name: What to call it in errors.

    Raises:
        FileError: There is no rule for an operation.
    """
    if precision == "f32":
        return graph
    return _Typing(graph, precision, name).run()


class _Typing:
    def __init__(self, graph: Graph, kind: str, name: str) -> None:
        self._graph, self._kind, self._name = graph, kind, name
        self._consumers = graph.consumers()
        self._ranks = ranks(graph)
        self._kinds: dict[str, str] = {}  # of every tensor that is made
        self._read_as: dict[str, str] = {}  # the tensor that others read in its place
        self._nodes: list[Node] = []
        self._constants: dict[str, Constant] = {}

    def run(self) -> Graph:
        inputs = dict(self._graph.inputs)
        for name, port in inputs.items():
            # The image comes in 16 bit; a vector beside it (the classical statistics) in float32.
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
        """Whether this is where the arithmetic is: a convolution, or a product of matrices with an image."""
        return node.op == "Conv" or (node.op == "MatMul" and self._ranks.get(node.inputs[0], 0) > 2)

    def _is_wide(self, node: Node) -> bool:
        if self._narrow(node):
            return False
        if node.op in _WIDE or node.op == "MatMul":
            return True
        if node.op in _FOLLOWING:
            read = [self._read_as.get(name, name) for name in node.inputs if name not in self._graph.constants]
            return any(self._kinds[name] == "f32" for name in read)
        raise FileError(f"{self._name}: there is no rule for the type of {node.op} ('{node.output}')")

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
        """A cast of a tensor; each is made once."""
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
