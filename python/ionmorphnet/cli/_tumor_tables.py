"""Tables of ``ionmorphnet tumor``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ionmorphnet.cli._evaluate_tables import new_table, show
from ionmorphnet.evaluate import Estimate
from ionmorphnet.tumor import TumorReport

_SHOWN = 10


def show_report(report: TumorReport) -> None:
    """Prints one table per selection, with the methods in descending balanced accuracy."""
    for selection, rows in report.table.groupby("selection", sort=False):
        channels, n = int(rows["channels"].max()), int(rows["n_sections"].max())
        table = new_table(
            f"{selection}: {channels} channels, {n} sections, {report.options.level:.0%} intervals over patients",
            *("method", "balanced accuracy", *(f"recall {name}" for name in report.classes)),
            *("AUC", "ECE", f"{report.reference} minus method", "training (s)"),
        )
        order = np.argsort(-rows["balanced_accuracy"].to_numpy(), kind="stable")
        for _, row in rows.iloc[order].iterrows():
            table.add_row(
                row["method"],
                _interval(row, "balanced_accuracy", "low", "high"),
                *(f"{row[f'recall_{name}']:.3f}" for name in report.classes),
                f"{row['auc']:.3f}",
                f"{row['ece']:.3f}",
                _interval(row, "difference", "difference_low", "difference_high"),
                f"{row['train_s']:.1f}",
            )
        show(table)


def show_importance(table: pd.DataFrame) -> None:
    """Prints the most important channels."""
    classes = [name for name in table.columns if name.startswith("for_")]
    shown, values = table.head(_SHOWN), ("importance", *classes)
    printed = new_table(
        f"{len(shown)} most important of {len(table)} channels ({table['method'].iloc[0]})",
        *("rank", "m/z", "importance", *(f"for {name.removeprefix('for_')}" for name in classes)),
    )
    for _, row in shown.iterrows():
        printed.add_row(str(row["rank"]), f"{row['mz']:.4f}", *(f"{row[name]:.4f}" for name in values))
    show(printed)


def _interval(row: pd.Series, value: str, low: str, high: str) -> str:
    return str(Estimate(row[value], row[low], row[high], 0, 0))
