"""Weights files of trainings, and strict loading of state dicts with every mismatch reported."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.models.labels import CLASSES, check_statistics
from ionmorphnet.models.networks.convnextv2 import STATISTICS_HIDDEN, ConvNeXtV2
from ionmorphnet.models.preprocessing import Preprocessing

WEIGHTS_FORMAT = 1
_SHOWN = 4


class WeightsFile(TypedDict):
    """Content of ``weights.pt``."""

    format: int
    architecture: str
    in_chans: int
    extra_outputs: dict[str, int]
    statistics: list[str]
    preprocessing: str
    weights: dict[str, Tensor]
    recipe: dict[str, object]
    provenance: dict[str, object]
    step: int


@dataclass(frozen=True)
class Trained:
    """A trained network and its origin.

    Attributes:
        model: Network in evaluation mode, float32, on the CPU.
        preprocessing: Preprocessing id.
        statistics: Names of the classical statistics, in the order of the network's input.
        recipe: Recipe of the training as plain values.
        provenance: Data and effort of the training as plain values.
        step: Number of optimiser steps.
    """

    model: ConvNeXtV2
    preprocessing: str
    statistics: tuple[str, ...]
    recipe: Mapping[str, object]
    provenance: Mapping[str, object]
    step: int


def read_weights(path: Path) -> Trained:
    """Read the weights file of a training.

    Raises:
        FileError: The file is missing, is not a weights file, or holds a network unknown to this version.
    """
    content = load_plain(path)
    if not isinstance(content, dict) or "weights" not in content or "architecture" not in content:
        raise FileError(f"{path}: not a weights file of a training; for a published checkpoint use --from-checkpoint")
    if content.get("format") != WEIGHTS_FORMAT:
        raise FileError(
            f"{path}: weights format {content.get('format')} is not supported; this version reads {WEIGHTS_FORMAT}"
        )
    missing = [k for k in ("in_chans", "extra_outputs", "statistics", "preprocessing") if k not in content]
    if missing:
        raise FileError(f"{path}: '{missing[0]}' is missing")
    preprocessing, statistics = content["preprocessing"], tuple(content["statistics"])
    try:
        channels = Preprocessing.parse(preprocessing).channels
    except (ArgumentError, TypeError) as error:
        raise FileError(f"{path}: {str(error).splitlines()[0]}") from None
    if content["in_chans"] != len(channels):
        raise FileError(f"{path}: {content['in_chans']} input channels, but {preprocessing} produces {len(channels)}")
    try:
        check_statistics(statistics)
        model = ConvNeXtV2(
            content["architecture"],
            in_chans=content["in_chans"],
            num_classes=len(CLASSES),
            extra_outputs=content["extra_outputs"],
            statistics=len(statistics),
            statistics_hidden=hidden_units(content["weights"]),
            sample_channels=channels if uses_sample_statistics(content["weights"]) else (),
        )
    except ArgumentError as error:
        raise FileError(f"{path}: {error}") from None
    load_strictly(model, content["weights"], path)
    return Trained(
        model.eval(),
        preprocessing,
        statistics,
        recipe=content.get("recipe", {}),
        provenance=content.get("provenance", {}),
        step=int(content.get("step", 0)),
    )


def hidden_units(state: Mapping[str, Tensor]) -> int:
    """Number of hidden units between the statistics and the outputs, from the shape of their weights."""
    first = state.get("head.statistics.0.weight")
    return first.shape[0] if isinstance(first, Tensor) and first.ndim == 2 else STATISTICS_HIDDEN


def uses_sample_statistics(state: Mapping[str, Tensor]) -> bool:
    """Whether the statistics of the sample enter the last layer of the network with these weights."""
    return "head.sample.0.weight" in state


def load_plain(path: Path) -> Any:
    """Load a torch file that holds only tensors and plain values; code in it is never run.

    Raises:
        FileError: The file is missing, unreadable, damaged, or holds other objects.
    """
    if not path.is_file():
        raise FileError(f"{path}: {'is a folder; pass a file' if path.is_dir() else 'no such file'}")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL ([\w.]+)", str(error))
        if found is None:
            raise FileError(f"{path}: damaged or not written by torch.save") from None
        raise FileError(
            f"{path}: not loaded because it holds an object of {found.group(1)}; only tensors and plain values are safe"
        ) from None
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}") from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise FileError(f"{path}: damaged or not written by torch.save: {cause}") from None


def load_strictly(model: ConvNeXtV2, state: object, path: Path) -> None:
    """Load a state dict whose names and shapes must match the model exactly.

    Raises:
        FileError: Names are missing or unexpected, shapes differ, or values are not finite floating-point tensors.
    """
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise FileError(f"{path}: the weights are not a mapping of names to tensors")
    wanted = model.state_dict()
    complaints = []
    if missing := [name for name in wanted if name not in state]:
        complaints.append(f"missing {_list(missing)}")
    if unexpected := [str(name) for name in state if name not in wanted]:
        complaints.append(f"unexpected {_list(unexpected)}")
    if complaints:
        raise FileError(f"{path}: does not fit {model.name}: {'; '.join(complaints)}")
    shapes = [
        f"{name} {tuple(state[name].shape)}, expected {tuple(value.shape)}"
        for name, value in wanted.items()
        if state[name].shape != value.shape
    ]
    if shapes:
        raise FileError(f"{path}: does not fit {model.name}: {_list(shapes)}")
    for name, value in state.items():
        if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
            raise FileError(f"{path}: {name} has values that are not finite floating-point numbers")
    model.load_state_dict({name: value.float() for name, value in state.items()}, strict=True)


def _list(names: list[str]) -> str:
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
