"""``ionmorphnet validate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

import ionmorphnet as imn
from ionmorphnet.cli._open_options import open_options
from ionmorphnet.cli._shared import progress_bar
from ionmorphnet.io.open_options import OpenOptions

if TYPE_CHECKING:
    from ionmorphnet.picking.validation import Problem


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--checksum", is_flag=True, help="Compare the ibd file with its declared checksum as well.")
@open_options()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def validate(file: Path, checksum: bool, as_json: bool, opened: OpenOptions) -> int:
    """Read every spectrum of FILE and list its problems.

    Looks for everything that can be odd about one file: its header, its arrays, its positions, and signs of a faulty
    measurement or conversion in the data.

    Exit code 0: nothing was found, 1: errors or warnings, 2: FILE cannot be read.
    """
    after = "comparing the checksum" if checksum else ""
    with progress_bar(file.name, "spectra", quiet=as_json, before="opening", after=after) as progress:
        report = imn.validate(file, checksum=checksum, progress=progress, **opened)
    unreadable = report.n_spectra == 0 and any(problem.kind == "open" for problem in report.problems)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        for problem in report.problems:
            click.echo(f"{problem.severity}: {_text(problem)}", err=unreadable)
        if not unreadable:
            errors = sum(problem.severity == "error" for problem in report.problems)
            warnings = len(report.problems) - errors
            verdict = f"{errors} kinds of error, {warnings} of warning" if report.problems else "no problems"
            click.echo(f"{file}: {report.n_spectra} spectra read, {verdict}")
    if unreadable:
        return 2
    return 1 if report.problems else 0


def _text(problem: Problem) -> str:
    if problem.first is None:
        return problem.message
    return f"{problem.message} ({problem.count} spectra, first at index {problem.first})"
