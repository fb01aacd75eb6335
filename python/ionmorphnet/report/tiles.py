"""Thumbnails of many images in few bytes: levels of a colour map, compressed together."""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.io.rendering import block_mean, colour_levels, colour_table, upper_level

LEVELS = 64  # Colours of a thumbnail: the eye tells no more apart, and twice as many take 5 % more bytes.
# Thumbnails have the side on the left if all of them together stay below the pixels that fit into a page.
SIDES = (128, 96, 80, 64, 48)
MAX_PIXELS = 40_000_000
# Compressed bytes of all thumbnails of channels; a third more as text. Limits the page to less than 30 MB.
MAX_BYTES = 17_000_000


@dataclass(frozen=True)
class Tile:
    """A thumbnail.

    Attributes:
        levels: uint8 (height, width), 0 to ``LEVELS`` - 1; ``LEVELS`` where nothing was measured.
        upper: Intensity of the last level and all above.
        ratio: Width over height of what is shown.
    """

    levels: NDArray[np.uint8]
    upper: float
    ratio: float


@dataclass(frozen=True)
class Crop:
    """Which part of a grid is shown: the rectangle of the measured pixels.

    Attributes:
        rows: Rows of the grid.
        columns: Columns of it.
    """

    rows: slice
    columns: slice

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Crop:
        """The crop to the measured pixels (height, width); the whole grid if there are none."""
        if not mask.any():
            return cls(slice(0, mask.shape[0]), slice(0, mask.shape[1]))
        y, x = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        return cls(slice(int(y[0]), int(y[-1]) + 1), slice(int(x[0]), int(x[-1]) + 1))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of what is shown."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def make_tile(
    image: NDArray[np.floating], crop: Crop, side: int, pixel_size_um: tuple[float, float] | None = None
) -> Tile:
    """A thumbnail of an image (height, width), NaN = not measured: means of blocks, at most ``side`` long."""
    part = image[crop.rows, crop.columns]
    height, width = part.shape
    small = block_mean(part, max(1, -(-max(part.shape) // side)))
    upper = upper_level(small)
    wide, high = pixel_size_um or (1.0, 1.0)
    return Tile(colour_levels(small, upper, LEVELS), upper, width * wide / (height * high))


def tile_pixels(shape: tuple[int, int], side: int) -> int:
    """Pixels of a thumbnail of an image of this shape."""
    factor = max(1, -(-max(shape) // side))
    return (-(-shape[0] // factor)) * (-(-shape[1] // factor))


def plan(shapes: Sequence[tuple[int, int]], n_channels: int) -> tuple[int, int]:
    """Longer side of the thumbnails, and how many channels can have them.

    Args:
        shapes: Height and width of the sections.
        n_channels: How many channels there are to show.
    """
    for side in SIDES:
        each = sum(tile_pixels(shape, side) for shape in shapes)
        if each * n_channels <= MAX_PIXELS:
            return side, n_channels
    return SIDES[-1], min(n_channels, max(1, MAX_PIXELS // max(each, 1)))


def pack(tiles: Sequence[Tile | None]) -> bytes:
    """The levels of all tiles one after the other, row by row, as a zlib stream."""
    return zlib.compress(b"".join(tile.levels.tobytes() for tile in tiles if tile is not None), 9)


def deflated(values: NDArray[np.uint8]) -> bytes:
    """Values row by row as a zlib stream."""
    return zlib.compress(np.ascontiguousarray(values).tobytes(), 9)


def as_text(packed: bytes) -> str:
    """Packed tiles as they stand in the page."""
    return base64.b64encode(packed).decode("ascii")


def palette() -> list[str]:
    """Colours of the levels, ``#rrggbb``."""
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in colour_table(LEVELS).tolist()]


def short(value: float) -> float | None:
    """An intensity with four digits, as it is shown; None if it is not finite."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
