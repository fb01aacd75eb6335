"""mSCF1 of the best channels by several methods, on one section and averaged over sections."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate.bootstrap import BootstrapOptions, Estimate, Statistic, resample
from ionmorphnet.evaluate.methods import RANDOM, Methods
from ionmorphnet.evaluate.mscf1 import MSCF1Truth, f1_of
from ionmorphnet.evaluate.patterns import distinct_patterns

_RANDOM_DRAWS = 100
# Random rankings whose distinct patterns are counted, and the number of pixels of picked images up to which they are.
_PATTERN_DRAWS = 3
_PATTERN_PIXELS = 100_000_000

# Reads the images (k, H, W) of channels, given by their positions on the axis.
ReadImages = Callable[[npt.NDArray[np.intp]], npt.NDArray[np.float32]]


@dataclass(frozen=True, eq=False, repr=False)
class PickingReport:
    """mSCF1 of each method's best k channels on one section.

    Attributes:
        name: Name of the section.
        table: One row per method: method, kind, k, mscf1, low, high, ceiling, and f1_<T> for each threshold T. The
            interval from low to high results from resampling the channels with fixed truth. The method ``random`` is
            the mean over 100 seeded rankings and has no interval. If images were given, the column distinct has the
            number of distinct patterns among the k channels, see
            :func:`~ionmorphnet.evaluate.patterns.distinct_patterns`.
        k: Number of channels picked at each threshold.
        n_bins: Number of channels of the section.
        truth: The true bins.
        over_k: mSCF1 of the best 0, 1, ... n_bins channels, (n_bins + 1, methods); ``random`` is the expectation.
    """

    name: str
    table: pd.DataFrame
    k: tuple[int, ...]
    n_bins: int
    truth: MSCF1Truth
    over_k: pd.DataFrame = field(default_factory=pd.DataFrame)

    def __repr__(self) -> str:
        """Name and size."""
        return f"PickingReport({self.name!r}, {self.n_bins} bins, k = {', '.join(map(str, self.k))})"

    def to_dict(self) -> dict[str, object]:
        """The values as plain Python objects for JSON."""
        true = self.truth.true
        return {
            "section": self.name,
            "rule": self.truth.rule,
            "thresholds": list(self.truth.thresholds),
            "n_bins": self.n_bins,
            "k": list(self.k),
            "n_true": list(self.truth.n_true),
            "classes": list(self.truth.classes),
            "class_true": true.sum(axis=2).T.tolist(),
            "methods": self.table.to_dict("records"),
        }


def picking_report(
    truth: MSCF1Truth,
    scores: pd.DataFrame,
    kinds: Mapping[str, str],
    *,
    k: int | Sequence[int] | None = None,
    name: str = "section",
    seed: int = 0,
    options: BootstrapOptions | None = None,
    images: ReadImages | None = None,
) -> PickingReport:
    """Computes mSCF1 of the k best channels of each method.

    Args:
        truth: The true bins, see :func:`~ionmorphnet.evaluate.mscf1_truth`.
        scores: (bins, methods), in the order of the truth's axis; NaN ranks last.
        kinds: Kind of each method; a method that is missing is a baseline.
        k: Number of channels to pick, or one number per threshold. None: the number of true bins at each threshold, for
            which the ceiling is 1.
        name: Name of the section.
        seed: Seed of the random rankings.
        options: How the intervals are computed, from resampling the channels; None: the defaults.
        images: Reads the images of channels, to count distinct patterns among the picks (not of more than 100 million
            pixels); None: they are not counted.

    Returns:
        mSCF1 of every method and of random rankings.

    Raises:
        ArgumentError: The number of rows differs from the number of bins, or k is out of range.
    """
    chosen = options or BootstrapOptions()
    n = truth.mz.size
    if len(scores) != n:
        raise ArgumentError(f"{name}: scores has {len(scores)} rows, but the section has {n} bins")
    levels = len(truth.thresholds)
    sizes = truth.n_true if k is None else (k,) * levels if isinstance(k, int) else tuple(int(each) for each in k)
    if len(sizes) != levels or any(not 0 <= size <= n for size in sizes):
        raise ArgumentError(f"{name}: k must be from 0 to {n}, as one number or one for each of {levels} thresholds")
    union: npt.NDArray[np.bool_] = np.asarray(truth.true.any(axis=1))
    rows, over_k = [], {}
    read = images if images is not None and max(sizes) * _pixels(images, n) <= _PATTERN_PIXELS else None
    for method in scores.columns:
        order = _core.rank_scores(scores[method].to_numpy(dtype=np.float64))
        over_k[str(method)] = mscf1_over_k(union, order)
        statistic = _resampled_mscf1(union, order, None if k is None else sizes)
        estimate = resample(statistic, n, chosen, stream=name).estimate(chosen)
        row = _row(str(method), kinds.get(str(method), "baseline"), _f1(union, order, sizes), union, sizes, truth)
        row |= {"low": estimate.low, "high": estimate.high}
        rows.append(row | ({"distinct": _joined(_distinct(read, order, sizes))} if read else {}))
    rng = np.random.default_rng([seed, n])
    drawn = np.mean([_f1(union, rng.permutation(n), sizes) for _ in range(_RANDOM_DRAWS)], axis=0)
    chance = _row(RANDOM, "baseline", drawn, union, sizes, truth) | {"low": np.nan, "high": np.nan}
    if read:
        counts = [_distinct(read, rng.permutation(n), sizes) for _ in range(_PATTERN_DRAWS)]
        chance["distinct"] = _joined([round(float(mean)) for mean in np.mean(counts, axis=0)])
    rows.append(chance)
    over_k[RANDOM] = _expected_over_k(union)
    columns = ["method", "kind", "k", "mscf1", "low", "high", "ceiling"]
    table = pd.DataFrame(rows)
    ordered = table[[*columns, *table.columns.drop(columns)]]
    return PickingReport(name, ordered, sizes, n, truth, pd.DataFrame(over_k))


def default_cuts(scores: pd.DataFrame, methods: Methods) -> dict[str, int]:
    """Number of channels that each model picks by default: those with a score of at least its threshold."""
    return {
        name: int((scores[name] >= scorer.model.threshold).sum())
        for name, scorer in methods.scorers.items()
        if scorer.model is not None
    }


def mscf1_over_k(union: npt.NDArray[np.bool_], order: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """mSCF1 of the first 0, 1, ... n channels of a ranking.

    Args:
        union: The true bins, (thresholds, n).
        order: Channels by rank, (n,).

    Returns:
        (n + 1,).
    """
    hits = np.pad(np.cumsum(union[:, order], axis=1), ((0, 0), (1, 0)))
    return _over_k(hits.astype(np.float64), union)


def _expected_over_k(union: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Expectation of :func:`mscf1_over_k` over all rankings."""
    n = union.shape[1]
    return _over_k(union.sum(axis=1)[:, None] * np.arange(n + 1) / max(n, 1), union)


