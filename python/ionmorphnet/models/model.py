"""Model folders: loading, validation, and conversion of outputs to scores."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import read_json
from ionmorphnet.models.cascade import Cascade, read_cascade
from ionmorphnet.models.labels import CLASSES, STATISTICS
from ionmorphnet.models.preprocessing import Preprocessing

DEFAULT_MODEL = "atto-sim-3"
SUPPORTED_FORMAT = 2
# The 8-bit variant of the network, in OpenVINO's own format; its weights are in the .bin file beside it.
INT8_FILE = "model.int8.xml"
# Highest structure grade; the structure output is the expected grade divided by it.
HIGHEST_GRADE = 3.0
# importlib.resources would resolve to the folder of the compiled extension in an editable install.
_BUNDLED = Path(__file__).resolve().parent / "bundled"

T = TypeVar("T")

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """A loaded and validated model folder.

    Attributes:
        name: Name in the config.
        folder: Folder it was loaded from.
        architecture: timm name of the backbone.
        preprocessing: Preprocessing id of the network's training.
        classes: Class names in the order of the logits.
        outputs: Columns of the network's output: ``("logits",)`` with one column per class, or
            ``("logits", "structure")`` with the logit of the structure as last column.
        statistics: Classical statistics in the order of the network's second input; empty if there is none. Names are
            those of ``ionmorphnet.models.labels.STATISTICS``.
        weights: Weight of each class probability in the score: 1 for informative classes and 0 for the others in
            published-layout models. None if the structure output is the score.
        threshold: Default minimum score of a pick.
        cascade: Which images the network is spared; None: none.
        sha256: Hash of ``model.onnx``, for the run record.
        config: Content of ``config.json``.
    """

    name: str
    folder: Path
    architecture: str
    preprocessing: str
    classes: tuple[str, ...]
    outputs: tuple[str, ...]
    statistics: tuple[str, ...]
    weights: tuple[float, ...] | None
    threshold: float
    sha256: str
    config: dict[str, Any] = field(repr=False)
    cascade: Cascade | None = None

    @property
    def onnx_path(self) -> Path:
        """Path of the network."""
        return self.folder / "model.onnx"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Shape of the network's image input: channels, height, width."""
        return Preprocessing.parse(self.preprocessing).shape

    @property
    def int8_path(self) -> Path | None:
        """Path of the network's 8-bit variant; None if the folder has none."""
        return self.folder / INT8_FILE if "int8" in self.config else None

    @property
    def has_structure(self) -> bool:
        """Whether the network also estimates the structure."""
        return "structure" in self.outputs

    @property
    def n_outputs(self) -> int:
        """Number of columns of the network's output."""
        return len(self.classes) + len(self.outputs) - 1

    @property
    def score_description(self) -> str:
        """Definition of the score in one line."""
        if self.weights is None:
            return "calibrated structure estimate (0 to 1)"
        terms = [(weight, name) for weight, name in zip(self.weights, self.classes, strict=True) if weight]
        if all(weight == 1 for weight, _ in terms):
            return "informative score = " + " + ".join(f"P({name})" for _, name in terms)
        return "expected structure = " + " + ".join(f"{weight:g} P({name})" for weight, name in terms)

    def probabilities(self, outputs: npt.NDArray[np.float32]) -> Float64:
        """Softmax of the class logits.

        Args:
            outputs: (n, 6), or (n, 7) with the structure.

        Returns:
            float64 (n, 6); each row sums to 1.
        """
        return softmax(outputs[:, : len(self.classes)])

    def structure(self, outputs: npt.NDArray[np.float32]) -> Float64:
        """Computes the expected structure grade.

        Args:
            outputs: (n, 7).

        Returns:
            float64 (n,), 0 (none) to 3 (clear).

        Raises:
            ArgumentError: The model has no structure output.
        """
        if not self.has_structure:
            raise ArgumentError(f"model '{self.name}' has no structure output")
        return HIGHEST_GRADE * sigmoid(outputs[:, len(self.classes)])

    def score(self, probabilities: Float64, structure: Float64 | None = None) -> Float64:
        """Computes the ranking score of each image.

        Args:
            probabilities: (n, 6), class probabilities.
            structure: (n,), expected grades; required if the structure is the score.

        Returns:
            float64 (n,).

        Raises:
            ArgumentError: The structure is the score but is None.
        """
        if self.weights is not None:
            score: Float64 = probabilities @ np.asarray(self.weights)
            return score
        if structure is None:
            raise ArgumentError(f"model '{self.name}' ranks by its structure output; pass structure")
        return structure / HIGHEST_GRADE


