"""``ionmorphnet cohort tables``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ionmorphnet import CLASSES
from ionmorphnet import cohort as study
from ionmorphnet.base.paths import is_url
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cli._cohort_report import next_step
from ionmorphnet.cli._shared import spinner
from ionmorphnet.cli._study_place import STAGE, StudyPlace, below
from ionmorphnet.cli.pick import Folder

# Lists of single sections would fill the screen.
_SHOWN = 14


@click.command(short_help="Write tables for Excel, R, SCiLS Lab and METASPACE.")
@click.argument("out", type=StudyPlace(exists=True, urls=False), metavar="OUT")
@click.option(
    "--to", type=Folder(path_type=Path, file_okay=False), help="Folder for the tables.  [default: OUT/tables]"
)
@click.option(
    "--exclude",
    multiple=True,
    type=click.Choice(CLASSES),
    help="Leave out the channels of this class, such as negative (bright outside of the sample); repeatable.",
)
@click.option(
    "--format",
    "formats",
    default=",".join(study.TABLE_FORMATS),
    show_default=True,
    metavar="LIST",
    help="What to write, separated by commas.",
)
@click.option("--overwrite", is_flag=True, help="Replace files that were changed since, or that others wrote.")
@STAGE
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def tables(
    out: Path | str,
    to: Path | None,
    exclude: tuple[str, ...],
    formats: str,
    overwrite: bool,
    stage: Path | None,
    as_json: bool,
) -> None:
    """Write the channels that the sections of the study in OUT share, and their means in each section.

    Writes OUT/tables: study.xlsx; channels, means (a row per section and channel), means_wide (a row per section) and
    the same by patient, as CSV and Parquet; scils.csv and scils/<section>.csv, feature lists for SCiLS Lab; and
    metaspace.tsv, a database for METASPACE, if the m/z list of the study had formulas. Columns of the m/z list and of
    the list of samples stand in all of them.

    \b
    Examples:
      ionmorphnet cohort tables out --exclude negative
      ionmorphnet cohort tables out --format scils --to for_scils
    """
    with spinner("writing tables"):
        done = study.write_tables(out, to=to, exclude=exclude, formats=formats, overwrite=overwrite, stage=stage)
    place = done.folder if is_url(done.folder) else Path(done.folder)
    if as_json:
        document = {
            "folder": click.format_filename(done.folder),
            "already_done": done.already_done,
            "channels": len(done.channels),
            "excluded": done.excluded,
            "normalize": done.normalize,
            "notes": list(done.notes),
            "files": [below(place, name) for name in done.files],
        }
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    state = "already there: " if done.already_done else ""
    of = f" x {done.means['section'].nunique()} sections, {_norm(done.normalize)}" if len(done.means) else ""
    click.echo(f"{state}{len(done.channels)} channels{of}")
    if done.excluded:
        click.echo("  left out by class: " + ", ".join(f"{number} {name}" for name, number in done.excluded.items()))
    for note in done.notes:
        click.echo(f"note: {note}", err=True)
    for name, size in [*done.files.items()][:_SHOWN]:
        click.echo(f"  {below(place, name)} ({format_bytes(size)})")
    if len(done.files) > _SHOWN:
        click.echo(f"  ... {len(done.files) - _SHOWN} more")
    next_step(out, "report")


def _norm(normalize: str) -> str:
    return "not normalised" if normalize == "none" else f"normalised by {normalize}"
