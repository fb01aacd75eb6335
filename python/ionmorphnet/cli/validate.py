"""``ionmorphnet validate``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ionmorphnet.cli._shared import progress_bar
from ionmorphnet.io.validation import Problem
from ionmorphnet.io.validation import validate as validate_file


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--checksum", is_flag=True, help="Also compare the ibd's checksum with the declared one.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")
def validate(file: Path, checksum: bool, as_json: bool) -> int:
    """Read every spectrum of FILE and list the problems. Exit code 0: none or warnings
    only, 1: problems, 2: not readable at all."""
    after = "comparing the checksum" if checksum else ""
    with progress_bar(file.name, "spectra", quiet=as_json, before="opening", after=after) as progress:
        report = validate_file(file, checksum=checksum, progress=progress)
    unreadable = report.n_spectra == 0 and any(problem.kind == "open" for problem in report.problems)
    if as_json:
        click.echo(json.dumps(report.to_dict(), indent=2, ensure_ascii=False))
    else:
        for problem in report.problems:
            click.echo(f"{problem.severity}: {_text(problem)}", err=unreadable)
        if not unreadable:
            errors = sum(problem.severity == "error" for problem in report.problems)
            warnings = len(report.problems) - errors
            verdict = "no problems" if not report.problems else f"{errors} kinds of errors, {warnings} of warnings"
            click.echo(f"{file}: {report.n_spectra} spectra read, {verdict}")
    if unreadable:
        return 2
    return 0 if report.ok else 1


def _text(problem: Problem) -> str:
    if problem.first is None:
        return problem.message
    return f"{problem.message} ({problem.count} spectra, the first is number {problem.first})"
