"""Model folders: loading, validation, and conversion of outputs to scores."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.files import read_json
from ionmorphnet.base.paths import utf8_path
from ionmorphnet.models.cascade import Cascade
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.models.preprocessing import Preprocessing

DEFAULT_MODEL = _core.DEFAULT_MODEL
SUPPORTED_FORMAT = _core.SUPPORTED_FORMAT
# The 8-bit variant of the network, in OpenVINO's own format; its weights are in the .bin file beside it.
INT8_FILE = _core.INT8_FILE
# Highest structure grade; the structure output is the expected grade divided by it.
HIGHEST_GRADE = _core.HIGHEST_GRADE
# importlib.resources would resolve to the folder of the compiled extension in an editable install.
_BUNDLED = str(Path(__file__).resolve().parent / "bundled")

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
        return _core.score_description(self.weights)

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
    return _core.bundled_models(_BUNDLED)


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
    found = _core.load_model(_named(model), _BUNDLED)
    folder = Path(found["folder"])
    return Model(
        name=found["name"],
        folder=folder,
        architecture=found["architecture"],
        preprocessing=found["preprocessing"],
        classes=CLASSES,
        outputs=tuple(found["outputs"]),
        statistics=tuple(found["statistics"]),
        weights=None if found["weights"] is None else tuple(found["weights"]),
        threshold=found["threshold"],
        sha256=found["sha256"],
        config=read_json(folder / "config.json"),
        cascade=None if found["cascade"] is None else Cascade(*found["cascade"]),
    )


def model_folder(model: str | Path | None) -> Path:
    """The folder that a bundled name or a path stands for; None: the default model.

    Raises:
        FileError: There is no such folder.
    """
    return Path(_core.model_folder(_named(model), _BUNDLED))


def _named(model: str | Path | None) -> str:
    """A name or path for the core; as a path has it, the empty text is the current folder."""
    return DEFAULT_MODEL if model is None else utf8_path(model) or "."
