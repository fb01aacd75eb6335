"""``ionmorphnet simulate-images``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ionmorphnet import CLASSES
from ionmorphnet.cli._shared import progress_bar
from ionmorphnet.simulation import simulate_images as write_images


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.npz|OUT.png")
@click.option("-n", "n", type=click.IntRange(1), default=100, show_default=True, help="Number of images.")
@click.option(
    "--shape",
    nargs=2,
    type=click.IntRange(16),
    metavar="HEIGHT WIDTH",
    help="Size in pixels; default: drawn per scene.",
)
@click.option("--label", type=click.Choice(CLASSES), help="Target class; default: all.")
@click.option(
    "--levels",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of consecutive images of one scene at different noise levels.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Equal seeds write equal images.")
def simulate_images(out: Path, n: int, **options: Any) -> None:
    """Write simulated ion images as data with ground truth (NPZ and CSV) or as a picture (PNG).

    NPZ: image_00000 and so on, float32 (height, width), NaN = not measured. OUT_labels.csv next to it: class, structure
    (0 to 3) and the share of observers who would choose each class.
    """
    with progress_bar(out.name, "images") as progress:
        written = write_images(out, n, progress=progress, **options)
    counts = ", ".join(f"{count} {name}" for count, name in zip(written.counts, CLASSES, strict=True) if count)
    click.echo(f"{written.path}: {n} images ({counts}), seed {written.seed}")
    if written.truth_path is not None:
        click.echo(f"{written.truth_path}")
