"""Changes of real ion images: resampling, frames, blur, noise of several kinds, and traces of processing.

All functions work on float32 (H, W) intensities that are about 1 in bright pixels and 0 where not measured.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.detection import blur3
from ionmorphnet.simulation.fields import Field, product

NoiseKind = Literal["counts", "baseline", "offset", "own", "donor", "threshold", "gaps"]
NOISE_KINDS: tuple[NoiseKind, ...] = ("counts", "baseline", "offset", "own", "donor", "threshold", "gaps")

# Outliers of a noise field are cut at this many standard deviations.
_CUT = 4.0
# Share of recordings in which the own residual is moved by whole lines rather than by pixels.
_OWN_LINES = 0.3


@functools.lru_cache(maxsize=2048)
def resize_weights(n: int, to: int) -> Field:
    """Weights of a linear resize from ``n`` to ``to`` pixels, antialiased; float32 (to, n), rows sum to 1."""
    scale = n / to
    support = max(scale, 1.0)
    centres = (np.arange(to) + 0.5) * scale
    distance = np.abs(np.arange(n)[None, :] + 0.5 - centres[:, None]) / support
    weights = np.maximum(1.0 - distance, 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


@functools.lru_cache(maxsize=2048)
def blur_weights(n: int, tenths: int) -> Field:
    """Weights of a Gaussian blur with a standard deviation of ``tenths`` / 10 pixels; float32 (n, n)."""
    place = np.arange(n)
    weights = np.exp(-0.5 * ((place[:, None] - place[None, :]) * 10.0 / max(tenths, 1)) ** 2)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True), dtype=np.float32)


def resize(values: Field, shape: tuple[int, int]) -> Field:
    """Resizes to ``shape``: linear, antialiased when shrinking."""
    if values.shape == shape:
        return values
    rows, cols = (resize_weights(n, to) for n, to in zip(values.shape, shape, strict=True))
    return product(product(rows, values), cols.T)


def resize_measured(
    values: Field, measured: NDArray[np.bool_], shape: tuple[int, int]
) -> tuple[Field, NDArray[np.bool_]]:
    """Resizes an image of which only a part is measured; unmeasured pixels do not darken their neighbours."""
    if measured.all():
        return resize(values, shape), np.ones(shape, dtype=np.bool_)
    share = resize(measured.astype(np.float32), shape)
    inside = share > 0.5
    return np.where(inside, resize(values, shape) / np.maximum(share, np.float32(0.5)), np.float32(0.0)), inside


def blur(values: Field, sigma: float) -> Field:
    """Gaussian blur with a standard deviation of ``sigma`` pixels, rounded to a tenth; edges keep their level."""
    tenths = round(10.0 * sigma)
    if tenths < 3:
        return values
    rows, cols = (blur_weights(n, tenths) for n in values.shape)
    return product(product(rows, values), cols.T)


@dataclass(frozen=True)
class Noise:
    """One kind of noise at one strength.

    Attributes:
        kind: ``"counts"``: Poisson counts, so the image is thinned. ``"baseline"``: normal noise, negative values cut.
            ``"offset"``: normal noise on a level that keeps it positive, so contrast is lost. ``"own"``: the image's
            own fine residual, moved. ``"donor"``: a real image without structure. ``"threshold"``: gamma noise with a
            limit of detection. ``"gaps"``: pixels lost at random.
        odds: Signal over noise in the variance of block means; sets the strength.
        shape: Shape parameter of gamma noise.
        blurred: Blur of image and noise afterwards in pixels (delocalisation, oversampling).
    """

    kind: NoiseKind
    odds: float
    shape: float = 6.0
    blurred: float = 0.0


@dataclass(frozen=True)
class Signal:
    """An expected image with what scales its noise.

    Attributes:
        values: float32 (H, W).
        measured: bool (H, W).
        variance: Variance of the block means.
        side: Side of a block in pixels.
        residual: float32 (H, W), fine residual of the image with mean 0 and variance 1, or None.
        donor: float32 (H, W), image without structure with mean 0 and variance 1, or None.
    """

    values: Field
    measured: NDArray[np.bool_]
    variance: float
    side: int
    residual: Field | None = None
    donor: Field | None = None


def record(rng: np.random.Generator, signal: Signal, noise: Noise) -> Field:
    """Records the signal once with noise, float32 (H, W), not negative, 0 where not measured."""
    values = signal.values
    per_block = max(signal.variance, 1e-5) * signal.side**2 / noise.odds  # variance of one pixel's noise
    if noise.kind == "counts":
        rate = float(np.clip(values.mean() * (1.0 + 1.0 / noise.shape) / per_block, 1e-6, 1e4))
        image = rng.poisson(values * np.float32(rate)).astype(np.float32)
        if noise.shape < 50.0:  # single ions do not all have the same intensity
            image *= _gamma(rng, noise.shape, image.shape)[0]
        image *= np.float32(1.0 / rate)
    elif noise.kind == "threshold":
        power = float(np.vdot(values, values)) / values.size
        share = power / (power + per_block)  # of the bright pixels above the limit
        gains, drawn = _gamma(rng, noise.shape, values.shape)
        image = blur3(values) * gains  # else peaks of the image's own noise would be all that is left
        image[image < drawn[int((1.0 - share) * (drawn.size - 1))]] = 0.0
    elif noise.kind == "gaps":
        power = float(np.vdot(values, values)) / values.size
        kept = power / (power + per_block)
        image = np.where(rng.random(values.shape, dtype=np.float32) < kept, values, np.float32(0.0))
    else:
        image = values + np.float32(math.sqrt(per_block)) * _unit_noise(rng, signal, noise.kind)
        if noise.kind == "offset":
            image += np.float32(2.0 * math.sqrt(per_block))
        np.maximum(image, 0.0, out=image)
    image = blur(image, noise.blurred)
    if not signal.measured.all():
        image = np.where(signal.measured, image, np.float32(0.0))
    return np.ascontiguousarray(image, dtype=np.float32)


def _gamma(rng: np.random.Generator, shape: float, size: tuple[int, ...]) -> tuple[Field, Field]:
    """Gamma noise with mean 1, float32 of ``size``; and the 1024 sorted values that it consists of."""
    drawn = np.sort(rng.standard_gamma(shape, 1024, dtype=np.float32)) * np.float32(1.0 / shape)
    return drawn[rng.integers(0, drawn.size, size, dtype=np.uint16)], drawn


def _unit_noise(rng: np.random.Generator, signal: Signal, kind: NoiseKind) -> Field:
    field = {"own": signal.residual, "donor": signal.donor}.get(kind)
    if field is None:
        return rng.standard_normal(signal.values.shape, dtype=np.float32)
    field = moved(rng, field)
    if kind == "donor":
        return field
    # Edges of the scene would remain visible in its residual. Lines keep what neighbouring pixels have in common.
    if rng.random() < _OWN_LINES:
        return field[rng.permutation(field.shape[0])]
    return rng.permutation(field.ravel()).reshape(field.shape)


def moved(rng: np.random.Generator, field: Field) -> Field:
    """Mirrors a field and shifts it around the frame, both at random; float32 (H, W)."""
    height, width = field.shape
    flipped = field[:: int(rng.choice((-1, 1))), :: int(rng.choice((-1, 1)))]
    return np.roll(flipped, (int(rng.integers(height)), int(rng.integers(width))), axis=(0, 1))


def unit(field: Field) -> Field | None:
    """Scales to mean 0 and variance 1 with outliers cut; None if the field is constant."""
    field = field - field.mean()
    spread = float(field.std())
    if spread < 1e-4:
        return None
    cut = np.clip(field * np.float32(1.0 / spread), -_CUT, _CUT)
    result: Field = cut * np.float32(1.0 / max(float(cut.std()), 1e-4))
    return result


def residual(values: Field, measured: NDArray[np.bool_]) -> Field | None:
    """Fine residual of an image with mean 0 and variance 1; None if there is none."""
    fine = values - blur3(blur3(values))
    return unit(np.where(measured, fine, np.float32(0.0)))


def tiled(rng: np.random.Generator, field: Field, shape: tuple[int, int]) -> Field:
    """Window of ``shape`` at a random place of a field that is repeated, mirrored, beyond its edges."""
    rows, cols = (_mirrored(n, int(rng.integers(2 * n)), to) for n, to in zip(field.shape, shape, strict=True))
    return field[rows[:, None], cols[None, :]]


def _mirrored(n: int, start: int, to: int) -> NDArray[np.intp]:
    place = (np.arange(to) + start) % (2 * n)
    return np.where(place < n, place, 2 * n - 1 - place)


@dataclass(frozen=True)
class Processing:
    """Traces that instruments and software leave in an image; 0 and None = none.

    Attributes:
        hot: Share of hot pixels.
        lines: Standard deviation of the log gain of acquisition lines.
        columns: Whether the lines are columns.
        clipped: Quantile at which the image is clipped, as in rendered pictures.
        levels: Number of levels after clipping, 255 for an image recovered from a colour map.
        smoothed: Whether neighbouring pixels share signal.
    """

    hot: float = 0.0
    lines: float = 0.0
    columns: bool = False
    clipped: float | None = None
    levels: int | None = None
    smoothed: bool = False


def draw_processing(rng: np.random.Generator) -> Processing:
    """Draws traces; most images have few."""
    recovered = rng.random() < 0.35
    return Processing(
        hot=float(np.exp(rng.uniform(np.log(1e-4), np.log(4e-3)))) if rng.random() < 0.15 else 0.0,
        lines=rng.uniform(0.02, 0.25) if rng.random() < 0.08 else 0.0,
        columns=bool(rng.random() < 0.2),
        clipped=rng.uniform(0.97, 1.0) if recovered or rng.random() < 0.1 else None,
        levels=255 if recovered else None,
        smoothed=bool(rng.random() < 0.12),
    )


def process(rng: np.random.Generator, image: Field, processing: Processing) -> Field:
    """Applies the traces to one recording, float32 (H, W)."""
    if processing.smoothed:
        image = blur3(image)
    if processing.lines > 0.0:
        gain = np.exp(rng.normal(0.0, processing.lines, image.shape[processing.columns])).astype(np.float32)
        image = image * (gain[None, :] if processing.columns else gain[:, None])
    if processing.hot > 0.0:
        n = 1 + int(processing.hot * image.size)
        image = image.copy()
        image.ravel()[rng.integers(0, image.size, n)] = max(float(image.max()), 0.5) * rng.uniform(0.5, 5.0, n)
    if processing.clipped is not None:
        sample = image.ravel()[:: max(1, image.size // 4096)]
        top = float(np.quantile(sample, processing.clipped)) or float(image.max())
        image = np.minimum(image, np.float32(max(top, 1e-6)))
    if processing.levels is not None:
        step = np.float32(max(float(image.max()), 1e-6) / processing.levels)
        image = np.round(image / step) * step
    return image
