"""Simulated observer: class and structure grade of an ion image whose noise-free truth is known.

Observers look at a whole image, so what they see is decided by means over blocks of a fixed share of the image, not by
pixels. The limits were fitted to labelled images that may be used for shipped weights; docs/reference/simulator.md has
the numbers. The limit between two classes is where observers disagree, and so are the soft labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.simulation.fields import Field

STRUCTURED, WEAK, LOCALIZED, FRAGMENTED, UNSTRUCTURED, NEGATIVE = range(6)
MAX_STRUCTURE = 3.0

# Blocks per side of a square of the measured area: what is seen at a glance, how fine detail is, and how finely the lit
# part of the sample is judged.
_VIEW_BLOCKS, _DETAIL_BLOCKS, _LIT_BLOCKS = 16, 100, 25
# Nothing is recognised below this Visibility.value; the sample is dense, not faint, above this Visibility.detail.
RECOGNISED, DENSE = 1.0, 0.67
# Share of the sample that lights up; below it, the image shows confined regions.
CONFINED = 0.45
# Width of the transition between two classes (logistic).
_RECOGNISED_WIDTH, _DENSE_WIDTH, _CONFINED_WIDTH = 0.18, 0.05, 0.04
# A part of the sample lights up if it exceeds this share of the brightest parts; noise hides faint parts.
_LIT_IN_NOISE, _LIT_PER_DETAIL = 0.26, 0.04
# Small bright parts do not hide a rest of the sample that is this bright and this visible.
_SMALL, _FAINT, _FAINT_WIDTH = 0.15, 0.085, 0.015
_REST_SEEN, _REST_DENSE, _REST_OUTLINE = 1.2, 2.6, 1.2
# Grade by visibility alone; offset and slope by which observers of each class grade what is equally visible: a dense
# sample is graded higher than a faint one, clusters without a shape lower than a shape.
_GRADE_OFFSET, _GRADE_SLOPE = 0.18, 0.72
_GRADE_OF_CLASS = np.array([[1.4, 0.53], [0.75, 0.5], [0.8, 0.6], [0.5, 0.6], [0.0, 0.35], [0.45, 0.85]])
# Noise within an outline shows the outline too, so the outline alone adds only this much to what is visible within it;
# a sample without anatomy adds more if it is smooth. To the detail within it, the outline
# adds this much.
_OUTLINE, _SMOOTH, _GRAINY, _OUTLINE_DETAIL = 0.7, 3.3, 0.4, 0.35
# An observer sees unmeasured pixels as dark surroundings, so a sample measured up to its edge looks as it would in a
# wider frame. If less than this share of the measured pixels is off the sample, dark pixels are added to reach it
# (bladder79, to which the limits above were fitted, has 0.39).
_SURROUNDINGS = 0.4
_MOST_VISIBLE = 4.2
# Smallest number of blocks within the sample that show whether it has anatomy.
_FEWEST_BLOCKS = 12


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
    if block == 1:
        return image
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


def clarity(r: float) -> float:
    """Fisher's z of a correlation, 0 to 4.2: about half the logarithm of signal over noise."""
    return min(float(np.arctanh(min(max(r, 0.0), 0.9999))), _MOST_VISIBLE)


def smoothness(grain: float) -> float:
    """1 where all pixels of the sample are equal, 0 where their coefficient of variation is that of noise."""
    return max(0.0, 1.0 - grain / _GRAINY)


def bounded_detail(everywhere: float, inside: float, grain: float) -> float:
    """Correlation by pixel, to which the outline of the sample adds little unless the sample is smooth."""
    return min(everywhere, max(inside, 0.0) + _OUTLINE_DETAIL + smoothness(grain))


@dataclass(frozen=True)
class Visibility:
    """How clearly the noise-free image is visible in the measured pixels, after clipping at the 0.99 quantile.

    Attributes:
        view: ``clarity`` of the correlation of image and expectation by blocks of a 16th of the side, with dark
            surroundings added if the measured area ends at the sample.
        inside: The same within the sample alone; None if too few blocks lie on it.
        detail: Correlation by pixel, or by blocks of a 100th of the side in large images, with the same surroundings.
            The outline alone counts little.
        grain: Coefficient of variation within the sample.
        lit: Share of the sample that lights up in the expectation, with parts enclosed by it.
        bright: Share of the sample that is at least half as bright as the brightest parts.
        rest: Median brightness of the other parts of the sample, relative to the brightest parts.
        rest_view: ``clarity`` of the correlation on a square-root scale without the bright parts; the outline alone
            counts little.
    """

    view: float
    inside: float | None
    detail: float
    grain: float
    lit: float
    bright: float
    rest: float
    rest_view: float

    @property
    def value(self) -> float:
        """What is visible in one number, in units of ``clarity``: the outline alone counts little."""
        if self.inside is None:
            return self.view
        return min(self.view, _OUTLINE + self.inside + _SMOOTH * smoothness(self.grain))

    @property
    def faint_rest(self) -> float:
        """Share of observers who see the whole sample below small bright parts."""
        if self.bright > _SMALL:
            return 0.0
        return _rises(self.rest, _FAINT, _FAINT_WIDTH) * _rises(self.rest_view, _REST_SEEN, _RECOGNISED_WIDTH)


