"""``ionmorphnet info``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ionmorphnet.dataset import read_info


@click.command(short_help="Show what a file declares (reads its head only).")
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of a table.")
def info(file: Path, as_json: bool) -> None:
    """Show what the head of FILE declares; the spectra are not read (see validate)."""
    facts = read_info(file).to_dict()
    if as_json:
        click.echo(json.dumps(facts, indent=2, ensure_ascii=False))
        return
    rows = {key.replace("_", " "): _text(value) for key, value in facts.items() if value not in (None, "", [], {})}
    width = max(map(len, rows))
    for key, text in rows.items():
        # Plain text, nothing folded: values come from the file, and a path that is cut in two cannot be copied.
        lines = text.splitlines()
        click.echo(click.style(key.ljust(width), bold=True) + "  " + f"\n{'':{width + 2}}".join(lines))


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{key}: {_text(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(item) for item in value)
    return str(value)
