"""mSCF1, the agreement of picked channels with the classes of a mask; protocol of arXiv 2603.10487 and 2604.19369."""

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
# Number of intensities held at once while correlations are computed.
_BLOCK = 8_000_000


@dataclass(frozen=True)
class MSCF1:
    """mSCF1 of one list of picks.

    Attributes:
        mean: mSCF1, the mean of ``f1``.
        f1: F1 at each threshold.
        precision: Share of the picks that are true, at each threshold; 0 without picks.
        recall: Share of the true bins that were picked, at each threshold; NaN without true bins.
        thresholds: Correlations from which a bin counts as true.
        rule: ``released`` or ``strict``.
        k: Number of distinct picked bins.
        n_true: Number of true bins at each threshold (union over the classes).
        ceiling: Largest F1 possible with k picks, at each threshold.
        classes: Values of the mask.
        class_true: Number of true bins of each class, (classes, thresholds).
        class_recall: Share of those that were picked, (classes, thresholds); NaN without true bins.
        n_bins: Length of the m/z axis.
        n_picked: Number of picked m/z as given.
        n_merged: Number of picked m/z that share a bin with an earlier one.
        n_far: Number of picked m/z farther than ``far_ppm`` from their bin.
        largest_ppm: Largest distance of a picked m/z from its bin in ppm; NaN without picks.
        warnings: One line per problem.
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
        """Largest mSCF1 possible with k picks."""
        return float(np.mean(self.ceiling))

    def to_frame(self) -> pd.DataFrame:
        """Frame with one row per threshold.

        Columns: threshold, f1, ceiling, precision, recall, n_true, and true_<class> and recall_<class> for each class.
        """
        columns: dict[str, Sequence[float]] = {
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
    """The bins of an axis that correlate with the classes of a mask, against which lists of picks are evaluated.

    Attributes:
        mz: The axis, ascending, float64 (n,).
        classes: Values of the mask at measured pixels, ascending.
        correlation: Pearson correlation of each class with each bin, float64 (classes, n); 0 where undefined.
        thresholds: Correlations from which a bin counts as true.
        rule: ``released`` or ``strict``.
        true: The true bins, bool (thresholds, classes, n).
    """

    mz: Float
    classes: tuple[int, ...]
    correlation: Float = field(repr=False)
    thresholds: tuple[float, ...]
    rule: Rule
    true: npt.NDArray[np.bool_] = field(repr=False)

    @property
    def n_true(self) -> tuple[int, ...]:
        """Number of true bins at each threshold (union over the classes)."""
        return tuple(int(count) for count in self.true.any(axis=1).sum(axis=1))

    def judge(self, picked_mz: npt.ArrayLike, *, far_ppm: float = 100.0) -> MSCF1:
        """Computes mSCF1 of a list of picks; see :func:`mscf1`.

        Args:
            picked_mz: (k,) m/z in any order; may be empty.
            far_ppm: Distance from a pick to its bin above which a warning is issued, in ppm.

        Returns:
            mSCF1 with F1, precision, recall and counts.

        Raises:
            ArgumentError: ``picked_mz`` is not a list of finite, positive m/z.
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
                f"(m/z {picked[worst]:.4f}: {ppm[worst]:.0f} ppm) but still count for that bin"
            )
        if picked.size > k:
            warnings.append(f"{picked.size} picked m/z fall into {k} bins; each bin counts once")
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
    """Computes mSCF1, the mean spatial-class F1 of picked channels.

    A bin is true if its image correlates with a class of the mask (signed Pearson correlation over measured pixels;
    undefined correlations count as 0). Each pick counts for the nearest bin, and F1 = 2TP / (2TP + FP + FN) is averaged
    over the thresholds. F1 is 0 if nothing is picked and nothing is true.

    Args:
        images_or_dataset: Raw intensities (n, H, W), one image per bin; or an open section, which is read in blocks.
        mz: (n,) m/z of the bins, ascending and distinct. For a section: the m/z of its axis, whose windows extend
            half-way to the neighbours, or a CandidateAxis.
        class_mask: (H, W) whole numbers or bool; every value is a class, including the background.
        picked_mz: (k,) m/z in any order; may be empty.
        measured: (H, W), non-zero = measured. None: the pixels of the section, or all pixels that are not NaN in every
            image. NaN at a measured pixel counts as 0.
        rule: Which bins are true at threshold T. ``strict``: those with r >= T. ``released``: of the bins sorted by
            descending correlation r the first argmin|r - T|, so r = .9, .61, .58 at T = .6 yields one bin.
        thresholds: The thresholds T.
        far_ppm: Distance from a pick to its bin above which a warning is issued, in ppm.

    Returns:
        mSCF1 with F1, precision, recall and counts.

    Raises:
        ArgumentError: The shapes do not match, the axis does not ascend, no pixel is measured, or the rule is unknown.
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
    """Computes the true bins of :func:`mscf1`, so that several lists of picks share the correlations.

    Args:
        images_or_dataset: Raw intensities (n, H, W), or an open section.
        mz: (n,) m/z of the bins, ascending and distinct, or a CandidateAxis.
        class_mask: (H, W) whole numbers or bool; every value is a class.
        measured: (H, W), non-zero = measured. None: as in :func:`mscf1`.
        rule: ``released`` or ``strict``, see :func:`mscf1`.
        thresholds: Correlations from which a bin counts as true.

    Returns:
        Correlations and true bins; its method ``judge`` evaluates a list of picks.

    Raises:
        ArgumentError: The shapes do not match, the axis does not ascend, no pixel is measured, or the rule is unknown.
        FileError: A spectrum cannot be read.
    """
    if rule not in ("released", "strict"):
        raise ArgumentError(f"rule must be released or strict, not '{rule}'")
    levels = tuple(float(value) for value in thresholds)
    if not levels or not np.isfinite(levels).all():
        raise ArgumentError("thresholds must be one or more finite numbers")
    axis = np.asarray(mz.mz if isinstance(mz, CandidateAxis) else mz, dtype=np.float64)
    if axis.ndim != 1 or not axis.size:
        raise ArgumentError(f"mz must be a list of one or more values, not an array of shape {axis.shape}")
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
            raise ArgumentError(f"images must have shape ({axis.size}, H, W), one per m/z, not {images.shape}")
        shape = (images.shape[1], images.shape[2])
        valid = _not_nan(images) if measured is None else _grid("measured", measured, shape) != 0
        blocks = _array_blocks(images, valid)
    labels = _grid("class_mask", class_mask, shape)[valid]
    if not labels.size:
        raise ArgumentError("no pixel is measured; check the argument measured, and NaN in the images")
    if not np.isfinite(labels).all() or (labels != np.round(labels)).any():
        raise ArgumentError("class_mask must contain whole numbers at every measured pixel")
    values = np.unique(labels)
    members = (labels[None, :] == values[:, None]).astype(np.float64)
    correlation = np.concatenate([_correlations(members, block) for block in blocks], axis=1)
    true = np.stack([[_true_bins(r, level, rule) for r in correlation] for level in levels])
    return MSCF1Truth(axis, tuple(int(v) for v in values), correlation, levels, rule, true)


def nearest_bins(mz: Float, picked: Float) -> npt.NDArray[np.intp]:
    """Index of the bin nearest to each picked m/z; the lower one if two are equally near."""
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
    # Scaling does not change the correlation, but keeps squares of large intensities from overflowing.
    scale = np.where(varies, np.abs(intensity).max(axis=1), 1.0)
    x = np.where(varies[:, None], intensity, 0.0) / scale[:, None]
    x -= x.mean(axis=1, keepdims=True)
    y = members - members.mean(axis=1, keepdims=True)
    norms = np.sqrt((y**2).sum(axis=1))[:, None] * np.sqrt((x**2).sum(axis=1))[None, :]
    # The differences of a class that covers all pixels are rounding errors.
    defined = varies[None, :] & (members.min(axis=1) < members.max(axis=1))[:, None] & (norms > 0)
    result: Float = np.divide(y @ x.T, norms, out=np.zeros(norms.shape), where=defined)
    return result


def _array_blocks(images: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> Iterator[Float]:
    step = max(1, _BLOCK // max(int(valid.sum()), 1))
    for first in range(0, len(images), step):
        block = images[first : first + step][:, valid].astype(np.float64)
        yield np.where(np.isnan(block), 0.0, block)


def _dataset_blocks(
    ds: Dataset, mz: npt.ArrayLike | CandidateAxis, axis: Float, valid: npt.NDArray[np.bool_]
) -> Iterator[Float]:
    if isinstance(mz, CandidateAxis):
        lo, hi = mz.mz_lo, mz.mz_hi
    else:
        middle = (axis[1:] + axis[:-1]) / 2.0
        # The outer bins extend to the ends of the file's m/z range, because the axis covers the whole file.
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
        raise ArgumentError(f"{name} has shape {grid.shape}, but the images have {shape}")
    return np.nan_to_num(grid.astype(np.float64)) if name == "measured" else grid.astype(np.float64)


def _checked_picks(picked_mz: npt.ArrayLike) -> Float:
    picked = np.asarray(picked_mz, dtype=np.float64)
    if picked.ndim != 1:
        raise ArgumentError(f"picked_mz must be a list of m/z, not an array of shape {picked.shape}")
    if picked.size and not (np.isfinite(picked) & (picked > 0)).all():
        raise ArgumentError("picked_mz must be finite and positive")
    return picked


def f1_of(hits: int, picked: int, true: int) -> float:
    """F1 = 2TP / (2TP + FP + FN); 0 if nothing is picked and nothing is true."""
    return 2.0 * hits / (picked + true) if picked + true else 0.0


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else float("nan")
