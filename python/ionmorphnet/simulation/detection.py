"""Detection: turns expected abundance into reported intensity with counts, thresholds, noise and artefacts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ionmorphnet.simulation.fields import Field, fractal_field, smooth_field, smoothstep
from ionmorphnet.simulation.silhouettes import Silhouette

DetectionModel = Literal["threshold", "counts", "profile"]


# Share of dense images with little noise.
_CLEAN = 0.4


@dataclass(frozen=True)
class Detection:
    """How abundance becomes intensity; abundance 1 is a bright pixel of the image.

    Attributes:
        model: ``"threshold"``: gamma noise with 0 below a limit (centroided data). ``"counts"``: Poisson ion counts.
            ``"profile"``: gamma noise on a baseline without a limit.
        shape: Shape parameter of the gamma noise, 1 / squared coefficient of variation.
        rate: ``"threshold"``: share of bright pixels above the limit. ``"counts"``: ions in a bright pixel.
            ``"profile"``: bright pixel over the standard deviation of the baseline.
        speckle: Share of the measured pixels with an unrelated peak.
        blur: Whether neighbouring pixels share signal (oversampling).
        grain: Strength (standard deviation of the logarithm) and size in pixels of grains, such as crystals or pores,
            which change the signal but are no structure of the sample; None: no grains.
    """

    model: DetectionModel
    shape: float
    rate: float
    speckle: float = 0.0
    blur: bool = False
    grain: tuple[float, float] | None = None


def draw_detection(rng: np.random.Generator, *, faint: bool) -> Detection:
    """Draws a detection model for a dense image, or for a faint one with gaps and low contrast."""
    model: DetectionModel = ("threshold", "counts", "profile")[int(rng.choice(3, p=[0.5, 0.2, 0.3]))]
    clean = not faint and rng.random() < _CLEAN
    shape = _between(rng, 1.5, 80.0) if faint else _between(rng, 20.0, 400.0) if clean else _between(rng, 2.5, 100.0)
    if model == "threshold":
        rate = rng.uniform(0.03, 0.55) if faint else rng.uniform(0.9, 1.0) if clean else rng.uniform(0.55, 1.0)
    elif model == "counts":
        rate = _between(rng, 0.04, 1.2) if faint else _between(rng, 20.0, 400.0) if clean else _between(rng, 1.2, 60.0)
    else:
        rate = _between(rng, 0.25, 2.0) if faint else _between(rng, 10.0, 200.0) if clean else _between(rng, 2.0, 60.0)
    speckle = 0.0 if rng.random() < 0.6 else _between(rng, 2e-4, 0.08)
    grain = (rng.uniform(0.2, 1.0), rng.uniform(1.2, 5.0)) if rng.random() < 0.12 else None
    return Detection(model, shape, float(rate), speckle, blur=bool(rng.random() < 0.12), grain=grain)


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    """Number between two limits, uniform on a logarithmic scale."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def unit_gamma(rng: np.random.Generator, shape: float, size: tuple[int, ...]) -> Field:
    """Gamma noise with mean 1, float32."""
    noise: Field = rng.standard_gamma(shape, size=size, dtype=np.float32)
    noise *= np.float32(1.0 / shape)
    return noise


def detect(rng: np.random.Generator, abundance: Field, detection: Detection) -> tuple[Field, Field]:
    """Applies a detection model.

    Args:
        rng: Source of randomness.
        abundance: float32 (H, W), non-negative, about 1 in bright pixels.
        detection: The model.

    Returns:
        Intensities, float32 (H, W), not negative; and the expected intensity of the sample's signal in each pixel,
        which accounts for the detection limit.
    """
    size = (abundance.shape[0], abundance.shape[1])
    expected = abundance
    seen = abundance if detection.grain is None else abundance * _grains(rng, size, *detection.grain)
    if detection.model == "counts":
        image = rng.poisson(seen * np.float32(detection.rate)).astype(np.float32)
        # Detector response varies, so single ions do not all have the same intensity.
        image *= unit_gamma(rng, 6.0, size)
    else:
        noise = unit_gamma(rng, detection.shape, size)
        image = seen * noise
        if detection.model == "threshold":
            if detection.rate < 1.0:
                drawn = np.sort(noise.ravel()[: min(noise.size, 2048)])
                limit = drawn[int((1.0 - detection.rate) * (drawn.size - 1))]
                image[image < limit] = 0.0
                expected = abundance * _mean_above(drawn, limit / np.maximum(abundance, np.float32(1e-6)))
        else:
            baseline = rng.standard_normal(size, dtype=np.float32)
            baseline *= np.float32(1.0 / detection.rate)
            image += np.abs(baseline) if rng.random() < 0.5 else baseline
            np.maximum(image, 0.0, out=image)
    if detection.speckle > 0.0:
        bright = max(float(image.max()), 1e-6)
        hits = rng.random(size, dtype=np.float32) < np.float32(detection.speckle)
        level = min(bright, 1.0) * rng.uniform(0.3, 1.0)
        image[hits] += np.float32(level) * unit_gamma(rng, 3.0, (int(hits.sum()),))
    return (blur3(image), blur3(expected)) if detection.blur else (image, expected)


def _grains(rng: np.random.Generator, shape: tuple[int, int], strength: float, size: float) -> Field:
    """Log-normal grains with mean 1, float32 (H, W)."""
    field = smooth_field(rng, shape, size) * np.float32(strength)
    grains: Field = np.exp(field - np.float32(0.5 * strength**2))
    return grains


