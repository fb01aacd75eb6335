"""The torch scorer: the network of a model folder in torch, on the CPU, in the device loop and through pick."""

from __future__ import annotations

import builtins
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import _core
from ionmorphnet.base.devices import Device
from ionmorphnet.scoring.device_loop import DeviceLoopScorer
from ionmorphnet.scoring.device_network import DeviceNetwork
from native import _core_testing

torch = pytest.importorskip("torch", reason="needs the extra [train]")
pytest.importorskip("onnx", reason="needs the extra [train]")
from ionmorphnet.scoring.torch.scorer import TorchScorer  # noqa: E402


@pytest.fixture(scope="module")
def inputs() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.random((5, 2, 224, 224), dtype=np.float32), rng.random((5, 4), dtype=np.float32)


@pytest.fixture(scope="module")
def by_openvino(inputs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    return imn.make_scorer(scorer="openvino", precision="f32", device="cpu").network.score(*inputs)


@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 1e-4), ("auto", 1e-4), ("bf16", 0.05)])
def test_on_the_cpu(inputs: tuple, by_openvino: np.ndarray, precision: str, tolerance: float) -> None:
    scorer = imn.make_scorer(scorer="torch", device="cpu", precision=precision, threads=1)
    assert (scorer.name, str(scorer.device)) == ("torch", "cpu")
    assert scorer.precision == ("bf16" if precision == "bf16" else "f32")
    np.testing.assert_allclose(scorer.network.score(*inputs), by_openvino, atol=tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [("f32", 1e-4), ("bf16", 0.05)])
def test_at_addresses(inputs: tuple, by_openvino: np.ndarray, precision: str, tolerance: float) -> None:
    scorer = TorchScorer(imn.load_model(), device="cpu", precision=precision, batch=5)
    assert isinstance(scorer, DeviceNetwork)
    image = torch.from_numpy(inputs[0]).to(torch.bfloat16 if precision == "bf16" else torch.float32).contiguous()
    for _ in range(2):  # other addresses the second time
        outputs = np.full((5, 7), np.nan, np.float32)
        scorer.enqueue(image.data_ptr(), inputs[1].ctypes.data, outputs.ctypes.data, 0)
        np.testing.assert_allclose(outputs, by_openvino, atol=tolerance)


class EmulatedLoop(DeviceLoopScorer):
    """The device loop with the device emulated on the host."""

    def native_arguments(self) -> dict[str, Any]:
        return {**super().native_arguments(), "device": "emulated"}


def on_emulated_device(precision: str, monkeypatch: pytest.MonkeyPatch) -> DeviceLoopScorer:
    """The scorer that make_scorer returns on a GPU, with the device emulated."""
    for name in ("score_windows_on_device", "score_stack_on_device"):
        monkeypatch.setattr(_core, name, getattr(_core_testing, name))
    model = imn.load_model()
    native = TorchScorer(model, device="cpu", precision=precision, batch=16)
    return EmulatedLoop(model, native, Device("cuda", 0))


