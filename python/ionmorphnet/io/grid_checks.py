"""What is odd about the grid of a section: lines, columns and single pixels that do not fit their neighbours."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

__all__ = ["grid_findings", "line_findings"]

Bools = NDArray[np.bool_]

# Pixels of a line below which it is not judged, and lines below which a section is not.
_FEWEST_PIXELS = 5
_FEWEST_LINES = 8
# Longest run of lines that counts as lost rather than as the space between two regions.
_LONGEST_GAP = 3
# Largest shift between lines that is looked for.
_MOST_SHIFT = 8
# Lines that are compared with the next one, evenly spread over a larger section.
_MOST_LINES = 400


def grid_findings(index: NDArray[np.int64], shape: tuple[int, int], declared: Mapping[str, str]) -> list[str]:
    """Findings from the positions alone.

    Args:
        index: Pixel of each spectrum, int64 (n,), y * width + x.
        shape: Height and width of the grid.
        declared: Declarations of the header.
    """
    height, width = shape
    texts = []
    counts = declared.get("max_count_x"), declared.get("max_count_y")
    if counts == (str(height), str(width)) and height != width:
        texts.append(
            f"the header declares {counts[0]} x {counts[1]} pixels (x, y), and the positions span {width} x {height}, "
            "as if x and y were exchanged in one of the two; compare an ion image with the optical image"
        )
    measured = np.zeros(shape, dtype=np.bool_)
    measured.flat[index] = True
    for name, other, counted in (("line", "y", measured.sum(axis=1)), ("column", "x", measured.sum(axis=0))):
        lost = _lost(counted.astype(np.float64), empty=0.0, fewest=_FEWEST_PIXELS)
        if len(lost):
            texts.append(
                f"{_numbered(lost, name, other)} without a spectrum between {name}s that have some; images and scores "
                "lack them; export again if the instrument measured them"
            )
    return texts + _stray(measured)


def _lost(values: NDArray[np.float64], *, empty: float, fewest: float) -> NDArray[np.int64]:
    """Positions of short runs of at most ``empty`` times what stands on both sides of them, which is usual there."""
    usual = float(np.median(values[values > 0])) if (values > 0).any() else 0.0
    least = max(fewest, 0.3 * usual)
    lost: list[int] = []
    i = 1
    while i < len(values) - 1:
        before = values[i - 1]
        stop = i
        while stop < len(values) - 1 and values[stop] <= empty * before:
            stop += 1
        if stop > i:
            fits = before >= least and values[stop] >= least and stop - i <= _LONGEST_GAP
            if fits and values[i:stop].max() <= empty * values[stop]:
                lost += range(i, stop)
            i = stop
        i += 1
    return np.array(lost, dtype=np.int64)


def _numbered(lost: NDArray[np.int64], name: str, axis: str) -> str:
    shown = ", ".join(str(k + 1) for k in lost[:6].tolist()) + (", ..." if len(lost) > 6 else "")
    return f"{len(lost)} {name}{'s' * (len(lost) != 1)} ({axis} = {shown})"


def _stray(measured: Bools) -> list[str]:
    """Very few spectra far away from all others, which make the grid large."""
    n = int(measured.sum())
    if n < 100:
        return []
    y, x = np.nonzero(measured)
    most = max(1, n // 500)
    box = [np.sort(v) for v in (y, x)]
    for few in range(1, min(most, 4) + 1):
        # The grid without the few outermost lines and columns of either side that hold at most `few` spectra.
        inner = [(int(v[few]), int(v[-1 - few])) for v in box]
        area = np.prod([float(last - first + 1) for first, last in inner])
        outside = (y < inner[0][0]) | (y > inner[0][1]) | (x < inner[1][0]) | (x > inner[1][1])
        if measured.size > 4 * area and 0 < outside.sum() <= 2 * few:
            at = int(np.flatnonzero(outside)[0])
            return [
                f"{int(outside.sum())} of {n} spectra lie far from all others (the first at x {x[at] + 1}, "
                f"y {y[at] + 1} of the grid) and make the images {measured.size / area:.0f} times as large; check "
                "their positions"
            ]
    return []


def line_findings(
    index: NDArray[np.int64], total: NDArray[np.float64], coarse: NDArray[np.float32], shape: tuple[int, int]
) -> list[str]:
    """Findings from the comparison of each line with its neighbours.

    Args:
        index: Pixel of each spectrum, int64 (n,), y * width + x.
        total: Total intensity of each spectrum, float64 (n,).
        coarse: Coarse spectra, float32 (n, bands).
        shape: Height and width of the grid.
    """
    image = np.full(shape, np.nan)
    image.flat[index] = total
    texts = []
    for name, other, axis in (("line", "y", 1), ("column", "x", 0)):
        enough = np.isfinite(image).sum(axis=axis) >= _FEWEST_PIXELS
        sums = np.where(enough, np.nansum(image, axis=axis) / np.maximum(np.isfinite(image).sum(axis=axis), 1), np.nan)
        dead = _dead(sums)
        if len(dead):
            texts.append(
                f"{_numbered(dead, name, other)} with next to no signal between {name}s that have some; images and "
                "scores show them as structure; leave them out when exporting"
            )
    return texts + _misplaced(index, coarse, shape)


def _dead(values: NDArray[np.float64]) -> NDArray[np.int64]:
    known = np.flatnonzero(np.isfinite(values))
    if len(known) < _FEWEST_LINES:
        return np.empty(0, dtype=np.int64)
    return known[_lost(np.maximum(values[known], 0.0), empty=0.02, fewest=0.0)]


def _misplaced(index: NDArray[np.int64], coarse: NDArray[np.float32], shape: tuple[int, int]) -> list[str]:
    """Whether every second line is mirrored or shifted: neighbouring lines then agree better once that is undone."""
    height, width = shape
    spread = coarse.std(axis=0)
    if height < _FEWEST_LINES or width < 2 * _MOST_SHIFT or not (spread > 0).any():
        return []
    standard = (coarse[:, spread > 0] - coarse[:, spread > 0].mean(axis=0)) / spread[spread > 0]
    # Bright spots are not to outweigh the rest.
    standard = np.clip(standard, -3.0, 3.0)
    cube = np.full((height * width, standard.shape[1]), np.nan, dtype=np.float32)
    cube[index] = standard
    lines = cube.reshape(height, width, -1)
    direct = _agreement(lines, 0, mirrored=False)
    # Lines of the same direction are next but one to each other, and agree whatever happened to those between.
    alike = _mean(np.concatenate([_agreement(lines[k::2], 0, mirrored=False) for k in (0, 1)]))
    if _better(_agreement(lines, 0, mirrored=True), direct, alike):
        return [
            "neighbouring lines agree only if every second one is mirrored, as in a meander whose lines were all "
            "written in the same direction; ion images are wrong; export again with the right scan pattern"
        ]
    shifts = [by for by in range(-_MOST_SHIFT, _MOST_SHIFT + 1) if by]
    gains = {by: _agreement(lines, by, mirrored=False) for by in shifts}
    best = max(shifts, key=lambda by: _mean(gains[by] - direct))
    if _better(gains[best], direct, alike):
        return [
            f"every second line is shifted by {abs(best)} pixel{'s' * (abs(best) != 1)} against its neighbours; ion "
            "images are jagged; export again with the lines aligned"
        ]
    return []


def _agreement(lines: NDArray[np.float32], by: int, *, mirrored: bool) -> NDArray[np.float64]:
    """How well each line agrees with the next one, float64 (height - 1,); NaN where they share too few pixels.

    The next line is moved by ``by`` pixels after even lines and by ``-by`` after odd ones, or mirrored in itself.
    """
    height, width, _ = lines.shape
    result = np.full(height - 1, np.nan)
    first = np.linspace(0, height - 2, _MOST_LINES // 2).astype(int) if height > _MOST_LINES else np.arange(height)
    compared = np.unique(np.concatenate([first, first + 1]))  # as many even lines as odd ones
    here = np.arange(width)
    known = np.isfinite(lines[:, :, 0])
    for y in compared[compared < height - 1].tolist():
        if mirrored:
            own = np.flatnonzero(known[y + 1])
            if not len(own):
                continue
            there = own[0] + own[-1] - here
        else:
            there = here + (by if y % 2 == 0 else -by)
        inside = (there >= 0) & (there < width)
        pairs = np.flatnonzero(inside)
        pairs = pairs[known[y, pairs] & known[y + 1, there[pairs]]]
        if len(pairs) >= 2 * _FEWEST_PIXELS:
            result[y] = float((lines[y, pairs] * lines[y + 1, there[pairs]]).mean())
    return result


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of the finite values, -1 if there are none."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else -1.0


def _better(changed: NDArray[np.float64], direct: NDArray[np.float64], alike: float) -> bool:
    gain = changed - direct
    gain = gain[np.isfinite(gain)]
    if len(gain) < _FEWEST_LINES - 1:
        return False
    error = float(gain.std()) / np.sqrt(len(gain))
    agrees = _mean(changed) > 0.5 * max(alike, 0.04)  # lines of other ions agree nowhere
    return bool(agrees and gain.mean() > 0.02 and gain.mean() > 5 * error and (gain > 0).mean() > 0.7)
