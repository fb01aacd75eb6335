"""Fitted classifiers of local features as torch modules, which are exported and explained like the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.tumor.baselines import Exported
from ionmorphnet.tumor.patches import FEATURES, LEAST_VARIANCE


@dataclass(frozen=True)
class FeatureRecipe:
    """Shape of a classifier of local features.

    Attributes:
        network: Name of the method.
        channels: Number of m/z channels.
        classes: Number of classes.
        features: Name in :data:`~ionmorphnet.tumor.patches.FEATURES`.
        centres: Number of centres of the kernel; 0: the classifier is linear in the features.
    """

    network: str
    channels: int
    classes: int
    features: str
    centres: int = 0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ArgumentError: A value is out of range.
        """
        if self.features not in FEATURES or self.channels < 1 or self.classes < 2 or self.centres < 0:
            raise ArgumentError("channels, classes, features or centres are out of range")

    @property
    def size(self) -> int:
        """Side of a patch in pixels."""
        return FEATURES[self.features][0]

    def to_dict(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Makes a recipe of :meth:`to_dict`.

        Raises:
            ArgumentError: An entry is unknown or out of range.
        """
        unknown = set(values) - {each.name for each in fields(cls)}
        if unknown:
            raise ArgumentError(f"unknown recipe entries: {', '.join(sorted(unknown))}")
        return cls(**values)


class FeatureNet(nn.Module):
    """Patches (N, channels, size, size) and masks (N, size, size) -> logits (N, classes)."""

    def __init__(self, recipe: FeatureRecipe) -> None:
        """Makes a classifier without weights.

        Args:
            recipe: Its shape.
        """
        super().__init__()
        self.channels, self.spread = recipe.channels, FEATURES[recipe.features][1]
        n = recipe.channels * (2 if self.spread else 1)
        self.mean, self.scale = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.ones(n))
        self.centres = nn.Parameter(torch.zeros(recipe.centres, n)) if recipe.centres else None
        self.gamma = nn.Parameter(torch.zeros(()))
        self.linear = nn.Linear(recipe.centres or n, recipe.classes)

    def forward(self, patches: Tensor, mask: Tensor) -> Tensor:
        """Computes logits (N, classes)."""
        mean, spread = mean_and_spread(patches, mask)
        found = torch.cat([mean, spread], dim=1) if self.spread else mean
        found = (found - self.mean) * self.scale
        if self.centres is not None:
            squares = (found * found).sum(dim=1, keepdim=True) + (self.centres * self.centres).sum(dim=1)
            found = torch.exp(-self.gamma * (squares - 2.0 * found @ self.centres.T).clamp(min=0.0))
        return cast(Tensor, self.linear(found))


def mean_and_spread(patches: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel over the measured pixels of a patch, (N, channels) each."""
    n = mask.sum(dim=(1, 2)).clamp(min=1.0).unsqueeze(1)
    mean = patches.sum(dim=(2, 3)) / n
    away = (patches - mean[:, :, None, None]) * mask.unsqueeze(1)
    return mean, torch.sqrt((away * away).sum(dim=(2, 3)) / n + LEAST_VARIANCE)


def make_feature_network(recipe: FeatureRecipe, fitted: Exported | None = None) -> FeatureNet:
    """Makes the classifier of a recipe, with the weights of a fitted one if given."""
    network = FeatureNet(recipe)
    if fitted is not None:
        given = {"mean": fitted.mean, "scale": fitted.scale, "linear.weight": fitted.weight, "linear.bias": fitted.bias}
        if fitted.centres is not None:
            given["centres"] = fitted.centres
        state = {name: torch.from_numpy(values).float() for name, values in given.items()}
        network.load_state_dict({**state, "gamma": torch.tensor(fitted.gamma)})
    return network.eval()
