"""The network of a model folder in torch: on a GPU for the device loop, on the CPU behind the host's loop.

The only module outside of training that imports torch, and it is imported only when this scorer is asked for.
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

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.models.model import Model
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
from ionmorphnet.models.networks.derive import read_network
from ionmorphnet.scoring.device_network import InputDtype

logger = logging.getLogger("ionmorphnet")

Float32 = npt.NDArray[np.float32]

# One static batch: large enough to fill a large GPU, small enough that the first results come early.
GPU_BATCH = 256
_SIZE = 224
# A capture may not meet what others do at the start: they wait for the whole device, and change torch's settings.
_starting = threading.Lock()
_DTYPES: dict[str, torch.dtype] = {"f32": torch.float32, "bf16": torch.bfloat16}


class OneOutput(nn.Module):
    """All outputs of a network side by side: its convolutions in one precision, pooling and head in float32."""

    def __init__(self, network: ConvNeXtV2, precision: str) -> None:
        """Takes the network over and changes the type of its parameters.

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
        """(N, C, 224, 224) of any type and float32 (N, F), or None where the network takes none -> float32 (N, K)."""
        # Channel-last: the layout in which this module's normalisations are one operation each.
        features = self.stages(self.stem(image.to(self.dtype).permute(0, 2, 3, 1)))
        outputs: dict[str, Tensor] = self.head(features.float().mean((1, 2)), statistics)
        return torch.cat(list(outputs.values()), 1)


