"""What this build and this host offer, and which device work runs on."""

from __future__ import annotations

import logging
import os
import platform
from importlib import metadata
from typing import Any

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError, UnavailableError

__all__ = ["build_info", "resolve_device"]

_log = logging.getLogger("ionmorphnet")
_LIBRARIES = ("numpy", "pandas", "onnx", "torch", "triton", "tensorrt", "tensorrt-rtx")
_told: set[str] = set()
_gpu_found = False
_gpu_found_before_fork = False
GPU_FORKED = (
    "CUDA was started before this process was forked and does not work here: start workers with multiprocessing's "
    "'spawn' or 'forkserver' method, or give device='cpu'"
)


def build_info() -> dict[str, Any]:
    """What was built and what was found on this host; for bug reports, and to see why a GPU is not used.

    Nothing is started on any device.

    Returns:
        A plain dictionary: ``version``, ``compiler``, ``python``, ``platform``, ``threads`` (CPU threads of this
        process), ``bf16`` (whether the CPU computes in it), ``openvino`` (version; None: built without), ``libraries``
        (versions of what may be installed beside; None: not installed), ``auto`` (the device that ``device="auto"``
        takes) and ``cuda``: ``built``, ``toolkit`` (CUDA version of the build), ``architectures`` (compiled for),
        ``driver`` (newest CUDA version that it supports; None: no driver), ``usable``, ``reason`` and ``remedy`` (why
        no GPU is usable and what to do; empty where one is) and ``devices``, a list of ``device`` (``"cuda:0"``),
        ``name``, ``compute_capability``, ``memory_bytes``, ``multiprocessors``, ``usable``, ``reason``.
    """
    info: dict[str, Any] = dict(_core.build_info())
    cuda = info.pop("cuda")
    info["python"] = platform.python_version()
    info["platform"] = f"{platform.system()} {platform.machine()}"
    info["bf16"] = bool(_core.cpu_has_bf16()) if _core.has_openvino else None
    info["openvino"] = _version("openvino") if _core.has_openvino else None
    info["libraries"] = {name: _version(name) for name in _LIBRARIES}
    info["auto"] = _choose("auto")
    info["cuda"] = cuda
    return info


def resolve_device(device: str) -> str:
    """The device that a user's choice stands for.

    Args:
        device: ``"auto"`` (the first usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` (the first usable GPU) or
            ``"cuda:N"``.

    Returns:
        ``"cpu"`` or ``"cuda:N"``. Where a driver was found and ``"auto"`` still takes the CPU, the log says why, once.

    Raises:
        ArgumentError: No name of a device.
        UnavailableError: The GPU cannot be used; one line with the cause and what to do.
    """
    if not isinstance(device, str):
        raise ArgumentError(f"device must be a name such as 'cpu', not {device!r}")
    if _gpu_found_before_fork and (device == "auto" or device.startswith("cuda")):
        raise UnavailableError(GPU_FORKED)  # the driver would say that there is none
    chosen = _choose(device)
    if device == "auto" and chosen == "cpu":
        cuda = _core.build_info()["cuda"]
        # A host without a driver has nothing to use: not worth a line.
        if cuda["built"] and cuda["driver"] is not None:
            _tell_once(f"no GPU is used: {cuda['reason']}; {cuda['remedy']}")
    return chosen


def _choose(device: str) -> str:
    global _gpu_found
    chosen = str(_core.choose_device(device))
    _gpu_found = _gpu_found or chosen != "cpu"
    return chosen


def _after_fork() -> None:
    global _gpu_found_before_fork
    _gpu_found_before_fork = _gpu_found


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _tell_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        _log.warning("%s", text)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
