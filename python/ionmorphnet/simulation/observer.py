"""Simulated observer: class and structure grade of an ion image whose noise-free truth is known.

The limits were fitted to labelled images that may be used for shipped weights (see docs/reference/simulator.md). The
limit between two classes is where observers disagree, and so are the soft labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field

STRUCTURED, WEAK, LOCALIZED, FRAGMENTED, UNSTRUCTURED, NEGATIVE = range(6)
MAX_STRUCTURE = 3.0

# Limits of Visibility.value: nothing is recognised below the first; the sample is dense, not faint, above the second.
RECOGNISED, DENSE = 0.35, 0.72
# A part of the sample lights up if it exceeds this share of the brightest parts; noise hides faint parts.
_LIT_IN_NOISE, _LIT_PER_CORRELATION = 0.26, 0.04
# Share of the sample that lights up; below it, the image shows confined regions.
CONFINED = 0.42
# Width of the transition between two classes (logistic).
_RECOGNISED_WIDTH, _DENSE_WIDTH, _CONFINED_WIDTH = 0.02, 0.02, 0.03
# Visibility at which the structure is 1.5 of 3; it is 2.2 one width above.
_HALF_STRUCTURE, _STRUCTURE_WIDTH = 0.50, 0.08
# Clusters without a shape count less than an equally visible shape.
_FRAGMENTED_STRUCTURE = 0.6
# An observer sees unmeasured pixels as dark surroundings, so a sample measured up to its edge looks as it would in a
# wider frame. If less than this share of the measured pixels is off the sample, dark pixels are added to reach it
# (bladder79, to which the limits above were fitted, has 0.39).
_SURROUNDINGS = 0.4
# Noise within an outline shows the outline too, so surroundings raise the visibility by at most this factor.
_MOST_HELP = 1.35


def clip_to_p99(image: Field, measured: NDArray[np.bool_] | None = None) -> Field:
    """Divides by the 0.99 quantile of every second pixel and line (at least 1e-6), clips to [0, 1]; float32 (H, W)."""
    sample = image[::2, ::2].ravel() if measured is None else image[::2, ::2][measured[::2, ::2]]
    if sample.size == 0:
        return np.zeros_like(image)
    rank = int(0.99 * (sample.size - 1))
    top = max(float(np.partition(sample, rank)[rank]), 1e-6)
    clipped: Field = np.clip(image * np.float32(1.0 / top), 0.0, 1.0)
    return clipped


def block_means(image: Field, block: int) -> Field:
    """Means over ``block`` x ``block`` pixels, float32 (H // block, W // block); partial blocks are dropped."""
    rows, cols = image.shape[0] // block, image.shape[1] // block
    cropped = image[: rows * block, : cols * block]
    means: Field = cropped.reshape(rows, block, cols, block).mean(axis=(1, 3))
    return means


def correlation(a: Field, b: Field, zeros: int = 0) -> float:
    """Pearson correlation of two arrays, each extended by ``zeros`` zeros; 0 if one is constant."""
    if a.size == 0:
        return 0.0
    mean_a, mean_b = a.mean(), b.mean()
    da, db = a - mean_a, b - mean_b
    # Contribution of the zeros to the sums of products around the common mean.
    share = a.size * zeros / (a.size + zeros)
    ab = float(np.vdot(da, db)) + share * float(mean_a) * float(mean_b)
    aa = float(np.vdot(da, da)) + share * float(mean_a) ** 2
    bb = float(np.vdot(db, db)) + share * float(mean_b) ** 2
    norm = float(np.sqrt(aa * bb))
    return ab / norm if norm > 1e-9 else 0.0


@dataclass(frozen=True)
class Visibility:
    """How clearly the noise-free image is visible in the measured pixels, after clipping at the 0.99 quantile.

    Attributes:
        measured: Correlation of image and expectation over the measured pixels: 0.75 by pixel and 0.25 by blocks of
            about 1/25 of the short side, which is what one sees at a glance.
        framed: The same with dark surroundings added if the measured area ends at the sample.
        lit: Share of the sample that lights up in the expectation.
    """

    measured: float
    framed: float
    lit: float

    @property
    def value(self) -> float:
        """Both correlations combined in one number."""
        return min(self.framed, _MOST_HELP * self.measured) if self.framed > self.measured else self.measured

    @property
    def structure(self) -> float:
        """Grade of meaningful structure, 0 to 3; logistic in the visibility, so grades change smoothly."""
        return MAX_STRUCTURE * _rises(self.value, _HALF_STRUCTURE, _STRUCTURE_WIDTH)


class Truth:
    """Noise-free view of a scene, to which simulated images are compared."""

    def __init__(self, expectation: Field, tissue: NDArray[np.bool_], measured: NDArray[np.bool_]) -> None:
        """Precomputes everything that does not depend on the image.

        Args:
            expectation: float32 (H, W), expected intensity of the sample's signal; 0 = not measured.
            tissue: bool (H, W), pixels on the sample.
            measured: bool (H, W).
        """
        self.measured = None if measured.all() else measured
        self.block = max(2, round(min(expectation.shape) / 25))
        self.clipped = clipped = clip_to_p99(expectation, self.measured)
        self.pixels = self._pixels(clipped)
        inside = block_means((tissue & measured).astype(np.float32), self.block) > 0.6
        self.measured_blocks: NDArray[np.bool_] | None = None
        if self.measured is not None:
            self.measured_blocks = block_means(measured.astype(np.float32), self.block) > 0.6
        blocks = block_means(clipped, self.block)
        self.blocks = self._blocks(blocks)
        self.on_sample = np.sort(blocks[inside])
        self.missing = _missing_surroundings(self.pixels.size, int((tissue & measured).sum()))

    def _pixels(self, clipped: Field) -> Field:
        return clipped if self.measured is None else clipped[self.measured]

    def _blocks(self, blocks: Field) -> Field:
        return blocks if self.measured_blocks is None else blocks[self.measured_blocks]

    def visibility(self, image: Field) -> Visibility:
        """How clearly the truth is visible in ``image``, float32 (H, W); 0 = not measured."""
        clipped = clip_to_p99(image, self.measured)
        pixels, blocks = self._pixels(clipped), self._blocks(block_means(clipped, self.block))
        by_pixel = correlation(pixels, self.pixels)
        by_block = correlation(blocks, self.blocks)
        measured = framed = 0.75 * by_pixel + 0.25 * by_block
        if self.missing:
            by_pixel = correlation(pixels, self.pixels, self.missing)
            by_block = correlation(blocks, self.blocks, round(self.missing * blocks.size / pixels.size))
            framed = 0.75 * by_pixel + 0.25 * by_block
        lit = 0.0
        if self.on_sample.size:
            limit = _LIT_IN_NOISE - _LIT_PER_CORRELATION * max(by_pixel, 0.0)
            # A region smaller than 1/20 of the sample does not reach the 0.95 quantile.
            bright = max(self.on_sample[int(0.95 * (self.on_sample.size - 1))], 0.5 * self.on_sample[-1])
            lit = 1.0 - float(np.searchsorted(self.on_sample, limit * bright, side="right")) / self.on_sample.size
        return Visibility(measured, framed, lit)


def _missing_surroundings(measured: int, on_sample: int) -> int:
    """Number of dark pixels to add for the surroundings that an observer expects."""
    return max(0, round((_SURROUNDINGS * measured - (measured - on_sample)) / (1.0 - _SURROUNDINGS)))


def _rises(value: float, limit: float, width: float) -> float:
    return float(1.0 / (1.0 + np.exp(np.clip((limit - value) / width, -60.0, 60.0))))


def judge(kind: int, view: Visibility) -> tuple[NDArray[np.float32], float]:
    """Share of observers who would choose each class, and the structure grade.

    Args:
        kind: Class of the scene. ``STRUCTURED``, ``WEAK`` and ``LOCALIZED`` are equivalent: visibility decides between
            them.
        view: Visibility of the scene in the image.

    Returns:
        float32 (6,) in the order of ``CLASSES``, summing to 1; and the grade, 0 to 3.
    """
    shares = np.zeros(6, dtype=np.float32)
    if kind == UNSTRUCTURED:
        shares[UNSTRUCTURED] = 1.0
        return shares, 0.0
    recognised = _rises(view.value, RECOGNISED, _RECOGNISED_WIDTH)
    shares[UNSTRUCTURED] = 1.0 - recognised
    if kind in (FRAGMENTED, NEGATIVE):
        shares[kind] = recognised
    else:
        confined = _rises(-view.lit, -CONFINED, _CONFINED_WIDTH)
        dense = _rises(view.value, DENSE, _DENSE_WIDTH)
        shares[LOCALIZED] = recognised * confined
        shares[STRUCTURED] = recognised * (1.0 - confined) * dense
        shares[WEAK] = recognised * (1.0 - confined) * (1.0 - dense)
    grade = view.structure * (_FRAGMENTED_STRUCTURE if kind == FRAGMENTED else 1.0)
    return shares / shares.sum(), grade
