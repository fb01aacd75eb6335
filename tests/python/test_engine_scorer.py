"""TensorRT scorer with substitutes for its module and the driver; runs without a GPU."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError, UnavailableError
from ionmorphnet.scoring.device_network import DeviceNetwork
from ionmorphnet.scoring.tensorrt import gpu as gpu_module
from ionmorphnet.scoring.tensorrt.build import new_log
from ionmorphnet.scoring.tensorrt.cuda_graph import Graphs
from ionmorphnet.scoring.tensorrt.flavour import FLAVOURS, find_flavour
from ionmorphnet.scoring.tensorrt.gpu import Driver, Gpu, find_gpu
from ionmorphnet.scoring.tensorrt.sidecar import read_engine, write_engine
from model_factory import write_model
from tensorrt_factory import (
    CLASSES,
    Builder,
    CudaGraphStrategy,
    FakeCuda,
    IExecutionContext,
    NetworkDefinitionCreationFlag,
    Severity,
    fake_module,
)

Machine = Callable[..., FakeCuda]
VERSIONS = {"tensorrt": "11.1.0.106", "tensorrt_rtx": "1.7.1.116"}
STREAM = 0x5000


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Sets the GPUs and the modules with their versions."""

    def make(*gpus: tuple[str, int], fail: str = "", **modules: str) -> FakeCuda:
        cuda = FakeCuda(*gpus, fail=fail)
        monkeypatch.setattr(gpu_module, "_open_library", lambda: cuda)
        for name in FLAVOURS:
            version = modules.get(name)
            monkeypatch.setitem(sys.modules, name, fake_module(name, version) if version else None)
        return cuda

    return make


@pytest.fixture
def model(tmp_path: Path) -> imn.Model:
    write_model(tmp_path / "m", structure=True, statistics=["moran", "blur"], preprocessing="p99-stretch-224-mask")
    return imn.load_model(tmp_path / "m")


def make(model: imn.Model, tmp_path: Path, **options: object) -> imn.engine.TensorRTScorer:
    scorer = imn.engine.make_tensorrt_scorer(model, batch=8, cache_dir=tmp_path / "cache", **options)  # type: ignore[arg-type]
    assert isinstance(scorer, imn.engine.TensorRTScorer)
    return scorer


