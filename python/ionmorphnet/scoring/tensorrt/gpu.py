"""GPUs of this machine, queried from the NVIDIA driver without CUDA toolkit, torch or a CUDA build of the core."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.scoring.tensorrt.targets import target_name

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76  # CUdevice_attribute


@dataclass(frozen=True)
class Gpu:
    """One GPU.

    Attributes:
        index: CUDA device number.
        name: Name reported by the driver.
        capability: Compute capability, 89 for 8.9.
    """

    index: int
    name: str
    capability: int

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.name}, {target_name(self.capability)})"


def _open_library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL(_LIBRARY)
    except OSError:
        raise UnavailableError(f"no NVIDIA driver on this machine ({_LIBRARY} cannot be loaded)") from None


class Driver:
    """Checked calls to the NVIDIA driver library."""

    def __init__(self, library: ctypes.CDLL | None = None) -> None:
        """Opens the driver.

        Args:
            library: Replacement for the library, for tests.

        Raises:
            UnavailableError: There is no driver, or it fails to start.
        """
        if library is None:
            library = _open_library()
        self._library = library
        try:
            self.call("cuInit", 0)
        except IonMorphNetError as error:
            raise UnavailableError(f"the NVIDIA driver failed to start ({error})") from None

    def call(self, name: str, *arguments: object) -> None:
        """Calls a function of the driver.

        Raises:
            IonMorphNetError: The call failed; names the function and the error code of the driver.
        """
        code = getattr(self._library, name)(*arguments)
        if code:
            text = ctypes.c_char_p()
            self._library.cuGetErrorName(code, ctypes.byref(text))
            raise IonMorphNetError(f"{name}: {text.value.decode() if text.value else code}")

    def gpus(self) -> list[Gpu]:
        """All GPUs that CUDA reports.

        Raises:
            UnavailableError: There is no GPU.
        """
        count = ctypes.c_int(0)
        self.call("cuDeviceGetCount", ctypes.byref(count))
        if count.value == 0:
            raise UnavailableError("NVIDIA driver found, but CUDA reports no GPU")
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
        """Makes a GPU current in the calling thread, with the context that the CUDA runtime also uses."""
        context = ctypes.c_void_p()
        self.call("cuDevicePrimaryCtxRetain", ctypes.byref(context), self._device(gpu.index))
        self.call("cuCtxSetCurrent", context)


def find_gpu(device: DeviceName | Device, driver: Driver) -> Gpu:
    """Finds the GPU that a device name refers to.

    Args:
        device: ``"cuda"`` or ``"auto"`` for the first GPU, ``"cuda:N"``, or a :class:`Device`.
        driver: The open driver.

    Raises:
        ArgumentError: The device is not a GPU, or its number is too high.
        UnavailableError: There is no GPU.
    """
    request = Device.parse(device)
    if request.kind == "cpu":
        raise ArgumentError("TensorRT needs a GPU; use device cuda or cuda:N, not cpu")
    gpus, index = driver.gpus(), request.index or 0
    if index >= len(gpus):
        raise ArgumentError(f"no GPU {index}; found: {', '.join(map(str, gpus))}")
    return gpus[index]
