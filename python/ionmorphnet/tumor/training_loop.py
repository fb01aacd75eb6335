"""Training loop of a patch classifier, which can resume at any step and is deterministic for a seed."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import Cancelled
from ionmorphnet.base.files import filled_folder
from ionmorphnet.training.log import CsvLog
from ionmorphnet.training.run_state import (
    LAST,
    LOG,
    VALIDATION_LOG,
    WEIGHTS,
    MovingAverage,
    RunState,
    load_file,
    make_optimiser,
    save_file,
)
from ionmorphnet.training.runtime import arithmetic_threads, stop_requests
from ionmorphnet.tumor.augment import augment
from ionmorphnet.tumor.cubes import Cube
from ionmorphnet.tumor.networks import PatchNet, make_patch_network
from ionmorphnet.tumor.patches import Pixels, Scaling, extract, in_batches
from ionmorphnet.tumor.recipe import PatchRecipe

logger = logging.getLogger(__name__)

COLUMNS = ("step", "loss", "lr", "patches_per_s", "seconds")
VALIDATION_COLUMNS = ("step", "loss", "balanced_accuracy", "best")
_INFERENCE_BATCH = 512

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PatchData:
    """Training data of a patch classifier.

    Attributes:
        cubes: The sections.
        training: Training pixels.
        validation: Validation pixels of other patients; None: no early stopping, the last weights are kept.
        scaling: Channels and their standardisation, from the training pixels only.
        start: Weight (classes, 2 k) and bias (classes,) of a linear classifier of a patch's mean and standard
            deviation, with which the network's shortcut starts; None: it starts at 0.
    """

    cubes: Sequence[Cube]
    training: Pixels
    validation: Pixels | None
    scaling: Scaling
    start: tuple[Float64, Float64] | None = None

    def fingerprint(self) -> str:
        """Hash of the pixels, labels and channel statistics."""
        parts = [self.training, *([] if self.validation is None else [self.validation])]
        arrays: list[npt.NDArray[np.generic]] = []
        for part in parts:
            arrays += [part.section, part.pixel, part.label]
        arrays += [self.scaling.channels, self.scaling.centre, self.scaling.scale]
        crc = 0
        for array in arrays:
            crc = zlib.crc32(np.ascontiguousarray(array).tobytes(), crc)
        return f"{crc:08x}-{len(self.training)}"


@dataclass(frozen=True)
class PatchExecution:
    """How a training runs.

    Attributes:
        device: Device of the network.
        threads: CPU threads for extraction and arithmetic; 0: all cores. The last bits of the weights depend on it.
        every: Steps between validations.
        patience: Number of validations without a smaller loss after which training stops; None: no early stopping.
        save_seconds: Seconds between saves.
        log_steps: Steps between log lines.
    """

    device: torch.device
    threads: int = 0
    every: int = 25
    patience: int | None = 5
    save_seconds: float = 60.0
    log_steps: int = 25


@dataclass(frozen=True)
class FitResult:
    """How a training went.

    Attributes:
        step: Optimiser steps done.
        seconds: Wall time, summed over all runs.
        stopped_early: Whether early stopping ended the training.
        best: Step, loss and balanced accuracy of the best validation; None without validation.
        patches_per_s: Patches per second.
    """

    step: int
    seconds: float
    stopped_early: bool
    best: dict[str, float] | None
    patches_per_s: float


def fit_patches(
    recipe: PatchRecipe,
    out: Path,
    data: PatchData,
    execution: PatchExecution,
    progress: Callable[[int, int], None] | None = None,
) -> FitResult:
    """Trains a network, or resumes the training in ``out``.

    Args:
        recipe: The network and its hyperparameters.
        out: Folder for ``last.pt`` (state to resume from), ``weights.pt`` (averaged weights; with validation those of
            the best step), ``log.csv`` and ``validation.csv``.
        data: The training data.
        execution: Device, threads and intervals.
        progress: Called as progress(done, total) in steps.

    Returns:
        How the training went.

    Raises:
        ArgumentError: ``out`` contains a training with another recipe or other data.
        FileError: A file cannot be read or written.
        Cancelled: The training was stopped by SIGINT or SIGTERM and saved; the same call resumes it.
        IonMorphNetError: The gradient is not finite.
    """
    with filled_folder(out), arithmetic_threads(execution.threads):
        return _Fit(recipe, out, data, execution, progress).run()


def read_patch_weights(out: Path) -> tuple[PatchRecipe, PatchNet]:
    """Reads the recipe of a training and its network with the saved weights, in evaluation mode on the CPU.

    Raises:
        FileError: The folder has no readable weights.
    """
    content = load_file(out / WEIGHTS, "recipe", "weights")
    recipe = PatchRecipe.from_dict(content["recipe"])
    network = make_patch_network(recipe)
    network.load_state_dict(content["weights"])
    return recipe, network.eval()


def predict_pixels(
    network: nn.Module,
    recipe: PatchRecipe,
    cubes: Sequence[Cube],
    pixels: Pixels,
    scaling: Scaling,
    device: torch.device,
    threads: int,
) -> Float64:
    """Computes class probabilities of pixels, float64 (n, classes)."""
    found = np.empty((len(pixels), recipe.classes))
    bf16 = recipe.precision == "bf16"
    with arithmetic_threads(threads), torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for part, values, mask in in_batches(cubes, pixels, recipe.size, scaling, _INFERENCE_BATCH, threads=threads):
            logits = network(torch.from_numpy(values).to(device), torch.from_numpy(mask).float().to(device))
            found[part] = torch.softmax(logits.double(), dim=1).cpu().numpy()
    return found


class _Fit:
    def __init__(
        self,
        recipe: PatchRecipe,
        out: Path,
        data: PatchData,
        execution: PatchExecution,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.recipe, self.out, self.data, self.execution, self.progress = recipe, out, data, execution, progress
        self.device = execution.device
        torch.manual_seed(recipe.seed)
        network = make_patch_network(recipe)
        if data.start is not None:
            network.start_with(*data.start)
        network = network.to(self.device).train()
        average = MovingAverage(network, recipe.ema_decay)
        self.state = RunState(recipe, network, average, make_optimiser(network, recipe))
        if (out / LAST).is_file():
            self.state.restore(out / LAST)
            logger.info("%s: resuming at step %d of %d", out, self.state.step, recipe.steps)
        self.generator = torch.Generator(self.device)
        self.averaged = make_patch_network(recipe).to(self.device).eval()
        level = torch.from_numpy(data.scaling.centre * data.scaling.scale)
        self.level = level.to(self.device)
        self.log = CsvLog(out / LOG, self.state.step, COLUMNS)
        self.validation_log = CsvLog(out / VALIDATION_LOG, self.state.step, VALIDATION_COLUMNS)
        self.drawer = _Drawer(data.training, recipe)
        self.began = time.monotonic() - self.state.seconds

    def run(self) -> FitResult:
        state, recipe, execution = self.state, self.recipe, self.execution
        saved = time.monotonic()
        with stop_requests() as stop:
            if state.step == 0 and self.data.start is not None:
                self._validate()  # the start may be hard to beat
            while state.step < recipe.steps and not state.validation.stopped:
                self._step()
                now = time.monotonic()
                state.seconds = now - self.began
                if state.step % execution.log_steps == 0 or state.step == recipe.steps:
                    self._write_log()
                if self.progress is not None:
                    self.progress(state.step, recipe.steps)
                if state.step % execution.every == 0 or state.step == recipe.steps:
                    self._validate()
                if self._stopping(stop):
                    raise Cancelled(f"stopped at step {state.step} of {recipe.steps}; state saved in {self.out}")
                if now - saved >= execution.save_seconds:
                    self._save()
                    saved = time.monotonic()
        self._save()
        return FitResult(
            state.step,
            state.seconds,
            state.validation.stopped,
            state.validation.best,
            state.step * recipe.batch / max(state.seconds, 1e-9),
        )

    def _stopping(self, stop: threading.Event) -> bool:
        if stop.is_set():
            self._save()
        return stop.is_set()

    def _step(self) -> None:
        recipe, state = self.recipe, self.state
        state.set_learning_rate(recipe.rate(state.step))
        state.seed_step(self.generator)
        patches, mask, label = self._batch(self.drawer.draw(state.step))
        patches, mask = augment(patches, mask, self.level, recipe, self.generator)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            logits = state.network(patches, mask)
        loss = nn.functional.cross_entropy(logits.float(), label, label_smoothing=recipe.label_smoothing)
        state.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        state.advance({"loss": loss}, self.out)

    def _batch(self, chosen: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor, Tensor]:
        pixels = self.data.training[chosen]
        values, mask = extract(
            self.data.cubes, pixels, self.recipe.size, self.data.scaling, threads=self.execution.threads
        )
        given = torch.from_numpy(values), torch.from_numpy(mask).float(), torch.from_numpy(pixels.label)
        patches, measured, label = (each.to(self.device, non_blocking=True) for each in given)
        return patches, measured, label

    def _write_log(self) -> None:
        state = self.state
        steps = state.window.pop("steps", 1.0)
        row = {
            "step": state.step,
            "loss": round(state.window.pop("loss", 0.0) / steps, 5),
            "lr": float(f"{self.recipe.rate(state.step - 1):.4g}"),
            "patches_per_s": round(state.step * self.recipe.batch / max(state.seconds, 1e-9), 1),
            "seconds": round(state.seconds, 1),
        }
        self.log.add(row)

    def _validate(self) -> None:
        pixels, state = self.data.validation, self.state
        if pixels is None:
            return
        self.averaged.load_state_dict(state.average.weights)
        given = predict_pixels(
            self.averaged, self.recipe, self.data.cubes, pixels, self.data.scaling, self.device, self.execution.threads
        )
        figures = validation_metrics(given, pixels.label)
        best = state.validation.update(figures, state.step, comparable=True, patience=self.execution.patience)
        row = {"step": state.step, **figures, "best": int(best)}
        self.validation_log.add({name: round(value, 5) for name, value in row.items()})
        if best:
            self._write_weights()

    def _save(self) -> None:
        self.state.save(self.out / LAST)
        if self.data.validation is None or not (self.out / WEIGHTS).is_file():
            self._write_weights()

    def _write_weights(self) -> None:
        weights = {name: value.detach().cpu() for name, value in self.state.average.weights.items()}
        save_file({"recipe": self.recipe.to_dict(), "weights": weights, "step": self.state.step}, self.out / WEIGHTS)


class _Drawer:
    """Draws a class, then one of its sections, then a pixel, each uniformly; every step has a seed."""

    def __init__(self, pixels: Pixels, recipe: PatchRecipe) -> None:
        self.recipe = recipe
        self.cells = [
            [own for s in np.unique(pixels.section) if (own := _where(pixels, k, int(s))).size]
            for k in range(recipe.classes)
        ]

    def draw(self, step: int) -> npt.NDArray[np.int64]:
        """Positions among the pixels, int64 (batch,)."""
        rng = np.random.default_rng([self.recipe.seed, 3, step])
        batch = self.recipe.batch
        # All classes occur equally often, up to the remainder.
        classes = rng.permutation(np.arange(batch) + int(rng.integers(self.recipe.classes))) % self.recipe.classes
        sections, places = rng.random(batch), rng.random(batch)
        chosen = np.empty(batch, np.int64)
        for i, k in enumerate(classes):
            cells = self.cells[k]
            cell = cells[int(sections[i] * len(cells))]
            chosen[i] = cell[int(places[i] * len(cell))]
        return chosen


def validation_metrics(probabilities: Float64, label: npt.NDArray[np.int64]) -> dict[str, float]:
    """``loss`` (cross entropy, mean over the classes) and ``balanced_accuracy`` of labelled pixels."""
    right = probabilities.argmax(axis=1) == label
    losses = -np.log(np.maximum(probabilities[np.arange(len(label)), label], 1e-12))
    classes = np.unique(label)
    return {
        "loss": float(np.mean([losses[label == k].mean() for k in classes])),
        "balanced_accuracy": float(np.mean([right[label == k].mean() for k in classes])),
    }


def _where(pixels: Pixels, label: int, section: int) -> npt.NDArray[np.int64]:
    return np.flatnonzero((pixels.label == label) & (pixels.section == section))
