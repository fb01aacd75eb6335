"""Single simulated ion images with their class, for training and tests."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.errors import ArgumentError
from ionmorphnet.labels import CLASSES
from ionmorphnet.simulation import anatomy
from ionmorphnet.simulation.detection import add_artefacts, detect, draw_detection, shapeless
from ionmorphnet.simulation.fields import Field, fractal_field
from ionmorphnet.simulation.silhouettes import Silhouette, draw_silhouette, frame_coordinates

STRUCTURED, WEAK, LOCALIZED, FRAGMENTED, UNSTRUCTURED, NEGATIVE = range(6)

# Share of each class asked for. Faint images of any class may turn out shapeless, so that one gets less.
_CLASS_SHARES = np.array([0.23, 0.19, 0.19, 0.12, 0.12, 0.15])


@dataclass(frozen=True)
class SimulatedImage:
    """One ion image with known truth.

    Attributes:
        image: float32 (H, W), arbitrary intensity units, NaN where nothing was measured.
        mask: bool (H, W), True where measured.
        label: Index into ``CLASSES``.
        structure: 0 (no meaningful spatial structure) to 3 (clear), from how well the noise-free image shows through.
        expectation: float32 (H, W), the noise-free relative abundance.
    """

    image: Field
    mask: NDArray[np.bool_]
    label: int
    structure: float
    expectation: Field

    @property
    def class_name(self) -> str:
        """Name of the class."""
        return CLASSES[self.label]

    def __repr__(self) -> str:
        """Size, class and structure."""
        height, width = self.image.shape
        return f"SimulatedImage({height} x {width}, {self.class_name}, structure {self.structure:.2f})"


def block_means(image: Field, block: int) -> Field:
    """Means over ``block`` x ``block`` pixels, float32 (H // block, W // block); what is left over is dropped."""
    rows, cols = image.shape[0] // block, image.shape[1] // block
    cropped = image[: rows * block, : cols * block]
    means: Field = cropped.reshape(rows, block, cols, block).mean(axis=(1, 3))
    return means


def clip_to_p99(image: Field) -> Field:
    """Divide by the 0.99 quantile of every second pixel and line (at least 1e-6) and clip to [0, 1]; float32 (H, W)."""
    sample = image[::2, ::2].ravel()
    rank = int(0.99 * (sample.size - 1))
    top = max(float(np.partition(sample, rank)[rank]), 1e-6)
    clipped: Field = np.clip(image * np.float32(1.0 / top), 0.0, 1.0)
    return clipped


def correlation(a: Field, b: Field) -> float:
    """Pearson correlation of two arrays; 0 where one is constant."""
    da, db = a - a.mean(), b - b.mean()
    norm = float(np.sqrt(float(np.vdot(da, da)) * float(np.vdot(db, db))))
    return float(np.vdot(da, db)) / norm if norm > 1e-9 else 0.0


@dataclass(frozen=True)
class Visibility:
    """How well the noise-free image shows through, after the clip at the 0.99 quantile.

    Attributes:
        by_pixel: Correlation of image and expectation by pixel.
        by_block: The same by blocks of about a 25th of the short side: what is seen at a glance.
        seen: Part of the sample that is bright at a glance.
    """

    by_pixel: float
    by_block: float
    seen: float


def visibility(image: Field, expectation: Field, tissue: NDArray[np.bool_]) -> Visibility:
    """Compare an image with its noise-free expectation.

    Args:
        image: float32 (H, W), intensities (0 where not measured).
        expectation: float32 (H, W), noise-free abundance (0 where not measured).
        tissue: bool (H, W), pixels on the sample.
    """
    clipped, truth = clip_to_p99(image), clip_to_p99(expectation)
    block = max(2, round(min(image.shape) / 25))
    means = block_means(clipped, block)
    inside = means[block_means(tissue.astype(np.float32), block) > 0.6]
    seen = float(np.mean(inside > 0.2 * np.quantile(inside, 0.95))) if inside.size else 0.0
    return Visibility(correlation(clipped, truth), correlation(means, block_means(truth, block)), seen)


def draw_measured_area(
    rng: np.random.Generator, silhouette: Silhouette, *, kind: float | None = None
) -> NDArray[np.bool_]:
    """Pixels that were measured: mostly the whole frame, else an outline around the sample or a cut frame.

    Args:
        rng: Source of randomness.
        silhouette: The sample.
        kind: From 0 to 1: the whole frame up to 0.7, then an outline up to 0.88, then a cut frame; drawn where None.
    """
    shape = silhouette.shape
    kind = rng.random() if kind is None else kind
    if kind < 0.7 or silhouette.kind == "full":
        return np.ones(shape, dtype=np.bool_)
    v, u = frame_coordinates(shape)
    if kind < 0.88:  # drawn by hand around the sample
        margin = rng.uniform(0.05, 0.6)
        wobble = fractal_field(rng, shape, max(shape) / 4.0, 2)
        measured = silhouette.depth > np.float32(-margin) * (np.float32(1.0) + np.float32(0.3) * wobble)
    else:  # a polygon: some half planes
        measured = np.ones(shape, dtype=np.bool_)
        for _ in range(int(rng.integers(1, 5))):
            angle = rng.uniform(0.0, 2.0 * np.pi)
            measured &= np.float32(np.sin(angle)) * v + np.float32(np.cos(angle)) * u < np.float32(
                rng.uniform(0.6, 1.2)
            )
    return measured if measured.mean() > 0.2 else np.ones(shape, dtype=np.bool_)


def draw_shape(rng: np.random.Generator, sides: tuple[int, int] = (20, 300)) -> tuple[int, int]:
    """Size of a section in pixels: log-normal sides around 110, any aspect ratio up to about 3."""
    side = np.exp(rng.normal(np.log(110.0), 0.45))
    aspect = np.exp(rng.normal(0.0, 0.35))
    height, width = np.clip([side / np.sqrt(aspect), side * np.sqrt(aspect)], *sides)
    return int(height), int(width)


def _draw_expectation(rng: np.random.Generator, silhouette: Silhouette, wanted: int) -> Field:
    if wanted in (STRUCTURED, WEAK):
        field = anatomy.whole_sample(rng, silhouette)
        if rng.random() < 0.15:  # chemical background everywhere
            field = field + np.float32(rng.uniform(0.02, 0.3)) * np.float32(field.max())
    elif wanted == LOCALIZED:
        field = anatomy.confined_region(rng, silhouette)
    elif wanted == FRAGMENTED:
        field = anatomy.scattered_clusters(rng, silhouette)
    else:
        field = anatomy.off_sample(rng, silhouette)
    positive = field[field > 0]
    bright = float(np.quantile(positive, 0.9)) if positive.size else 1.0
    scaled: Field = field * np.float32(1.0 / max(bright, 1e-6))
    return scaled


def _judge(wanted: int, view: Visibility) -> int | None:
    """The class an observer would give, or None where observers would disagree."""
    whole = wanted in (STRUCTURED, WEAK)
    if view.by_block < 0.25:
        return UNSTRUCTURED
    if view.by_block < (0.5 if whole else 0.4):
        return None
    if whole:
        if view.seen < 0.4:
            return None
        if view.by_pixel > 0.62:
            return STRUCTURED
        return WEAK if view.by_pixel < 0.56 else None
    if wanted == LOCALIZED and view.seen > 0.45:
        return None
    return wanted


def simulate_ion_image(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int] | None = None,
    label: int | None = None,
) -> SimulatedImage:
    """Simulate one ion image.

    Args:
        rng: Source of randomness; the same state gives the same image.
        shape: (H, W) in pixels, each at least 16; drawn from 20 to 300 where None.
        label: Class to aim at (index into ``CLASSES``); drawn where None. What turns out too faint to be seen is
            labelled unstructured whatever was aimed at.

    Returns:
        The image with its truth.

    Raises:
        ArgumentError: Shape too small or unknown label.
    """
    if shape is not None and (len(shape) != 2 or min(shape) < 16):
        raise ArgumentError(f"shape must be (H, W) with at least 16 pixels a side, got {shape}")
    if label is not None and not 0 <= label < len(CLASSES):
        raise ArgumentError(f"label must be 0 to {len(CLASSES) - 1}, got {label}")
    shape = draw_shape(rng) if shape is None else shape
    wanted = int(rng.choice(6, p=_CLASS_SHARES)) if label is None else label
    silhouette = draw_silhouette(rng, shape, coverage=(0.12, 0.85) if wanted == NEGATIVE else (0.08, 1.0))
    # An outline drawn around the sample would leave a matrix ion with nothing but a rim.
    measured = np.ones(shape, dtype=np.bool_) if wanted == NEGATIVE else draw_measured_area(rng, silhouette)
    gain = np.float32(np.exp(rng.uniform(0.0, np.log(1e6))))

    if wanted == UNSTRUCTURED:
        image = add_artefacts(rng, shapeless(rng, shape)) if rng.random() < 0.7 else shapeless(rng, shape)
        return _result(image * gain, measured, UNSTRUCTURED, 0.0, np.zeros(shape, dtype=np.float32))

    faint_chance = {STRUCTURED: 0.0, WEAK: 1.0, LOCALIZED: 0.4, FRAGMENTED: 0.4, NEGATIVE: 0.45}[wanted]
    verdict: int | None = None
    for _ in range(4):
        expectation = np.where(measured, _draw_expectation(rng, silhouette, wanted), np.float32(0.0))
        image = detect(rng, expectation, draw_detection(rng, faint=rng.random() < faint_chance))
        image = np.where(measured, add_artefacts(rng, image), np.float32(0.0))
        view = visibility(image, expectation, silhouette.tissue)
        verdict = _judge(wanted, view)
        if verdict is not None:
            break
    final = wanted if verdict is None else verdict
    structure = 0.0 if final == UNSTRUCTURED else 3.0 * float(np.clip((view.by_block - 0.2) / 0.65, 0.0, 1.0))
    if final == FRAGMENTED:
        structure *= 0.5
    return _result(image * gain, measured, final, structure, expectation)


def _result(
    image: Field, measured: NDArray[np.bool_], label: int, structure: float, expectation: Field
) -> SimulatedImage:
    observed = np.where(measured, image, np.float32(np.nan)).astype(np.float32)
    return SimulatedImage(observed, measured, label, structure, expectation)
