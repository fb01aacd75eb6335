"""Tables of ``ionmorphnet tumor``."""

from __future__ import annotations

import click
import numpy as np
import pandas as pd

from ionmorphnet.evaluate.bootstrap import Estimate
from ionmorphnet.tumor.evaluation_report import TumorReport

_SHOWN = 10


def show_report(report: TumorReport) -> None:
    """Prints one table per selection, with the methods in descending balanced accuracy."""
    for selection, rows in report.table.groupby("selection", sort=False):
        channels = int(rows["channels"].max())
        n = int(rows["n_sections"].max())
        click.echo(
            f"\n{selection}: {channels} channels, {n} sections, {report.options.level:.0%} intervals over sections"
        )
        table = pd.DataFrame(
            {
                "method": rows["method"],
                "balanced accuracy": [_interval(row, "balanced_accuracy", "low", "high") for _, row in rows.iterrows()],
                **{f"recall {name}": rows[f"recall_{name}"].map("{:.3f}".format) for name in report.classes},
                "AUC": rows["auc"].map("{:.3f}".format),
                f"{report.reference} minus method": [
                    _interval(row, "difference", "difference_low", "difference_high") for _, row in rows.iterrows()
                ],
                "training (s)": rows["train_s"].map("{:.1f}".format),
            }
        )
        order = np.argsort(-rows["balanced_accuracy"].to_numpy(), kind="stable")
        click.echo(table.iloc[order].to_string(index=False))


def show_importance(table: pd.DataFrame) -> None:
    """Prints the most important channels."""
    columns = ["rank", "mz", "importance", *(name for name in table.columns if name.startswith("for_"))]
    click.echo(table[columns].head(_SHOWN).to_string(index=False, float_format=lambda x: f"{x:.4f}"))


def _interval(row: pd.Series, value: str, low: str, high: str) -> str:
    return str(Estimate(row[value], row[low], row[high], 0, 0))
