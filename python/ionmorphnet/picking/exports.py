"""Picked channels in other tools' formats: continuous imzML and AnnData."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.base.extras import require_pyarrow
from ionmorphnet.base.files import atomic_path, refuse_replacing
from ionmorphnet.base.json_output import plain
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.file_state import known_state, plain_uuid
from ionmorphnet.io.imzml_origin import Param, read_origin
from ionmorphnet.io.imzml_writer import LARGEST_POSITION, ImzMLWriter
from ionmorphnet.picking.run_record import RunRecord

if TYPE_CHECKING:
    import anndata

_IMAGE_BYTES_AT_A_TIME = 256 << 20


def write_imzml(path: PathLike, ds: Dataset, picks: pd.DataFrame) -> None:
    """Writes channels of a section as a continuous centroid imzML (m/z ascending, float32) with its ibd.

    Pixels keep the positions that they have in the section's file. Positions that imzML does not allow (below 1), or
    that count steps of the stage, are numbered from 1.

    Args:
        path: The imzML file.
        ds: The section.
        picks: Columns mz, mz_lo, mz_hi; at least one row.

    Raises:
        FileError: It cannot be written, or is the section's own file.
    """
    targets = (Path(path), Path(path).with_suffix(".ibd"))
    refuse_replacing(targets, (ds.path, ds.ibd_path), "give another name")
    picks = picks.sort_values("mz", kind="stable")
    positions = file_positions(ds)
    for axis, (lowest, step) in enumerate(zip(ds.coordinate_origin, ds.coordinate_step, strict=True)):
        stage = step > 1 and axis < 2
        if stage or lowest < 1 or positions[:, axis].max() > LARGEST_POSITION:
            positions[:, axis] = (positions[:, axis] - lowest) // step + 1
    methods = [(Param("MS:1000035", "peak picking"), Param("", "ionmorphnet", "channels ranked by their ion images"))]
    if ds.normalize != "none":
        methods.insert(0, (Param("MS:1001484", "intensity normalization"), Param("", "ionmorphnet", ds.normalize)))
    with ImzMLWriter(
        path,
        mode="continuous",
        spectrum_type="centroid",
        pixel_size_um=ds.pixel_size_um,
        ms_level=ds.ms_level,
        origin=dataclasses.replace(read_origin(ds.path, ds.declared), polarity=ds.polarity),
        methods=methods,
    ) as writer:
        writer.add_shared(positions, picks["mz"].to_numpy(), pixel_matrix(ds, picks))


def write_parquet(path: PathLike, frame: pd.DataFrame, run: RunRecord | None) -> None:
    """Writes a table of picks as Parquet; what is known of the section is in the frame's ``attrs``.

    Raises:
        UnavailableError: pyarrow is not installed.
        FileError: The file cannot be written.
    """
    require_pyarrow()
    if run is not None:
        section = run.input
        frame.attrs = plain(
            {
                "source": section.path,
                "uuid": section.uuid,
                "pixel_size_um": section.pixel_size_um,
                "region": section.region,
                "score": run.score,
                "warnings": list(dict.fromkeys((*section.warnings, *run.warnings))),
            }
        )
    with atomic_path(path) as temporary:
        frame.to_parquet(temporary, index=False, engine="pyarrow")


def anndata_table(ds: Dataset, picks: pd.DataFrame) -> anndata.AnnData:
    """Channels of a section as AnnData: X = pixels x channels (float32), var = the table, obsm["spatial"] = x, y.

    ``spatial`` is in micrometres if the file tells its pixel size; ``obsm["spatial_pixels"]`` counts pixels.

    Args:
        ds: The section.
        picks: Columns mz, mz_lo, mz_hi, label, scorer, and any others.

    Raises:
        UnavailableError: anndata is not installed.
    """
    try:
        import anndata
    except ImportError:
        raise UnavailableError("to_anndata needs anndata: pip install 'ionmorphnet[anndata]'") from None
    sample = section_id(ds)
    obs = pixel_table(ds.mask, sample)
    obs[["imzml_x", "imzml_y", "imzml_z"]] = file_positions(ds)
    obs["region"] = pixel_regions(ds)
    var = picks.set_index(pd.Index([f"{mz:.6f}" for mz in picks["mz"]], dtype=object))
    # AnnData writes plain strings; pandas' missing labels become empty. A slash would make a group in the file.
    for name in [each for each in var.columns if var[each].dtype == "string"]:
        var[name] = var[name].astype(object).where(var[name].notna(), "")
    var = var.rename(columns={name: str(name).replace("/", "_") for name in var})
    table = anndata.AnnData(X=pixel_matrix(ds, picks), obs=obs, var=var)
    add_place(table, ds)
    return table


def section_facts(ds: Dataset) -> dict[str, Any]:
    """What an export says about its section: where it comes from, its scale, how it was measured and opened.

    A key is left out where the file does not tell.
    """
    size = ds.pixel_size_um
    facts = {
        "sample": section_id(ds),
        "source": os.path.abspath(ds.path),
        "uuid": ds.declared.get("uuid"),
        "plane_z": ds.plane_z,
        "region": ds.region_number,
        "polarity": ds.polarity,
        "ms_level": ds.ms_level,
        "instrument": ds.declared.get("instrument"),
        "pixel_size_um": None if size is None else list(size),
        "spatial_unit": "pixel" if size is None else "micrometer",
        "normalize": ds.normalize,
        "version": version("ionmorphnet"),
    }
    return {key: value for key, value in facts.items() if value is not None}


def section_id(ds: Dataset) -> str:
    """The name of the file, with the plane, region and polarity if it has several, and the start of its UUID.

    Sections of a study often have one file name; names of pixels stay different when their tables are joined.
    """
    options = ds.open_options
    parts = [Path(ds.path).stem, "" if ds.plane_z is None else f"z{ds.plane_z}"]
    parts += ["" if ds.region_number is None else f"region{ds.region_number}", str(options.get("polarity") or "")]
    digits = plain_uuid(ds.declared.get("uuid")) or known_state(ds.path, ds.ibd_path).get("pieces_sha256", "unknown")
    return "_".join(part for part in parts if part) + f"-{digits[:6]}"


def add_place(table: anndata.AnnData, ds: Dataset) -> None:
    """Adds to a table where its pixels lie (``obs``, ``obsm``) and what it was made from (``uns``).

    ``spatial`` is in micrometres if the file tells its pixel size.

    Args:
        table: One row per measured pixel, ``obs`` as :func:`pixel_table` makes it.
        ds: The section.
    """
    pixels = table.obs[["ion_image_pixel_x", "ion_image_pixel_y"]].to_numpy(np.float64)
    size = ds.pixel_size_um
    table.obsm["spatial_pixels"] = pixels
    table.obsm["spatial"] = pixels if size is None else pixels * np.array(size)
    if size is not None:
        table.obs[["x_um", "y_um"]] = table.obsm["spatial"]
    table.uns["ionmorphnet"] = section_facts(ds)


def images_in_parts(ds: Dataset, picks: pd.DataFrame) -> Iterator[tuple[int, npt.NDArray[np.float32]]]:
    """Ion images (n, H, W) of a few rows at a time, each time with the position of the first."""
    height, width = ds.shape
    lo, hi = picks["mz_lo"].to_numpy(), picks["mz_hi"].to_numpy()
    step = max(1, _IMAGE_BYTES_AT_A_TIME // (4 * height * width))
    for first in range(0, len(picks), step):
        yield first, ds.window_images(lo[first : first + step], hi[first : first + step])


def pixel_matrix(ds: Dataset, picks: pd.DataFrame) -> npt.NDArray[np.float32]:
    """float32 (measured pixels in row-major order, rows of ``picks``), made a few images at a time."""
    mask = ds.mask
    matrix = np.empty((int(mask.sum()), len(picks)), np.float32)
    for first, images in images_in_parts(ds, picks):
        matrix[:, first : first + len(images)] = images[:, mask].T
    return matrix


def file_positions(ds: Dataset) -> npt.NDArray[np.int64]:
    """x, y, z of the measured pixels of one plane as the imzML file gives them, row by row, int64 (n, 3).

    Where spectra share a pixel, the position of the first one; steps and regions may have been rounded off in the grid.
    """
    pixels = ds._native.pixels
    shown = pixels[np.argsort(pixels[:, 0], kind="stable"), 1]
    positions: npt.NDArray[np.int64] = ds.raw_coordinates[shown]
    return positions


def pixel_regions(ds: Dataset) -> npt.NDArray[np.int32]:
    """Number of the region of each measured pixel, row by row, int32 (n,); 0: in none."""
    regions = ds.region_map[ds.mask]
    return regions if ds.region_number is None else np.full_like(regions, ds.region_number)


def pixel_table(mask: npt.NDArray[np.bool_], sample: str) -> pd.DataFrame:
    """One row per measured pixel, row by row, named ``sample:y_x``: its place and the shape of the images.

    Args:
        mask: bool (H, W), measured pixels.
        sample: The section, see :func:`section_id`.

    Returns:
        Columns sample, ion_image_pixel_y, ion_image_pixel_x (from 0), ion_image_shape_y, ion_image_shape_x.
    """
    measured = np.argwhere(mask)
    height, width = mask.shape
    return pd.DataFrame(
        {
            "sample": pd.Categorical([sample] * len(measured), categories=[sample]),
            "ion_image_pixel_y": measured[:, 0],
            "ion_image_pixel_x": measured[:, 1],
            "ion_image_shape_y": height,
            "ion_image_shape_x": width,
        },
        index=[f"{sample}:{y}_{x}" for y, x in measured],
    )