@pytest.mark.parametrize("mode", ["processed", "continuous"])
def test_pick_from_the_file_to_the_ranks(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small.imzML"
    imn.simulate(path, shape=(18, 22), n_channels=24, mode=mode, seed=3)
    calls: list[tuple[int, int]] = []
    with imn.open(path) as ds:
        wanted = imn.pick(ds, scorer="torch", device="cpu", precision="f32", cascade=False, top=7)
        peaks = imn.pick(
            ds,
            scorer=on_emulated_device("f32", monkeypatch),
            top=7,
            progress=lambda done, total: calls.append((done, total)),
        )
    assert peaks.run.device == "cuda:0"
    assert peaks.run.scoring_loop["chunks"] >= 1
    assert calls[-1] == (len(peaks.all_scores), len(peaks.all_scores))
    left, right = wanted.all_scores.sort_values("mz"), peaks.all_scores.sort_values("mz")
    np.testing.assert_allclose(left["score"], right["score"], atol=1e-4)
    assert list(left["label"]) == list(right["label"])
    assert list(wanted.to_frame()["mz"]) == list(peaks.to_frame()["mz"])


def test_score_images_in_bf16(images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = imn.score_images(images, scorer="torch", device="cpu", precision="f32", cascade=False)
    given = imn.score_images(images, scorer=on_emulated_device("bf16", monkeypatch))
    np.testing.assert_allclose(given["score"], wanted["score"], atol=0.02)
    assert list(given["label"]) == list(wanted["label"])


def test_on_a_gpu(cuda: str, inputs: tuple, by_openvino: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "small.imzML"
    imn.simulate(path, shape=(40, 60), n_channels=80, mode="processed", seed=3)
    for precision, tolerance in (("f32", 5e-3), ("bf16", 0.03)):
        scorer = imn.make_scorer(scorer="torch", device=cuda, precision=precision)
        assert (scorer.device, scorer.precision) == (cuda, precision)
        with imn.open(path) as ds:
            wanted = imn.pick(
                ds, scorer="torch", device="cpu", precision="f32", cascade=False, top=7
            ).all_scores.sort_values("mz")
            for _ in range(2):  # other addresses the second time
                given = imn.pick(ds, scorer=scorer, top=7).all_scores.sort_values("mz")
                np.testing.assert_allclose(given["score"], wanted["score"], atol=tolerance)


def test_a_graph_serves_one_stream_after_the_other(inputs: tuple) -> None:
    """Its tensors are the scorer's: a batch waits for the one before, whatever stream that is on."""
    scorer = TorchScorer(imn.load_model(), device="cpu", batch=5)
    own = (torch.zeros(5, 2, 224, 224), torch.zeros(5, 4), torch.zeros(5, 7))
    done: list[str] = []

    class Event:
        def wait(self) -> None:
            assert not own[0].any() or done[-1] == "record"
            done.append("wait")

        def record(self) -> None:
            done.append("record")

    class Graph:
        def replay(self) -> None:
            done.append("replay")
            own[2][:] = own[0].mean((1, 2, 3))[:, None] + own[1].mean(1, keepdim=True)

    scorer._own, scorer._done, scorer._graph = own, Event(), Graph()
    for factor in (1.0, 2.0):
        image, statistics = (np.ascontiguousarray(part * np.float32(factor)) for part in inputs)
        outputs = np.full((5, 7), np.nan, np.float32)
        scorer.enqueue(image.ctypes.data, statistics.ctypes.data, outputs.ctypes.data, 0)
        wanted = image.mean((1, 2, 3)) + statistics.mean(1)
        np.testing.assert_allclose(outputs, np.repeat(wanted[:, None], 7, 1), rtol=1e-4)
    assert done == ["wait", "replay", "record"] * 2


def test_streams_of_a_gpu_share_a_scorer(cuda: str, inputs: tuple) -> None:
    scorer = TorchScorer(imn.load_model(), device=cuda, batch=64)
    generator = torch.Generator(cuda).manual_seed(1)
    images = [torch.rand((64, 2, 224, 224), generator=generator, device=cuda).bfloat16() for _ in range(2)]
    beside = torch.rand((64, 4), generator=generator, device=cuda)
    alone = [torch.zeros((64, 7), device=cuda) for _ in images]
    together = [torch.zeros((64, 7), device=cuda) for _ in range(20)]
    streams = [torch.cuda.Stream(cuda) for _ in images]
    torch.cuda.synchronize()
    for k, outputs in enumerate(alone):
        scorer.enqueue(images[k].data_ptr(), beside.data_ptr(), outputs.data_ptr(), streams[0].cuda_stream)
        torch.cuda.synchronize()
    for k, outputs in enumerate(together):
        scorer.enqueue(images[k % 2].data_ptr(), beside.data_ptr(), outputs.data_ptr(), streams[k % 2].cuda_stream)
    torch.cuda.synchronize()
    assert all(torch.equal(outputs, alone[k % 2]) for k, outputs in enumerate(together))


def test_arguments() -> None:
    model = imn.load_model()
    with pytest.raises(imn.ArgumentError, match="batch must be at least 1"):
        TorchScorer(model, device="cpu", batch=0)
    with pytest.raises(imn.ArgumentError, match="f32 or bf16, not 'fp16'"):
        TorchScorer(model, device="cpu", precision="fp16")
    with pytest.raises(imn.ArgumentError, match="fp16"):
        imn.make_scorer(scorer="torch", device="cpu", precision="fp16")


def test_without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = builtins.__import__

    def without(name: str, *arguments: object, **options: object) -> object:
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return plain(name, *arguments, **options)

    monkeypatch.delitem(sys.modules, "ionmorphnet.scoring.torch.scorer")
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(imn.UnavailableError, match=r"needs torch: pip install 'ionmorphnet\[train\]'"):
        imn.make_scorer(scorer="torch", device="cpu")


def test_torch_is_imported_for_its_scorer_only() -> None:
    code = "import sys, ionmorphnet as imn; imn.make_scorer(scorer='moran'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr
