"""Simplifies a network without changing its outputs, apart from float32 rounding.

Exporting a model already folds affine maps into their neighbours (:mod:`ionmorphnet.models.networks.deploy`): scale and
shift of each normalisation before an unpadded convolution, and the shift of each global response normalisation. Two
leftovers of the torch exporter are handled here:

* Nodes that depend on no input are computed once. (The axes of each reduction pass through a Constant and a Reshape.)
* The five operations of a GELU become one. In 16 bit this matters for accuracy too: ``1 + erf(x)`` of a negative x is a
  difference of nearly equal numbers, which intermediate rounding would erase.
"""

from __future__ import annotations

import math

import numpy as np

from ionmorphnet.scoring.tensorrt.graph import Constant, Graph, Node
from ionmorphnet.scoring.tensorrt.operations import OPERATIONS


def rewritten(graph: Graph) -> Graph:
    """Simplified copy of the network."""
    nodes = [Node(node.op, list(node.inputs), node.output, dict(node.attributes)) for node in graph.nodes]
    copy = Graph(dict(graph.inputs), graph.output, graph.output_port, nodes, dict(graph.constants))
    _fold_constants(copy)
    _join_gelu(copy)
    _drop_unused(copy)
    return copy


def _fold_constants(graph: Graph) -> None:
    left = []
    for node in graph.nodes:
        given = [graph.constants.get(name) for name in node.inputs]
        if node.op not in OPERATIONS or not all(given) or node.output == graph.output:
            left.append(node)
            continue
        values = np.asarray(OPERATIONS[node.op](node.attributes, *(each.values for each in given if each)))
        graph.constants[node.output] = Constant(values, "i64" if values.dtype == np.int64 else "f32")
    graph.nodes = left


def _drop_unused(graph: Graph) -> None:
    used = {name for node in graph.nodes for name in node.inputs} | {graph.output}
    graph.constants = {name: each for name, each in graph.constants.items() if name in used}


def _join_gelu(graph: Graph) -> None:
    """Replaces ``x (0.5 (1 + erf(x / sqrt 2)))``, with the factors in any order, by Gelu."""
    match, gone = _GeluMatch(graph), set()
    for erf in [node for node in graph.nodes if node.op == "Erf"]:
        found = match.find(erf)
        if found is not None:
            x, chain = found
            *inside, last = chain
            last.op, last.inputs, last.attributes = "Gelu", [x], {}
            gone |= {node.output for node in inside}
    graph.nodes = [node for node in graph.nodes if node.output not in gone]


class _GeluMatch:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._consumers, self._producers = graph.consumers(), graph.producers()

    def find(self, erf: Node) -> tuple[str, list[Node]] | None:
        """Input of the GELU around ``erf`` and its nodes in order; None if there is no GELU."""
        inner = self._producers.get(erf.inputs[0])
        if inner is None or self._consumers[inner.output] != [erf]:
            return None
        x = self._divided_by_root_2(inner)
        plus = self._next(erf, "Add")
        if x is None or plus is None or self._scalar(self._beside(plus, erf)) != 1.0:
            return None
        first = self._next(plus, "Mul")
        last = self._next(first, "Mul") if first else None
        if first is None or last is None:
            return None
        factors = [self._beside(first, plus), self._beside(last, first)]
        if x not in factors or 0.5 not in map(self._scalar, factors):
            return None
        return x, [inner, erf, plus, first, last]

    def _divided_by_root_2(self, node: Node) -> str | None:
        if node.op not in ("Div", "Mul") or len(node.inputs) != 2:
            return None
        value = self._scalar(node.inputs[1])
        wanted = math.sqrt(2.0) if node.op == "Div" else math.sqrt(0.5)
        return node.inputs[0] if value is not None and math.isclose(value, wanted, rel_tol=1e-6) else None

    def _scalar(self, name: str) -> float | None:
        constant = self._graph.constants.get(name)
        return float(constant.values.reshape(-1)[0]) if constant and constant.values.size == 1 else None

    def _next(self, node: Node, op: str) -> Node | None:
        """The only reader of a node's output, if it is of this kind."""
        users = self._consumers.get(node.output, [])
        alone = len(users) == 1 and node.output != self._graph.output
        return users[0] if alone and users[0].op == op and len(set(users[0].inputs)) == 2 else None

    def _beside(self, node: Node, before: Node) -> str:
        """The other input of a node, not the one from ``before``."""
        return node.inputs[1 - node.inputs.index(before.output)]
