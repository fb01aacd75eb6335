"""Device, precision, threads and worker processes of a training, and requests to stop it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import torch

from ionmorphnet.base.arguments import usable_cores
from ionmorphnet.base.devices import Device
from ionmorphnet.base.errors import UnavailableError


def torch_device(device: str | Device) -> torch.device:
    """Choose torch's device; a GPU becomes the current one of this process.

    Args:
        device: ``"auto"`` and ``"cuda"`` select the GPU that ``torchrun`` assigned to this process, without it the
            first one. ``"auto"`` selects the CPU if torch finds no GPU.

    Raises:
        ArgumentError: ``device`` is not the name of a device.
        UnavailableError: torch does not find the GPU.
    """
    request = Device.parse(device)
    if request.kind == "cpu" or (request.kind == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    index = int(os.environ.get("LOCAL_RANK", "0")) if request.index is None else request.index
    if index >= torch.cuda.device_count():
        raise UnavailableError(
            f"device {request}: torch finds {torch.cuda.device_count()} CUDA devices; use device='cpu', or a GPU and "
            "a torch build that supports it"
        )
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def choose_precision(name: str, device: torch.device) -> str:
    """Resolve ``auto`` to ``bf16`` if the device computes in it, otherwise to ``f32``."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "f32"
    from openvino import Core

    return "bf16" if "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def default_workers(device: torch.device) -> int:
    """Number of processes that keep the network busy.

    On a CPU, training on an image takes about four times as long as simulating it.
    """
    cores = usable_cores()
    return max(1, cores - 1) if device.type == "cuda" else max(1, cores // 4)


@contextmanager
def arithmetic_threads(threads: int) -> Iterator[int]:
    """Limit torch to a number of CPU threads; the previous limit is restored on leaving.

    Args:
        threads: 0: all cores that the process may use.

    Yields:
        The number of threads.
    """
    before = torch.get_num_threads()
    limit = threads or usable_cores()
    torch.set_num_threads(limit)
    try:
        yield limit
    finally:
        torch.set_num_threads(before)


@contextmanager
def stop_requests() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set; a second signal has its previous effect. Main thread only."""
    stop = threading.Event()
    before: dict[int, Callable[[int, FrameType | None], object] | int | None] = {}

    def request(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, request)
    try:
        yield stop
    finally:
        for changed, handler in before.items():
            signal.signal(changed, handler)
