"""Which engine runs a network on a GPU: TensorRT, else torch, else none, and why."""

from __future__ import annotations

import logging

from ionmorphnet.base.devices import Device
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.device_network import DeviceNetwork

# In the order in which "auto" tries them.
GPU_ENGINES = ("tensorrt", "torch")

_log = logging.getLogger("ionmorphnet")
# What the import of ionmorphnet.scoring.torch needs besides this package.
_TORCH_PACKAGES = ("torch", "onnx", "safetensors", "google")


def torch_missing(error: ImportError) -> UnavailableError:
    """The one-line error for torch packages that are not installed; any other import error is raised as it is."""
    if (error.name or "").split(".")[0] not in _TORCH_PACKAGES:
        raise error
    return UnavailableError(f"scorer 'torch' needs {error.name}: pip install 'ionmorphnet[train]'")


def start_gpu_network(
    model: Model, engine: str, device: Device, precision: str, engine_file: PathLike | None = None
) -> DeviceNetwork:
    """Starts a model's network on a GPU.

    Args:
        model: A loaded model folder.
        engine: ``tensorrt`` or ``torch``.
        device: A GPU that can be used.
        precision: ``auto``, ``f32``, ``bf16`` or, with TensorRT, ``fp16``.
        engine_file: A TensorRT engine that was built ahead; None: from the cache, or built now.

    Raises:
        ArgumentError: The engine does not compute in this precision.
        UnavailableError: The engine is not installed or cannot use the device: one line with the cause and the remedy.
        FileError: The model cannot be used.
        IonMorphNetError: The engine could not be built.
    """
    if engine == "tensorrt":
        return _tensorrt(model, device, precision, engine_file)
    return _torch(model, device, precision)


def first_gpu_network(model: Model, device: Device, precision: str) -> tuple[DeviceNetwork | None, dict[str, str]]:
    """Starts the first engine that works on a GPU; each refusal goes to the log.

    Args:
        model: A loaded model folder.
        device: A GPU that can be used.
        precision: As for :func:`start_gpu_network`.

    Returns:
        The network, or None if all engines refuse; and why each of the others refused, by name.
    """
    refused: dict[str, str] = {}
    for name in GPU_ENGINES:
        try:
            return start_gpu_network(model, name, device, precision), refused
        except IonMorphNetError as error:
            # An argument error: this engine does not have the precision, the next one may.
            refused[name] = str(error)
            _log.warning("scorer '%s' is not used on %s: %s", name, device, error)
    return None, refused


def _tensorrt(model: Model, device: Device, precision: str, engine_file: PathLike | None) -> DeviceNetwork:
    from ionmorphnet.scoring.tensorrt.scorer import make_tensorrt_scorer

    return make_tensorrt_scorer(model, device=device, precision=precision, engine=engine_file)


def _torch(model: Model, device: Device, precision: str) -> DeviceNetwork:
    if precision == "fp16":
        raise ArgumentError("scorer 'torch' computes in f32 or bf16, not fp16")
    try:
        from ionmorphnet.scoring.torch.scorer import TorchScorer
    except ImportError as error:
        raise torch_missing(error) from None
    return TorchScorer(model, device=str(device), precision=precision)
