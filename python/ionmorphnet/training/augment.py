"""Augmentation of image batches on CPU or GPU: turns, warps, contrast, blur, noise, stripes and holes.

All random numbers come from one generator and are drawn on its device: with a CPU generator, the same seed produces the
same changes on any device.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ionmorphnet.base.errors import ArgumentError

# Number of control points of the elastic field along each side.
_ELASTIC_POINTS = 5
# Value of the sample channel where the map is unknown.
_UNKNOWN = 0.5


@dataclass(frozen=True)
class Effect:
    """Probability and maximum strength of an effect.

    Attributes:
        probability: Fraction of images affected, 0 to 1.
        strength: Maximum strength, 0 or more; :class:`Augmentation` gives the unit.
    """

    probability: float
    strength: float


OFF = Effect(0.0, 0.0)


@dataclass(frozen=True)
class Augmentation:
    """Effects that may change an image. Lengths are fractions of the image's side, independent of the resolution.

    The defaults are mild: the class and the structure grade of an image must still hold afterwards.

    Attributes:
        flips: Mirror along each axis with probability 0.5.
        quarter_turns: Rotate by a multiple of 90 degrees, all equally likely.
        rotate: Rotate by up to ``strength`` degrees; pixels from outside the image count as unmeasured.
        zoom: Show a window of ``1 - strength`` to ``1 + strength / 2`` times the image's side at a random position:
            a crop below 1, an unmeasured margin above.
        elastic: Smooth displacement of up to ``strength`` (root mean square, per axis).
        gamma: Power ``exp(g)`` with ``g`` normal of standard deviation ``strength``.
        blur: Gaussian blur with a standard deviation of up to ``strength``.
        noise: Normal noise on measured pixels, with a standard deviation of up to ``strength`` times the maximum.
        stripes: Log-normal gain of acquisition lines (rows or columns, 1 to 3 pixels wide at a side of 112), with a
            standard deviation of up to ``strength``.
        grid_mask: Blank a square lattice; ``strength`` is the largest blanked fraction of its period.
        cut_out: Blank a rectangle with sides from 0.05 to ``strength``.
    """

    flips: bool = True
    quarter_turns: bool = True
    rotate: Effect = Effect(0.25, 15.0)
    zoom: Effect = Effect(0.25, 0.2)
    elastic: Effect = Effect(0.15, 0.02)
    gamma: Effect = Effect(0.25, 0.25)
    blur: Effect = Effect(0.1, 0.008)
    noise: Effect = Effect(0.1, 0.05)
    stripes: Effect = Effect(0.1, 0.15)
    grid_mask: Effect = Effect(0.03, 0.3)
    cut_out: Effect = Effect(0.05, 0.2)

    def __post_init__(self) -> None:
        """Check the ranges."""
        limits = {"zoom": 0.9, "grid_mask": 0.9, "cut_out": 0.9, "elastic": 0.2, "blur": 0.1, "rotate": 180.0}
        for name, effect in vars(self).items():
            if isinstance(effect, Effect):
                limit = limits.get(name, math.inf)
                if not (0.0 <= effect.probability <= 1.0 and 0.0 <= effect.strength <= limit):
                    raise ArgumentError(f"{name}: probability must be 0 to 1 and strength 0 to {limit:g}, got {effect}")


NO_AUGMENTATION = Augmentation(False, False, OFF, OFF, OFF, OFF, OFF, OFF, OFF, OFF, OFF)
# arXiv 2604.19369: flips and quarter turns.
PUBLISHED = Augmentation(True, True, OFF, OFF, OFF, OFF, OFF, OFF, OFF, OFF, OFF)
DEFAULT = Augmentation()


def augment(
    images: Tensor, augmentation: Augmentation, generator: torch.Generator, channels: Sequence[str] | None = None
) -> Tensor:
    """Augment each image of a batch independently.

    All channels move with the image. Contrast, noise and holes change the image only: the mask of measured pixels and
    the sample map keep their values, the square root follows the image. Unmeasured pixels stay 0 in the image, and an
    unknown sample map stays 0.5 everywhere.

    Args:
        images: float32 (N, C, S, S) in [0, 1]; not modified.
        augmentation: Effects to apply.
        generator: Source of random numbers; the same state produces the same result.
        channels: Names of the channels as in ``Preprocessing.channels``; None: image, then mask.

    Returns:
        float32 (N, C, S, S) in [0, 1], on the images' device.

    Raises:
        ArgumentError: ``images`` has another shape.
    """
    names = ("image", "mask")[: images.shape[1]] if channels is None else tuple(channels)
    if images.ndim != 4 or images.shape[1] != len(names) or images.shape[2] != images.shape[3]:
        raise ArgumentError(f"images must have the shape (N, {len(names)}, S, S), got {tuple(images.shape)}")
    channel = {name: k for k, name in enumerate(names)}
    draw = _Draw(generator, images.device)
    x = _turned(images, augmentation, draw)
    unknown = (x[:, channel["sample"]] == _UNKNOWN).flatten(1).all(1) if "sample" in channel else None
    _warp(x, augmentation, draw)
    if unknown is not None:
        x[unknown, channel["sample"]] = _UNKNOWN
    values = x[:, channel["image"]]
    measured = (x[:, channel["mask"]] > 0).to(x.dtype) if "mask" in channel else None
    before = values.clone() if "sqrt" in channel else None
    _gamma(values, augmentation.gamma, draw)
    _stripes(values, augmentation.stripes, draw)
    _blur(values, augmentation.blur, draw)
    _noise(values, augmentation.noise, draw)
    _grid_mask(values, augmentation.grid_mask, draw)
    _cut_out(values, augmentation.cut_out, draw)
    x.clamp_(0.0, 1.0)
    if measured is not None:
        values.mul_(measured)
    if before is not None:
        changed = (values != before).flatten(1).any(1)
        x[changed, channel["sqrt"]] = values[changed].sqrt()
    return x


class _Draw:
    """Random numbers from the generator, on the images' device."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self.generator, self.device = generator, device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Draw uniform numbers, float32."""
        values = torch.rand(shape, generator=self.generator, device=self.generator.device)
        return (low + (high - low) * values).to(self.device)

    def normal(self, *shape: int) -> Tensor:
        """Draw standard normal numbers, float32."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device).to(self.device)

    def coin(self, n: int, probability: float = 0.5) -> Tensor:
        """Draw bool (n,), True with the given probability."""
        return self.uniform(n) < probability

    def integers(self, high: int, n: int) -> Tensor:
        """Draw integers from 0 to below ``high``, on the generator's device."""
        return torch.randint(high, (n,), generator=self.generator, device=self.generator.device)

    def chosen(self, n: int, effect: Effect) -> Tensor:
        """Draw the indices of the images to change, int64; empty if the effect is off."""
        if effect.probability == 0.0 or effect.strength == 0.0:
            return torch.zeros(0, dtype=torch.int64, device=self.device)
        # Drawn on the generator's device: with a CPU generator this does not wait for the GPU.
        hit = torch.rand(n, generator=self.generator, device=self.generator.device) < effect.probability
        return hit.nonzero()[:, 0].to(self.device)


