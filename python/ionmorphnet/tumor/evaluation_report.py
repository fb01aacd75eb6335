"""Report of an evaluation: balanced accuracy, recalls, AUC, calibration and confusion, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.evaluate.bootstrap import BootstrapOptions, Estimate, Sampled, resample
from ionmorphnet.evaluate.metrics import auc
from ionmorphnet.tumor.baselines import DEFAULT_METHOD

Float64 = npt.NDArray[np.float64]

_BINS = 15


@dataclass(frozen=True, eq=False)
class Outcome:
    """Predictions of one method on one selection of channels, for the test pixels of all folds.

    Attributes:
        selection: Name of the selection.
        method: Name of the method.
        n_channels: Number of channels.
        section: int64 (n,), position of each pixel's section.
        label: int64 (n,), true class.
        probabilities: float (n, classes).
        train_seconds: Training time, summed over the folds.
        predict_seconds: Prediction time, summed over the folds.
    """

    selection: str
    method: str
    n_channels: int
    section: npt.NDArray[np.int64]
    label: npt.NDArray[np.int64]
    probabilities: npt.NDArray[np.floating]
    train_seconds: float
    predict_seconds: float

    @property
    def key(self) -> tuple[str, str]:
        """Selection and method."""
        return self.selection, self.method


@dataclass(frozen=True, eq=False)
class TumorReport:
    """Comparison of methods on the test pixels of all folds.

    Attributes:
        classes: Class names.
        sections: Names of the sections, by position.
        table: One row per selection and method: selection, channels, method, balanced_accuracy, low, high, one column
            ``recall_<class>`` per class, auc (one class against the rest, mean over the classes), auc_low, auc_high,
            brier and ece (see :func:`calibration`), difference (balanced accuracy of the reference method minus that of
            this method), difference_low, difference_high, auc_difference, auc_difference_low, auc_difference_high,
            n_sections, train_s, predict_s. A method's name ends in ``+`` and the name of the adaptation or smoothing.
        confusion: Counts (classes, classes), rows = truth, by selection and method.
        roc: Frame with false_positive and true_positive rates, by selection, method and class.
        by_section: Balanced accuracy of each section (rows) for each selection and method (columns); NaN where a
            section has only one class.
        by_patient: One row per selection, method and patient: balanced_accuracy, auc, brier, ece, pixels.
        options: How the intervals were computed.
        reference: Method that the others are compared with.
    """

    classes: tuple[str, ...]
    sections: tuple[str, ...]
    table: pd.DataFrame
    confusion: dict[tuple[str, str], npt.NDArray[np.int64]] = field(repr=False)
    roc: dict[tuple[str, str, str], pd.DataFrame] = field(repr=False)
    by_section: pd.DataFrame = field(repr=False)
    by_patient: pd.DataFrame = field(repr=False)
    options: BootstrapOptions
    reference: str

    def to_dict(self) -> dict[str, Any]:
        """The report as plain values for JSON, without the ROC curves."""
        return {
            "classes": list(self.classes),
            "sections": list(self.sections),
            "reference": self.reference,
            "table": self.table.to_dict("records"),
            "confusion": {"/".join(key): counts.tolist() for key, counts in self.confusion.items()},
            "by_section": {"/".join(key): column.tolist() for key, column in self.by_section.items()},  # type: ignore[arg-type]
            "by_patient": self.by_patient.to_dict("records"),
            "bootstrap": vars(self.options),
        }


def make_report(
    outcomes: Sequence[Outcome],
    classes: tuple[str, ...],
    sections: tuple[str, ...],
    patients: tuple[str, ...] | None = None,
    *,
    reference: str | None = None,
    options: BootstrapOptions | None = None,
) -> TumorReport:
    """Computes the report of an evaluation.

    The bootstrap resamples patients, then the sections of each, because neither the pixels of a section nor the
    sections of a patient are independent observations. The balanced
    accuracy of a resample is the mean over the classes of the share of correct pixels among all its pixels of that
    class. All methods see the same resamples, so differences are paired.

    Args:
        outcomes: Predictions of the methods for the same pixels.
        classes: Class names.
        sections: Names of the sections, by position.
        patients: Patient of each section; None: every section is of another patient.
        reference: Method that the others of a selection are compared with; None: ``pls-texture``, or without it that of
            the first selection with the largest balanced accuracy.
        options: How the intervals are computed.
    """
    options = BootstrapOptions() if options is None else options
    groups = np.unique(sections if patients is None else patients, return_inverse=True)[1]
    sampled = {each.key: _balanced(each, groups, len(classes), options) for each in outcomes}
    areas = {each.key: _area(each, groups, len(classes), options) for each in outcomes}
    if reference is None:
        reference = _usual_reference(outcomes, sampled)
    rows, confusion, roc, by_section = [], {}, {}, {}
    for each in outcomes:
        tested = np.unique(each.section)
        counts = confusion_counts(each.label, each.probabilities.argmax(axis=1), len(classes))
        confusion[each.key] = counts
        total = np.maximum(counts.sum(axis=1), 1)
        area, value = areas[each.key].estimate(options), sampled[each.key].estimate(options)
        difference, area_difference = (_less(all_, each, reference, options) for all_ in (sampled, areas))
        brier, ece = calibration(each.label, each.probabilities)
        rows.append(
            {
                "selection": each.selection,
                "channels": each.n_channels,
                "method": each.method,
                "balanced_accuracy": value.value,
                "low": value.low,
                "high": value.high,
                **{
                    f"recall_{name}": counts[k, k] / total[k] if counts[k].any() else float("nan")
                    for k, name in enumerate(classes)
                },
                "auc": area.value,
                "auc_low": area.low,
                "auc_high": area.high,
                "brier": brier,
                "ece": ece,
                "difference": difference.value,
                "difference_low": difference.low,
                "difference_high": difference.high,
                "auc_difference": area_difference.value,
                "auc_difference_low": area_difference.low,
                "auc_difference_high": area_difference.high,
                "n_sections": len(tested),
                "train_s": each.train_seconds,
                "predict_s": each.predict_seconds,
            }
        )
        for k, name in enumerate(classes):
            roc[(*each.key, name)] = roc_curve(each.label == k, each.probabilities[:, k])
        by_section[each.key] = [_one_section(each, i, len(classes)) for i in range(len(sections))]
    return TumorReport(
        classes,
        sections,
        pd.DataFrame(rows),
        confusion,
        roc,
        pd.DataFrame(by_section, index=list(sections)),
        _by_patient(outcomes, sections if patients is None else patients, len(classes)),
        options,
        reference,
    )


def confusion_counts(
    truth: npt.NDArray[np.int64], found: npt.NDArray[np.int64], n_classes: int
) -> npt.NDArray[np.int64]:
    """Counts (classes, classes), rows = truth, columns = prediction."""
    return np.bincount(truth * n_classes + found, minlength=n_classes**2).reshape(n_classes, n_classes)


def roc_curve(positive: npt.NDArray[np.bool_], score: npt.NDArray[np.floating], points: int = 400) -> pd.DataFrame:
    """False and true positive rates at up to ``points`` thresholds; empty without positives or negatives."""
    n_positive, n_negative = int(positive.sum()), int((~positive).sum())
    if not n_positive or not n_negative:
        return pd.DataFrame({"false_positive": [], "true_positive": []})
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(positive[order])
    ends = np.flatnonzero(np.concatenate([np.diff(score[order]) != 0, [True]]))  # equal scores form one step
    true = np.concatenate([[0.0], hits[ends] / n_positive])
    false = np.concatenate([[0.0], (ends + 1 - hits[ends]) / n_negative])
    kept = np.unique(np.linspace(0, len(true) - 1, min(points, len(true))).round().astype(int))
    return pd.DataFrame({"false_positive": false[kept], "true_positive": true[kept]})


def calibration(label: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Brier score and expected calibration error (15 bins of the largest probability).

    Every class has the same weight, as in the training. The Brier score is half the squared distance between the
    probabilities and the truth, so for two classes it is the mean squared error of one probability.

    Args:
        label: (n,), class of each pixel.
        probabilities: (n, classes).
    """
    counts = np.bincount(label, minlength=probabilities.shape[1])
    weight = 1.0 / (counts[label] * np.count_nonzero(counts))
    truth = np.eye(probabilities.shape[1])[label]
    brier = 0.5 * (weight * ((probabilities - truth) ** 2).sum(axis=1)).sum()
    best = probabilities.argmax(axis=1)
    sure = probabilities[np.arange(len(label)), best]
    cell = np.minimum((sure * _BINS).astype(np.int64), _BINS - 1)
    ece = np.abs(np.bincount(cell, weight * (sure - (best == label)), minlength=_BINS)).sum()
    return float(brier), float(ece)


