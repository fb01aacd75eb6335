"""Plots of an evaluation and of channel importance (extra ``[plots]``)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ionmorphnet.base.paths import PathLike
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
from ionmorphnet.tumor.evaluation_plan import NETWORK_METHODS
from ionmorphnet.tumor.evaluation_report import TumorReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_report(report: TumorReport, folder: PathLike) -> list[Path]:
    """Writes the balanced accuracy of all methods, and ROC curves and the reference's confusion for each selection.

    Args:
        report: The report.
        folder: Folder for the PNG files; created if missing.

    Returns:
        The files.

    Raises:
        UnavailableError: matplotlib is not installed.
        FileError: A file cannot be written.
    """
    paths = [save_figure(_methods(report), folder, "balanced_accuracy")]
    for selection in dict.fromkeys(report.table["selection"]):
        paths.append(save_figure(_roc(report, str(selection)), folder, f"roc_{selection}"))
        key = (str(selection), report.reference)
        if key in report.confusion:
            figure = new_figure(1.4 * len(report.classes) + 3.0, 1.2 * len(report.classes) + 2.0)
            axes = figure.add_subplot()
            confusion_image(figure, axes, report.confusion[key], list(report.classes))
            axes.set_title(f"{report.reference}, {selection} channels", fontsize=10)
            paths.append(save_figure(figure, folder, f"confusion_{selection}"))
    return paths


def plot_importance(table: pd.DataFrame, folder: PathLike, *, top: int = 25) -> Path:
    """Writes the most important channels as bars.

    Args:
        table: Result of :func:`~ionmorphnet.tumor.explain.explain`.
        folder: Folder for the PNG file; created if missing.
        top: Number of channels to show.

    Returns:
        The file.

    Raises:
        UnavailableError: matplotlib is not installed.
        FileError: The file cannot be written.
    """
    shown = table.head(top)
    figure = new_figure(6.4, 0.24 * len(shown) + 1.4)
    axes = figure.add_subplot()
    y = np.arange(len(shown))
    axes.barh(y, shown["importance"], color=COLOURS[0], height=0.7)
    for k, column in enumerate(name for name in shown.columns if name.startswith("for_")):
        label = column.removeprefix("for_")
        axes.plot(shown[column], y, linestyle="", marker="os^Dv"[k % 5], color=COLOURS[1 + k % 5], label=label)
    axes.axvline(0.0, color=GREY, linewidth=1)
    axes.set_yticks(y, [f"{mz:.4f}" for mz in shown["mz"]], fontsize=8)
    axes.invert_yaxis()
    axes.set_ylabel("m/z")
    permuted = shown["method"].iloc[0] == "permutation"
    what = "drop in log probability" if permuted else "contribution to the logit"
    axes.set_xlabel(f"{what} of the true class (bars: mean over classes)", fontsize=9)
    axes.legend(title="pixels of class", frameon=False, fontsize=8.5, loc="lower right")
    remove_frame(axes)
    return save_figure(figure, folder, "importance")


def _methods(report: TumorReport) -> Figure:
    selections = list(dict.fromkeys(report.table["selection"]))
    methods = list(dict.fromkeys(report.table["method"]))
    figure = new_figure(2.5 * len(selections) + 1.6, 0.32 * len(methods) + 1.5)
    grid = figure.subplots(1, len(selections), squeeze=False, sharex=True, sharey=True)[0]
    for axes, selection in zip(grid, selections, strict=True):
        rows = report.table[report.table["selection"] == selection].set_index("method").reindex(methods)
        colours = [COLOURS[1] if method.split("+")[0] in NETWORK_METHODS else COLOURS[0] for method in methods]
        interval_rows(axes, rows[["balanced_accuracy", "low", "high"]], colours)
        axes.axvline(1.0 / len(report.classes), color=GREY, linewidth=1, linestyle=":")
        axes.set_title(f"{selection} ({rows['channels'].max():g} channels)", fontsize=9.5)
    figure.supxlabel(
        f"balanced accuracy (dotted: chance)\nwith {report.options.level:.0%} interval over patients", fontsize=9.5
    )
    return figure


def _roc(report: TumorReport, selection: str) -> Figure:
    """ROC curves with one panel per class, or a single panel for the second of two classes."""
    classes = report.classes[1:] if len(report.classes) == 2 else report.classes
    columns = min(3, len(classes))
    rows = -(-len(classes) // columns)
    figure = new_figure(3.6 * columns + 1.8, 3.5 * rows)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).ravel()
    methods = [method for chosen, method, _ in report.roc if chosen == selection]
    for i, axes in enumerate(grid):
        if i >= len(classes):
            axes.set_visible(False)
            continue
        for k, method in enumerate(dict.fromkeys(methods)):
            curve = report.roc[(selection, method, classes[i])]
            style = line_style(k)
            if method == report.reference:  # a wide dashed line would hide the shape of the curve
                style["linestyle"] = "-"
            width = 2.6 if method == report.reference else 1.4
            axes.plot(curve["false_positive"], curve["true_positive"], linewidth=width, label=method, **style)
        axes.plot([0, 1], [0, 1], color=GREY, linewidth=1)
        axes.set_title(classes[i], fontsize=10)
        axes.set_aspect("equal")
        remove_frame(axes)
    grid[min(columns, len(classes)) - 1].legend(
        loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False, fontsize=8.5
    )
    figure.suptitle(f"{selection} channels", fontsize=11)
    figure.supxlabel("false positive rate", fontsize=9.5)
    figure.supylabel("true positive rate", fontsize=9.5)
    return figure
