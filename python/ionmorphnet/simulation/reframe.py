"""Other frames of a real image and its sample map: turned, cropped, resized, padded, or measured only in a part."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.alterations import signed_depth
from ionmorphnet.simulation.degrade import resize, resize_measured
from ionmorphnet.simulation.fields import Field, fractal_field

_Scalar = TypeVar("_Scalar", np.float32, np.bool_)

_CROP, _RESIZE, _RESAMPLE, _PAD, _MASK = 0.25, 0.6, 0.12, 0.16, 0.16
# No side becomes shorter than this.
_SHORTEST = 16


@dataclass(frozen=True)
class Frame:
    """An image on its pixel grid.

    Attributes:
        values: float32 (H, W), 0 where not measured.
        measured: bool (H, W).
        sample: float32 (H, W), probability that a pixel is sample; None = unknown.
    """

    values: Field
    measured: NDArray[np.bool_]
    sample: Field | None

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.values.shape[0], self.values.shape[1]


def draw_reframed(
    rng: np.random.Generator, frame: Frame, sides: tuple[int, int], *, free: bool = True, negative: bool = False
) -> tuple[Frame, list[str]]:
    """Draws another frame.

    Args:
        rng: Source of randomness.
        frame: The image.
        sides: Smallest and largest side of the result, geometric mean of height and width.
        free: Whether a crop may lie anywhere; otherwise it keeps at least four fifths of each side.
        negative: Whether the surroundings are bright, so that a mask must leave some of them.

    Returns:
        The frame, contiguous, and the names of the changes that the label may have to follow.
    """
    changes: list[str] = []
    frame = turned(frame, int(rng.integers(8)))
    if rng.random() < _CROP:
        cropped = _drawn_crop(rng, frame, 0.4 if free else 0.8)
        if cropped is not None:
            frame = cropped
            changes.append("cropped")
    side = math.sqrt(frame.shape[0] * frame.shape[1])
    wanted = side
    if rng.random() < _RESIZE:
        wanted = float(np.exp(rng.normal(np.log(85.0), 0.45)))
    wanted = float(np.clip(wanted, *sides))
    pad = rng.random() < _PAD
    if pad:
        wanted *= rng.uniform(0.35, 0.9)
    if abs(wanted / side - 1.0) > 0.03:
        frame = resized(frame, wanted / side)
    if rng.random() < _RESAMPLE:  # interpolated by whoever exported it
        small = resized(frame, rng.uniform(0.35, 0.8))
        frame = _to_shape(small, frame.shape)
        changes.append("resampled")
    if pad:
        frame = draw_padded(rng, frame, sides[1])
        changes.append("padded")
    if frame.sample is not None and rng.random() < _MASK:
        masked = _drawn_mask(rng, frame, frame.sample, negative)
        if masked is not None:
            frame = masked
            changes.append("masked")
    return frame, changes


def turned(frame: Frame, code: int) -> Frame:
    """Mirrors and turns exactly; bits of ``code``: 1 transpose, 2 flip vertically, 4 flip horizontally."""

    sample = None if frame.sample is None else _turned(frame.sample, code)
    return Frame(_turned(frame.values, code), _turned(frame.measured, code), sample)


def _turned(array: NDArray[_Scalar], code: int) -> NDArray[_Scalar]:
    array = array.T if code & 1 else array
    return np.ascontiguousarray(array[:: -1 if code & 2 else 1, :: -1 if code & 4 else 1])


def cropped(frame: Frame, window: tuple[slice, slice]) -> Frame:
    """Shows a window of the frame."""
    sample = None if frame.sample is None else np.ascontiguousarray(frame.sample[window])
    return Frame(np.ascontiguousarray(frame.values[window]), np.ascontiguousarray(frame.measured[window]), sample)


def _drawn_crop(rng: np.random.Generator, frame: Frame, smallest: float) -> Frame | None:
    """Crops at random; None if the window would be tiny, or shows almost nothing measured or of the sample."""
    centre = (0, 0)
    if frame.sample is not None and frame.sample.max() > 0.5 and rng.random() < 0.6:
        place = rng.choice(np.flatnonzero(frame.sample > 0.5))  # inside the sample: it may fill the window
        centre = (int(place) // frame.shape[1], int(place) % frame.shape[1])
    window = []
    for n, c in zip(frame.shape, centre, strict=True):
        to = max(_SHORTEST, round(n * rng.uniform(smallest, 1.0)))
        if to > n:
            return None
        start = int(np.clip(c - to // 2, 0, n - to)) if c else int(rng.integers(n - to + 1))
        window.append(slice(start, start + to))
    result = cropped(frame, (window[0], window[1]))
    if result.measured.mean() < 0.3 or float(result.values.std()) < 1e-3:
        return None
    known = result.sample is not None and frame.sample is not None and frame.sample.max() > 0.5
    if known and result.sample is not None and float(result.sample.mean()) < 0.15:
        return None
    return result


def resized(frame: Frame, scale: float) -> Frame:
    """Resizes both sides by about ``scale``, to at least 16 pixels."""
    shape = tuple(max(_SHORTEST, round(n * scale)) for n in frame.shape)
    return _to_shape(frame, (shape[0], shape[1]))


def _to_shape(frame: Frame, shape: tuple[int, int]) -> Frame:
    values, measured = resize_measured(frame.values, frame.measured, shape)
    sample = None if frame.sample is None else np.clip(resize(frame.sample, shape), 0.0, 1.0)
    return Frame(values, measured, sample)


def has_dark_border(frame: Frame, limit: float = 0.12) -> bool:
    """Whether the outermost measured pixels are dark on average, compared with the 0.99 quantile of the image."""
    if not frame.measured.any():
        return False
    top = max(float(np.quantile(frame.values[frame.measured], 0.99)), 1e-6)
    border = np.zeros(frame.shape, dtype=np.bool_)
    border[[0, -1], :] = border[:, [0, -1]] = True
    values = np.clip(frame.values[border & frame.measured] / top, 0.0, 1.0)
    return values.size == 0 or float(values.mean()) < limit


def draw_padded(rng: np.random.Generator, frame: Frame, largest: int) -> Frame:
    """Puts the image into a larger frame that is empty, or as dim as its own dark pixels, or not measured.

    Args:
        rng: Source of randomness.
        frame: The image.
        largest: Half the largest side of the result; larger images keep their side.
    """
    shape = tuple(n + int(rng.uniform(0.1, 1.2) * n) for n in frame.shape)
    shape = tuple(max(n, min(to, 2 * largest)) for n, to in zip(frame.shape, shape, strict=True))
    start = tuple(int(rng.integers(to - n + 1)) for n, to in zip(frame.shape, shape, strict=True))
    kind = rng.random()
    values = np.zeros(shape, dtype=np.float32)
    if kind < 0.35:  # dark pixels of the image itself
        dark = np.sort(frame.values[frame.measured])[: max(1, int(0.05 * frame.values.size))]
        values = dark[rng.integers(0, dark.size, shape)]
    measured = np.full(shape, kind < 0.75, dtype=np.bool_)
    window = (slice(start[0], start[0] + frame.shape[0]), slice(start[1], start[1] + frame.shape[1]))
    inner = frame.measured if kind >= 0.75 else np.ones_like(frame.measured)
    values[window] = np.where(frame.measured, frame.values, values[window])
    measured[window] = inner
    sample = None
    if frame.sample is not None:
        sample = np.zeros(shape, dtype=np.float32)
        sample[window] = frame.sample
    return Frame(values * measured, measured, sample)


def _drawn_mask(rng: np.random.Generator, frame: Frame, sample: Field, negative: bool) -> Frame | None:
    """Measures only the sample or an outline around it; None if that would leave little or everything."""
    margin = rng.uniform(-0.05, 0.1) if rng.random() < 0.4 and not negative else rng.uniform(0.15, 0.85)
    wobble = fractal_field(rng, frame.shape, max(frame.shape) / 4.0, 2)  # as drawn by hand
    measured = signed_depth(sample) > np.float32(-margin) * (np.float32(1.0) + np.float32(0.3) * wobble)
    measured &= frame.measured
    if not 0.12 < measured.mean() < 0.97:
        return None
    return Frame(frame.values * measured, measured, sample * measured)
