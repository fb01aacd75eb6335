"""What a build and a host offer, and which device is taken: from observations given here, and from this machine."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import _core
from ionmorphnet.base import devices
from ionmorphnet.base.devices import Device
from native import _core_testing

GIB = 2**30
A100 = (0, "NVIDIA A100", 8, 0, 80 * GIB)
VOLTA = (1, "NVIDIA V100", 7, 0, 16 * GIB)
B200 = (2, "NVIDIA B200", 10, 0, 180 * GIB)
ALL = "75-real 80-real 89-real 90-real 120"


def facts(**changes: Any) -> dict[str, Any]:
    """A host with an A100 under a new driver, and what is different about it."""
    host = {"built": True, "toolkit": 13000, "architectures": ALL, "driver": 13000, "error": "", "found": [A100]}
    return {**host, **changes}


NOT_BUILT = facts(built=False, toolkit=0, architectures="", driver=0, found=[])
NO_DRIVER = facts(driver=0, found=[])
OLD_DRIVER = facts(driver=12040, found=[])
NO_GPU = facts(error="no CUDA-capable device is detected", found=[])


@pytest.mark.parametrize(
    ("host", "cause", "remedy"),
    [
        (NOT_BUILT, "this build has no CUDA code", "CUDA toolkit (nvcc) and build again"),
        (NO_DRIVER, "no NVIDIA driver was found on this host", "driver 580 or newer"),
        (OLD_DRIVER, "supports CUDA 12.4 at most, this build needs 13.0", "driver 580 or newer"),
        (facts(toolkit=12080, driver=11080, found=[]), "this build needs 12.0", "driver 525 or newer"),
        (NO_GPU, "lists no GPU: no CUDA-capable device is detected", "CUDA_VISIBLE_DEVICES"),
        (facts(found=[]), "lists no GPU", "CUDA_VISIBLE_DEVICES"),
        (facts(found=[VOLTA]), "V100: compute capability 7.0 is too old for CUDA 13.0, which needs 7.5", "another GPU"),
        (facts(found=[B200]), "no code for compute capability 10.0", "rebuild with IMN_CUDA_ARCHITECTURES=100"),
    ],
)
def test_each_reason_is_one_line_with_a_remedy(host: dict[str, Any], cause: str, remedy: str) -> None:
    status = _core_testing.build_info(host)["cuda"]
    assert not status["usable"]
    assert cause in status["reason"]
    assert _core_testing.choose_device("auto", host) == "cpu"
    assert _core_testing.choose_device("cpu", host) == "cpu"
    for name in ("cuda", "cuda:0", "cuda:7"):
        with pytest.raises(imn.UnavailableError) as raised:
            _core_testing.choose_device(name, host)
        text = str(raised.value)
        assert text.startswith(f"device '{name}': ")
        assert cause in text
        assert remedy in text
        assert "use device='cpu'" in text
        assert len(text.splitlines()) == 1


def test_a_usable_gpu_is_taken() -> None:
    for name in ("auto", "cuda", "cuda:0"):
        assert _core_testing.choose_device(name, facts()) == "cuda:0"
    status = _core_testing.build_info(facts())["cuda"]
    assert status["usable"]
    assert status["reason"] == status["remedy"] == ""
    assert status["toolkit"] == status["driver"] == "13.0"
    assert status["devices"] == [
        {
            "device": "cuda:0",
            "name": "NVIDIA A100",
            "compute_capability": "8.0",
            "memory_bytes": 80 * GIB,
            "multiprocessors": 0,
            "usable": True,
            "reason": "",
        }
    ]


def test_among_several_the_first_usable_one_is_taken() -> None:
    host = facts(found=[(0, *VOLTA[1:]), (1, *A100[1:]), B200])
    assert [gpu["usable"] for gpu in _core_testing.build_info(host)["cuda"]["devices"]] == [False, True, False]
    assert _core_testing.choose_device("auto", host) == _core_testing.choose_device("cuda", host) == "cuda:1"
    with pytest.raises(imn.UnavailableError, match=r"'cuda:0': NVIDIA V100: compute capability 7\.0 is too old"):
        _core_testing.choose_device("cuda:0", host)
    with pytest.raises(imn.UnavailableError, match="this host has 3 CUDA"):
        _core_testing.choose_device("cuda:3", host)


@pytest.mark.parametrize(
    ("architectures", "capability", "runs"),
    [
        ("80-real", (8, 0), True),
        ("80-real", (8, 9), True),  # same major version, later minor
        ("89-real", (8, 6), False),
        ("80-real", (9, 0), False),
        ("80-virtual", (9, 0), True),
        ("80-virtual", (7, 5), False),
        ("90", (10, 3), True),
        ("90a-real", (9, 0), True),
        ("90a", (10, 0), False),
        ("120", (12, 1), True),
        (ALL, (12, 1), True),
        (ALL, (13, 0), True),  # through the PTX of 120
        (ALL, (10, 0), False),
        ("native", (9, 0), False),
    ],
)
def test_which_devices_a_build_has_code_for(architectures: str, capability: tuple[int, int], runs: bool) -> None:
    gpu = (0, "GPU", *capability, GIB)
    host = facts(architectures=architectures, found=[gpu])
    assert _core_testing.build_info(host)["cuda"]["usable"] == runs


@pytest.mark.parametrize(
    "name", ["", "gpu", "tpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "CUDA", "cuda:99999999999"]
)
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(imn.ArgumentError, match="known: auto, cpu, cuda, cuda:N"):
        _core_testing.choose_device(name, facts())
    with pytest.raises(imn.ArgumentError, match="known: auto, cpu, cuda, cuda:N"):
        Device.parse(name)


@pytest.mark.parametrize(
    ("name", "device"),
    [("auto", Device("auto")), ("cpu", Device("cpu")), ("cuda", Device("cuda")), ("cuda:3", Device("cuda", 3))],
)
def test_names_of_devices(name: str, device: Device) -> None:
    assert Device.parse(name) == device
    assert str(device) == name
    assert Device.parse(device) is device


def fake_host(monkeypatch: pytest.MonkeyPatch, host: dict[str, Any]) -> None:
    monkeypatch.setattr(_core, "build_info", lambda: _core_testing.build_info(host))
    monkeypatch.setattr(_core, "choose_device", lambda name: _core_testing.choose_device(name, host))
    monkeypatch.setattr(devices, "_warned", set())


@pytest.mark.parametrize("host", [OLD_DRIVER, NO_GPU, facts(found=[VOLTA])])
def test_auto_says_once_why_a_gpu_is_passed_over(
    host: dict[str, Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_host(monkeypatch, host)
    with caplog.at_level(logging.WARNING, "ionmorphnet"):
        for _ in range(3):
            assert devices.resolve_device("auto") == Device("cpu")
    (record,) = caplog.records
    assert record.getMessage().startswith("no GPU is used: ")
    assert _core.build_info()["cuda"]["reason"] in record.getMessage()


@pytest.mark.parametrize(("host", "device"), [(NOT_BUILT, "cpu"), (NO_DRIVER, "cpu"), (facts(), "cuda:0")])
def test_auto_is_silent_where_there_is_nothing_to_say(
    host: dict[str, Any], device: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fake_host(monkeypatch, host)
    with caplog.at_level(logging.WARNING, "ionmorphnet"):
        assert str(devices.resolve_device("auto")) == device
        assert devices.resolve_device("cpu") == Device("cpu")
    assert caplog.records == []


def test_a_device_must_be_a_name() -> None:
    with pytest.raises(imn.ArgumentError, match="must be a name"):
        devices.resolve_device(0)  # type: ignore[arg-type]


def test_build_info_of_this_machine() -> None:
    info = imn.build_info()
    assert json.loads(json.dumps(info)) == info  # plain
    assert info["version"] == imn.__version__
    assert info["threads"] >= 1
    assert info["libraries"]["numpy"] == np.__version__
    cuda = info["cuda"]
    assert cuda["usable"] == any(gpu["usable"] for gpu in cuda["devices"]) == (cuda["reason"] == "")
    assert bool(cuda["architectures"]) == (cuda["toolkit"] is not None) == cuda["built"]
    assert cuda["built"] or (cuda["driver"] is None and not cuda["devices"])
    assert info["auto"] == next((gpu["device"] for gpu in cuda["devices"] if gpu["usable"]), "cpu")


ASKING = """
import numpy as np
import ionmorphnet as imn
cuda = imn.build_info()["cuda"]
assert not cuda["usable"] and cuda["reason"] and cuda["remedy"], cuda
try:
    imn.score_images(np.ones((1, 4, 4)), device="cuda")
