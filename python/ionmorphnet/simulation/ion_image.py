"""Single simulated ion images with their class and structure grade."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.sizes import pixels_text
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation import anatomy
from ionmorphnet.simulation.detection import add_artefacts, detect, draw_detection, shapeless
from ionmorphnet.simulation.fields import Field, fractal_field, linear_weights
from ionmorphnet.simulation.observer import (
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
from ionmorphnet.simulation.sample_map import draw_sample_map
from ionmorphnet.simulation.silhouettes import Silhouette, draw_silhouette, frame_coordinates

# Smallest and largest side of an image in pixels.
SIDES = (20, 300)
# Share of each target class. Faint images of any class may end up unstructured, so that class gets less.
_CLASS_SHARES = np.array([0.26, 0.20, 0.20, 0.13, 0.08, 0.13])
# Probability that an image of each class is faint.
_FAINT = {STRUCTURED: 0.15, WEAK: 0.85, LOCALIZED: 0.45, FRAGMENTED: 0.4, NEGATIVE: 0.45}
_TRIES = 6
# Share of whole samples that cover a fifth of the frame at most.
_SMALL_SAMPLES = 0.15
# Share of scenes that are shown on a finer grid than they were measured on, as in pictures.
_RESAMPLED, _MOST_ENLARGED = 0.08, 2.5


@dataclass(frozen=True)
class SimulatedImage:
    """One ion image with its ground truth.

    Attributes:
        image: float32 (height, width) in arbitrary units; NaN = not measured.
        mask: bool (height, width), True = measured.
        label: Index into ``CLASSES`` of the most probable class.
        probabilities: float32 (6,), share of observers who would choose each class (see ``observer``).
        structure: 0 (no meaningful spatial structure) to 3 (clear), by how clearly the noise-free image is visible.
        expectation: float32 (height, width), the noise-free relative abundance.
        sample: float32 (height, width), probability from 0 to 1 that a pixel is sample, as estimated from all images of
            a section: with errors, and 0 where not measured.
    """

    image: Field
    mask: NDArray[np.bool_]
    label: int
    probabilities: NDArray[np.float32]
    structure: float
    expectation: Field
    sample: Field

    @property
    def class_name(self) -> str:
        """Name of the most probable class."""
        return CLASSES[self.label]

    def __repr__(self) -> str:
        """Size, class and structure in one line."""
        return f"SimulatedImage({pixels_text(self.image.shape)}, {self.class_name}, structure {self.structure:.2f})"


def draw_measured_area(
    rng: np.random.Generator, silhouette: Silhouette, *, kind: float | None = None, margin: float | None = None
) -> NDArray[np.bool_]:
    """Draws the measured pixels: the whole frame, the sample alone, an outline around it, or a cropped frame.

    Args:
        rng: Source of randomness.
        silhouette: The sample.
        kind: 0 to 1: below 0.5 the whole frame, below 0.66 the sample alone, below 0.86 an outline around it, above a
            cropped frame; by default drawn.
        margin: Margin of an outline in units of the sample's depth; by default drawn.
    """
    shape = silhouette.shape
    kind = rng.random() if kind is None else kind
    if kind < 0.5 or silhouette.kind == "full":
        return np.ones(shape, dtype=np.bool_)
    v, u = frame_coordinates(shape)
    if kind < 0.86:
        if margin is None:
            margin = rng.uniform(-0.06, 0.02) if kind < 0.66 else rng.uniform(0.02, 0.6)
        wobble = fractal_field(rng, shape, max(shape) / 4.0, 2)  # as drawn by hand
        measured = silhouette.depth > np.float32(-margin) * (np.float32(1.0) + np.float32(0.3) * wobble)
    else:  # polygon: intersection of half planes
        measured = np.ones(shape, dtype=np.bool_)
        for _ in range(int(rng.integers(1, 5))):
            angle = rng.uniform(0.0, 2.0 * np.pi)
            measured &= np.float32(np.sin(angle)) * v + np.float32(np.cos(angle)) * u < np.float32(
                rng.uniform(0.6, 1.2)
            )
    return measured if measured.mean() > 0.15 else np.ones(shape, dtype=np.bool_)


def _area_of_matrix(rng: np.random.Generator, silhouette: Silhouette) -> NDArray[np.bool_]:
    """Measured area of a matrix ion, with enough of it off the sample to show more than a rim."""
    kind = rng.random()
    if kind < 0.7:
        return np.ones(silhouette.shape, dtype=np.bool_)
    if kind < 0.88:
        measured = draw_measured_area(rng, silhouette, kind=1.0)
    else:
        measured = draw_measured_area(rng, silhouette, kind=0.8, margin=rng.uniform(0.3, 0.8))
    off_sample = (measured & ~silhouette.tissue).sum() / measured.sum()
    return measured if off_sample > 0.2 else np.ones(silhouette.shape, dtype=np.bool_)


def draw_shape(rng: np.random.Generator, sides: tuple[int, int] = SIDES) -> tuple[int, int]:
    """Height and width of a section: log-normal around 115 pixels, aspect ratio up to about 3."""
    side = np.exp(rng.normal(np.log(115.0), 0.5))
    aspect = np.exp(rng.normal(0.0, 0.35))
    height, width = np.clip([side / np.sqrt(aspect), side * np.sqrt(aspect)], *sides)
    return int(height), int(width)


def _draw_expectation(rng: np.random.Generator, silhouette: Silhouette, kind: int) -> Field:
    if kind in (STRUCTURED, WEAK):
        field = anatomy.whole_sample(rng, silhouette)
        if rng.random() < 0.25:  # chemical background everywhere
            field = field + np.float32(rng.uniform(0.02, 0.5)) * np.float32(field.max())
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


def _draw_sample(rng: np.random.Generator, shape: tuple[int, int], kind: int) -> Silhouette:
    """Outline of the sample; some samples are small in an empty frame, in several pieces, or fill the frame."""
    if kind == NEGATIVE:
        return draw_silhouette(rng, shape, coverage=(0.15, 0.85))
    family = rng.random()
    if kind in (STRUCTURED, WEAK) and family < _SMALL_SAMPLES:
        return draw_silhouette(rng, shape, coverage=(0.02, 0.2))
    names = {0: "pieces", 1: "full"}
    return draw_silhouette(rng, shape, coverage=(0.18, 1.0), family=names.get(int((1.0 - family) / 0.06)))


def _scattered(expectation: Field) -> bool:
    """Whether there are at least 4 separate clusters; fewer count as confined regions."""
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
    """Simulates one scene, the same noise-free image on the same pixels, at several noise levels.

    Which of two such images shows more structure does not depend on any convention, so training ranks by it.

    Args:
        rng: Source of randomness; the same state yields the same images.
        shape: Height and width in pixels, each at least 16; by default drawn from 20 to 300.
        levels: Number of images.
        label: Target class (index into ``CLASSES``); by default drawn. The label of an image is what an observer would
            choose: one that is too faint to recognise is unstructured, whatever the target.

    Returns:
        ``levels`` images with their ground truth.

    Raises:
        ArgumentError: The shape is too small, the label is unknown, or ``levels`` is below 1.
    """
    _check(shape, label)
    if levels < 1:
        raise ArgumentError(f"levels must be at least 1, got {levels}")
    shape = draw_shape(rng) if shape is None else shape
    kind = int(rng.choice(6, p=_CLASS_SHARES)) if label is None else label
    if rng.random() >= _RESAMPLED:
        return _draw_scene(rng, shape, levels, kind)
    factor = rng.uniform(1.2, _MOST_ENLARGED)
    coarse = (max(16, round(shape[0] / factor)), max(16, round(shape[1] / factor)))
    return tuple(_enlarged(simulated, shape) for simulated in _draw_scene(rng, coarse, levels, kind))


def _draw_scene(rng: np.random.Generator, shape: tuple[int, int], levels: int, kind: int) -> tuple[SimulatedImage, ...]:
    if kind == UNSTRUCTURED:
        silhouette = draw_silhouette(rng, shape)
        # Noise inside an outline must not look like tissue.
        measured = draw_measured_area(rng, silhouette, kind=rng.uniform(0.0, 1.0))
        sample = draw_sample_map(rng, silhouette, measured)
        return tuple(_shapeless(rng, silhouette, measured, sample) for _ in range(levels))
    silhouette = _draw_sample(rng, shape, kind)
    measured = _area_of_matrix(rng, silhouette) if kind == NEGATIVE else draw_measured_area(rng, silhouette)
    expectation = np.where(measured, _draw_expectation(rng, silhouette, kind), np.float32(0.0))
    sample = draw_sample_map(rng, silhouette, measured)
    return tuple(_observe(rng, kind, expectation, silhouette.tissue, measured, sample) for _ in range(levels))


def _enlarged(simulated: SimulatedImage, shape: tuple[int, int]) -> SimulatedImage:
    """Interpolates to a finer grid, as pictures and resampled sections do; what can be seen stays the same."""
    rows, cols = (linear_weights(n, m) for n, m in zip(shape, simulated.mask.shape, strict=True))

    def finer(field: Field) -> Field:
        result: Field = (rows @ field @ cols.T).astype(np.float32, copy=False)
        return result

    mask: NDArray[np.bool_] = finer(simulated.mask.astype(np.float32)) > 0.5
    image = np.where(mask, finer(np.nan_to_num(simulated.image)), np.float32(np.nan))
    return replace(
        simulated,
        image=image,
        mask=mask,
        expectation=np.where(mask, finer(simulated.expectation), np.float32(0.0)),
        sample=np.where(mask, finer(simulated.sample), np.float32(0.0)),
    )


def simulate_ion_image(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int] | None = None,
    label: int | None = None,
) -> SimulatedImage:
    """Simulates one ion image.

    Args:
        rng: Source of randomness; the same state yields the same image.
        shape: Height and width in pixels, each at least 16; by default drawn from 20 to 300.
        label: Target class (index into ``CLASSES``); by default drawn. Up to six scenes are tried. If an observer would
            choose another class in all of them, the last one keeps that class.

    Returns:
        The image with its ground truth.

    Raises:
        ArgumentError: The shape is too small, or the label is unknown.
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
        raise ArgumentError(f"shape must be (height, width), each at least 16, got {shape}")
    if label is not None and not 0 <= label < len(CLASSES):
        raise ArgumentError(f"label must be 0 to {len(CLASSES) - 1}, got {label}")


