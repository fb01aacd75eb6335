"""Class of a degraded real image: its observers' class, moved by what the degradation hides.

Nothing moves where nothing was degraded: each rule only compares the image before and after. Limits are given as
grades at which observers of real images change the class (see docs/reference/training-data.md).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.observer import CONFINED, FRAGMENTED, LOCALIZED, NEGATIVE, STRUCTURED, UNSTRUCTURED, WEAK
from ionmorphnet.simulation.view import odds_of

# Nothing is recognised below the first grade; the sample is dense, not faint, above the second.
_RECOGNISED_GRADE, _DENSE_GRADE = 0.7, 2.1
# Width of the transitions in log-odds of the reliability, and in share of the sample.
_RECOGNISED_WIDTH, _DENSE_WIDTH, _CONFINED_WIDTH = 0.35, 0.4, 0.04
# Share of observers who call faint negative images weak_structured.
_NEGATIVE_IS_WEAK = 0.3
# A part of the sample lights up if it exceeds this share of its brightest parts.
_LIT = 0.24


def rises(value: float, limit: float, width: float) -> float:
    """Logistic from 0 to 1, 0.5 at ``limit``."""
    return 1.0 / (1.0 + math.exp(min(max((limit - value) / width, -60.0), 60.0)))


def lit_share(blocks: Field, on_sample: NDArray[np.bool_]) -> float | None:
    """Share of the sample that lights up in an expected image; None if the sample has fewer than 4 blocks."""
    values = np.sort(blocks[on_sample])
    if values.size < 4:
        return None
    # A region smaller than 1/20 of the sample does not reach the 0.95 quantile.
    bright = max(float(values[int(0.95 * (values.size - 1))]), 0.5 * float(values[-1]))
    return 1.0 - float(np.searchsorted(values, _LIT * bright, side="right")) / values.size


def is_confined(lit: float) -> float:
    """Share of observers who call a sample confined of which this share lights up."""
    return rises(-lit, -CONFINED, _CONFINED_WIDTH)


def follow_lit(shares: NDArray[np.float32], before: float | None, after: float | None) -> NDArray[np.float32]:
    """Moves shares between localized and the classes of a whole sample; unchanged if a lit share is unknown."""
    moved = shares.copy()
    if before is None or after is None:
        return moved
    was, now = is_confined(before), is_confined(after)
    if now > was:
        gone = 1.0 - (1.0 - now) / max(1.0 - was, 1e-6)
        moved[LOCALIZED] += gone * (moved[STRUCTURED] + moved[WEAK])
        moved[[STRUCTURED, WEAK]] *= 1.0 - gone
    else:
        gone = (1.0 - now / max(was, 1e-6)) * float(moved[LOCALIZED])
        moved[LOCALIZED] -= gone
        moved[STRUCTURED] += gone
    return moved


def follow_noise(shares: NDArray[np.float32], before: float, after: float) -> NDArray[np.float32]:
    """Moves shares to weak_structured and unstructured.

    Args:
        shares: float32 (6,), class shares without the noise.
        before: Log-odds of the reliability without the noise.
        after: With it.

    Returns:
        float32 (6,), sum as before.
    """
    moved = shares.copy()
    dense = _kept(before, after, odds_of(_DENSE_GRADE), _DENSE_WIDTH)
    for kind, share in ((STRUCTURED, 1.0), (NEGATIVE, _NEGATIVE_IS_WEAK)):
        gone = share * (1.0 - dense) * float(moved[kind])
        moved[kind] -= gone
        moved[WEAK] += gone
    recognised = _kept(before, after, odds_of(_RECOGNISED_GRADE), _RECOGNISED_WIDTH)
    total = float(moved.sum())
    moved[[STRUCTURED, WEAK, LOCALIZED, FRAGMENTED, NEGATIVE]] *= recognised
    moved[UNSTRUCTURED] += total - float(moved.sum())
    return moved


def _kept(before: float, after: float, limit: float, width: float) -> float:
    """Share of a class that remains when the log-odds fall."""
    return min(1.0, rises(after, limit, width) / rises(before, limit, width))
