"""``imn.train``: training and fine-tuning of the ion-image classifier."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.extras import require_torch
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.progress import Progress, shown_progress
from ionmorphnet.models.model import bundled_models, load_model
from ionmorphnet.training.options import TrainKeywords, TrainOptions

if TYPE_CHECKING:
    from ionmorphnet.training.recipe import Recipe


@dataclass(frozen=True)
class TrainedModel:
    """A finished training.

    Attributes:
        folder: Folder of the training.
        weights: Its weights file, for ``ionmorphnet export`` and as ``init`` of further trainings.
        steps: Number of optimiser steps.
        images_seen: Number of images trained on.
        seconds: Wall time, summed over interruptions.
        stopped_early: Whether early stopping ended the training.
        validation: Step, losses and accuracies of the best weights; None without validation.
        recipe: What was trained.
    """

    folder: Path
    weights: Path
    steps: int
    images_seen: int
    seconds: float
    stopped_early: bool
    validation: dict[str, float] | None
    recipe: Recipe

    def __repr__(self) -> str:
        """Show weights, effort and validation accuracy."""
        validated = "" if self.validation is None else f", validation accuracy {self.validation['accuracy']:.3f}"
        return (
            f"TrainedModel({self.weights}: {self.recipe.architecture}, {self.images_seen} images in "
            f"{self.seconds:.0f} s{validated})"
        )


def train(
    out: PathLike,
    options: TrainOptions | None = None,
    *,
    progress: Progress | bool | None = None,
    **keywords: Unpack[TrainKeywords],
) -> TrainedModel:
    """Train the ion-image classifier, or resume a training that was stopped.

    The default preset outperforms the published recipe on ion images from unknown instruments: a second input channel
    separates unmeasured pixels from dark ones; a structure output predicts how well the noise-free image shows through,
    which ranks images better than class probabilities; pairs of one scene at two noise levels are ranked; classical
    statistics enter the last layer; weights are averaged; and most images are seen at low resolution first.

    Nothing is downloaded: ImageNet weights are used only if ``init`` names their file.

    Args:
        out: Folder of the training. Receives ``weights.pt`` (averaged weights; with validation, the best ones),
            ``last.pt`` (the complete state for resuming), ``log.csv`` and ``validation.csv``.
        options: All options in one object; defaults to ``TrainOptions()``.
        progress: Called after each step with (images trained on, images in total); True: a bar on the terminal or in
        the
            notebook.
        **keywords: Single options by name, described in :class:`TrainOptions`; they override ``options``.

    Returns:
        The path of the weights and a summary of the training.

    Raises:
        ArgumentError: An option is out of range, ``out`` holds a training with another recipe or on other data, or an
            image is in both training and validation.
        FileError: A file is missing or unusable, or no labelled image remains.
        UnavailableError: torch, timm, tensorboard or the device is not available.
        Cancelled: Stopped by Ctrl-C or SIGTERM after saving; the same call resumes the training.
    """
    require_torch("training needs torch, which is not installed: pip install 'ionmorphnet[train]'")
    from ionmorphnet.training.run import run

    chosen = replace(TrainOptions() if options is None else options, **keywords)
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file; choose a folder")
    if not chosen.resume and (folder / "last.pt").exists():
        raise ArgumentError(f"{folder}: already holds a training; resume it or choose another folder")
    init = None if chosen.init is None else _start_path(chosen.init)
    with shown_progress(progress, folder.name, "images") as shown:
        recipe, result = run(chosen, init, folder, shown)
    return TrainedModel(
        folder=folder,
        weights=folder / "weights.pt",
        steps=result.step,
        images_seen=result.images_seen,
        seconds=result.seconds,
        stopped_early=result.stopped_early,
        validation=result.best,
        recipe=recipe,
    )


def _start_path(init: PathLike) -> Path:
    """Resolve bundled names to model folders, and folders of a training to the weights in them."""
    path = Path(init)
    if not path.exists():
        if str(init) in bundled_models():
            return load_model(str(init)).folder
        raise FileError(f"{init}: no such file, folder or bundled model (bundled: {', '.join(bundled_models())})")
    if not (path / "config.json").exists() and (path / "weights.pt").is_file():
        return path / "weights.pt"
    return path
