"""From what a user asks for to a recipe, its images and its start weights."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ionmorphnet.base.arguments import usable_cores
from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.labelled.joined_source import JoinedSource
from ionmorphnet.labelled.read_source import read_source
from ionmorphnet.labelled.sections import PPM
from ionmorphnet.labelled.sources import SIMULATED, SimulatedSource, Source
from ionmorphnet.training import presets
from ionmorphnet.training.fingerprints import refuse_shared_images
from ionmorphnet.training.fit import LEVELS, Execution, Progress, fit
from ionmorphnet.training.mixture import fine_tuning_mix
from ionmorphnet.training.recipe import Phase, Recipe, images_seen
from ionmorphnet.training.split import PUBLISHED_VALIDATION, Split, published_split, read_split, split_datasets
from ionmorphnet.training.start_weights import read_start
from ionmorphnet.training.validation import Validation
from ionmorphnet.training.wishes import Wishes

logger = logging.getLogger(__name__)

_FEWEST_BETWEEN_VALIDATIONS = 1_000


def run(wishes: Wishes, out: Path, progress: Callable[[int, int], None] | None) -> tuple[Recipe, dict[str, Any]]:
    """Train as wished; the recipe and what ``fit`` tells."""
    device = choose_device(wishes.device)
    labelled = _labelled(wishes)
    trained, held_out = _divide(labelled, wishes)
    if trained is not None and held_out is not None:
        refuse_shared_images(trained, held_out)
    recipe = _recipe(wishes, trained, device)
    start = None
    if wishes.init is not None:
        begun = read_start(wishes.init, recipe, architecture=wishes.architecture)
        recipe, start = begun.recipe, begun.weights
        if recipe.structure and recipe.structure_weight == 0.0:
            logger.warning(
                "%s has a structure output, by which images are scored; the preset '%s' does not train it, only what "
                "lies below it",
                wishes.init,
                wishes.preset,
            )
    total = images_seen(recipe, recipe.steps)
    validation = None
    if held_out is not None:
        epoch = len(trained) if trained is not None else total // 20
        validation = Validation(held_out, min(total, max(epoch, _FEWEST_BETWEEN_VALIDATIONS)), _patience(wishes))
    elif wishes.patience is not None:
        raise ArgumentError("patience needs a validation: give a source, or labelled images of two or more datasets")
    cores = usable_cores()
    execution = Execution(
        device=device,
        workers=_workers(cores, device) if wishes.workers is None else wishes.workers,
        threads=cores if wishes.threads is None else wishes.threads,
        tensorboard=wishes.tensorboard,
    )

    def advance(at: Progress) -> None:
        if progress is not None:
            progress(at.images, total)

    done = fit(
        recipe,
        out,
        source=_training_source(wishes, recipe, trained, total),
        validation=validation,
        start=start,
        class_weights=_class_weights(wishes, trained),
        execution=execution,
        progress=advance,
    )
    return recipe, done


def _labelled(wishes: Wishes) -> Source | None:
    """All labelled images; None: simulated ones only."""
    sources: list[Source] = []
    for each in wishes.sources:
        if isinstance(each, str) and each == SIMULATED:
            continue
        if isinstance(each, (str, os.PathLike)):
            ppm = PPM if wishes.ppm is None else wishes.ppm
            source: Source = read_source(each, wishes.labels, ppm=ppm, class_structure=wishes.preset == "default")
        elif hasattr(each, "describe") and hasattr(each, "targets"):
            source = each
        else:
            raise ArgumentError(f"a source is 'simulated', a path or a source object, not {type(each).__name__}")
        if len(source) == 0:
            raise ArgumentError(f"{source!r}: holds no images")
        sources.append(source)
    if not sources:
        if wishes.epochs is not None and wishes.preset == "default":
            raise ArgumentError("simulated images have no epochs; give images")
        return None
    return sources[0] if len(sources) == 1 else JoinedSource(sources)


def _divide(labelled: Source | None, wishes: Wishes) -> tuple[Source | None, Source | None]:
    """Labelled images to train on, and images to validate on."""
    if wishes.split is not None or wishes.val_datasets is not None:
        return _divide_as_told(labelled, wishes)
    if not isinstance(wishes.validation, str):
        return labelled, wishes.validation
    if wishes.validation not in ("auto", "none"):
        raise ArgumentError(f"validation must be 'auto', 'none' or a source, got {wishes.validation!r}")
    if labelled is None or wishes.validation == "none" or labelled.targets() is None:
        return labelled, None
    ids = labelled.dataset_ids
    if len(ids) < 2:
        logger.warning("'%s' is the only dataset: nothing is held out for validation", ids[0])
        return labelled, None
    known = wishes.preset == "published" and set(ids) & set(PUBLISHED_VALIDATION)
    split = published_split(ids) if known else split_datasets(ids, seed=wishes.seed)
    return _parts(labelled, split)


def _divide_as_told(labelled: Source | None, wishes: Wishes) -> tuple[Source, Source | None]:
    """The same by a split that the user fixed."""
    if wishes.split is not None and wishes.val_datasets is not None:
        raise ArgumentError("give val_datasets or split, not both")
    name = "split" if wishes.val_datasets is None else "val_datasets"
    if not (isinstance(wishes.validation, str) and wishes.validation == "auto"):
        raise ArgumentError(f"{name} says what is held out; leave validation at 'auto'")
    if labelled is None or labelled.targets() is None:
        raise ArgumentError(f"{name} divides labelled images, and there are none: give a source")
    ids = labelled.dataset_ids
    if wishes.split is not None:
        return _parts(labelled, read_split(wishes.split, ids))
    if isinstance(wishes.val_datasets, str) or not wishes.val_datasets:
        raise ArgumentError("val_datasets must be a list of one or more dataset ids")
    return _parts(labelled, split_datasets(ids, val=wishes.val_datasets))


def _parts(labelled: Source, split: Split) -> tuple[Source, Source | None]:
    return labelled.select(split.train), labelled.select(split.val) if split.val else None


def _recipe(wishes: Wishes, trained: Source | None, device: torch.device) -> Recipe:
    epoch = presets.ENDLESS_EPOCH if trained is None else len(trained)
    images = wishes.images
    if wishes.epochs is not None:
        # A round: every labelled image once, and the simulated ones among them.
        share = 0.0 if trained is None else wishes.share
        images = math.ceil(wishes.epochs * epoch / (1.0 - share))
    if wishes.preset == "published":
        recipe = presets.published_recipe(epoch)
    elif wishes.init is not None and (wishes.init.is_dir() or wishes.init.suffix == ".pt"):
        recipe = presets.fine_tuning_recipe()
    else:
        recipe = Recipe()
    if images is not None:
        recipe = presets.scaled(recipe, images)
    total = sum(phase.images for phase in recipe.phases)
    if wishes.size is not None:
        recipe = replace(recipe, phases=(Phase(wishes.size, total, recipe.phases[-1].batch),))
    if wishes.batch is not None:
        recipe = replace(recipe, phases=tuple(replace(phase, batch=wishes.batch) for phase in recipe.phases))
    if total < presets.FEWEST_TO_COMPILE:
        recipe = replace(recipe, compile=False)
    if any(phase.batch % LEVELS for phase in recipe.phases):
        raise ArgumentError(f"batch must be a multiple of {LEVELS}, the noise levels of a scene, got {wishes.batch}")
    changes: dict[str, Any] = {"seed": wishes.seed, "precision": choose_precision(wishes.precision, device)}
    for name in ("architecture", "learning_rate", "compile"):
        if (value := getattr(wishes, name)) is not None:
            changes[name] = value
    return replace(recipe, **changes)


def _training_source(wishes: Wishes, recipe: Recipe, trained: Source | None, total: int) -> Source:
    if trained is None:
        return SimulatedSource(total, recipe.seed, levels=LEVELS)
    share = wishes.share
    return fine_tuning_mix(trained, total, recipe.seed, simulated_share=share, levels=LEVELS)


def _class_weights(wishes: Wishes, trained: Source | None) -> tuple[float, ...] | None:
    if trained is None:
        return None
    limit = math.inf if wishes.preset == "published" else presets.LARGEST_RATIO
    return presets.class_weights(trained, simulated_share=wishes.share, limit=limit)


def _patience(wishes: Wishes) -> int | None:
    if wishes.patience is not None or wishes.preset != "published":
        return wishes.patience
    return presets.PUBLISHED_PATIENCE


def choose_device(name: str) -> torch.device:
    """The device to train on.

    Raises:
        ArgumentError: No name of a device.
        UnavailableError: It is not there.
    """
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return torch.device("cpu")
    kind, _, number = name.partition(":")
    if kind != "cuda" or (number and not number.isdigit()):
        raise ArgumentError(f"device must be auto, cpu, cuda or cuda:N, got {name!r}")
    index = int(number) if number else local
    if index >= torch.cuda.device_count():
        raise UnavailableError(f"device {name}: torch sees {torch.cuda.device_count()} CUDA devices")
    torch.cuda.set_device(index)
    return torch.device("cuda", index)


def choose_precision(name: str, device: torch.device) -> str:
    """``bf16`` or ``f32``; ``auto`` is bf16 where the device computes in it."""
    if name != "auto":
        return name
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "f32"
    from openvino import Core

    return "bf16" if "BF16" in Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES") else "f32"


def _workers(cores: int, device: torch.device) -> int:
    """Processes that keep the network busy: on a CPU an image costs it about four times the simulator's time."""
    return max(1, cores - 1) if device.type == "cuda" else max(1, cores // 4)
