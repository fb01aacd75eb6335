"""Alterations of what a real scene shows: parts of the sample, clusters, bright strips and rims, other contrast.

They change the expected image, before any noise. All images are float32 (H, W), about 1 in bright pixels and 0 where
not measured; a sample is float32 (H, W), the probability that a pixel is sample.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.degrade import blur, resize
from ionmorphnet.simulation.detection import blur3
from ionmorphnet.simulation.fields import Field, fractal_field, ramp, smooth_field, smoothstep

# Side of the grid on which distances from the edge of a sample are estimated.
_COARSE = 40.0


def signed_depth(sample: Field) -> Field:
    """Depth below the edge of a sample: 0 on the edge, up to 1 inside, down to -1 outside; float32 (H, W)."""
    shape = (sample.shape[0], sample.shape[1])
    shrink = min(1.0, _COARSE / math.sqrt(sample.size))
    coarse = resize(sample, (max(2, round(shape[0] * shrink)), max(2, round(shape[1] * shrink))))
    side = math.sqrt(coarse.size)
    wide = resize(blur(coarse, max(0.5, 0.05 * side)) + blur(coarse, max(0.5, 0.14 * side)), shape)
    depth: Field = np.float32(2.0 / 3.0) * (blur3(sample) + wide) - np.float32(1.0)
    return depth


def estimated_sample(image: Field, measured: NDArray[np.bool_], *, negative: bool) -> Field | None:
    """Estimates the sample of an image that shows all of it: bright (or for a negative, dark) against its surroundings.

    Args:
        image: float32 (H, W).
        measured: bool (H, W).
        negative: Whether the surroundings are bright.

    Returns:
        float32 (H, W). 1 everywhere if nothing separates a sample from dark surroundings; None if nothing separates it
        from bright ones.
    """
    side = math.sqrt(image.shape[0] * image.shape[1])
    smooth = blur(np.sqrt(np.minimum(image, 1.0)), max(0.6, 0.02 * side))
    values = np.sort(smooth[measured][:: max(1, image.size // 2048)])
    n = values.size
    if n < 16:
        return None
    # Otsu's threshold over the sorted values.
    below = np.cumsum(values)[:-1]
    count = np.arange(1, n)
    between = count * (n - count) * (below / count - (values.sum() - below) / (n - count)) ** 2
    cut = int(between.argmax())
    low, high = float(values[: cut + 1].mean()), float(values[cut + 1 :].mean())
    separated = between[cut] / n**2 > 0.6 * float(values.var()) and low < 0.6 * high
    edge = np.concatenate([smooth[0], smooth[-1], smooth[:, 0], smooth[:, -1]])
    threshold = 0.4 * high + 0.6 * low
    bright_edge = float((edge > threshold).mean())
    if negative:
        if not separated or bright_edge < 0.3:
            return None
        found = np.float32(1.0) - smoothstep(smooth, 0.5 * (low + high), 0.15 * (high - low))
    elif not separated or bright_edge > 0.5:
        found = np.ones_like(image)
    else:
        found = smoothstep(smooth, threshold, 0.15 * (high - low))
        found = np.maximum(found, enclosed(found))  # a ring bounds a sample
    result: Field = np.where(measured, found, np.float32(0.0))
    return result


def enclosed(field: Field) -> Field:
    """Fills each pixel up to the lowest of the highest values on its left, right, above and below; float32 (H, W)."""
    reach = np.maximum.accumulate
    rows = np.minimum(reach(field, axis=0), reach(field[::-1], axis=0)[::-1])
    cols = np.minimum(reach(field, axis=1), reach(field[:, ::-1], axis=1)[:, ::-1])
    filled: Field = np.minimum(rows, cols)
    return filled


def draw_region(rng: np.random.Generator, sample: Field, share: float) -> Field:
    """Draws one confined region of the sample with a wobbly edge, soft float32 (H, W) in 0 to 1.

    Args:
        rng: Source of randomness.
        sample: The sample.
        share: Share of the sample's area, approximate.
    """
    shape = (sample.shape[0], sample.shape[1])
    y, x = _place(rng, sample)
    radius = math.sqrt(share * max(float(sample.sum()), 16.0) / math.pi)
    stretch, angle = math.exp(rng.normal(0.0, 0.35)), rng.uniform(0.0, math.pi)
    dy = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(y)
    dx = np.arange(shape[1], dtype=np.float32)[None, :] - np.float32(x)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    distance = np.hypot((cos * dy + sin * dx) * np.float32(stretch), (cos * dx - sin * dy) * np.float32(1.0 / stretch))
    distance *= np.float32(1.0 / radius)
    distance += np.float32(rng.uniform(0.0, 0.35)) * fractal_field(rng, shape, max(radius, 3.0), 2)
    width = float(np.exp(rng.uniform(np.log(0.04), np.log(0.4))))
    region: Field = (np.float32(1.0) - smoothstep(distance, 1.0, width)) * sample
    return region


def _place(rng: np.random.Generator, sample: Field) -> tuple[int, int]:
    weights = np.cumsum(sample.ravel(), dtype=np.float64)
    if weights[-1] <= 0.0:
        return int(rng.integers(sample.shape[0])), int(rng.integers(sample.shape[1]))
    found = int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))
    row, column = divmod(min(found, sample.size - 1), int(sample.shape[1]))
    return row, column


def confined(rng: np.random.Generator, image: Field, sample: Field) -> Field:
    """Keeps one or two regions of the sample, the rest is dark or dim."""
    keep = draw_region(rng, sample, float(np.exp(rng.uniform(np.log(0.03), np.log(0.3)))))
    if rng.random() < 0.3:
        keep = np.maximum(keep, draw_region(rng, sample, rng.uniform(0.02, 0.12)))
    dim = 0.0 if rng.random() < 0.4 else rng.uniform(0.0, 0.3)
    return _shown(image, keep, dim)


def clusters(rng: np.random.Generator, image: Field, sample: Field) -> Field | None:
    """Keeps at least five separate small patches of the sample; None if they find no room."""
    area = max(float(sample.sum()), 16.0)
    radius = math.sqrt(area / math.pi) * rng.uniform(0.06, 0.13)
    if radius < 1.2:
        return None
    wanted, places = int(rng.integers(5, 16)), list[tuple[int, int]]()
    for _ in range(5 * wanted):
        y, x = _place(rng, sample)
        if all(math.hypot(y - v, x - u) > 3.2 * radius for v, u in places):
            places.append((y, x))
        if len(places) == wanted:
            break
    if len(places) < 5:
        return None
    rows = np.arange(image.shape[0], dtype=np.float32)[:, None]
    cols = np.arange(image.shape[1], dtype=np.float32)[None, :]
    sizes = radius * np.exp(rng.normal(0.0, 0.25, len(places)))
    nearest = np.full(image.shape, 9.0, dtype=np.float32)
    for (y, x), size in zip(places, sizes, strict=True):
        near = np.hypot(rows - np.float32(y), cols - np.float32(x)) * np.float32(1.0 / size)
        np.minimum(nearest, near, out=nearest)
    nearest += np.float32(rng.uniform(0.1, 0.4)) * smooth_field(rng, (image.shape[0], image.shape[1]), max(radius, 2.0))
    keep = (np.float32(1.0) - smoothstep(nearest, 1.0, rng.uniform(0.05, 0.4))) * sample
    return _shown(image, keep, 0.0 if rng.random() < 0.5 else rng.uniform(0.0, 0.15))


def _shown(image: Field, keep: Field, dim: float) -> Field:
    """Shows an image in ``keep`` and dimmed elsewhere; dark places of ``keep`` are filled, so that it is seen."""
    weight = max(float(keep.sum()), 1e-6)
    level = max(float(np.vdot(image, keep)) / weight, 0.05)
    filled = image * np.float32(0.7 / level) if level < 0.5 else image
    filled = np.float32(0.6) * filled + np.float32(0.4 * max(level, 0.5))
    shown: Field = keep * filled + np.float32(dim) * image * (np.float32(1.0) - keep)
    return shown


def surroundings(rng: np.random.Generator, image: Field, sample: Field) -> Field:
    """Bright surroundings of a dark sample: the image of a matrix ion."""
    shape = (image.shape[0], image.shape[1])
    matrix = np.exp(np.float32(rng.uniform(0.0, 0.35)) * smooth_field(rng, shape, max(shape) / rng.uniform(2.0, 8.0)))
    if rng.random() < 0.3:
        matrix *= np.float32(0.5) + np.float32(0.5) * ramp(rng, shape)
    inside = np.float32(rng.uniform(0.0, 0.3)) * image if rng.random() < 0.7 else np.zeros_like(image)
    outside = np.float32(1.0) - np.clip(blur(sample, rng.uniform(0.0, 2.0)), 0.0, 1.0)
    result: Field = (outside * matrix + (np.float32(1.0) - outside) * inside).astype(np.float32, copy=False)
    return result


def inverted(image: Field, sample: Field) -> Field:
    """Inverts the contrast within the sample: bright organs become dark ones, the sample stays bright."""
    clipped = np.minimum(image, np.float32(1.0))
    result: Field = np.where(sample > 0.5, np.float32(1.05) - clipped, image * np.float32(0.5))
    return result


def strip(rng: np.random.Generator, shape: tuple[int, int], sample: Field | None) -> Field:
    """Draws a bright strip along an edge of the frame or of the sample's bounding box; 0 to 1, float32 (H, W)."""
    low = np.array([0, 0])
    high = np.array(shape)
    if sample is not None and rng.random() < 0.7:
        inside = sample > 0.5
        rows, cols = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if rows.size and cols.size:
            low, high = np.array([rows[0], cols[0]]), np.array([rows[-1] + 1, cols[-1] + 1])
    axis, far = int(rng.integers(2)), rng.random() < 0.5
    extent = int(high[axis] - low[axis])
    width = max(1.0, rng.uniform(0.02, 0.12) * extent)
    place = np.arange(shape[axis], dtype=np.float32)
    depth = (np.float32(high[axis] - 1) - place) if far else (place - np.float32(low[axis]))
    profile = np.where(depth > -2.0, smoothstep(np.float32(width) - depth, 0.0, rng.uniform(0.2, 0.5) * width), 0.0)
    along = np.ones(shape[1 - axis], dtype=np.float32)
    if rng.random() < 0.5:  # a part of the edge
        n = shape[1 - axis]
        start, length = rng.uniform(0.0, 0.6) * n, rng.uniform(0.3, 1.0) * n
        along = ((np.arange(n) > start) & (np.arange(n) < start + length)).astype(np.float32)
    band = profile.astype(np.float32)[:, None] * along[None, :]
    texture = np.exp(np.float32(rng.uniform(0.1, 0.5)) * smooth_field(rng, shape, rng.uniform(1.5, 6.0)))
    result: Field = (band if axis == 0 else band.T) * np.minimum(texture, np.float32(1.5))
    return result


