"""What this build and this host offer, and which device runs the work."""

from __future__ import annotations

import functools
import logging
import os
import platform
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal, Self

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.base.native_types import BuildInfo

__all__ = ["Device", "DeviceName", "build_info", "cpu_has_vnni", "resolve_device"]

# What a parameter named ``device`` accepts.
DeviceName = Literal[
    "auto", "cpu", "cuda", "cuda:0", "cuda:1", "cuda:2", "cuda:3", "cuda:4", "cuda:5", "cuda:6", "cuda:7"
]

_log = logging.getLogger("ionmorphnet")
_LIBRARIES = ("numpy", "pandas", "onnx", "torch", "triton", "tensorrt", "tensorrt-rtx")
_warned: set[str] = set()
_gpu_found = False
_gpu_found_before_fork = False
GPU_FORKED = (
    "CUDA was started before this process was forked and does not work here: start workers with multiprocessing's "
    "'spawn' or 'forkserver' method, or give device='cpu'"
)


@dataclass(frozen=True)
class Device:
    """A device, or the request for one. This is the only place in Python that reads names of devices.

    Attributes:
        kind: ``"cpu"``, ``"cuda"``, or ``"auto"`` (a GPU if one can be used, else the CPU).
        index: Number of the GPU, from 0; None for the CPU, and for a request that any GPU meets.
    """

    kind: Literal["auto", "cpu", "cuda"]
    index: int | None = None

    @classmethod
    def parse(cls, device: str | Self) -> Self:
        """Reads ``auto``, ``cpu``, ``cuda`` or ``cuda:N``. Does not look whether there is such a device.

        Raises:
            ArgumentError: Not the name of a device.
        """
        if isinstance(device, cls):
            return device
        if not isinstance(device, str):
            raise ArgumentError(f"device must be a name such as 'cpu', not {device!r}")
        match = re.fullmatch(r"(auto|cpu|cuda)|cuda:([0-9]{1,9})", device)
        if match is None:
            raise ArgumentError(f"unknown device '{device}'; known: auto, cpu, cuda, cuda:N")
        return cls(match[1] or "cuda", None if match[2] is None else int(match[2]))  # type: ignore[arg-type]

    def __str__(self) -> str:
        """The name: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
        return self.kind if self.index is None else f"{self.kind}:{self.index}"


def build_info() -> BuildInfo:
    """Describes this build and this host, for bug reports and to find out why a GPU is not used.

    Starts nothing on any device.

    Returns:
        A plain dictionary: ``version``, ``compiler``, ``python``, ``platform``, ``threads`` (CPU threads of this
        process), ``bf16`` (whether the CPU computes in it), ``openvino`` (version; None: built without), ``libraries``
        (versions of what may be installed beside; None: not installed), ``auto`` (the device that ``device="auto"``
        takes) and ``cuda``: ``built``, ``toolkit`` (CUDA version of the build), ``architectures`` (compiled for),
        ``driver`` (newest CUDA version that it supports; None: no driver), ``usable``, ``reason`` and ``remedy`` (why
        no GPU is usable and what to do; empty where one is) and ``devices``, a list of ``device`` (``"cuda:0"``),
        ``name``, ``compute_capability``, ``memory_bytes``, ``multiprocessors``, ``usable``, ``reason``.
    """
    native = _core.build_info()
    return {
        "version": native["version"],
        "compiler": native["compiler"],
        "threads": native["threads"],
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "bf16": _core.cpu_has_bf16() if _core.has_openvino else None,
        "openvino": _version("openvino") if _core.has_openvino else None,
        "libraries": {name: _version(name) for name in _LIBRARIES},
        "auto": str(_choose(Device("auto"))),
        "cuda": native["cuda"],
    }


@functools.cache
def cpu_has_vnni() -> bool:
    """Whether the CPU multiplies 8-bit numbers fast (VNNI, AMX or the dot products of ARM)."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return False
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return not flags.isdisjoint({"avx512_vnni", "avx_vnni", "amx_int8", "asimddp"})


def resolve_device(device: DeviceName | Device) -> Device:
    """Chooses the device that a request stands for.

    Args:
        device: ``"auto"`` (the first usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` (the first usable GPU),
            ``"cuda:N"``, or a :class:`Device`.

    Returns:
        The CPU or one GPU. If an NVIDIA driver was found and ``"auto"`` still chooses the CPU, the log says why, once.

    Raises:
        ArgumentError: ``device`` is not the name of a device.
        UnavailableError: The GPU cannot be used; one line with the cause and the remedy.
    """
    request = Device.parse(device)
    if _gpu_found_before_fork and request.kind != "cpu":
        raise UnavailableError(GPU_FORKED)  # the driver would report that there is no GPU
    chosen = _choose(request)
    if request.kind == "auto" and chosen.kind == "cpu":
        cuda = _core.build_info()["cuda"]
        # A host without a driver has no GPU to offer: not worth a line.
        if cuda["built"] and cuda["driver"] is not None:
            _warn_once(f"no GPU is used: {cuda['reason']}; {cuda['remedy']}")
    return chosen


def _choose(device: Device) -> Device:
    global _gpu_found
    chosen = Device.parse(_core.choose_device(str(device)))
    _gpu_found = _gpu_found or chosen.kind == "cuda"
    return chosen


def _after_fork() -> None:
    global _gpu_found_before_fork
    _gpu_found_before_fork = _gpu_found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _warn_once(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        _log.warning("%s", text)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
