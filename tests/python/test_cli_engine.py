"""``ionmorphnet engine``."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import ionmorphnet as imn
from conftest import Done
from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.scoring.tensorrt import gpu as gpu_module
from ionmorphnet.scoring.tensorrt.flavour import FLAVOURS
from model_factory import write_model
from tensorrt_factory import FakeCuda, fake_module

Cli = Callable[..., Done]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    write_model(tmp_path / "m", structure=True, statistics=["moran"], preprocessing="p99-stretch-224-mask")
    return tmp_path / "m"


def set_machine(monkeypatch: pytest.MonkeyPatch, *gpus: tuple[str, int], **modules: str) -> None:
    def driver() -> FakeCuda:
        if not gpus:
            raise UnavailableError("no NVIDIA driver on this machine (libcuda.so.1 cannot be loaded)")
        return FakeCuda(*gpus)

    monkeypatch.setattr(gpu_module, "_open_library", driver)
    for name in FLAVOURS:
        monkeypatch.setitem(sys.modules, name, fake_module(name, modules[name]) if name in modules else None)


def test_build_info_and_cache(cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_machine(monkeypatch, tensorrt_rtx="1.7.1.116")
    out = tmp_path / "out.engine"
    done = cli("engine", "build", model, "-o", out, "--target", "sm_89", "--target", "sm_80", "--batch", 16)
    assert done.code == 0, done
    lines = done.stdout.splitlines()
    assert lines[0].startswith(f"{out} (")
    assert "  built by: tensorrt_rtx 1.7.1.116 for sm_80, sm_89" in lines
    assert "  tensors: image 16x2x224x224 bf16, statistics 16x1 f32, outputs 16x7 f32" in lines
    info = cli("engine", "info", out)
    assert info.code == 0
    assert info.stdout.splitlines()[:-1] == lines
    assert info.stdout.splitlines()[-1].startswith("  runs on this machine: no: no NVIDIA driver on this machine")
    set_machine(monkeypatch, ("RTX 4090", 89), tensorrt_rtx="1.7.1.116")
    assert cli("engine", "info", out).stdout.splitlines()[-1] == "  runs on this machine: yes, according to the sidecar"
    set_machine(monkeypatch, ("H200", 90), tensorrt_rtx="1.7.1.116")
    document = json.loads(cli("engine", "info", out, "--json").stdout)
    assert document["refused"].startswith("built for sm_80, sm_89, this machine has GPU 0 (H200, sm_90)")
    assert document["key"] == imn.engine.read_sidecar(out).key.digest

    set_machine(monkeypatch, ("RTX 4090", 89), tensorrt="11.1.0")
    folder = tmp_path / "cache"
    built = json.loads(cli("engine", "build", model, "--cache-dir", folder, "--json").stdout)
    assert built["parts"]["targets"] == ["sm_89"]
    assert built["parts"]["gpu"] == "RTX 4090"
    assert Path(built["path"]).parent == folder
    listed = cli("engine", "cache", "--cache-dir", folder)
    assert listed.stdout.startswith(f"{folder}: 1 engine, ")
    assert Path(built["path"]).name in listed.stdout
    assert [each["path"] for each in json.loads(cli("engine", "cache", "--cache-dir", folder, "--json").stdout)] == [
        built["path"]
    ]
    assert cli("engine", "cache", "--cache-dir", folder, "--clear").stdout == f"{folder}: 1 engine removed\n"
    assert cli("engine", "cache", "--cache-dir", folder).stdout == f"{folder}: 0 engines\n"


def test_errors(cli: Cli, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.engine"
    set_machine(monkeypatch, tensorrt_rtx="1.7.1.116")
    cli("engine", "build", model, "-o", out, "--target", "sm_90").is_one_line_error("does not support sm_90", "sm_121")
    cli("engine", "build", model, "-o", out).is_one_line_error("no NVIDIA driver", "to build ahead, name the target")
    cli("engine", "build", model, "-o", out, "--target", "89").is_one_line_error("use sm_NN")
    cli("engine", "build", tmp_path / "none").is_one_line_error("no such model folder")
    cli("engine", "build", model, "-o", tmp_path / "no" / "x", "--target", "sm_80").is_one_line_error("does not exist")
    assert not out.exists()
    set_machine(monkeypatch)
    cli("engine", "build", model, "--target", "sm_80").is_one_line_error("pip install 'ionmorphnet[tensorrt-rtx]'")
    set_machine(monkeypatch, ("RTX 4090", 89), tensorrt="11.1.0", tensorrt_rtx="1.0")
    cli("engine", "build", model, "--target", "sm_80").is_one_line_error("tensorrt_rtx 1.0 is too old")
    cli("engine", "build", model, "--target", "sm_80", "--flavour", "tensorrt").is_one_line_error(
        "tensorrt 11.1.0 builds only for the GPU of this machine, not for sm_80", "GPU 0 (RTX 4090, sm_89)"
    )
    out.write_bytes(b"foreign")
    cli("engine", "info", out).is_one_line_error("out.engine.json is missing")
    cli("engine", "info", tmp_path / "none").is_one_line_error("no such engine")


def test_check(cli: Cli, model: Path) -> None:
    done = cli("engine", "check", model, "--images", 3)
    assert done.code == 0, done
    lines = done.stdout.splitlines()
    assert lines[0] == "m: typed graph against float32"
    assert [line.split()[:3] for line in lines[2:]] == [
        ["bf16", "simulated", "3"], ["bf16", "extreme", "33"], ["fp16", "simulated", "3"], ["fp16", "extreme", "33"]
    ]  # fmt: skip
    (first, second) = json.loads(cli("engine", "check", model, "--images", 3, "--precision", "bf16", "--json").stdout)
    assert (first["name"], second["name"]) == ("simulated", "extreme")
    assert first["agreement"]["images"] == 3
    assert first["largest_in"] == "image"


@pytest.mark.parametrize("command", [(), ("build",), ("info",), ("cache",), ("check",)])
def test_help(command: tuple[str, ...], cli: Cli) -> None:
    done = cli("engine", *command, "--help")
    assert done.code == 0
    assert "Usage:" in done.stdout