def _over_k(hits: npt.NDArray[np.float64], union: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    either = np.arange(hits.shape[1]) + union.sum(axis=1)[:, None]
    f1 = np.divide(2.0 * hits, either, out=np.zeros_like(hits), where=either > 0)
    result: npt.NDArray[np.float64] = f1.mean(axis=0)
    return result


def _pixels(images: ReadImages, n: int) -> int:
    """Number of pixels of an image; 0 without channels."""
    return images(np.zeros(1, np.intp)).size if n else 0


def _distinct(read: ReadImages, order: npt.NDArray[Any], sizes: tuple[int, ...]) -> list[int]:
    """Distinct patterns among the first channels of a ranking, for each size."""
    most = max(sizes)
    new = distinct_patterns(read(np.asarray(order[:most], np.intp))) if most else np.zeros(0, bool)
    return [int(new[:size].sum()) for size in sizes]


def _joined(values: Sequence[int]) -> str:
    return "/".join(map(str, values)) if len(set(values)) > 1 else str(values[0])


def mean_of_sections(reports: Sequence[PickingReport], *, options: BootstrapOptions | None = None) -> pd.DataFrame:
    """Averages mSCF1 of each method over sections, with intervals from resampling the sections.

    Args:
        reports: One report per section; all sections have the same weight.
        options: How the intervals are computed; None: 95% percentile intervals from 2,000 resamples of the sections.

    Returns:
        One row per method that all reports contain: method, kind, mscf1, low, high, n (sections), ceiling.

    Raises:
        ArgumentError: ``reports`` is empty.
    """
    if not reports:
        raise ArgumentError("reports is empty; give at least one section")
    chosen = options or BootstrapOptions()
    tables = [report.table.set_index("method") for report in reports]
    rows = []
    for method in tables[0].index:
        if not all(method in table.index for table in tables):
            continue
        values = np.array([table.loc[method, "mscf1"] for table in tables], dtype=np.float64)

        def mean(counts: npt.NDArray[np.float64], v: npt.NDArray[np.float64] = values) -> npt.NDArray[np.float64]:
            result: npt.NDArray[np.float64] = counts @ v / counts.sum(axis=1)
            return result

        estimate: Estimate = resample(mean, len(values), chosen).estimate(chosen)
        rows.append(
            {
                "method": method,
                "kind": tables[0].loc[method, "kind"],
                "mscf1": estimate.value,
                "low": estimate.low,
                "high": estimate.high,
                "n": estimate.n,
                "ceiling": float(np.mean([table.loc[method, "ceiling"] for table in tables])),
            }
        )
    return pd.DataFrame(rows)


def _f1(union: npt.NDArray[np.bool_], order: npt.NDArray[Any], sizes: tuple[int, ...]) -> npt.NDArray[np.float64]:
    pairs = zip(union, sizes, strict=True)
    return np.array([f1_of(int(true[order[:size]].sum()), size, int(true.sum())) for true, size in pairs])


def _resampled_mscf1(union: npt.NDArray[np.bool_], order: npt.NDArray[Any], sizes: tuple[int, ...] | None) -> Statistic:
    """mSCF1 of resampled channels. A channel drawn twice counts twice; the last picked channel may count in part."""
    true = union[:, order].astype(np.float64)

    def statistic(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        ranked = counts[:, order]
        before = np.cumsum(ranked, axis=1) - ranked
        total = np.zeros(len(counts))
        for level in range(len(true)):
            n_true = ranked @ true[level]
            k = n_true if sizes is None else np.full(len(counts), float(sizes[level]))
            hits = np.clip(k[:, None] - before, 0.0, ranked) @ true[level]
            total += np.divide(2.0 * hits, k + n_true, out=np.zeros(len(counts)), where=k + n_true > 0)
        return total / len(true)

    return statistic


def _row(
    method: str,
    kind: str,
    f1: npt.NDArray[np.float64],
    union: npt.NDArray[np.bool_],
    sizes: tuple[int, ...],
    truth: MSCF1Truth,
) -> dict[str, object]:
    n_true = union.sum(axis=1)
    ceiling = [f1_of(min(size, int(n)), size, int(n)) for size, n in zip(sizes, n_true, strict=True)]
    row: dict[str, object] = {
        "method": method,
        "kind": kind,
        "k": _joined(sizes),
        "mscf1": float(np.mean(f1)),
        "ceiling": float(np.mean(ceiling)),
    }
    return row | {f"f1_{level:g}": float(value) for level, value in zip(truth.thresholds, f1, strict=True)}
