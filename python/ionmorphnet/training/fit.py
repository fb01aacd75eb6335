"""The training loop: AdamW, cosine schedule, moving average of the weights, bfloat16, resumable at any step."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn

from ionmorphnet.errors import Cancelled, IonMorphNetError
from ionmorphnet.training.augment import DEFAULT, PUBLISHED, augment
from ionmorphnet.training.data import Batch, NetworkInputs, batches
from ionmorphnet.training.log import CsvLog
from ionmorphnet.training.losses import loss_parts
from ionmorphnet.training.networks import AllOutputs, Forward, compiled, make_network
from ionmorphnet.training.recipe import Recipe, images_seen, learning_rate
from ionmorphnet.training.run_state import LAST, LOG, WEIGHTS, MovingAverage, RunState, make_optimiser, save_weights
from ionmorphnet.training.sources import SimulatedSource, Source
from ionmorphnet.versions import versions

logger = logging.getLogger(__name__)

_MILD = replace(DEFAULT, flips=False, quarter_turns=False)
LEVELS = 2  # noise levels of a simulated scene


@dataclass(frozen=True)
class Execution:
    """How a training is run; nothing here changes what is drawn or learnt, but for the last bits of arithmetic.

    Attributes:
        device: Where the network is trained.
        workers: Processes that make the images.
        threads: Threads of the arithmetic on a CPU; the last bits of the weights depend on it.
        save_seconds: Time between two saves.
        log_steps: Steps between two lines of the log.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    workers: int = 1
    threads: int = 2
    save_seconds: float = 300.0
    log_steps: int = 25


@dataclass(frozen=True)
class Progress:
    """Where a training is; losses are means since the last line of the log."""

    step: int
    steps: int
    images: int
    row: dict[str, float]


