"""Ion images as pictures of the labelling page: read ahead in the order of showing, kept in bounded memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.rendering import block_mean, encode_png, upper_level
from ionmorphnet.labelling.candidates import Candidates

Scaling = Literal["linear", "sqrt"]

# Sides of larger images are divided until they fit: a screen shows no more.
MAX_SIDE = 1024
# Images read in one pass over the file, and images kept.
_READ_AHEAD = 24
_READ_BYTES = 64 * 2**20
_KEPT_BYTES = 256 * 2**20


class Pictures:
    """Ion images of some candidates; safe for calls from several threads."""

    def __init__(self, candidates: Candidates, queue: Callable[[], Sequence[int]]) -> None:
        """Read nothing yet.

        Args:
            candidates: The images.
            queue: Returns the items in the order of showing; the images that follow the requested one are read with
                it, because a pass over the file costs about the same for one image as for many.
        """
        self._candidates, self._queue = candidates, queue
        self._kept: OrderedDict[int, NDArray[np.float32]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def image(self, item: int) -> NDArray[np.float32]:
        """Image of an item, float32 (H, W), NaN = not measured; block means if a side exceeds ``MAX_SIDE``.

        Raises:
            ArgumentError: There is no such item.
            FileError: The section cannot be read.
        """
        if not 0 <= item < len(self._candidates):
            raise ArgumentError(f"item must be from 0 to {len(self._candidates) - 1}, not {item}")
        with self._lock:
            if item not in self._kept:
                self._read(item)
            self._kept.move_to_end(item)
            return self._kept[item]

    def _read(self, item: int) -> None:
        first = self._shrunk(self._candidates.read([item])[0]) if not self._kept else None
        if first is not None:  # the size of the others is about that of the first
            self._keep(item, first)
        size = next(iter(self._kept.values())).nbytes
        queue = list(self._queue())
        at = queue.index(item) if item in queue else len(queue)
        ahead = [item, *(other for other in queue[at + 1 : at + _READ_AHEAD] if other not in self._kept)]
        wanted = [each for each in ahead[: max(1, _READ_BYTES // size)] if each not in self._kept]
        if not wanted:
            return
        for number, image in zip(wanted, self._candidates.read(wanted), strict=True):
            self._keep(number, self._shrunk(image))
        self._kept.move_to_end(item)
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes

    def _keep(self, item: int, image: NDArray[np.float32]) -> None:
        self._kept[item] = image
        self._bytes += image.nbytes

    @staticmethod
    def _shrunk(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return block_mean(image, max(1, -(-max(image.shape) // MAX_SIDE)))

    def png(self, item: int, scaling: str) -> bytes:
        """PNG of an image, clipped at its 0.99 quantile; unmeasured pixels are transparent.

        Args:
            item: Number of the candidate.
            scaling: ``linear``, or ``sqrt`` for the square root of the intensities, which lifts what is faint.

        Raises:
            ArgumentError: Unknown scaling or item.
            FileError: The section cannot be read.
        """
        if scaling not in get_args(Scaling):
            raise ArgumentError(f"scaling must be {' or '.join(get_args(Scaling))}, not {scaling!r}")
        return draw(self.image(item), scaling == "sqrt")

    def info(self, item: int) -> dict[str, object]:
        """Size, brightest intensity and share of pixels with signal of an image, as plain values.

        Raises:
            ArgumentError: There is no such item.
            FileError: The section cannot be read.
        """
        image = self.image(item)
        measured = image[~np.isnan(image)]
        return {
            "height": image.shape[0],
            "width": image.shape[1],
            "upper": upper_level(image),
            "signal": float((measured > 0).mean()) if measured.size else 0.0,
        }


def draw(image: NDArray[np.float32], root: bool = False) -> bytes:
    """PNG of an image, clipped at its 0.99 quantile.

    Args:
        image: float32 (H, W), NaN = not measured, drawn transparent.
        root: Whether to draw the square root of the intensities.
    """
    upper = upper_level(image)
    if not root:
        return encode_png(image, upper=upper)
    return encode_png(np.sqrt(np.maximum(image, 0.0)), upper=upper**0.5)


def outline(mask: NDArray[np.bool_]) -> str:
    """Outline of a region along the pixel edges, as the data of an SVG path in pixel coordinates.

    Args:
        mask: bool (H, W).

    Returns:
        Moves and lines such as ``M2 1h5M7 1v3``; empty for an empty region.
    """
    padded = np.pad(mask, 1)
    parts = []
    # Between rows y - 1 and y lies a horizontal edge wherever exactly one of the two belongs to the region.
    for y, x, length in _runs(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        parts.append(f"M{x} {y}h{length}")
    for x, y, length in _runs((padded[1:-1, 1:] != padded[1:-1, :-1]).T):
        parts.append(f"M{x} {y}v{length}")
    return "".join(parts)


def _runs(edges: NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """Row, first column and length of each run of true values."""
    steps = np.diff(np.pad(edges, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    starts, ends = np.argwhere(steps == 1), np.argwhere(steps == -1)
    return [(int(row), int(a), int(b - a)) for (row, a), (_, b) in zip(starts, ends, strict=True)]
