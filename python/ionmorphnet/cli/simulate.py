"""``ionmorphnet simulate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

import ionmorphnet as imn
from ionmorphnet.base.units import format_bytes
from ionmorphnet.cli._shared import progress_bar
from ionmorphnet.io.literals import InstrumentName
from ionmorphnet.io.sizes import pixels_text


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.imzML")
@click.option(
    "--shape",
    nargs=2,
    type=click.IntRange(16),
    default=(100, 100),
    show_default=True,
    metavar="HEIGHT WIDTH",
    help="Size of the frame in pixels.",
)
@click.option(
    "--n-channels",
    type=click.IntRange(1),
    metavar="N",
    help="Number of channels; default: 2000, or as many as the instrument's range holds.",
)
@click.option(
    "--mode",
    type=click.Choice(["processed", "continuous"]),
    default="processed",
    show_default=True,
    help="One m/z axis per spectrum, or one for all.",
)
@click.option(
    "--spectrum-type",
    type=click.Choice(["centroid", "profile"]),
    help="Peak lists or full profiles; default: profile with --instrument, otherwise centroid.",
)
@click.option(
    "--instrument",
    type=click.Choice(get_args(InstrumentName)),
    help="Write profiles as this mass analyser does: width, sampling, isotopes, adducts, baseline, chemical noise.",
)
@click.option(
    "--rare-share",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of channels that are replaced by ions in 1 % of the pixels.",
)
@click.option(
    "--n-informative",
    type=click.IntRange(0),
    metavar="N",
    help="Number of structured, localized or negative channels; default: a quarter.",
)
@click.option(
    "--mz-range",
    nargs=2,
    type=float,
    default=None,
    metavar="LOW HIGH",
    help="m/z range; default: 100 to 1000, or the instrument's.",
)
@click.option(
    "--jitter-ppm",
    type=click.FloatRange(0),
    help="Largest random m/z error of a peak; default: 2, or the instrument's.",
)
@click.option(
    "--drift-ppm", type=click.FloatRange(0), default=0.0, show_default=True, help="Calibration drift over the section."
)
@click.option(
    "--min-gap-ppm",
    type=click.FloatRange(0, min_open=True),
    help="Smallest distance between two channels; default: 15 for centroids, three peak widths for profiles.",
)
@click.option(
    "--close-pairs",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    metavar="N",
    help="Channel pairs exactly --min-gap-ppm apart; all other channels keep three times that distance.",
)
@click.option(
    "--noise-peaks",
    type=click.FloatRange(0),
    default=20.0,
    show_default=True,
    help="Mean number of peaks per pixel that belong to no channel (processed centroids).",
)
@click.option(
    "--resolving-power",
    type=click.FloatRange(100),
    help="m/z divided by the peak width at half maximum (profiles); default: 20000, or the instrument's.",
)
@click.option(
    "--n-bins",
    type=click.IntRange(2),
    metavar="N",
    help="Length of the m/z axis (profiles); default: three bins or more per peak width.",
)
@click.option("--outline", is_flag=True, help="Measure only an outline around the sample, not the whole frame.")
@click.option(
    "--pixel-size-um",
    type=click.FloatRange(0, min_open=True),
    default=50.0,
    show_default=True,
    help="Width and height of a pixel in micrometres.",
)
@click.option("--zlib", is_flag=True, help="Compress the arrays.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Equal seeds write equal files.")
def simulate(out: Path, **options: Any) -> None:
    """Write a simulated section with known informative channels.

    Writes OUT.imzML, OUT.ibd, OUT_truth.csv (m/z, class and structure of each channel), OUT_mask.npz and, with
    --instrument, OUT_peaks.csv (m/z, width and signal to noise of each peak).
    """
    with progress_bar(out.name, "pixels") as progress:
        section = imn.simulate(out, progress=progress, **options)
    measured = "" if section.measured.all() else f", {section.measured.sum()} measured"
    size = pixels_text(section.measured.shape)
    click.echo(f"{size}{measured}, {len(section.truth)} channels, seed {section.seed}")
    written = [section.path, section.path.with_suffix(".ibd"), section.truth_path, section.mask_path]
    for path in written if section.peaks_path is None else [*written, section.peaks_path]:
        click.echo(f"  {path} ({format_bytes(path.stat().st_size)})")
