"""Calibration, so that softmax and sigmoid of a network's outputs match observed frequencies.

Class logits are divided by a temperature (Guo et al. 2017, arXiv 1706.04599); the structure logit gets an increasing
affine map (Platt 1999, with graded targets). Neither changes the most probable class or the ranking by structure. Both
are folded into the last layers, so running a calibrated network requires no extra step.
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

# A network that needs values outside this range has learned nothing, or has memorised its images.
LIMITS = (0.05, 20.0)

_BINS = 15
_TINY = 1e-12


@dataclass(frozen=True)
class Calibration:
    """Maps of the outputs: ``logits / temperature`` and ``scale * structure + shift``.

    Attributes:
        temperature: Temperature of the class logits, positive.
        scale: Scale of the structure logit, positive.
        shift: Shift of the structure logit.
    """

    temperature: float = 1.0
    scale: float = 1.0
    shift: float = 0.0

    @property
    def at_limit(self) -> bool:
        """Whether the best temperature or scale lies outside ``LIMITS``."""
        low, high = LIMITS
        return not all(low * 1.01 < value < high / 1.01 for value in (self.temperature, self.scale))

    def apply(self, outputs: Float64, n_classes: int) -> Float64:
        """Calibrate outputs (N, n_classes) or (N, n_classes + 1)."""
        mapped = outputs.copy()
        mapped[:, :n_classes] /= self.temperature
        mapped[:, n_classes:] = self.scale * mapped[:, n_classes:] + self.shift
        return mapped


def fit_calibration(
    logits: Float64, labels: Float64, structure_logit: Float64 | None, structure: Float64
) -> Calibration:
    """Fit the maps that minimise the cross-entropy.

    Args:
        logits: float64 (N, classes).
        labels: float64 (N, classes), probabilities.
        structure_logit: float64 (N,), or None without a structure output.
        structure: float64 (N,), true grade divided by the largest grade, 0 to 1.
    """
    temperature = fit_temperature(logits, labels)
    if structure_logit is None:
        return Calibration(temperature)
    return Calibration(temperature, *fit_affine(structure_logit, structure))


def fit_temperature(logits: Float64, labels: Float64) -> float:
    """Find the temperature within ``LIMITS`` that minimises the cross-entropy, which has a single minimum there."""
    return _smallest(lambda temperature: class_cross_entropy(logits / temperature, labels))


def fit_affine(logit: Float64, target: Float64) -> tuple[float, float]:
    """Find (scale, shift) that minimise the cross-entropy of ``sigmoid(scale * logit + shift)``."""

    def shifted(scale: float) -> float:
        return _shift(scale * logit, target)

    scale = _smallest(lambda a: structure_cross_entropy(sigmoid(a * logit + shifted(a)), target))
    return scale, shifted(scale)


def _shift(z: Float64, target: Float64) -> float:
    """Find the shift at which ``sigmoid(z + shift)`` has the mean of the target, which minimises the cross-entropy."""
    wanted = float(np.clip(target.mean(), 1e-4, 1 - 1e-4))
    reach = float(np.abs(z).max(initial=0.0)) + 20.0
    low, high = -reach, reach
    for _ in range(80):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if sigmoid(z + middle).mean() < wanted else (low, middle)
    return 0.5 * (low + high)


def _smallest(loss: Callable[[float], float]) -> float:
    """Minimise a unimodal function over ``LIMITS`` by golden-section search in the logarithm."""
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
    """Copy the model and fold the calibration into its last layers."""
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
            # This layer adds to all outputs, so its rows are scaled alike. The shift is already applied above.
            last = net.head.statistics[-1]
            assert isinstance(last, nn.Linear)
            _scale_rows(last, factors)
        if net.head.sample is not None:
            last = net.head.sample[-1]
            assert isinstance(last, nn.Linear)
            _scale_rows(last, factors[:n_classes])
    return net


def _scale_rows(layer: nn.Linear, factors: Tensor) -> None:
    layer.weight.copy_(layer.weight.double() * factors[:, None])
    layer.bias.copy_(layer.bias.double() * factors)


def _log_softmax(logits: Float64) -> Float64:
    shifted = logits - logits.max(1, keepdims=True)
    result: Float64 = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    return result


def class_cross_entropy(logits: Float64, labels: Float64) -> float:
    """Compute the mean cross-entropy (nats) of logits against soft labels, both (N, classes)."""
    return float(-(labels * _log_softmax(logits)).sum(1).mean())


def structure_cross_entropy(estimate: Float64, target: Float64) -> float:
    """Compute the mean cross-entropy (nats) of estimates against targets, both (N,) from 0 to 1."""
    estimate = np.clip(estimate, _TINY, 1.0 - _TINY)
    return float(-(target * np.log(estimate) + (1.0 - target) * np.log1p(-estimate)).mean())


def class_calibration_error(logits: Float64, labels: Float64) -> float:
    """Compute the expected calibration error of the most probable class of logits (N, classes), in 15 equal bins.

    With soft labels, the observed frequency is the probability that the label assigns to the predicted class.
    """
    probabilities = np.exp(_log_softmax(logits))
    predicted = probabilities.argmax(1)
    rows = np.arange(len(predicted))
    return _calibration_error(probabilities[rows, predicted], labels[rows, predicted])


def structure_calibration_error(estimate: Float64, target: Float64) -> float:
    """Compute the expected calibration error of estimates against targets, both (N,) from 0 to 1, in 15 equal bins."""
    return _calibration_error(estimate, target)


def _calibration_error(estimate: Float64, truth: Float64) -> float:
    """Average over images the distance between the mean estimate and the mean truth of the image's bin."""
    bins = np.minimum((estimate * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(bins, weights=estimate - truth, minlength=_BINS)
    return float(np.abs(gaps).sum() / len(estimate))


def calibration_report(
    outputs: Float64, labels: Float64, structure: Float64, calibration: Calibration
) -> dict[str, dict[str, float]]:
    """Compute cross-entropy (``nll``) and calibration error (``ece``) before and after calibration.

    Args:
        outputs: float64 (N, 6 or 7), uncalibrated.
        labels: float64 (N, classes).
        structure: float64 (N,), 0 to 1.
        calibration: The fitted calibration.

    Returns:
        ``{"before": {...}, "after": {...}}``; the names in them start with ``class_`` or ``structure_``.
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
