"""Lines of a section that are mirrored or shifted against their neighbours, as ion images show it.

An instrument that scans as a meander turns round at the end of every line. A converter that takes all lines to run the
same way mirrors every second one; a stage that lags, or a detector that starts late, shifts it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Pixels by which lines may be shifted.
_FARTHEST = 12
# By how much the correlation with displaced neighbours must exceed that with neighbours as they are. In samples, moving
# lines to and fro lowers it.
_MARGIN = 0.04
# Lines after next may agree worse than neighbours by this much, as they do where a shift is small.
_SLACK = 0.03
# The correlation of lines after next below which there is no structure to judge by.
_STRUCTURE = 0.1
_LEAST_LINES = 12


def displaced_lines(images: Float, measured: Bools) -> list[str]:
    """Warnings about every second line being mirrored or shifted; none for most sections.

    Lines next to each other are compared as they are, with one of them mirrored, and with one of them shifted to and
    fro from line to line (a slanted structure shifts to one side only). In a sample, neighbours agree better than lines
    after next; here they do so only when displaced.

    Args:
        images: Ion images (n, H, W), 0 where not measured.
        measured: bool (H, W).
    """
    found = []
    for name, planes, mask in (("row", images, measured), ("column", images.transpose(0, 2, 1), measured.T)):
        text = _displacement(planes, mask)
        if text:
            found.append(f"every second {name} is {text}")
    if len(found) != 1:  # a symmetric pattern, not lines
        return []
    return [
        f"{found[0]}: neighbouring lines agree better when that is undone; images and scores show this comb rather "
        "than the sample; check the direction of the lines where the file was written"
    ]


def _displacement(images: Float, measured: Bools) -> str:
    height, width = measured.shape
    if height < _LEAST_LINES or width < _LEAST_LINES:
        return ""
    n = measured.sum()
    centred = np.where(measured, images - images.sum(axis=(1, 2), keepdims=True) / n, 0)
    spread = np.sqrt((centred**2).sum(axis=(1, 2), keepdims=True) / n)
    centred = centred[spread.ravel() > 0] / spread[spread.ravel() > 0]
    upper, lower = centred[:, :-1], centred[:, 1:]
    masks = measured[:-1], measured[1:]
    now = _agreement(upper, lower, *masks)
    after_next = _agreement(centred[:, :-2], centred[:, 2:], measured[:-2], measured[2:])
    if after_next < max(now - _SLACK, _STRUCTURE):
        return ""
    # Of the many displacements that are tried, one may agree better by chance where there are few pixels.
    chance = 2.5 / np.sqrt(max(1, (masks[0] & masks[1]).sum() * np.sqrt(len(centred))))
    least = max(now + max(_MARGIN, chance), after_next)
    mirrored = _agreement(upper, lower[:, :, ::-1], masks[0], masks[1][:, ::-1])
    shifts = [by for by in range(-_FARTHEST, _FARTHEST + 1) if by and abs(by) < width // 3]
    shifted = [_to_and_fro(upper, lower, masks, by) for by in shifts]
    best = int(np.argmax(shifted))
    if max(mirrored, shifted[best]) < least:
        return ""
    if mirrored >= shifted[best]:
        return "mirrored"
    by = abs(shifts[best])
    return f"shifted by {by} pixel{'s' if by > 1 else ''}"


def _to_and_fro(upper: Float, lower: Float, masks: tuple[Bools, Bools], by: int) -> float:
    """Agreement of neighbouring lines, the lower moved by ``by`` pixels below even lines and back below odd ones."""
    sums = np.zeros(3)
    for parity, step in ((0, by), (1, -by)):
        a, b = upper[:, parity::2], lower[:, parity::2]
        here, there = masks[0][parity::2], masks[1][parity::2]
        if step > 0:
            a, here, b, there = a[..., :-step], here[:, :-step], b[..., step:], there[:, step:]
        else:
            a, here, b, there = a[..., -step:], here[:, -step:], b[..., :step], there[:, :step]
        sums += _sums(a, b, here, there)
    return _ratio(sums)


def _agreement(a: Float, b: Float, here: Bools, there: Bools) -> float:
    """Correlation of the lines of two stacks over the pixels that are measured in both."""
    return _ratio(_sums(a, b, here, there))


def _sums(a: Float, b: Float, here: Bools, there: Bools) -> Float:
    both = here & there
    left, right = a[:, both], b[:, both]
    return np.array([(left * right).sum(), (left**2).sum(), (right**2).sum()])


def _ratio(sums: Float) -> float:
    return float(sums[0] / np.sqrt(sums[1] * sums[2])) if sums[1] > 0 and sums[2] > 0 else 0.0