def _turned(x: Tensor, augmentation: Augmentation, draw: _Draw) -> Tensor:
    """Flip and rotate a copy exactly: a transposition, then flips along each axis."""
    n = len(x)
    # Bits of the code: 1 transpose, 2 flip vertically, 4 flip horizontally. A quarter turn is a transpose and a flip.
    code = torch.zeros(n, dtype=torch.int64, device=draw.generator.device)
    if augmentation.quarter_turns:
        code = torch.tensor([0, 1 | 2, 2 | 4, 1 | 4], device=code.device)[draw.integers(4, n)]
    if augmentation.flips:
        code = code ^ (2 * draw.integers(4, n))
    turned = x.clone()
    for kind in range(1, 8):
        hit = (code == kind).nonzero()[:, 0].to(x.device)
        if len(hit):
            part = x[hit].mT if kind & 1 else x[hit]
            axes = ([-2] if kind & 2 else []) + ([-1] if kind & 4 else [])
            turned[hit] = part.flip(axes) if axes else part
    return turned


def _warp(x: Tensor, augmentation: Augmentation, draw: _Draw) -> None:
    """Rotate, zoom and displace the drawn images in one bilinear resampling."""
    n, side = len(x), x.shape[-1]
    rotated, zoomed = draw.chosen(n, augmentation.rotate), draw.chosen(n, augmentation.zoom)
    bent = draw.chosen(n, augmentation.elastic)
    hit = torch.unique(torch.cat([rotated, zoomed, bent]))
    if len(hit) == 0:
        return
    angle = torch.zeros(n, device=x.device)
    angle[rotated] = math.radians(augmentation.rotate.strength) * draw.uniform(len(rotated), low=-1.0)
    scale, shift = torch.ones(n, device=x.device), torch.zeros(n, 2, device=x.device)
    strength = augmentation.zoom.strength
    scale[zoomed] = draw.uniform(len(zoomed), low=1.0 - strength, high=1.0 + 0.5 * strength)
    shift[zoomed] = draw.uniform(len(zoomed), 2, low=-1.0) * (1.0 - scale[zoomed, None]).abs()
    # Source position of each result pixel; positions run from -1 to 1 between the outer pixel edges.
    place = (2.0 * torch.arange(side, device=x.device) + 1.0) / side - 1.0
    cos, sin = ((scale * f)[hit, None, None] for f in (angle.cos(), angle.sin()))
    from_x = cos * place[None, None, :] - sin * place[None, :, None] + shift[hit, 0, None, None]
    from_y = sin * place[None, None, :] + cos * place[None, :, None] + shift[hit, 1, None, None]
    grid = torch.stack([from_x, from_y], dim=-1)
    if len(bent):
        amplitude = 2.0 * augmentation.elastic.strength * draw.uniform(len(bent), 1, 1, 1)
        points = draw.normal(len(bent), 2, _ELASTIC_POINTS, _ELASTIC_POINTS) * amplitude
        weights = _cubic_weights(side).to(x.device)
        field = weights @ points @ weights.mT
        grid[torch.searchsorted(hit, bent)] += field.permute(0, 2, 3, 1)
    # Zero padding: dark without a mask, unmeasured with one.
    x[hit] = F.grid_sample(x[hit], grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@functools.cache
def _cubic_weights(side: int) -> Tensor:
    """Compute cubic interpolation weights from control points to ``side`` pixels, float32 (side, points)."""
    unit = torch.eye(_ELASTIC_POINTS)[None, :, :, None]
    return F.interpolate(unit, size=(side, 1), mode="bicubic", align_corners=True)[0, :, :, 0].mT.contiguous()


def _gamma(values: Tensor, effect: Effect, draw: _Draw) -> None:
    hit = draw.chosen(len(values), effect)
    if len(hit):
        power = (effect.strength * draw.normal(len(hit), 1, 1)).exp()
        values[hit] = values[hit].clamp_min(0.0).pow(power)


def _stripes(values: Tensor, effect: Effect, draw: _Draw) -> None:
    hit = draw.chosen(len(values), effect)
    n, side = len(hit), values.shape[-1]
    if n == 0:
        return
    width = (1.0 + 3.0 * draw.uniform(n, 1)).floor() * (side / 112.0)
    line = (torch.arange(side, device=values.device) / width.clamp_min(1.0)).long()
    gain = (effect.strength * draw.uniform(n, 1) * draw.normal(n, side)).exp().gather(1, line)
    rows = draw.coin(n)[:, None, None]
    values[hit] *= torch.where(rows, gain[:, :, None], gain[:, None, :])


def _blur(values: Tensor, effect: Effect, draw: _Draw) -> None:
    hit = draw.chosen(len(values), effect)
    n, side = len(hit), values.shape[-1]
    if n == 0:
        return
    largest = effect.strength * side
    radius = min(max(1, math.ceil(3.0 * largest)), side - 1)
    sigma = (largest * draw.uniform(n, 1)).clamp_min(1e-3)
    kernel = (-0.5 * (torch.arange(-radius, radius + 1, device=values.device) / sigma) ** 2).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True))[:, None]
    # One kernel per image: the images become channels of a grouped convolution, first along y, then along x.
    padded = F.pad(values[hit][None], (radius, radius, radius, radius), mode="replicate")
    rows = F.conv2d(padded, kernel[..., None], groups=n)
    values[hit] = F.conv2d(rows, kernel[:, :, None], groups=n)[0]


