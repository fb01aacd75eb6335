"""Which scorer runs, on what, and how its outputs become columns."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.devices import resolve_device
from ionmorphnet.errors import ArgumentError, FileError, IonMorphNetError, UnavailableError
from ionmorphnet.labels import CLASSES, PROBABILITY_COLUMNS, STATISTICS
from ionmorphnet.models import Model, load_model

Float32 = npt.NDArray[np.float32]

# Takes preprocessed images (n, channels, 224, 224) float32 and, where the model uses them, their statistics (n, k)
# float32; returns the model's outputs: logits (n, 6), or (n, 7) with the structure logit last.
ScorerCallable = Callable[[Float32], Float32] | Callable[[Float32, Float32], Float32]

MODEL_SCORERS = ("openvino",)
CLASSICAL_SCORERS = ("moran", "blur", "chaos")
_CLASSICAL_DESCRIPTIONS = {
    "moran": "Moran's I of the ion image over measured pixels (rook neighbours)",
    "blur": "share of the ion image's variance that a Gaussian blur of sigma 2 pixels leaves, over measured pixels",
    "chaos": "METASPACE's measure of spatial chaos over measured pixels (just below 1 = one connected shape)",
}
_PLANNED_SCORERS = ("tensorrt", "torch")
_PRECISIONS = ("auto", "f32", "bf16")
_CALLBACK_BATCH = 32


@dataclass(frozen=True)
class Scorer:
    """A scorer that is ready to run.

    Attributes:
        name: ``openvino``, ``callback`` or a classical one.
        device: ``cpu``.
        precision: What is really used: ``f32`` or ``bf16``.
        model: The model; None for a classical score.
        made_in: Process id; a network does not survive a fork.
        native: The native network; None for a classical score.
    """

    name: str
    device: str
    precision: str
    model: Model | None
    native: Any = None
    made_in: int = field(default_factory=os.getpid, repr=False)

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
        if self.name == "openvino" and self.made_in != os.getpid():
            raise UnavailableError(_FORKED)
        return {
            "scorer": self.native,
            "preprocess_id": self.model.preprocessing,
            "statistics": list(self.model.statistics),
        }

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
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
) -> Scorer:
    """Chooses and starts a scorer.

    The classical ones, ``moran``, ``blur`` and ``chaos``, are statistics of the image and need no model (see
    :func:`ionmorphnet.image_statistics`).

    Args:
        model: Bundled name, model folder or loaded Model; None: the default model. Not for classical scores.
        scorer: ``"auto"`` (OpenVINO), ``"openvino"``, a classical one, or a callable in the network's place: it gets
            preprocessed images (n, channels, 224, 224) float32 and, where the model names statistics, these as a second
            argument (n, k) float32, and returns what the model's network would: logits (n, 6), or (n, 7) with the
            structure logit last. A Scorer made earlier is returned as it is (to reuse a network for many sections).
        device: ``"auto"`` or ``"cpu"``.
        precision: ``"auto"`` (bf16 where the CPU has it), ``"f32"`` or ``"bf16"``.
        threads: CPU threads; 0: all.

    Raises:
        ArgumentError: Unknown names.
        UnavailableError: Not in this version, this build or this machine.
        FileError: The model cannot be used.
    """
    if isinstance(scorer, Scorer):
        if model is not None or device != "auto" or precision != "auto":
            raise ArgumentError("a Scorer brings its own model, device and precision; leave them out")
        return scorer
    if not isinstance(scorer, str) and not callable(scorer):
        raise ArgumentError(f"scorer must be a name, a callable or a Scorer, not {scorer!r}")
    where = resolve_device(device)
    if where != "cpu" and device != "auto":
        raise UnavailableError(f"device '{device}': the scorers of this version run on the CPU")
    if precision not in _PRECISIONS:
        raise ArgumentError(f"precision must be one of {', '.join(_PRECISIONS)}, not '{precision}'")
    if isinstance(scorer, str) and scorer in CLASSICAL_SCORERS:
        if model is not None:
            raise ArgumentError(f"scorer '{scorer}' uses no model; leave model out")
        return Scorer(name=scorer, device="cpu", precision="f32", model=None)
    if isinstance(scorer, str) and scorer not in ("auto", *MODEL_SCORERS):
        if scorer in _PLANNED_SCORERS:
            raise UnavailableError(f"scorer '{scorer}' is not in this version yet; use openvino or a classical one")
        known = ", ".join(("auto", *MODEL_SCORERS, *CLASSICAL_SCORERS))
        if scorer in STATISTICS:
            raise ArgumentError(f"'{scorer}' is a statistic of images that says nothing of their order; known: {known}")
        raise ArgumentError(f"unknown scorer '{scorer}'; known: {known}")
    loaded = model if isinstance(model, Model) else load_model(model)
    if callable(scorer):
        channels = _core.preprocess_channels(loaded.preprocessing)
        native = _core.callback_scorer(
            scorer, channels, 224, 224, loaded.n_outputs, _CALLBACK_BATCH, n_statistics=len(loaded.statistics)
        )
        return Scorer(name="callback", device="cpu", precision="f32", model=loaded, native=native)
    if _started_before_fork:
        raise UnavailableError(_FORKED)
    native = _start_openvino(str(loaded.onnx_path), precision=precision, threads=threads)
    info = native.info
    _check_network(loaded, info)
    return Scorer(name=info["name"], device=info["device"], precision=info["precision"], model=loaded, native=native)


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