def softmax(logits: npt.NDArray[np.floating]) -> Float64:
    """Softmax over the last axis, in float64."""
    shifted = logits.astype(np.float64)
    shifted -= shifted.max(axis=-1, keepdims=True, initial=-np.inf)
    exponents = np.exp(shifted)
    result: Float64 = exponents / exponents.sum(axis=-1, keepdims=True)
    return result


def sigmoid(logits: npt.NDArray[np.floating]) -> Float64:
    """``1 / (1 + exp(-x))`` in float64, without overflow."""
    x = logits.astype(np.float64)
    small = np.exp(-np.abs(x))
    result: Float64 = np.where(x >= 0, 1.0, small) / (1.0 + small)
    return result


def bundled_models() -> list[str]:
    """Names of the models bundled with the package."""
    return sorted(path.parent.name for path in _BUNDLED.glob("*/config.json"))


def load_model(model: str | Path | None = None) -> Model:
    """Loads a model folder and checks that this version can run it.

    Args:
        model: Name of a bundled model, or a folder with ``config.json`` and ``model.onnx``; None for the default model.

    Raises:
        FileError: The folder, its config or its network is missing or invalid.

    Example:
        >>> import ionmorphnet as imn
        >>> imn.load_model().score_description
        'calibrated structure estimate (0 to 1)'
    """
    folder = model_folder(model)
    config_path = folder / "config.json"
    config = read_json(config_path)
    if not isinstance(config, dict):
        raise FileError(f"{config_path}: must be a JSON object")
    onnx = folder / "model.onnx"
    if not onnx.is_file():
        raise FileError(f"{folder}: no model.onnx in the model folder")
    quantised = folder / INT8_FILE
    if "int8" in config and not (quantised.is_file() and quantised.with_suffix(".bin").is_file()):
        raise FileError(f"{folder}: config.json names an 8-bit network, but {INT8_FILE} or its .bin file is missing")
    return _checked(config, folder, config_path, hashlib.sha256(onnx.read_bytes()).hexdigest())


def model_folder(model: str | Path | None) -> Path:
    """The folder that a bundled name or a path stands for; None: the default model.

    Raises:
        FileError: There is no such folder.
    """
    if model is None:
        model = DEFAULT_MODEL
    folder = Path(model)
    if folder.is_dir():
        return folder
    if isinstance(model, str) and "/" not in model and "\\" not in model:
        bundled = _BUNDLED / model
        if bundled.is_dir():
            return bundled
        raise FileError(f"{model}: neither a folder nor a bundled model (bundled: {', '.join(bundled_models())})")
    raise FileError(f"{model}: no such model folder")