def _usual_reference(outcomes: Sequence[Outcome], sampled: dict[tuple[str, str], Sampled]) -> str:
    first = [each.method for each in outcomes if each.selection == outcomes[0].selection]
    if DEFAULT_METHOD in first:
        return DEFAULT_METHOD
    return max(first, key=lambda method: float(np.nan_to_num(sampled[outcomes[0].selection, method].value)))


def _less(
    sampled: dict[tuple[str, str], Sampled], each: Outcome, reference: str, options: BootstrapOptions
) -> Estimate:
    """The reference's figure minus that of a method; undefined without the reference and for itself."""
    against = sampled.get((each.selection, reference))
    if against is None or each.method == reference:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
    return against.minus(sampled[each.key]).estimate(options)


def _by_patient(outcomes: Sequence[Outcome], patients: Sequence[str], n_classes: int) -> pd.DataFrame:
    rows = []
    for each in outcomes:
        owner = np.array(patients)[each.section]
        for patient in dict.fromkeys(owner.tolist()):
            own = owner == patient
            label, probabilities = each.label[own], each.probabilities[own]
            brier, ece = calibration(label, probabilities)
            areas = np.array([_section_area(each, i, n_classes) for i in np.unique(each.section[own])])
            area = float(np.nanmean(areas)) if not np.isnan(areas).all() else float("nan")
            figures = {"auc": area, "brier": brier, "ece": ece}
            accuracy = _balanced_accuracy(label, probabilities, n_classes)
            of = {"selection": each.selection, "method": each.method, "patient": patient}
            rows.append({**of, "balanced_accuracy": accuracy, **figures, "pixels": len(label)})
    return pd.DataFrame(rows)


