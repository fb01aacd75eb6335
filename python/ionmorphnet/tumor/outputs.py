"""Output of a prediction as NPZ, PNG overlay, or columns in AnnData."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.io.rendering import drawn_shape, enlarged, upper_level
from ionmorphnet.picking.exports import add_place, pixel_table, section_id
from ionmorphnet.tumor.predict import Prediction

if TYPE_CHECKING:
    import anndata

# Distinguishable with every kind of colour vision, and from the grey image below (Okabe and Ito).
COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233), (240, 228, 66))
_FONT_SIZE = 14
_MARGIN = 8
_OUTSIDE = 255


def write_npz(prediction: Prediction, path: PathLike) -> None:
    """Writes a prediction as NPZ.

    Arrays: ``probabilities`` (classes, H, W; NaN = not measured), ``by_spectrum`` (n, classes) in the order of the
    file's spectra with their ``coordinates`` (n, 3), ``labels`` (H, W), ``classes``, ``missing`` and ``silent`` m/z.

    Args:
        prediction: The prediction.
        path: The file.

    Raises:
        FileError: The file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            probabilities=prediction.probabilities,
            by_spectrum=prediction.by_spectrum,
            coordinates=prediction.coordinates,
            labels=prediction.labels,
            classes=np.array(prediction.classes),
            missing=np.array(prediction.missing),
            silent=np.array(prediction.silent),
            source=np.array(os.path.abspath(prediction.path)),
        )


def overlay(prediction: Prediction, *, zoom: int | None = None) -> Image.Image:
    """Draws the most probable class in colour over the TIC in grey, at the true aspect of the pixels.

    The colour is stronger the more certain the class. Pixels that are not measured are white.

    Args:
        prediction: The prediction.
        zoom: Whole number of image pixels on the shorter side of a pixel; None: small sections reach about 480 image
            pixels.

    Returns:
        RGB image with a legend below.
    """
    height, width = prediction.labels.shape
    shape = drawn_shape((height, width), prediction.pixel_size_um, zoom, side=480)
    measured = prediction.measured
    brightness = np.sqrt(np.nan_to_num(prediction.tic) / max(upper_level(prediction.tic), 1e-12))
    grey = np.clip(60.0 + 150.0 * brightness, 0.0, 230.0)[..., None].repeat(3, axis=2)
    n = len(prediction.classes)
    best = np.nan_to_num(prediction.probabilities).max(axis=0)
    sure = np.clip((best - 1.0 / n) / (1.0 - 1.0 / n), 0.0, 1.0)[..., None]
    colours = np.array([COLOURS[k % len(COLOURS)] for k in range(n)], np.float64)
    mixed = grey * (1.0 - 0.75 * sure) + colours[np.maximum(prediction.labels, 0)] * 0.75 * sure
    mixed[~measured] = _OUTSIDE
    body = enlarged(mixed.round().astype(np.uint8), shape)
    font = ImageFont.load_default(_FONT_SIZE)
    entries = [f"{name} {np.mean(prediction.labels[measured] == k):.0%}" for k, name in enumerate(prediction.classes)]
    line = _FONT_SIZE + 8
    key_width = max(int(font.getlength(text)) for text in entries) + _FONT_SIZE + 3 * _MARGIN
    size = (max(body.shape[1] + 2 * _MARGIN, key_width), body.shape[0] + 2 * _MARGIN + line * n)
    picture = Image.new("RGB", size, (_OUTSIDE,) * 3)
    picture.paste(Image.fromarray(body), (_MARGIN, _MARGIN))
    draw = ImageDraw.Draw(picture)
    for k, text in enumerate(entries):
        top = body.shape[0] + 2 * _MARGIN + k * line
        draw.rectangle((_MARGIN, top, _MARGIN + _FONT_SIZE, top + _FONT_SIZE), fill=COLOURS[k % len(COLOURS)])
        draw.text((2 * _MARGIN + _FONT_SIZE, top), text, fill=(0, 0, 0), font=font)
    return picture


def write_overlay(prediction: Prediction, path: PathLike, *, zoom: int | None = None) -> None:
    """Writes :func:`overlay` as PNG.

    Raises:
        FileError: The file cannot be written.
    """
    with atomic_path(path) as temporary:
        about = PngInfo()
        about.add_itxt("Source", os.path.abspath(prediction.path))
        overlay(prediction, zoom=zoom).save(temporary, "PNG", pnginfo=about)


def prediction_columns(prediction: Prediction) -> pd.DataFrame:
    """Frame of ``p_<class>`` and ``tissue_class`` with one row per measured pixel, as in ``PeakList.to_anndata``."""
    measured = prediction.measured
    found = pd.DataFrame(
        {f"p_{name}": prediction.probabilities[k][measured] for k, name in enumerate(prediction.classes)}
    )
    names = np.array(prediction.classes)[prediction.labels[measured]]
    found["tissue_class"] = pd.Categorical(names, categories=list(prediction.classes))
    return found


def annotate(table: anndata.AnnData, prediction: Prediction) -> None:
    """Adds the columns ``p_<class>`` and ``tissue_class`` of a prediction to ``table.obs``, matched by pixel.

    Args:
        table: AnnData of the same section.
        prediction: The prediction.

    Raises:
        ArgumentError: A pixel of the table is not in the prediction, so the table belongs to another section.
    """
    stem = Path(prediction.path).stem
    columns = prediction_columns(prediction).set_index(pixel_table(prediction.measured, stem).index)
    pixels = pd.Index([_of_section(name, stem) for name in table.obs_names])
    missing = pixels.difference(columns.index)
    if len(missing):
        raise ArgumentError(
            f"pixel {missing[0]} of the table is not measured in {prediction.path}; use the table of that section"
        )
    for name, values in columns.loc[pixels].items():
        table.obs[name] = values.to_numpy() if values.dtype.kind == "f" else values.array


def _of_section(name: str, stem: str) -> str:
    """The name of a pixel as tables have it, ``<section>-<start of the UUID>:y_x``, without the UUID."""
    section, _, pixel = name.rpartition(":")
    section = section.rpartition("-")[0]
    return f"{stem}:{pixel}" if not section or f"{section}_".startswith(f"{stem}_") else name


def to_anndata(prediction: Prediction) -> anndata.AnnData:
    """Makes an AnnData of the section and its prediction.

    X holds the intensities of the model's channels, float32 (pixels, channels); obs has the columns ``p_<class>`` and
    ``tissue_class``.

    Raises:
        UnavailableError: anndata is not installed.
        FileError: The section cannot be read.
    """
    try:
        import anndata
    except ImportError:
        raise UnavailableError("to_anndata needs anndata: pip install 'ionmorphnet[anndata]'") from None
    axis = prediction.model.axis
    measured = prediction.measured
    var = pd.DataFrame({"mz": axis.mz}, index=pd.Index([f"{mz:.6f}" for mz in axis.mz], dtype=object))
    with open_dataset(prediction.path, **prediction.opened) as ds:
        matrix = np.empty((int(measured.sum()), len(axis)), np.float32)
        for first in range(0, len(axis), 64):
            part = slice(first, first + 64)
            matrix[:, part] = ds.window_images(axis.mz_lo[part], axis.mz_hi[part])[:, measured].T
        table = anndata.AnnData(X=matrix, obs=pixel_table(measured, section_id(ds)), var=var)
        add_place(table, ds)
    annotate(table, prediction)
    return table
