"""What all images of a section do from line to line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ionmorphnet.picking.image_measures import correlation

Float = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Parts of each line that must agree: an instrument changes a whole line, tissue hardly ever does.
_PARTS = 4
# Lines on either side of a step that are averaged.
_BESIDE = 4


@dataclass(frozen=True)
class Lines:
    """What all channels do from row to row.

    Attributes:
        agreement: Median correlation of the jumps in the four parts of the rows.
        alternation: Correlation of a row's jump with the next one's; -2/3 if rows are independent of each other.
        amplitude: Standard deviation of the rows' common factor.
        step: Relative change at the largest lasting step; 0 if there is none.
        at: The row where it begins, from 0.
    """

    agreement: float
    alternation: float
    amplitude: float
    step: float
    at: int

    @property
    def varies(self) -> bool:
        """Whether a factor of each row is clear."""
        return self.agreement >= 0.6 and self.alternation <= -0.5 and self.amplitude >= 0.05


def line_pattern(images: Float, measured: Bools) -> Lines:
    """Looks for factors of whole rows in all images.

    Args:
        images: (n, H, W), clipped; 0 where not measured.
        measured: (H, W).
    """
    filled = (images > 0).sum(axis=(1, 2))
    images = images[(filled >= np.median(filled)) & (filled > 0)]
    nothing = Lines(0.0, 0.0, 0.0, 0.0, 0)
    if not len(images):
        return nothing
    edges = np.linspace(0, measured.shape[1], _PARTS + 1).astype(int)[:-1]
    n = np.add.reduceat(measured.astype(np.float64), edges, axis=1)
    # Only pixels with signal count: where the sample lies says nothing of the instrument. A part without is neutral.
    present = np.add.reduceat((images > 0).astype(np.float64), edges, axis=2)
    mean = images.sum(axis=(1, 2)) / (images > 0).sum(axis=(1, 2))
    parts = np.add.reduceat(images, edges, axis=2) / np.maximum(present, 1) / mean[:, None, None]
    parts = np.where(present > 0, parts, 1.0)
    usable = n >= 3
    beside = (parts[:, :-2] + parts[:, 2:]) / 2
    jumps = (2 * (parts[:, 1:-1] - beside) / (parts[:, 1:-1] + beside + 0.2)).mean(axis=0)
    jumps = np.where(usable[1:-1] & usable[:-2] & usable[2:], jumps, np.nan)
    correlations = []
    for a in range(_PARTS):
        for b in range(a):
            both = np.isfinite(jumps[:, a]) & np.isfinite(jumps[:, b])
            if both.sum() >= 10:
                correlations.append(float(correlation(jumps[both, a], jumps[both, b])))
    known = np.isfinite(jumps).any(axis=1)
    if not correlations or known.sum() < 10:
        return nothing
    row = np.nanmean(jumps[known], axis=1)
    step, at = _step(parts, usable)
    return Lines(
        float(np.median(correlations)), float(correlation(row[1:], row[:-1])), float(row.std() / 1.22), step, at
    )


def _step(parts: Float, usable: Bools) -> tuple[float, int]:
    """The largest change that all channels and all parts of the rows make at one row, and that lasts."""
    height = usable.shape[0]
    at = np.arange(_BESIDE, height - _BESIDE + 1)
    if len(at) < 2 * _BESIDE:
        return 0.0, 0
    sums = np.concatenate([np.zeros_like(parts[:, :1]), np.cumsum(parts, axis=1)], axis=1)
    counts = np.concatenate([np.zeros((1, _PARTS)), np.cumsum(usable, axis=0)])
    whole = counts[at + _BESIDE] - counts[at - _BESIDE] == 2 * _BESIDE
    after, before = sums[:, at + _BESIDE] - sums[:, at], sums[:, at] - sums[:, at - _BESIDE]
    change = 2 * (after - before) / (after + before + 0.2 * _BESIDE)
    n = whole.sum(axis=1)
    each = np.where(whole, change, 0).sum(axis=2) / np.maximum(n, 1)  # of each channel
    common = np.median(each, axis=0)
    agree = (np.sign(each) == np.sign(common)).mean(axis=0)
    same = np.median(change, axis=0) * np.sign(common)[:, None]
    least = np.where(whole, same, np.inf).min(axis=1)
    padded = np.pad(np.abs(common), _BESIDE)
    elsewhere = np.maximum(padded[: -2 * _BESIDE], padded[2 * _BESIDE :])
    row = np.where(usable, parts, 0).sum(axis=2) / np.maximum(usable.sum(axis=1), 1)
    sudden = np.median(2 * (row[:, at] - row[:, at - 1]) / (row[:, at] + row[:, at - 1] + 0.2), axis=0)
    size = np.abs(common)
    # A step from nothing is the border of the sample.
    both = np.median(np.minimum(after, before).mean(axis=2), axis=0) >= 0.15 * _BESIDE
    right = both & (agree >= 0.9) & (least >= 0.3 * size) & (n >= 3) & (sudden * np.sign(common) >= 0.5 * size)
    score = np.where(right, size - elsewhere, 0.0)
    best = int(score.argmax())
    if score[best] < 0.17:
        return 0.0, 0
    used = whole[best]
    levels = after[:, best][:, used].sum(axis=1), before[:, best][:, used].sum(axis=1)
    known = levels[1] > 0
    return float(np.median(levels[0][known] / levels[1][known]) - 1), int(at[best])