def _balanced(outcome: Outcome, groups: npt.NDArray[np.int64], n_classes: int, options: BootstrapOptions) -> Sampled:
    n_sections = len(groups)
    right = outcome.probabilities.argmax(axis=1) == outcome.label
    cell = outcome.section * n_classes + outcome.label
    shape = (n_sections, n_classes)
    total = np.bincount(cell, minlength=n_sections * n_classes).reshape(shape).astype(np.float64)
    correct = np.bincount(cell, weights=right, minlength=n_sections * n_classes).reshape(shape)
    tested = total.any(axis=1)
    total, correct = total[tested], correct[tested]

    def statistic(counts: Float64) -> Float64:
        pixels = counts @ total
        share = np.divide(counts @ correct, pixels, out=np.full_like(pixels, np.nan), where=pixels > 0)
        # Without a class the mean over the others would not be comparable.
        result: Float64 = np.where((pixels > 0).all(axis=1), np.nansum(share, axis=1) / n_classes, np.nan)
        return result

    return resample(statistic, len(total), options, stream="sections", groups=groups[tested])


def _area(outcome: Outcome, groups: npt.NDArray[np.int64], n_classes: int, options: BootstrapOptions) -> Sampled:
    """AUC of one class against the rest, averaged over the classes of a section, then over sections."""
    found = np.array([_section_area(outcome, i, n_classes) for i in range(len(groups))])
    defined = ~np.isnan(found)
    values = found[defined]
    return resample(
        lambda counts: counts @ values / counts.sum(axis=1),
        len(values),
        options,
        stream="auc",
        groups=groups[defined],
    )


def _section_area(outcome: Outcome, section: int, n_classes: int) -> float:
    own = outcome.section == section
    areas = [auc(outcome.label[own] == k, outcome.probabilities[own, k]) for k in range(n_classes) if own.any()]
    defined = [area for area in areas if not np.isnan(area)]
    return float(np.mean(defined)) if defined else float("nan")


def _one_section(outcome: Outcome, section: int, n_classes: int) -> float:
    own = outcome.section == section
    return _balanced_accuracy(outcome.label[own], outcome.probabilities[own], n_classes)


def _balanced_accuracy(label: npt.NDArray[np.int64], probabilities: npt.NDArray[np.floating], n_classes: int) -> float:
    """Mean recall over the classes present; NaN for fewer than two."""
    right = probabilities.argmax(axis=1) == label
    recalls = [right[label == k].mean() for k in range(n_classes) if (label == k).any()]
    return float(np.mean(recalls)) if len(recalls) > 1 else float("nan")
