"""What an observer sees of a scene at view scale: reliability of block means, and the grade that follows from it.

People judge an ion image at a glance, not pixel by pixel: noise that averages out over a twentieth of the side does not
hide a shape. Reliability is the share of the variance between blocks that another recording of the same scene would
repeat. On real images it is known from two halves of the pixels, in a simulation from two recordings. Observers' grades
of real images rise linearly with its log-odds (see docs/reference/training-data.md), so noise of an image and noise
added to it combine in one number.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.observer import MAX_STRUCTURE, clip_to_p99

# Blocks have this share of the side (geometric mean of height and width).
_BLOCK_SHARE = 1.0 / 20.0
# Log-odds of the reliability at a grade of 1.5 of 3, and their change for one unit of the grade's logit.
_HALF_GRADE, _GRADE_WIDTH = 0.95, 1.45
# Differences below this share of the display range are not seen.
_JUST_SEEN = 0.01
# Grades closer to 0 and 3 than this are not told apart.
_GRADE_MARGIN = 0.03


def block_side(shape: tuple[int, ...]) -> int:
    """Side of a block at view scale in pixels, at least 2."""
    return max(2, round(_BLOCK_SHARE * math.sqrt(shape[0] * shape[1])))


class View:
    """Means of blocks at view scale over the measured pixels."""

    def __init__(self, measured: NDArray[np.bool_], judged: NDArray[np.bool_] | None = None) -> None:
        """Prepares the blocks.

        Args:
            measured: bool (H, W).
            judged: bool (H, W), pixels to look at; None: all. Other blocks are left out.
        """
        self.measured = None if measured.all() else measured
        self.side = block_side(measured.shape)
        self._weights = measured if judged is None else measured & judged
        self._full = bool(self._weights.all())
        counts = self._sums(self._weights.astype(np.float32))
        self.kept = counts > 0.5 * self.side**2
        if not self.kept.any():  # tiny areas
            self.kept = counts > 0
        self._scale = np.asarray(1.0 / np.maximum(counts[self.kept], 1.0), dtype=np.float32)

    def _sums(self, values: Field) -> Field:
        rows, cols = values.shape[0] // self.side, values.shape[1] // self.side
        cropped = values[: rows * self.side, : cols * self.side]
        lines = np.add.reduceat(cropped, np.arange(0, rows * self.side, self.side), axis=0)
        sums: Field = np.add.reduceat(lines, np.arange(0, cols * self.side, self.side), axis=1)
        return sums

    def means(self, values: Field) -> Field:
        """Means of the kept blocks, float32 (n,), of values (H, W)."""
        means: Field = self._sums(values if self._full else values * self._weights)[self.kept] * self._scale
        return means

    def seen(self, image: Field) -> Field:
        """Block means of the square root of an image clipped at its 0.99 quantile, float32 (n,) in 0 to 1.

        Args:
            image: float32 (H, W), 0 = not measured. The square root keeps a few bright pixels from hiding the rest,
                which observers see through them.
        """
        return self.means(np.sqrt(clip_to_p99(image, self.measured)))


def contrast(blocks: Field) -> float:
    """Share of the variance between blocks that exceeds what is just seen, 0 to 1."""
    variance = float(blocks.var()) if blocks.size else 0.0
    return variance / (variance + _JUST_SEEN**2)


def reliability(first: Field, second: Field) -> float:
    """Share of the visible variance between blocks that two recordings have in common, 0 to 1."""
    if first.size < 2:
        return 0.0
    a, b = first - first.mean(), second - second.mean()
    common = float(np.vdot(a, b)) / a.size
    total = 0.5 * (float(np.vdot(a, a)) + float(np.vdot(b, b))) / a.size
    return float(min(max(common, 0.0) / (total + _JUST_SEEN**2), 1.0))


def log_odds(share: float) -> float:
    """Log-odds of a reliability, limited to -12 to 12."""
    share = min(max(share, 1e-9), 1.0 - 1e-9)
    return min(max(math.log(share / (1.0 - share)), -12.0), 12.0)


def grade_of(odds: float) -> float:
    """Grade 0 to 3 at log-odds of the reliability."""
    return MAX_STRUCTURE / (1.0 + math.exp((_HALF_GRADE - odds) / _GRADE_WIDTH))


def odds_of(grade: float) -> float:
    """Log-odds of the reliability at a grade; the inverse of :func:`grade_of` between 0.03 and 2.97."""
    grade = min(max(grade, _GRADE_MARGIN), MAX_STRUCTURE - _GRADE_MARGIN)
    return _HALF_GRADE + _GRADE_WIDTH * math.log(grade / (MAX_STRUCTURE - grade))
