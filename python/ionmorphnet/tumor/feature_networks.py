"""Fitted classifiers of local features as torch modules, which are exported and explained like the networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.tumor.baselines import Exported
from ionmorphnet.tumor.patches import COMPONENTS, FEATURES, LEAST_TEXTURE, LEAST_VARIANCE, TEXTURE_SIDES


@dataclass(frozen=True)
class FeatureRecipe:
    """Shape of a classifier of local features.

    Attributes:
        network: Name of the method.
        channels: Number of m/z channels.
        classes: Number of classes.
        features: Name in :data:`~ionmorphnet.tumor.patches.FEATURES`.
        centres: Number of centres of the kernel; 0: the classifier is linear in the features.
        components: Number of projections of the channels, for texture only.
    """

    network: str
    channels: int
    classes: int
    features: str
    centres: int = 0
    components: int = 0

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            ArgumentError: A value is out of range.
        """
        if self.features not in FEATURES or self.channels < 1 or self.classes < 2 or self.centres < 0:
            raise ArgumentError("channels, classes, features or centres are out of range")
        if self.components != (min(COMPONENTS, self.channels) if FEATURES[self.features].texture else 0):
            raise ArgumentError(f"components do not suit the features: {self.components}")

    @property
    def size(self) -> int:
        """Side of a patch in pixels."""
        return FEATURES[self.features].side

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
        self.channels, self.seen = recipe.channels, FEATURES[recipe.features]
        n = self.seen.count(recipe.channels)
        self.mean, self.scale = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.ones(n))
        self.centres = nn.Parameter(torch.zeros(recipe.centres, n)) if recipe.centres else None
        self.gamma = nn.Parameter(torch.zeros(()))
        self.projection = nn.Parameter(torch.zeros(recipe.channels, recipe.components)) if recipe.components else None
        self.linear = nn.Linear(recipe.centres or n, recipe.classes)

    def forward(self, patches: Tensor, mask: Tensor) -> Tensor:
        """Computes logits (N, classes)."""
        mean, spread = mean_and_spread(_inner(patches, self.seen.near), _inner(mask, self.seen.near))
        found = torch.cat([mean, spread], dim=1) if self.seen.spread else mean
        if self.projection is not None:
            n, sides = self.projection.shape[1], patches.shape[2:]
            projected = (self.projection.T @ patches.flatten(2)).reshape(-1, n, *sides)
            found = torch.cat([mean, *(_log_variance(projected, mask, side) for side in TEXTURE_SIDES)], dim=1)
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


def _log_variance(patches: Tensor, mask: Tensor, side: int) -> Tensor:
    """Logs of the variances over the measured pixels of the middle of patches, (N, channels)."""
    values, measured = _inner(patches, side), _inner(mask, side)
    n = measured.sum(dim=(1, 2)).clamp(min=1.0).unsqueeze(1)
    away = (values - (values.sum(dim=(2, 3)) / n)[:, :, None, None]) * measured.unsqueeze(1)
    return torch.log((away * away).sum(dim=(2, 3)) / n + LEAST_TEXTURE)


def _inner(patches: Tensor, side: int) -> Tensor:
    if patches.shape[-1] == side:
        return patches  # the export gives an input that is cut to nothing less another name
    first = (patches.shape[-1] - side) // 2
    return patches[..., first : first + side, first : first + side]


def make_feature_network(
    recipe: FeatureRecipe, fitted: Exported | None = None, projection: npt.NDArray[np.float32] | None = None
) -> FeatureNet:
    """Makes the classifier of a recipe, with the weights of a fitted one and its projection if given."""
    network = FeatureNet(recipe)
    if fitted is not None:
        given: dict[str, npt.NDArray[np.floating]] = {
            "mean": fitted.mean,
            "scale": fitted.scale,
            "linear.weight": fitted.weight,
        }
        given["linear.bias"] = fitted.bias
        if fitted.centres is not None:
            given["centres"] = fitted.centres
        if projection is not None:
            given["projection"] = projection
        state = {name: torch.from_numpy(values).float() for name, values in given.items()}
        network.load_state_dict({**state, "gamma": torch.tensor(fitted.gamma)})
    return network.eval()
