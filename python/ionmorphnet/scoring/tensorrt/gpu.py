"""The GPUs of this machine, asked of the NVIDIA driver itself: no CUDA toolkit, no torch, no build option is needed."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass
from typing import Any

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.scoring.tensorrt.targets import target_name

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        index: As CUDA counts them.
        name: As the driver calls it.
        capability: Compute capability, 89 for 8.9.
    """

    index: int
    name: str
    capability: int

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.name}, {target_name(self.capability)})"


def _open_library() -> Any:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        raise UnavailableError(f"no NVIDIA driver on this machine ({_LIBRARY} cannot be loaded)") from None


class Driver:
    """The functions of the driver's library that are needed here, each checked."""

    def __init__(self, library: Any = None) -> None:
        """Opens the driver.

        Args:
            library: What to call in its place, for tests.

        Raises:
            UnavailableError: There is no driver, or it does not start.
        """
        if library is None:
            library = _open_library()
        self._library = library
        try:
            self.call("cuInit", 0)
        except IonMorphNetError as error:
            raise UnavailableError(f"the NVIDIA driver does not start ({error})") from None

    def call(self, name: str, *arguments: Any) -> None:
        """Calls a function of the driver.

        Raises:
            IonMorphNetError: It did not succeed; names the function and the driver's word for the cause.
        """
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(code, ctypes.byref(text))
            raise IonMorphNetError(f"{name}: {text.value.decode() if text.value else code}")

    def gpus(self) -> list[Gpu]:
        """All GPUs that CUDA shows.

        Raises:
            UnavailableError: There is none.
        """
        count = ctypes.c_int(0)
        self.call("cuDeviceGetCount", ctypes.byref(count))
        if count.value == 0:
            raise UnavailableError("the NVIDIA driver is there, but no GPU that CUDA shows")
        return [self._gpu(index) for index in range(count.value)]

    def _gpu(self, index: int) -> Gpu:
        device, text = self._device(index), ctypes.create_string_buffer(256)
        self.call("cuDeviceGetName", text, len(text), device)
        numbers = []
        for attribute in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR):
            value = ctypes.c_int(0)
            self.call("cuDeviceGetAttribute", ctypes.byref(value), attribute, device)
            numbers.append(value.value)
        return Gpu(index, text.value.decode(), 10 * numbers[0] + numbers[1])

    def _device(self, index: int) -> ctypes.c_int:
        device = ctypes.c_int(0)
        self.call("cuDeviceGet", ctypes.byref(device), index)
        return device

    def make_current(self, gpu: Gpu) -> None:
        """Makes a GPU the one that the calling thread uses, with the context that CUDA's runtime uses too."""
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), self._device(gpu.index))
        self.call("cuCtxSetCurrent", context)


def find_gpu(index: int, driver: Driver) -> Gpu:
    """The GPU of a number.

    Raises:
        ArgumentError: There are not so many.
        UnavailableError: There is none.
    """
    gpus = driver.gpus()
    if not 0 <= index < len(gpus):
        raise ArgumentError(f"there is no GPU {index}; found: {', '.join(map(str, gpus))}")
    return gpus[index]