def _noise(values: Tensor, effect: Effect, draw: _Draw) -> None:
    hit = draw.chosen(len(values), effect)
    n, side = len(hit), values.shape[-1]
    if n:
        values[hit] += effect.strength * draw.uniform(n, 1, 1) * draw.normal(n, side, side)


def _grid_mask(values: Tensor, effect: Effect, draw: _Draw) -> None:
    hit = draw.chosen(len(values), effect)
    n, side = len(hit), values.shape[-1]
    if n == 0:
        return
    period = side * draw.uniform(n, 1, low=0.1, high=0.25)
    blank = period * effect.strength * draw.uniform(n, 1, low=0.3, high=1.0)
    place = torch.arange(side, device=values.device)
    columns = ((place + side * draw.uniform(n, 1)) % period) < blank
    rows = ((place + side * draw.uniform(n, 1)) % period) < blank
    values[hit] = values[hit].masked_fill(rows[:, :, None] & columns[:, None, :], 0.0)


def _cut_out(values: Tensor, effect: Effect, draw: _Draw) -> None:
    hit = draw.chosen(len(values), effect)
    n, side = len(hit), values.shape[-1]
    if n == 0:
        return
    place = (torch.arange(side, device=values.device) + 0.5) / side
    size = draw.uniform(n, 2, low=min(0.05, effect.strength), high=effect.strength)
    start = draw.uniform(n, 2) * (1.0 - size)
    inside = (place >= start[..., None]) & (place < (start + size)[..., None])
    values[hit] = values[hit].masked_fill(inside[:, 0, :, None] & inside[:, 1, None, :], 0.0)