def _mean_above(drawn: Field, limits: Field) -> Field:
    """Mean of the sorted sample ``drawn`` with values below each limit set to 0; shaped like ``limits``."""
    tails = np.zeros(drawn.size + 1, dtype=np.float32)
    tails[:-1] = np.cumsum(drawn[::-1], dtype=np.float64)[::-1] / drawn.size
    means: Field = tails[np.searchsorted(drawn, limits.ravel())].reshape(limits.shape)
    return means


def blur3(image: Field) -> Field:
    """Smooths with (1, 2, 1) / 4 along both axes, with repeated edges; float32 (H, W)."""
    padded = np.pad(image, 1, mode="edge")
    rows = padded[:-2] + 2.0 * padded[1:-1] + padded[2:]
    result: Field = ((rows[:, :-2] + 2.0 * rows[:, 1:-1] + rows[:, 2:]) * 0.0625).astype(np.float32)
    return result


def add_artefacts(rng: np.random.Generator, image: Field) -> Field:
    """Adds hot pixels, line gains, lost lines, uneven response and 8-bit rounding, each with low probability."""
    height, width = image.shape
    if rng.random() < 0.1:  # sensitivity differs by acquisition line
        gain = np.exp(rng.normal(0.0, rng.uniform(0.03, 0.3), size=height)).astype(np.float32)
        image = image * gain[:, None]
    if rng.random() < 0.15:  # response differs by pixel (matrix crystals)
        image = image * unit_gamma(rng, rng.uniform(5.0, 40.0), (height, width))
    if rng.random() < 0.06:  # lost lines
        lost = rng.random((height, 1)) < rng.uniform(0.01, 0.15)
        image = np.where(lost, np.float32(0.0), image)
    if rng.random() < 0.25:  # hot pixels
        n = 1 + int(rng.integers(0, max(2, int(0.004 * image.size))))
        image = image.copy()
        peak = max(float(image.max()), 1.0)
        image[rng.integers(0, height, n), rng.integers(0, width, n)] = peak * rng.uniform(0.5, 8.0, n)
    if rng.random() < 0.3:  # 256 levels below a clipped top, as recovered from a picture
        top = max(float(np.quantile(image[::2, ::2], rng.uniform(0.98, 1.0))), 1e-6)
        image = np.minimum(np.round(image * np.float32(255.0 / top)), np.float32(255.0))
    return np.ascontiguousarray(image, dtype=np.float32)


def shapeless(rng: np.random.Generator, silhouette: Silhouette) -> tuple[Field, float]:
    """Image without the shape of a sample: empty, sparse, noisy, striped, drifting, or noise inside the outline.

    Returns:
        float32 (H, W), not negative; and the grade of structure that observers give it, 0 to about 0.7.
    """
    shape = silhouette.shape
    height, width = shape
    kind = rng.random()
    if kind < 0.06:
        return np.zeros(shape, dtype=np.float32), 0.0
    if kind < 0.12:  # a few single pixels
        image = np.zeros(shape, dtype=np.float32)
        n = int(rng.integers(1, 40))
        image[rng.integers(0, height, n), rng.integers(0, width, n)] = unit_gamma(rng, 2.0, (n,))
        return image, 0.0
    gain = np.ones(shape, dtype=np.float32)
    grade = 0.0
    if kind < 0.22:  # noise in some of the acquisition lines
        rate = rng.gamma(0.4, 1.0, size=height).astype(np.float32)
        gain *= rate[:, None] if rng.random() < 0.8 else rng.gamma(0.4, 1.0, size=width).astype(np.float32)[None, :]
    elif kind < 0.32:  # slow drift of the noise over the acquisition
        drift = np.linspace(rng.uniform(0.2, 1.0), rng.uniform(0.2, 1.0), height, dtype=np.float32)
        gain *= drift[:, None]
        grade = 0.2
    elif kind < 0.42:  # smooth clouds without a border
        cloud = fractal_field(rng, shape, max(max(shape) / rng.uniform(1.0, 3.0), 8.0), 1)
        strength = rng.uniform(0.1, 0.5)
        gain *= np.exp(np.float32(strength) * cloud)
        grade = 0.8 * strength + 0.1
    noisy = 8.0 if grade > 0.2 else 20.0
    if rng.random() < 0.55:
        density = _between(rng, 0.002, 0.8)
        hits = rng.random(shape, dtype=np.float32) < np.float32(density) * gain
        image = hits * unit_gamma(rng, rng.uniform(1.0, 8.0), shape)
    else:
        density = 1.0
        image = unit_gamma(rng, _between(rng, 0.3, noisy), shape) * gain
    if silhouette.kind != "full" and rng.random() < 0.22:  # the outline is the sample's, not the ion's
        image *= silhouette.tissue
        if rng.random() < 0.15:
            image = blur3(image)
        grade = max(grade, 0.55 * min(density / 0.1, 1.0))
    if silhouette.kind != "full" and rng.random() < 0.12:  # hot pixels along the rim
        near = 1.0 - smoothstep(np.abs(silhouette.depth), rng.uniform(0.02, 0.06), 0.02)
        hits = rng.random(shape, dtype=np.float32) < np.float32(rng.uniform(0.02, 0.25)) * near
        image[hits] = max(float(image.max()), 1.0) * unit_gamma(rng, 2.0, (int(hits.sum()),))
        grade = max(grade, 0.5)
    return image, grade
