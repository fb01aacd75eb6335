"""Comparison of rankings with grades of structure, or with pairs of images that people ordered."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate import metrics
from ionmorphnet.evaluate.bootstrap import BootstrapOptions, Estimate, Sampled, mean_over_sets, resample
from ionmorphnet.evaluate.evaluation_set import require_unique_names
from ionmorphnet.evaluate.methods import RANDOM, Kind, ScoredSet

Float = npt.NDArray[np.float64]

POSITIVE_FROM = 1.5
GRADE_METRICS = ("concordance", "spearman", "kendall", "auc", "average_precision", "precision_at_k")
PAIR_METRICS = ("agreement",)
POOLED = "mean of sets"
# These compare all pairs in every resample, so they have no interval above this number of images.
_ALL_PAIRS = ("concordance", "kendall")
_PAIRS_LIMIT = 2000
_RANDOM_DRAWS = 200
_ROUNDING = 1e-9

# Value of a metric for each resample of one method's scores: (counts (resamples, units), scores (n,)) -> (resamples,).
_Metric = Callable[[Float, Float], Float]


@dataclass(frozen=True, eq=False, repr=False)
class RankingReport:
    """How well each method ranks images.

    Attributes:
        table: One row per dataset, method and metric: dataset, method, kind, metric, value, low, high, n, draws,
            sets_low, sets_high. The dataset ``mean of sets`` is the mean over the datasets for which the value is
            defined, with n images in total; it has no interval if one of them has none. low and high come from
            resampling images. sets_low and sets_high come from resampling whole datasets, and say how certain the mean
            is for other datasets; NaN except for ``mean of sets``.
        comparisons: One row per dataset, metric, model and classical statistic: dataset, metric, model, value,
            classical, classical_value; the paired difference model minus statistic as difference, difference_low,
            difference_high, sets_low and sets_high; n; and ``verdict``: whether the interval of the difference (from
            resampling images) lies ``below`` 0, ``above`` 0, or contains it (``level``), or ``no interval``.
        metrics: Names of the metrics.
        options: How the intervals were computed.
        undefined: Number of undefined scores (NaN, ranked last) by (dataset, method).
        curves: Scores of every method and the grades (column ``structure``) by dataset, for plots.
    """

    table: pd.DataFrame
    comparisons: pd.DataFrame
    metrics: tuple[str, ...]
    options: BootstrapOptions
    undefined: Mapping[tuple[str, str], int] = field(default_factory=dict)
    curves: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Datasets and metrics."""
        return f"RankingReport({', '.join(self.table['dataset'].unique())}; {', '.join(self.metrics)})"

    def estimate(self, dataset: str, method: str, metric: str) -> Estimate:
        """Looks up one value with its interval.

        Args:
            dataset: Name of the dataset.
            method: Name of the method.
            metric: Name of the metric.

        Raises:
            ArgumentError: The report does not contain it.
        """
        table = self.table
        rows = table[(table["dataset"] == dataset) & (table["method"] == method) & (table["metric"] == metric)]
        if rows.empty:
            raise ArgumentError(f"the report has no value of {metric} for {method} on {dataset}")
        row = rows.iloc[0]
        return Estimate(row["value"], row["low"], row["high"], int(row["n"]), int(row["draws"]))

    def to_dict(self) -> dict[str, object]:
        """The values as plain Python objects for JSON."""
        return {
            "figures": self.table.to_dict("records"),
            "comparisons": self.comparisons.to_dict("records"),
            "undefined_scores": [
                {"dataset": dataset, "method": method, "count": count}
                for (dataset, method), count in self.undefined.items()
            ],
            "bootstrap": {
                "draws": self.options.draws,
                "level": self.options.level,
                "seed": self.options.seed,
                "interval": self.options.kind,
            },
        }


