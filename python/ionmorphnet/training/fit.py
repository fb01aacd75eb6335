"""The training loop: AdamW, cosine schedule, averaged weights, bfloat16, resumable at any step."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ionmorphnet.base.errors import ArgumentError, Cancelled
from ionmorphnet.base.files import filled_folder
from ionmorphnet.base.versions import versions
from ionmorphnet.labelled.sources import SimulatedSource, Source
from ionmorphnet.reference.preprocess import UNKNOWN_SAMPLE
from ionmorphnet.training.augment import DEFAULT, PUBLISHED, augment
from ionmorphnet.training.batches import Batch, batches, network_inputs
from ionmorphnet.training.fingerprints import fingerprint
from ionmorphnet.training.held_out import HELD_OUT_SEED
from ionmorphnet.training.log import COLUMNS, Board, CsvLog
from ionmorphnet.training.losses import loss_parts
from ionmorphnet.training.networks import AllOutputs, Compiled, make_network
from ionmorphnet.training.parallel import Group, process_group
from ionmorphnet.training.recipe import Recipe, images_seen, learning_rate
from ionmorphnet.training.run_state import (
    LAST,
    LOG,
    VALIDATION_LOG,
    WEIGHTS,
    MovingAverage,
    Provenance,
    RunState,
    make_optimiser,
    save_weights,
)
from ionmorphnet.training.runtime import arithmetic_threads, stop_requests
from ionmorphnet.training.validation import VALIDATION_COLUMNS, Validation, Validator

logger = logging.getLogger(__name__)

LEVELS = 2  # noise levels of a simulated scene
_SAMPLE = -1  # the sample map is the last channel
_MILD = replace(DEFAULT, flips=False, quarter_turns=False)


@dataclass(frozen=True)
class Execution:
    """How to run a training; none of this changes what is drawn or learned, except for rounding.

    Attributes:
        device: Device of the network.
        workers: Number of processes that prepare images; 0: the training process itself.
        threads: CPU threads for the network; 0: all cores. The number affects the rounding of the weights.
        save_seconds: Time between saves.
        log_steps: Number of steps per line of the log.
        tensorboard: Whether to write TensorBoard events as well as the log.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    workers: int = 1
    threads: int = 0
    save_seconds: float = 300.0
    log_steps: int = 25
    tensorboard: bool = False


@dataclass(frozen=True)
class Progress:
    """State of a running training.

    Attributes:
        step: Steps done.
        steps: Steps in total.
        images: Images trained on.
        row: The line just added to the log (losses are means since the previous line), or None.
    """

    step: int
    steps: int
    images: int
    row: Mapping[str, float] | None

    @property
    def line(self) -> str:
        """The new line of the log as text; empty if there is none."""
        row = self.row
        if row is None:
            return ""
        names = ("loss", "classes", "structure", "ranking")
        parts = "  ".join(f"{name} {row[name]:.4f}" for name in names if name in row)
        return (
            f"step {self.step}/{self.steps}  images {self.images}  {parts}  lr {row['lr']:.2e}  "
            f"{row['images_per_s']:.0f} images/s  {row['seconds']:.0f} s"
        )


@dataclass(frozen=True)
class FitResult:
    """Summary of a training.

    Attributes:
        step: Steps done.
        images_seen: Images trained on.
        seconds: Wall time, summed over interruptions.
        stopped_early: Whether early stopping ended the training.
        best: Step, losses and accuracies of the best validation; None without validation.
    """

    step: int
    images_seen: int
    seconds: float
    stopped_early: bool
    best: dict[str, float] | None


