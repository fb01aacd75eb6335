"""Setup of a network's training from pixels and settings; imports torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ionmorphnet.base.arguments import usable_cores
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.training.runtime import torch_device
from ionmorphnet.tumor.baselines import FittedBaseline, most_pixels
from ionmorphnet.tumor.cubes import Cube
from ionmorphnet.tumor.patches import Neighbourhood, Pixels, Scaling, groups_of, neighbourhoods, thinned
from ionmorphnet.tumor.recipe import PatchRecipe
from ionmorphnet.tumor.training_loop import (
    FitResult,
    PatchData,
    PatchExecution,
    fit_patches,
    predict_pixels,
    read_patch_weights,
)


@dataclass(frozen=True, eq=False)
class PatchFit:
    """A training that is ready to run.

    Attributes:
        recipe: The network and its hyperparameters.
        data: The training and validation pixels.
        execution: Device, threads and intervals.
    """

    recipe: PatchRecipe
    data: PatchData
    execution: PatchExecution

    def run(self, folder: Path, progress: Callable[[int, int], None] | None = None) -> FitResult:
        """Trains the network, or resumes its training; see :func:`~ionmorphnet.tumor.training_loop.fit_patches`."""
        return fit_patches(self.recipe, folder, self.data, self.execution, progress)

    def predict(self, folder: Path, pixels: Pixels) -> npt.NDArray[np.float64]:
        """Class probabilities of pixels according to the trained network, float64 (n, classes)."""
        recipe, network = read_patch_weights(folder)
        device = self.execution.device
        return predict_pixels(
            network.to(device), recipe, self.data.cubes, pixels, self.data.scaling, device, self.execution.threads
        )


def prepare_fit(
    network: str,
    cubes: Sequence[Cube],
    training: Pixels,
    validation: Pixels | None,
    channels: npt.NDArray[np.int64],
    *,
    classes: int,
    size: int,
    steps: int,
    seed: int,
    device: DeviceName | Device = "auto",
    threads: int = 0,
    precision: str = "auto",
    patience: int | None = 5,
    recipe: Mapping[str, Any] | None = None,
) -> PatchFit:
    """Sets up the training of a network on some pixels.

    Args:
        network: ``cnn3d`` or ``cnn1d``.
        cubes: The sections.
        training: Training pixels.
        validation: Pixels of other patients for early stopping, or None.
        channels: int64 (k,), positions on the cubes' axis.
        classes: Number of classes.
        size: Side of a patch in pixels; ``cnn1d`` ignores it and classifies single spectra.
        steps: Optimiser steps.
        seed: Seed of everything random.
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
        threads: CPU threads; 0: all cores.
        precision: ``f32``, ``bf16``, or ``auto``: bf16 (mixed) on a GPU, f32 on a CPU.
        patience: Number of validations without a smaller loss after which training stops; None: no early stopping.
        recipe: Further fields of the recipe.

    Raises:
        ArgumentError: A value is out of range, or intensities are not finite.
        UnavailableError: The device is not available.
    """
    where = torch_device(device)
    if precision == "auto":
        precision = "bf16" if where.type == "cuda" else "f32"
    scaling = Scaling.of(cubes, training, channels)
    threads = threads or usable_cores()
    start = None
    if network == "cnn3d":
        few = thinned(training, most_pixels("lda-meanstd", len(channels)), seed)
        values = neighbourhoods(cubes, few, scaling, Neighbourhood(size, size, spread=True))
        fitted = FittedBaseline("lda", values, few.label, groups_of(cubes, few), seed=seed, threads=threads)
        start = fitted.linear()
    data = PatchData(cubes, training, validation, scaling, start)
    wanted: dict[str, Any] = {
        "network": network,
        "channels": len(channels),
        "classes": classes,
        "size": 1 if network == "cnn1d" else size,
        "steps": steps,
        "seed": seed,
        "precision": precision,
        "data": data.fingerprint(),
        **(recipe or {}),
    }
    execution = PatchExecution(torch.device(where), threads=threads, patience=patience)
    return PatchFit(PatchRecipe.from_dict(wanted), data, execution)
