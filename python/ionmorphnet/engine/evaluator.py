"""Evaluates a typed graph on the CPU, with rounding at each node.

A CPU runtime may compute a typed graph in other types: OpenVINO keeps bfloat16 convolutions and float32 islands if the
CPU supports bfloat16, but computes float16 in float32. Here each operation is computed in float32 and its result
rounded once to the type of the tensor, as tensor cores with float32 accumulators do. Rounding within an operation
(16-bit partial sums) is not modelled. Types must agree at each node, as a strongly typed engine requires.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.scoring.tensorrt.graph import Constant, Graph, Node
from ionmorphnet.scoring.tensorrt.operations import OPERATIONS, Array
from ionmorphnet.scoring.tensorrt.rounding import Float32, bits_of, every_value, round_to

# Called for each tensor with its name, type and values before rounding.
Watch = Callable[[str, str, Array], None]


@dataclass
class Evaluator:
    """Computes a graph, one batch at a time.

    Attributes:
        graph: As read from ONNX.
        watch: Called for each tensor produced.
    """

    graph: Graph
    watch: Watch | None = None
    _last_reader: dict[str, int] = field(init=False, repr=False)
    _tables: dict[tuple[str, str], Float32] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._last_reader = {name: i for i, node in enumerate(self.graph.nodes) for name in node.inputs}

    def __call__(self, inputs: Mapping[str, Float32]) -> Float32:
        """Computes the output; inputs, by name, are first rounded to their types.

        Raises:
            IonMorphNetError: An operation is unknown, or types disagree at a node.
        """
        values: dict[str, Constant] = dict(self.graph.constants)
        for name, port in self.graph.inputs.items():
            values[name] = self._made(name, port.kind, np.asarray(inputs[name], np.float32))
        for i, node in enumerate(self.graph.nodes):
            given = [values[name] if name else None for name in node.inputs]
            values[node.output] = self._run(node, given)
            for name in node.inputs:  # the tensors of the whole network would not fit in memory
                if name and self._last_reader[name] == i and name not in self.graph.constants:
                    values.pop(name, None)
        output: Float32 = values[self.graph.output].values
        return output

    def _run(self, node: Node, given: list[Constant | None]) -> Constant:
        kinds = {each.kind for each in given if each is not None and each.kind != "i64"} or {"i64"}
        if len(kinds) != 1:
            raise IonMorphNetError(f"{node.op} '{node.output}': inputs of different types ({', '.join(sorted(kinds))})")
        (kind,) = kinds
        arrays = [None if each is None else each.values for each in given]
        if node.op == "Cast":
            assert arrays[0] is not None
            return self._made(node.output, node.attributes["to"], arrays[0])
        if node.op == "Gelu" and kind != "f32":
            assert arrays[0] is not None
            return self._made(node.output, kind, self._looked_up(node.op, kind, arrays[0]))
        if node.op not in OPERATIONS:
            raise IonMorphNetError(f"{node.op} '{node.output}': operation not supported")
        with np.errstate(over="ignore", invalid="ignore"):  # overflow is visible in the values
            return self._made(node.output, kind, OPERATIONS[node.op](node.attributes, *arrays))

    def _looked_up(self, op: str, kind: str, x: Array) -> Array:
        """Looks up a function of one value, tabulated for all 65,536 values of its type."""
        if (op, kind) not in self._tables:
            values = every_value(kind)
            values[~np.isfinite(values)] = np.nan
            self._tables[op, kind] = OPERATIONS[op]({}, values)
        found: Array = self._tables[op, kind][bits_of(x, kind)]
        return found

    def _made(self, name: str, kind: str, values: Array) -> Constant:
        if self.watch is not None:
            self.watch(name, kind, values)
        return Constant(round_to(values, kind), kind)
