"""Plots of classifier, ranking and picking reports (extra ``[plots]``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ionmorphnet.base.paths import PathLike
from ionmorphnet.evaluate import metrics
from ionmorphnet.evaluate.classifier import ClassifierReport, ClassifierResult
from ionmorphnet.evaluate.drawing import (
    COLOURS,
    GREY,
    confusion_image,
    interval_rows,
    line_style,
    new_figure,
    remove_frame,
    save_figure,
)
from ionmorphnet.evaluate.evaluation_set import require_unique_names
from ionmorphnet.evaluate.methods import RANDOM
from ionmorphnet.evaluate.mscf1 import f1_of
from ionmorphnet.evaluate.picking_report import PickingReport
from ionmorphnet.evaluate.ranking import POSITIVE_FROM, RankingReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

_NAMES = {
    "concordance": "concordance of score and grade",
    "spearman": "Spearman's rho of score and grade",
    "auc": "AUC of structured images",
    "agreement": "agreement with ordered pairs",
}


def plot_classifier(report: ClassifierReport, folder: PathLike) -> list[Path]:
    """Writes a confusion matrix and a reliability diagram for each dataset and model.

    Args:
        report: The report.
        folder: Folder for the PNG files; created if missing.

    Returns:
        The files.

    Raises:
        UnavailableError: matplotlib is not installed.
        FileError: A file cannot be written.
    """
    paths = []
    for (dataset, model), result in report.results.items():
        for name, draw in (("confusion", _confusion), ("reliability", _reliability)):
            paths.append(save_figure(draw(result), folder, f"{name}_{dataset}_{model}"))
    return paths


def plot_ranking(report: RankingReport, folder: PathLike, *, positive_from: float = POSITIVE_FROM) -> list[Path]:
    """Writes score against grade and precision at k for each dataset, and a comparison of all methods.

    Args:
        report: The report.
        folder: Folder for the PNG files; created if missing.
        positive_from: Grade from which an image counts as structured; use the report's value.

    Returns:
        The files.

    Raises:
        UnavailableError: matplotlib is not installed.
        FileError: A file cannot be written.
    """
    paths = []
    for dataset, table in report.curves.items():
        paths.append(save_figure(_score_and_grade(dataset, table), folder, f"grades_{dataset}"))
        positive = table["structure"] >= positive_from
        if positive.any() and not positive.all():  # otherwise all curves coincide
            paths.append(
                save_figure(_precision_curves(dataset, table, positive_from), folder, f"precision_at_k_{dataset}")
            )
    for metric in _NAMES:
        if metric in report.metrics:
            paths.append(save_figure(_figures(report, metric), folder, f"{metric}"))
    return paths


def plot_picking(reports: Sequence[PickingReport], folder: PathLike) -> list[Path]:
    """Writes F1 over the thresholds of mSCF1, and mSCF1 over k, for each section.

    Args:
        reports: One report per section, with unique names.
        folder: Folder for the PNG files; created if missing.

    Returns:
        The files.

    Raises:
        ArgumentError: Two sections have the same name, so their files would collide.
        UnavailableError: matplotlib is not installed.
        FileError: A file cannot be written.
    """
    require_unique_names(report.name for report in reports)
    paths = []
    for report in reports:
        paths.append(save_figure(_f1_over_thresholds(report), folder, f"mscf1_{report.name}"))
        paths.append(save_figure(_mscf1_over_k(report), folder, f"mscf1_over_k_{report.name}"))
    return paths


def _confusion(result: ClassifierResult) -> Figure:
    figure = new_figure(6.4, 5.6)
    axes = figure.add_subplot()
    names = list(result.confusion.columns)
    confusion_image(figure, axes, result.confusion.to_numpy(), names)
    axes.set_title(f"{result.dataset}: {result.model}\naccuracy {result.accuracy}", fontsize=11)
    return figure


def _reliability(result: ClassifierResult) -> Figure:
    figure = new_figure(5.2, 5.4)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    bins = result.reliability[result.reliability["count"] > 0]
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated")
    axes.plot(bins["confidence"], bins["accuracy"], color=COLOURS[0], marker="o", label=result.model)
    axes.set_ylim(0, 1.03)
    axes.set_ylabel("accuracy")
    axes.legend(loc="upper left", frameon=False)
    axes.set_title(
        f"{result.dataset}: n = {result.n}, ECE {result.ece:.3f}, Brier {result.brier:.3f}, NLL {result.nll:.3f}",
        fontsize=10,
    )
    width = result.reliability["high"] - result.reliability["low"]
    below.bar(result.reliability["low"], result.reliability["count"], width, align="edge", color=COLOURS[5])
    below.set_ylabel("images")
    below.set_xlabel("probability of the predicted class")
    below.set_xlim(0, 1)
    remove_frame(axes, below)
    return figure


def _score_and_grade(dataset: str, table: pd.DataFrame) -> Figure:
    methods = [str(name) for name in table.columns if name != "structure"]
    columns = min(3, len(methods))
    rows = -(-len(methods) // columns)
    figure = new_figure(3.4 * columns, 2.7 * rows + 0.4)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True)
    grades = table["structure"].to_numpy(dtype=np.float64)
    # Grades are multiples of one half; jitter keeps equal grades from hiding each other.
    shift = np.random.default_rng(0).uniform(-0.08, 0.08, grades.size)
    for i, axes in enumerate(grid.ravel()):
        if i >= len(methods):
            axes.set_visible(False)
            continue
        score = table[methods[i]].to_numpy(dtype=np.float64)
        axes.scatter(grades + shift, score, s=14, color=COLOURS[0], alpha=0.5, edgecolors="none")
        axes.set_title(f"{methods[i]}  (Spearman {metrics.spearman(score, grades):.2f})", fontsize=9.5)
        axes.set_xlim(-0.2, 3.2)
        axes.set_xticks([0, 1, 2, 3])
        axes.tick_params(labelsize=8.5, labelbottom=i + columns >= len(methods))
        if np.nanmax(np.abs(score), initial=0.0) >= 1e4:  # a common factor would collide with the title
            axes.yaxis.set_major_formatter(_short_numbers())
        remove_frame(axes)
    figure.supxlabel("structure grade", fontsize=10)
    figure.supylabel("score", fontsize=10)
    figure.suptitle(f"{dataset} (n = {grades.size})", fontsize=11)
    return figure


def _precision_curves(dataset: str, table: pd.DataFrame, positive_from: float) -> Figure:
    figure = new_figure(7.2, 4.4)
    axes = figure.add_subplot()
    positive = table["structure"].to_numpy(dtype=np.float64) >= positive_from
    n = positive.size
    k = np.unique(np.linspace(1, n, min(n, 200)).astype(int))
    lowest = 1.0
    for i, name in enumerate(column for column in table.columns if column != "structure"):
        score = metrics.rankable(table[name].to_numpy(dtype=np.float64))
        once = np.ones((k.size, n))
        precision = metrics.precision_at_k_of(once, score, positive, k.astype(np.float64))
        lowest = min(lowest, float(np.nanmin(precision)))
        axes.plot(k, precision, label=str(name), linewidth=1.7, **line_style(i))
    share = float(positive.mean())
    axes.axhline(share, color=GREY, linewidth=1, label="random")
    axes.axvline(float(positive.sum()), color=GREY, linewidth=1, linestyle=":")
    axes.annotate(
        f"{positive.sum()} structured",
        (float(positive.sum()), 0.02),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 0),
        textcoords="offset points",
        ha="right",
        fontsize=8.5,
        color=GREY,
    )
    axes.set_ylim(max(0.0, min(lowest, share) - 0.08), 1.015)
    axes.set_xlim(0, n + 1)
    axes.set_xlabel("k, number of top-ranked images")
    axes.set_ylabel(f"share with grade ≥ {positive_from:g}")
    axes.set_title(f"{dataset}: precision at k", fontsize=11)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    remove_frame(axes)
    return figure


def _figures(report: RankingReport, metric: str) -> Figure:
    table = report.table[(report.table["metric"] == metric) & report.table["value"].notna()]
    datasets = list(dict.fromkeys(table["dataset"]))
    if not datasets:
        return _empty(f"{metric}: undefined for all datasets")
    methods = list(dict.fromkeys(table["method"]))
    figure = new_figure(2.9 * len(datasets) + 1.6, 0.34 * len(methods) + 1.5)
    grid = figure.subplots(1, len(datasets), squeeze=False, sharex=True, sharey=True)[0]
    for axes, dataset in zip(grid, datasets, strict=True):
        rows = table[table["dataset"] == dataset].set_index("method").reindex(methods)
        colours = [{"model": COLOURS[1], "classical": COLOURS[0]}.get(str(kind), GREY) for kind in rows["kind"]]
        interval_rows(axes, rows[["value", "low", "high"]], colours)
        axes.set_title(f"{dataset} (n = {rows['n'].max():g})", fontsize=10)
    figure.supxlabel(f"{_NAMES[metric]} with {report.options.level:.0%} interval", fontsize=10)
    return figure


def _f1_over_thresholds(report: PickingReport) -> Figure:
    figure = new_figure(7.4, 4.4)
    axes = figure.add_subplot()
    levels = report.truth.thresholds
    for i, (_, row) in enumerate(report.table.iterrows()):
        style = (
            {"color": GREY, "linestyle": "-", "marker": ""}
            if row["method"] == "random"
            else line_style(i) | {"marker": "o"}
        )
        values = [row[f"f1_{level:g}"] for level in levels]
        axes.plot(levels, values, label=f"{row['method']} ({row['mscf1']:.3f})", linewidth=1.7, markersize=4, **style)
    ceiling = [f1_of(min(k, n), k, n) for k, n in zip(report.k, report.truth.n_true, strict=True)]
    axes.plot(levels, ceiling, color="black", linewidth=1, linestyle=(0, (2, 2)), label="ceiling for k")
    axes.set_xticks(
        levels,
        [f"{level:g}\n{n} true\nk = {k}" for level, n, k in zip(levels, report.truth.n_true, report.k, strict=True)],
    )
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("correlation threshold T")
    axes.set_ylabel("F1")
    axes.set_title(f"{report.name}: {report.n_bins} channels, '{report.truth.rule}' rule", fontsize=11)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9, title="method (mSCF1)")
    remove_frame(axes)
    return figure


def _mscf1_over_k(report: PickingReport) -> Figure:
    figure = new_figure(7.4, 4.4)
    axes = figure.add_subplot()
    for i, method in enumerate(report.over_k.columns):
        style = {"color": GREY, "linestyle": "-"} if method == RANDOM else line_style(i)
        axes.plot(report.over_k.index, report.over_k[method], label=str(method), linewidth=1.7, **style)
    for k in sorted(set(report.k)):
        axes.axvline(k, color="black", linewidth=0.8, linestyle=(0, (2, 2)))
    axes.set_xlim(0, report.n_bins)
    axes.set_ylim(0, 1.03)
    axes.set_xlabel("k, number of picked channels (dashed: k of the table)")
    axes.set_ylabel("mSCF1")
    axes.set_title(f"{report.name}: {report.n_bins} channels, '{report.truth.rule}' rule", fontsize=11)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=9)
    remove_frame(axes)
    return figure


def _empty(text: str) -> Figure:
    figure = new_figure(4, 1)
    figure.text(0.5, 0.5, text, ha="center", va="center")
    return figure


def _short_numbers() -> EngFormatter:
    from matplotlib.ticker import EngFormatter

    return EngFormatter(sep="")
