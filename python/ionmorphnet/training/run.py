"""From training options to a recipe, its images and start weights, and through the training."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.joined_source import JoinedSource
from ionmorphnet.labelled.read_source import read_source
from ionmorphnet.labelled.sections import PPM
from ionmorphnet.labelled.sources import SimulatedSource, Source
from ionmorphnet.training import presets
from ionmorphnet.training.fingerprints import refuse_shared_images
from ionmorphnet.training.fit import LEVELS, Execution, FitResult, Progress, fit
from ionmorphnet.training.mixture import fine_tuning_mix
from ionmorphnet.training.options import TrainOptions
from ionmorphnet.training.recipe import Phase, Recipe, images_seen
from ionmorphnet.training.runtime import choose_precision, default_workers, torch_device
from ionmorphnet.training.split import PUBLISHED_VALIDATION, Split, published_split, read_split, split_datasets
from ionmorphnet.training.start_weights import read_start, start_preprocessing
from ionmorphnet.training.validation import Validation

logger = logging.getLogger(__name__)

# Validating more often is not worth its cost.
_MIN_IMAGES_BETWEEN_VALIDATIONS = 1_000


def run(
    options: TrainOptions, init: Path | None, out: Path, progress: Callable[[int, int], None] | None
) -> tuple[Recipe, FitResult]:
    """Train with the given options.

    Args:
        options: What to train and how.
        init: ``options.init`` as an existing path.
        out: Folder of the training.
        progress: Called after each step with (images trained on, images in total).
    """
    device = torch_device(options.device)
    training, validation = _split(_read_labelled(options), options)
    if training is not None and validation is not None:
        refuse_shared_images(training, validation)
    recipe = replace(_recipe(options, init, training), precision=choose_precision(options.precision, device))
    start = None
    if init is not None:
        begun = read_start(init, recipe, architecture=options.architecture)
        recipe, start = begun.recipe, begun.weights
        if recipe.structure and recipe.structure_weight == 0.0:
            logger.warning(
                "%s ranks images by its structure output, which the preset '%s' does not train; only the layers below "
                "it are trained",
                init,
                options.preset,
            )
    total = images_seen(recipe, recipe.steps)

    def advance(at: Progress) -> None:
        if progress is not None:
            progress(at.images, total)

    result = fit(
        recipe,
        out,
        source=_training_source(options, recipe, training, total),
        validation=_validation(options, training, validation, total),
        start=start,
        class_weights=_class_weights(options, training),
        execution=Execution(
            device=device,
            workers=default_workers(device) if options.workers is None else options.workers,
            threads=options.threads,
            tensorboard=options.tensorboard,
        ),
        progress=advance,
    )
    return recipe, result


def _read_labelled(options: TrainOptions) -> Source | None:
    """All labelled images; None for a training on simulated images only."""
    sources: list[Source] = []
    for each in options.labelled_sources:
        if isinstance(each, (str, os.PathLike)):
            source: Source = read_source(
                each,
                options.labels,
                ppm=PPM if options.ppm is None else options.ppm,
                class_structure=options.preset == "default",
            )
        elif hasattr(each, "describe") and hasattr(each, "targets"):
            source = each
        else:
            raise ArgumentError(f"source must be 'simulated', a path or a source object, not {type(each).__name__}")
        if len(source) == 0:
            raise ArgumentError(f"{source!r}: the source has no images")
        sources.append(source)
    if not sources:
        if options.epochs is not None and options.preset == "default":
            raise ArgumentError("epochs applies only to labelled images; give images for a training on simulated ones")
        return None
    return sources[0] if len(sources) == 1 else JoinedSource(sources)


def _split(labelled: Source | None, options: TrainOptions) -> tuple[Source | None, Source | None]:
    """Labelled images to train on, and images to validate on."""
    if options.split is not None or options.val_datasets is not None:
        return _requested_split(labelled, options)
    if not isinstance(options.validation, str):
        return labelled, options.validation
    if options.validation not in ("auto", "none"):
        raise ArgumentError(f"validation must be 'auto', 'none' or a source, got {options.validation!r}")
    if labelled is None or options.validation == "none" or labelled.targets() is None:
        return labelled, None
    ids = labelled.dataset_ids
    if len(ids) < 2:
        logger.warning("'%s' is the only dataset: nothing is held out for validation", ids[0])
        return labelled, None
    published = options.preset == "published" and set(ids) & set(PUBLISHED_VALIDATION)
    split = published_split(ids) if published else split_datasets(ids, seed=options.seed)
    return _parts(labelled, split)


def _requested_split(labelled: Source | None, options: TrainOptions) -> tuple[Source, Source | None]:
    """The parts that ``split`` or ``val_datasets`` define."""
    if options.split is not None and options.val_datasets is not None:
        raise ArgumentError("val_datasets and split exclude each other; give one of them")
    name = "split" if options.val_datasets is None else "val_datasets"
    if not (isinstance(options.validation, str) and options.validation == "auto"):
        raise ArgumentError(f"{name} already selects the validation images; leave validation at 'auto'")
    if labelled is None or labelled.targets() is None:
        raise ArgumentError(f"{name} applies only to labelled images; pass a labelled source")
    ids = labelled.dataset_ids
    if options.split is not None:
        return _parts(labelled, read_split(options.split, ids))
    if isinstance(options.val_datasets, str) or not options.val_datasets:
        raise ArgumentError("val_datasets must be a list with at least one dataset id")
    return _parts(labelled, split_datasets(ids, val=options.val_datasets))


def _parts(labelled: Source, split: Split) -> tuple[Source, Source | None]:
    return labelled.select(split.train), labelled.select(split.val) if split.val else None


def _recipe(options: TrainOptions, init: Path | None, training: Source | None) -> Recipe:
    epoch = presets.ENDLESS_EPOCH if training is None else len(training)
    images = options.images
    if options.epochs is not None:
        # One pass: each labelled image once, plus the simulated images mixed in.
        share = 0.0 if training is None else options.mixed_share
        images = math.ceil(options.epochs * epoch / (1.0 - share))
    if options.preset == "published":
        recipe = presets.published_recipe(epoch)
    elif init is not None and (init.is_dir() or init.suffix == ".pt"):
        recipe = presets.fine_tuning_recipe(size=start_preprocessing(init).size)
    else:
        recipe = Recipe()
    if images is not None:
        recipe = presets.scaled(recipe, images)
    total = sum(phase.images for phase in recipe.phases)
    if options.size is not None:
        recipe = replace(recipe, phases=(Phase(options.size, total, recipe.phases[-1].batch),))
    if options.batch is not None:
        recipe = replace(recipe, phases=tuple(replace(phase, batch=options.batch) for phase in recipe.phases))
    if total < presets.MIN_IMAGES_TO_COMPILE:
        recipe = replace(recipe, compile=False)
    if any(phase.batch % LEVELS for phase in recipe.phases):
        raise ArgumentError(f"batch must be a multiple of {LEVELS} (noise levels per scene), got {options.batch}")
    return replace(
        recipe,
        seed=options.seed,
        architecture=recipe.architecture if options.architecture is None else options.architecture,
        learning_rate=recipe.learning_rate if options.learning_rate is None else options.learning_rate,
        compile=recipe.compile if options.compile is None else options.compile,
    )


def _training_source(options: TrainOptions, recipe: Recipe, training: Source | None, total: int) -> Source:
    if training is None:
        return SimulatedSource(total, recipe.seed, levels=LEVELS)
    return fine_tuning_mix(training, total, recipe.seed, simulated_share=options.mixed_share, levels=LEVELS)


def _validation(
    options: TrainOptions, training: Source | None, validation: Source | None, total: int
) -> Validation | None:
    if validation is None:
        if options.patience is not None:
            raise ArgumentError(
                "patience requires validation images; pass labelled images of at least two datasets, or validation"
            )
        return None
    epoch = len(training) if training is not None else total // 20
    patience = options.patience
    if patience is None and options.preset == "published":
        patience = presets.PUBLISHED_PATIENCE
    return Validation(validation, min(total, max(epoch, _MIN_IMAGES_BETWEEN_VALIDATIONS)), patience)


def _class_weights(options: TrainOptions, training: Source | None) -> tuple[float, ...] | None:
    if training is None:
        return None
    limit = math.inf if options.preset == "published" else presets.MAX_WEIGHT_RATIO
    return presets.class_weights(training, simulated_share=options.mixed_share, limit=limit)