def grades(value: float) -> NDArray[np.float64]:
    """Grade of meaningful structure, 0 to 3, by the observers of each class, float64 (6,).

    Args:
        value: Visibility in units of ``clarity``.
    """
    visible = min(_GRADE_OFFSET + _GRADE_SLOPE * max(value, 0.0), MAX_STRUCTURE)
    return np.minimum(_GRADE_OF_CLASS[:, 0] + _GRADE_OF_CLASS[:, 1] * visible, MAX_STRUCTURE)


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
        inside = tissue & measured
        area = float(measured.sum())
        side = max(np.sqrt(area), 1.0)
        self.block = max(2, round(side / _VIEW_BLOCKS))
        self.fine = max(1, round(side / _DETAIL_BLOCKS))
        self.clipped = clipped = clip_to_p99(expectation, self.measured)
        share = block_means(measured.astype(np.float32), self.block)
        on_sample = block_means(inside.astype(np.float32), self.block)
        self.used: NDArray[np.bool_] = share > 0.5
        self.on_sample: NDArray[np.bool_] = on_sample[self.used] > 0.95 * share[self.used]
        self.blocks = block_means(clipped, self.block)[self.used]
        self.roots = np.sqrt(self.blocks)
        self.detail_used: NDArray[np.bool_] | None = None
        if self.measured is not None:
            self.detail_used = block_means(measured.astype(np.float32), self.fine) > 0.5
        self.details = self._details(clipped)
        # Pixels that show the grain of the sample, thinned because their spread is needed roughly only.
        self.grain_pixels = np.flatnonzero(inside.ravel())[:: max(1, int(inside.sum()) // 3000)]
        missing = missing_surroundings(area, float(inside.sum()), framed=self.measured is None)
        self.missing = round(missing * self.blocks.size / max(area, 1.0))
        self._judge_parts(clipped, inside, max(2, round(side / _LIT_BLOCKS)))

    def _judge_parts(self, clipped: Field, inside: NDArray[np.bool_], block: int) -> None:
        """Finds the bright parts of the sample and the level of its other parts."""
        means = block_means(clipped, block)
        sample = block_means(inside.astype(np.float32), block) > 0.6
        values = np.sort(means[sample])
        self.lit_means, self.lit_sample, self.lit_values = means, sample, values
        # A region smaller than 1/20 of the sample does not reach the 0.95 quantile.
        self.top = max(float(values[int(0.95 * (values.size - 1))]), 0.5 * float(values[-1])) if values.size else 0.0
        n_bright = values.size - int(np.searchsorted(values, 0.5 * self.top))
        self.bright = n_bright / max(values.size, 1)
        self.rest = 0.0
        if self.top > 0.0 and values.size > n_bright:
            self.rest = float(values[(values.size - n_bright) // 2]) / self.top
        self.not_bright: NDArray[np.bool_] = self.blocks < 0.5 * self.top

    def _details(self, clipped: Field) -> Field:
        details = block_means(clipped, self.fine)
        return details.ravel() if self.detail_used is None else details[self.detail_used]

    def visibility(self, image: Field, *, detail: float | None = None, grain: float | None = None) -> Visibility:
        """How clearly the truth is visible in an image.

        Args:
            image: float32 (H, W); 0 = not measured.
            detail: ``bounded_detail``, if image and truth are given on a coarser grid.
            grain: Coefficient of variation within the sample, likewise.
        """
        clipped = clip_to_p99(image, self.measured)
        blocks = block_means(clipped, self.block)[self.used]
        inside = None
        if (n := int(self.on_sample.sum())) >= _FEWEST_BLOCKS:
            by_chance = n**-0.5  # standard error of z
            inside = max(clarity(correlation(blocks[self.on_sample], self.blocks[self.on_sample])) - by_chance, 0.0)
        if grain is None or detail is None:
            pixels = clipped.ravel()[self.grain_pixels]
            grain = float(pixels.std() / max(pixels.mean(), 1e-6)) if pixels.size else 1.0
            missing = round(self.missing * self.details.size / max(self.blocks.size, 1))
            detail = bounded_detail(
                correlation(self._details(clipped), self.details, missing),
                correlation(pixels, self.clipped.ravel()[self.grain_pixels]),
                grain,
            )
        roots = np.sqrt(blocks)
        rest_view = 0.0
        if self.bright <= _SMALL and self.rest > _FAINT - 4.0 * _FAINT_WIDTH:
            kept, within = self.not_bright, self.not_bright & self.on_sample
            rest_view = min(
                clarity(correlation(roots[kept], self.roots[kept], self.missing)),
                _REST_OUTLINE + clarity(correlation(roots[within], self.roots[within])),
            )
        return Visibility(
            # Noise grows with the signal, so the better of two scales shows how clear a shape is.
            view=clarity(
                max(
                    correlation(blocks, self.blocks, self.missing),
                    correlation(roots, self.roots, self.missing),
                )
            ),
            inside=inside,
            detail=detail,
            grain=grain,
            lit=self._lit(max(detail, 0.0)),
            bright=self.bright,
            rest=self.rest,
            rest_view=rest_view,
        )

    def _lit(self, detail: float) -> float:
        """Share of the sample that lights up, counting parts that are enclosed by it."""
        if not self.lit_values.size or self.top <= 0.0:
            return 0.0
        limit = _LIT_IN_NOISE - _LIT_PER_DETAIL * detail
        above = 1.0 - float(np.searchsorted(self.lit_values, limit * self.top, side="right")) / self.lit_values.size
        if 0.02 < above < CONFINED + 5.0 * _CONFINED_WIDTH:
            closed = enclosed(self.lit_means > limit * self.top)
            above = max(above, float((closed & self.lit_sample).sum()) / self.lit_values.size)
        return above


def enclosed(lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Lit blocks, with gaps of up to two blocks closed, and everything that they enclose; bool (H, W)."""
    dark = ~_grow(np.pad(lit, 2))
    reached = np.zeros_like(dark)
    reached[0], reached[-1], reached[:, 0], reached[:, -1] = True, True, True, True
    size = 0
    while (found := int(reached.sum())) > size:
        size = found
        for _ in range(4):
            reached = _grow(reached) & dark
    result: NDArray[np.bool_] = ~_grow(reached)[2:-2, 2:-2] | lit
    return result


def _grow(lit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    grown = lit.copy()
    grown[1:] |= lit[:-1]
    grown[:-1] |= lit[1:]
    grown[:, 1:] |= lit[:, :-1]
    grown[:, :-1] |= lit[:, 1:]
    return grown


def missing_surroundings(measured: float, on_sample: float, *, framed: bool) -> float:
    """Number of dark pixels to add for the surroundings that an observer expects.

    Args:
        measured: Number of measured pixels.
        on_sample: Number of those on the sample.
        framed: Whether all of the rectangle was measured. Its edge is no outline of a sample.
    """
    if framed:
        return 0.0
    return max(0.0, (_SURROUNDINGS * measured - (measured - on_sample)) / (1.0 - _SURROUNDINGS))


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
    value = view.view if kind in (FRAGMENTED, NEGATIVE) else view.value
    recognised = _rises(value, RECOGNISED, _RECOGNISED_WIDTH)
    shares[UNSTRUCTURED] = 1.0 - recognised
    if kind in (FRAGMENTED, NEGATIVE):
        shares[kind] = recognised
        return shares, min(float(shares @ grades(value)), MAX_STRUCTURE)
    faint = recognised * view.faint_rest
    recognised -= faint
    confined = _rises(-view.lit, -CONFINED, _CONFINED_WIDTH)
    dense = _rises(view.detail, DENSE, _DENSE_WIDTH)
    shares[LOCALIZED] = recognised * confined
    shares[STRUCTURED] = recognised * (1.0 - confined) * dense
    shares[WEAK] = recognised * (1.0 - confined) * (1.0 - dense)
    structure = float(shares @ grades(value))
    # Below small bright parts, the rest of the sample is judged by itself.
    rest_dense = _rises(view.rest_view, _REST_DENSE, _RECOGNISED_WIDTH)
    by_class = grades(min(value, view.rest_view))
    for label, share in ((STRUCTURED, faint * rest_dense), (WEAK, faint * (1.0 - rest_dense))):
        shares[label] += share
        structure += float(share * by_class[label])
    return shares / shares.sum(), min(structure, MAX_STRUCTURE)
