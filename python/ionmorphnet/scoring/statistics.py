"""Classical statistics of ion images: scores that need no model."""

from __future__ import annotations

import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.stacks import checked_stack
from ionmorphnet.models.labels import STATISTICS


def image_statistics(images: npt.ArrayLike, mask: npt.ArrayLike | None = None, *, threads: int = 0) -> pd.DataFrame:
    """Classical statistics of ion images, over measured pixels.

    All are taken from ``x = clip(pixel / max(q, 1e-6), 0, 1)`` with q the 0.99 quantile of the measured pixels:
    hot pixels do not rule them, negative intensities count as 0. The specification is
    ``ionmorphnet.reference.statistics``.

    * ``moran``: Moran's I, rook neighbours; about 0 = noise, 1 = smooth. Moran (1950), Biometrika 37, 17-23.
    * ``blur``: variance after a Gaussian blur of sigma 2 pixels as a share of the variance before; about 0.02 = noise.
    * ``chaos``: METASPACE's measure of spatial chaos, below 1 = one connected shape at each of 30 levels; 0 = no object
      anywhere. Alexandrov and Bartels (2013), Bioinformatics 29, 2335-2342.
    * ``coverage``: share of the measured pixels above 0.
    * ``blur_sqrt``: ``blur`` of sqrt(x), which gives faint pixels more weight and evens out the noise of counts.
    * ``reliability``: split-half reliability: sqrt(x) smoothed over a random half of the measured pixels, correlated
      with the same over the other half, as the mean of two splits; about 0 = noise, 1 = every shape is in both halves.
      The halves are always the same.

    Args:
        images: (n, H, W), or one image (H, W); axes [image, y, x]; any real dtype. NaN (and what a numpy masked array
            hides) = not measured; infinite values count as the largest finite ones.
        mask: (H, W), non-zero = measured (NaN is not), for all images; None: every pixel that is not NaN is measured.
        threads: CPU threads; 0: all. The result does not depend on it.

    Returns:
        One row per image, in order; float64 columns ``ionmorphnet.models.labels.STATISTICS``. An image in which
        nothing was measured is all 0; one with the same x everywhere has 0 in all but coverage.

    Raises:
        ArgumentError: Wrong shapes or types; ``threads`` is negative.
    """
    stack, measured = checked_stack(images, mask)
    values = _core.image_statistics(stack, measured, threads=thread_count(threads))
    return pd.DataFrame(values.astype(float), columns=list(STATISTICS))
