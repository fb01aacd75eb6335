"""The model folder: ``config.json`` and ``model.onnx`` from a checkpoint."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ionmorphnet._files import atomic_path
from ionmorphnet.errors import FileError
from ionmorphnet.evaluate.metrics import auc, best_threshold
from ionmorphnet.labels import CLASSES
from ionmorphnet.models import softmax
from ionmorphnet.training.convnextv2 import ConvNeXtV2
from ionmorphnet.training.data import SimulatedImages, loader
from ionmorphnet.training.export import INPUT_SIZE, OPSET, check_parity, export_onnx, openvino_outputs

PREPROCESSING = "p99-stretch-224"
MAX_STRUCTURE = 3.0
_VALIDATION_IMAGES = 1500
_VALIDATION_SEED = 77_003_001


def images_seen(phases: Sequence[Mapping[str, int]], step: int) -> int:
    """Number of images trained on after ``step`` steps."""
    seen = 0
    for phase in phases:
        steps = min(step, -(-phase["images"] // phase["batch"]))
        seen += min(steps * phase["batch"], phase["images"])
        step -= steps
    return seen


def class_weights(labels: NDArray[np.int64], structure: NDArray[np.float32]) -> dict[str, float]:
    """What each class counts in the score: the mean structure of its simulated images, as a share of the largest.

    With these weights the score is the structure to expect of an image, given the class probabilities. (The published
    sum of three classes gives faint images of the whole sample, weak_structured, no more than noise.)
    """
    weights = {}
    for index, name in enumerate(CLASSES):
        of_class = structure[labels == index]
        weights[name] = round(float(of_class.mean()) / MAX_STRUCTURE, 2) if len(of_class) else 0.0
    return weights


def write_bundle(checkpoint: Path, folder: Path, *, script: str, workers: int = 1) -> str:
    """Export a checkpoint, choose the threshold on simulated images, write the folder.

    Args:
        checkpoint: File written by ``fit``.
        folder: Model folder; its name is the model's name.
        script: Name of the script that made the model, recorded as provenance.
        workers: Processes that simulate the validation images.

    Returns:
        The text of config.json.

    Raises:
        FileError: The checkpoint is missing.
        IonMorphNetError: The exported file does not agree with torch.
    """
    if not checkpoint.is_file():
        raise FileError(f"{checkpoint}: no such checkpoint")
    state = torch.load(checkpoint, weights_only=True)
    recipe = state["recipe"]
    model = ConvNeXtV2(recipe["architecture"], num_classes=len(CLASSES))
    model.load_state_dict(state["weights"])
    model.eval()
    folder.mkdir(parents=True, exist_ok=True)
    onnx_path = folder / "model.onnx"
    export_onnx(model, onnx_path)

    validation = SimulatedImages(_VALIDATION_IMAGES, INPUT_SIZE, _VALIDATION_SEED, augmented=False)
    batches = list(loader(validation, 50, workers))
    images = torch.cat([batch.images for batch in batches]).numpy()
    labels = torch.cat([batch.labels for batch in batches]).numpy()
    difference = check_parity(model, onnx_path, images[:64])
    probabilities = softmax(openvino_outputs(onnx_path, images))
    structure = torch.cat([batch.structure for batch in batches]).numpy()
    weights = class_weights(labels, structure)
    score = probabilities @ np.array(list(weights.values()))
    worthwhile = structure >= MAX_STRUCTURE / 2
    threshold, balanced = best_threshold(worthwhile, score)

    config = {
        "format": 1,
        "name": folder.name,
        "architecture": recipe["architecture"],
        "preprocessing": PREPROCESSING,
        "input": {"name": "image", "channels": 1, "size": INPUT_SIZE},
        "outputs": ["logits"],
        "classes": list(CLASSES),
        "score": {"kind": "weighted_probabilities", "weights": weights},
        "threshold": threshold,
        "licence": "Apache-2.0",
        "provenance": {
            "data": "simulated ion images only (ionmorphnet.simulation); no measured image was seen in training",
            "script": script,
            "ionmorphnet": version("ionmorphnet"),
            "torch": torch.__version__,
            "opset": OPSET,
            "recipe": recipe,
            "step": state["step"],
            "images_seen": images_seen(recipe["phases"], state["step"]),
        },
        "metrics": {
            "onnx_against_torch_max_logit_difference": difference,
            "simulated": {
                "images": len(labels),
                "accuracy": round(float((probabilities.argmax(axis=1) == labels).mean()), 4),
                "auc_structure_at_least_half": round(auc(worthwhile, score), 4),
                "balanced_accuracy_at_threshold": round(balanced, 4),
            },
        },
    }
    text = json.dumps(config, indent=2) + "\n"
    with atomic_path(folder / "config.json") as temporary:
        temporary.write_text(text, encoding="utf-8")
    return text
