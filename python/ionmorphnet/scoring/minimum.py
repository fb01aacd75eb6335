"""How many measured pixels a network needs, and how close together; csrc/pick/pixels.h has the limits."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.scoring.scorer import Scorer

Bools = npt.NDArray[np.bool_]

MIN_PIXELS: int = _core.fewest_pixels()


def needs_pixels(scorer: Scorer) -> bool:
    """Whether the limits concern a scorer: networks, but not a function in a network's place."""
    return scorer.model is not None and scorer.name != "callback"


def fill(mask: Bools) -> float:
    """Mean share of measured pixels among the 5 x 5 around each measured pixel, within the grid; 0 without any."""
    return _core.fill(mask.astype(np.uint8))


def too_few(mask: Bools) -> str:
    """Why a network cannot score images with these measured pixels (H, W), and the remedy; empty if it can."""
    return _core.too_few_pixels(mask.astype(np.uint8))


def cautions(mask: Bools, *, network: bool) -> list[str]:
    """What limits the meaning of scores of images with these measured pixels (H, W), one line each."""
    return _core.pixel_cautions(mask.astype(np.uint8), network=network)
