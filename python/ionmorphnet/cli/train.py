"""``ionmorphnet train``."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any

import click

import ionmorphnet as imn
from ionmorphnet.cli._shared import log_shown, progress_bar


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="simulated|PATH",
    help="Training images: simulated (default), an imzML file, a folder of them, or an npz file; repeatable.",
)
@click.option("--labels", type=click.Path(path_type=Path), help="Label CSV, or folder of CSVs, for --source.")
@click.option(
    "--validation",
    type=click.Choice(["auto", "none"]),
    default="auto",
    show_default=True,
    help="Hold out whole datasets of labelled sources.",
)
@click.option(
    "--val-datasets",
    multiple=True,
    metavar="ID",
    help="Hold out this dataset (stem of an imzML or npz file) instead; repeatable.",
)
@click.option(
    "--split",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help='Hold out as this file says instead: {"train": [IDs], "val": [IDs], "test": [IDs]}.',
)
@click.option("--preset", type=click.Choice(["default", "published"]), default="default", show_default=True)
@click.option("--architecture", help="convnextv2_atto ... convnextv2_large, or a backbone of timm where installed.")
@click.option(
    "--init",
    type=click.Path(path_type=Path),
    metavar="NAME_OR_PATH",
    help="Fine-tune: bundled name, model folder or weights.pt of a training. Or start from a backbone's weights.",
)
@click.option("--images", type=click.IntRange(1), metavar="N", help="Images to train on.")
@click.option(
    "--epochs", type=click.FloatRange(0, min_open=True), metavar="N", help="The same in rounds through your images."
)
@click.option("--size", type=click.IntRange(32), metavar="PIXELS", help="One image size throughout.")
@click.option("--batch", type=click.IntRange(2), metavar="N", help="Images a step.")
@click.option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak learning rate.")
@click.option(
    "--simulated-share",
    type=click.FloatRange(0, 1, max_open=True),
    help="Part of simulated images among labelled ones.",
)
@click.option("--ppm", type=click.FloatRange(0, min_open=True), help="Half window around each m/z of sections.")
@click.option(
    "--patience", type=click.IntRange(1), metavar="N", help="Stop after N validations without a smaller loss."
)
@click.option("--seed", type=click.IntRange(0), default=20_260_419, show_default=True)
@click.option("--resume/--no-resume", default=True, show_default=True, help="Go on with a training in OUT.")
@click.option("--device", default="auto", show_default=True, metavar="auto|cpu|cuda[:N]")
@click.option("--precision", type=click.Choice(["auto", "bf16", "f32"]), default="auto", show_default=True)
@click.option("--compile/--no-compile", default=None, help="Compile the network: minutes at the start.")
@click.option("--workers", type=click.IntRange(0), help="Processes that make the images.")
@click.option("--threads", type=click.IntRange(1), help="Threads of the arithmetic on a CPU.")
@click.option("--tensorboard", is_flag=True, help="Write events for TensorBoard too.")
def train(out: Path, sources: tuple[str, ...], val_datasets: tuple[str, ...], **options: Any) -> None:
    """Train the classifier of ion images, or go on with a stopped training.

    OUT receives weights.pt (for `ionmorphnet export`), last.pt (everything to go on with) and log.csv. Stopped by
    Ctrl-C, SIGTERM or a power cut, the same command goes on.
    """
    # Under torchrun every process runs this; one of them speaks.
    first = os.environ.get("RANK", "0") == "0"
    with (
        log_shown() if first else contextlib.nullcontext(),
        progress_bar(str(out), "images", before="starting", quiet=not first) as progress,
    ):
        trained = imn.train(
            out, source=list(sources) or "simulated", val_datasets=val_datasets or None, progress=progress, **options
        )
    if not first:
        return
    early = ", stopped early" if trained.stopped_early else ""
    click.echo(f"{trained.recipe['architecture']}: {trained.images_seen} images in {trained.seconds:.0f} s{early}")
    if trained.validation is not None:
        figures = trained.validation
        click.echo(
            f"validation at step {figures['step']:.0f}: loss {figures['loss']:.4f}, "
            f"accuracy {figures['accuracy']:.3f}, balanced {figures['balanced_accuracy']:.3f}"
        )
    click.echo(f"  {trained.weights}")
