"""Export of trained weights to a model folder: calibration, threshold, checks, and figures for ``config.json``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate.metrics import auc, best_threshold, spearman
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.models.model import sigmoid, softmax
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
from ionmorphnet.models.networks.folder import (
    MetricsConfig,
    ModelConfig,
    ScoreConfig,
    check_replaceable,
    check_size,
    new_model_folder,
    write_config,
    write_safetensors,
)
from ionmorphnet.models.networks.onnx_export import (
    bf16_agreement,
    check_parity,
    cpu_has_bf16,
    export_onnx,
    n_statistics,
    output_names,
    torch_outputs,
)
from ionmorphnet.models.networks.onnx_file import OPSET
from ionmorphnet.models.networks.weights import hidden_units, read_weights
from ionmorphnet.models.preprocessing import Preprocessing
from ionmorphnet.training.calibration import Calibration, calibrated, calibration_report, fit_calibration
from ionmorphnet.training.fusion import Fusion, fit_fusion, fused
from ionmorphnet.training.held_out import MAX_STRUCTURE, HeldOut, simulated_held_out

SIMULATED_DATA = "simulated ion images only (ionmorphnet.simulation); no measured image was seen in training"
_VALIDATION_IMAGES = 1500
_PARITY_IMAGES = 64
_BF16_IMAGES = 256

Float64 = NDArray[np.float64]


def export_model(
    weights: str | Path,
    folder: str | Path,
    *,
    name: str | None = None,
    licence: str = "Apache-2.0",
    data: str | None = None,
    card: Mapping[str, object] | None = None,
    validation: Iterable[HeldOut] | None = None,
    images: int = _VALIDATION_IMAGES,
    statistics_share: float = 0.0,
    bundled: bool = False,
) -> ModelConfig:
    """Calibrate trained weights, choose the threshold, and write a model folder atomically.

    The calibration is fitted on the first half of the validation images and measured on the second half. The threshold
    maximises the balanced accuracy of detecting images with at least half the largest structure grade. Images without a
    grade (NaN) are used for the classes only: calibration and threshold of the structure use the graded images.

    Args:
        weights: Weights file of a training.
        folder: Model folder to write; an existing model folder is replaced.
        name: Name of the model; None: the folder's name.
        licence: Licence of the weights.
        data: One line describing the training data; None: as recorded by the training.
        card: Further plain values for the model card, stored in config.json.
        validation: Batches of labelled images that the training did not see, with grades on both sides of half the
            largest grade; None: simulated images.
        images: Number of simulated validation images, at least 2.
        statistics_share: Weight of the classical statistics alone in the structure output, see
            :mod:`ionmorphnet.training.fusion`; their estimate is fitted on the first half of the validation images.
        bundled: Whether the folder ships with the package: without model.safetensors, and at most 16 MB.

    Returns:
        The content of config.json.

    Raises:
        ArgumentError: ``statistics_share`` is out of range, or the network has no statistics or no structure output;
            or there are fewer than two validation images, a grade is out of range, or the grades do not lie on both
            sides of the half.
        FileError: The weights cannot be used, or the folder cannot be written.
        IonMorphNetError: The exported network does not agree with torch.
    """
    weights, folder = Path(weights), Path(folder)
    check_replaceable(folder)
    trained = read_weights(weights)
    parts = validation
    if parts is None:
        if images < 2:
            raise ArgumentError(f"images must be at least 2, got {images}")
        parts = simulated_held_out(images, trained.preprocessing, statistics=trained.statistics)
    held_out = _run(trained.model, parts)
    network, fusion = trained.model, None
    if statistics_share:
        fusion = _fit_fusion(held_out, statistics_share)
        network = fused(network, fusion)
        held_out.outputs[:, len(CLASSES)] = fusion.apply(held_out.outputs[:, len(CLASSES)], held_out.all_statistics)
    calibration, report = _calibrate(held_out)
    model = calibrated(network, calibration)
    outputs = calibration.apply(held_out.outputs, len(CLASSES))
    score = score_settings(model, held_out)
    structure = held_out.structure[held_out.graded]
    values = scores(outputs[held_out.graded], score)
    worthwhile = structure >= MAX_STRUCTURE / 2
    threshold, balanced = best_threshold(worthwhile, values)

    with new_model_folder(folder) as temporary:
        agreement = write_network(model, temporary, held_out.images, held_out.statistics, score)
        figures: dict[str, object] = {
            "images": len(held_out.structure),
            "graded": len(structure),
            **class_figures(outputs, held_out.labels),
            "spearman": spearman(values, structure),
            "auc_structure_at_least_half": auc(worthwhile, values),
            "balanced_accuracy_at_threshold": balanced,
        }
        config: ModelConfig = {
            **folder_config(
                model,
                name=name or folder.resolve().name,
                preprocessing=trained.preprocessing,
                statistics=trained.statistics,
                score=score,
                threshold=threshold,
                licence=licence,
            ),
            "threshold_choice": "best balanced accuracy for a structure of at least half, on the validation images",
            "calibration": report,
            "provenance": {
                "data": data_line(trained.provenance, trained.recipe) if data is None else data,
                "source": dict(trained.provenance),
                "recipe": dict(trained.recipe),
                "step": trained.step,
                **export_versions(),
            },
            "metrics": agreement,
        }
        agreement["simulated" if validation is None else "validation"] = figures
        if fusion is not None:
            config["fusion"] = asdict(fusion)
        if card:
            config["card"] = dict(card)
        config = plain_config(config)
        write_config(temporary, config)
        if bundled:
            check_size(temporary)
        else:
            write_safetensors(temporary, model.state_dict(), {"name": config["name"]})
    return config


@dataclass(frozen=True)
class _Outputs:
    """Uncalibrated outputs on all validation images, and the first of these images.

    ``structure`` is NaN for images without a grade.
    """

    outputs: Float64
    labels: Float64
    structure: Float64
    images: NDArray[np.float32]
    statistics: NDArray[np.float32] | None
    all_statistics: Float64

    @property
    def graded(self) -> NDArray[np.intp]:
        """Indices of the images with a grade."""
        return np.flatnonzero(~np.isnan(self.structure))


def _run(model: ConvNeXtV2, parts: Iterable[HeldOut]) -> _Outputs:
    """Run the network on all images.

    Raises:
        ArgumentError: There are too few images, or no threshold can be chosen from their grades.
    """
    outputs, labels, structure, images, statistics = [], [], [], [], []
    all_statistics = [np.zeros((0, n_statistics(model)))]
    kept = 0
    for part in parts:
        if not len(part.images) == len(part.labels) == len(part.structure):
            raise ArgumentError("each validation image needs class labels and a structure grade (NaN = not graded)")
        if not len(part.images):
            continue
        outputs.append(torch_outputs(model, part.images, part.statistics).astype(np.float64))
        labels.append(part.labels)
        structure.append(part.structure)
        if part.statistics is not None:
            all_statistics.append(part.statistics.astype(np.float64))
        if kept < _BF16_IMAGES:
            images.append(part.images[: _BF16_IMAGES - kept])
            if part.statistics is not None:
                statistics.append(part.statistics[: _BF16_IMAGES - kept])
            kept += len(images[-1])
    _check_grades(np.concatenate([np.zeros(0), *structure]))
    return _Outputs(
        np.concatenate(outputs),
        np.concatenate(labels).astype(np.float64),
        np.concatenate(structure).astype(np.float64),
        np.concatenate(images),
        np.concatenate(statistics) if statistics else None,
        np.concatenate(all_statistics),
    )


def _check_grades(structure: Float64) -> None:
    if len(structure) < 2:
        raise ArgumentError(f"calibration and threshold need at least two validation images, got {len(structure)}")
    known, half = structure[~np.isnan(structure)], MAX_STRUCTURE / 2
    if not known.size:
        raise ArgumentError(f"none of the {len(structure)} validation images has a structure grade")
    if known.min() < 0 or known.max() > MAX_STRUCTURE:
        raise ArgumentError(f"structure grades must be from 0 to {MAX_STRUCTURE:g}, or NaN for images without a grade")
    if known.min() >= half or known.max() < half:
        kind = "at least" if known.min() >= half else "less than"
        raise ArgumentError(
            f"the threshold needs validation images graded below {half:g} and others graded {half:g} or higher; "
            f"all {known.size} grades are {kind} {half:g}"
        )


def _fit_fusion(held_out: _Outputs, share: float) -> Fusion:
    """Fit on the first half of the graded images, as for the calibration of the structure."""
    if held_out.outputs.shape[1] == len(CLASSES) or not held_out.all_statistics.shape[1]:
        raise ArgumentError("statistics_share requires a network with a structure output and statistics")
    first = held_out.graded[: len(held_out.graded) // 2]
    return fit_fusion(held_out.all_statistics[first], held_out.structure[first] / MAX_STRUCTURE, share)


def _calibrate(held_out: _Outputs) -> tuple[Calibration, dict[str, object]]:
    """Fit on the first half and measure on the second; for the structure, halves of the graded images."""
    n, k = len(held_out.outputs), len(CLASSES)
    share, graded = held_out.structure / MAX_STRUCTURE, held_out.graded
    first, second = slice(n // 2), slice(n // 2, n)
    fitted, measured = np.split(graded, [len(graded) // 2])
    z, labels = held_out.outputs, held_out.labels
    has_structure = z.shape[1] > k
    # The two maps are fitted independently, so they may use different images.
    calibration = fit_calibration(z[first, :k], labels[first], z[fitted, k] if has_structure else None, share[fitted])
    before_after = calibration_report(z[second, :k], labels[second], share[second], calibration)
    if has_structure:
        for when, figures in calibration_report(z[measured], labels[measured], share[measured], calibration).items():
            before_after[when] |= {name: value for name, value in figures.items() if name.startswith("structure_")}
    report: dict[str, object] = {"temperature": calibration.temperature}
    if has_structure:
        report["structure"] = {"scale": calibration.scale, "shift": calibration.shift}
    report |= {
        "at_limit": calibration.at_limit,
        "images": n // 2,
        "measured_on": n - n // 2,
        **before_after,
    }
    return calibration, report


def write_network(
    model: ConvNeXtV2,
    folder: Path,
    images: NDArray[np.float32],
    statistics: NDArray[np.float32] | None,
    score: ScoreConfig,
) -> MetricsConfig:
    """Write model.onnx, compare it with torch in float32, and compare float32 with bfloat16.

    Returns:
        The figures of both comparisons for config.json.

    Raises:
        IonMorphNetError: The network does not agree with torch.
    """
    path = folder / "model.onnx"
    export_onnx(model, path, images.shape[-1])
    few = slice(_PARITY_IMAGES)
    parity = check_parity(model, path, images[few], None if statistics is None else statistics[few])
    figures: MetricsConfig = {
        "onnx_against_torch_max_logit_difference": parity.difference,
        "onnx_against_torch_allowed": parity.allowed,
        "torch_float32_rounding": parity.rounding,
        "bf16_against_f32": "not run",
    }
    if cpu_has_bf16():
        found = bf16_agreement(path, images, statistics, n_classes=len(CLASSES))
        exact, rounded = (scores(z.astype(np.float64), score) for z in (found.outputs_f32, found.outputs_bf16))
        figures["bf16_against_f32"] = {
            "images": found.images,
            "spearman_of_score": spearman(exact, rounded),
            "same_class": found.top1,
            "max_output_difference": found.max_difference,
            "max_score_difference": float(np.abs(exact - rounded).max()),
        }
    return figures


def folder_config(
    model: ConvNeXtV2,
    *,
    name: str,
    preprocessing: str,
    statistics: Sequence[str],
    score: ScoreConfig,
    threshold: float,
    licence: str,
) -> ModelConfig:
    """Describe for config.json how to run the network; in format 1 if that suffices, otherwise in format 2."""
    outputs = output_names(model)
    config: ModelConfig = {
        "format": 2 if len(outputs) > 1 or statistics else 1,
        "name": name,
        "architecture": model.name,
        "preprocessing": preprocessing,
        "input": {"name": "image", "channels": model.in_chans, "size": Preprocessing.parse(preprocessing).size},
        "statistics": list(statistics),
        "outputs": list(outputs),
        "classes": list(CLASSES),
        "score": score,
        "threshold": threshold,
        "licence": licence,
    }
    if statistics:
        config["statistics_hidden"] = hidden_units(model.state_dict())
    if model.head.sample is not None:
        config["sample_statistics"] = True
    return config


def score_settings(model: ConvNeXtV2, held_out: _Outputs) -> ScoreConfig:
    """Score by the structure output if the model has one, otherwise by the expected structure given the classes."""
    if len(output_names(model)) > 1:
        return {"kind": "structure"}
    graded = held_out.graded
    weights = score_weights(held_out.labels[graded], held_out.structure[graded])
    return {"kind": "weighted_probabilities", "weights": weights}


def score_weights(labels: Float64, structure: Float64) -> dict[str, float]:
    """Weight each class in the score by the mean structure of its images, divided by the largest grade.

    (The published sum of three classes ranks weak_structured, faint images of the whole sample, no higher than noise.)
    """
    total = labels.sum(0)
    means = np.divide(labels.T @ structure, total, out=np.zeros(len(CLASSES)), where=total > 0) / MAX_STRUCTURE
    return {name: round(float(value), 2) for name, value in zip(CLASSES, means, strict=True)}


def scores(outputs: Float64, score: ScoreConfig) -> Float64:
    """Compute the ranking scores (N,) of calibrated outputs (N, 6 or 7)."""
    if score["kind"] == "structure":
        return sigmoid(outputs[:, len(CLASSES)])
    weights = score.get("weights") or dict.fromkeys(score["classes"], 1.0)
    probabilities = softmax(outputs[:, : len(CLASSES)].astype(np.float32))
    result: Float64 = probabilities @ np.array([weights.get(name, 0.0) for name in CLASSES])
    return result


def class_figures(outputs: Float64, labels: Float64) -> dict[str, object]:
    """Compute accuracy and recall of outputs against the most probable class of the labels (N, 6)."""
    predicted, truth = outputs[:, : len(CLASSES)].argmax(1), labels.argmax(1)
    recall = {
        name: float((predicted[truth == index] == index).mean())
        for index, name in enumerate(CLASSES)
        if (truth == index).any()
    }
    return {
        "accuracy": float((predicted == truth).mean()),
        "balanced_accuracy": float(np.mean(list(recall.values()))),
        "recall": recall,
    }


def data_line(provenance: Mapping[str, object], recipe: Mapping[str, object]) -> str:
    """Describe in one line what weights were trained on, as recorded by their training."""
    leaves = _leaves(provenance.get("data"))
    simulated = any(leaf.get("kind") == "simulated" for leaf in leaves)
    measured = [leaf for leaf in leaves if leaf.get("kind") != "simulated"]
    start = recipe.get("start", "")
    teachers = sorted({str(leaf["teacher"]) for leaf in leaves if "teacher" in leaf})
    if simulated and not measured and not start and not teachers:
        return SIMULATED_DATA
    parts = ["simulated ion images"] if simulated else []
    if measured:
        datasets = {name for leaf in measured for name in _mapping(leaf.get("datasets"))}
        of = f" of {len(datasets)} datasets" if datasets else ""
        parts.append(f"{sum(n for leaf in measured if isinstance(n := leaf.get('images'), int))} labelled images{of}")
    described = ", with labels of the teacher ".join([" and ".join(parts) or "not recorded", *teachers])
    return f"{described}, starting from {start}" if start else described


def _leaves(source: object) -> list[Mapping[str, object]]:
    """List the innermost sources in a source's description."""
    if not (description := _mapping(source)):
        return []
    parts = description.get("parts")
    return [leaf for part in parts for leaf in _leaves(part)] if isinstance(parts, list) else [description]


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}


def export_versions() -> dict[str, object]:
    """Return the versions of the software that wrote the folder."""
    names = ("ionmorphnet", "openvino", "onnx")
    return {**{name: version(name) for name in names}, "torch": torch.__version__, "opset": OPSET}


def plain_config(config: ModelConfig) -> ModelConfig:
    """Convert a configuration to JSON values, with floats rounded to six significant digits."""
    return cast(ModelConfig, _plain(config))


def _plain(value: object) -> object:
    """Convert to JSON values: floats that are not finite become None, and paths and similar objects become text."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return str(value)