def fit(
    recipe: Recipe,
    out: Path,
    *,
    source: Source | None = None,
    execution: Execution | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Path:
    """Train, or go on with the training in ``out``.

    Args:
        recipe: What to train.
        out: Folder that receives ``last.pt`` (everything to go on with), ``weights.pt`` (averaged weights) and
            ``log.csv``; made where it is missing.
        source: Training images; simulated where None.
        execution: How to run.
        progress: Called after every line of the log.

    Returns:
        Path of ``weights.pt``.

    Raises:
        ArgumentError: ``out`` holds a training with another recipe.
        FileError: A file cannot be read or written.
        Cancelled: Stopped by SIGINT or SIGTERM; all is saved, the same call goes on.
        IonMorphNetError: The loss is no number any more.
    """
    if source is None:
        source = SimulatedSource(images_seen(recipe, recipe.steps), recipe.seed, levels=LEVELS)
    execution = Execution() if execution is None else execution
    out.mkdir(parents=True, exist_ok=True)
    with _arithmetic_threads(execution.threads):
        return _Training(recipe, out, source, execution, progress).run()


class _Training:
    def __init__(
        self,
        recipe: Recipe,
        out: Path,
        source: Source,
        execution: Execution,
        progress: Callable[[Progress], None] | None,
    ) -> None:
        self.recipe, self.out, self.source, self.execution = recipe, out, source, execution
        self.progress = progress
        torch.manual_seed(recipe.seed)
        network = make_network(recipe).to(execution.device)
        network.train()
        self.state = RunState(
            recipe, network, MovingAverage(network, recipe.ema_decay), make_optimiser(network, recipe)
        )
        if (out / LAST).is_file():
            self.state.restore(out / LAST)
            logger.info("%s: going on at step %d of %d", out, self.state.step, recipe.steps)
        all_outputs = AllOutputs(network, recipe.weight_dropout)
        self.forward: Forward = compiled(all_outputs) if recipe.compile else all_outputs
        self.generator = torch.Generator(execution.device)
        self.began = time.monotonic() - self.state.seconds
        self.log = CsvLog(out / LOG, self.state.step)
        self.class_weights: Tensor | None = None

    def run(self) -> Path:
        state, saved = self.state, time.monotonic()
        with _stop_requests() as stop:
            marked, marked_step = time.monotonic(), state.step
            for batch, size in self._batches():
                self._step(batch)
                now = time.monotonic()
                state.seconds = now - self.began
                if state.step % self.execution.log_steps == 0 or state.step == self.recipe.steps:
                    speed = (state.step - marked_step) * len(batch.images) / max(now - marked, 1e-9)
                    self._write_log(size, speed)
                    marked, marked_step = now, state.step
                if stop.is_set():
                    self.save()
                    raise Cancelled(f"stopped at step {state.step} of {self.recipe.steps}; {self.out} is saved")
                if now - saved >= self.execution.save_seconds:
                    self.save()
                    saved = time.monotonic()
        self.save()
        return self.out / WEIGHTS

    def _batches(self) -> Iterator[tuple[Batch, int]]:
        """What is left of the training, with its image size; images are numbered through over all phases."""
        done, image = 0, 0
        for phase in self.recipe.phases:
            begin = min(max(0, self.state.step - done), phase.steps)
            starts = range(image, image + phase.steps * phase.batch, phase.batch)
            done, image = done + phase.steps, starts.stop
            if begin == phase.steps:
                continue
            inputs = NetworkInputs(self.source, phase.size, self.recipe.in_chans, statistics=self.recipe.statistics)
            parts = [range(start, start + phase.batch) for start in starts[begin:]]
            pin = self.execution.device.type == "cuda"
            for batch in batches(inputs, parts, self.execution.workers, pin=pin):
                yield batch.to(self.execution.device), phase.size

    def _step(self, batch: Batch) -> None:
        recipe, state, device = self.recipe, self.state, self.execution.device
        torch.manual_seed((recipe.seed << 24) + state.step)
        for group in state.optimiser.param_groups:
            group["lr"] = learning_rate(recipe, state.step)
        images = self._augmented(batch.images)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16"):
            outputs = self.forward(images, batch.statistics if recipe.statistics else None)
        floats = {name: value.float() for name, value in outputs.items()}
        parts = loss_parts(floats, batch, recipe, self.class_weights)
        state.optimiser.zero_grad(set_to_none=True)
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(state.network.parameters(), recipe.gradient_clip)
        state.optimiser.step()
        state.average.update(state.network)
        state.step += 1
        values = torch.stack([value.detach() for value in parts.values()]).tolist()
        for name, value in zip(parts, values, strict=True):
            state.window[name] = state.window.get(name, 0.0) + value
        state.window["steps"] = state.window.get("steps", 0.0) + 1.0
        if not values[0] == values[0]:
            raise IonMorphNetError(
                f"{self.out}: the loss is no number at step {state.step}; try a smaller learning rate or f32"
            )

    def _augmented(self, images: Tensor) -> Tensor:
        if self.recipe.augmentation == "none":
            return images
        self.generator.manual_seed((self.recipe.seed << 24) + self.state.step)
        images = augment(images, PUBLISHED, self.generator)
        if self.recipe.augmentation == "mild":
            draw = torch.rand(len(images), generator=self.generator, device=images.device)
            chosen = (draw < self.recipe.augmented_share).nonzero()[:, 0]
            images[chosen] = augment(images[chosen], _MILD, self.generator)
        return images

    def _write_log(self, size: int, speed: float) -> None:
        state = self.state
        steps = state.window.pop("steps", 1.0)
        row: dict[str, float] = {
            "step": state.step,
            "images": images_seen(self.recipe, state.step),
            "size": size,
            **{name: round(value / steps, 5) for name, value in state.window.items()},
            "lr": float(f"{learning_rate(self.recipe, state.step - 1):.4g}"),
            "images_per_s": round(speed, 1),
            "seconds": round(state.seconds, 1),
        }
        state.window.clear()
        self.log.add(row)
        if self.progress is not None:
            self.progress(Progress(state.step, self.recipe.steps, int(row["images"]), row))

    def save(self) -> None:
        """Write ``last.pt`` and ``weights.pt``."""
        state = self.state
        state.save(self.out / LAST)
        save_weights(self.out / WEIGHTS, self.recipe, state.average.weights, state.step, self.provenance())

    def provenance(self) -> dict[str, Any]:
        """Plain values: data, effort and versions."""
        return {
            "data": self.source.describe(),
            "images_seen": images_seen(self.recipe, self.state.step),
            "seconds": round(self.state.seconds, 1),
            "finished": self.state.step >= self.recipe.steps,
            "device": self.execution.device.type,
            "threads": self.execution.threads,
            "versions": {**versions(), "torch": str(torch.__version__)},
        }


@contextmanager
def _arithmetic_threads(n: int) -> Iterator[None]:
    """Limit torch to ``n`` threads; the caller's limit comes back afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _stop_requests() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set; a second signal acts as it did before. Main thread only."""
    stop = threading.Event()
    before: dict[int, Any] = {}

    def request(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, before[number])

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, request)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
