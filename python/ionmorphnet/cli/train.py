"""``ionmorphnet train``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Unpack, get_args

import click

import ionmorphnet as imn
from ionmorphnet.cli._shared import log_shown, progress_bar
from ionmorphnet.training.options import Preset, TrainingPrecision, TrainKeywords

_DEFAULTS = imn.TrainOptions()


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--source",
    multiple=True,
    default=(_DEFAULTS.source,),
    show_default=True,
    metavar="simulated|PATH",
    help="Training images: simulated, an imzML file, a folder of imzML files, or an npz file. Repeatable.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="Label CSV, or folder of label CSVs, for --source.")
@click.option(
    "--validation",
    type=click.Choice(["auto", "none"]),
    default=_DEFAULTS.validation,
    show_default=True,
    help="Whether to hold out whole datasets of labelled sources.",
)
@click.option(
    "--val-datasets",
    multiple=True,
    callback=lambda _context, _option, ids: ids or None,
    metavar="ID",
    help="Hold out this dataset (stem of an imzML or npz file). Repeatable. Replaces --validation.",
)
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help='Split datasets as in this file: {"train": [IDs], "val": [IDs], "test": [IDs]}. Replaces --validation.',
)
@click.option(
    "--preset",
    type=click.Choice(get_args(Preset)),
    default=_DEFAULTS.preset,
    show_default=True,
    help="Default recipe, or the published one (arXiv 2604.19369).",
)
@click.option("--architecture", help="convnextv2_atto to convnextv2_large, or a timm backbone if timm is installed.")
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="NAME_OR_PATH",
    help="Start weights: a bundled model, model folder or weights.pt (fine-tuning), or a backbone's weights file.",
)
@click.option("--images", type=click.IntRange(1), metavar="N", help="Number of images to train on.")
@click.option(
    "--epochs",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="Passes over the labelled images (instead of --images).",
)
@click.option("--size", type=click.IntRange(32), metavar="PIXELS", help="Side of all images, a multiple of 32.")
@click.option("--batch", type=click.IntRange(2), metavar="N", help="Images per step.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), metavar="RATE", help="Peak learning rate.")
@click.option(
    "--simulated-share",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="SHARE",
    help="Fraction of simulated images mixed with the labelled ones.",
)
@click.option(
    "--ppm",
    type=click.FloatRange(0, min_open=True),
    metavar="PPM",
    help="Half width of the window around each m/z of labelled sections.",
)
@click.option("--patience", type=click.IntRange(1), metavar="N", help="Stop after N validations without a lower loss.")
@click.option(
    "--seed", type=click.IntRange(0), metavar="N", default=_DEFAULTS.seed, show_default=True, help="Random seed."
)
@click.option(
    "--resume/--no-resume", default=_DEFAULTS.resume, show_default=True, help="Resume a training in OUT, or refuse to."
)
@click.option(
    "--device", metavar="auto|cpu|cuda[:N]", default=_DEFAULTS.device, show_default=True, help="Device to train on."
)
@click.option(
    "--precision",
    type=click.Choice(get_args(TrainingPrecision)),
    default=_DEFAULTS.precision,
    show_default=True,
    help="Mixed bf16 or f32; auto: bf16 if the processor supports it.",
)
@click.option(
    "--compile/--no-compile", default=None, help="Compile the network, which costs minutes at the start, or not."
)
@click.option("--workers", type=click.IntRange(0), metavar="N", help="Processes that prepare images.")
@click.option(
    "--threads",
    type=click.IntRange(0),
    metavar="N",
    default=_DEFAULTS.threads,
    show_default=True,
    help="CPU threads for the network; 0: all cores.",
)
@click.option("--tensorboard", is_flag=True, default=_DEFAULTS.tensorboard, help="Write TensorBoard events as well.")
def train(out: Path, **options: Unpack[TrainKeywords]) -> None:
    """Train the ion-image classifier, or resume a training that was stopped.

    OUT receives weights.pt (for `ionmorphnet export`), last.pt (the state for resuming) and log.csv. After Ctrl-C,
    SIGTERM or a power failure, the same command resumes the training.
    """
    chosen = imn.TrainOptions(**options)
    # torchrun runs this in every process; only the first one reports.
    first = os.environ.get("RANK", "0") == "0"
    with (
        log_shown() if first else contextlib.nullcontext(),
        progress_bar(str(out), "images", before="starting", quiet=not first) as progress,
    ):
        trained = imn.train(out, chosen, progress=progress)
    if not first:
        return
    early = ", stopped early" if trained.stopped_early else ""
    click.echo(f"{trained.recipe.architecture}: {trained.images_seen} images in {trained.seconds:.0f} s{early}")
    if trained.validation is not None:
        figures = trained.validation
        click.echo(
            f"validation at step {figures['step']:.0f}: loss {figures['loss']:.4f}, "
            f"accuracy {figures['accuracy']:.3f}, balanced {figures['balanced_accuracy']:.3f}"
        )
    click.echo(f"  {trained.weights}")
