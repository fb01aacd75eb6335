"""Real engines built by tensorrt_rtx without a GPU; none is run."""

from __future__ import annotations

from pathlib import Path

import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.scoring.tensorrt import gpu as gpu_module
from ionmorphnet.scoring.tensorrt.build import build
from ionmorphnet.scoring.tensorrt.flavour import find_flavour
from ionmorphnet.scoring.tensorrt.targets import parse_targets
from ionmorphnet.scoring.tensorrt.typed import typed_onnx
from model_factory import write_model

trt = pytest.importorskip("tensorrt_rtx", reason="needs the extra [tensorrt-rtx]")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Same, on a machine with a GPU."""
    monkeypatch.setattr(gpu_module, "_LIBRARY", "libno-such-driver.so.1")


@pytest.mark.parametrize(
    ("target", "precision"), [("sm_80", "bf16"), ("sm_89", "bf16"), ("sm_120", "bf16"), ("sm_120", "f32")]
)
def test_the_bundled_model(target: str, precision: str, tmp_path: Path) -> None:
    """Models used on the GPU."""
    path = tmp_path / "atto.engine"
    built = imn.engine.build_engine(path=path, targets=target, precision=precision, batch=32)
    found, content = imn.engine.read_engine(path)
    assert found == built
    assert (built.key.flavour, built.key.targets, built.key.precision) == ("tensorrt_rtx", (target,), precision)
    # Mostly weights; TF32 kernels would make it many times larger.
    weights = imn.load_model().onnx_path.stat().st_size / (1 if precision == "f32" else 2)
    assert 0.5 * weights < len(content) < 3 * weights
    assert trt.__version__ == built.key.version


def test_one_engine_for_several_targets_comes_from_the_cache(tmp_path: Path) -> None:
    targets = ("sm_80,sm_89", "sm_120")
    first = imn.engine.build_engine(targets=targets, batch=16, precision="fp16", cache_dir=tmp_path)
    assert first.key.targets == ("sm_80", "sm_89", "sm_120")
    written = first.path.stat().st_mtime_ns
    again = imn.engine.build_engine(targets=reversed(targets), batch=16, precision="fp16", cache_dir=tmp_path)
    assert again == first
    assert again.path.stat().st_mtime_ns == written
    assert imn.engine.cached_engines(tmp_path) == [first]


@pytest.mark.parametrize("precision", ["bf16", "fp16", "f32"])
def test_the_types_of_a_published_layout(precision: str, tmp_path: Path) -> None:
    """The parser of TensorRT reads the intended types."""
    write_model(tmp_path / "m")
    flavour = find_flavour("tensorrt_rtx")
    log = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(log).create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    model = imn.load_model(tmp_path / "m")
    assert trt.OnnxParser(network, log).parse(typed_onnx(model, precision, 5))
    wanted = {"bf16": trt.DataType.BF16, "fp16": trt.DataType.HALF, "f32": trt.DataType.FLOAT}[precision]
    assert network.get_input(0).dtype == wanted
    assert tuple(network.get_input(0).shape) == (5, 1, 224, 224)
    assert network.get_output(0).dtype == trt.DataType.FLOAT
    assert build(typed_onnx(model, precision, 5), flavour, (80,))


def test_the_types_of_the_bundled_network() -> None:
    """Between layers, tensors of convolutions are bf16 and tensors of reductions float32."""
    log = trt.Logger(trt.Logger.ERROR)
    network = trt.Builder(log).create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    assert trt.OnnxParser(network, log).parse(typed_onnx(imn.load_model(), "bf16", 4))
    kinds: dict[str, set[str]] = {}
    for layer in (network.get_layer(i) for i in range(network.num_layers)):
        kinds.setdefault(layer.type.name, set()).add(layer.get_output(0).dtype.name)
    assert kinds["CONVOLUTION"] == {"BF16"}
    assert kinds["REDUCE"] == {"FLOAT"}
    assert kinds["NORMALIZATION"] == {"FLOAT"}


def test_targets_that_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError) as error:
        imn.engine.build_engine(path=tmp_path / "a.engine", targets="sm_90")
    assert str(error.value) == (
        f"tensorrt_rtx {trt.__version__} does not support sm_90, only sm_80, sm_86, sm_89, sm_120, sm_121; "
        "for other GPUs install the full TensorRT: pip install 'ionmorphnet[tensorrt]'"
    )
    with pytest.raises(UnavailableError, match=r"does not support sm_100"):
        imn.engine.build_engine(path=tmp_path / "a.engine", targets=["sm_89", "sm_100"])
    with pytest.raises(
        UnavailableError, match=r"no NVIDIA driver .*; to build ahead, name the target, for example sm_"
    ):
        imn.engine.build_engine(path=tmp_path / "a.engine")
    assert list(tmp_path.iterdir()) == []


def test_turing_is_refused_for_a_reason(tmp_path: Path) -> None:
    """Without our check, the message of TensorRT is passed on in one line."""
    with pytest.raises(UnavailableError, match="does not support sm_75"):
        imn.engine.build_engine(path=tmp_path / "a.engine", targets="sm_75")
    flavour = find_flavour("tensorrt_rtx")
    with pytest.raises(IonMorphNetError, match=r"failed to build the engine: .*FP32 GEMM is not supported") as error:
        build(typed_onnx(imn.load_model(), "fp16", 2), flavour, (75,))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("targets", "found"),
    [("sm_89", (89,)), (["sm_120", "sm_80"], (80, 120)), ("sm_80, sm_89,sm_80", (80, 89)), (("current",), None)],
)
def test_targets(targets: str | list[str], found: tuple[int, ...] | None) -> None:
    assert parse_targets(targets) == found


@pytest.mark.parametrize("targets", ["", [], "89", "sm_8", "SM_89", "current,sm_89", "sm_89 sm_80", "sm_1200"])
def test_targets_that_cannot_be_meant(targets: str | list[str]) -> None:
    with pytest.raises(ArgumentError, match="target"):
        parse_targets(targets)


def test_arguments(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="precision of an engine must be one of auto, bf16, fp16, f32, got 'int8'"):
        imn.engine.build_engine(precision="int8", targets="sm_80")
    with pytest.raises(ArgumentError, match="batch of an engine must be at least 1"):
        imn.engine.build_engine(batch=0, targets="sm_80")
    with pytest.raises(UnavailableError, match="tensorrt is not installed"):
        imn.engine.build_engine(flavour="tensorrt", targets="sm_80", path=tmp_path / "x")
