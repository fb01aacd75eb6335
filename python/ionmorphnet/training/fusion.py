"""The structure output as the mean of two estimates: that of the trained network and that of the statistics alone.

The network knows what the simulator taught it; four classical statistics know little, and hardly any of the simulator's
habits. On sections unlike any simulated one the mean of both ranks more safely than either.

The mean is part of the network afterwards: a linear function x of the statistics is exactly gelu(x) - gelu(-x), two
more hidden units of the layer that the statistics go through anyway.
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
        share: Part of the statistics, 0 to 1.
        weights: One for each statistic, in the network's order.
        bias: Constant.
    """

    share: float
    weights: tuple[float, ...]
    bias: float

    def apply(self, structure_logit: Float64, statistics: Float64) -> Float64:
        """The mean, (N,), of the network's logits (N,) and the statistics (N, count)."""
        alone = statistics @ np.asarray(self.weights) + self.bias
        fused: Float64 = (1.0 - self.share) * structure_logit + self.share * alone
        return fused


def fit_fusion(statistics: Float64, structure: Float64, share: float) -> Fusion:
    """Logistic regression of the structure on the statistics alone.

    Args:
        statistics: float64 (N, count).
        structure: float64 (N,), truth as a share of the largest grade, 0 to 1.
        share: Part of the statistics in the mean.

    Raises:
        ArgumentError: ``share`` is not between 0 and 1.
    """
    if not 0.0 <= share <= 1.0:
        raise ArgumentError(f"the share of the statistics must be between 0 and 1, not {share}")
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
    """A copy of the model whose structure output is the mean.

    Raises:
        ArgumentError: The model has no structure output or takes no statistics.
    """
    net = copy.deepcopy(model)
    if "structure" not in net.head.extra or net.head.statistics is None:
        raise ArgumentError("only a network with a structure output and statistics can be fused")
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
