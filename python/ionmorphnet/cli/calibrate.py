"""``ionmorphnet calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import ionmorphnet as imn
from ionmorphnet.cli._open_options import normalize_option, open_options
from ionmorphnet.cli._shared import log_shown, progress_bar
from ionmorphnet.io.open_options import OpenOptions


@click.command()
@click.argument("source", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--labels",
    required=True,
    type=click.Path(path_type=Path, readable=False),
    metavar="CSV",
    help="Labels of the section, as ionmorphnet label writes them.",
)
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Calibration for pick --calibration.",
)
@click.option("--model", metavar="NAME_OR_FOLDER", help="Model.  [default: that of the pick, or the bundled one]")
@click.option("--device", default="auto", show_default=True, metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "f32", "bf16", "fp16"]),
    default="auto",
    show_default=True,
    help="Precision of the network.",
)
@normalize_option("Divide the images of an imzML file by this norm of each pixel's spectrum.", default=None)
@open_options()
@click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; 0: all.")
def calibrate(source: Path, labels: Path, out: Path, opened: OpenOptions, **options: Any) -> None:
    """Calibrate the model to one section with 10 to 30 labels.

    SOURCE is a result folder of a pick, or an imzML file, which is then picked first. The calibration maps classes and,
    if the labels have grades, the structure to the conventions of the labels, but only where cross-validation finds
    that this helps.

    \b
    Examples:
      ionmorphnet label results/section -o labels.csv
      ionmorphnet calibrate results/section --labels labels.csv -o calibration.json
      ionmorphnet pick section.imzML -o calibrated --calibration calibration.json
    """
    bar = progress_bar(source.name, "images", before="finding channels", quiet=source.is_dir())
    with log_shown(), bar as progress:
        found = imn.calibrate(source, labels, out=out, progress=progress, **opened, **options)
    for line in found.lines():
        click.echo(line)
    what = "changes nothing" if found.is_identity else "is for sections labelled with the same conventions"
    click.echo(f"{click.format_filename(out)} {what}")
