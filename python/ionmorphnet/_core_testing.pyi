# Made from the built module by `make stubs`; do not edit.
"""
Test hooks of ionmorphnet's native core; wheels do not contain this module.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy
import numpy.typing

import ionmorphnet._core
import ionmorphnet.base.native_types
import ionmorphnet.scoring.device_network

__all__: list[str] = [
    "build_info",
    "chaos_fits",
    "choose_device",
    "emulated_bin_images",
    "emulated_collectives",
    "emulated_mistake",
    "emulated_preprocess",
    "emulated_statistics",
    "find_blank",
    "float_intensities",
    "float_mz",
    "parse_header",
    "preprocess_fits",
    "probe_bin",
    "probe_copy",
    "probe_prepare",
    "read_bins",
    "score_stack_on_device",
    "score_windows_on_device",
    "shared_mz",
    "stream_copy",
    "stream_widths",
]

def build_info(facts: dict[str, typing.Any]) -> ionmorphnet.base.native_types.NativeBuildInfo:
    """
    _core.build_info() for a host with these facts.
    """

def chaos_fits(height: int, width: int, shared_bytes: int = 232448) -> bool:
    """
    Whether the kernel counts objects in shared memory.
    """

def choose_device(name: str, facts: dict[str, typing.Any]) -> str:
    """
    _core.choose_device() for a host with these facts.
    """

def emulated_bin_images(
    dataset: ionmorphnet._core.Dataset,
    lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    unmeasured: float = ...,
    seed: int = 0,
    windows_per_strip: int = 1048576,
    pixels_per_chunk: int = 1048576,
    bins_per_chunk: int = 1048576,
    wide: bool = False,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    bin_images() with emulated kernels; `wide`: use float64 even if float32 holds the values exactly.
    """

def emulated_collectives(
    values: typing.Annotated[numpy.typing.ArrayLike, numpy.float64], threads: int, seed: int
) -> tuple[float, numpy.typing.NDArray[numpy.int32], int]:
    """
    Sum, exclusive scan and its total, computed by the collectives of the emulated kernels.
    """

def emulated_mistake(kind: str, seed: int) -> int:
    """
    Runs a faulty kernel: 'order' returns what depends on the threads' order, 'outside' writes one byte too far and throws, 'unwritten' returns shared memory that no thread wrote.
    """

def emulated_preprocess(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    preprocess_id: str,
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    type: str = "f32",
    *,
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    shared_bytes: int = 232448,
    seed: int = 0,
) -> tuple[numpy.ndarray, ionmorphnet.base.native_types.ImageFacts]:
    """
    (n, H, W) float32 -> (n, C, size, size) float32, or uint16 with the bits of 'bf16' or 'f16', and a dict of (n,) arrays. `shared_bytes`: limit per block of the emulated device.
    """

def emulated_statistics(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    *,
    shared_bytes: int = 232448,
    seed: int = 0,
) -> numpy.typing.NDArray[numpy.float32]:
    """
    (n, H, W) float32 -> (n, 6) float32.
    """

def find_blank(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    preprocess_id: str,
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    threads: int = 0,
) -> numpy.typing.NDArray[numpy.bool]:
    """
    (n, H, W) float32 -> (n,) bool: whether the loops skip the image as blank.
    """

def float_intensities(dataset: ionmorphnet._core.Dataset) -> bool:
    """
    Whether float32 holds every intensity of the file exactly.
    """

def float_mz(dataset: ionmorphnet._core.Dataset) -> bool:
    """
    Whether float32 holds every m/z value of the file exactly.
    """

def parse_header(path: str, parser: str = "auto") -> dict[str, typing.Any]:
    """
    The header, parsed by 'scanner', 'expat' or 'auto'.
    """

def preprocess_fits(pixels: int, shared_bytes: int = 232448) -> bool:
    """
    Whether the kernel keeps images with this many pixels in shared memory.
    """

def probe_bin(
    dataset: ionmorphnet._core.Dataset,
    lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    device: str = "emulated",
    threads: int = 0,
    repeat: int = 0,
    keep_images: bool = True,
    pinned_memory: int = 201326592,
    seed: int = 0,
) -> ionmorphnet.base.native_types.BinProbe:
    """
    As _core's, on the emulated device.
    """

def probe_copy(
    bytes: int, *, device: str = "emulated", repeat: int = 10, seed: int = 0
) -> ionmorphnet.base.native_types.CopyProbe:
    """
    As _core's, on the emulated device.
    """

def probe_prepare(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    *,
    preprocess_id: str,
    type: str = "f32",
    statistics: collections.abc.Sequence[str] = [],
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    device: str = "emulated",
    repeat: int = 0,
    seed: int = 0,
) -> ionmorphnet.base.native_types.PrepareProbe:
    """
    As _core's, on the emulated device.
    """

def read_bins(
    dataset: ionmorphnet._core.Dataset, spectrum: int, first: int, last: int
) -> numpy.typing.NDArray[numpy.float64]:
    """
    Intensities [first, last) on the shared m/z axis of a continuous file.
    """

def score_stack_on_device(
    images: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    mask: typing.Annotated[numpy.typing.ArrayLike, numpy.uint8] | None = None,
    *,
    scorer: ionmorphnet.scoring.device_network.DeviceNetwork,
    preprocess_id: str,
    statistics: collections.abc.Sequence[str] = [],
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    device: str = "emulated",
    device_memory: int | None = None,
    pinned_memory: int = 201326592,
    threads: int = 0,
    progress: collections.abc.Callable[[int, int], None] | None = None,
    seed: int = 0,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool], dict[str, float | int | bool]]:
    """
    As _core's, on the emulated device.
    """

def score_windows_on_device(
    dataset: ionmorphnet._core.Dataset,
    mz_lo: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    mz_hi: typing.Annotated[numpy.typing.ArrayLike, numpy.float64],
    *,
    scorer: ionmorphnet.scoring.device_network.DeviceNetwork,
    preprocess_id: str,
    statistics: collections.abc.Sequence[str] = [],
    sample: typing.Annotated[numpy.typing.ArrayLike, numpy.float32] | None = None,
    device: str = "emulated",
    device_memory: int | None = None,
    pinned_memory: int = 201326592,
    threads: int = 0,
    progress: collections.abc.Callable[[int, int], None] | None = None,
    seed: int = 0,
) -> tuple[numpy.typing.NDArray[numpy.float32], numpy.typing.NDArray[numpy.bool], dict[str, float | int | bool]]:
    """
    Like _core's; kernels run on the host in an order drawn from `seed`, and the network receives host addresses.
    """

def shared_mz(dataset: ionmorphnet._core.Dataset) -> numpy.typing.NDArray[numpy.float64]:
    """
    The shared m/z axis of a continuous file.
    """

@typing.overload
def stream_copy(data: bytes, at: int, out: numpy.typing.NDArray[numpy.float32], bits: int = 0) -> bool:
    """
    Copies values to `out` in the way that chunks are filled; False if any value is not finite.
    """

@typing.overload
def stream_copy(data: bytes, at: int, out: numpy.typing.NDArray[numpy.float64], bits: int = 0) -> bool: ...
def stream_widths() -> list[int]:
    """
    Widths in bits of the streaming stores of this processor.
    """
