"""Training of a patch classifier: resumable at any step, the same result for the same seed."""

from __future__ import annotations

import logging
import threading
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import Cancelled
from ionmorphnet.base.files import make_folder
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
    """What is trained on.

    Attributes:
        cubes: The sections.
        training: Pixels to draw from.
        validation: Pixels to judge by, of other patients; None: no early stopping, the last weights are kept.
        scaling: Channels and standardisation, from the training pixels alone.
    """

    cubes: Sequence[Cube]
    training: Pixels
    validation: Pixels | None
    scaling: Scaling

    def fingerprint(self) -> str:
        """Hash of the pixels, labels and channel statistics."""
        parts = [self.training, *([] if self.validation is None else [self.validation])]
        arrays: list[npt.NDArray[Any]] = [array for part in parts for array in (part.section, part.pixel, part.label)]
        arrays += [self.scaling.channels, self.scaling.centre, self.scaling.scale]
        crc = 0
        for array in arrays:
            crc = zlib.crc32(np.ascontiguousarray(array).tobytes(), crc)
        return f"{crc:08x}-{len(self.training)}"


@dataclass(frozen=True)
class PatchExecution:
    """How a training is run.

    Attributes:
        device: Where the network is trained.
        threads: Threads of extraction and arithmetic on a CPU; the last bits of the weights depend on it.
        every: Steps between two validations.
        patience: Validations without a smaller loss after which the training stops; None: never.
        save_seconds: Time between two saves.
        log_steps: Steps between two lines of the log.
    """

    device: torch.device
    threads: int = 2
    every: int = 25
    patience: int | None = 5
    save_seconds: float = 60.0
    log_steps: int = 25


def fit_patches(
    recipe: PatchRecipe,
    out: Path,
    data: PatchData,
    execution: PatchExecution,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Train, or go on with the training in ``out``.

    Args:
        recipe: What to train.
        out: Receives ``last.pt`` (everything to go on with), ``weights.pt`` (averaged weights; with a validation the
            best ones), ``log.csv`` and ``validation.csv``.
        data: What to train on.
        execution: How to run.
        progress: Called after every step with (steps done, steps).

    Returns:
        ``step``, ``seconds``, ``stopped_early``, ``best`` (of the validation, or None), ``patches_per_s``.

    Raises:
        ArgumentError: ``out`` holds a training with another recipe or other data.
        FileError: A file cannot be read or written.
        Cancelled: Stopped by SIGINT or SIGTERM; all is saved, the same call goes on.
        IonMorphNetError: The gradient is no number any more.
    """
    make_folder(out)
    with arithmetic_threads(execution.threads):
        return _Fit(recipe, out, data, execution, progress).run()


def read_patch_weights(out: Path) -> tuple[PatchRecipe, PatchNet]:
    """The recipe of a training and its network with the kept weights, in evaluation mode on the CPU.

    Raises:
        FileError: There is no finished training.
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
    """Class probabilities of pixels, float64 (n, classes)."""
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
        network = make_patch_network(recipe).to(self.device).train()
        average = MovingAverage(network, recipe.ema_decay)
        self.state = RunState(recipe, network, average, make_optimiser(network, recipe))
        if (out / LAST).is_file():
            self.state.restore(out / LAST)
            logger.info("%s: going on at step %d of %d", out, self.state.step, recipe.steps)
        self.generator = torch.Generator(self.device)
        self.judged = make_patch_network(recipe).to(self.device).eval()
        level = torch.from_numpy(data.scaling.centre * data.scaling.scale)
        self.level = level.to(self.device)
        self.log = CsvLog(out / LOG, self.state.step, COLUMNS)
        self.validation_log = CsvLog(out / VALIDATION_LOG, self.state.step, VALIDATION_COLUMNS)
        self.drawer = _Drawer(data.training, recipe)
        self.began = time.monotonic() - self.state.seconds

    def run(self) -> dict[str, Any]:
        state, recipe, execution = self.state, self.recipe, self.execution
        saved = time.monotonic()
        with stop_requests() as stop:
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
                    raise Cancelled(f"stopped at step {state.step} of {recipe.steps}; {self.out} is saved")
                if now - saved >= execution.save_seconds:
                    self._save()
                    saved = time.monotonic()
        self._save()
        return {
            "step": state.step,
            "seconds": state.seconds,
            "stopped_early": state.validation.stopped,
            "best": state.validation.best,
            "patches_per_s": state.step * recipe.batch / max(state.seconds, 1e-9),
        }

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
        self.judged.load_state_dict(state.average.weights)
        given = predict_pixels(
            self.judged, self.recipe, self.data.cubes, pixels, self.data.scaling, self.device, self.execution.threads
        )
        figures = judge(given, pixels.label)
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
    """Draws pixels: a class, then one of its sections, then a pixel, all evenly; each step from its own seed."""

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
        # Every class the same number of times, up to the rest.
        classes = rng.permutation(np.arange(batch) + int(rng.integers(self.recipe.classes))) % self.recipe.classes
        sections, places = rng.random(batch), rng.random(batch)
        chosen = np.empty(batch, np.int64)
        for i, k in enumerate(classes):
            cells = self.cells[k]
            cell = cells[int(sections[i] * len(cells))]
            chosen[i] = cell[int(places[i] * len(cell))]
        return chosen


def judge(probabilities: Float64, label: npt.NDArray[np.int64]) -> dict[str, float]:
    """``loss`` (mean cross entropy, classes weigh alike) and ``balanced_accuracy`` of labelled pixels."""
    right = probabilities.argmax(axis=1) == label
    losses = -np.log(np.maximum(probabilities[np.arange(len(label)), label], 1e-12))
    classes = np.unique(label)
    return {
        "loss": float(np.mean([losses[label == k].mean() for k in classes])),
        "balanced_accuracy": float(np.mean([right[label == k].mean() for k in classes])),
    }


def _where(pixels: Pixels, label: int, section: int) -> npt.NDArray[np.int64]:
    return np.flatnonzero((pixels.label == label) & (pixels.section == section))
