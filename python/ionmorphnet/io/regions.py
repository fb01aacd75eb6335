"""Regions: sections that lie side by side on one slide, as connected regions of measured pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet import _core

__all__ = ["Region", "found_regions", "part_text", "region_map", "regions_text"]


@dataclass(frozen=True)
class Region:
    """A connected region of measured pixels.

    Two measured pixels belong together if they are at most three columns and three rows apart, so that up to two
    missing lines do not divide a section. A connected set of pixels is a region if it has at least 16 pixels and a
    thousandth of those of the largest one; the largest is always a region. Smaller fragments are in no region.

    Attributes:
        number: Counted from 1, the largest first.
        n_pixels: Measured pixels.
        x0: Column of its upper left corner in the images, counted from 0.
        y0: Row of its upper left corner in the images, counted from 0.
        width: Columns of its box.
        height: Rows of its box.
    """

    number: int
    n_pixels: int
    x0: int
    y0: int
    width: int
    height: int

    def to_dict(self) -> dict[str, int]:
        """Returns all fields as plain Python values, ready for JSON."""
        return asdict(self)


def regions_text(regions: Sequence[Region], most: int = 12) -> list[str]:
    """One line for each region: ``1: 5,200 pixels, 80 x 70 (width x height), from column 13, row 6``.

    Args:
        regions: The regions of a dataset.
        most: A last line counts those beyond this number.
    """
    lines = [
        f"{r.number}: {r.n_pixels:,} pixels, {r.width} x {r.height} (width x height), "
        f"from column {r.x0 + 1}, row {r.y0 + 1}"
        for r in regions[:most]
    ]
    return [*lines, f"and {len(regions) - most} more"] if len(regions) > most else lines


def found_regions(native: _core.Dataset) -> list[Region]:
    """Regions of a native dataset; see :attr:`ionmorphnet.Dataset.regions`."""
    return [Region(*row) for row in native.regions()]


def region_map(native: _core.Dataset) -> NDArray[np.int32]:
    """Region of each pixel of a native dataset; see :attr:`ionmorphnet.Dataset.region_map`."""
    pixels = native.pixels
    numbers = np.zeros((native.height, native.width), dtype=np.int32)
    numbers.reshape(-1)[pixels[:, 0]] = native.region_of_spectrum()[pixels[:, 1]]
    return numbers


def part_text(n_planes: int, plane: int | None, region: int | None) -> str:
    """Which part of a file a dataset is: ``2 z planes``, ``plane z=1, region 2``; empty for a whole file."""
    if n_planes > 1:
        return f"{n_planes} z planes"
    parts = ["" if plane is None else f"plane z={plane}", "" if region is None else f"region {region}"]
    return ", ".join(part for part in parts if part)
