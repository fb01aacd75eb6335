"""What a user asks of a training, checked as far as it can be without looking at any file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ionmorphnet.base.arguments import integer, number, positive
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.labelled.sources import SIMULATED
from ionmorphnet.training.presets import PRESETS

_LEAST = {"images": 1, "size": 32, "batch": 2, "patience": 1, "seed": 0, "workers": 0, "threads": 1}
_POSITIVE = ("epochs", "learning_rate", "ppm")


@dataclass(frozen=True)
class Wishes:
    """The arguments of ``train_model.train``, which describes them."""

    sources: list[Any]
    labels: PathLike | None
    validation: Any
    val_datasets: Sequence[str] | None
    split: PathLike | None
    preset: str
    architecture: str | None
    images: int | None
    epochs: float | None
    size: int | None
    batch: int | None
    learning_rate: float | None
    init: Path | None
    simulated_share: float | None
    ppm: float | None
    patience: int | None
    seed: int
    device: str
    precision: str
    compile: bool | None
    workers: int | None
    threads: int | None
    tensorboard: bool

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ArgumentError: A value of another kind or out of range, or one that says nothing here.
        """
        if self.preset not in PRESETS:
            raise ArgumentError(f"preset must be one of {', '.join(PRESETS)}, got {self.preset!r}")
        if self.images is not None and self.epochs is not None:
            raise ArgumentError("give images or epochs, not both")
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) is not None:
                integer(name, value, least)
        for name in _POSITIVE:
            if (value := getattr(self, name)) is not None:
                positive(name, value)
        if self.simulated_share is not None and number("simulated_share", self.simulated_share, 0.0, 1.0) == 1.0:
            raise ArgumentError(f"simulated_share must be 0 or more and below 1, not {self.simulated_share}")
        labelled = [each for each in self.sources if not (isinstance(each, str) and each == SIMULATED)]
        if not any(isinstance(each, str | os.PathLike) for each in labelled):
            for name, told in (("labels", "are of images"), ("ppm", "is of sections")):
                if getattr(self, name) is not None:
                    raise ArgumentError(f"{name} {told} in files, and none is given: give their path as source")
        if self.simulated_share is not None and not labelled:
            raise ArgumentError("simulated_share is of labelled images, and there are none: give a source")

    @property
    def share(self) -> float:
        """Part of simulated images among labelled ones; the published preset has none unless they are asked for."""
        if self.simulated_share is not None:
            return self.simulated_share
        return 0.0 if self.preset == "published" and SIMULATED not in self.sources else 0.5