except imn.UnavailableError as error:
    assert cuda["reason"] in str(error) and cuda["remedy"] in str(error), error
    print("refused")
"""


def test_asking_for_a_gpu_where_there_is_none_says_which_thing_is_missing() -> None:
    """In a process that sees none, whatever this host has."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", ASKING], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_importing_starts_nothing_on_a_device() -> None:
    """A process that hides all GPUs imports, tells about itself and works."""
    code = "import ionmorphnet as imn; i = imn.build_info(); print(i['auto'], i['cuda']['built'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "PATH": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["cpu", str(_core.build_info()["cuda"]["built"])]
    assert done.stderr == ""


def test_info_system(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(cli("info", "--system", "--json").stdout) == imn.build_info()
    fake_host(monkeypatch, facts(found=[(0, *VOLTA[1:]), (1, *A100[1:])]))
    lines = cli("info", "--system").stdout.splitlines()
    table = dict(line.split(maxsplit=1) for line in lines if not line.startswith(" "))
    assert table["cuda"] == f"built with 13.0 for {ALL}"
    assert table["cuda:0"] == "NVIDIA V100, compute capability 7.0, 17.2 GB"
    assert "not usable: compute capability 7.0" in lines[lines.index(f"cuda:0       {table['cuda:0']}") + 1]
    assert table["device=auto"] == "cuda:1"
    fake_host(monkeypatch, NO_DRIVER)
    text = cli("info", "--system").stdout
    assert "device=auto  cpu (GPU not used: no NVIDIA driver was found on this host)\n" in text
    assert text.endswith("to use one: install driver 580 or newer\n")


@pytest.mark.parametrize("arguments", [[], ["--json"], ["x.imzML", "--system"]])
def test_info_wants_a_file_or_the_system(cli: Callable[..., Any], arguments: list[str]) -> None:
    done = cli("info", *arguments)
    assert done.code == 2
    assert "pass either FILE or --system" in done.stderr
