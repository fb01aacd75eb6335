"""Single simulated ion images with their class, for training and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation import anatomy
from ionmorphnet.simulation.detection import add_artefacts, detect, draw_detection, shapeless
from ionmorphnet.simulation.fields import Field, fractal_field
from ionmorphnet.simulation.silhouettes import Silhouette, draw_silhouette, frame_coordinates
from ionmorphnet.simulation.verdict import (
    FRAGMENTED,
    LOCALIZED,
    NEGATIVE,
    STRUCTURED,
    UNSTRUCTURED,
    WEAK,
    Truth,
    block_means,
    judge,
)

# Share of each class aimed at. Faint images of any class may turn out shapeless, so that one gets less.
_CLASS_SHARES = np.array([0.24, 0.21, 0.21, 0.12, 0.08, 0.14])
# How often an image of each class is drawn faint.
_FAINT = {STRUCTURED: 0.15, WEAK: 0.85, LOCALIZED: 0.45, FRAGMENTED: 0.4, NEGATIVE: 0.45}
_TRIES = 6


@dataclass(frozen=True)
class SimulatedImage:
    """One ion image with known truth.

    Attributes:
        image: float32 (H, W), arbitrary intensity units, NaN where nothing was measured.
        mask: bool (H, W), True where measured.
        label: Index into ``CLASSES`` of the most probable class.
        probabilities: float32 (6,), share of observers who would choose each class (see ``verdict``).
        structure: 0 (no meaningful spatial structure) to 3 (clear), from how well the noise-free image shows through.
        expectation: float32 (H, W), the noise-free relative abundance.
    """

    image: Field
    mask: NDArray[np.bool_]
    label: int
    probabilities: NDArray[np.float32]
    structure: float
    expectation: Field

    @property
    def class_name(self) -> str:
        """Name of the most probable class."""
        return CLASSES[self.label]

    def __repr__(self) -> str:
        """Size, class and structure."""
        height, width = self.image.shape
        return f"SimulatedImage({height} x {width}, {self.class_name}, structure {self.structure:.2f})"


def draw_measured_area(
    rng: np.random.Generator, silhouette: Silhouette, *, kind: float | None = None, margin: float | None = None
) -> NDArray[np.bool_]:
    """Pixels that were measured: the whole frame, an outline around the sample or at its very edge, or a cut frame.

    Args:
        rng: Source of randomness.
        silhouette: The sample.
        kind: From 0 to 1: the whole frame up to 0.5, then the sample and nothing else up to 0.66, then an outline drawn
            around it up to 0.86, then a cut frame; drawn where None.
        margin: Of an outline, in units of the sample's depth; drawn where None.
    """
    shape = silhouette.shape
    kind = rng.random() if kind is None else kind
    if kind < 0.5 or silhouette.kind == "full":
        return np.ones(shape, dtype=np.bool_)
    v, u = frame_coordinates(shape)
    if kind < 0.86:
        if margin is None:
            margin = rng.uniform(-0.06, 0.02) if kind < 0.66 else rng.uniform(0.02, 0.6)
        wobble = fractal_field(rng, shape, max(shape) / 4.0, 2)  # drawn by hand
        measured = silhouette.depth > np.float32(-margin) * (np.float32(1.0) + np.float32(0.3) * wobble)
    else:  # a polygon: some half planes
        measured = np.ones(shape, dtype=np.bool_)
        for _ in range(int(rng.integers(1, 5))):
            angle = rng.uniform(0.0, 2.0 * np.pi)
            measured &= np.float32(np.sin(angle)) * v + np.float32(np.cos(angle)) * u < np.float32(
                rng.uniform(0.6, 1.2)
            )
    return measured if measured.mean() > 0.15 else np.ones(shape, dtype=np.bool_)


def _area_of_matrix(rng: np.random.Generator, silhouette: Silhouette) -> NDArray[np.bool_]:
    """Measured area of a matrix ion: enough of it lies off the sample, else there would be nothing but a rim."""
    kind = rng.random()
    if kind < 0.7:
        return np.ones(silhouette.shape, dtype=np.bool_)
    if kind < 0.88:
        measured = draw_measured_area(rng, silhouette, kind=1.0)
    else:
        measured = draw_measured_area(rng, silhouette, kind=0.8, margin=rng.uniform(0.3, 0.8))
    off_sample = (measured & ~silhouette.tissue).sum() / measured.sum()
    return measured if off_sample > 0.2 else np.ones(silhouette.shape, dtype=np.bool_)


def draw_shape(rng: np.random.Generator, sides: tuple[int, int] = (20, 500)) -> tuple[int, int]:
    """Size of a section in pixels: log-normal sides around 105, any aspect ratio up to about 3."""
    side = np.exp(rng.normal(np.log(105.0), 0.5))
    aspect = np.exp(rng.normal(0.0, 0.35))
    height, width = np.clip([side / np.sqrt(aspect), side * np.sqrt(aspect)], *sides)
    return int(height), int(width)


def _draw_expectation(rng: np.random.Generator, silhouette: Silhouette, kind: int) -> Field:
    if kind in (STRUCTURED, WEAK):
        field = anatomy.whole_sample(rng, silhouette)
        if rng.random() < 0.15:  # chemical background everywhere
            field = field + np.float32(rng.uniform(0.02, 0.3)) * np.float32(field.max())
    elif kind == LOCALIZED:
        draw = anatomy.confined_region if rng.random() < 0.45 else anatomy.dominant_compartment
        field = draw(rng, silhouette)
    elif kind == FRAGMENTED:
        field = anatomy.scattered_clusters(rng, silhouette)
    else:
        field = anatomy.off_sample(rng, silhouette)
    positive = field[field > 0]
    bright = float(np.quantile(positive[:: max(1, positive.size // 4096)], 0.9)) if positive.size else 1.0
    scaled: Field = field * np.float32(1.0 / max(bright, 1e-6))
    return scaled


def _scattered(expectation: Field) -> bool:
    """Whether there are at least 4 separate clusters; fewer are confined regions."""
    blocks = block_means(expectation, max(2, round(min(expectation.shape) / 25)))
    limit = 0.4 * float(blocks.max(initial=0.0))
    lit = {(int(y), int(x)) for y, x in np.argwhere(blocks > limit)} if limit > 0 else set()
    clusters = 0
    while lit and clusters < 4:
        clusters += 1
        reached = [lit.pop()]
        while reached:
            y, x = reached.pop()
            near = {(y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & lit
            lit -= near
            reached += near
    return clusters >= 4


def simulate_scene(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int] | None = None,
    levels: int = 2,
    label: int | None = None,
) -> tuple[SimulatedImage, ...]:
    """Simulate one scene, the same noise-free image on the same pixels, seen at several noise levels.

    Which of two such images shows more structure is known whatever the conventions are: the training ranks by it.

    Args:
        rng: Source of randomness; the same state gives the same images.
        shape: (H, W) in pixels, each at least 16; drawn from 20 to 500 where None.
        levels: Number of images.
        label: Class to aim at (index into ``CLASSES``); drawn where None. What an observer would say decides the
            label: an image that turns out too faint to be recognised is unstructured whatever was aimed at.

    Returns:
        ``levels`` images with their truth.

    Raises:
        ArgumentError: Shape too small, unknown label, or no levels.
    """
    _check(shape, label)
    if levels < 1:
        raise ArgumentError(f"levels must be at least 1, got {levels}")
    shape = draw_shape(rng) if shape is None else shape
    kind = int(rng.choice(6, p=_CLASS_SHARES)) if label is None else label
    if kind == UNSTRUCTURED:
        measured = np.ones(shape, dtype=np.bool_)
        if rng.random() < 0.5:  # noise inside an outline must not pass for tissue
            measured = draw_measured_area(rng, draw_silhouette(rng, shape), kind=rng.uniform(0.5, 1.0))
        return tuple(_shapeless(rng, measured) for _ in range(levels))
    silhouette = draw_silhouette(rng, shape, coverage=(0.15, 0.85) if kind == NEGATIVE else (0.18, 1.0))
    measured = _area_of_matrix(rng, silhouette) if kind == NEGATIVE else draw_measured_area(rng, silhouette)
    expectation = np.where(measured, _draw_expectation(rng, silhouette, kind), np.float32(0.0))
    return tuple(_observe(rng, kind, expectation, silhouette.tissue, measured) for _ in range(levels))


def simulate_ion_image(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int] | None = None,
    label: int | None = None,
) -> SimulatedImage:
    """Simulate one ion image.

    Args:
        rng: Source of randomness; the same state gives the same image.
        shape: (H, W) in pixels, each at least 16; drawn from 20 to 500 where None.
        label: Class to aim at (index into ``CLASSES``); drawn where None. Several scenes are tried; what turns out
            otherwise to an observer in all of them keeps the label an observer would give.

    Returns:
        The image with its truth.

    Raises:
        ArgumentError: Shape too small or unknown label.
    """
    _check(shape, label)
    shape = draw_shape(rng) if shape is None else shape
    for _ in range(_TRIES if label is not None else 1):
        (simulated,) = simulate_scene(rng, shape=shape, levels=1, label=label)
        if simulated.label == label:
            break
    return simulated


def _check(shape: tuple[int, int] | None, label: int | None) -> None:
    if shape is not None and (len(shape) != 2 or min(shape) < 16):
        raise ArgumentError(f"shape must be (H, W) with at least 16 pixels a side, got {shape}")
    if label is not None and not 0 <= label < len(CLASSES):
        raise ArgumentError(f"label must be 0 to {len(CLASSES) - 1}, got {label}")


def _shapeless(rng: np.random.Generator, measured: NDArray[np.bool_]) -> SimulatedImage:
    image = shapeless(rng, (measured.shape[0], measured.shape[1]))
    if rng.random() < 0.7:
        image = add_artefacts(rng, image)
    shares = np.zeros(len(CLASSES), dtype=np.float32)
    shares[UNSTRUCTURED] = 1.0
    return _result(rng, np.where(measured, image, np.float32(0.0)), measured, shares, 0.0, np.zeros_like(image))


def _observe(
    rng: np.random.Generator,
    kind: int,
    expectation: Field,
    tissue: NDArray[np.bool_],
    measured: NDArray[np.bool_],
) -> SimulatedImage:
    image, expected = detect(rng, expectation, draw_detection(rng, faint=rng.random() < _FAINT[kind]))
    image = np.where(measured, add_artefacts(rng, image), np.float32(0.0))
    truth = Truth(np.where(measured, expected, np.float32(0.0)), tissue, measured)
    if kind == FRAGMENTED and not _scattered(truth.clipped):
        kind = LOCALIZED
    shares, grade = judge(kind, truth.visibility(image))
    return _result(rng, image, measured, shares, grade, expectation)


def _result(
    rng: np.random.Generator,
    image: Field,
    measured: NDArray[np.bool_],
    shares: NDArray[np.float32],
    structure: float,
    expectation: Field,
) -> SimulatedImage:
    gain = np.float32(np.exp(rng.uniform(0.0, np.log(1e6))))
    observed = np.where(measured, image * gain, np.float32(np.nan)).astype(np.float32)
    return SimulatedImage(observed, measured, int(shares.argmax()), shares, structure, expectation)
