"""``ionmorphnet label``."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

import ionmorphnet as imn
from ionmorphnet.cli._open_options import normalize_option, open_options
from ionmorphnet.cli._shared import log_shown, progress_bar
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.open_options import OpenOptions


@click.command()
@click.argument("source", type=click.Path(path_type=Path, readable=False))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="CSV",
    help="Label file, made or continued.",
)
@click.option(
    "--order",
    type=click.Choice(["active", "rank"]),
    default="active",
    show_default=True,
    help="Most uncertain first, spread over the ranking; or by rank.",
)
@click.option("--model", metavar="NAME_OR_FOLDER", help="Model that orders the images.  [default: the bundled one]")
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Port of the page; 0: a free one.")
@normalize_option("Divide the images of an imzML file by this norm of each pixel's spectrum.", default=None)
@open_options()
@click.option("--no-browser", is_flag=True, help="Print the address only.")
def label(
    source: Path,
    out: Path,
    order: str,
    model: str | None,
    normalize: Normalize | None,
    port: int,
    no_browser: bool,
    opened: OpenOptions,
) -> None:
    """Label the ion images of SOURCE on a web page that only this machine can open.

    SOURCE is an imzML file, a result folder of a pick (its scores are used again), or an npz file with ion images.
    Every label is saved at once; the same command goes on later. The CSV is what train --labels reads.

    \b
    Examples:
      ionmorphnet label section.imzML -o labels.csv
      ionmorphnet label results/section -o labels.csv --order rank
    """

    shown = contextlib.ExitStack()

    def ready(page: imn.LabelPage) -> None:
        shown.close()
        click.echo(f"{source.name}: {page.candidates} images, {page.labelled} labelled in {click.format_filename(out)}")
        click.echo(f"Label page: {page.url}")
        click.echo("Finish on the page, or press Ctrl-C here, to end.")

    with log_shown(), shown:
        progress = shown.enter_context(progress_bar(source.name, "images", before="finding channels"))
        summary = imn.label(
            source,
            out,
            order=order,
            model=model,
            normalize=normalize,
            port=port,
            browser=not no_browser,
            on_ready=ready,
            progress=progress,
            **opened,
        )
    classes = ", ".join(f"{n} {name}" for name, n in summary.classes.items() if n)
    click.echo(f"{click.format_filename(out)}: {summary.labelled} labelled" + (f" ({classes})" if classes else ""))
    if summary.agreement is not None:
        found = summary.agreement
        kappa = "" if found.kappa is None else f", Cohen's kappa {found.kappa:.2f}"
        click.echo(f"two passes over {found.images} images: {found.same:.0%} in the same class{kappa}")
