"""``imn.train``: sources, preset and start weights become a recipe, and the recipe becomes weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.torch_check import require_torch
from ionmorphnet.models.model import bundled_models, load_model

if TYPE_CHECKING:
    from ionmorphnet.labelled.sources import Source


@dataclass(frozen=True)
class TrainedModel:
    """A finished training.

    Attributes:
        folder: Its folder.
        weights: The weights file in it, for ``ionmorphnet export`` and as ``init`` of further trainings.
        steps: Optimiser steps done.
        images_seen: Number of images trained on.
        seconds: Wall time, over all sittings.
        stopped_early: Whether the validation ended it.
        validation: Step, losses and accuracies of the best weights; None without validation.
        recipe: What was trained, plain values.
    """

    folder: Path
    weights: Path
    steps: int
    images_seen: int
    seconds: float
    stopped_early: bool
    validation: dict[str, float] | None
    recipe: dict[str, Any]

    def __repr__(self) -> str:
        """Weights, effort and validation."""
        judged = "" if self.validation is None else f", validation accuracy {self.validation['accuracy']:.3f}"
        return (
            f"TrainedModel({self.weights}: {self.recipe['architecture']}, {self.images_seen} images in "
            f"{self.seconds:.0f} s{judged})"
        )


def train(
    out: PathLike,
    *,
    source: PathLike | Source | Sequence[PathLike | Source] = "simulated",
    labels: PathLike | None = None,
    validation: Literal["auto", "none"] | Source = "auto",
    val_datasets: Sequence[str] | None = None,
    split: PathLike | None = None,
    preset: str = "default",
    architecture: str | None = None,
    images: int | None = None,
    epochs: float | None = None,
    size: int | None = None,
    batch: int | None = None,
    learning_rate: float | None = None,
    init: PathLike | None = None,
    simulated_share: float | None = None,
    ppm: float | None = None,
    patience: int | None = None,
    seed: int = 20_260_419,
    resume: bool = True,
    device: str = "auto",
    precision: str = "auto",
    compile: bool | None = None,
    workers: int | None = None,
    threads: int | None = None,
    tensorboard: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> TrainedModel:
    """Train the ion-image classifier, or go on with a training that was stopped.

    The default preset is better than the published recipe where ion images of unknown instruments come in: a second
    channel tells unmeasured pixels from dark ones; a structure output learns how well the noise-free image shows
    through, which ranks better than class probabilities; pairs of one scene at two noise levels are ranked; classical
    statistics join in the last layer; the weights are averaged; most images are seen at a low resolution first.

    Nothing is downloaded: ImageNet weights are used only where ``init`` names their file.

    Args:
        out: Folder of the training. Receives ``weights.pt`` (averaged weights; with a validation the best ones),
            ``last.pt`` (everything to go on with), ``log.csv`` and ``validation.csv``.
        source: ``"simulated"``, or labelled images: imzML file, folder of imzML files, npz file (see
            ``training.read_source``; images without a grade of structure get the mean one of their class, but not with
            the published preset), a source object, or a list of these.
        labels: Label CSV or folder of CSVs for the paths in ``source``.
        validation: ``"auto"`` holds out whole datasets of labelled sources (with the published preset the published
            ones, as far as they are there); ``"none"``; or a source of its own.
        val_datasets: Ids of the datasets to hold out, instead of ``validation`` (stems of imzML and npz files).
        split: JSON file ``{"train": [ids], "val": [ids], "test": [ids]}``, instead of either; ``val`` and ``test`` may
            be missing. What it does not name, and ``test``, is not used.
        preset: ``"default"``, or ``"published"`` (arXiv 2604.19369: ConvNeXt V2 Tiny, one channel, 224 pixels).
        architecture: ``convnextv2_atto`` ... ``convnextv2_large``, or a backbone of timm where that is installed.
        images: Images to train on; defaults to that of the preset. Not together with ``epochs``.
        epochs: The same in rounds through the labelled images; the simulated ones among them come on top.
        size: One image size in pixels throughout, a multiple of 32.
        batch: Images a step.
        learning_rate: Peak learning rate.
        init: What to start from: bundled name, model folder, ``weights.pt`` or folder of a training, or the weights
            file of a backbone. With the default preset all but the last mean fine-tuning: fewer images, a smaller rate.
        simulated_share: Part of simulated images among labelled ones; default 0.5, published preset 0.
        ppm: Half width of the window around each m/z of labelled sections.
        patience: Validations without a smaller loss after which the training stops; default none, published preset 10.
        seed: Seed of everything random. On a CPU the same seed, recipe and number of threads give the same weights.
        resume: Go on with the training in ``out``; False refuses a folder that holds one.
        device: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:N"``. Under ``torchrun`` every process takes its own GPU.
        precision: ``"bf16"`` (mixed), ``"f32"``, or ``"auto"``: bf16 where the processor computes in it.
        compile: Whether to compile the network: minutes at the start, then faster; by default that of the preset, and
            not for fewer than 20,000 images.
        workers: Processes that make the images; default by the number of cores.
        threads: Threads of the arithmetic on a CPU; default all cores.
        tensorboard: Whether events for TensorBoard are written too (needs that package).
        progress: Called after every step with (images trained on, images in all).

    Returns:
        Where the weights are and how it went.

    Raises:
        ArgumentError: An argument out of range, ``out`` holds another training or one on other data, or an image is
            in both training and validation.
        FileError: A file is missing or cannot be used, or there is no labelled image.
        UnavailableError: torch (or timm, tensorboard, the device) is not there.
        Cancelled: Stopped by Ctrl-C or SIGTERM after saving; the same call goes on.
    """
    require_torch("training needs torch, which is not installed: pip install 'ionmorphnet[train]'")
    from ionmorphnet.training.run import run
    from ionmorphnet.training.wishes import Wishes

    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise FileError(f"{folder}: is a file, a folder is needed")
    if not resume and (folder / "last.pt").exists():
        raise ArgumentError(f"{folder}: holds a training already; resume it or choose another folder")
    wishes = Wishes(
        sources=_listed(source),
        labels=labels,
        validation=validation,
        val_datasets=val_datasets,
        split=split,
        preset=preset,
        architecture=architecture,
        images=images,
        epochs=epochs,
        size=size,
        batch=batch,
        learning_rate=learning_rate,
        init=None if init is None else _start(init),
        simulated_share=simulated_share,
        ppm=ppm,
        patience=patience,
        seed=seed,
        device=device,
        precision=precision,
        compile=compile,
        workers=workers,
        threads=threads,
        tensorboard=tensorboard,
    )
    recipe, done = run(wishes, folder, progress)
    return TrainedModel(
        folder=folder,
        weights=folder / "weights.pt",
        steps=done["step"],
        images_seen=done["images_seen"],
        seconds=done["seconds"],
        stopped_early=done["stopped_early"],
        validation=done["best"],
        recipe=recipe.to_dict(),
    )


def _start(init: PathLike) -> Path:
    """A path as it is; the folder of a bundled model by its name; the weights in the folder of a training."""
    path = Path(init)
    if not path.exists():
        if str(init) in bundled_models():
            return load_model(str(init)).folder
        raise FileError(
            f"{init}: no such file or folder, and no bundled model (bundled: {', '.join(bundled_models())})"
        )
    if not (path / "config.json").exists() and (path / "weights.pt").is_file():
        return path / "weights.pt"
    return path


def _listed(source: Any) -> list[Any]:
    many = isinstance(source, Sequence) and not isinstance(source, (str, bytes)) and not hasattr(source, "describe")
    listed = list(source) if many else [source]
    if not listed:
        raise ArgumentError("no source of training images is given")
    return listed
