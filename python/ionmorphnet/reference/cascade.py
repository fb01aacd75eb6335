"""Specification of the cascade: which images two cheap statistics show to be noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet.reference.preprocess import measured_pixels
from ionmorphnet.reference.statistics import blurred_variance, morans_i

# With fewer measured pixels, chance alone hides most structures.
LEAST_PIXELS = 400

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.uint8]


def find_noise(images: FloatImage, mask: Mask | None = None, *, moran_z: float, blur: float) -> npt.NDArray[np.float32]:
    """How near each image comes to the limits of a cascade.

    Args:
        images: (n, H, W), axes [image, y, x]; NaN = not measured.
        mask: (H, W), non-zero = measured, for all images; None: every pixel that is not NaN.
        moran_z: Limit of Moran's I times ``sqrt(2 n)``, n measured pixels.
        blur: Limit of the blur variance.

    Returns:
        float32 (n,): NaN for images above a limit, without variance, or of too few pixels; otherwise the larger of the
        two statistics divided by their limits, at least 0.
    """
    morans, blurs = morans_i(images, mask), blurred_variance(images, mask)
    reach = np.full(len(images), np.nan, np.float32)
    for i, image in enumerate(images):
        n_measured = measured_pixels(image, mask).sum()
        z = float(morans[i]) * np.sqrt(2.0 * n_measured)
        if n_measured >= LEAST_PIXELS and z <= moran_z and 0.0 < blurs[i] <= blur:
            reach[i] = max(0.0, z / moran_z, float(blurs[i]) / blur)
    return reach
