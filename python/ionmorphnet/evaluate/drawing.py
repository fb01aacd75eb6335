"""Elements that the plots share; the only module that imports matplotlib at run time (extra ``[plots]``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.extras import require_matplotlib
from ionmorphnet.base.files import atomic_path, make_folder
from ionmorphnet.base.paths import PathLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Dashes = str | tuple[int, tuple[int, ...]]

# Distinguishable with every kind of colour vision (Okabe and Ito); the dashes are for grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES: tuple[Dashes, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)))
GREY = "#666666"
_DPI = 130


class LineStyle(TypedDict):
    """Keywords of a line for ``Axes.plot``."""

    color: str
    linestyle: Dashes


def new_figure(width: float, height: float) -> Figure:
    """Makes an empty figure.

    Args:
        width: Width in inches.
        height: Height in inches.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    require_matplotlib()
    # Without pyplot no window opens, and no state is shared with the user's plots.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, folder: PathLike, name: str) -> Path:
    """Writes a figure as PNG.

    Args:
        figure: The figure.
        folder: Folder for the file; created if missing.
        name: File name without suffix. Characters that are unsafe in file names become underscores.

    Returns:
        The file.

    Raises:
        FileError: The folder or the file cannot be written.
    """
    folder = Path(folder)
    make_folder(folder)
    path = folder / (re.sub(r"[^\w.+-]+", "_", name) + ".png")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png")
    return path


def line_style(i: int) -> LineStyle:
    """Colour and dashes of the i-th line; lines that share a colour have different dashes."""
    again, place = divmod(i, len(COLOURS))
    return {"color": COLOURS[place], "linestyle": DASHES[(place + again) % len(DASHES)]}


def remove_frame(*all_axes: Axes) -> None:
    """Removes the top and right borders."""
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)


def interval_rows(axes: Axes, rows: pd.DataFrame, colours: list[str]) -> None:
    """Draws one value with its interval per row, from top to bottom; rows without a value stay empty.

    Args:
        axes: Axes to draw on.
        rows: Columns value, lower end and upper end, in this order; the index holds the row labels.
        colours: One colour per row.
    """
    for y, (value, low, high) in enumerate(rows.to_numpy(dtype=np.float64)):
        if not np.isnan(value):
            axes.plot([low, high], [y, y], color=colours[y], linewidth=2)
            axes.plot(value, y, marker="o", color=colours[y], markersize=6)
    axes.set_yticks(range(len(rows)), list(rows.index))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    remove_frame(axes)


def confusion_image(figure: Figure, axes: Axes, counts: npt.NDArray[Any], names: list[str]) -> None:
    """Draws a confusion matrix, coloured by the share of each label.

    Args:
        figure: Figure of the axes.
        axes: Axes to draw on.
        counts: Counts (classes, classes), rows = label.
        names: Class names.
    """
    total = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, total, out=np.zeros(counts.shape), where=total > 0)
    picture = axes.imshow(share, vmin=0, vmax=1, cmap="cividis")
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor", fontsize=9)
    rows = [f"{name} ({n:g})" for name, n in zip(names, total[:, 0], strict=True)]
    axes.set_yticks(range(len(rows)), rows, fontsize=9)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("label (count)")
    for (row, column), value in np.ndenumerate(counts):
        if value:
            light = share[row, column] < 0.5
            axes.text(column, row, f"{value:g}", ha="center", va="center", color="white" if light else "black")
    figure.colorbar(picture, ax=axes, label="share of the label", shrink=0.85)
