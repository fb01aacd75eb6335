"""``ionmorphnet simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import ionmorphnet as imn
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cli._shared import progress_bar


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.imzML")
@click.option("--shape", nargs=2, type=click.IntRange(16), default=(100, 100), show_default=True, metavar="H W")
@click.option("--channels", "n_channels", type=click.IntRange(1), default=2000, show_default=True, metavar="N")
@click.option("--mode", type=click.Choice(["processed", "continuous"]), default="processed", show_default=True)
@click.option("--spectrum-type", type=click.Choice(["centroid", "profile"]), default="centroid", show_default=True)
@click.option(
    "--n-informative",
    type=click.IntRange(0),
    metavar="N",
    help="Channels that are structured, localized or negative; default: a quarter.",
)
@click.option(
    "--mz-range", nargs=2, type=float, default=(100.0, 1000.0), show_default=True, metavar="LOW HIGH", help="m/z range."
)
@click.option("--jitter-ppm", type=click.FloatRange(0), default=2.0, show_default=True, help="m/z scatter per peak.")
@click.option(
    "--drift-ppm", type=click.FloatRange(0), default=0.0, show_default=True, help="m/z drift over the section."
)
@click.option(
    "--min-gap-ppm",
    type=click.FloatRange(0, min_open=True),
    help="Smallest distance of two channels; default: 15 for centroids, three peak widths for profiles.",
)
@click.option(
    "--close-pairs",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Pairs of channels exactly --min-gap-ppm apart; all others keep three times that.",
)
@click.option(
    "--noise-peaks",
    "noise_peaks_per_pixel",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Mean number of peaks of a pixel that belong to no channel (processed centroids).",
)
@click.option(
    "--resolving-power",
    type=click.FloatRange(100),
    default=20_000.0,
    show_default=True,
    help="m/z over the width of a peak (profiles).",
)
@click.option(
    "--n-bins",
    type=click.IntRange(2),
    metavar="N",
    help="Length of the m/z axis (profiles); default: three bins for each peak width.",
)
@click.option("--outline", is_flag=True, help="Measure an outline around the sample instead of the whole frame.")
@click.option("--pixel-size-um", type=click.FloatRange(0, min_open=True), default=50.0, show_default=True)
@click.option("--zlib", is_flag=True, help="Compress the arrays.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
def simulate(out: Path, **options: Any) -> None:
    """Write a section whose informative channels are known.

    Beside OUT.imzML and its ibd: OUT_truth.csv (m/z, kind and structure of every channel) and OUT_mask.npz.
    """
    with progress_bar(out.name, "pixels") as progress:
        section = imn.simulate(out, progress=progress, **options)
    height, width = section.measured.shape
    measured = "" if section.measured.all() else f" ({section.measured.sum()} measured)"
    click.echo(f"{height} x {width} pixels{measured}, {len(section.truth)} channels, seed {section.seed}")
    for path in (section.path, section.path.with_suffix(".ibd"), section.truth_path, section.mask_path):
        click.echo(f"  {path} ({format_bytes(path.stat().st_size)})")