def _shapeless(
    rng: np.random.Generator, silhouette: Silhouette, measured: NDArray[np.bool_], sample: Field
) -> SimulatedImage:
    image, grade = shapeless(rng, silhouette)
    if rng.random() < 0.7:
        image = add_artefacts(rng, image)
    shares = np.zeros(len(CLASSES), dtype=np.float32)
    shares[WEAK] = 0.2 * grade  # some observers take the outline or a drift for the sample
    shares[UNSTRUCTURED] = 1.0 - shares[WEAK]
    image = np.where(measured, image, np.float32(0.0))
    return _result(rng, image, measured, shares, grade, np.zeros_like(image), sample)


def _observe(
    rng: np.random.Generator,
    kind: int,
    expectation: Field,
    tissue: NDArray[np.bool_],
    measured: NDArray[np.bool_],
    sample: Field,
) -> SimulatedImage:
    image, expected = detect(rng, expectation, draw_detection(rng, faint=rng.random() < _FAINT[kind]))
    image = np.where(measured, add_artefacts(rng, image), np.float32(0.0))
    truth = Truth(np.where(measured, expected, np.float32(0.0)), tissue, measured)
    if kind == FRAGMENTED and not _scattered(truth.clipped):
        kind = LOCALIZED
    shares, grade = judge(kind, truth.visibility(image))
    return _result(rng, image, measured, shares, grade, expectation, sample)


def _result(
    rng: np.random.Generator,
    image: Field,
    measured: NDArray[np.bool_],
    shares: NDArray[np.float32],
    structure: float,
    expectation: Field,
    sample: Field,
) -> SimulatedImage:
    gain = np.float32(np.exp(rng.uniform(0.0, np.log(1e6))))
    observed = np.where(measured, image * gain, np.float32(np.nan)).astype(np.float32)
    return SimulatedImage(observed, measured, int(shares.argmax()), shares, structure, expectation, sample)
