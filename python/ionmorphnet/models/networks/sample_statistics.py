"""What an image shows relative to its sample, computed within the network from the channels of its input.

Classes are defined relative to the sample: an image is localized if a small part of the sample lights up, wherever the
sample lies and however large it is. A convolutional network averages over the image and learns such shares badly, so
they are computed here and enter the last layer, as the classical statistics do.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError

# Brightness relative to the brightest parts; the share of the sample above each is a statistic.
LEVELS = (0.06, 0.12, 0.2, 0.3, 0.45, 0.6, 0.8)
# Everything is computed on a grid of half the resolution, which has this many pixels per side of an image of 96 pixels;
# kernels and depths are given for it and grow with the side.
_REFERENCE_SIDE = 48
# Moving averages (kernel, repetitions) before each scale: in all, about Gaussians of 1.7 and 2.9 pixels of the image.
_SCALES = ((3, 1), (3, 2))
# Depth of the rim of the sample.
_RIM = 2
# Statistics beyond the levels at each scale, and those that have no scale.
_PER_SCALE, _GENERAL = 6, 3
COUNT = _GENERAL + len(_SCALES) * (len(LEVELS) + _PER_SCALE)
_EPS = 1e-3


class SampleStatistics(nn.Module):
    """Shares and levels within, around and at the rim of the sample; no parameters.

    In order: whether a map is known, measured share of the image, share of the sample in it; and at each of two scales:
    level of the brightest parts, shares of the sample above ``LEVELS`` of it, and relative to it the mean off the
    sample, at its rim and inside, mean and standard deviation on the sample. Each is mapped from [0, 1] to [-1, 1]; few
    exceed it. Without a map, everything measured counts as sample.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        """Take the names of the input's channels, as in ``Preprocessing.channels``.

        Raises:
            ArgumentError: The input has no sample map.
        """
        super().__init__()
        if "sample" not in channels:
            raise ArgumentError(f"statistics of the sample need the channel 'sample', got {', '.join(channels)}")
        self._image, self._sample = list(channels).index("image"), list(channels).index("sample")
        self._mask = list(channels).index("mask") if "mask" in channels else None

    def forward(self, x: Tensor) -> Tensor:
        """Compute float (N, ``COUNT``) from the network's input (N, C, side, side) in [0, 1]."""
        image, sample = x[:, self._image], x[:, self._sample]
        measured = torch.ones_like(image) if self._mask is None else x[:, self._mask]
        # An unknown map is 0.5 everywhere.
        known = ((sample - 0.5).abs().amax((1, 2)) * 4.0).clamp(0.0, 1.0)
        inside = measured * torch.maximum(((sample - 0.25) * 2.0).clamp(0.0, 1.0), 1.0 - known[:, None, None])
        grid = F.avg_pool2d(torch.stack([image * measured, measured, inside], 1), 2)
        smooth, side = grid[:, :2], grid.shape[-1]
        # Maps (N, side, side) have no axis of channels, which engines would pad to the width of their registers.
        measured, inside = grid[:, 1], grid[:, 2]
        outside = (measured - inside).clamp_min(0.0)
        kernel = _odd(2 * _RIM + 1, side)
        core = -F.max_pool2d(-grid[:, 2:], kernel, 1, kernel // 2)[:, 0]
        rim = (inside - core).clamp_min(0.0)
        area, share = _mean(measured), _mean(inside)
        found = [known, area, share / (area + _EPS)]
        for size, times in _SCALES:
            kernel = _odd(size, side)
            for _ in range(times):
                smooth = F.avg_pool2d(smooth, kernel, 1, kernel // 2)
            level = smooth[:, 0] / (smooth[:, 1] + _EPS)
            # A mean of eighth powers: between the 0.95 quantile and the maximum.
            eighth = (level + _EPS).square().square().square()
            top = (_within(inside, eighth) + 1e-20).pow(0.125)
            relative = level / top[:, None, None]
            found.append(top)
            found += [_within(inside, _above(relative, t)) for t in LEVELS]
            found += [_mean(outside * relative) / (_mean(outside) + 0.01 * share + 1e-4)]
            found += [_within(part, relative) for part in (rim, core)]
            mean = _within(inside, relative)
            found += [mean, (_within(inside, (relative - mean[:, None, None]).square()) + 1e-8).sqrt()]
        return 2.0 * torch.stack(found, 1).clamp(0.0, 3.0) - 1.0


def _odd(pixels: int, side: int) -> int:
    """Scale an odd kernel to the side, so that it stays odd."""
    return 2 * max(1, round((pixels // 2) * side / _REFERENCE_SIDE)) + 1


def _mean(x: Tensor) -> Tensor:
    return x.mean((1, 2))


def _within(weight: Tensor, x: Tensor) -> Tensor:
    """Weighted mean over each map (N, H, W)."""
    return _mean(weight * x) / (_mean(weight) + 1e-4)


def _above(x: Tensor, level: float) -> Tensor:
    """0 below the level to 1 above it, in a transition of half the level."""
    width = 0.5 * level + 0.03
    return (x * (1.0 / width) + (0.5 - level / width)).clamp(0.0, 1.0)
