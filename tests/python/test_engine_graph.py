"""Typed graphs: rewrites that preserve outputs, 16 bit with float32 islands, evaluation in numpy."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import openvino
import pytest
from onnx import TensorProto, helper

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError, UnavailableError
from ionmorphnet.engine.evaluator import Evaluator
from ionmorphnet.scoring.tensorrt.graph import Constant, Graph, Node, Port, read_onnx, write_onnx
from ionmorphnet.scoring.tensorrt.operations import OPERATIONS
from ionmorphnet.scoring.tensorrt.rewrite import rewritten
from ionmorphnet.scoring.tensorrt.rounding import LARGEST, bf16_bits, every_value, round_to
from ionmorphnet.scoring.tensorrt.typed import typed, typed_onnx, with_batch
from model_factory import save_onnx, tensor, write_model

REDUCTIONS = {"ReduceMean", "ReduceL2", "LayerNormalization", "Gemm", "Sqrt", "Reciprocal", "Div"}


def openvino_f32(content: bytes, feed: dict[str, np.ndarray]) -> np.ndarray:
    core = openvino.Core()
    network = core.compile_model(core.read_model(content), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.array(network(feed)[0])


def feed_of(graph: Graph, n: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        name: rng.random((n, *port.shape[1:]), dtype=np.float32)  # type: ignore[arg-type]
        for name, port in graph.inputs.items()
    }


def test_bf16_rounds_to_the_nearest_even() -> None:
    one = 1.0
    for value, expected in (
        (one + 2.0**-8, one),  # half-way between 1 and the next value; rounds to 1, the even one
        (one + 3 * 2.0**-8, one + 2.0**-6),
        (one + 2.0**-8 + 2.0**-20, one + 2.0**-7),
        (-(one + 3 * 2.0**-8), -(one + 2.0**-6)),
        (0.0, 0.0),
        (float("inf"), float("inf")),
        (float(np.finfo(np.float32).max), float("inf")),
    ):
        assert round_to(np.array([value], np.float32), "bf16")[0] == expected, value
    nan = struct.unpack("f", struct.pack("I", 0x7F800001))[0]  # its upper 16 bits alone would be infinity
    assert np.isnan(round_to(np.array([nan, -nan], np.float32), "bf16")).all()


def test_bf16_agrees_with_torch(rng: np.random.Generator) -> None:
    torch = pytest.importorskip("torch", reason="compares with torch")
    values = (rng.normal(size=20_000) * 10.0 ** rng.uniform(-40, 38, 20_000)).astype(np.float32)
    expected = torch.from_numpy(values).bfloat16()
    np.testing.assert_array_equal(round_to(values, "bf16"), expected.float().numpy())
    np.testing.assert_array_equal(bf16_bits(values), expected.view(torch.uint16).numpy())


@pytest.mark.parametrize("kind", ["bf16", "fp16"])
def test_every_value_of_a_type_is_its_own_rounding(kind: str) -> None:
    values = every_value(kind)
    finite = values[np.isfinite(values)]
    np.testing.assert_array_equal(round_to(finite, kind), finite)
    assert finite.max() == LARGEST[kind]
    with np.errstate(over="ignore"):
        assert np.isinf(round_to(np.array([LARGEST[kind] * 1.01], np.float32), kind)[0])


def test_rewrites_change_nothing(rng: np.random.Generator) -> None:
    """The rewritten bundled network in float32, run by an independent runtime."""
    model = imn.load_model()
    graph = read_onnx(model.onnx_path)
    fewer = rewritten(graph)
    assert len(graph.nodes) > len(fewer.nodes)
    kinds = {node.op for node in fewer.nodes}
    assert "Gelu" in kinds
    assert not kinds & {"Erf", "Reshape", "Constant"}
    feed = feed_of(graph, 1, rng)
    expected = openvino_f32(model.onnx_path.read_bytes(), feed)
    assert np.ptp(expected) > 1
    np.testing.assert_allclose(openvino_f32(write_onnx(fewer), feed), expected, atol=2e-5, rtol=0)
    for each in (graph, fewer):  # our operations agree with the runtime
        np.testing.assert_allclose(Evaluator(each)(feed), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("order", ["half first", "half last", "root as factor", "no half", "two readers"])
def test_gelu_is_found_only_where_it_is_one(order: str, rng: np.random.Generator) -> None:
    constants = {
        name: Constant(np.array(value, np.float32), "f32")
        for name, value in (("root", np.sqrt(2.0)), ("factor", np.sqrt(0.5)), ("one", 1.0), ("half", 0.5), ("c", 0.4))
    }
    inner = Node("Mul", ["x", "factor"], "a") if order == "root as factor" else Node("Div", ["x", "root"], "a")
    factors = ["x", "half"] if order == "half last" else ["half", "x"]
    if order == "no half":
        factors = ["c", "x"]
    nodes = [
        inner, Node("Erf", ["a"], "b"), Node("Add", ["b", "one"], "c1"),
        Node("Mul", [factors[0], "c1"], "d"), Node("Mul", ["d", factors[1]], "y"),
    ]  # fmt: skip
    if order == "two readers":
        nodes.append(Node("Add", ["y", "b"], "z"))
    port = Port("f32", (None, 7))
    graph = Graph({"x": port}, nodes[-1].output, port, nodes, constants)
    fewer = rewritten(graph)
    assert ("Gelu" in {node.op for node in fewer.nodes}) == (order not in ("no half", "two readers"))
    x = {"x": rng.normal(size=(4, 7)).astype(np.float32) * 3}
    np.testing.assert_allclose(Evaluator(fewer)(x), Evaluator(graph)(x), atol=1e-6)
    np.testing.assert_allclose(openvino_f32(write_onnx(fewer), x), Evaluator(graph)(x), atol=1e-5)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_typed_network_has_islands(precision: str) -> None:
    model = imn.load_model()
    graph = read_onnx(typed_onnx(model, precision, 4))
    assert graph.inputs["image"] == Port(precision, (4, 2, 224, 224))
    assert graph.inputs["statistics"] == Port("f32", (4, 4))
    assert graph.output_port == Port("f32", (4, 7))
    kinds: dict[str, str] = {}
    Evaluator(graph, lambda name, kind, values: kinds.update({name: kind}))(
        {"image": np.zeros((1, 2, 224, 224), np.float32), "statistics": np.zeros((1, 4), np.float32)}
    )
    for node in graph.nodes:
        if node.op == "Conv":
            assert kinds[node.output] == precision
            assert {graph.constants[name].kind for name in node.inputs[1:]} == {precision}
        if node.op in REDUCTIONS:
            assert kinds[node.output] == "f32", node
    gelus = [kinds[node.output] for node in graph.nodes if node.op == "Gelu"]
    assert gelus.count("f32") == 1  # in the branch of the statistics
    assert gelus.count(precision) == 12
    residual = [n for n in graph.nodes if n.op == "Add" and kinds[n.output] == precision]
    assert len(residual) == 12
    # Only small tensors stay in float32: statistics, factors, the head.
    weights = sum(c.values.size for c in graph.constants.values() if c.kind == precision)
    assert weights > 0.99 * sum(c.values.size for c in graph.constants.values())


def test_float32_stays_float32() -> None:
    graph = read_onnx(typed_onnx(imn.load_model(), "f32", 2))
    assert "Cast" not in {node.op for node in graph.nodes}
    assert graph.inputs["image"] == Port("f32", (2, 2, 224, 224))


@pytest.mark.parametrize("precision", ["bf16", "fp16", "f32"])
def test_a_network_without_convolutions(precision: str, tmp_path: Path, rng: np.random.Generator) -> None:
    """Head only: the image is cast to float32 at once, so only its pixels are rounded."""
    network = write_model(tmp_path / "m", structure=True, statistics=["moran", "blur"])
    model = imn.load_model(tmp_path / "m")
    graph = read_onnx(typed_onnx(model, precision, 3))
    feed = feed_of(graph, 3, rng)
    rounded = round_to(feed["image"], precision)
    expected = network(rounded, feed["statistics"])
    np.testing.assert_allclose(Evaluator(graph)(feed), expected, atol=2e-5)
    if precision == "bf16":
        assert np.abs(expected - network(feed["image"], feed["statistics"])).max() > 1e-7


def test_a_16_bit_output_is_cast(rng: np.random.Generator) -> None:
    """A network that ends in a convolution still returns float32."""
    weight = Constant(rng.normal(size=(3, 2, 1, 1)).astype(np.float32), "f32")
    graph = Graph(
        {"image": Port("f32", (None, 2, 4, 4))}, "y", Port("f32", (None, 3, 4, 4)),
        [Node("Conv", ["image", "w"], "y")], {"w": weight},
    )  # fmt: skip
    done = typed(with_batch(graph, 2), "bf16")
    assert [node.op for node in done.nodes] == ["Conv", "Cast"]
    x = {"image": rng.normal(size=(2, 2, 4, 4)).astype(np.float32)}
    out = Evaluator(read_onnx(write_onnx(done)))(x)
    np.testing.assert_array_equal(out, round_to(out, "bf16"))
    np.testing.assert_allclose(out, Evaluator(graph)(x), rtol=0.02, atol=0.05)


def test_matrix_products_of_images_are_16_bit(rng: np.random.Generator) -> None:
    """Channels-last networks compute 1 x 1 convolutions as MatMul; those of the head stay in float32."""
    graph = Graph(
        {"image": Port("f32", (None, 2, 4, 4))}, "y", Port("f32", (None, 5)),
        [
            Node("Transpose", ["image"], "t", {"perm": [0, 2, 3, 1]}),
            Node("LayerNormalization", ["t", "g"], "n", {"axis": -1}),
            Node("MatMul", ["n", "w"], "m"),
            Node("ReduceMean", ["m", "axes"], "p", {"keepdims": 0}),
            Node("MatMul", ["p", "v"], "y"),
        ],
        {
            "g": Constant(np.ones(2, np.float32), "f32"),
            "w": Constant(rng.normal(size=(2, 3)).astype(np.float32), "f32"),
            "v": Constant(rng.normal(size=(3, 5)).astype(np.float32), "f32"),
            "axes": Constant(np.array([1, 2], np.int64), "i64"),
        },
    )  # fmt: skip
    done = read_onnx(write_onnx(typed(with_batch(graph, 2), "fp16")))
    assert {name: c.kind for name, c in done.constants.items()} == {
        "g": "f32", "w.fp16": "fp16", "v": "f32", "axes": "i64"
    }  # fmt: skip
    x = {"image": rng.normal(size=(2, 2, 4, 4)).astype(np.float32)}
    np.testing.assert_allclose(Evaluator(done)(x), Evaluator(graph)(x), atol=0.02)
    np.testing.assert_allclose(openvino_f32(write_onnx(graph), x), Evaluator(graph)(x), atol=1e-4)


def test_a_mixture_of_types_is_refused() -> None:
    port = Port("f32", (None, 2))
    half = Constant(np.ones(2, np.float32), "fp16")
    graph = Graph({"x": port}, "y", port, [Node("Add", ["x", "half"], "y")], {"half": half})
    with pytest.raises(IonMorphNetError, match=r"Add 'y': inputs of different types \(f32, fp16\)"):
        Evaluator(graph)({"x": np.zeros((1, 2), np.float32)})
    with pytest.raises(Exception, match="type"):  # type inference of onnx
        write_onnx(graph)


CONVOLUTIONS = [
    ({"strides": [4, 4]}, (5, 3, 4, 4)),
    ({"pads": [3, 3, 3, 3], "group": 3}, (3, 1, 7, 7)),
    ({"pads": [1, 0, 2, 1], "strides": [2, 1]}, (4, 3, 3, 2)),
    ({}, (6, 3, 1, 1)),
]


@pytest.mark.parametrize(("attributes", "shape"), CONVOLUTIONS)
def test_convolutions_agree_with_openvino(attributes: dict, shape: tuple[int, ...], rng: np.random.Generator) -> None:
    constants = {"w": rng.normal(size=shape), "b": rng.normal(size=shape[0])}
    kept = {name: Constant(value.astype(np.float32), "f32") for name, value in constants.items()}
    x = {"x": rng.normal(size=(2, 3, 16, 12)).astype(np.float32)}
    node = Node("Conv", ["x", "w", "b"], "y", attributes)
    out = Evaluator(Graph({"x": Port("f32", (None, 3, 16, 12))}, "y", Port("f32", ()), [node], kept))(x)
    graph = Graph({"x": Port("f32", (None, 3, 16, 12))}, "y", Port("f32", (None, *out.shape[1:])), [node], kept)
    np.testing.assert_allclose(openvino_f32(write_onnx(graph), x), out, atol=1e-4)


def test_convolutions_that_are_not_known_are_refused() -> None:
    x, w = np.zeros((1, 4, 8, 8), np.float32), np.zeros((4, 2, 3, 3), np.float32)
    for attributes in ({"group": 2}, {"dilations": [2, 2]}, {"auto_pad": b"SAME_UPPER"}):
        weight = w if "group" in attributes else np.zeros((4, 4, 3, 3), np.float32)
        with pytest.raises(IonMorphNetError, match=r"convolution .* is not supported"):
            OPERATIONS["Conv"](attributes, x, weight)


def test_published_layout(tmp_path: Path, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exported network with one channel, six logits and no statistics."""
    pytest.importorskip("torch", reason="training needs the extra [train]")
    from ionmorphnet.models.networks.onnx_export import export_onnx
    from networks import add_speck, shaken

    write_model(tmp_path / "m")
    export_onnx(shaken(add_speck(monkeypatch)), tmp_path / "m" / "model.onnx", 224)
    model = imn.load_model(tmp_path / "m")
    image = rng.random((2, 1, 224, 224), dtype=np.float32)
    expected = openvino_f32(model.onnx_path.read_bytes(), {"image": image})
    assert expected.std() > 0.1
    f32 = Evaluator(read_onnx(typed_onnx(model, "f32", 2)))({"image": image})
    np.testing.assert_allclose(f32, expected, atol=1e-4)
    differences = {}
    for precision in ("bf16", "fp16"):
        graph = read_onnx(typed_onnx(model, precision, 2))
        assert list(graph.inputs.values()) == [Port(precision, (2, 1, 224, 224))]
        assert graph.output_port == Port("f32", (2, 6))
        differences[precision] = np.abs(Evaluator(graph)({"image": image}) - expected).max()
    assert 0 < differences["fp16"] < differences["bf16"] < 0.1 * np.abs(expected).max()


