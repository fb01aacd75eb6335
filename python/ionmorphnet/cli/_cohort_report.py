"""``ionmorphnet cohort report``."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from rich.text import Text

from ionmorphnet import cohort as study
from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.base.paths import is_url
from ionmorphnet.cli._shared import progress_bar, stderr
from ionmorphnet.cli._study_place import StudyPlace


@click.command(short_help="Write one page about the study.")
@click.argument("out", type=StudyPlace(exists=True, urls=False), metavar="OUT")
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


def next_step(out: Path | str, *commands: str) -> None:
    """Says which commands come next; the page of a study is not written behind URLs."""
    commands = tuple(name for name in commands if name != "report" or not is_url(str(out)))
    if not commands:
        return
    lines = [f"ionmorphnet cohort {name} {shlex.quote(click.format_filename(out))}" for name in commands]
    click.echo(f"next: {lines[0]}")
    for line in lines[1:]:
        click.echo(f"      {line}")


def after_run(done: study.CohortRun, *, page: bool, shard: str | None, quiet: bool) -> None:
    """Writes the page of the study, if its sections got reports too, and says what comes next.

    The page waits for the last shard: each of them knows a part of the study only.
    """
    if len(done.failed) == len(done.planned):
        return
    if page and shard is None and not is_url(done.out):
        try:
            with progress_bar("report", "sections", quiet=quiet) as bar:
                target = study.report(done.out, progress=bar)
            if not quiet:
                click.echo(f"  {click.format_filename(target)}")
        except IonMorphNetError as error:  # the picks are there all the same
            stderr.print(Text(f"warning: the page of the study was not written: {error}"), soft_wrap=True)
    if quiet:
        return
    if shard is not None:
        click.echo("when all shards are done:")
        next_step(done.out, "merge", "consensus", "report")
    elif all(each.action == "skip" for each in done.planned) and study.has_consensus(done.out):
        next_step(done.out, "report")
    else:
        next_step(done.out, "consensus", "report")
