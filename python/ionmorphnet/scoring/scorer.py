"""Which scorer runs, on what, and how its outputs become columns."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.base.devices import GPU_FORKED, Device, DeviceName, resolve_device
from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError, UnavailableError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS, STATISTICS
from ionmorphnet.models.model import Model, load_model
from ionmorphnet.scoring.device_scorer import DeviceScorer
from ionmorphnet.scoring.gpu_scorers import GPU_SCORERS, first_gpu_scorer, start_gpu_scorer, torch_missing

Float32 = npt.NDArray[np.float32]

_log = logging.getLogger("ionmorphnet")

# Takes preprocessed images (n, channels, 224, 224) float32 and, where the model uses them, their statistics (n, k)
# float32; returns the model's outputs: logits (n, 6), or (n, 7) with the structure logit last.
ScorerCallable = Callable[[Float32], Float32] | Callable[[Float32, Float32], Float32]

MODEL_SCORERS = ("openvino", "tensorrt", "torch")
CLASSICAL_SCORERS = ("moran", "blur", "chaos")
_CLASSICAL_DESCRIPTIONS = {
    "moran": "Moran's I of the ion image over measured pixels (rook neighbours)",
    "blur": "share of the ion image's variance that a Gaussian blur of sigma 2 pixels leaves, over measured pixels",
    "chaos": "METASPACE's measure of spatial chaos over measured pixels (just below 1 = one connected shape)",
}
_PRECISIONS = ("auto", "f32", "bf16", "fp16")
_CALLBACK_BATCH = 32
# Memory of the device and page-locked memory of the host, in bytes; 0: four fifths of what is free on the device.
_DEVICE_MEMORY = 0
_PINNED_MEMORY = 192 << 20

# Outputs (n, k), blank (n,), what the loop says of itself.
LoopResult = tuple[Float32, npt.NDArray[np.bool_], dict[str, Any]]


@dataclass(frozen=True)
class Scorer:
    """A scorer that is ready to run.

    Attributes:
        name: ``openvino``, ``tensorrt``, ``torch``, ``callback`` or a classical one.
        device: ``cpu`` or ``cuda:N``.
        precision: What is really used: ``f32``, ``bf16`` or ``fp16``.
        model: The model; None for a classical score.
        made_in: Process id; a network does not survive a fork.
        native: The network, of the native core or a DeviceScorer; None for a classical score.
        refused: Engines that ``"auto"`` tried before this one, and why they did not start.
    """

    name: str
    device: str
    precision: str
    model: Model | None
    native: Any = None
    made_in: int = field(default_factory=os.getpid, repr=False)
    refused: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __reduce__(self) -> Any:
        """A running network stays in its process; scorers without one pickle as they are."""
        if self.native is not None:
            raise TypeError("a Scorer with a network does not pickle: call make_scorer in the worker")
        return Scorer, (self.name, self.device, self.precision, self.model)

    @property
    def description(self) -> str:
        """One line that says what the score is."""
        if self.model is not None:
            return self.model.score_description
        return _CLASSICAL_DESCRIPTIONS[self.name]

    def native_arguments(self) -> dict[str, Any]:
        """The keyword arguments that tell the native loop what to run."""
        if self.model is None:
            return {"statistic": self.name}
        if self.made_in != os.getpid() and (self.name == "openvino" or self.on_device):
            raise UnavailableError(GPU_FORKED if self.on_device else _FORKED)
        arguments = {
            "scorer": self.native,
            "preprocess_id": self.model.preprocessing,
            "statistics": list(self.model.statistics),
        }
        return arguments | {"device": self.device} if self.on_device else arguments

    @property
    def on_device(self) -> bool:
        """Whether the device loop runs it, on images that never leave the device."""
        return isinstance(self.native, DeviceScorer)

    def run_windows(
        self,
        dataset: Any,
        mz_lo: npt.NDArray[np.float64],
        mz_hi: npt.NDArray[np.float64],
        *,
        memory_limit: int,
        device_memory_limit: int = _DEVICE_MEMORY,
        threads: int,
        progress: Callable[[int, int], None] | None,
    ) -> LoopResult:
        """Scores one ion image per window of a native dataset, with the loop of the scorer's device."""
        if not self.on_device:
            return cast(
                LoopResult,
                _core.score_windows(
                    dataset,
                    mz_lo,
                    mz_hi,
                    memory_limit=memory_limit,
                    threads=threads,
                    progress=progress,
                    **self.native_arguments(),
                ),
            )
        return cast(
            LoopResult,
            _core.score_windows_on_device(
                dataset,
                mz_lo,
                mz_hi,
                device_memory=device_memory_limit,
                pinned_memory=min(_PINNED_MEMORY, memory_limit // 2),
                threads=threads,
                progress=progress,
                **self.native_arguments(),
            ),
        )

    def run_stack(
        self,
        images: Float32,
        mask: npt.NDArray[np.uint8] | None,
        *,
        threads: int,
        progress: Callable[[int, int], None] | None,
    ) -> LoopResult:
        """Scores (n, H, W) images in memory, with the loop of the scorer's device."""
        if self.on_device:
            largest = 3 * images[:1].nbytes  # as many chunks as are under way
            own = {"device_memory": _DEVICE_MEMORY, "pinned_memory": max(_PINNED_MEMORY, 2 * largest)}
            run = _core.score_stack_on_device
        else:
            own, run = {}, _core.score_stack
        return cast(LoopResult, run(images, mask, threads=threads, progress=progress, **own, **self.native_arguments()))

    def frame(self, outputs: Float32, blank: npt.NDArray[np.bool_]) -> pd.DataFrame:
        """What the native loop gave as columns score, label, p_* and, where the model estimates it, structure.

        A classical score leaves label and p_* empty. Blank images are ``unstructured`` for certain: score and
        structure are 0.

        Args:
            outputs: (n, k), of the network or of the statistic.
            blank: (n,), images that hold nothing to see and were not scored.

        Raises:
            IonMorphNetError: Outputs are not finite.
        """
        if self.model is None:
            columns: dict[str, Any] = {"score": outputs[:, 0].astype(np.float64)}
            columns["label"] = pd.array([pd.NA] * len(outputs), dtype="string")
            columns.update({name: np.full(len(outputs), np.nan) for name in PROBABILITY_COLUMNS})
            return pd.DataFrame(columns)
        bad = ~np.isfinite(outputs).all(axis=1)
        if bad.any():
            raise IonMorphNetError(f"scorer '{self.name}': outputs of image {int(bad.argmax())} are not finite")
        probabilities = self.model.probabilities(outputs)
        probabilities[blank] = np.eye(len(CLASSES))[CLASSES.index("unstructured")]
        structure = None
        if self.model.has_structure:
            structure = self.model.structure(outputs)
            structure[blank] = 0.0
        score = self.model.score(probabilities, structure)
        score[blank] = 0.0
        labels = np.asarray(CLASSES, dtype=object)[probabilities.argmax(axis=1)]
        columns = {"score": score, "label": pd.array(labels, dtype="string")}
        columns.update({name: probabilities[:, i] for i, name in enumerate(PROBABILITY_COLUMNS)})
        if structure is not None:
            columns["structure"] = structure
        return pd.DataFrame(columns)


def make_scorer(
    *,
    model: str | Path | Model | None = None,
    scorer: str | ScorerCallable | Scorer = "auto",
    device: DeviceName | Device = "auto",
    precision: str = "auto",
    threads: int = 0,
    engine: PathLike | None = None,
) -> Scorer:
    """Chooses and starts a scorer.

    The classical ones, ``moran``, ``blur`` and ``chaos``, are statistics of the image and need no model (see
    :func:`ionmorphnet.image_statistics`).

    Args:
        model: Bundled name, model folder or loaded Model; None: the default model. Not for classical scores.
        scorer: ``"auto"`` (on a GPU TensorRT, else torch, else the CPU; on the CPU OpenVINO; the log says what did not
            start), ``"openvino"`` (CPU), ``"tensorrt"`` (GPU), ``"torch"`` (either; needs the extra ``[train]``), a
            classical one, or a callable in the network's place, which runs on the CPU: it gets preprocessed images
            (n, channels, 224, 224) float32 and, where the model names statistics, these as a second argument (n, k)
            float32, and returns what the model's network would: logits (n, 6), or (n, 7) with the structure logit
            last. A Scorer made earlier is returned as it is (to reuse a network for many sections).
        device: ``"auto"`` (the first usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"auto"`` (bf16 on a GPU, and on the CPU with OpenVINO where the CPU has it), ``"f32"``, ``"bf16"``
            or, for TensorRT, ``"fp16"``.
        threads: CPU threads; 0: all.
        engine: File of a TensorRT engine of the model that was built ahead (:func:`ionmorphnet.engine.build_engine`):
            scorer ``"tensorrt"`` takes it, in its precision, or refuses.

    Raises:
        ArgumentError: Unknown names, or arguments that contradict each other.
        UnavailableError: Not in this version, this build or this machine.
        FileError: The model cannot be used.
    """
    if isinstance(scorer, Scorer):
        if model is not None or device != "auto" or precision != "auto" or engine is not None:
            raise ArgumentError("a Scorer brings its own model, device, precision and engine; leave them out")
        return scorer
    if not isinstance(scorer, str) and not callable(scorer):
        raise ArgumentError(f"scorer must be a name, a callable or a Scorer, not {scorer!r}")
    if engine is not None:
        if scorer not in ("auto", "tensorrt"):
            raise ArgumentError(f"{os.fspath(engine)}: an engine is for scorer 'tensorrt', not {scorer!r}")
        scorer = "tensorrt"
    # What runs on the CPU anyway does not ask for a GPU.
    for_gpu = scorer == "auto" or scorer in GPU_SCORERS
    where = "cpu" if device == "auto" and not for_gpu else str(resolve_device(device))
    if precision not in _PRECISIONS:
        raise ArgumentError(f"precision must be one of {', '.join(_PRECISIONS)}, not '{precision}'")
    if isinstance(scorer, str) and scorer not in ("auto", *MODEL_SCORERS, *CLASSICAL_SCORERS):
        known = ", ".join(("auto", *MODEL_SCORERS, *CLASSICAL_SCORERS))
        if scorer in STATISTICS:
            raise ArgumentError(f"'{scorer}' is a statistic of images that says nothing of their order; known: {known}")
        raise ArgumentError(f"unknown scorer '{scorer}'; known: {known}")
    if not for_gpu:
        if where != "cpu" and device != "auto":
            named = f"scorer '{scorer}' runs" if isinstance(scorer, str) else "a callable is given images"
            raise UnavailableError(f"device '{device}': {named} on the CPU only; use scorer tensorrt or torch")
        where = "cpu"
    if isinstance(scorer, str) and scorer in CLASSICAL_SCORERS:
        if model is not None:
            raise ArgumentError(f"scorer '{scorer}' uses no model; leave model out")
        return Scorer(name=scorer, device="cpu", precision="f32", model=None)
    if where == "cpu" and precision == "fp16" and scorer != "tensorrt":
        raise ArgumentError("precision 'fp16' is for scorer 'tensorrt' on a GPU; the CPU computes in f32 or bf16")
    loaded = model if isinstance(model, Model) else load_model(model)
    if callable(scorer):
        return _on_cpu(scorer, "callback", "f32", loaded)
    return _with_network(loaded, scorer, where, precision, threads, engine)


def _with_network(
    model: Model, scorer: str, where: str, precision: str, threads: int, engine: PathLike | None
) -> Scorer:
    """A scorer of MODEL_SCORERS, or ``auto``, on ``cpu`` or ``cuda:N``."""
    refused: Mapping[str, str] = {}
    if scorer == "tensorrt" and where == "cpu":
        where = str(resolve_device("cuda"))  # says why there is none
    if scorer != "openvino" and where != "cpu":
        if scorer == "auto":
            started, refused = first_gpu_scorer(model, where, precision)
        else:
            started = start_gpu_scorer(model, scorer, where, precision, engine)
        if started is not None:
            return Scorer(
                name=started.name,
                device=where,
                precision=started.precision,
                model=model,
                native=started,
                refused=refused,
            )
        _log.warning("the CPU scores, with OpenVINO")
    if scorer == "torch":
        return _torch_on_cpu(model, precision, threads)
    if _started_before_fork:
        raise UnavailableError(_FORKED)
    native = _start_openvino(str(model.onnx_path), precision=precision, threads=threads)
    info = native.info
    _check_network(model, info)
    return Scorer(
        name=info["name"],
        device=info["device"],
        precision=info["precision"],
        model=model,
        native=native,
        refused=refused,
    )


def _on_cpu(call: ScorerCallable, name: str, precision: str, model: Model) -> Scorer:
    channels = _core.preprocess_channels(model.preprocessing)
    native = _core.callback_scorer(
        call,
        channels,
        224,
        224,
        model.n_outputs,
        _CALLBACK_BATCH,
        name=name,
        precision=precision,
        n_statistics=len(model.statistics),
    )
    return Scorer(name=name, device="cpu", precision=precision, model=model, native=native)


def _torch_on_cpu(model: Model, precision: str, threads: int) -> Scorer:
    try:
        from ionmorphnet.scoring.torch.scorer import resolved_precision, torch_callable
    except ImportError as error:
        raise torch_missing(error) from None
    precision = resolved_precision(precision, "cpu")
    return _on_cpu(torch_callable(model, precision=precision, threads=threads), "torch", precision, model)


def _check_network(model: Model, info: dict[str, Any]) -> None:
    """The network is what the config says."""
    wanted = (_core.preprocess_channels(model.preprocessing), 224, 224)
    has = (info["channels"], info["height"], info["width"])
    if has != wanted:
        raise FileError(
            f"{model.onnx_path}: takes images of (channels, height, width) {has}, "
            f"preprocessing '{model.preprocessing}' makes {wanted}"
        )
    if info["n_statistics"] != len(model.statistics):
        raise FileError(
            f"{model.onnx_path}: takes {info['n_statistics'] or 'no'} statistics beside an image, "
            f"config.json names {', '.join(model.statistics) or 'none'}"
        )
    if info["n_outputs"] != model.n_outputs:
        raise FileError(
            f"{model.onnx_path}: gives {info['n_outputs']} values per image, "
            f"config.json ({', '.join(model.outputs)}) says {model.n_outputs}"
        )


_FORKED = (
    "OpenVINO was started before this process was forked and would hang here: "
    "start workers with multiprocessing's 'spawn' or 'forkserver' method"
)
_started = False
_started_before_fork = False


def _start_openvino(path: str, *, precision: str, threads: int) -> Any:
    global _started
    _started = True
    return _core.openvino_scorer(path, precision=precision, threads=threads)


def _after_fork() -> None:
    global _started_before_fork
    _started_before_fork = _started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
