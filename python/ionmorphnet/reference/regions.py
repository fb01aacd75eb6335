"""Regions of a slide: the slow version of ``csrc/io/regions.h``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

REACH = 3  # columns and rows that two pixels of a region are apart at most
FEWEST = 16
SHARE = 1000  # of the largest region, a thousandth is a region


def find_regions(mask: NDArray[np.bool_]) -> list[tuple[int, int, int, int, int]]:
    """Finds the regions of one plane by flooding.

    Args:
        mask: Measured pixels, bool (height, width).

    Returns:
        Pixels, x0, y0, width and height of each region, the largest first, equally large ones row by row.
    """
    todo = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    steps = range(-REACH, REACH + 1)
    found = []
    while todo:
        front, members = [todo.pop()], []
        while front:
            row, column = front.pop()
            members.append((row, column))
            near = [(row + dy, column + dx) for dy in steps for dx in steps if (row + dy, column + dx) in todo]
            todo.difference_update(near)
            front += near
        rows, columns = zip(*members, strict=True)
        x0, y0 = min(columns), min(rows)
        found.append((len(members), x0, y0, max(columns) - x0 + 1, max(rows) - y0 + 1))
    found.sort(key=lambda region: (-region[0], region[2], region[1]))
    return [each for i, each in enumerate(found) if i == 0 or (each[0] >= FEWEST and each[0] * SHARE >= found[0][0])]