def ranking_report(
    sets: Sequence[ScoredSet],
    *,
    positive_from: float = POSITIVE_FROM,
    k: int | None = None,
    options: BootstrapOptions | None = None,
) -> RankingReport:
    """Compares scores with grades of structure.

    Metrics: concordance, the share of the pairs of images with different grades that the score orders as the grades do;
    Spearman's rho and Kendall's tau-b of score and grade; AUC, average precision and precision at k of the
    images with grade ``positive_from`` or higher. Undefined values (constant scores, no positives or no negatives) are
    NaN. Equal scores bring no advantage: ranks are averaged, and ties count half or in proportion. The method
    ``random`` is the mean over 200 seeded random rankings with their central interval. For more than 2,000 images
    concordance and Kendall's tau have no interval and no ``random``, because every resample would compare all pairs.

    Args:
        sets: Scored datasets with grades; images without a grade are left out.
        positive_from: Grade from which an image counts as structured.
        k: Number of images for precision at k; None: the number of positives.
        options: How the intervals are computed; None: 95% percentile intervals from 2,000 resamples of the images.

    Returns:
        Values for every dataset and method and, with several datasets, their means.

    Raises:
        ArgumentError: There is no dataset, a dataset has no grades, two have the same name, or k < 1.
    """
    if k is not None and k < 1:
        raise ArgumentError(f"k must be at least 1, not {k}")
    tasks = []
    curves = {}
    for each in _checked(sets):
        graded = np.isfinite(each.structure)
        if not graded.any():
            raise ArgumentError(f"{each.name}: no image has a structure grade; add grades or leave the dataset out")
        grades = each.structure[graded]
        scores = each.scores.loc[graded].reset_index(drop=True)
        curves[each.name] = scores.assign(structure=grades)
        tasks.append(_Task(each.name, len(grades), scores, dict(each.kinds), _grade_metrics(grades, positive_from, k)))
    return _report(tasks, GRADE_METRICS, options or BootstrapOptions(), curves)


def pair_report(
    sets: Sequence[ScoredSet],
    pairs: Mapping[str, npt.ArrayLike],
    *,
    options: BootstrapOptions | None = None,
) -> RankingReport:
    """Compares scores with pairs of images that people ordered.

    The metric is agreement, the share of pairs whose better image has the higher score; equal scores count half.

    Args:
        sets: Scored datasets.
        pairs: Whole numbers (n, 2), better and worse, by dataset name. They are positions among the rows of the
            ScoredSet, from 0. These differ from the indices in the image file if images were left out on reading;
            :func:`~ionmorphnet.evaluate.read_pairs` translates those. Datasets without pairs are left out.
        options: How the intervals are computed, from resampling the pairs; None: the defaults.

    Returns:
        Agreement for every dataset with pairs and every method and, with several such datasets, the means.

    Raises:
        ArgumentError: There is no dataset, two have the same name, ``pairs`` names an unknown dataset or position,
            pairs an image with itself, or is empty.
    """
    by_name = {each.name: each for each in _checked(sets)}
    unknown = set(pairs) - set(by_name)
    if unknown:
        raise ArgumentError(f"pairs refers to unknown datasets: {', '.join(sorted(unknown))}")
    tasks = []
    for name, given in pairs.items():
        table = np.asarray(given)
        n = len(by_name[name])
        if table.size == 0:
            continue
        if table.ndim != 2 or table.shape[1] != 2 or table.dtype.kind not in "iu":
            raise ArgumentError(f"{name}: pairs must be whole numbers of shape (n, 2), not {table.shape} {table.dtype}")
        if (table < 0).any() or (table >= n).any() or (table[:, 0] == table[:, 1]).any():
            raise ArgumentError(f"{name}: pairs must contain two different positions from 0 to {n - 1}")
        each = by_name[name]
        tasks.append(_Task(name, len(table), each.scores, dict(each.kinds), {"agreement": _agreement(table)}))
    if not tasks:
        raise ArgumentError("pairs contains no pairs")
    return _report(tasks, PAIR_METRICS, options or BootstrapOptions(), {})


@dataclass(frozen=True, eq=False)
class _Task:
    """One dataset: the number of resampled units, the scores of its methods, and the metrics."""

    name: str
    units: int
    scores: pd.DataFrame
    kinds: dict[str, Kind]
    metrics: dict[str, _Metric]