def test_the_stand_in_mirrors_the_real_module() -> None:
    """Everything used of the substitute exists in tensorrt_rtx with the same values."""
    real = pytest.importorskip("tensorrt_rtx", reason="needs the extra [tensorrt-rtx]")
    for name, ours in CLASSES.items():
        theirs = getattr(real, name)
        public = [each for each in vars(ours) if not each.startswith("_") and each not in ("fails", "refuses")]
        assert [each for each in public if not hasattr(theirs, each)] == [], name
    assert int(real.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == NetworkDefinitionCreationFlag.STRONGLY_TYPED
    assert [int(getattr(real.ILogger.Severity, each.name)) for each in Severity] == list(Severity)
    for name in ("num_compute_capabilities", "set_compute_capability"):
        assert hasattr(real.IBuilderConfig, name)
    for owner, name in (
        (real.ICudaEngine, "num_io_tensors"), (real.OnnxParser, "num_errors"),
        (real.IRuntimeConfig, "cuda_graph_strategy"), (real.IHostMemory, "nbytes"),
    ):  # fmt: skip
        assert hasattr(owner, name)
    known = {each for each in dir(real.ComputeCapability) if each.startswith("SM")}
    assert known == {each.name for each in CLASSES["ComputeCapability"] if each.name.startswith("SM")}


@pytest.mark.parametrize(
    ("gpu", "modules", "expected"),
    [
        (("RTX 4090", 89), VERSIONS, "tensorrt"),
        (("RTX 4090", 89), {"tensorrt_rtx": "1.7.1.116"}, "tensorrt_rtx"),
        (("H200", 90), VERSIONS, "tensorrt"),
        (("RTX 4090", 89), {"tensorrt": "10.9.0.34", "tensorrt_rtx": "1.7.1.116"}, "tensorrt_rtx"),
    ],
)
def test_a_scorer_is_made(
    gpu: tuple[str, int], modules: dict[str, str], expected: str, machine: Machine, model: imn.Model, tmp_path: Path
) -> None:
    cuda = machine(gpu, **modules)
    scorer = make(model, tmp_path)
    assert isinstance(scorer, DeviceNetwork)
    assert scorer.flavour == f"{expected} {VERSIONS[expected]}"
    assert (scorer.name, scorer.precision, scorer.input_dtype) == ("tensorrt", "bf16", "bf16")
    assert (scorer.batch, scorer.channels, scorer.n_outputs, scorer.n_statistics) == (8, 2, 7, 2)
    assert "cuCtxSetCurrent" in cuda.calls
    assert scorer.engine.key.targets == (f"sm_{gpu[1]}",)
    assert scorer.engine.key.gpu == (gpu[0] if expected == "tensorrt" else "")
    context: IExecutionContext = scorer._context
    wanted = CudaGraphStrategy.WHOLE_GRAPH_CAPTURE if expected == "tensorrt_rtx" else None
    assert context._strategy is wanted
    for _ in range(3):
        scorer.enqueue(0x1000, 0x2000, 0x3000, STREAM)
    addresses = {"image": 0x1000, "statistics": 0x2000, "y": 0x3000}
    # tensorrt: one normal run, one captured run, then only the graph.
    assert context._calls == [(STREAM, addresses)] * (3 if expected == "tensorrt_rtx" else 2)
    assert cuda.calls.count("cuGraphLaunch") == (0 if expected == "tensorrt_rtx" else 2)
    del scorer, context
    gc.collect()
    assert cuda.calls.count("cuGraphExecDestroy") == (0 if expected == "tensorrt_rtx" else 1)


def test_the_second_scorer_comes_from_the_cache(
    machine: Machine, model: imn.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(("RTX 4090", 89), **VERSIONS)
    first = make(model, tmp_path)
    monkeypatch.setattr(Builder, "fails", "nothing is built twice")
    assert make(model, tmp_path).engine == first.engine
    with pytest.raises(IonMorphNetError, match=r"tensorrt 11\.1\.0\.106 failed to build the engine: nothing is built"):
        make(model, tmp_path, precision="fp16")
    first.engine.path.write_bytes(b"damaged")
    with pytest.raises(IonMorphNetError, match="nothing is built twice"):
        make(model, tmp_path)


@pytest.mark.parametrize(("precision", "dtype"), [("fp16", "f16"), ("f32", "f32"), ("bf16", "bf16")])
def test_precisions(precision: str, dtype: str, machine: Machine, model: imn.Model, tmp_path: Path) -> None:
    machine(("RTX 4090", 89), **VERSIONS)
    scorer = make(model, tmp_path, precision=precision)
    assert (scorer.precision, scorer.input_dtype) == (precision, dtype)


def test_a_gpu_without_bf16(machine: Machine, model: imn.Model, tmp_path: Path) -> None:
    machine(("T4", 75), **VERSIONS)
    assert make(model, tmp_path).precision == "fp16"
    with pytest.raises(UnavailableError, match="sm_75 has no bf16; use precision fp16"):
        make(model, tmp_path, precision="bf16")


def test_a_network_without_statistics(machine: Machine, tmp_path: Path) -> None:
    machine(("RTX 4090", 89), **VERSIONS)
    write_model(tmp_path / "m")
    scorer = make(imn.load_model(tmp_path / "m"), tmp_path)
    assert (scorer.channels, scorer.n_outputs, scorer.n_statistics) == (1, 6, 0)
    scorer.enqueue(1, 0, 3, STREAM)
    assert scorer._context._calls == [(STREAM, {"image": 1, "y": 3})]


def test_null_addresses_are_refused(machine: Machine, model: imn.Model, tmp_path: Path) -> None:
    machine(("RTX 4090", 89), **VERSIONS)
    scorer = make(model, tmp_path)
    for addresses in ((0, 2, 3), (1, 0, 3), (1, 2, 0)):
        with pytest.raises(IonMorphNetError, match="null address"):
            scorer.enqueue(*addresses, STREAM)
    assert scorer._context._calls == []


def test_failures_while_running(machine: Machine, model: imn.Model, tmp_path: Path) -> None:
    machine(("RTX 4090", 89), **VERSIONS)
    scorer = make(model, tmp_path)
    address = "rejected the address of 'statistics': no reason given"
    for refuses, text in (("address", address), ("run", "failed to start the engine: no reason given")):
        scorer._context.refuses = refuses
        with pytest.raises(IonMorphNetError, match=text):
            scorer.enqueue(1, 2, 3, STREAM)


def test_no_usable_gpu(machine: Machine, model: imn.Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(**VERSIONS)
    with pytest.raises(UnavailableError, match="NVIDIA driver found, but CUDA reports no GPU"):
        make(model, tmp_path)
    machine(("RTX 4090", 89), fail="cuInit", **VERSIONS)
    with pytest.raises(UnavailableError, match=r"the NVIDIA driver failed to start \(cuInit: CUDA_ERROR_TEST\)"):
        make(model, tmp_path)
    machine(("RTX 4090", 89), ("T4", 75), **VERSIONS)
    with pytest.raises(ArgumentError, match=r"no GPU 2; found: GPU 0 \(RTX 4090, sm_89\), GPU 1 \(T4, sm_75\)"):
        make(model, tmp_path, device="cuda:2")
    monkeypatch.undo()
    monkeypatch.setattr(gpu_module, "_LIBRARY", "libno-such-driver.so.1")
    with pytest.raises(UnavailableError, match=r"no NVIDIA driver on this machine \(libno-such-driver"):
        make(model, tmp_path)


@pytest.mark.parametrize(
    ("capability", "modules", "text"),
    [
        (89, {}, r"TensorRT is not installed: pip install 'ionmorphnet\[tensorrt-rtx\]'"),
        (89, {"tensorrt": "10.9.0.34"}, r"tensorrt 10\.9\.0\.34 is too old, 10\.12 or later is needed: pip install"),
        (89, {"tensorrt_rtx": "1.2.0"}, r"tensorrt_rtx 1\.2\.0 is too old, 1\.7 or later is needed"),
        (90, {"tensorrt_rtx": "1.7.1.116"}, r"does not support sm_90, only sm_80, .*\[tensorrt\]"),
        (70, {"tensorrt": "11.1.0"}, r"tensorrt 11\.1\.0 does not support GPU 0 \(card, sm_70\)"),
        (90, {"tensorrt": "9.0", "tensorrt_rtx": "1.7.1.116"}, r"tensorrt 9\.0 is too old.*; tensorrt_rtx .* sm_90"),
    ],
)
def test_missing_and_old_modules(
    capability: int, modules: dict[str, str], text: str, machine: Machine, model: imn.Model, tmp_path: Path
) -> None:
    machine(("card", capability), **modules)
    with pytest.raises(UnavailableError, match=text) as error:
        make(model, tmp_path)
    assert "\n" not in str(error.value)


def test_a_named_flavour(machine: Machine) -> None:
    machine(("RTX 4090", 89), tensorrt_rtx="1.7.1.116")
    assert find_flavour("tensorrt_rtx").known_targets() == (80, 86, 89, 120, 121)
    with pytest.raises(UnavailableError, match=r"tensorrt is not installed: pip install 'ionmorphnet\[tensorrt\]'"):
        find_flavour("tensorrt")
    with pytest.raises(ArgumentError, match="unknown flavour 'trt'; known: tensorrt, tensorrt_rtx"):
        find_flavour("trt")


def test_a_module_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "tensorrt.py").write_text("import no_such_part_of_tensorrt\n")
    (tmp_path / "tensorrt_rtx.py").write_text("raise OSError('libtensorrt_rtx.so.1: cannot open shared object')\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in FLAVOURS:
        monkeypatch.delitem(sys.modules, name, raising=False)
    with pytest.raises(UnavailableError, match=r"tensorrt cannot be loaded \(No module named 'no_such_part"):
        find_flavour("tensorrt")
    with pytest.raises(UnavailableError, match=r"tensorrt_rtx cannot be loaded \(libtensorrt_rtx.so.1: cannot open"):
        find_flavour("tensorrt_rtx")


def test_an_engine_that_was_built_ahead(machine: Machine, model: imn.Model, tmp_path: Path) -> None:
    machine(tensorrt_rtx="1.7.1.116")  # no GPU
    path = tmp_path / "ahead.engine"
    built = imn.engine.build_engine(model, path, targets=["sm_80", "sm_89"], batch=8)
    assert built.key.targets == ("sm_80", "sm_89")
    machine(("RTX 4090", 89), **VERSIONS)
    assert imn.engine.load_tensorrt_scorer(path).batch == 8
    assert make(model, tmp_path, engine=path).engine == built
    assert not (tmp_path / "cache").exists()
    alone = imn.engine.make_tensorrt_scorer(model, engine=path)  # precision and batch come from the file
    assert (alone.batch, alone.precision) == (8, "bf16")
    with pytest.raises(FileError, match="has shapes image 8x2x224x224"):
        imn.engine.make_tensorrt_scorer(model, engine=path, batch=16)
    with pytest.raises(FileError, match="computes in bf16, not fp16"):
        make(model, tmp_path, engine=path, precision="fp16")
    with pytest.raises(FileError, match="built from another network"):
        make(imn.load_model(), tmp_path, engine=path)
    for gpu, modules, text in (
        (("H200", 90), VERSIONS, "built for sm_80, sm_89, this machine has GPU 0"),
        (("RTX 4090", 89), {"tensorrt_rtx": "1.9.0"}, r"built by tensorrt_rtx 1\.7\.1\.116, installed is 1\.9\.0"),
        (("RTX 4090", 89), {"tensorrt": "11.1.0"}, "tensorrt_rtx is not installed"),
    ):
        machine(gpu, **modules)
        with pytest.raises(UnavailableError, match=text):
            imn.engine.load_tensorrt_scorer(path)
        with pytest.raises(UnavailableError, match=text):
            make(model, tmp_path, engine=path)


def test_tensorrt_refuses_the_engine(machine: Machine, model: imn.Model, tmp_path: Path) -> None:
    machine(("RTX 4090", 89), tensorrt_rtx="1.7.1.116")
    built = imn.engine.build_engine(model, tmp_path / "a.engine", batch=8)
    write_engine(built.path, b"no plan", built.key, "m")
    with pytest.raises(
        UnavailableError, match=r"a\.engine: tensorrt_rtx .* rejected the engine on GPU 0 .*: the plan is no"
    ):
        imn.engine.load_tensorrt_scorer(built.path)
    other = imn.engine.build_engine(model, tmp_path / "b.engine", batch=4)
    write_engine(built.path, read_engine(other.path)[1], built.key, "m")
    with pytest.raises(FileError, match=r"the engine has .*\[4, 2, 224, 224\].* does not match its sidecar"):
        imn.engine.load_tensorrt_scorer(built.path)


def test_tensorrt_does_not_take_the_graph(machine: Machine) -> None:
    from ionmorphnet.scoring.tensorrt.build import build

    machine(("RTX 4090", 89), **VERSIONS)
    with pytest.raises(IonMorphNetError, match=r"tensorrt 11\.1\.0\.106 rejected the network: not a network"):
        build(b"\x12no network", find_flavour("tensorrt"), (89,))


def test_the_log_keeps_the_first_error(machine: Machine) -> None:
    machine(tensorrt="11.1.0")
    log = new_log(find_flavour("tensorrt"))
    assert log.said() == "no reason given"
    log.log(Severity.WARNING, "no matter")
    log.log(Severity.ERROR, "first\n  of two")
    log.log(Severity.INTERNAL_ERROR, "second")
    assert log.said() == "first of two"


class TestGraphs:
    """Graphs are captured on the second call with the same buffers, if possible."""

    @staticmethod
    def launch(graphs: Graphs, buffers: int, stream: int = STREAM) -> list[int]:
        done: list[int] = []
        graphs.launch(buffers, stream, lambda: done.append(buffers))
        return done

    def test_each_set_of_buffers_has_its_own(self) -> None:
        cuda = FakeCuda(("a", 90))
        graphs = Graphs(Driver(cuda))
        assert [self.launch(graphs, b) for b in (1, 2, 1, 2, 1, 2)] == [[1], [2], [1], [2], [], []]
        assert cuda.calls.count("cuGraphLaunch") == 4
        assert cuda.calls.count("cuGraphDestroy") == 2
        graphs.close()
        assert cuda.calls.count("cuGraphExecDestroy") == 2

    def test_the_default_stream_is_not_captured(self) -> None:
        cuda = FakeCuda(("a", 90))
        graphs = Graphs(Driver(cuda))
        assert [self.launch(graphs, 1, stream=0) for _ in range(3)] == [[1]] * 3
        assert "cuStreamBeginCapture_v2" not in cuda.calls

    def test_changing_buffers_get_no_graphs_without_end(self) -> None:
        cuda = FakeCuda(("a", 90))
        graphs = Graphs(Driver(cuda))
        for _ in range(3):
            for buffers in range(50):
                self.launch(graphs, buffers)
        assert cuda.calls.count("cuGraphInstantiateWithFlags") == 0
        graphs.close()

    def test_the_buffers_of_later_picks_get_graphs_too(self) -> None:
        cuda = FakeCuda(("a", 90))
        graphs = Graphs(Driver(cuda))
        for pick in range(20):
            launched = [self.launch(graphs, 4 * pick + k) for _ in range(3) for k in range(4)]
            assert launched[8:] == [[]] * 4
        assert cuda.calls.count("cuGraphInstantiateWithFlags") == 80
        assert cuda.calls.count("cuGraphExecDestroy") == 64
        graphs.close()
        assert cuda.calls.count("cuGraphExecDestroy") == 80

    @pytest.mark.parametrize("fail", ["cuStreamBeginCapture_v2", "cuStreamEndCapture", "cuGraphInstantiateWithFlags"])
    def test_a_capture_that_fails(self, fail: str, caplog: pytest.LogCaptureFixture) -> None:
        cuda = FakeCuda(("a", 90), fail=fail)
        graphs = Graphs(Driver(cuda))
        launched = [self.launch(graphs, 1) for _ in range(4)]
        assert all(each[-1:] == [1] for each in launched)
        assert caplog.text.count("the engine runs without") == 1
        assert cuda.calls.count("cuStreamBeginCapture_v2") == 1

    def test_an_error_inside_a_capture_ends_it(self) -> None:
        cuda = FakeCuda(("a", 90))
        graphs = Graphs(Driver(cuda))
        self.launch(graphs, 1)

        def broken() -> None:
            raise IonMorphNetError("the engine does not start")

        with pytest.raises(IonMorphNetError, match="does not start"):
            graphs.launch(1, STREAM, broken)
        assert cuda.calls[-2:] == ["cuStreamEndCapture", "cuGraphDestroy"]


def test_the_gpus_of_the_driver() -> None:
    driver = Driver(FakeCuda(("H200", 90), ("RTX 5090", 120)))
    assert driver.gpus() == [Gpu(0, "H200", 90), Gpu(1, "RTX 5090", 120)]
    assert str(find_gpu("cuda:1", driver)) == "GPU 1 (RTX 5090, sm_120)"
