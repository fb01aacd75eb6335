"""The scorers of the native core: OpenVINO on small ONNX models made here, and Python callbacks."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError, UnavailableError

pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
from onnx import TensorProto, helper

from model_factory import save_onnx, tensor, write_network

CHANNELS, HEIGHT, WIDTH = 2, 5, 4
PIXELS = CHANNELS * HEIGHT * WIDTH


def linear_model(
    path: Path, n_outputs: int, rng: np.random.Generator
) -> tuple[Path, Callable[[np.ndarray], np.ndarray]]:
    """flatten(x) @ w + b as ONNX and as numpy."""
    weight = rng.normal(size=(PIXELS, n_outputs)).astype(np.float32)
    bias = rng.normal(size=n_outputs).astype(np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"])]
    shape = ["n", CHANNELS, HEIGHT, WIDTH]
    save_onnx(path, nodes, [tensor("x", shape)], [tensor("y", ["n", n_outputs])], {"w": weight, "b": bias})
    return path, lambda x: x.reshape(-1, PIXELS) @ weight + bias


@pytest.fixture
def model(tmp_path: Path, rng: np.random.Generator) -> tuple[Path, Callable[[np.ndarray], np.ndarray]]:
    return linear_model(tmp_path / "model.onnx", 6, rng)


def images(rng: np.random.Generator, n: int) -> np.ndarray:
    return rng.normal(size=(n, CHANNELS, HEIGHT, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("batch", [None, 1, 3, 8])
@pytest.mark.parametrize("n", [0, 1, 2, 7, 64, 257])
def test_openvino_scores_any_number_in_order(model: tuple, rng: np.random.Generator, n: int, batch: int | None) -> None:
    path, expected = model
    scorer = _core.openvino_scorer(str(path), precision="f32", threads=2, batch=batch)
    x = images(rng, n)
    got = scorer.score(x)
    assert got.shape == (n, 6)
    np.testing.assert_allclose(got, expected(x), rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(scorer.score(x[::-1])[::-1], got)


@pytest.mark.parametrize("n_outputs", [1, 6, 7, 1000])
def test_openvino_takes_any_number_of_outputs(tmp_path: Path, rng: np.random.Generator, n_outputs: int) -> None:
    path, expected = linear_model(tmp_path / "model.onnx", n_outputs, rng)
    x = images(rng, 5)
    got = _core.openvino_scorer(str(path), precision="f32").score(x)
    np.testing.assert_allclose(got, expected(x), rtol=1e-4, atol=1e-4)


def test_openvino_info_and_precision(model: tuple, rng: np.random.Generator) -> None:
    path, expected = model
    info = _core.openvino_scorer(str(path), precision="f32", batch=3).info
    assert info == {
        "name": "openvino",
        "device": "cpu",
        "precision": "f32",
        "n_outputs": 6,
        "batch": 3,
        "n_statistics": 0,
        "channels": CHANNELS,
        "height": HEIGHT,
        "width": WIDTH,
    }
    automatic = _core.openvino_scorer(str(path))
    assert automatic.info["precision"] == ("bf16" if _core.cpu_has_bf16() else "f32")
    assert automatic.info["batch"] > 0
    x = images(rng, 9)
    np.testing.assert_allclose(automatic.score(x), expected(x), rtol=0.05, atol=0.2)


def test_bf16_on_request(model: tuple) -> None:
    path, _ = model
    if _core.cpu_has_bf16():
        assert _core.openvino_scorer(str(path), precision="bf16").info["precision"] == "bf16"
    else:
        with pytest.raises(UnavailableError, match="bf16"):
            _core.openvino_scorer(str(path), precision="bf16")


def test_model_path_may_hold_any_characters(tmp_path: Path, rng: np.random.Generator) -> None:
    path, expected = linear_model(tmp_path / "modèle ß 模型.onnx", 2, rng)
    x = images(rng, 2)
    got = _core.openvino_scorer(str(path), precision="f32").score(x)
    np.testing.assert_allclose(got, expected(x), rtol=1e-4, atol=1e-4)


def test_files_that_are_no_model_are_named(tmp_path: Path, model: tuple, capfd: pytest.CaptureFixture[str]) -> None:
    path, _ = model
    cases = {"missing.onnx": None, "empty.onnx": b"", "text.onnx": b"not a model\n" * 50, "folder.onnx": None}
    cases |= {"cut.onnx": path.read_bytes()[:-40], "binary.onnx": b"\x08" + bytes(99)}
    (tmp_path / "folder.onnx").mkdir()
    for name, content in cases.items():
        bad = tmp_path / name
        if content is not None:
            bad.write_bytes(content)
        with pytest.raises(FileError) as error:
            _core.openvino_scorer(str(bad))
        assert str(error.value).startswith(f"{bad}: "), name
        assert "\n" not in str(error.value), name
    assert capfd.readouterr() == ("", "")  # the library never prints


@pytest.mark.parametrize(
    ("inputs", "outputs", "nodes", "message"),
    [
        ([("x", ["n", 6])], [("y", ["n", 6])], [("Relu", ["x"], ["y"])], r"\(N, C, H, W\)"),
        ([("x", ["n", 2, "h", 4])], [("y", ["n", 2, "h", 4])], [("Relu", ["x"], ["y"])], r"\(N, C, H, W\)"),
        ([("x", ["n", 2, 5, 4])], [("y", ["n", 2, 5, 4])], [("Relu", ["x"], ["y"])], r"\(N, K\)"),
        (
            [("x", ["n", 2, 5, 4]), ("z", ["n", 2, 5, 4])],
            [("y", ["n", 40])],
            [("Add", ["x", "z"], ["s"]), ("Flatten", ["s"], ["y"])],
            r"two called 'image' and 'statistics'.*it has 1 output\(s\) and the input\(s\) x \[\?,2,5,4\], z",
        ),
        (
            [("image", ["n", 6]), ("statistics", ["n", 2, 5, 4])],
            [("y", ["n", 6])],
            [("Identity", ["image"], ["y"])],
            r"image input must have shape \(N, C, H, W\)",
        ),
        (
            [("image", ["n", 2, 5, 4]), ("statistics", ["n", 2, 5, 4])],
            [("y", ["n", 40])],
            [("Add", ["image", "statistics"], ["s"]), ("Flatten", ["s"], ["y"])],
            r"'statistics' must have shape \(N, F\)",
        ),
        (
            [("image", ["n", 2, 5, 4]), ("statistics", ["n", "f"])],
            [("y", ["n", 40])],
            [("Flatten", ["image"], ["y"])],
            r"'statistics' must have shape \(N, F\) with fixed F",
        ),
        (
            [("image", ["n", 2, 5, 4]), ("scalars", ["n", 40])],
            [("y", ["n", 40])],
            [("Flatten", ["image"], ["f"]), ("Add", ["f", "scalars"], ["y"])],
            "two called 'image' and 'statistics'.*scalars",
        ),
        (
            [("image", ["n", 2, 5, 4]), ("statistics", ["n", 40]), ("more", ["n", 40])],
            [("y", ["n", 40])],
            [("Flatten", ["image"], ["f"]), ("Add", ["f", "statistics"], ["g"]), ("Add", ["g", "more"], ["y"])],
            "more",
        ),
        (
            [("x", ["n", 2, 5, 4])],
            [("y", ["n", 40]), ("z", ["n", 2, 5, 4])],
            [("Flatten", ["x"], ["y"]), ("Relu", ["x"], ["z"])],
            r"one output; it has 2 output\(s\)",
        ),
    ],
)
def test_foreign_models_are_refused(tmp_path: Path, inputs: list, outputs: list, nodes: list, message: str) -> None:
    made = [helper.make_node(*node) for node in nodes]
    path = save_onnx(tmp_path / "foreign.onnx", made, [tensor(*i) for i in inputs], [tensor(*o) for o in outputs], {})
    with pytest.raises(FileError, match=message) as error:
        _core.openvino_scorer(str(path))
    assert str(error.value).startswith(f"{path}: ")


def test_models_of_other_types_are_refused(tmp_path: Path) -> None:
    shape = ["n", 2, 5, 4]
    nodes = [helper.make_node("Flatten", ["x"], ["y"])]
    ports = [tensor("x", shape, TensorProto.DOUBLE)], [tensor("y", ["n", 40], TensorProto.DOUBLE)]
    path = save_onnx(tmp_path / "double.onnx", nodes, *ports, {})
    with pytest.raises(FileError, match="float32"):
        _core.openvino_scorer(str(path))
    nodes = [helper.make_node("Flatten", ["image"], ["y"])]
    ports = [tensor("image", shape), tensor("statistics", ["n", 4], TensorProto.DOUBLE)], [tensor("y", ["n", 40])]
    with pytest.raises(FileError, match="float32"):
        _core.openvino_scorer(str(save_onnx(tmp_path / "mixed.onnx", nodes, *ports, {})))


def test_bad_options(model: tuple, rng: np.random.Generator) -> None:
    path, _ = model
    with pytest.raises(ArgumentError, match="precision must be one of auto, bf16, f32, not int8"):
        _core.openvino_scorer(str(path), precision="int8")
    with pytest.raises(ArgumentError, match="batch"):
        _core.openvino_scorer(str(path), batch=0)
    scorer = _core.openvino_scorer(str(path))
    for wrong in (images(rng, 3)[:, :1], images(rng, 3)[0], images(rng, 3)[..., :2]):
        with pytest.raises(ArgumentError, match=r"\(n, 2, 5, 4\)"):
            scorer.score(wrong)


def test_an_error_during_inference_is_reported(tmp_path: Path) -> None:
    """The count of non-zero pixels decides whether the last reshape is possible."""
    nodes = [
        helper.make_node("NonZero", ["x"], ["indices"]),  # (4, number of non-zero pixels)
        helper.make_node("Cast", ["indices"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["real", "shape"], ["y"]),
    ]
    ports = [tensor("x", [2, 1, 2, 3])], [tensor("y", [2, 24])]
    path = save_onnx(tmp_path / "fragile.onnx", nodes, *ports, {"shape": np.array([2, 24])})
    scorer = _core.openvino_scorer(str(path), precision="f32", batch=2)
    good, bad = np.ones((40, 1, 2, 3), np.float32), np.zeros((40, 1, 2, 3), np.float32)
    expected = scorer.score(good)
    assert expected.max() > 0
    for stack in (bad[:2], np.concatenate([good, bad, good]), bad):  # single, amid good ones, several at once
        scorer = _core.openvino_scorer(str(path), precision="f32", batch=2)
        np.testing.assert_array_equal(scorer.score(good), expected)
        with pytest.raises(IonMorphNetError, match=r"OpenVINO inference failed.*reshape"):
            scorer.score(stack)
        with pytest.raises(IonMorphNetError, match="OpenVINO inference failed"):
            scorer.score(bad)  # reported again, and nothing hangs
        assert scorer.score(bad[:0]).shape == (0, 24)  # no error is left over


def test_threads_take_turns_at_one_scorer(model: tuple, rng: np.random.Generator) -> None:
    path, expected = model
    scorer = _core.openvino_scorer(str(path), precision="f32")
    work = [images(rng, 101) for _ in range(4)]
    results: dict[int, np.ndarray] = {}
    threads = [threading.Thread(target=lambda i=i: results.update({i: scorer.score(work[i])})) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, x in enumerate(work):
        np.testing.assert_allclose(results[i], expected(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch", [None, 1, 3])
@pytest.mark.parametrize("n", [0, 1, 7, 64])
def test_openvino_takes_statistics_beside_the_images(
    tmp_path: Path, rng: np.random.Generator, n: int, batch: int
) -> None:
    path = tmp_path / "model.onnx"
    network = write_network(path, n_outputs=7, n_statistics=4, channels=2, size=32)
    scorer = _core.openvino_scorer(str(path), precision="f32", threads=2, batch=batch)
    assert (scorer.info["channels"], scorer.info["n_statistics"], scorer.info["n_outputs"]) == (2, 4, 7)
    x, statistics = rng.random((n, 2, 32, 32)).astype(np.float32), rng.random((n, 4)).astype(np.float32)
    np.testing.assert_allclose(scorer.score(x, statistics), network(x, statistics), rtol=1e-4, atol=1e-4)


def test_statistics_that_do_not_fit(tmp_path: Path, model: tuple, rng: np.random.Generator) -> None:
    path = tmp_path / "two.onnx"
    write_network(path, n_statistics=4, size=32)
    with_statistics, without = _core.openvino_scorer(str(path)), _core.openvino_scorer(str(model[0]))
    x = np.zeros((3, 1, 32, 32), np.float32)
    with pytest.raises(ArgumentError, match="expects the images' statistics as a second input"):
        with_statistics.score(x)
    with pytest.raises(ArgumentError, match="takes no statistics"):
        without.score(images(rng, 3), np.zeros((3, 4)))
    for wrong in (np.zeros((3, 3)), np.zeros((2, 4)), np.zeros(12)):
        with pytest.raises(ArgumentError, match=r"statistics of shape \(3, 4\)"):
            with_statistics.score(x, wrong)


def test_what_a_build_says_where_nothing_can_be_scored(tmp_path: Path) -> None:
    """A missing file; or, in a build without OpenVINO, what is missing there."""
    wanted = (FileError, "model.onnx") if _core.has_openvino else (UnavailableError, "IMN_WITH_OPENVINO")
    with pytest.raises(wanted[0], match=wanted[1]):
        _core.openvino_scorer(str(tmp_path / "model.onnx"))
    assert _core.has_openvino or not _core.cpu_has_bf16()


def callback(function: Callable, *, batch: int = 4, n_outputs: int = 3) -> object:
    return _core.callback_scorer(function, CHANNELS, HEIGHT, WIDTH, n_outputs, batch)


@pytest.mark.parametrize("n", [0, 1, 4, 11])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_callback_gets_batches_and_returns_results(n: int, dtype: type, rng: np.random.Generator) -> None:
    sizes = []

    def score(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        assert batch.dtype == np.float32
        assert batch.flags.owndata  # the callable may keep it
        return batch.reshape(len(batch), -1)[:, :3].astype(dtype)

    x = images(rng, n)
    got = callback(score).score(x)
    assert sizes == [4] * (n // 4) + [n % 4] * (n % 4 > 0)
    np.testing.assert_array_equal(got, x.reshape(n, PIXELS)[:, :3].astype(dtype).astype(np.float32))


def test_callback_gets_statistics_as_a_second_argument(rng: np.random.Generator) -> None:
    kept = []

    def score(batch: np.ndarray, statistics: np.ndarray) -> np.ndarray:
        assert statistics.dtype == np.float32
        assert statistics.flags.owndata
        kept.append(statistics)
        return statistics + batch[:, 0, 0, :3]

    scorer = _core.callback_scorer(score, CHANNELS, HEIGHT, WIDTH, 3, 4, n_statistics=3)
    assert scorer.info["n_statistics"] == 3
    x, statistics = images(rng, 11), rng.normal(size=(11, 3)).astype(np.float32)
    np.testing.assert_array_equal(scorer.score(x, statistics), statistics + x[:, 0, 0, :3])
    np.testing.assert_array_equal(np.concatenate(kept), statistics)
    with pytest.raises(ArgumentError, match="expects the images' statistics as a second input"):
        scorer.score(x)
    with pytest.raises(ArgumentError, match="takes no statistics"):
        callback(lambda x: x).score(x, statistics)
    with pytest.raises(ArgumentError, match="negative"):
        _core.callback_scorer(score, 1, 8, 9, 6, 1, n_statistics=-1)


def test_callback_info() -> None:
    scorer = _core.callback_scorer(lambda x: x, 1, 8, 9, 6, 16, name="torch", device="cuda:0", precision="bf16")
    assert scorer.info == {
        "name": "torch",
        "device": "cuda:0",
        "precision": "bf16",
        "n_outputs": 6,
        "batch": 16,
        "n_statistics": 0,
        "channels": 1,
        "height": 8,
        "width": 9,
    }
    with pytest.raises(ArgumentError, match="positive"):
        _core.callback_scorer(lambda x: x, 1, 8, 9, 6, 0)


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (np.zeros((2, 4), np.float32), r"\(2, 3\).*\(2, 4\)"),
        (np.zeros((3, 3), np.float32), r"\(2, 3\)"),
        (np.zeros(6, np.float32), r"\(2, 3\)"),
        (np.zeros((2, 3), np.int32), "int32"),
        (np.zeros((2, 3), np.complex64), "complex64"),
        ([[0.0] * 3] * 2, "numpy array.*list"),
        (None, "numpy array.*NoneType"),
    ],
)
def test_callback_with_a_wrong_result(result: object, message: str, rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match=message):
        callback(lambda _: result).score(images(rng, 2))


def test_exceptions_of_the_callback_pass_through_unchanged(rng: np.random.Generator) -> None:
    class OwnError(Exception):
        pass

    failure = OwnError("mine")
    calls = []

    def score(batch: np.ndarray) -> np.ndarray:
        calls.append(len(batch))
        if len(calls) == 2:
            raise failure
        return np.zeros((len(batch), 3), np.float32)

    scorer = callback(score)
    with pytest.raises(OwnError) as error:
        scorer.score(images(rng, 20))
    assert error.value is failure
    assert len(calls) == 2
    assert scorer.score(images(rng, 3)).shape == (3, 3)


def test_callback_that_uses_its_own_scorer_is_told_so(rng: np.random.Generator) -> None:
    scorers: list = []
    scorers.append(callback(lambda batch: scorers[0].score(batch)))
    with pytest.raises(ArgumentError, match="same scorer"):
        scorers[0].score(images(rng, 1))
    scorers.clear()


def test_callable_lives_as_long_as_its_scorer(rng: np.random.Generator) -> None:
    class Model:
        def __call__(self, batch: np.ndarray) -> np.ndarray:
            return np.zeros((len(batch), 3), np.float32)

    model = Model()
    alive = weakref.ref(model)
    scorer = callback(model.__call__)
    del model
    gc.collect()
    assert alive() is not None
    scorer.score(images(rng, 2))
    del scorer
    gc.collect()
    assert alive() is None