def _checked(config: dict[str, Any], folder: Path, path: Path, sha256: str) -> Model:
    def need(key: str, kind: type[T], *others: type[T]) -> T:
        value = config.get(key)
        for each in (kind, *others):
            if isinstance(value, each):
                return value
        raise FileError(f"{path}: '{key}' is missing or has the wrong type")

    if need("format", int) > SUPPORTED_FORMAT:
        raise FileError(f"{path}: format {config['format']} is newer than this version reads ({SUPPORTED_FORMAT})")
    classes = tuple(need("classes", list))
    if classes != CLASSES:
        raise FileError(
            f"{path}: classes must be {', '.join(CLASSES)} in this order, got {', '.join(map(str, classes))}"
        )
    preprocessing = need("preprocessing", str)
    try:
        channels, size, _ = Preprocessing.parse(preprocessing).shape
    except ArgumentError as error:
        raise FileError(f"{path}: {error}") from None
    _check_input(config.get("input"), channels, size, path)
    outputs = _outputs(config, path)
    threshold = float(need("threshold", float, int))
    if not math.isfinite(threshold):
        raise FileError(f"{path}: threshold must be a finite number, got {threshold}")
    score = need("score", dict)
    if score.get("kind") == "structure" and "structure" not in outputs:
        raise FileError(f"{path}: score kind 'structure' needs the output 'structure', got {_list(outputs)}")
    return Model(
        name=need("name", str),
        folder=folder,
        architecture=need("architecture", str),
        preprocessing=preprocessing,
        classes=classes,
        outputs=outputs,
        statistics=_statistics(config, path),
        weights=_score_weights(score, path),
        threshold=threshold,
        sha256=sha256,
        config=config,
        cascade=read_cascade(config, threshold, path),
    )


def _check_input(described: object, channels: int, size: int, path: Path) -> None:
    """Compares the description of the image input, where there is one, with the preprocessing."""
    if described is None:
        return
    found = tuple(described.get(key) for key in ("channels", "size")) if isinstance(described, dict) else described
    if found != (channels, size):
        raise FileError(
            f"{path}: 'input' must have {channels} channels and size {size}, as the preprocessing says, got {described}"
        )


def _list(names: Iterable[object]) -> str:
    return ", ".join(map(str, names)) or "none"


def _outputs(config: dict[str, Any], path: Path) -> tuple[str, ...]:
    outputs = config.get("outputs", ["logits"])
    if outputs not in (["logits"], ["logits", "structure"]):
        shown = _list(outputs) if isinstance(outputs, list) else repr(outputs)
        raise FileError(f"{path}: outputs must be logits, or logits and structure in this order, got {shown}")
    if config["format"] < 2 and outputs != ["logits"]:
        raise FileError(f"{path}: the output 'structure' needs format 2, but the format is {config['format']}")
    return tuple(outputs)


def _statistics(config: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = config.get("statistics", [])
    if not isinstance(names, list):
        raise FileError(f"{path}: 'statistics' must be a list of names, got {names!r}")
    unknown = [name for name in names if name not in STATISTICS]
    if unknown:
        raise FileError(f"{path}: unknown statistic '{unknown[0]}' (known: {_list(STATISTICS)})")
    if len(set(names)) < len(names):
        raise FileError(f"{path}: statistics are repeated: {_list(names)}")
    if config["format"] < 2 and names:
        raise FileError(f"{path}: statistics need format 2, but the format is {config['format']}")
    return tuple(names)


def _score_weights(score: dict[str, Any], path: Path) -> tuple[float, ...] | None:
    """Weight of each class for the kinds ``sum_of_probabilities`` (published) and ``weighted_probabilities``.

    None for the kind ``structure``, whose score is the output of that name.
    """
    kind = score.get("kind")
    if kind == "structure":
        return None
    if kind == "sum_of_probabilities":
        names = score.get("classes")
        strings = names if isinstance(names, list) and all(isinstance(name, str) for name in names) else []
        named = dict.fromkeys(strings, 1.0)
    elif kind == "weighted_probabilities":
        weights = score.get("weights")
        named = weights if isinstance(weights, dict) else {}
    else:
        known = "sum_of_probabilities, weighted_probabilities, structure"
        raise FileError(f"{path}: unknown score kind '{kind}' (known: {known})")
    unknown = [name for name in named if name not in CLASSES]
    numbers = all(isinstance(weight, (int, float)) and 0 <= weight <= 1 for weight in named.values())
    if unknown or not named or not numbers:
        raise FileError(f"{path}: score must name some of {', '.join(CLASSES)}, with weights from 0 to 1")
    return tuple(float(named.get(name, 0.0)) for name in CLASSES)
