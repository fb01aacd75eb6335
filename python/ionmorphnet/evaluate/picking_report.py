"""mSCF1 of the best channels by several methods, on one section and averaged over sections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate.bootstrap import BootstrapOptions, Estimate, Statistic, resample
from ionmorphnet.evaluate.methods import RANDOM
from ionmorphnet.evaluate.mscf1 import MSCF1Truth, f1_of

_RANDOM_DRAWS = 100


@dataclass(frozen=True, eq=False, repr=False)
class PickingReport:
    """mSCF1 of each method's best k channels on one section.

    Attributes:
        name: Name of the section.
        table: One row per method: method, kind, k, mscf1, low, high, ceiling, and f1_<T> for each threshold T. The
            interval from low to high results from resampling the channels with fixed truth. The method ``random`` is
            the mean over 100 seeded rankings and has no interval.
        k: Number of channels picked at each threshold.
        n_bins: Number of channels of the section.
        truth: The true bins.
    """

    name: str
    table: pd.DataFrame
    k: tuple[int, ...]
    n_bins: int
    truth: MSCF1Truth

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
) -> PickingReport:
    """Computes mSCF1 of the k best channels of each method.

    Args:
        truth: The true bins, see :func:`~ionmorphnet.evaluate.mscf1_truth`.
        scores: (bins, methods), in the order of the truth's axis; NaN ranks last.
        kinds: Kind of each method.
        k: Number of channels to pick, or one number per threshold. None: the number of true bins at each threshold, for
            which the ceiling is 1.
        name: Name of the section.
        seed: Seed of the random rankings.
        options: How the intervals are computed, from resampling the channels; None: the defaults.

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
    rows = []
    for method in scores.columns:
        order = _core.rank_scores(scores[method].to_numpy(dtype=np.float64))
        statistic = _resampled_mscf1(union, order, None if k is None else sizes)
        estimate = resample(statistic, n, chosen, stream=name).estimate(chosen)
        row = _row(str(method), kinds[str(method)], _f1(union, order, sizes), union, sizes, truth)
        rows.append(row | {"low": estimate.low, "high": estimate.high})
    rng = np.random.default_rng([seed, n])
    drawn = np.mean([_f1(union, rng.permutation(n), sizes) for _ in range(_RANDOM_DRAWS)], axis=0)
    rows.append(_row(RANDOM, "baseline", drawn, union, sizes, truth) | {"low": np.nan, "high": np.nan})
    columns = ["method", "kind", "k", "mscf1", "low", "high", "ceiling"]
    table = pd.DataFrame(rows)
    return PickingReport(name, table[[*columns, *table.columns.drop(columns)]], sizes, n, truth)


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
        "k": "/".join(map(str, sizes)) if len(set(sizes)) > 1 else str(sizes[0]),
        "mscf1": float(np.mean(f1)),
        "ceiling": float(np.mean(ceiling)),
    }
    return row | {f"f1_{level:g}": float(value) for level, value in zip(truth.thresholds, f1, strict=True)}
