"""Start weights of a training: a model folder, weights of a training, or a backbone's weights file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.models.model import load_model
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
from ionmorphnet.models.networks.weights import WeightsFile, hidden_units, uses_sample_statistics
from ionmorphnet.models.preprocessing import Preprocessing
from ionmorphnet.training.networks import make_network
from ionmorphnet.training.recipe import Recipe
from ionmorphnet.training.run_state import load_file

_STEM = "stem.0.weight"


@dataclass(frozen=True)
class Start:
    """Weights to start from.

    Attributes:
        recipe: The requested recipe, adapted to the weights.
        weights: Weights by parameter name; missing parameters start from random numbers.
    """

    recipe: Recipe
    weights: Mapping[str, Tensor]


def read_start(path: Path, recipe: Recipe, *, architecture: str | None) -> Start:
    """Read start weights and adapt the recipe to them.

    Args:
        path: A model folder or ``weights.pt`` of a training, which determine architecture, structure output, statistics
            and whether the mask is a channel. Square root, sample map and antialiasing are those of the weights and of
            the recipe together; the weights of new channels start at 0. Or the weights file of a backbone
            (``.safetensors``, ``.pth``, ``.bin``: a state dict with timm's names, such as ImageNet weights of the same
            architecture): its classifier is dropped, and its colour channels are summed.
        recipe: Recipe of the training.
        architecture: Architecture that the user requested, or None.

    Raises:
        FileError: The file is missing or unreadable, or does not fit the architecture.
        ArgumentError: The weights have another architecture than the requested one.
    """
    if path.is_dir():
        network, statistics = _folder_network(path)
        name, structure = network.name, "structure" in network.head.extra
        weights = network.state_dict()
    elif path.suffix == ".pt":
        keys = ("architecture", "in_chans", "extra_outputs", "statistics", "weights")
        content = cast(WeightsFile, load_file(path, *keys))
        name, structure = content["architecture"], "structure" in content["extra_outputs"]
        weights = content["weights"]
        statistics = tuple(content["statistics"])
    else:
        return _backbone(path, recipe)
    if architecture is not None and architecture != name:
        raise ArgumentError(f"{path}: holds weights of {name}, not of {architecture}")
    given = start_preprocessing(path)
    fitted = replace(
        recipe,
        architecture=name,
        resize="area" if "area" in (given.resize, recipe.resize) else "stretch",
        mask=given.mask,
        sqrt=given.sqrt or recipe.sqrt,
        sample=given.sample or recipe.sample,
        structure=structure,
        statistics=statistics,
        statistics_hidden=hidden_units(weights),
        sample_statistics=uses_sample_statistics(weights) or recipe.sample_statistics,
        start=f"{path.name} {fingerprint(weights)}",
    )
    weights = _with_channels(weights, given.channels, fitted.preprocessing.channels)
    _check(path, fitted, weights, whole=True)
    return Start(fitted, weights)


def start_preprocessing(path: Path) -> Preprocessing:
    """The preprocessing that a model folder or ``weights.pt`` of a training was trained with.

    Raises:
        FileError: The file is missing or unreadable.
    """
    if path.is_dir():
        return Preprocessing.parse(load_model(path).preprocessing)
    try:
        return Preprocessing.parse(str(load_file(path, "preprocessing")["preprocessing"]))
    except ArgumentError as error:
        raise FileError(f"{path}: {error}") from None


def _with_channels(weights: Mapping[str, Tensor], given: Sequence[str], wanted: Sequence[str]) -> dict[str, Tensor]:
    """Extend the first convolution to further input channels, with weights of 0."""
    stem = weights.get(_STEM)
    if stem is None or tuple(given) == tuple(wanted):
        return dict(weights)
    extended = stem.new_zeros((len(stem), len(wanted), *stem.shape[2:]))
    extended[:, [wanted.index(name) for name in given]] = stem
    return {**weights, _STEM: extended}


def fingerprint(weights: Mapping[str, Tensor]) -> str:
    """Hash weights to twelve hexadecimal digits."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def _folder_network(folder: Path) -> tuple[ConvNeXtV2, tuple[str, ...]]:
    """Load the network of a model folder, and the names of its statistics."""
    from ionmorphnet.models.networks.derive import read_network

    model = load_model(folder)
    return read_network(model), model.statistics


def _backbone(path: Path, recipe: Recipe) -> Start:
    weights = {name: value for name, value in _state_dict(path).items() if not name.startswith("head.fc.")}
    stem = weights.get(_STEM)
    if stem is not None and stem.ndim == 4 and stem.shape[1] != recipe.in_chans:
        image = stem.float().sum(dim=1, keepdim=True)  # equals the response to a grey picture
        # The other channels start with zero weight.
        weights[_STEM] = torch.cat([image] + [torch.zeros_like(image)] * (recipe.in_chans - 1), dim=1)
    fitted = replace(recipe, start=f"{path.name} {fingerprint(weights)}")
    known = _empty_state(fitted)
    if not all(name in known for name in weights):
        # A timm backbone is one level down in TimmNetwork.
        weights = {f"backbone.{name}": value for name, value in weights.items() if not name.startswith("head.")}
    _check(path, fitted, weights, whole=False)
    return Start(fitted, weights)


def _state_dict(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file as load_safetensors

        if not path.is_file():
            raise FileError(f"{path}: no such file")
        try:
            return dict(load_safetensors(str(path)))
        except (SafetensorError, OSError) as error:
            raise FileError(f"{path}: {error}") from error
    content = load_file(path)
    content = content.get("model", content)
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise FileError(f"{path}: not a state dict (a mapping of names to tensors)")
    return content


def _check(path: Path, recipe: Recipe, weights: Mapping[str, Tensor], *, whole: bool) -> None:
    wanted = _empty_state(recipe)
    unknown = [name for name in weights if name not in wanted]
    other = [name for name in weights if name in wanted and weights[name].shape != wanted[name].shape]
    # The layers of the statistics of the sample may be new.
    new = ("head.sample.",) if whole else ("head.",)
    missing = [name for name in wanted if name not in weights and not name.startswith(new)]
    for what, names in (("unexpected", unknown), ("wrong shape of", other), ("missing", missing)):
        if names:
            raise FileError(
                f"{path}: does not fit {recipe.architecture}: {what} {names[0]}"
                + (f" and {len(names) - 1} more" if len(names) > 1 else "")
            )


def _empty_state(recipe: Recipe) -> dict[str, Tensor]:
    """Return names and shapes of the network's parameters, without values."""
    with torch.device("meta"):
        return make_network(recipe).state_dict()
