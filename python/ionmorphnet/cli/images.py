"""``ionmorphnet images``."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click
import numpy as np

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.cli._open_options import normalize_option, open_options
from ionmorphnet.cli._shared import show_warnings, spinner
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.mz_list import parse_mz_values
from ionmorphnet.io.open_options import OpenOptions
from ionmorphnet.io.rendering import write_contact_sheet
from ionmorphnet.io.sizes import pixels_text


@click.command()
@click.argument("file", type=click.Path(path_type=Path, readable=False))
@click.option(
    "--mz", required=True, metavar="LIST", help="m/z values such as 500.1,600.2, or a CSV file with an mz column."
)
@click.option("--ppm", type=float, metavar="P", help="Half width of the windows in parts per million.")
@click.option("--tol", type=float, metavar="T", help="Half width of the windows in m/z units.")
@normalize_option("Divide the images by this norm of each pixel's spectrum.")
@click.option("--plane", type=int, metavar="Z", help="The z plane, if FILE has several.")
@click.option("--region", type=click.IntRange(1), metavar="K", help="Only this region of the slide, see info.")
@open_options()
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="OUT.npz for data or OUT.png for a picture."
)
def images(
    file: Path,
    mz: str,
    ppm: float | None,
    tol: float | None,
    normalize: Normalize,
    plane: int | None,
    region: int | None,
    out: Path,
    opened: OpenOptions,
) -> None:
    """Write the ion images of FILE at the given m/z values.

    NPZ: images, float32 (n, height, width) with NaN = not measured; mz (n,); mask (height, width);
    normalize, the name of the normalisation.
    PNG: one sheet with all images at their true aspect, each clipped at its 0.99 quantile; with a scale bar if the
    pixel size is known.
    """
    suffix = out.suffix.lower()
    if suffix not in (".npz", ".png"):
        raise ArgumentError(f"{out}: the output must end in .npz or .png")
    values = parse_mz_values(mz)
    with contextlib.ExitStack() as stack:
        with spinner(f"{file.name}: opening"):
            ds = _one_plane(stack.enter_context(imn.open(file, **opened)), file, plane)
            if region is not None:
                ds = ds.region(region)
        with spinner(f"{file.name}: {len(values)} images"):
            found = ds.ion_images(values, ppm=ppm, tol=tol, normalize=normalize)
            if suffix == ".png":
                write_contact_sheet(out, found, values, pixel_size_um=ds.pixel_size_um)
            else:
                with atomic_path(out) as temporary, temporary.open("wb") as stream:
                    np.savez_compressed(stream, images=found, mz=np.asarray(values), mask=ds.mask, normalize=normalize)
        empty = [value for value, image in zip(values, found, strict=True) if not np.nan_to_num(image).any()]
        if empty:
            listed = ", ".join(f"{value:.4f}" for value in empty[:5]) + (", ..." if len(empty) > 5 else "")
            ds_range = "{:.4f} to {:.4f}".format(*ds.mz_range)
            text = f"{len(empty)} of {len(values)} images have no signal (m/z {listed}); the file covers {ds_range}"
            show_warnings([text], name=file.name)
        show_warnings(list(ds.warnings), name=file.name)
    click.echo(f"{out}: {len(values)} images of {pixels_text(found.shape[1:])}")


def _one_plane(ds: imn.Dataset, file: Path, plane: int | None) -> imn.Dataset:
    planes = ds.z_planes
    listed = ", ".join(map(str, planes[:10])) + (", ..." if len(planes) > 10 else "")
    if plane is None:
        if len(planes) > 1:
            raise ArgumentError(f"{file}: holds {len(planes)} z planes ({listed}); choose one with --plane")
        return ds
    if plane not in planes:
        raise ArgumentError(f"{file}: no z plane {plane}; pass one of {listed} to --plane")
    return ds.plane(plane)
