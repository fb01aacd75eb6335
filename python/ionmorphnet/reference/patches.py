"""Reference implementation of patch extraction: square neighbourhoods of pixels, one patch at a time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def extract_patches(
    cube: npt.NDArray[np.float32],
    measured: npt.NDArray[np.bool_],
    pixels: npt.NDArray[np.int64],
    size: int,
    channels: npt.NDArray[np.int64],
    centre: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Extracts the neighbourhoods of selected pixels of one section.

    Args:
        cube: float32 (H, W, C).
        measured: bool (H, W).
        pixels: int64 (n,), linear indices y * W + x.
        size: Side of a patch, odd.
        channels: int64 (k,), the selected channels in output order.
        centre: float32 (k,), subtracted from each channel.
        scale: float32 (k,), multiplied with each centred channel.

    Returns:
        float32 (n, k, size, size), axes [patch, channel, y, x], and uint8 (n, size, size), 1 = on the grid and
        measured. Pixels that were not measured are 0 in both.
    """
    height, width = measured.shape
    half = size // 2
    values = np.zeros((len(pixels), len(channels), size, size), np.float32)
    mask = np.zeros((len(pixels), size, size), np.uint8)
    for i, pixel in enumerate(pixels):
        y, x = divmod(int(pixel), width)
        top, bottom = max(0, y - half), min(height, y + half + 1)
        left, right = max(0, x - half), min(width, x + half + 1)
        there = measured[top:bottom, left:right]
        spectra = (cube[top:bottom, left:right][..., channels] - centre) * scale
        spectra[~there] = 0.0
        rows = slice(top - y + half, bottom - y + half)
        columns = slice(left - x + half, right - x + half)
        values[i, :, rows, columns] = spectra.transpose(2, 0, 1)
        mask[i, rows, columns] = there
    return values, mask