def fit(
    recipe: Recipe,
    out: Path,
    *,
    source: Source | None = None,
    validation: Validation | None = None,
    start: Mapping[str, Tensor] | None = None,
    class_weights: tuple[float, ...] | None = None,
    execution: Execution | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> FitResult:
    """Train, or resume the training in ``out``.

    Args:
        recipe: What to train.
        out: Folder that receives ``last.pt`` (the state for resuming), ``weights.pt`` (averaged weights; with
            validation, the best ones) and ``log.csv``; created if missing.
        source: Training images, at least as many as the recipe requires; simulated if None.
        validation: Images to validate on.
        start: Start weights by parameter name; parameters not listed start from random numbers.
        class_weights: Weight of each of the six classes in the loss, used if ``recipe.class_balance``.
        execution: How to run.
        progress: Called after each step, in process 0 only.

    Raises:
        ArgumentError: ``out`` holds a training with another recipe or on other data, or the source is too short.
        FileError: A file cannot be read or written.
        Cancelled: Stopped by SIGINT or SIGTERM; everything is saved, and the same call resumes the training.
        IonMorphNetError: The gradient is not finite.
        UnavailableError: The architecture or TensorBoard is not installed.
    """
    if recipe.seed == HELD_OUT_SEED:
        raise ArgumentError(f"seed {HELD_OUT_SEED} is reserved for the images that calibrate models; choose another")
    wanted = images_seen(recipe, recipe.steps)
    source = SimulatedSource(wanted, recipe.seed, levels=LEVELS) if source is None else source
    if len(source) < wanted:
        raise ArgumentError(f"the recipe requires {wanted} images, but the source has {len(source)}")
    execution = Execution() if execution is None else execution
    folder = filled_folder(out)
    with folder, arithmetic_threads(execution.threads) as threads, process_group(execution.device) as group:
        execution = replace(execution, threads=threads)
        training = _Training(recipe, out, source, validation, start, class_weights, execution, group, progress)
        return training.run()


class _Training:
    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        source: Source,
        validation: Validation | None,
        start: Mapping[str, Tensor] | None,
        class_weights: tuple[float, ...] | None,
        execution: Execution,
        group: Group,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.recipe, self.out, self.source, self.validation = recipe, out, source, validation
        self.execution, self.group, self.progress = execution, group, progress
        torch.manual_seed(recipe.seed)
        network = make_network(recipe)
        if start is not None:
            network.load_state_dict({**network.state_dict(), **start})
        network.to(execution.device).train()
        data = {"training images": fingerprint(source)}
        if validation is not None:
            data["validation images"] = fingerprint(validation.source)
        average = MovingAverage(network, recipe.ema_decay)
        self.state = RunState(recipe, network, average, make_optimiser(network, recipe), data=data)
        if (out / LAST).is_file():
            self.state.restore(out / LAST)
            logger.info("%s: resuming at step %d of %d", out, self.state.step, recipe.steps)
        group.broadcast(True)  # no process writes before all have read
        self.forward = Compiled(AllOutputs(network, recipe.weight_dropout), compile=recipe.compile)
        self.generator = torch.Generator(execution.device)
        self.class_weights: Tensor | None = None
        if recipe.class_balance and class_weights is not None:
            self.class_weights = torch.tensor(class_weights, device=execution.device)
        self.began = time.monotonic() - self.state.seconds
        if group.rank == 0:
            self.log = CsvLog(out / LOG, self.state.step, COLUMNS)
            self.board = Board(out / "tensorboard", self.state.step) if execution.tensorboard else None
            if validation is not None:
                self.validation_log = CsvLog(out / VALIDATION_LOG, self.state.step, VALIDATION_COLUMNS)
                self.validator = Validator(validation, recipe, network, self.class_weights)

    def run(self) -> FitResult:
        state, execution = self.state, self.execution
        saved = marked = time.monotonic()
        marked_step = state.step
        with stop_requests() as stop:
            for batch, phase in self._batches():
                asked = self._step(batch, stop)
                now = time.monotonic()
                state.seconds = now - self.began
                row = None
                if state.step % execution.log_steps == 0 or state.step == self.recipe.steps:
                    images = images_seen(self.recipe, state.step) - images_seen(self.recipe, marked_step)
                    row = self._write_log(phase, images / max(now - marked, 1e-9))
                    marked, marked_step = now, state.step
                if self.progress is not None and self.group.rank == 0:
                    self.progress(Progress(state.step, self.recipe.steps, images_seen(self.recipe, state.step), row))
                due = self._is_due()
                if due:
                    self._validate(phase)
                if asked:
                    self._save()
                    raise Cancelled(f"stopped at step {state.step} of {self.recipe.steps}; {self.out} is saved")
                if due:
                    self._save()
                    saved = marked = time.monotonic()
                    marked_step = state.step
                    if self.group.broadcast(state.validation.stopped):
                        break
                elif now - saved >= execution.save_seconds:
                    self._save()
                    saved = time.monotonic()
        self._save()
        return self._summary()

    def _batches(self) -> Iterator[tuple[Batch, int]]:
        """Yield the remaining batches and their phase; image numbers continue across phases."""
        if self.state.validation.stopped:
            return
        done, image = 0, 0
        for number, phase in enumerate(self.recipe.phases):
            begin = min(max(0, self.state.step - done), phase.steps)
            starts = range(image, image + phase.steps * phase.batch, phase.batch)
            done, image = done + phase.steps, starts.stop
            if begin == phase.steps:
                continue
            inputs = network_inputs(
                self.source, self.recipe.preprocessing_at(phase.size), statistics=self.recipe.statistics
            )
            parts = [self.group.part(range(first, first + phase.batch), LEVELS) for first in starts[begin:]]
            pin = self.execution.device.type == "cuda"
            for batch in batches(inputs, parts, self.execution.workers, pin=pin):
                yield batch.to(self.execution.device), number

    def _step(self, batch: Batch, stop: threading.Event) -> bool:
        """Run one step; return whether any process received a stop request."""
        state = self.state
        state.set_learning_rate(learning_rate(self.recipe, state.step))
        parts = self.forward.run(lambda: self._gradients(batch))
        asked = self.group.average_gradients(state.network, stop.is_set())
        state.advance(parts, self.out)
        return asked

    def _gradients(self, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of a batch and leave their gradients in the parameters; repeatable."""
        recipe, state = self.recipe, self.state
        state.seed_step(self.generator, rank=self.group.rank)
        images = self._with_unknown_maps(self._augmented(batch.images))
        with torch.autocast(self.execution.device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            outputs = self.forward(images, batch.statistics if recipe.statistics else None)
        floats = {name: value.float() for name, value in outputs.items()}
        parts = loss_parts(floats, batch, recipe, self.class_weights)
        state.optimiser.zero_grad(set_to_none=True)
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        return parts

    def _augmented(self, images: Tensor) -> Tensor:
        if self.recipe.augmentation == "none":
            return images
        channels = self.recipe.preprocessing.channels
        images = augment(images, PUBLISHED, self.generator, channels)
        if self.recipe.augmentation == "mild":
            draw = torch.rand(len(images), generator=self.generator, device=images.device)
            chosen = (draw < self.recipe.augmented_share).nonzero()[:, 0]
            images[chosen] = augment(images[chosen], _MILD, self.generator, channels)
        return images

    def _with_unknown_maps(self, images: Tensor) -> Tensor:
        """Replace the sample map of some images by the value of an unknown map; changes ``images``."""
        share = self.recipe.unknown_maps
        if self.recipe.sample and share > 0.0:
            hidden = torch.rand(len(images), generator=self.generator, device=self.generator.device) < share
            images[hidden.to(images.device), _SAMPLE] = float(UNKNOWN_SAMPLE)
        return images

    def _write_log(self, phase: int, speed: float) -> dict[str, float]:
        """Add a line to the log; the losses are those of this process's images."""
        state = self.state
        steps = state.window.pop("steps", 1.0)
        row: dict[str, float] = {
            "step": state.step,
            "images": images_seen(self.recipe, state.step),
            "size": self.recipe.phases[phase].size,
            **{name: round(value / steps, 5) for name, value in state.window.items()},
            "lr": float(f"{learning_rate(self.recipe, state.step - 1):.4g}"),
            "images_per_s": round(speed, 1),
            "seconds": round(state.seconds, 1),
        }
        state.window.clear()
        if self.group.rank == 0:
            self.log.add(row)
            if self.board is not None:
                self.board.add("train", row)
        return row

    def _is_due(self) -> bool:
        """Whether to validate after this step; the same in all processes."""
        if self.validation is None:
            return False
        step, every = self.state.step, self.validation.every
        now, before = (images_seen(self.recipe, k) // every for k in (step, step - 1))
        return now > before or step == self.recipe.steps

    def _validate(self, number: int) -> None:
        if self.validation is None or self.group.rank != 0:
            return
        state, phase = self.state, self.recipe.phases[number]
        figures = self.validator.evaluate(state.average.weights, phase.size, phase.batch, self.execution.workers)
        last = number == len(self.recipe.phases) - 1
        patience = self.validation.patience
        best = state.validation.update(figures, state.step, comparable=last, patience=patience)
        seen = images_seen(self.recipe, state.step)
        row = {"step": state.step, "images": seen, "size": phase.size, **figures, "best": int(best)}
        self.validation_log.add({name: round(value, 5) for name, value in row.items()})
        if self.board is not None:
            self.board.add("validation", row)
        if best:
            self._write_weights()

    def _save(self) -> None:
        if self.group.rank == 0:
            self.state.save(self.out / LAST)
            if self.validation is None or not (self.out / WEIGHTS).is_file():
                self._write_weights()

    def _write_weights(self) -> None:
        state = self.state
        save_weights(self.out / WEIGHTS, self.recipe, state.average.weights, state.step, self._provenance())

    def _provenance(self) -> Provenance:
        """Describe data, effort and versions."""
        found: Provenance = {
            "data": self.source.describe(),
            "images_seen": images_seen(self.recipe, self.state.step),
            "seconds": round(self.state.seconds, 1),
            "finished": self.state.step >= self.recipe.steps,
            "device": self.execution.device.type,
            "processes": self.group.size,
            "threads": self.execution.threads,
            "versions": {**versions(), "torch": str(torch.__version__)},
        }
        if self.validation is not None:
            found["validation"] = {
                "data": self.validation.source.describe(),
                "figures": self.state.validation.best or {},
            }
        return found

    def _summary(self) -> FitResult:
        state = self.state
        seen, validation = images_seen(self.recipe, state.step), state.validation
        return FitResult(state.step, seen, state.seconds, validation.stopped, validation.best)
