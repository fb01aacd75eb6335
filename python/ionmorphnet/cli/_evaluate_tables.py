"""The tables of ``ionmorphnet evaluate``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import pandas as pd
from rich.table import Table

from ionmorphnet.cli._shared import PipeConsole
from ionmorphnet.evaluate import (
    MSCF1,
    ClassifierReport,
    ClassifierResult,
    Estimate,
    PickingReport,
    RankingReport,
)

# Without a terminal there is no width to fit, so tables are not folded.
_PIPE_WIDTH = 200
# A number, perhaps with an interval, or the mark of an empty cell.
_NUMERIC = re.compile(r"(-?\d|[-.]?$)")
_TITLES = {
    "concordance": "C",
    "spearman": "Spearman",
    "kendall": "Kendall",
    "auc": "AUC",
    "average_precision": "avg. precision",
    "precision_at_k": "precision at k",
}


def show(*tables: Table) -> None:
    """Prints tables to stdout."""
    console = PipeConsole(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    for table in tables:
        for column in table.columns:
            if all(_NUMERIC.match(str(cell)) for cell in column.cells):
                column.justify = "right"
        console.print(table)


def classifier_tables(report: ClassifierReport) -> list[Table]:
    """Overview, recall of each class, calibration, and a confusion matrix for each result."""
    overview = new_table(
        "Accuracy",
        *("dataset", "model", "n", "accuracy", "balanced accuracy", "by labelling", "agreement of labellings"),
        "majority class",
    )
    calibration = new_table("Calibration", "dataset", "model", "ECE", "Brier", "NLL")
    for result in report.results.values():
        each = " / ".join(f"{value:.3f}" for value in result.labelling_accuracy)
        overview.add_row(
            result.dataset,
            result.model,
            str(result.n),
            str(result.accuracy),
            str(result.balanced_accuracy),
            each,
            _number(result.agreement),
            _number(result.majority),
        )
        calibration.add_row(result.dataset, result.model, *map(_number, (result.ece, result.brier, result.nll)))
    for model, estimate in report.mean_accuracy.items():
        overview.add_row("mean of sets", model, str(estimate.n), str(estimate), *[""] * 4)
    results = list(report.results.values())
    return [overview, _recall(results), calibration, *(_confusion(result) for result in results)]


def ranking_tables(report: RankingReport) -> list[Table]:
    """One table per dataset, and a comparison of the models with the classical statistics by the first metric."""
    tables = []
    for dataset in report.table["dataset"].unique():
        rows = report.table[report.table["dataset"] == dataset]
        title = f"{dataset} (n = {rows['n'].max()})"
        table = new_table(title, "method", *(_TITLES.get(metric, metric) for metric in report.metrics))
        for method in rows["method"].unique():
            cells = [str(report.estimate(dataset, method, metric)) for metric in report.metrics]
            table.add_row(method, *cells)
        tables.append(table)
    metric = report.metrics[0]
    compared = report.comparisons[report.comparisons["metric"] == metric]
    if not compared.empty:
        pooled = compared["sets_low"].notna().any()
        title = f"Models minus classical statistics, {_TITLES.get(metric, metric)} (paired; JSON has all figures)"
        table = new_table(title, "dataset", "model", "value", "statistic", "its value", "difference", "verdict")
        if pooled:
            table.add_column("interval over sets")
        for row in compared.to_dict("records"):
            gap = Estimate(row["difference"], row["difference_low"], row["difference_high"], row["n"], 0)
            cells = [_number(row["value"]), row["classical"], _number(row["classical_value"]), str(gap), row["verdict"]]
            sets = "-" if pd.isna(row["sets_low"]) else f"[{row['sets_low']:.3f}, {row['sets_high']:.3f}]"
            table.add_row(row["dataset"], row["model"], *cells, *([sets] if pooled else []))
        tables.append(table)
    return tables


def picking_tables(reports: Sequence[PickingReport], mean: pd.DataFrame | None) -> list[Table]:
    """One table per section, and the mean over the sections."""
    tables = []
    for report in reports:
        truth = report.truth
        levels = [f"F1 at {level:g}" for level in truth.thresholds]
        true = ", ".join(f"{n} at {level:g}" for n, level in zip(truth.n_true, truth.thresholds, strict=True))
        title = f"{report.name}: {report.n_bins} channels; true by the {truth.rule} rule: {true}"
        distinct = ["distinct"] if "distinct" in report.table else []
        table = new_table(title, "method", "k", *distinct, "mSCF1", "ceiling", *levels)
        for _, row in report.table.iterrows():
            f1 = [_number(row[f"f1_{level:g}"]) for level in truth.thresholds]
            estimate = Estimate(row["mscf1"], row["low"], row["high"], report.n_bins, 0)
            value = str(estimate) if row["low"] == row["low"] else _number(row["mscf1"])  # NaN: no interval
            cells = [str(row["k"]), *(row[name] for name in distinct)]
            table.add_row(row["method"], *cells, value, _number(row["ceiling"]), *f1)
        tables.append(table)
    if mean is not None:
        table = new_table(f"Mean over {len(reports)} sections", "method", "mSCF1", "ceiling")
        for _, row in mean.iterrows():
            estimate = Estimate(row["mscf1"], row["low"], row["high"], int(row["n"]), 0)
            table.add_row(row["method"], str(estimate), _number(row["ceiling"]))
        tables.append(table)
    return tables


def given_picks_table(name: str, results: dict[str, MSCF1]) -> Table:
    """mSCF1 of each given list of picks."""
    table = new_table(
        f"{name}: given picks",
        *("list", "picks", "merged", "far off", "k", "mSCF1", "ceiling", "F1 at each T", "true at each T"),
    )
    for title, found in results.items():
        counts = (found.n_picked, found.n_merged, found.n_far, found.k)
        f1 = " ".join(f"{value:.3f}" for value in found.f1)
        true = " ".join(map(str, found.n_true))
        table.add_row(title, *map(str, counts), _number(found.mean), _number(found.mean_ceiling), f1, true)
    return table


def class_table(name: str, found: MSCF1) -> Table:
    """Recall and number of true bins of each class of the mask."""
    levels = [f"T = {level:g}" for level in found.thresholds]
    table = new_table(f"{name}: recall by class (number of true bins)", "class", *levels)
    for label, counts, recalls in zip(found.classes, found.class_true, found.class_recall, strict=True):
        table.add_row(str(label), *(f"{_number(r)} ({n})" for r, n in zip(recalls, counts, strict=True)))
    return table


def _recall(results: list[ClassifierResult]) -> Table:
    titles = [f"{result.dataset}\n{result.model}" for result in results]
    table = new_table("Recall (number of images)", "class", *titles)
    for name in results[0].classes.index:
        rows = [result.classes.loc[name] for result in results]
        table.add_row(name, *(f"{_number(row['recall'])} ({row['count']:g})" for row in rows))
    return table


def _confusion(result: ClassifierResult) -> Table:
    title = f"Confusion of {result.model} on {result.dataset} (rows: labels, columns: predictions)"
    table = new_table(title, "label", *map(str, result.confusion.columns))
    for name, row in result.confusion.iterrows():
        table.add_row(str(name), *("." if value == 0 else f"{value:g}" for value in row))
    return table


def new_table(title: str, first: str, *columns: str) -> Table:
    """An empty table with these columns; the first one is never folded."""
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first, no_wrap=True)
    for column in columns:
        table.add_column(column)
    return table


def _number(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:.3f}"