def test_what_there_is_no_rule_for(tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Softmax", ["f"], ["y"]),
    ]
    path = tmp_path / "m" / "model.onnx"
    save_onnx(path, nodes, [tensor("image", ["n", 6, 224, 224])], [tensor("y", ["n", 6])], {})
    with pytest.raises(FileError, match=r"model\.onnx: no typing rule for Softmax \('y'\)"):
        typed_onnx(imn.load_model(tmp_path / "m"), "bf16", 1)
    two = [helper.make_node("Split", ["image"], ["y", "z"], axis=1, num_outputs=2)]
    save_onnx(path, two, [tensor("image", ["n", 6, 4, 4])], [tensor("y", ["n", 3, 4, 4])], {})
    with pytest.raises(FileError, match="Split with 2 outputs is not supported"):
        read_onnx(path)
    save_onnx(path, [helper.make_node("Cast", ["image"], ["y"], to=TensorProto.FLOAT)],
              [tensor("image", ["n", 6], TensorProto.INT64)], [tensor("y", ["n", 6])], {})  # fmt: skip
    with pytest.raises(FileError, match="'image' is not a tensor of floating-point numbers"):
        read_onnx(path)
    path.write_bytes(b"\x12\x34no network")
    with pytest.raises(FileError, match=r"model\.onnx: not an ONNX file"):
        read_onnx(path)
    with pytest.raises(FileError, match="No such file"):
        read_onnx(tmp_path / "none.onnx")


def test_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    model = imn.load_model()
    with pytest.raises(ArgumentError, match="precision of an engine must be one of bf16, fp16, f32, got 'int8'"):
        typed_onnx(model, "int8", 1)
    with pytest.raises(ArgumentError, match="at least 1, got 0"):
        typed_onnx(model, "bf16", 0)
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(UnavailableError, match=r"needs onnx.*pip install 'ionmorphnet\[tensorrt\]'"):
        typed_onnx(model, "bf16", 1)
