"""Averaging of the network's structure output with an estimate from the classical statistics alone.

A network trained on simulated images knows only what the simulator taught it; the classical statistics carry less
information, but hardly any of the simulator's artefacts. On sections unlike the simulated ones, the mean of both ranks
images more reliably than either.

The part of the logit that comes from the statistics does not depend on the class, on purpose: it is an independent
estimate, fitted by itself. It therefore cannot follow conventions that grade classes differently at the same
smoothness, and with share 0.5 it halves what the network has learned about them. A network that has learned grades from
real images should be exported with share 0; its last layer reads the statistics anyway.

The mean becomes part of the network: a linear function x of the statistics equals gelu(x) - gelu(-x), which takes two
more hidden units in the layer that already processes the statistics.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.model import sigmoid
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2

Float64 = NDArray[np.float64]

_ITERATIONS = 50
_RIDGE = 1e-6


@dataclass(frozen=True)
class Fusion:
    """Structure logit = (1 - share) x network + share x (weights . statistics + bias).

    Attributes:
        share: Weight of the statistics, 0 to 1.
        weights: Weight of each statistic, in the network's order.
        bias: Bias of the linear function.
    """

    share: float
    weights: tuple[float, ...]
    bias: float

    def apply(self, structure_logit: Float64, statistics: Float64) -> Float64:
        """Average the network's logits (N,) with the function of the statistics (N, count); returns (N,)."""
        alone = statistics @ np.asarray(self.weights) + self.bias
        fused: Float64 = (1.0 - self.share) * structure_logit + self.share * alone
        return fused


def fit_fusion(statistics: Float64, structure: Float64, share: float) -> Fusion:
    """Fit a logistic regression of the structure on the statistics alone.

    Args:
        statistics: float64 (N, count).
        structure: float64 (N,), true grade divided by the largest grade, 0 to 1.
        share: Weight of the statistics in the mean, 0 to 1.

    Raises:
        ArgumentError: ``share`` is out of range.
    """
    if not 0.0 <= share <= 1.0:
        raise ArgumentError(f"the share of the statistics must be from 0 to 1, got {share}")
    x = np.hstack([statistics, np.ones((len(statistics), 1))])
    weights = np.zeros(x.shape[1])
    for _ in range(_ITERATIONS):  # Newton; the cross-entropy is convex
        p = sigmoid(x @ weights)
        hessian = (x * (p * (1.0 - p))[:, None]).T @ x / len(x) + _RIDGE * np.eye(x.shape[1])
        step = np.linalg.solve(hessian, x.T @ (p - structure) / len(x) + _RIDGE * weights)
        weights -= step / max(1.0, float(np.abs(step).max()))
        if float(np.abs(step).max()) < 1e-9:
            break
    return Fusion(share, tuple(float(w) for w in weights[:-1]), float(weights[-1]))


def fused(model: ConvNeXtV2, fusion: Fusion) -> ConvNeXtV2:
    """Copy the model and replace its structure output by the mean.

    Raises:
        ArgumentError: The model has no structure output or does not use statistics.
    """
    net = copy.deepcopy(model)
    if "structure" not in net.head.extra or net.head.statistics is None:
        raise ArgumentError("fusion requires a network with a structure output and statistics")
    first, _, last = net.head.statistics
    own = net.head.extra["structure"]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    assert isinstance(own, nn.Linear)
    row = net.head.fc.out_features  # the extra outputs follow the classes
    line = torch.tensor([fusion.weights, [-w for w in fusion.weights]], dtype=first.weight.dtype)
    wider = nn.Linear(first.in_features, first.out_features + 2)
    joined = nn.Linear(wider.out_features, last.out_features)
    with torch.no_grad():
        wider.weight.copy_(torch.cat([first.weight, line]))
        wider.bias.copy_(torch.cat([first.bias, torch.tensor([fusion.bias, -fusion.bias])]))
        pair = torch.zeros(last.out_features, 2)
        joined.weight.copy_(torch.cat([last.weight, pair], dim=1))
        joined.bias.copy_(last.bias)
        joined.weight[row].mul_(1.0 - fusion.share)
        joined.bias[row].mul_(1.0 - fusion.share)
        joined.weight[row, -2:] = torch.tensor([fusion.share, -fusion.share])
        own.weight.mul_(1.0 - fusion.share)
        own.bias.mul_(1.0 - fusion.share)
    net.head.statistics = nn.Sequential(wider, nn.GELU(), joined)
    return net.train(model.training)
