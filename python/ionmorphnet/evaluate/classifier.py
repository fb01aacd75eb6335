"""Accuracy and calibration of predicted classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate.bootstrap import BootstrapOptions, Estimate, Sampled, mean_over_sets, resample
from ionmorphnet.evaluate.evaluation_set import require_unique_names
from ionmorphnet.evaluate.methods import ScoredSet
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS

Float = npt.NDArray[np.float64]

POOLED = "all images"
# Lower bound of probabilities in the log loss, because an f32 softmax may round to 0.
_SMALLEST = 1e-12


@dataclass(frozen=True, eq=False, repr=False)
class ClassifierResult:
    """Predicted classes of one model on one dataset, compared with labels.

    With two labellings each label of an image has weight one half, so all values are means over both labellings.

    Attributes:
        dataset: Name of the dataset.
        model: Name of the model.
        n: Number of labelled images.
        accuracy: Share of images whose most probable class is the label.
        balanced_accuracy: Mean recall of the classes that occur.
        labelling_accuracy: Accuracy against each labelling.
        agreement: Share of images on which the labellings agree; NaN with one labelling.
        majority: Accuracy of always predicting the most frequent class.
        classes: Frame indexed by class: count (with halves where the labellings differ), predicted, recall, precision;
            NaN where undefined.
        confusion: Frame of counts (label, predicted class).
        ece: Expected calibration error of the most probable class, with bins of equal width.
        brier: Brier score, the mean squared distance of the probabilities from the label, summed over classes (0 to 2).
        nll: Mean negative log probability of the label.
        reliability: Frame of the bins: low, high, count, confidence, accuracy.
    """

    dataset: str
    model: str
    n: int
    accuracy: Estimate
    balanced_accuracy: Estimate
    labelling_accuracy: tuple[float, ...]
    agreement: float
    majority: float
    classes: pd.DataFrame
    confusion: pd.DataFrame
    ece: float
    brier: float
    nll: float
    reliability: pd.DataFrame

    def __repr__(self) -> str:
        """Names, size and accuracy."""
        return f"ClassifierResult({self.dataset!r}, {self.model!r}, n={self.n}, accuracy {self.accuracy})"

    def to_dict(self) -> dict[str, object]:
        """The values as plain Python objects for JSON."""
        return {
            "dataset": self.dataset,
            "model": self.model,
            "n": self.n,
            "accuracy": vars(self.accuracy),
            "balanced_accuracy": vars(self.balanced_accuracy),
            "labelling_accuracy": list(self.labelling_accuracy),
            "labelling_agreement": self.agreement,
            "majority_accuracy": self.majority,
            "classes": self.classes.rename_axis("class").reset_index().to_dict("records"),
            "confusion": self.confusion.to_numpy().tolist(),
            "ece": self.ece,
            "brier": self.brier,
            "nll": self.nll,
            "reliability": self.reliability.to_dict("records"),
        }


@dataclass(frozen=True, eq=False, repr=False)
class ClassifierReport:
    """Classification results of several models and datasets.

    Attributes:
        results: Results by (dataset, model). With several datasets, the dataset ``all images`` pools all their images.
        mean_accuracy: Mean accuracy over the datasets, by model; all datasets have the same weight.
        options: How the intervals were computed.
    """

    results: Mapping[tuple[str, str], ClassifierResult]
    mean_accuracy: Mapping[str, Estimate]
    options: BootstrapOptions = field(default_factory=BootstrapOptions)

    def __repr__(self) -> str:
        """Names of models and datasets."""
        return f"ClassifierReport({', '.join(f'{m} on {d}' for d, m in self.results)})"

    def to_dict(self) -> dict[str, object]:
        """The values as plain Python objects for JSON."""
        return {
            "classes": list(CLASSES),
            "results": [result.to_dict() for result in self.results.values()],
            "mean_of_sets_accuracy": {name: vars(estimate) for name, estimate in self.mean_accuracy.items()},
        }


def classifier_report(
    sets: Sequence[ScoredSet], *, bins: int = 10, options: BootstrapOptions | None = None
) -> ClassifierReport:
    """Compares the classes predicted by models with labels.

    Args:
        sets: Scored datasets with labels; images without a label are left out.
        bins: Number of calibration bins of equal width.
        options: How the intervals are computed; None: 95% percentile intervals from 2,000 resamples of the images.

    Returns:
        Results for every dataset and model and, with several datasets, for all their images together.

    Raises:
        ArgumentError: A dataset has no labels, two datasets have the same name, no model predicts classes, or
            bins < 1.
    """
    chosen = options or BootstrapOptions()
    if bins < 1:
        raise ArgumentError(f"bins must be at least 1, not {bins}")
    require_unique_names((each.name for each in sets), reserved=POOLED)
    models = list(dict.fromkeys(name for each in sets for name in each.predictions))
    if not models:
        raise ArgumentError("no model that predicts classes was scored; add one to make_methods")
    results: dict[tuple[str, str], ClassifierResult] = {}
    parts: dict[str, dict[str, tuple[npt.NDArray[np.int64], Float]]] = {name: {} for name in models}
    for each in sets:
        labelled = np.asarray((each.labels >= 0).any(axis=0))
        if not labelled.any():
            raise ArgumentError(f"{each.name}: no image has a class label; add labels or leave the dataset out")
        for name, frame in each.predictions.items():
            labels = each.labels[:, labelled]
            probabilities = frame[list(PROBABILITY_COLUMNS)].to_numpy(dtype=np.float64)[labelled]
            parts[name][each.name] = (labels, probabilities)
            results[each.name, name] = judge_classes(
                labels, probabilities, dataset=each.name, model=name, bins=bins, options=chosen
            )
    mean_accuracy = {}
    for name in models if len(sets) > 1 else ():
        rows = max(len(labels) for labels, _ in parts[name].values())
        results[POOLED, name] = judge_classes(
            np.concatenate([_with_rows(labels, rows) for labels, _ in parts[name].values()], axis=1),
            np.concatenate([probabilities for _, probabilities in parts[name].values()]),
            dataset=POOLED,
            model=name,
            bins=bins,
            options=chosen,
        )
        sampled = [_accuracy(*part, chosen, dataset) for dataset, part in parts[name].items()]
        mean_accuracy[name] = mean_over_sets(sampled).estimate(chosen)
    return ClassifierReport(results, mean_accuracy, chosen)


def judge_classes(
    labels: npt.ArrayLike,
    probabilities: npt.ArrayLike,
    *,
    dataset: str = "",
    model: str = "",
    bins: int = 10,
    options: BootstrapOptions | None = None,
) -> ClassifierResult:
    """Compares class probabilities with one or more labellings.

    Args:
        labels: (n,) or (labellings, n) indices into ``CLASSES``, -1 = no label; every image needs at least one label.
        probabilities: (n, 6), rows summing to 1.
        dataset: Name of the dataset for the result.
        model: Name of the model for the result.
        bins: Number of calibration bins of equal width.
        options: How the intervals are computed; None: the defaults.

    Returns:
        Accuracy, confusion and calibration.

    Raises:
        ArgumentError: The shapes do not match, there is no image, labels are out of range, or an image has no label.
    """
    chosen = options or BootstrapOptions()
    y = np.atleast_2d(np.asarray(labels, dtype=np.int64))
    p = np.asarray(probabilities, dtype=np.float64)
    n = y.shape[1]
    if p.shape != (n, len(CLASSES)) or not n:
        raise ArgumentError(f"probabilities must have shape ({n}, {len(CLASSES)}) with n > 0, not {p.shape}")
    if (y < -1).any() or (y >= len(CLASSES)).any():
        raise ArgumentError(f"labels must be from 0 to {len(CLASSES) - 1}, or -1 for no label")
    if (y < 0).all(axis=0).any():
        raise ArgumentError("every image needs at least one label")
    if not np.isfinite(p).all():
        raise ArgumentError("probabilities must be finite")
    target, correct = _targets(y), _correct(y, p)
    predicted = p.argmax(axis=1)
    chosen_class = np.eye(len(CLASSES))[predicted]
    confusion = target.T @ chosen_class
    count, named = confusion.sum(axis=1), confusion.sum(axis=0)
    recall, precision = _share(confusion.diagonal(), count), _share(confusion.diagonal(), named)
    reliability, ece = _reliability(p.max(axis=1), correct, bins)
    return ClassifierResult(
        dataset=dataset,
        model=model,
        n=n,
        accuracy=_accuracy(y, p, chosen, dataset).estimate(chosen),
        balanced_accuracy=resample(
            lambda counts: _balanced(counts, target, chosen_class), n, chosen, stream=dataset
        ).estimate(chosen),
        labelling_accuracy=tuple(
            float((row == predicted)[row >= 0].mean()) if (row >= 0).any() else float("nan") for row in y
        ),
        agreement=_agreement(y),
        majority=float(count.max() / n),
        classes=pd.DataFrame(
            {"count": count, "predicted": named, "recall": recall, "precision": precision}, index=list(CLASSES)
        ),
        confusion=pd.DataFrame(confusion, index=list(CLASSES), columns=list(CLASSES)),
        ece=ece,
        # Computed per labelling, because the distance from the mean of two labels would reward indecision.
        brier=float((p**2).sum(axis=1).mean() - 2.0 * (target * p).sum(axis=1).mean() + 1.0),
        nll=float(-(target * np.log(np.maximum(p, _SMALLEST))).sum(axis=1).mean()),
        reliability=reliability,
    )


def _targets(labels: npt.NDArray[np.int64]) -> Float:
    """Share of the labellings that assign each class, (n, 6)."""
    votes = np.stack([(labels == i).sum(axis=0) for i in range(len(CLASSES))], axis=1).astype(np.float64)
    shares: Float = votes / votes.sum(axis=1, keepdims=True)
    return shares


def _correct(labels: npt.NDArray[np.int64], probabilities: Float) -> Float:
    """Share of the labellings that agree with the most probable class, (n,)."""
    shares: Float = _targets(labels)[np.arange(len(probabilities)), probabilities.argmax(axis=1)]
    return shares


def _accuracy(labels: npt.NDArray[np.int64], probabilities: Float, options: BootstrapOptions, dataset: str) -> Sampled:
    correct = _correct(labels, probabilities)

    def mean(counts: Float) -> Float:
        result: Float = counts @ correct / counts.sum(axis=1)
        return result

    return resample(mean, len(correct), options, stream=dataset)


def _balanced(counts: Float, target: Float, predicted: Float) -> Float:
    total = counts @ target
    recall = np.divide(counts @ (target * predicted), total, out=np.full(total.shape, np.nan), where=total > 0)
    result: Float = np.nanmean(recall, axis=1)
    return result


def _agreement(labels: npt.NDArray[np.int64]) -> float:
    if len(labels) < 2:
        return float("nan")
    both = (labels >= 0).all(axis=0)
    return float((labels[:, both] == labels[0, both]).all(axis=0).mean()) if both.any() else float("nan")


def _reliability(confidence: Float, correct: Float, bins: int) -> tuple[pd.DataFrame, float]:
    edges = np.linspace(0.0, 1.0, bins + 1)
    where = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    count = np.bincount(where, minlength=bins)
    mean_confidence = _share(np.bincount(where, confidence, bins), count)
    accuracy = _share(np.bincount(where, correct, bins), count)
    gap = np.nan_to_num(np.abs(accuracy - mean_confidence))
    frame = pd.DataFrame(
        {"low": edges[:-1], "high": edges[1:], "count": count, "confidence": mean_confidence, "accuracy": accuracy}
    )
    return frame, float((gap * count).sum() / max(count.sum(), 1))


def _share(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Float:
    share: Float = np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return share


def _with_rows(labels: npt.NDArray[np.int64], rows: int) -> npt.NDArray[np.int64]:
    """Adds empty labellings, which do not change the weight of an image."""
    return np.pad(labels, ((0, rows - len(labels)), (0, 0)), constant_values=-1)
