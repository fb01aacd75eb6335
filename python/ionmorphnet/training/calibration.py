"""Calibration: after it, softmax and sigmoid of a network's outputs are frequencies that can be relied on.

One temperature for the class logits (Guo et al. 2017, arXiv 1706.04599) and one increasing affine map of the structure
logit (Platt 1999, with graded targets). Neither changes the most probable class or the order of structure. Both are
folded into the last layers, so that whoever runs the network needs to know nothing of them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ionmorphnet.models.model import sigmoid
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2

Float64 = NDArray[np.float64]

# A network that needs more than this has learnt nothing, or learnt it by heart.
LIMITS = (0.05, 20.0)

_BINS = 15
_TINY = 1e-12


@dataclass(frozen=True)
class Calibration:
    """Maps of the outputs: ``logits / temperature``, ``scale * structure + shift``.

    Attributes:
        temperature: Of the class logits, positive.
        scale: Of the structure logit, positive.
        shift: Of the structure logit.
    """

    temperature: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    @property
    def at_limit(self) -> bool:
        """Whether the best temperature or scale lies beyond ``LIMITS``."""
        low, high = LIMITS
        return not all(low * 1.01 < value < high / 1.01 for value in (self.temperature, self.scale))

    def apply(self, outputs: Float64, n_classes: int) -> Float64:
        """Calibrated outputs of uncalibrated ones (N, n_classes) or (N, n_classes + 1)."""
        mapped = outputs.copy()
        mapped[:, :n_classes] /= self.temperature
        mapped[:, n_classes:] = self.scale * mapped[:, n_classes:] + self.shift
        return mapped


def fit_calibration(
    logits: Float64, labels: Float64, structure_logit: Float64 | None, structure: Float64
) -> Calibration:
    """The maps with the smallest cross-entropy.

    Args:
        logits: float64 (N, classes).
        labels: float64 (N, classes), probabilities.
        structure_logit: float64 (N,), or None where the network has none.
        structure: float64 (N,), truth as a share of the largest grade, 0 to 1.

    Returns:
        The calibration.
    """
    temperature = fit_temperature(logits, labels)
    if structure_logit is None:
        return Calibration(temperature)
    return Calibration(temperature, *fit_affine(structure_logit, structure))


def fit_temperature(logits: Float64, labels: Float64) -> float:
    """Temperature within ``LIMITS`` with the smallest cross-entropy (which has one minimum in it)."""
    return _smallest(lambda temperature: class_cross_entropy(logits / temperature, labels))


def fit_affine(logit: Float64, target: Float64) -> tuple[float, float]:
    """(scale, shift) with the smallest cross-entropy of ``sigmoid(scale * logit + shift)``; scale within ``LIMITS``."""

    def shifted(scale: float) -> float:
        return _shift(scale * logit, target)

    scale = _smallest(lambda a: structure_cross_entropy(sigmoid(a * logit + shifted(a)), target))
    return scale, shifted(scale)


def _shift(z: Float64, target: Float64) -> float:
    """The shift that gives ``sigmoid(z + shift)`` the mean of the target, where the cross-entropy is smallest."""
    wanted = float(np.clip(target.mean(), 1e-4, 1 - 1e-4))
    reach = float(np.abs(z).max(initial=0.0)) + 20.0
    low, high = -reach, reach
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if sigmoid(z + middle).mean() < wanted else (low, middle)
    return 0.5 * (low + high)


def _smallest(loss: Callable[[float], float]) -> float:
    """Minimum over ``LIMITS`` of a function with one valley, by golden section in the logarithm."""
    ratio = (np.sqrt(5.0) - 1.0) / 2.0
    low, high = np.log(LIMITS[0]), np.log(LIMITS[1])
    inner = [high - ratio * (high - low), low + ratio * (high - low)]
    values = [loss(float(np.exp(x))) for x in inner]
    for _ in range(50):
        if values[0] <= values[1]:
            high, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = high - ratio * (high - low)
            values[0] = loss(float(np.exp(inner[0])))
        else:
            low, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = low + ratio * (high - low)
            values[1] = loss(float(np.exp(inner[1])))
    return float(np.exp(0.5 * (low + high)))


def calibrated(model: ConvNeXtV2, calibration: Calibration) -> ConvNeXtV2:
    """A copy of the model whose outputs are calibrated: the maps are folded into the last layers."""
    net = copy.deepcopy(model)
    n_classes = net.head.fc.out_features
    factors = torch.full((n_classes,), 1.0 / calibration.temperature, dtype=torch.float64)
    with torch.no_grad():
        _scale_rows(net.head.fc, factors)
        if "structure" in net.head.extra:
            layer = net.head.extra["structure"]
            assert isinstance(layer, nn.Linear)
            factor = torch.full((1,), calibration.scale, dtype=torch.float64)
            _scale_rows(layer, factor)
            layer.bias.add_(calibration.shift)
            factors = torch.cat([factors, factor])
        if net.head.statistics is not None:
            # It adds to all outputs: its rows follow theirs. The shift is counted once, above.
            last = net.head.statistics[-1]
            assert isinstance(last, nn.Linear)
            _scale_rows(last, factors)
    return net


def _scale_rows(layer: nn.Linear, factors: Tensor) -> None:
    layer.weight.copy_(layer.weight.double() * factors[:, None])
    layer.bias.copy_(layer.bias.double() * factors)


def _log_softmax(logits: Float64) -> Float64:
    shifted = logits - logits.max(1, keepdims=True)
    result: Float64 = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def class_cross_entropy(logits: Float64, labels: Float64) -> float:
    """Mean cross-entropy (negative log-likelihood) of logits against soft labels, both (N, classes), in nats."""
    return float(-(labels * _log_softmax(logits)).sum(1).mean())


def structure_cross_entropy(estimate: Float64, target: Float64) -> float:
    """Mean cross-entropy of graded targets (N,) between 0 and 1, in nats."""
    estimate = np.clip(estimate, _TINY, 1.0 - _TINY)
    return float(-(target * np.log(estimate) + (1.0 - target) * np.log1p(-estimate)).mean())


def class_calibration_error(logits: Float64, labels: Float64) -> float:
    """Expected calibration error of the most probable class of logits (N, classes), 15 bins of equal width.

    With soft labels the observed frequency is the probability that the label gives the predicted class.
    """
    probabilities = np.exp(_log_softmax(logits))
    predicted = probabilities.argmax(1)
    rows = np.arange(len(predicted))
    return _calibration_error(probabilities[rows, predicted], labels[rows, predicted])


def structure_calibration_error(estimate: Float64, target: Float64) -> float:
    """The same for an estimate between 0 and 1 and its truth."""
    return _calibration_error(estimate, target)


def _calibration_error(estimate: Float64, truth: Float64) -> float:
    """Mean over the images of the distance between the means of estimate and truth in the image's bin."""
    bins = np.minimum((estimate * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, weights=estimate - truth, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(estimate))


def calibration_report(
    outputs: Float64, labels: Float64, structure: Float64, calibration: Calibration
) -> dict[str, dict[str, float]]:
    """Cross-entropy (``nll``) and calibration error (``ece``) before and after, on outputs (N, 6 or 7).

    Args:
        outputs: float64, uncalibrated.
        labels: float64 (N, classes).
        structure: float64 (N,), 0 to 1.
        calibration: The maps.

    Returns:
        ``{"before": {...}, "after": {...}}``, names starting with ``class_`` and ``structure_``.
    """
    n_classes = labels.shape[1]
    report = {}
    for when, maps in (("before", Calibration()), ("after", calibration)):
        mapped = maps.apply(outputs, n_classes)
        figures = {
            "class_nll": class_cross_entropy(mapped[:, :n_classes], labels),
            "class_ece": class_calibration_error(mapped[:, :n_classes], labels),
        }
        if mapped.shape[1] > n_classes:
            estimate = sigmoid(mapped[:, n_classes])
            figures["structure_nll"] = structure_cross_entropy(estimate, structure)
            figures["structure_ece"] = structure_calibration_error(estimate, structure)
        report[when] = {name: round(value, 4) for name, value in figures.items()}
    return report