class TorchScorer:
    """A network in torch at fixed addresses, for the native device loop; see :mod:`ionmorphnet.scoring.device_network`.

    On a GPU it runs on fused kernels (bf16, where Triton is there), else compiled (where a compiler is there; else it
    runs uncompiled and the log says so), and the calls for one set of addresses become a CUDA graph. On the CPU,
    ``device="cpu"``, it reads and writes the host's memory and runs as it is.
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
        """Loads the network and makes it fast: fused kernels take seconds, compiling it up to a minute.

        Args:
            model: A loaded model folder with a network of this package.
            device: ``cuda:N`` or ``cpu``.
            precision: ``auto`` (bf16 on a GPU, f32 on the CPU), ``f32`` or ``bf16``.
            batch: Images of each call.
            fused: Whether to use the fused kernels on a GPU, in bf16.
            compiled: Whether to compile on a GPU where the fused kernels do not run.
            graph: Whether to make a CUDA graph.

        Raises:
            FileError: The network is not one of this package's.
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
        self.channels = int(_core.preprocess_channels(model.preprocessing))
        self.n_outputs = model.n_outputs
        self.n_statistics = len(model.statistics)
        network = read_network(model)
        # Two threads may share a scorer; its tensors and its graph are of one call at a time.
        self._lock = threading.Lock()
        self._graph: Any = None
        with _starting:
            on_gpu = self.device.type == "cuda"
            fast = self._fused(network) if fused and on_gpu and self.precision == "bf16" else None
            self._network: Callable[[Tensor, Tensor | None], Tensor] = self._start(network) if fast is None else fast
            self.fused = fast is not None
            if on_gpu and compiled and not self.fused:
                self._compile()
            if on_gpu and graph:
                self._capture()

    def enqueue(self, image: int, statistics: int, outputs: int, stream: int) -> None:
        """Put one batch on a stream; see :class:`ionmorphnet.scoring.device_network.DeviceNetwork`.

        Raises:
            IonMorphNetError: torch failed.
        """
        try:
            with self._lock, torch.inference_mode(), _exact(self.precision), self._on(stream):
                given, beside, out = self._at(image, statistics, outputs)
                if self._graph is None:
                    out.copy_(self._network(given, beside))
                    return
                # The graph has addresses of its own. Copying a batch there takes a hundredth of its time; a graph for
                # every caller's addresses would take a pick's.
                own, own_beside, own_out = self._own
                self._done.wait()  # the batch before may be under way on another stream
                own.copy_(given)
                if own_beside is not None and beside is not None:
                    own_beside.copy_(beside)
                self._graph.replay()
                out.copy_(own_out)
                self._done.record()
        except RuntimeError as error:
            raise IonMorphNetError(f"scorer 'torch': {_first_line(error)}") from error

    def _capture(self) -> None:
        """The network on tensors of its own, as a graph; without one it runs as it is."""
        image, statistics = self._zeros()
        # One of this GPU: torch's own stream for captures belongs to the GPU of the first one in the process.
        make_stream: Any = torch.cuda.Stream  # has no types
        side = make_stream(self.device)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.inference_mode(), _exact(self.precision), torch.cuda.device(self.device):
                # What is lazy in torch and its libraries is done by a first, plain run on the stream of the capture.
                side.wait_stream(torch.cuda.current_stream())
                with torch.cuda.stream(side):
                    self._network(image, statistics)
                side.synchronize()
                # Only this thread's calls are captured: another one may ask for events meanwhile.
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
        """Compiles for the batch; without a working compiler the network stays as it is."""
        fast = torch.compile(self._network, dynamic=False)
        try:
            with torch.inference_mode(), _exact(self.precision), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler warns of its own dependencies
                fast(*self._zeros())
        except Exception as error:  # the compiler's own classes, and those of the tools that it starts
            logger.warning("scorer 'torch' runs uncompiled, more slowly: torch.compile failed: %s", _first_line(error))
            return
        self._network = fast
        if self.device.type == "cuda":
            torch.cuda.empty_cache()  # what this stream kept is of no use to the loop's, which plans with what is free

    def _fused(self, network: ConvNeXtV2) -> Callable[[Tensor, Tensor | None], Tensor] | None:
        """The network on fused kernels, after a batch; None, with a line in the log, where they do not run."""
        try:
            from ionmorphnet.scoring.torch.fused import FusedOutput

            fast = FusedOutput(network.to(self.device))
            with torch.inference_mode(), torch.cuda.device(self.device):
                fast(*self._zeros())
                torch.cuda.synchronize()
        except Exception as error:  # Triton's own classes, and those of the tools that it starts
            logger.warning("scorer 'torch' runs without fused kernels, more slowly: %s", _first_line(error))
            return None
        return fast

    def _start(self, network: ConvNeXtV2) -> OneOutput:
        """The network on its device, after a batch on a GPU: what cannot work fails here, not in a pick."""
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
        """An empty batch, made as the tensors over addresses are: others would make the network compile once more."""
        shape = (self.batch, self.channels, _SIZE, _SIZE)
        if self.input_dtype == "bf16":
            image = torch.zeros(shape, dtype=torch.int16, device=self.device).view(torch.bfloat16)
        else:
            image = torch.zeros(shape, device=self.device)
        return image, torch.zeros((self.batch, self.n_statistics), device=self.device) if self.n_statistics else None

    def _at(self, image: int, statistics: int, outputs: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """Tensors over the addresses."""
        batch = self.batch
        beside = _tensor_at(statistics, (batch, self.n_statistics), "f32", self.device) if self.n_statistics else None
        return (
            _tensor_at(image, (batch, self.channels, _SIZE, _SIZE), self.input_dtype, self.device),
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
    """The network on the CPU as a callable for the host's loop.

    Args:
        model: A loaded model folder with a network of this package.
        precision: ``f32`` or ``bf16``.
        threads: CPU threads; 0: as torch chooses.

    Returns:
        Takes float32 (n, C, 224, 224) and, where the model names statistics, float32 (n, F); gives float32 (n, K).

    Raises:
        FileError: The network is not one of this package's.
    """
    network = OneOutput(read_network(model), precision)

    def call(images: Float32, statistics: Float32 | None = None) -> Float32:
        given = None if statistics is None else torch.from_numpy(statistics)
        with torch.inference_mode(), _threads(threads):
            outputs: Float32 = network(torch.from_numpy(images), given).numpy()
        return outputs

    return call


def resolved_precision(precision: str, device_type: str, has_bf16: bool = True) -> str:
    """What ``auto`` stands for: bf16 on a GPU that has it, f32 elsewhere; few processors are faster in bf16.

    Raises:
        ArgumentError: No such precision.
        UnavailableError: bf16 on a GPU without it.
    """
    if precision == "auto":
        return "bf16" if device_type == "cuda" and has_bf16 else "f32"
    if precision not in _DTYPES:
        raise ArgumentError(f"scorer 'torch' computes in {' or '.join(_DTYPES)}, not {precision!r}")
    if precision == "bf16" and device_type == "cuda" and not has_bf16:
        raise UnavailableError("scorer 'torch': this GPU has no bf16 (compute capability 8.0 or newer); take f32")
    return precision


def _has_bf16(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0)


@contextlib.contextmanager
def _exact(precision: str) -> Iterator[None]:
    """Float32 is float32: cuDNN's convolutions would take TF32 by default."""
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
    """Memory at an address, in the words of the array interfaces."""

    def __init__(self, address: int, shape: tuple[int, ...], kind: str) -> None:
        interface = {"shape": shape, "typestr": kind, "data": (address, False), "version": 3}
        self.__array_interface__ = interface
        self.__cuda_array_interface__ = interface


def _tensor_at(address: int, shape: tuple[int, ...], dtype: InputDtype, device: torch.device) -> Tensor:
    """A tensor over foreign memory, without a copy."""
    # The interfaces know no bfloat16: two bytes are two bytes.
    memory = _Memory(address, shape, "<f4" if dtype == "f32" else "<i2")
    if device.type == "cuda":
        tensor = torch.as_tensor(memory, device=device)
    else:
        tensor = torch.from_numpy(np.asarray(memory))
    if tensor.data_ptr() != address:
        raise IonMorphNetError("torch copied memory that it was to use in place")
    return tensor if dtype == "f32" else tensor.view(_DTYPES[dtype])


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
