"""scripts/gpu/tensorrt_on_device.py with stand-ins for the GPU: what it compares, prints and returns."""

from __future__ import annotations

import ctypes
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.scoring.tensorrt import gpu as gpu_module
from model_factory import write_model
from tensorrt_factory import FakeCuda, fake_module

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "gpu" / "tensorrt_on_device.py"


class Memory(FakeCuda):
    """Gives out addresses, keeps what is uploaded, and reads the outputs from a list of batches."""

    def __init__(self, outputs: list[np.ndarray]) -> None:
        super().__init__(("RTX 4090", 89))
        self.outputs, self.uploads, self.sizes = outputs, [], []

    def _cuMemAlloc_v2(self, address: Any, size: Any) -> int:  # noqa: N802
        self.sizes.append(size.value)
        address._obj.value = 0x1000 * len(self.sizes)
        return 0

    def _cuStreamCreate(self, stream: Any, flags: int) -> int:  # noqa: N802
        stream._obj.value = 0x9000
        return 0

    def _cuMemcpyHtoD_v2(self, address: Any, source: Any, size: Any) -> int:  # noqa: N802
        self.uploads.append(ctypes.string_at(source.value, size.value))
        return 0

    def _cuMemcpyDtoH_v2(self, target: Any, address: Any, size: Any) -> int:  # noqa: N802
        content = np.ascontiguousarray(self.outputs.pop(0)).tobytes()
        assert len(content) == size.value
        ctypes.memmove(target.value, content, size.value)
        return 0


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        return int(stop.value.code or 0)

    return run


@pytest.fixture
def reference(tmp_path: Path, script: Callable[..., int]) -> tuple[Path, Path]:
    """A model folder and what ``reference`` saves of it."""
    write_model(tmp_path / "m", structure=True, statistics=["moran"], preprocessing="p99-stretch-224-mask")
    assert script("reference", tmp_path / "ref.npz", "--model", tmp_path / "m", "--images", 6) == 0
    return tmp_path / "m", tmp_path / "ref.npz"


def test_parity_and_times(
    reference: tuple[Path, Path], script: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model, npz = reference
    with np.load(npz) as arrays:
        outputs, images = arrays["outputs"], arrays["images"]
    np.testing.assert_allclose(outputs[:, :6].std(axis=0) > 0, True)
    monkeypatch.setitem(sys.modules, "tensorrt", fake_module("tensorrt", "11.1.0"))
    options = ("--model", model, "--batch", 4, "--precision", "fp16", "--cache-dir", tmp_path / "cache", "--json")
    for off, code in ((0.01, 0), (0.2, 1)):
        cuda = Memory([outputs[:4] + np.float32(off), outputs[4:] + np.float32(off)])
        monkeypatch.setattr(gpu_module, "_open_library", lambda cuda=cuda: cuda)
        capsys.readouterr()
        assert script("run", npz, *options) == code
        result = json.loads(capsys.readouterr().out)
        assert result["max_difference"] == pytest.approx(off, rel=1e-3)
        assert result["within_tolerance"] is (code == 0)
        assert (result["gpu"], result["batch"]) == ("GPU 0 (RTX 4090, sm_89)", 4)
        assert result["images_per_s"] > 0
        assert cuda.sizes == [4 * 2 * 224 * 224 * 2, 4 * 4, 4 * 7 * 4]
        assert cuda.uploads[0] == images[:4].astype(np.float16).tobytes()
        assert cuda.calls.count("cuMemFree_v2") == 3
        assert cuda.calls.count("cuGraphLaunch") > 50


def test_refusals(
    reference: tuple[Path, Path], script: Callable[..., int], monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model, npz = reference
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    monkeypatch.setitem(sys.modules, "tensorrt_rtx", fake_module("tensorrt_rtx", "1.7.1.116"))
    monkeypatch.setattr(gpu_module, "_open_library", lambda: FakeCuda(("H200", 90)))
    assert script("run", npz, "--model", model) == 2
    assert "tensorrt_rtx 1.7.1.116 does not support sm_90" in capsys.readouterr().err
    assert script("run", npz) == 2  # the bundled model
    assert "saved from another network" in capsys.readouterr().err
    engine = tmp_path / "a.engine"
    imn.engine.build_engine(model, engine, targets="sm_89", batch=4)
    assert script("run", npz, "--model", model, "--engine", engine) == 2
    assert "built for sm_89, this machine has GPU 0 (H200, sm_90)" in capsys.readouterr().err
    assert script("ask", engine) == 0
    said = capsys.readouterr().out
    assert "ours: built for sm_89, this machine has GPU 0 (H200, sm_90)" in said
    assert "tensorrt_rtx 1.7.1.116 on GPU 0 (H200, sm_90): accepted" in said
