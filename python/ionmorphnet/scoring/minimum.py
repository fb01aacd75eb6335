"""How many measured pixels a network needs, and how close together.

Found with simulated noise and structures on small and on thinned grids, see docs/reference/scores.md: with fewer than
36 pixels the network misses many structures, and where pixels are scattered it takes the gaps for structure.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.scoring.scorer import Scorer

Bools = npt.NDArray[np.bool_]

MIN_PIXELS = 36
COMFORTABLE_PIXELS = 100
# Share of the 5 x 5 pixels around a measured pixel that are measured, averaged over the measured pixels.
MIN_FILL = 0.2
COMFORTABLE_FILL = 0.3
# Share of the measured pixels without a neighbour above which an image has hardly a morphology.
_MOST_ALONE = 0.5
_REMEDY = 'score it with a classical statistic, --scorer moran --top N (Python: scorer="moran", top=N)'


def needs_pixels(scorer: Scorer) -> bool:
    """Whether the limits concern a scorer: networks, but not a function in a network's place."""
    return scorer.model is not None and scorer.name != "callback"


def fill(mask: Bools) -> float:
    """Mean share of measured pixels among the 5 x 5 around each measured pixel, within the grid; 0 without any."""
    if not mask.any():
        return 0.0

    def around(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        for axis in (0, 1):
            pad = [(3, 2) if each == axis else (0, 0) for each in (0, 1)]
            sums = np.cumsum(np.pad(values, pad), axis=axis)
            values = np.take(sums, range(5, sums.shape[axis]), axis=axis) - np.take(
                sums, range(sums.shape[axis] - 5), axis=axis
            )
        return values

    share = around(mask.astype(np.float64)) / around(np.ones(mask.shape))
    return float(share[mask].mean())


def too_few(mask: Bools) -> str:
    """Why a network cannot score images with these measured pixels (H, W), and the remedy; empty if it can."""
    n = int(mask.sum())
    if n < MIN_PIXELS:
        pixels = "1 measured pixel is" if n == 1 else f"{n} measured pixels are"
        return f"{pixels} too few for the network, which needs {MIN_PIXELS}; {_REMEDY}"
    filled = fill(mask)
    if filled < MIN_FILL:
        return (
            f"the {n} measured pixels are scattered over {mask.shape[0]} x {mask.shape[1]} pixels: on average "
            f"{filled:.0%} of the 5 x 5 pixels around one are measured, and below {MIN_FILL:.0%} the network takes the "
            f"gaps for structure; check whether the coordinates are those of a stage, or {_REMEDY}"
        )
    return ""


def cautions(mask: Bools, *, network: bool) -> list[str]:
    """What limits the meaning of scores of images with these measured pixels (H, W), one line each."""
    n = int(mask.sum())
    texts = []
    if n < (COMFORTABLE_PIXELS if network else MIN_PIXELS):
        effect = (
            "the network misses structures that it would find on a larger section"
            if network
            else ("a pattern of so few pixels arises by chance easily")
        )
        texts.append(f"only {n} pixels are measured, and {effect}; compare the picks with another section")
    measured = np.pad(mask, 1)
    beside = measured[:-2, 1:-1] | measured[2:, 1:-1] | measured[1:-1, :-2] | measured[1:-1, 2:]
    alone = float((mask & ~beside).sum()) / max(1, n)
    if alone > _MOST_ALONE and n > 1:
        texts.append(
            f"{alone:.0%} of the measured pixels have no measured neighbour, so the scores mean little; check whether "
            "the coordinates are those of a stage"
        )
    elif network and fill(mask) < COMFORTABLE_FILL:
        texts.append(
            "the measured pixels are scattered, so that noise may score as structure; check whether the coordinates "
            "are those of a stage"
        )
    return texts