def rim(rng: np.random.Generator, sample: Field) -> Field:
    """Draws hot spots along the edge of the sample, 0 to 1, float32 (H, W)."""
    shape = (sample.shape[0], sample.shape[1])
    soft = blur(sample, max(0.6, rng.uniform(0.004, 0.02) * math.sqrt(sample.size)))
    edge = np.float32(4.0) * soft * (np.float32(1.0) - soft)
    spots = smoothstep(smooth_field(rng, shape, rng.uniform(1.5, 4.0)), rng.uniform(0.2, 1.4), 0.3)
    result: Field = edge**2 * spots
    return result


def recast(rng: np.random.Generator, image: Field) -> tuple[Field, str]:
    """Changes the contrast: another gamma, or most of it lost on a level that is everywhere."""
    if rng.random() < 0.7:
        return np.power(image, np.float32(np.exp(rng.normal(0.0, 0.4)))), "gamma"
    level = np.float32(1.0 - np.exp(rng.uniform(np.log(0.15), np.log(0.9))))
    return level + (np.float32(1.0) - level) * image, "pedestal"


def scattered_pixels(rng: np.random.Generator, image: Field, area: NDArray[np.bool_], pool: NDArray[np.bool_]) -> Field:
    """Fills ``area`` with pixels of ``pool`` in random order; the rest of the image stays."""
    values = image[pool]
    result = image.copy()
    n = int(area.sum())
    if values.size == 0:
        result[area] = 0.0
    elif values.size == n:
        result[area] = rng.permutation(values)
    else:
        result[area] = values[rng.integers(0, values.size, n)]
    return result
