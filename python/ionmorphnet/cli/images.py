"""``ionmorphnet images``."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np

import ionmorphnet as imn
from ionmorphnet._files import atomic_path
from ionmorphnet.cli._shared import parse_mz_values, show_warnings
from ionmorphnet.errors import ArgumentError
from ionmorphnet.rendering import write_contact_sheet


@click.command(short_help="Write ion images as NPZ or PNG.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--mz", required=True, metavar="LIST", help="m/z values, 500.1,600.2, or a CSV file.")
@click.option("--ppm", type=float, metavar="P", help="Half width of the windows, parts per million.")
@click.option("--tol", type=float, metavar="T", help="Half width of the windows, m/z units.")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="OUT.npz (data) or OUT.png (picture)."
)
def images(file: Path, mz: str, ppm: float | None, tol: float | None, out: Path) -> None:
    """Write the ion images of FILE at the given m/z.

    NPZ: images float32 (n, H, W) with NaN where nothing was measured, mz (n,), mask (H, W).
    PNG: one sheet, each image clipped at its 0.99 quantile.
    """
    suffix = out.suffix.lower()
    if suffix not in (".npz", ".png"):
        raise ArgumentError(f"{out}: the output must end in .npz or .png")
    values = parse_mz_values(mz)
    with imn.open(file) as ds:
        stack = ds.ion_images(values, ppm=ppm, tol=tol)
        if suffix == ".png":
            write_contact_sheet(out, stack, values)
        else:
            with atomic_path(out) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(stream, images=stack, mz=np.asarray(values), mask=ds.mask)
        empty = [value for value, image in zip(values, stack, strict=True) if not np.nan_to_num(image).any()]
        if empty:
            listed = ", ".join(f"{value:.4f}" for value in empty[:5]) + (", ..." if len(empty) > 5 else "")
            ds_range = "{:.4f} to {:.4f}".format(*ds.mz_range)
            text = f"{len(empty)} of {len(values)} images hold no signal (m/z {listed}); the file spans {ds_range}"
            show_warnings([text], name=file.name)
        show_warnings(list(ds.warnings), name=file.name)
    click.echo(f"{out}: {len(values)} images of {stack.shape[1]} x {stack.shape[2]} pixels")
