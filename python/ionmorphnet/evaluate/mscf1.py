"""mSCF1: do the picked channels agree with the classes of a mask? Published protocol (arXiv 2603.10487, 2604.19369)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset

logger = logging.getLogger("ionmorphnet")

Float = npt.NDArray[np.float64]
Rule = Literal["released", "strict"]

THRESHOLDS = (0.3, 0.4, 0.5, 0.6)
# Intensities held at once while correlations are formed.
_BLOCK = 8_000_000


@dataclass(frozen=True)
class MSCF1:
    """mSCF1 of one picking.

    Attributes:
        mean: mSCF1, the mean of ``f1``.
        f1: F1 at each threshold.
        precision: Share of the picks that are true, at each threshold; 0 without a pick.
        recall: Share of the true bins that were picked; NaN without a true bin.
        thresholds: Correlations from which a bin counts as true.
        rule: ``released`` or ``strict``.
        k: Number of picks, after merging.
        n_true: True bins at each threshold (union over the classes).
        ceiling: Largest F1 that k picks allow, at each threshold.
        classes: The values of the mask.
        class_true: True bins of each class, (classes, thresholds).
        class_recall: Share of them that was picked; NaN without a true bin.
        n_bins: Length of the m/z axis.
        n_picked: Number of picked values as given.
        n_merged: How many of them shared a bin with another one.
        n_far: Picks that lie farther than ``far_ppm`` from the bin they snapped to.
        largest_ppm: Largest distance of a pick to its bin; NaN without a pick.
        warnings: What should be known, one line each.
    """

    mean: float
    f1: tuple[float, ...]
    precision: tuple[float, ...]
    recall: tuple[float, ...]
    thresholds: tuple[float, ...]
    rule: Rule
    k: int
    n_true: tuple[int, ...]
    ceiling: tuple[float, ...]
    classes: tuple[int, ...]
    class_true: tuple[tuple[int, ...], ...]
    class_recall: tuple[tuple[float, ...], ...]
    n_bins: int
    n_picked: int
    n_merged: int
    n_far: int
    largest_ppm: float
    warnings: tuple[str, ...] = field(default=(), repr=False)

    @property
    def mean_ceiling(self) -> float:
        """Largest mSCF1 that k picks allow."""
        return float(np.mean(self.ceiling))

    def to_frame(self) -> pd.DataFrame:
        """One row for each threshold: f1, ceiling, precision, recall, n_true, and true_<class>, recall_<class>."""
        columns: dict[str, Any] = {
            "threshold": self.thresholds,
            "f1": self.f1,
            "ceiling": self.ceiling,
            "precision": self.precision,
            "recall": self.recall,
            "n_true": self.n_true,
        }
        for name, counts, recalls in zip(self.classes, self.class_true, self.class_recall, strict=True):
            columns[f"true_{name}"] = counts
            columns[f"recall_{name}"] = recalls
        return pd.DataFrame(columns)


@dataclass(frozen=True, eq=False)
class MSCF1Truth:
    """Which bins of an axis follow the classes of a mask; judges any number of pickings.

    Attributes:
        mz: The axis, ascending, float64 (n,).
        classes: The values of the mask over measured pixels, ascending.
        correlation: Pearson correlation of each class with each bin, float64 (classes, n); 0 where it is not defined.
        thresholds: As given.
        rule: As given.
        true: (thresholds, classes, n) bool, the true bins.
    """

    mz: Float
    classes: tuple[int, ...]
    correlation: Float = field(repr=False)
    thresholds: tuple[float, ...]
    rule: Rule
    true: npt.NDArray[np.bool_] = field(repr=False)

    @property
    def n_true(self) -> tuple[int, ...]:
        """True bins at each threshold (union over the classes)."""
        return tuple(int(count) for count in self.true.any(axis=1).sum(axis=1))

    def judge(self, picked_mz: npt.ArrayLike, *, far_ppm: float = 100.0) -> MSCF1:
        """mSCF1 of a picking; see :func:`mscf1`.

        Args:
            picked_mz: (k,) in any order; an empty list is a picking of nothing.
            far_ppm: Picks farther than this from their bin are counted and warned of.

        Returns:
            The figure with all that belongs beside it.

        Raises:
            ArgumentError: The picks are not a list of finite, positive m/z.
        """
        picked = _checked_picks(picked_mz)
        bins = nearest_bins(self.mz, picked)
        ppm = np.abs(picked - self.mz[bins]) / self.mz[bins] * 1e6
        chosen = np.zeros(self.mz.size, dtype=bool)
        chosen[bins] = True
        k, n_far = int(chosen.sum()), int((ppm > far_ppm).sum())
        warnings = []
        if n_far:
            worst = int(ppm.argmax())
            warnings.append(
                f"{n_far} of {picked.size} picked m/z lie more than {far_ppm:g} ppm from the nearest bin "
                f"(m/z {picked[worst]:.4f}: {ppm[worst]:.0f} ppm); they count for that bin all the same"
            )
        if picked.size > k:
            warnings.append(f"{picked.size} picked m/z fall on {k} bins; each bin counts once")
        for text in warnings:
            logger.warning("mscf1: %s", text)
        truth = self.true.any(axis=1)
        hits, n_true = (truth & chosen).sum(axis=1), truth.sum(axis=1)
        f1 = tuple(f1_of(int(hit), k, int(n)) for hit, n in zip(hits, n_true, strict=True))
        by_class = self.true.sum(axis=2).T
        class_hits = (self.true & chosen).sum(axis=2).T
        return MSCF1(
            mean=float(np.mean(f1)),
            f1=f1,
            precision=tuple(float(hit / k) if k else 0.0 for hit in hits),
            recall=tuple(_share(hit, n) for hit, n in zip(hits, n_true, strict=True)),
            thresholds=self.thresholds,
            rule=self.rule,
            k=k,
            n_true=tuple(int(n) for n in n_true),
            ceiling=tuple(f1_of(min(k, int(n)), k, int(n)) for n in n_true),
            classes=self.classes,
            class_true=tuple(tuple(int(n) for n in row) for row in by_class),
            class_recall=tuple(
                tuple(_share(hit, n) for hit, n in zip(hit_row, row, strict=True))
                for hit_row, row in zip(class_hits, by_class, strict=True)
            ),
            n_bins=self.mz.size,
            n_picked=picked.size,
            n_merged=picked.size - k,
            n_far=n_far,
            largest_ppm=float(ppm.max()) if picked.size else float("nan"),
            warnings=tuple(warnings),
        )


def mscf1(
    images_or_dataset: npt.ArrayLike | Dataset,
    mz: npt.ArrayLike | CandidateAxis,
    class_mask: npt.ArrayLike,
    picked_mz: npt.ArrayLike,
    *,
    measured: npt.ArrayLike | None = None,
    rule: Rule = "released",
    thresholds: Sequence[float] = THRESHOLDS,
    far_ppm: float = 100.0,
) -> MSCF1:
    """Mean spatial-class F1 of picked channels.

    A bin is true where its image correlates with the pixels of one class of the mask (Pearson, signed, over measured
    pixels; a correlation that is not defined counts as 0). Picks snap to the nearest bin, and F1 = 2TP / (2TP + FP +
    FN) is averaged over the thresholds. F1 is 0 where nothing was picked and nothing is true.

    Args:
        images_or_dataset: (n, H, W) raw intensities, one image for each bin; or an open section, whose images are then
            read in blocks.
        mz: (n,) m/z of the bins, ascending and distinct. With a section: its axis (windows reach half-way to the
            neighbours), or a CandidateAxis with windows of its own.
        class_mask: (H, W) whole numbers or bool; every value is a class, the background too.
        picked_mz: (k,) in any order; an empty list is a picking of nothing.
        measured: (H, W), non-zero = measured. None: the pixels of the section, or all but those that are NaN in every
            image. NaN at a measured pixel counts as 0.
        rule: What is true at threshold T. ``released``: of the bins sorted by descending correlation r the first
            argmin|r - T| (so r = .9, .61, .58 at T = .6 gives one bin); ``strict``: r >= T.
        thresholds: The T.
        far_ppm: Picks farther than this from their bin are counted and warned of.

    Returns:
        The figure with all that belongs beside it.

    Raises:
        ArgumentError: Shapes that do not fit, an axis that does not ascend, no measured pixel, or an unknown rule.
        FileError: A spectrum cannot be read.
    """
    truth = mscf1_truth(images_or_dataset, mz, class_mask, measured=measured, rule=rule, thresholds=thresholds)
    return truth.judge(picked_mz, far_ppm=far_ppm)


def mscf1_truth(
    images_or_dataset: npt.ArrayLike | Dataset,
    mz: npt.ArrayLike | CandidateAxis,
    class_mask: npt.ArrayLike,
    *,
    measured: npt.ArrayLike | None = None,
    rule: Rule = "released",
    thresholds: Sequence[float] = THRESHOLDS,
) -> MSCF1Truth:
    """The true bins of :func:`mscf1` on their own, to judge several pickings without correlating again.

    Args:
        images_or_dataset: (n, H, W) raw intensities, or an open section.
        mz: (n,) m/z of the bins, ascending and distinct, or a CandidateAxis.
        class_mask: (H, W) whole numbers or bool; every value is a class.
        measured: (H, W), non-zero = measured. None: as in :func:`mscf1`.
        rule: ``released`` or ``strict``, see :func:`mscf1`.
        thresholds: Correlations from which a bin counts as true.

    Returns:
        The correlations and the true bins; its ``judge`` gives the figure of a picking.

    Raises:
        ArgumentError: Shapes that do not fit, an axis that does not ascend, no measured pixel, or an unknown rule.
        FileError: A spectrum cannot be read.
    """
    if rule not in ("released", "strict"):
        raise ArgumentError(f"rule must be released or strict, not '{rule}'")
    levels = tuple(float(value) for value in thresholds)
    if not levels or not np.isfinite(levels).all():
        raise ArgumentError("thresholds must be one or more finite numbers")
    axis = np.asarray(mz.mz if isinstance(mz, CandidateAxis) else mz, dtype=np.float64)
    if axis.ndim != 1 or not axis.size:
        raise ArgumentError(f"mz must be a list of one or more m/z, not of shape {axis.shape}")
    if not np.isfinite(axis).all() or axis[0] <= 0 or (np.diff(axis) <= 0).any():
        raise ArgumentError("mz must be finite, positive, ascending and distinct")
    if isinstance(images_or_dataset, Dataset):
        ds = images_or_dataset
        valid = ds.mask if measured is None else _grid("measured", measured, ds.shape) != 0
        blocks = _dataset_blocks(ds, mz, axis, valid)
        shape = ds.shape
    else:
        images = np.asarray(images_or_dataset)
        if images.ndim != 3 or len(images) != axis.size:
            raise ArgumentError(f"images must have shape ({axis.size}, H, W), one for each m/z, not {images.shape}")
        shape = (images.shape[1], images.shape[2])
        valid = _not_nan(images) if measured is None else _grid("measured", measured, shape) != 0
        blocks = _array_blocks(images, valid)
    labels = _grid("class_mask", class_mask, shape)[valid]
    if not labels.size:
        raise ArgumentError("no pixel is measured")
    if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
        raise ArgumentError("class_mask must hold whole numbers at every measured pixel")
    values = np.unique(labels)
    members = (labels[None, :] == values[:, None]).astype(np.float64)
    correlation = np.concatenate([_correlations(members, block) for block in blocks], axis=1)
    true = np.stack([[_true_bins(r, level, rule) for r in correlation] for level in levels])
    return MSCF1Truth(axis, tuple(int(v) for v in values), correlation, levels, rule, true)


def nearest_bins(mz: Float, picked: Float) -> npt.NDArray[np.intp]:
    """Index of the bin nearest to each picked m/z; half-way, the lower one."""
    right = np.clip(np.searchsorted(mz, picked), 1, max(mz.size - 1, 1))
    left = right - 1
    if mz.size == 1:
        return np.zeros(picked.size, dtype=np.intp)
    return np.where(mz[right] - picked < picked - mz[left], right, left)


def _true_bins(r: Float, threshold: float, rule: Rule) -> npt.NDArray[np.bool_]:
    if rule == "strict":
        return r >= threshold
    order = np.argsort(-r, kind="stable")
    true = np.zeros(r.size, dtype=bool)
    true[order[: int(np.abs(r[order] - threshold).argmin())]] = True
    return true


def _correlations(members: Float, intensity: Float) -> Float:
    """Pearson correlation of members (classes, pixels) with intensity (bins, pixels); 0 where one is constant."""
    varies = (intensity.max(axis=1) > intensity.min(axis=1)) & np.isfinite(intensity).all(axis=1)
    # The correlation does not depend on the unit; without it squares of large intensities overflow.
    scale = np.where(varies, np.abs(intensity).max(axis=1), 1.0)
    x = np.where(varies[:, None], intensity, 0.0) / scale[:, None]
    x -= x.mean(axis=1, keepdims=True)
    y = members - members.mean(axis=1, keepdims=True)
    norms = np.sqrt((y**2).sum(axis=1))[:, None] * np.sqrt((x**2).sum(axis=1))[None, :]
    # Of a class that is everywhere, the differences are rounding errors.
    defined = varies[None, :] & (members.min(axis=1) < members.max(axis=1))[:, None] & (norms > 0)
    result: Float = np.divide(y @ x.T, norms, out=np.zeros(norms.shape), where=defined)
    return result


def _array_blocks(images: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> Iterator[Float]:
    step = max(1, _BLOCK // max(int(valid.sum()), 1))
    for first in range(0, len(images), step):
        block = images[first : first + step][:, valid].astype(np.float64)
        yield np.where(np.isnan(block), 0.0, block)


def _dataset_blocks(ds: Dataset, mz: Any, axis: Float, valid: npt.NDArray[np.bool_]) -> Iterator[Float]:

    if isinstance(mz, CandidateAxis):
        lo, hi = mz.mz_lo, mz.mz_hi
    else:
        middle = (axis[1:] + axis[:-1]) / 2.0
        # A single bin, and the outer ones, take all there is on their open side: the axis is the whole file's.
        lo = np.concatenate([[0.0], np.nextafter(middle, np.inf)])
        hi = np.concatenate([middle, [max(axis[-1], ds.mz_range[1])]])
    step = max(1, _BLOCK // max(valid.size, 1))
    for first in range(0, axis.size, step):
        images = ds.window_images(lo[first : first + step], hi[first : first + step])
        yield from _array_blocks(images, valid)


def _not_nan(images: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    measured: npt.NDArray[np.bool_] = ~np.isnan(images).all(axis=0)
    return measured


def _grid(name: str, values: npt.ArrayLike, shape: tuple[int, int]) -> Float:
    grid = np.asarray(values)
    if grid.dtype.kind not in "fiub":
        raise ArgumentError(f"{name} must be numbers or bool, not {grid.dtype}")
    if grid.shape != shape:
        raise ArgumentError(f"{name} has shape {grid.shape}, the images {shape}")
    return np.nan_to_num(grid.astype(np.float64)) if name == "measured" else grid.astype(np.float64)


def _checked_picks(picked_mz: npt.ArrayLike) -> Float:
    picked = np.asarray(picked_mz, dtype=np.float64)
    if picked.ndim != 1:
        raise ArgumentError(f"picked_mz must be a list of m/z, not of shape {picked.shape}")
    if picked.size and not (np.isfinite(picked) & (picked > 0)).all():
        raise ArgumentError("picked_mz must be finite and positive")
    return picked


def f1_of(hits: int, picked: int, true: int) -> float:
    """2TP / (2TP + FP + FN); 0 where nothing was picked and nothing is true."""
    return 2.0 * hits / (picked + true) if picked + true else 0.0


def _share(part: Any, whole: Any) -> float:
    return float(part / whole) if whole else float("nan")
