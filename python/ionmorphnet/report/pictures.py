"""Ion images as pictures in the page."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.io.rendering import block_mean, encode_png, scale_bar, upper_level
from ionmorphnet.io.sample_maps import SampleMap
from ionmorphnet.report.data import ReportData

MAX_SIDE = 512  # Larger sections are drawn as block means.
MAX_REGIONS = 60  # More boxes would hide the section.
MAX_PIXELS = 20_000_000  # All pictures together; limits the page to about 10 MB.


@dataclass(frozen=True)
class Picture:
    """PNG as base64, and the intensity of its brightest colour."""

    png: str
    upper: float


@dataclass(frozen=True)
class SampleView:
    """Sample map as PNG in base64, empty if it is unknown, and what it says in a sentence."""

    png: str
    text: str


@dataclass(frozen=True)
class RegionBox:
    """Box of a region in percent of the picture, and its number and size as text."""

    number: int
    left: float
    top: float
    width: float
    height: float
    text: str


class Geometry(TypedDict):
    """Size of a picture as drawn.

    Attributes:
        width: Columns of the picture.
        height: Rows of the picture.
        ratio: Width over height of the section itself.
        bar: Scale bar as ``fraction`` and ``text``; None if the pixel size is unknown.
    """

    width: int
    height: int
    ratio: float
    bar: dict[str, float | str] | None


def block_factor(shape: tuple[int, int], n: int) -> int:
    """Smallest block size at which n pictures of (height, width) pixels stay within the size limits."""
    factor = max(1, -(-max(shape) // MAX_SIDE))
    while n * (-(-shape[0] // factor)) * (-(-shape[1] // factor)) > MAX_PIXELS:
        factor += 1
    return factor


def picture(image: NDArray[np.floating], factor: int) -> Picture:
    """Draws the block means of an image, clipped at a quantile of those means."""
    small = block_mean(image, factor)
    upper = upper_level(small)
    return Picture(base64.b64encode(encode_png(small, upper=upper)).decode("ascii"), upper)


def sample_view(sample: SampleMap, tic: NDArray[np.floating], factor: int) -> SampleView:
    """Draws the block means of a sample map from 0 to 1."""
    png = ""
    if sample.map is not None:
        small = block_mean(np.where(np.isnan(tic), np.float32(np.nan), sample.map), factor)
        png = base64.b64encode(encode_png(small, upper=1.0)).decode("ascii")
    return SampleView(png, sample_text(sample))


def sample_text(sample: SampleMap) -> str:
    """What a sample map says, in a sentence."""
    looked = f"{sample.n_coherent} of {sample.n_images} images"
    if sample.kind == "unknown":
        return "unknown: too few spatially coherent images or pixels to tell"
    if sample.kind == "off":
        return "not looked for"
    share = f"{sample.share:.0%}" if sample.share is not None else "an unknown share"
    if sample.kind == "given":
        return f"about {share} of the measured pixels, by the map that was given"
    if sample.kind == "all":
        return f"the measured pixels appear to be sample throughout (from {looked})"
    noise = ""
    if sample.noise is not None:
        level = f"up to {sample.noise:.0%} of a bright pixel" if sample.noise >= 0.005 else "next to none"
        noise = f"; signal of its ions off the sample: {level}"
    return f"about {share} of the measured pixels (from {looked}{noise})"


def geometry(data: ReportData, factor: int) -> Geometry:
    """Geometry of pictures drawn with this block size."""
    height, width = (-(-side // factor) for side in data.tic.shape)
    pitch_x, pitch_y = data.pixel_size_um or (1.0, 1.0)
    bar = scale_bar(width * factor * pitch_x) if data.pixel_size_um else None
    return {
        "width": width,
        "height": height,
        "ratio": width * pitch_x / (height * pitch_y),
        "bar": None if bar is None else {"fraction": bar.fraction, "text": bar.text},
    }


def region_boxes(data: ReportData) -> list[RegionBox]:
    """Boxes of the regions, none if there is only one."""
    if len(data.regions) < 2:
        return []
    height, width = data.tic.shape
    return [
        RegionBox(
            region.number,
            100 * region.x0 / width,
            100 * region.y0 / height,
            100 * region.width / width,
            100 * region.height / height,
            f"{region.n_pixels:,} pixels" + _area_text(region.n_pixels, data.pixel_size_um),
        )
        for region in data.regions[:MAX_REGIONS]
    ]


def measured_area(data: ReportData) -> str:
    """Number of measured pixels, their share of the grid, and their area if the pixel size is known."""
    measured = int((~np.isnan(data.tic)).sum())
    share = measured / data.tic.size
    text = f"{measured:,} of {data.tic.size:,} pixels ({share:.0%})" if share < 1 else f"{measured:,} pixels (all)"
    return text + _area_text(measured, data.pixel_size_um)


def _area_text(n_pixels: int, pixel_size_um: tuple[float, float] | None) -> str:
    return "" if pixel_size_um is None else f", {n_pixels * pixel_size_um[0] * pixel_size_um[1] / 1e6:.3g} mm²"
