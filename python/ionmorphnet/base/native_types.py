"""Types of the dicts that the native core returns; csrc/bindings refers to them by name."""

from __future__ import annotations

from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray


class CudaDeviceInfo(TypedDict):
    """One GPU, and whether this build can use it."""

    device: str  # "cuda:0"
    name: str
    compute_capability: str
    memory_bytes: int
    multiprocessors: int
    usable: bool
    reason: str  # why not; empty if usable


class CudaStatus(TypedDict):
    """The CUDA code of this build, the driver, and the GPUs of this host."""

    built: bool
    toolkit: str | None
    architectures: list[str]
    driver: str | None  # newest CUDA version that it supports
    devices: list[CudaDeviceInfo]
    usable: bool
    reason: str  # why no GPU is usable; empty if one is
    remedy: str


class NativeBuildInfo(TypedDict):
    """The native part of :func:`ionmorphnet.build_info`."""

    version: str
    compiler: str
    threads: int
    cuda: CudaStatus


class BuildInfo(TypedDict):
    """What :func:`ionmorphnet.build_info` returns."""

    version: str
    compiler: str
    threads: int
    python: str
    platform: str
    bf16: bool | None
    openvino: str | None
    libraries: dict[str, str | None]
    auto: str
    cuda: CudaStatus


class ScorerInfo(TypedDict):
    """What a native scorer is and what it accepts."""

    name: str
    device: str
    precision: str
    channels: int
    height: int
    width: int
    n_outputs: int
    batch: int
    n_statistics: int  # 0: the network has no second input


class ImageFacts(TypedDict):
    """What preprocessing on a device finds out about n images, each (n,)."""

    sum: NDArray[np.float64]
    divisor: NDArray[np.float32]
    measured: NDArray[np.int32]
    positive: NDArray[np.int32]
    blank: NDArray[np.bool_]


class BinProbe(TypedDict):
    """Ion images (n, H, W) binned on a device, and the seconds per repetition."""

    images: NDArray[np.float32]
    seconds: float
    chunk_bytes: int
    chunk_pixels: list[int]


class ReadProbe(TypedDict):
    """Reading the chunks of the device loop without a device."""

    seconds: float
    first_chunk_s: float
    chunks: int
    bytes: int


class PrepareProbe(TypedDict):
    """Network inputs (n, C, size, size), facts and statistics (n, k) from a device; seconds per repetition."""

    input: NDArray[np.float32] | NDArray[np.uint16]  # uint16: the bits of bf16 or f16
    facts: ImageFacts
    statistics: NDArray[np.float32]
    seconds: float


class CopyProbe(TypedDict):
    """Seconds of a copy on a device and of an upload to it."""

    copy_s: float
    upload_s: float


class ModelFacts(TypedDict):
    """What the native core reads from a model folder; fields as in :class:`ionmorphnet.Model`."""

    name: str
    folder: str
    architecture: str
    preprocessing: str
    outputs: list[str]
    statistics: list[str]
    weights: list[float] | None
    threshold: float
    cascade: tuple[float, float, float] | None  # moran_z, blur, ceiling
    int8: bool  # whether the folder has an 8-bit network
    sha256: str


class FileState(TypedDict):
    """What tells whether the files of a section are still the ones that were read."""

    imzml_bytes: int
    imzml_mtime_ns: int
    ibd_bytes: int
    ibd_mtime_ns: int
    pieces_sha256: str


class SampleFacts(TypedDict):
    """Fields as in :class:`ionmorphnet.SampleMap`."""

    map: NDArray[np.float32] | None
    kind: Literal["part", "all", "unknown"]
    share: float | None
    off_sample: float | None
    separation: float | None
    noise: float | None
    n_images: int
    n_coherent: int
