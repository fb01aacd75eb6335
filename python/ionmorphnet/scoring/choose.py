"""make_scorer: from names to a scorer that is ready to run."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName, resolve_device
from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.models.model import Model, load_model
from ionmorphnet.scoring.classical import CLASSICAL_SCORERS
from ionmorphnet.scoring.device_loop import DeviceLoopScorer
from ionmorphnet.scoring.gpu_networks import GPU_ENGINES, first_gpu_network, start_gpu_network, torch_missing
from ionmorphnet.scoring.host import start_openvino, start_torch, wrap_callable
from ionmorphnet.scoring.names import SCORER_NAMES, Precision, ScorerName
from ionmorphnet.scoring.scorer import Scorer, ScorerCallable

_log = logging.getLogger("ionmorphnet")

PRECISIONS: tuple[str, ...] = get_args(Precision)


def make_scorer(
    *,
    model: str | Path | Model | None = None,
    scorer: ScorerName | ScorerCallable | Scorer = "auto",
    device: DeviceName | Device = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    engine: PathLike | None = None,
) -> Scorer:
    """Chooses and starts a scorer.

    The classical ones, such as ``moran``, need no model; docs/reference/scores.md lists them.

    Args:
        model: Bundled name, model folder or loaded Model; None: the default model. Not for classical scores.
        scorer: ``"auto"`` (on a GPU TensorRT, else torch, else the CPU; on the CPU OpenVINO; the log says what did not
            start), ``"openvino"`` (CPU), ``"tensorrt"`` (GPU), ``"torch"`` (either; needs the extra ``[train]``), a
            classical one such as ``"moran"``, or a callable that replaces the network and runs on the CPU: it receives
            preprocessed images (n, channels, size, size) float32 and, if the model names statistics, these as a second
            argument (n, k) float32, and returns what the model's network would: logits (n, 6), or (n, 7) with the
            structure logit last. A Scorer made earlier is returned as it is (to reuse a network for many sections).
        device: ``"auto"`` (the first usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"auto"`` (bf16 on a GPU, and on the CPU with OpenVINO if the CPU has it; on other CPUs int8 if the
            CPU has instructions for it and the model folder an 8-bit network), ``"f32"``, ``"bf16"``, ``"int8"``
            (OpenVINO) or ``"fp16"`` (TensorRT).
        threads: CPU threads; 0: all.
        engine: A TensorRT engine of the model that was built ahead (:func:`ionmorphnet.engine.build_engine`); scorer
            ``"tensorrt"`` uses it, in its precision, or refuses.

    Raises:
        ArgumentError: Unknown names, or arguments that contradict each other.
        UnavailableError: Not in this version, this build or this machine.
        FileError: The model cannot be used.
    """
    if isinstance(scorer, Scorer):
        if model is not None or device != "auto" or precision != "auto" or engine is not None:
            raise ArgumentError("a Scorer has its own model, device, precision and engine; leave them out")
        return scorer
    name = _checked_name(scorer, engine)
    threads = thread_count(threads)
    if precision not in PRECISIONS:
        raise ArgumentError(f"precision must be one of {', '.join(PRECISIONS)}, not '{precision}'")
    if precision == "int8":
        if name not in ("auto", "openvino") or Device.parse(device).kind not in ("auto", "cpu"):
            raise ArgumentError("precision 'int8' is for scorer 'openvino' on the CPU")
        device = "cpu"
    where = _checked_device(name, device)
    if name in CLASSICAL_SCORERS:
        if model is not None:
            raise ArgumentError(f"scorer '{name}' uses no model; leave model out")
        return CLASSICAL_SCORERS[name]
    if where.kind == "cpu" and precision == "fp16" and name != "tensorrt":
        raise ArgumentError("precision 'fp16' is for scorer 'tensorrt' on a GPU; the CPU computes in f32 or bf16")
    loaded = model if isinstance(model, Model) else load_model(model)
    if not isinstance(scorer, str):
        return wrap_callable(scorer, loaded)
    return _with_network(loaded, name, where, precision, threads, engine)


def _checked_name(scorer: ScorerName | ScorerCallable, engine: PathLike | None) -> str:
    """The name of the scorer; ``callback`` for a callable.

    Raises:
        ArgumentError: No scorer, or not one that an engine file is for.
    """
    if not isinstance(scorer, str):
        if not callable(scorer):
            raise ArgumentError(f"scorer must be a name, a callable or a Scorer, not {scorer!r}")
        name = "callback"
    elif scorer in SCORER_NAMES:
        name = scorer
    elif scorer in STATISTICS:
        known = " or ".join(", ".join(CLASSICAL_SCORERS).rsplit(", ", 1))
        raise ArgumentError(f"'{scorer}' is not a ranking score; use {known}")
    else:
        raise ArgumentError(f"unknown scorer '{scorer}'; known: {', '.join(SCORER_NAMES)}")
    if engine is None:
        return name
    if name not in ("auto", "tensorrt"):
        raise ArgumentError(f"{os.fspath(engine)}: an engine is for scorer 'tensorrt', not {scorer!r}")
    return "tensorrt"


def _checked_device(name: str, device: DeviceName | Device) -> Device:
    """The device to run on. A scorer that runs on the CPU only never looks for a GPU.

    Raises:
        UnavailableError: A GPU is requested that cannot be used, or for a scorer without GPU support.
    """
    if name == "auto" or name in GPU_ENGINES:
        return resolve_device(device)
    if Device.parse(device).kind == "cuda":
        named = "a callable runs" if name == "callback" else f"scorer '{name}' runs"
        raise UnavailableError(f"device '{device}': {named} on the CPU only; use scorer tensorrt or torch")
    return Device("cpu")


def _with_network(
    model: Model, name: str, where: Device, precision: str, threads: int, engine: PathLike | None
) -> Scorer:
    """Starts a model's network, by one engine or by the first that works (``auto``)."""
    refused: Mapping[str, str] = {}
    if name == "tensorrt" and where.kind == "cpu":
        where = resolve_device("cuda")  # raises the error that says why there is none
    if name != "openvino" and where.kind == "cuda":
        if name == "auto":
            network, refused = first_gpu_network(model, where, precision)
        else:
            network = start_gpu_network(model, name, where, precision, engine)
        if network is not None:
            return DeviceLoopScorer(model, network, where, refused=refused)
        _log.warning("the CPU scores, with OpenVINO")
    if name == "torch":
        try:
            return start_torch(model, precision=precision, threads=threads)
        except ImportError as error:
            raise torch_missing(error) from None
    return start_openvino(model, precision=precision, threads=threads, refused=refused)
