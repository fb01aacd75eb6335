"""``ionmorphnet simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import ionmorphnet as imn
from ionmorphnet._units import format_bytes


@click.command(short_help="Write a section with known truth.")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.imzML")
@click.option("--shape", nargs=2, type=click.IntRange(16), default=(100, 100), show_default=True, metavar="H W")
@click.option("--channels", "n_channels", type=click.IntRange(1), default=2000, show_default=True, metavar="N")
@click.option("--mode", type=click.Choice(["processed", "continuous"]), default="processed", show_default=True)
@click.option("--spectrum-type", type=click.Choice(["centroid", "profile"]), default="centroid", show_default=True)
@click.option("--jitter-ppm", type=click.FloatRange(0), default=2.0, show_default=True, help="m/z scatter per peak.")
@click.option(
    "--drift-ppm", type=click.FloatRange(0), default=0.0, show_default=True, help="m/z drift over the section."
)
@click.option("--pixel-size-um", type=click.FloatRange(0, min_open=True), default=50.0, show_default=True)
@click.option("--zlib", is_flag=True, help="Compress the arrays.")
@click.option("--seed", type=int, default=0, show_default=True)
def simulate(out: Path, **options: Any) -> None:
    """Write a section whose informative channels are known.

    Beside OUT.imzML and its ibd: OUT_truth.csv (m/z, kind and structure of every channel) and OUT_mask.npz.
    """
    section = imn.simulate(out, **options)
    height, width = options["shape"]
    click.echo(f"{height} x {width} pixels, {options['n_channels']} channels, seed {options['seed']}")
    for path in (section.path, section.path.with_suffix(".ibd"), section.truth_path, section.mask_path):
        click.echo(f"  {path} ({format_bytes(path.stat().st_size)})")
