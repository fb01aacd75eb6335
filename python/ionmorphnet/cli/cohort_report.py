"""``ionmorphnet cohort report``."""

from __future__ import annotations

from pathlib import Path

import click

from ionmorphnet import cohort as study
from ionmorphnet.cli._shared import progress_bar
from ionmorphnet.cli.pick import Folder


@click.command(short_help="Write one page about the study.")
@click.argument("out", type=Folder(path_type=Path, exists=True, file_okay=False), metavar="OUT")
@click.option("--title", metavar="TEXT", help="Heading of the page.  [default: the folder's name]")
@click.option(
    "--images",
    type=click.IntRange(min=0),
    default=500,
    show_default=True,
    metavar="N",
    help="Most channels with images, best first.",
)
@click.option("--section-reports", is_flag=True, help="Also write report.html of each section that lacks one.")
@click.option("--threads", type=click.IntRange(min=0), default=0, metavar="N", help="CPU threads; 0: all.")
def report(out: Path, title: str | None, images: int, section_reports: bool, threads: int) -> None:
    """Write OUT/report.html: sections and failures, mass drift, and the common channels with images side by side.

    The page needs no network and links to the sections' own reports. It can be written at any time; what is missing,
    such as the consensus, is named in it with the command that makes it.
    """
    with progress_bar(out.name, "sections") as bar:
        page = study.report(
            out, title=title, images=images, section_reports=section_reports, threads=threads, progress=bar
        )
    click.echo(f"{click.format_filename(page)}: {page.stat().st_size / 1e6:.1f} MB")