def _grade_metrics(grades: Float, positive_from: float, k: int | None) -> dict[str, _Metric]:
    positive = grades >= positive_from

    def precision(counts: Float, score: Float) -> Float:
        cut = counts[:, positive].sum(axis=1) if k is None else np.full(len(counts), float(k))
        return metrics.precision_at_k_of(counts, score, positive, cut)

    return {
        "concordance": lambda counts, score: metrics.concordance_of(counts, score, grades),
        "spearman": lambda counts, score: metrics.spearman_of(counts, score, grades),
        "kendall": lambda counts, score: metrics.kendall_of(counts, score, grades),
        "auc": lambda counts, score: metrics.auc_of(counts, score, positive),
        "average_precision": lambda counts, score: metrics.average_precision_of(counts, score, positive),
        "precision_at_k": precision,
    }


def _agreement(pairs: npt.NDArray[np.integer]) -> _Metric:
    def agreement(counts: Float, score: Float) -> Float:
        better, worse = score[pairs[:, 0]], score[pairs[:, 1]]
        won = (better > worse) + 0.5 * (better == worse)
        result: Float = (counts * won).sum(axis=1) / counts.sum(axis=1)
        return result

    return agreement


def _report(
    tasks: list[_Task], names: tuple[str, ...], options: BootstrapOptions, curves: dict[str, pd.DataFrame]
) -> RankingReport:
    sampled: dict[tuple[str, str, str], Sampled] = {}
    kinds: dict[str, Kind] = {}
    rows: list[dict[str, object]] = []
    undefined = {}
    chance: dict[str, list[Float]] = {name: [] for name in names}
    for task in tasks:
        kinds |= task.kinds
        for method in task.scores.columns:
            score = metrics.rankable(task.scores[method])
            if missing := int(task.scores[method].isna().sum()):
                undefined[task.name, method] = missing
            for metric in names:
                sampled[task.name, method, metric] = _sample(task, metric, score, options)
        drawn = _random_values(task, names, options)
        for metric in names:
            chance[metric].append(drawn[metric])
    datasets = [task.name for task in tasks]
    for key, value in list(sampled.items()):
        rows.append(_row(*key, kinds[key[1]], value.estimate(options)))
    for i, task in enumerate(tasks):
        rows += [
            _row(task.name, RANDOM, metric, "baseline", _chance(chance[metric][i], task.units, options))
            for metric in names
        ]
    comparisons = [
        row for dataset in datasets for metric in names for row in _compare([dataset], metric, kinds, sampled, options)
    ]
    if len(tasks) > 1:
        shared = [m for m in kinds if all(m in task.scores.columns for task in tasks)]
        for metric in names:
            for method in shared:
                parts = [sampled[d, method, metric] for d in datasets]
                estimate = mean_over_sets(parts).estimate(options)
                rows.append(_row(POOLED, method, metric, kinds[method], estimate) | _over_sets(parts, options))
            used = [i for i in range(len(tasks)) if not np.isnan(chance[metric][i]).all()]
            mean = np.mean([chance[metric][i] for i in used], axis=0) if used else np.full(1, np.nan)
            n = sum(tasks[i].units for i in used)
            rows.append(_row(POOLED, RANDOM, metric, "baseline", _chance(mean, n, options)))
            comparisons += _compare(datasets, metric, {method: kinds[method] for method in shared}, sampled, options)
    return RankingReport(
        pd.DataFrame(rows), pd.DataFrame(comparisons, columns=_COMPARISON), names, options, undefined, curves
    )


_COMPARISON = [
    *("dataset", "metric", "model", "value", "classical", "classical_value"),
    *("difference", "difference_low", "difference_high", "sets_low", "sets_high", "n", "verdict"),
]


