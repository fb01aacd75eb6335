"""Which engine scores on a GPU: TensorRT, else torch, else none, and why."""

from __future__ import annotations

import logging

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.device_scorer import DeviceScorer

# In the order in which "auto" tries them.
GPU_SCORERS = ("tensorrt", "torch")

_log = logging.getLogger("ionmorphnet")
# What the import of torch_scorer needs besides this package.
_TORCH_PACKAGES = ("torch", "onnx", "safetensors", "google")


def torch_missing(error: ImportError) -> UnavailableError:
    """The one line for an import of the torch scorer that failed; raises the error itself where that is a mistake."""
    if (error.name or "").split(".")[0] not in _TORCH_PACKAGES:
        raise error
    return UnavailableError(f"scorer 'torch' needs {error.name}: pip install 'ionmorphnet[train]'")


def start_gpu_scorer(
    model: Model, scorer: str, device: str, precision: str, engine: PathLike | None = None
) -> DeviceScorer:
    """Starts an engine on a GPU.

    Args:
        model: A loaded model folder.
        scorer: ``tensorrt`` or ``torch``.
        device: ``cuda:N``, of a device that can be used.
        precision: ``auto``, ``f32``, ``bf16`` or, with TensorRT, ``fp16``.
        engine: File of a TensorRT engine that was built ahead; None: from the cache, or built now.

    Raises:
        ArgumentError: The engine does not compute in this precision.
        UnavailableError: The engine is not installed or cannot use the device: one line with the cause and what to do.
        FileError: The model cannot be used.
        IonMorphNetError: The engine could not be built.
    """
    if scorer == "tensorrt":
        return _tensorrt(model, device, precision, engine)
    return _torch(model, device, precision)


def first_gpu_scorer(model: Model, device: str, precision: str) -> tuple[DeviceScorer | None, dict[str, str]]:
    """The first engine that starts on a GPU; each refusal goes to the log.

    Args:
        model: A loaded model folder.
        device: ``cuda:N``, of a device that can be used.
        precision: As for :func:`start_gpu_scorer`.

    Returns:
        The engine, or None where all refuse; and why each of the others refused, by name.
    """
    refused: dict[str, str] = {}
    for name in GPU_SCORERS:
        try:
            return start_gpu_scorer(model, name, device, precision), refused
        except IonMorphNetError as error:
            # An argument error: this engine does not have the precision, the next one may.
            refused[name] = str(error)
            _log.warning("scorer '%s' is not used on %s: %s", name, device, error)
    return None, refused


def _tensorrt(model: Model, device: str, precision: str, engine: PathLike | None) -> DeviceScorer:
    from ionmorphnet.scoring.tensorrt.scorer import make_tensorrt_scorer

    return make_tensorrt_scorer(model, int(device.removeprefix("cuda:")), precision, engine=engine)


def _torch(model: Model, device: str, precision: str) -> DeviceScorer:
    if precision == "fp16":
        raise ArgumentError("scorer 'torch' computes in f32 or bf16, not fp16")
    try:
        from ionmorphnet.scoring.torch.scorer import TorchScorer
    except ImportError as error:
        raise torch_missing(error) from None
    return TorchScorer(model, device=device, precision=precision)
