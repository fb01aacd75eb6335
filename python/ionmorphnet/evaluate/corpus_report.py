"""How well models and scores do on a corpus: by source and pooled, beside the observers' own agreement."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.evaluate import metrics
from ionmorphnet.evaluate.bootstrap import BootstrapOptions, Sampled, Statistic, resample
from ionmorphnet.evaluate.corpus_scores import CorpusScores
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS

Float = npt.NDArray[np.float64]

POSITIVE_FROM = 1.5
RANKING = ("concordance", "spearman", "auc")
IMAGES, SOURCES = "images", "sources"
BEST = "best statistic"


@dataclass(frozen=True, eq=False, repr=False)
class CorpusReport:
    """Figures of a corpus. Every frame has a column ``group``: a pool of sources, or a source.

    Attributes:
        ranking: One row per group, method, metric and unit of the resamples (``images``; for pools also ``sources``):
            group, method, kind, metric, resampled, value, low, high, n. Metrics: concordance over pairs of different
            grade, Spearman's rho with the mean grade, and AUC for grade >= ``positive_from``.
        agreement: One row per group, model and unit: class agreement, as the mean over both passes (``agreement``,
            ``low``, ``high``), and on the images on which the passes agree (``agreed``; ``n_agreed``).
        differences: Paired differences ``value`` = first minus second, with interval: a model and the best classical
            statistic of the group (``best statistic``, and its name in ``second_method``), or every statistic (pools
            only), or every later model.
        observers: One row per group: n, class agreement of the passes, Spearman and concordance of their grades.
        classes: One row per group, model and class: count (with halves where the passes differ), predicted, recall,
            precision.
        confusion: One row per group, model and labelled class: counts by predicted class.
        picks: One row per group and model with a default cut: recall and precision for grade >= ``positive_from`` at
            that cut, with the number of images that should be and that were picked.
    """

    ranking: pd.DataFrame
    agreement: pd.DataFrame
    differences: pd.DataFrame
    observers: pd.DataFrame
    classes: pd.DataFrame
    confusion: pd.DataFrame
    picks: pd.DataFrame

    def to_dict(self) -> dict[str, object]:
        """The values as plain Python objects for JSON."""
        return {name: frame.to_dict("records") for name, frame in vars(self).items()}


@dataclass(frozen=True, eq=False)
class _Group:
    """The images of a pool or source: positions in the corpus, and the source of each image as a number."""

    name: str
    where: npt.NDArray[np.intp]
    source: npt.NDArray[np.intp]

    @property
    def is_pool(self) -> bool:
        return len(np.unique(self.source)) > 1

    def units(self) -> tuple[str, ...]:
        return (IMAGES, SOURCES) if self.is_pool else (IMAGES,)

    def sample(self, statistic: Statistic, unit: str, options: BootstrapOptions) -> Sampled:
        """Computes a statistic of counts of images, with resamples of images or of whole sources."""
        if unit == IMAGES:
            return resample(statistic, len(self.where), options, stream=self.name)
        sources, codes = np.unique(self.source, return_inverse=True)
        return resample(lambda counts: statistic(counts[:, codes]), len(sources), options, stream=self.name)


def corpus_report(
    scores: CorpusScores,
    pools: Mapping[str, Sequence[str]] | None = None,
    *,
    positive_from: float = POSITIVE_FROM,
    options: BootstrapOptions | None = None,
) -> CorpusReport:
    """Compares every method with the labels, by source and pooled.

    A method is left out of groups of which it did not score every image.

    Args:
        scores: The corpus and its scores.
        pools: Sources that are judged together, by name; None: ``all images``. Pools with fewer than two sources of
            the corpus are left out.
        positive_from: Grade from which an image counts as structured.
        options: How intervals are computed; None: 95% percentile intervals from 2,000 resamples.

    Returns:
        The figures.

    Raises:
        ArgumentError: A pool names an unknown source or has the name of one, or an image has no grade.
    """
    chosen = options or BootstrapOptions()
    if not np.isfinite(scores.corpus.structure).all():
        raise ArgumentError("every image needs a grade; leave the others out with Corpus.where")
    parts = [_figures(scores, group, positive_from, chosen) for group in _groups(scores, pools)]
    return CorpusReport(**{name: pd.DataFrame([row for part in parts for row in part[name]]) for name in parts[0]})


def _groups(scores: CorpusScores, pools: Mapping[str, Sequence[str]] | None) -> list[_Group]:
    corpus = scores.corpus
    names = corpus.sources
    source = np.array([names.index(item.source) for item in corpus.items], dtype=np.intp)
    given: Mapping[str, Sequence[str]] = {"all images": names} if pools is None else pools
    for name, members in given.items():
        if name in names or set(members) - set(names):
            raise ArgumentError(f"pool '{name}' must have its own name and contain known sources: {', '.join(names)}")
    sets = [(name, set(members)) for name, members in given.items() if len(set(members)) > 1]
    sets += [(name, {name}) for name in names]
    groups = []
    for name, chosen in sets:
        where = np.flatnonzero(np.isin(source, [names.index(each) for each in chosen]))
        groups.append(_Group(name, where, source[where]))
    return groups


def _figures(
    scores: CorpusScores, group: _Group, positive_from: float, options: BootstrapOptions
) -> dict[str, list[dict[str, object]]]:
    corpus, where = scores.corpus, group.where
    labels, grades, structure = corpus.labels[:, where], corpus.grades[:, where], corpus.structure[where]
    values = scores.scores.iloc[where]
    methods = [name for name in values.columns if values[name].notna().all()]
    models = [name for name in methods if scores.kinds[name] == "model"]
    out: dict[str, list[dict[str, object]]] = {name: [] for name in CorpusReport.__annotations__}
    out["observers"].append({"group": group.name} | _observers(labels, grades))

    sampled: dict[tuple[str, str, str], Sampled] = {}
    ranked = {name: metrics.rankable(values[name]) for name in methods}
    of_metric = _ranking_metrics(structure, positive_from)
    for unit in group.units():
        for name in methods:
            for metric, compute in of_metric.items():
                sampled[metric, name, unit] = group.sample(_bound(compute, ranked[name]), unit, options)
                kind = scores.kinds[name]
                out["ranking"].append(
                    {"group": group.name, "method": name, "kind": kind, "metric": metric, "resampled": unit}
                    | _interval(sampled[metric, name, unit], options, len(where))
                )
        for name in models:
            predicted = _predicted(scores, name, where)
            correct = (labels == predicted).mean(axis=0)
            agreed = (labels == labels[0]).all(axis=0)
            sampled["agreement", name, unit] = group.sample(_bound(_mean, correct), unit, options)
            out["agreement"].append(
                {"group": group.name, "model": name, "resampled": unit}
                | _interval(sampled["agreement", name, unit], options, len(where), "agreement")
                | {"agreed": float(correct[agreed].mean()) if agreed.any() else np.nan, "n_agreed": int(agreed.sum())}
            )
    for name in models:
        predicted = _predicted(scores, name, where)
        out["classes"] += [{"group": group.name, "model": name} | row for row in _classes(labels, predicted)]
        out["confusion"] += [{"group": group.name, "model": name} | row for row in _confusion(labels, predicted)]
        cut = scores.predictions[name]["threshold"].to_numpy(dtype=np.float64)[where]
        if np.isfinite(cut).all():
            picked = values[name].to_numpy() >= cut
            out["picks"].append({"group": group.name, "model": name} | _picks(picked, structure >= positive_from))
    out["differences"] = _differences(scores, group, methods, models, sampled, options)
    return out


def _differences(
    scores: CorpusScores,
    group: _Group,
    methods: Sequence[str],
    models: Sequence[str],
    sampled: Mapping[tuple[str, str, str], Sampled],
    options: BootstrapOptions,
) -> list[dict[str, object]]:
    statistics = [name for name in methods if scores.kinds[name] == "classical"]
    rows: list[dict[str, object]] = []

    def add(metric: str, first: str, second: str, label: str) -> None:
        for unit in group.units():
            gap = sampled[metric, first, unit].minus(sampled[metric, second, unit])
            row = {"group": group.name, "metric": metric, "first": first, "second": label, "second_method": second}
            rows.append(row | {"resampled": unit} | _interval(gap, options, len(group.where)))

    for metric in RANKING:
        found = {name: sampled[metric, name, IMAGES].value for name in statistics}
        defined = {name: value for name, value in found.items() if not np.isnan(value)}
        for model in models:
            if defined:
                add(metric, model, max(defined, key=lambda name: defined[name]), BEST)
            if group.is_pool:
                for name in defined:
                    add(metric, model, name, name)
    for i, first in enumerate(models):
        for second in models[i + 1 :]:
            for metric in (*RANKING, "agreement"):
                add(metric, first, second, second)
    return rows


def _ranking_metrics(structure: Float, positive_from: float) -> dict[str, Callable[[Float, Float], Float]]:
    positive = structure >= positive_from
    return {
        "concordance": lambda counts, score: metrics.concordance_of(counts, score, structure),
        "spearman": lambda counts, score: metrics.spearman_of(counts, score, structure),
        "auc": lambda counts, score: metrics.auc_of(counts, score, positive),
    }


def _bound(compute: Callable[[Float, Float], Float], values: Float) -> Statistic:
    return lambda counts: compute(counts, values)


def _mean(counts: Float, values: Float) -> Float:
    mean: Float = counts @ values / counts.sum(axis=1)
    return mean


def _interval(sampled: Sampled, options: BootstrapOptions, n: int, name: str = "value") -> dict[str, object]:
    estimate = sampled.estimate(options)
    return {name: estimate.value, "low": estimate.low, "high": estimate.high, "n": n}


def _predicted(scores: CorpusScores, model: str, where: npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    probabilities = scores.predictions[model][list(PROBABILITY_COLUMNS)].to_numpy(dtype=np.float64)
    predicted: npt.NDArray[np.intp] = probabilities[where].argmax(axis=1)
    return predicted


def _observers(labels: npt.NDArray[np.int64], grades: Float) -> dict[str, object]:
    row: dict[str, object] = {
        "n": labels.shape[1],
        "agreement": float((labels == labels[0]).all(axis=0).mean()),
        "spearman": float("nan"),
        "concordance": float("nan"),
    }
    if np.isfinite(grades).all():
        row["spearman"] = metrics.spearman(grades[0], grades[1])
        # Each pass judges the other as a method would be judged: pairs with equal grades of the judged pass count half.
        both = [metrics.concordance(grades[0], grades[1]), metrics.concordance(grades[1], grades[0])]
        row["concordance"] = float(np.mean(both))
    return row


def _targets(labels: npt.NDArray[np.int64]) -> Float:
    shares: Float = (labels[:, :, None] == np.arange(len(CLASSES))).mean(axis=0)
    return shares


def _classes(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.intp]) -> list[dict[str, object]]:
    target = _targets(labels)
    chosen = np.eye(len(CLASSES))[predicted]
    hits, count, named = (target * chosen).sum(axis=0), target.sum(axis=0), chosen.sum(axis=0)
    return [
        {
            "class": name,
            "count": float(count[k]),
            "predicted": int(named[k]),
            "recall": float(hits[k] / count[k]) if count[k] else float("nan"),
            "precision": float(hits[k] / named[k]) if named[k] else float("nan"),
        }
        for k, name in enumerate(CLASSES)
    ]


def _confusion(labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.intp]) -> list[dict[str, object]]:
    table = _targets(labels).T @ np.eye(len(CLASSES))[predicted]
    return [{"labelled": name} | dict(zip(CLASSES, table[k].tolist(), strict=True)) for k, name in enumerate(CLASSES)]


def _picks(picked: npt.NDArray[np.bool_], wanted: npt.NDArray[np.bool_]) -> dict[str, object]:
    hits = int((picked & wanted).sum())
    return {
        "n": len(wanted),
        "wanted": int(wanted.sum()),
        "picked": int(picked.sum()),
        "recall": hits / wanted.sum() if wanted.any() else float("nan"),
        "precision": hits / picked.sum() if picked.any() else float("nan"),
    }
