"""Which engine scores on a GPU: the order, what refuses, what the record says. The engines are stand-ins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import ionmorphnet as imn
from ionmorphnet.base.devices import Device
from ionmorphnet.scoring import choose, gpu_networks, kept
from ionmorphnet.scoring.device_loop import DeviceLoopScorer


class Engine:
    """A DeviceNetwork that never runs."""

    batch, input_dtype, channels, size, n_outputs, n_statistics = 8, "bf16", 2, 224, 7, 4

    def __init__(self, name: str, precision: str) -> None:
        self.name, self.precision = name, precision

    def enqueue(self, image: int, statistics: int, outputs: int, stream: int) -> None:
        raise AssertionError


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A host whose cuda:0 is usable; the dictionary holds why an engine refuses."""
    refuses: dict[str, str] = {}

    def start(name: str):
        def make(model: imn.Model, device: Device, precision: str, engine: object = None) -> Engine:
            assert device == Device("cuda", 0)
            if engine is not None:
                refuses["taken"] = str(engine)
            if name in refuses:
                raise imn.UnavailableError(refuses[name])
            return Engine(name, "bf16" if precision == "auto" else precision)

        return make

    monkeypatch.setattr(gpu_networks, "_tensorrt", start("tensorrt"))
    monkeypatch.setattr(gpu_networks, "_torch", start("torch"))
    monkeypatch.setattr(choose, "resolve_device", lambda device: Device.parse("cpu" if device == "cpu" else "cuda:0"))
    kept.clear_scorers()
    yield refuses
    kept.clear_scorers()


@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_tensorrt_comes_first(gpu: dict[str, str], device: str) -> None:
    scorer = imn.make_scorer(device=device)
    assert (scorer.name, str(scorer.device), scorer.precision) == ("tensorrt", "cuda:0", "bf16")
    assert isinstance(scorer, DeviceLoopScorer)
    assert scorer.refused == {}
    assert scorer.native_arguments()["device"] == "cuda:0"
    with pytest.raises(TypeError, match="does not pickle"):
        scorer.__reduce__()


def test_then_torch(gpu: dict[str, str], caplog: pytest.LogCaptureFixture) -> None:
    gpu["tensorrt"] = "tensorrt is not installed: pip install it"
    with caplog.at_level(logging.WARNING, "ionmorphnet"):
        scorer = imn.make_scorer(precision="f32")
    assert (scorer.name, scorer.precision) == ("torch", "f32")
    assert scorer.refused == gpu
    assert caplog.text.count("tensorrt is not installed") == 1


def test_then_the_cpu(gpu: dict[str, str], caplog: pytest.LogCaptureFixture, section: Path) -> None:
    gpu |= {"tensorrt": "no TensorRT", "torch": "no torch"}
    with caplog.at_level(logging.WARNING, "ionmorphnet"):
        peaks = imn.pick(section, device="cuda:0", top=3)
    assert (peaks.run.scorer, peaks.run.device) == ("openvino", "cpu")
    assert peaks.run.refused == gpu
    for text in ("no TensorRT", "no torch", "the CPU scores"):
        assert caplog.text.count(text) == 1
    gpu.clear()  # the next call tries the GPU again
    assert not kept._idle


def test_a_named_engine_that_refuses_is_an_error(gpu: dict[str, str]) -> None:
    gpu["torch"] = "no torch here"
    with pytest.raises(imn.UnavailableError, match="no torch here"):
        imn.make_scorer(scorer="torch", device="cuda:0")
    assert imn.make_scorer(scorer="tensorrt", precision="fp16").precision == "fp16"


def test_an_engine_that_was_built_ahead_is_taken_or_refused(
    gpu: dict[str, str], section: Path, cli: Callable[..., Any], tmp_path: Path
) -> None:
    for scorer in ("auto", "tensorrt"):
        assert imn.make_scorer(scorer=scorer, engine="a.engine").name == "tensorrt"
        assert gpu.pop("taken") == "a.engine"
    for scorer in ("torch", "openvino", "moran"):
        with pytest.raises(imn.ArgumentError, match=r"a\.engine: an engine is for scorer 'tensorrt', not"):
            imn.make_scorer(scorer=scorer, engine="a.engine")
    with pytest.raises(imn.ArgumentError, match="leave them out"):
        imn.make_scorer(scorer=imn.make_scorer(scorer="moran"), engine="a.engine")
    # No other engine takes its place.
    gpu["tensorrt"] = "a.engine: built for sm_80"
    done = cli("pick", section, "-o", tmp_path / "out", "--engine", "a.engine")
    done.is_one_line_error("a.engine: built for sm_80")


@pytest.mark.parametrize("scorer", ["moran", "openvino", lambda x, statistics: x])
def test_what_runs_on_the_cpu_only(gpu: dict[str, str], scorer: object) -> None:
    with pytest.raises(imn.UnavailableError, match=r"device 'cuda:0': .* on the CPU only"):
        imn.make_scorer(scorer=scorer, device="cuda:0")
    assert imn.make_scorer(scorer=scorer).device == Device("cpu")  # whatever auto would take


def test_torch_on_a_gpu_has_no_fp16() -> None:
    with pytest.raises(imn.ArgumentError, match="f32 or bf16, not fp16"):
        gpu_networks.start_gpu_network(imn.load_model(), "torch", Device("cuda", 0), "fp16")
