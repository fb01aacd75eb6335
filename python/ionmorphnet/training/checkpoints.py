"""Conversion of published checkpoints (``run_meta.json``, ``best_model.pt``) to model folders.

The layout is that of training runs of the published implementation (arXiv 2604.19369).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from torch import Tensor

from ionmorphnet.base.errors import FileError
from ionmorphnet.base.files import read_json
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.models.networks.convnextv2 import SIZES, ConvNeXtV2
from ionmorphnet.models.networks.folder import (
    ModelConfig,
    ScoreConfig,
    check_replaceable,
    new_model_folder,
    write_config,
    write_safetensors,
)
from ionmorphnet.models.networks.weights import load_plain, load_strictly
from ionmorphnet.training.export import export_versions, folder_config, plain_config, write_network
from ionmorphnet.training.held_out import simulated_held_out

PREPROCESSING = "p99-stretch-224"
INPUT_SIZE = 224
SCORE: ScoreConfig = {"kind": "sum_of_probabilities", "classes": ["structured", "localized", "negative"]}
THRESHOLD = 0.5
UNKNOWN_LICENCE = "not stated in the checkpoint"

# Weight dropout wraps a layer (`X.module.weight`); an older form renames the parameter (`X.weight_raw`).
_WRAPPED = re.compile(r"^(?P<layer>.+?)(?:\.module)?\.(?:(?P<parameter>weight|bias)|weight_raw)$")


@dataclass(frozen=True)
class Published:
    """A published checkpoint, read and checked.

    Attributes:
        model: Network in evaluation mode.
        facts: Origin and training figures as plain values.
    """

    model: ConvNeXtV2
    facts: dict[str, object]


def read_checkpoint(folder: Path) -> Published:
    """Read ``run_meta.json`` and ``best_model.pt``.

    Raises:
        FileError: A file is missing or damaged, holds objects other than tensors and plain values, or describes a
            network other than one with six classes in the published order and one input channel of 224 x 224.
    """
    if not folder.is_dir():
        raise FileError(f"{folder}: {'is a file, not a' if folder.exists() else 'no such'} checkpoint folder")
    meta_path, path = folder / "run_meta.json", folder / "best_model.pt"
    architecture, training = _read_meta(meta_path)
    content = load_plain(path)
    if not isinstance(content, dict) or not isinstance(content.get("model"), Mapping):
        raise FileError(f"{path}: 'model' (a state dict) is missing")
    _check_labels(content.get("labels"), path)
    _check_size(content.get("input_hw"), path)
    state = unwrapped(content["model"], path)
    _check_width(state, "stem.0.weight", 1, 1, "input channels", path)
    _check_width(state, "head.fc.weight", 0, len(CLASSES), "classes", path)
    model = ConvNeXtV2(architecture, in_chans=1, num_classes=len(CLASSES))
    load_strictly(model, state, path)
    facts = {
        "checkpoint": folder.resolve().name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "training_type": training,
        **{name: content[name] for name in ("epoch", "best_val_loss", "best_val_acc") if name in content},
    }
    return Published(model.eval(), facts)


def export_checkpoint(
    checkpoint: str | Path,
    folder: str | Path,
    *,
    name: str | None = None,
    licence: str = UNKNOWN_LICENCE,
    images: int = 64,
) -> ModelConfig:
    """Write a model folder from a published checkpoint.

    Preprocessing and score are the published ones. No threshold is published: config.json gets 0.5, with a note that it
    is neither calibrated nor chosen on data.

    Args:
        checkpoint: Folder with ``run_meta.json`` and ``best_model.pt``.
        folder: Model folder to write; an existing model folder is replaced.
        name: Name of the model; None: the folder's name.
        licence: Licence of the weights, which the checkpoint does not state.
        images: Number of simulated images for the comparison of the exported network with torch.

    Returns:
        The content of config.json.

    Raises:
        FileError: The checkpoint cannot be used, or the folder cannot be written.
        IonMorphNetError: The exported network does not agree with torch.
    """
    checkpoint, folder = Path(checkpoint), Path(folder)
    check_replaceable(folder)
    published = read_checkpoint(checkpoint)
    parts = simulated_held_out(images, PREPROCESSING, statistics=())
    inputs = np.concatenate([part.images for part in parts])
    with new_model_folder(folder) as temporary:
        agreement = write_network(published.model, temporary, inputs, None, SCORE)
        config: ModelConfig = {
            **folder_config(
                published.model,
                name=name or folder.resolve().name,
                preprocessing=PREPROCESSING,
                statistics=(),
                score=SCORE,
                threshold=THRESHOLD,
                licence=licence,
            ),
            "threshold_choice": "none published; 0.5, neither calibrated nor chosen on data",
            "calibration": "not calibrated",
            "provenance": {"source": published.facts, **export_versions()},
            "metrics": agreement,
        }
        config = plain_config(config)
        write_config(temporary, config)
        write_safetensors(temporary, published.model.state_dict(), {"name": config["name"]})
    return config


def _read_meta(path: Path) -> tuple[str, str]:
    """Read backbone and training type."""
    meta = read_json(path)
    settings = meta.get("Hyperparameters") if isinstance(meta, dict) else None
    if not isinstance(settings, dict):
        raise FileError(f"{path}: 'Hyperparameters' is missing")
    mode, architecture = settings.get("Coarse mode"), settings.get("Resnet model")
    if mode != "full":
        raise FileError(f"{path}: coarse mode {mode!r} is not supported, only 'full' (all six classes)")
    if not isinstance(architecture, str):
        raise FileError(f"{path}: 'Resnet model' (the backbone's name) is missing")
    if architecture not in SIZES:
        raise FileError(f"{path}: backbone {architecture!r} is not supported; supported: {', '.join(SIZES)}")
    return architecture, str(meta.get("Training type", "not stated"))


def _check_labels(labels: object, path: Path) -> None:
    """Check the classes: a list of names, or a mapping between names and indices in either direction."""
    if isinstance(labels, Mapping):
        by_index = {v: k for k, v in labels.items()} if all(isinstance(k, str) for k in labels) else dict(labels)
        labels = [by_index[index] for index in sorted(by_index)] if _all_integers(by_index) else list(labels)
    if not isinstance(labels, (list, tuple)):
        raise FileError(f"{path}: 'labels' (the classes in the order of the outputs) is missing")
    if tuple(labels) != CLASSES:
        found = ", ".join(map(str, labels))
        raise FileError(f"{path}: the labels must be {', '.join(CLASSES)} in this order, got {found}")


def _all_integers(values: Iterable[object]) -> bool:
    return all(isinstance(value, int) for value in values)


def _check_size(size: object, path: Path) -> None:
    sides = [size] * 2 if isinstance(size, int) else list(size) if isinstance(size, (list, tuple)) else []
    if not sides:
        raise FileError(f"{path}: 'input_hw' (the image size) is missing")
    if sides != [INPUT_SIZE, INPUT_SIZE]:
        shown = " x ".join(map(str, sides))
        raise FileError(f"{path}: image size {shown} is not supported, only {INPUT_SIZE} x {INPUT_SIZE}")


def _check_width(state: Mapping[str, Tensor], name: str, axis: int, wanted: int, what: str, path: Path) -> None:
    value = state.get(name)
    if isinstance(value, Tensor) and value.ndim > axis and value.shape[axis] != wanted:
        raise FileError(f"{path}: {value.shape[axis]} {what} are not supported, only {wanted}")


def unwrapped(state: Mapping[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Remove the level that weight dropout adds to parameter names.

    Raises:
        FileError: Two entries stand for the same parameter.
    """
    result: dict[str, Tensor] = {}
    for name, value in state.items():
        match = _WRAPPED.match(str(name))
        bare = f"{match['layer']}.{match['parameter'] or 'weight'}" if match else str(name)
        if bare in result:
            raise FileError(f"{path}: {bare} occurs twice, once as {name}")
        result[bare] = value
    return result