def _compare(
    datasets: list[str],
    metric: str,
    kinds: Mapping[str, Kind],
    sampled: Mapping[tuple[str, str, str], Sampled],
    options: BootstrapOptions,
) -> list[dict[str, object]]:
    """Compares each model with each classical statistic, where both have a value."""
    parts = {
        method: [sampled[dataset, method, metric] for dataset in datasets if (dataset, method, metric) in sampled]
        for method in kinds
    }
    values = {method: mean_over_sets(of_method).value for method, of_method in parts.items()}
    rows = []
    for model, kind in kinds.items():
        for classical, other in kinds.items():
            if (kind, other) != ("model", "classical") or np.isnan([values[model], values[classical]]).any():
                continue
            differences = [a.minus(b) for a, b in zip(parts[model], parts[classical], strict=True)]
            gap = mean_over_sets(differences).estimate(options)
            rows.append(
                {
                    "dataset": datasets[0] if len(datasets) == 1 else POOLED,
                    "metric": metric,
                    "model": model,
                    "value": values[model],
                    "classical": classical,
                    "classical_value": values[classical],
                    "difference": gap.value,
                    "difference_low": gap.low,
                    "difference_high": gap.high,
                    **_over_sets(differences, options),
                    "n": gap.n,
                    "verdict": _verdict(gap),
                }
            )
    return rows


def _verdict(gap: Estimate) -> str:
    if np.isnan(gap.low):
        return "no interval"
    # Values of identical rankings may differ in their last bits.
    if gap.high < -_ROUNDING:
        return "below"
    return "above" if gap.low > _ROUNDING else "level"


def _over_sets(parts: Sequence[Sampled], options: BootstrapOptions) -> dict[str, object]:
    """Interval of the mean over sets from resampling the sets; NaN for fewer than two with a value."""
    values = np.array([part.value for part in parts if not np.isnan(part.value)])
    if len(values) < 2:
        return {"sets_low": np.nan, "sets_high": np.nan}
    sets = resample(lambda counts: counts @ values / counts.sum(axis=1), len(values), options, stream=POOLED)
    estimate = sets.estimate(options)
    return {"sets_low": estimate.low, "sets_high": estimate.high}


def _sample(task: _Task, metric: str, score: Float, options: BootstrapOptions) -> Sampled:
    value_of = task.metrics[metric]
    if metric in _ALL_PAIRS and task.units > _PAIRS_LIMIT:
        options = BootstrapOptions(0, options.level, options.seed)
    return resample(lambda counts: value_of(counts, score), task.units, options, stream=task.name)


def _random_values(task: _Task, names: tuple[str, ...], options: BootstrapOptions) -> dict[str, Float]:
    rng = np.random.default_rng([options.seed, task.units, zlib.crc32(task.name.encode()), 1])
    scores = rng.random((_RANDOM_DRAWS, len(task.scores)))
    once = np.ones((1, task.units))
    # In a large set every ranking costs n squared comparisons, and chance is known.
    skipped = set(_ALL_PAIRS) if task.units > _PAIRS_LIMIT else set()
    return {
        name: np.full(_RANDOM_DRAWS, np.nan)
        if name in skipped
        else np.array([task.metrics[name](once, score)[0] for score in scores])
        for name in names
    }


def _chance(values: Float, n: int, options: BootstrapOptions) -> Estimate:
    defined = values[~np.isnan(values)]
    if not defined.size:
        return Estimate(np.nan, np.nan, np.nan, n, 0)
    low, high = np.quantile(defined, [(1 - options.level) / 2, (1 + options.level) / 2])
    return Estimate(float(defined.mean()), float(low), float(high), n, int(defined.size))


def _row(dataset: str, method: str, metric: str, kind: str, estimate: Estimate) -> dict[str, object]:
    return {
        "dataset": dataset,
        "method": method,
        "kind": kind,
        "metric": metric,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "draws": estimate.draws,
        "sets_low": np.nan,
        "sets_high": np.nan,
    }


def _checked(sets: Sequence[ScoredSet]) -> Sequence[ScoredSet]:
    names = [each.name for each in sets]
    if not names:
        raise ArgumentError("sets is empty; give at least one dataset")
    require_unique_names(names, reserved=POOLED)
    return sets
