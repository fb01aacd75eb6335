"""Stand-in until the native statistics are there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.reference.statistics import morans_i


def statistics_of(image: NDArray[np.float32]) -> NDArray[np.float32]:
    measured = ~np.isnan(image)
    return np.array([morans_i(image[None])[0], 0.0, 0.0, float((image[measured] > 0).mean())], np.float32)
