"""Ion images as pictures inside a page."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.io.rendering import block_mean, encode_png, upper_level
from ionmorphnet.report.data import ReportData

MAX_SIDE = 512  # Larger sections are drawn from block means.
MAX_PIXELS = 20_000_000  # Of all pictures together; keeps the page near 10 MB at worst.


@dataclass(frozen=True)
class Picture:
    """A PNG as base64, and the intensity of its brightest colour."""

    png: str
    upper: float


@dataclass(frozen=True)
class ScaleBar:
    """A bar of a round length: its share of the picture's width, and that length as text."""

    fraction: float
    text: str


def block_factor(shape: tuple[int, int], n: int) -> int:
    """Smallest block size at which ``n`` pictures of ``(H, W)`` pixels keep to the limits of side and total."""
    factor = max(1, -(-max(shape) // MAX_SIDE))
    while n * (-(-shape[0] // factor)) * (-(-shape[1] // factor)) > MAX_PIXELS:
        factor += 1
    return factor


def picture(image: NDArray[np.floating], factor: int) -> Picture:
    """Draw an image from means over blocks, clipped at the quantile of what is drawn."""
    small = block_mean(image, factor)
    upper = upper_level(small)
    return Picture(base64.b64encode(encode_png(small, upper=upper)).decode("ascii"), upper)


def geometry(data: ReportData, factor: int) -> dict[str, Any]:
    """Size in drawn pixels, ratio of width to height on the sample, and the scale bar."""
    height, width = (-(-side // factor) for side in data.tic.shape)
    pitch_x, pitch_y = data.pixel_size_um or (1.0, 1.0)
    bar = scale_bar(width * factor * pitch_x) if data.pixel_size_um else None
    return {
        "width": width,
        "height": height,
        "ratio": width * pitch_x / (height * pitch_y),
        "bar": None if bar is None else {"fraction": bar.fraction, "text": bar.text},
    }


def scale_bar(width_um: float) -> ScaleBar:
    """The longest bar of 1, 2 or 5 times a power of ten that fits a third of a picture ``width_um`` wide."""
    decade = 10.0 ** math.floor(math.log10(width_um / 3))
    length = max(m * decade for m in (1, 2, 5) if m * decade <= width_um / 3 * (1 + 1e-9))
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    return ScaleBar(length / width_um, text)


def measured_area(data: ReportData) -> str:
    """Number of measured pixels and their share of the grid; their area where the pixel size is known."""
    measured = int((~np.isnan(data.tic)).sum())
    share = measured / data.tic.size
    text = f"{measured:,} of {data.tic.size:,} pixels ({share:.0%})" if share < 1 else f"{measured:,} pixels (all)"
    if data.pixel_size_um is not None:
        area = measured * data.pixel_size_um[0] * data.pixel_size_um[1] / 1e6
        text += f", {area:.3g} mm²"
    return text
