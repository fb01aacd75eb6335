"""The network of a model folder in torch: on a GPU for the device loop, on the CPU for the host loop.

Imports torch, so it is loaded only when this scorer is requested.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.models.model import Model
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
from ionmorphnet.models.networks.derive import read_network
from ionmorphnet.scoring.device_network import InputDtype

logger = logging.getLogger("ionmorphnet")

Float32 = npt.NDArray[np.float32]

# One static batch: large enough to fill a large GPU, small enough that the first results arrive early.
GPU_BATCH = 256
# Side of the images that the fused kernels are written for; networks of other sizes are compiled.
_FUSED_SIZE = 224
# A graph capture must not overlap with another start, which synchronises the device and changes torch's settings.
_starting = threading.Lock()
_DTYPES: dict[str, torch.dtype] = {"f32": torch.float32, "bf16": torch.bfloat16}


class OneOutput(nn.Module):
    """All outputs of a network in one tensor: convolutions in one precision, pooling and head in float32."""

    def __init__(self, network: ConvNeXtV2, precision: str) -> None:
        """Takes over the network and converts its parameters.

        Args:
            network: In evaluation mode.
            precision: ``f32`` or ``bf16``.
        """
        super().__init__()
        self.dtype = _DTYPES[precision]
        self.stem = network.stem.to(self.dtype)
        self.stages = network.stages.to(self.dtype)
        self.head = network.head.float()
        self.requires_grad_(False)

    def forward(self, image: Tensor, statistics: Tensor | None) -> Tensor:
        """Maps (N, C, size, size) of any type and float32 (N, F), or None if the network reads none, to float32 (N,
        K).
        """
        # Channels last: in this layout each normalisation is one operation.
        features = self.stages(self.stem(image.to(self.dtype).permute(0, 2, 3, 1)))
        outputs: dict[str, Tensor] = self.head(features.float().mean((1, 2)), statistics, image.float())
        return torch.cat(list(outputs.values()), 1)


class TorchScorer:
    """A network in torch at fixed addresses, for the native device loop; see :mod:`ionmorphnet.scoring.device_network`.

    On a GPU it uses fused kernels (bf16, 224 pixels, with Triton), otherwise torch.compile (without a compiler it runs
    uncompiled, and the log says so), and it replays a CUDA graph. With ``device="cpu"`` it reads and writes host memory
    and runs uncompiled.
    """

    name = "torch"

    def __init__(
        self,
        model: Model,
        *,
        device: str,
        precision: str = "auto",
        batch: int = GPU_BATCH,
        fused: bool = True,
        compiled: bool = True,
        graph: bool = True,
    ) -> None:
        """Loads the network and prepares it: fused kernels take seconds, compiling takes up to a minute.

        Args:
            model: A loaded model folder with a network from this package.
            device: ``cuda:N`` or ``cpu``.
            precision: ``auto`` (bf16 on a GPU, f32 on the CPU), ``f32`` or ``bf16``.
            batch: Images per call.
            fused: Whether to use the fused kernels on a GPU, in bf16.
            compiled: Whether to compile on a GPU if the fused kernels do not run.
            graph: Whether to capture a CUDA graph.

        Raises:
            FileError: The network does not come from this package.
            UnavailableError: torch cannot use the device.
        """
        if batch < 1:
            raise ArgumentError(f"batch must be at least 1, not {batch}")
        self.device = torch.device(device)
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise UnavailableError(
                f"scorer 'torch': torch {torch.__version__} sees no GPU; install a build of torch for CUDA"
            )
        self.precision = resolved_precision(precision, self.device.type, _has_bf16(self.device))
        self.batch = batch
        self.input_dtype: InputDtype = "bf16" if self.precision == "bf16" else "f32"
        self.channels, self.size, _ = model.input_shape
        self.n_outputs = model.n_outputs
        self.n_statistics = len(model.statistics)
        network = read_network(model)
        # Threads may share a scorer, but its tensors and its graph serve one call at a time.
        self._lock = threading.Lock()
        self._graph: Any = None
        with _starting:
            on_gpu = self.device.type == "cuda"
            fits = self.size == _FUSED_SIZE
            fast = self._fused(network) if fused and fits and on_gpu and self.precision == "bf16" else None
            self._network: Callable[[Tensor, Tensor | None], Tensor] = self._start(network) if fast is None else fast
            self.fused = fast is not None
            if on_gpu and compiled and not self.fused:
                self._compile()
            if on_gpu and graph:
                self._capture()

    def enqueue(self, image: int, statistics: int, outputs: int, stream: int) -> None:
        """Puts one batch on a stream; see :class:`ionmorphnet.scoring.device_network.DeviceNetwork`.

        Raises:
            IonMorphNetError: torch failed.
        """
        try:
            with self._lock, torch.inference_mode(), _exact(self.precision), self._on(stream):
                given, beside, out = self._at(image, statistics, outputs)
                if self._graph is None:
                    out.copy_(self._network(given, beside))
                    return
                # The graph has fixed addresses. Copying a batch to them takes a hundredth of its time; capturing a
                # graph
                # for every caller's addresses would take as long as a pick.
                own, own_beside, own_out = self._own
                self._done.wait()  # the previous batch may still run on another stream
                own.copy_(given)
                if own_beside is not None and beside is not None:
                    own_beside.copy_(beside)
                self._graph.replay()
                out.copy_(own_out)
                self._done.record()
        except RuntimeError as error:
            raise IonMorphNetError(f"scorer 'torch': {_first_line(error)}") from error

    def _capture(self) -> None:
        """Captures the network on fixed tensors as a graph. If that fails, the network runs without one."""
        image, statistics = self._zeros()
        # A stream of this GPU: torch's own capture stream belongs to the GPU of the first capture in the process.
        make_stream: Any = torch.cuda.Stream  # has no types
        side = make_stream(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.inference_mode(), _exact(self.precision), torch.cuda.device(self.device):
                # A plain first run on the capture stream triggers the lazy initialisation of torch and its libraries.
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    self._network(image, statistics)
                side.synchronize()
                # Captures only this thread's calls: another thread may query events meanwhile.
                with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
                    outputs = self._network(image, statistics)
                torch.cuda.synchronize()
        except RuntimeError as error:
            logger.warning("scorer 'torch' runs without a CUDA graph, more slowly: %s", _first_line(error))
            return
        self._own = (image, statistics, outputs)
        make_event: Any = torch.cuda.Event  # has no types
        self._done = make_event()
        self._graph = graph

    def _compile(self) -> None:
        """Compiles for the batch size. Without a working compiler the network stays uncompiled."""
        fast = torch.compile(self._network, dynamic=False)
        try:
            with torch.inference_mode(), _exact(self.precision), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler warns about its own dependencies
                fast(*self._zeros())
        except Exception as error:  # classes of the compiler and of the tools it starts
            logger.warning("scorer 'torch' runs uncompiled, more slowly: torch.compile failed: %s", _first_line(error))
            return
        self._network = fast
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # the loop plans with free memory, and torch's cache is not free

    def _fused(self, network: ConvNeXtV2) -> Callable[[Tensor, Tensor | None], Tensor] | None:
        """The network on fused kernels, after a trial batch; None, with a log line, if they do not run."""
        try:
            from ionmorphnet.scoring.torch.fused import FusedOutput

            fast = FusedOutput(network.to(self.device))
            with torch.inference_mode(), torch.cuda.device(self.device):
                fast(*self._zeros())
                torch.cuda.synchronize()
        except Exception as error:  # classes of Triton and of the tools it starts
            logger.warning("scorer 'torch' runs without fused kernels, more slowly: %s", _first_line(error))
            return None
        return fast

    def _start(self, network: ConvNeXtV2) -> OneOutput:
        """Moves the network to its device and, on a GPU, runs a trial batch: failures surface here, not during a
        pick.
        """
        try:
            plain = OneOutput(network, self.precision).to(self.device)
            if self.device.type == "cuda":
                with torch.inference_mode(), torch.cuda.device(self.device):
                    plain(*self._zeros())
                    torch.cuda.synchronize()
        except (RuntimeError, AssertionError) as error:
            raise UnavailableError(f"scorer 'torch' cannot use {self.device}: {_first_line(error)}") from error
        return plain

    def _zeros(self) -> tuple[Tensor, Tensor | None]:
        """An empty batch, built like the tensors over addresses; different tensors would trigger another
        compilation.
        """
        shape = (self.batch, self.channels, self.size, self.size)
        if self.input_dtype == "bf16":
            image = torch.zeros(shape, dtype=torch.int16, device=self.device).view(torch.bfloat16)
        else:
            image = torch.zeros(shape, device=self.device)
        return image, torch.zeros((self.batch, self.n_statistics), device=self.device) if self.n_statistics else None

    def _at(self, image: int, statistics: int, outputs: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """Wraps the addresses in tensors."""
        batch = self.batch
        beside = _tensor_at(statistics, (batch, self.n_statistics), "f32", self.device) if self.n_statistics else None
        return (
            _tensor_at(image, (batch, self.channels, self.size, self.size), self.input_dtype, self.device),
            beside,
            _tensor_at(outputs, (batch, self.n_outputs), "f32", self.device),
        )

    @contextlib.contextmanager
    def _on(self, stream: int) -> Iterator[None]:
        if self.device.type != "cuda":
            yield
            return
        external: Any = torch.cuda.ExternalStream  # has no types
        with torch.cuda.device(self.device), torch.cuda.stream(external(stream, device=self.device)):
            yield


def torch_callable(model: Model, *, precision: str, threads: int) -> Callable[..., Float32]:
    """The network on the CPU as a callable for the host loop.

    Args:
        model: A loaded model folder with a network from this package.
        precision: ``f32`` or ``bf16``.
        threads: CPU threads; 0: torch chooses.

    Returns:
        A function of float32 (n, C, size, size) and, if the model names statistics, float32 (n, F). It returns float32
        (n, K).

    Raises:
        FileError: The network does not come from this package.
    """
    network = OneOutput(read_network(model), precision)

    def call(images: Float32, statistics: Float32 | None = None) -> Float32:
        given = None if statistics is None else torch.from_numpy(statistics)
        with torch.inference_mode(), _threads(threads):
            outputs: Float32 = network(torch.from_numpy(images), given).numpy()
        return outputs

    return call


def resolved_precision(precision: str, device_type: str, has_bf16: bool = True) -> str:
    """Resolves ``auto``: bf16 on a GPU that supports it, f32 elsewhere, because few CPUs are faster in bf16.

    Raises:
        ArgumentError: Unknown precision.
        UnavailableError: bf16 on a GPU that does not support it.
    """
    if precision == "auto":
        return "bf16" if device_type == "cuda" and has_bf16 else "f32"
    if precision not in _DTYPES:
        raise ArgumentError(f"scorer 'torch' computes in {' or '.join(_DTYPES)}, not {precision!r}")
    if precision == "bf16" and device_type == "cuda" and not has_bf16:
        raise UnavailableError("scorer 'torch': bf16 needs a GPU of compute capability 8.0 or newer; use f32")
    return precision


def _has_bf16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0)


@contextlib.contextmanager
def _exact(precision: str) -> Iterator[None]:
    """Keeps float32 exact: by default cuDNN's convolutions use TF32."""
    if precision != "f32":
        yield
        return
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        yield


@contextlib.contextmanager
def _threads(threads: int) -> Iterator[None]:
    before = torch.get_num_threads()
    if threads > 0:
        torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Memory:
    """Memory at an address, exposed through the array interfaces."""

    def __init__(self, address: int, shape: tuple[int, ...], kind: str) -> None:
        interface = {"shape": shape, "typestr": kind, "data": (address, False), "version": 3}
        self.__array_interface__ = interface
        self.__cuda_array_interface__ = interface


def _tensor_at(address: int, shape: tuple[int, ...], dtype: InputDtype, device: torch.device) -> Tensor:
    """A tensor over foreign memory, without a copy."""
    # The interfaces do not know bfloat16, so pass two-byte integers.
    memory = _Memory(address, shape, "<f4" if dtype == "f32" else "<i2")
    if device.type == "cuda":
        tensor = torch.as_tensor(memory, device=device)
    else:
        tensor = torch.from_numpy(np.asarray(memory))
    if tensor.data_ptr() != address:
        raise IonMorphNetError("torch copied memory that it should use in place")
    return tensor if dtype == "f32" else tensor.view(_DTYPES[dtype])


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
