"""What all plots share; the only module that imports matplotlib (extra ``[plots]``)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.base.files import atomic_path, make_folder
from ionmorphnet.base.paths import PathLike

# Colours that stay apart for every kind of colour vision (Okabe and Ito), and dashes for print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)), (0, (8, 2)))
GREY = "#666666"
_DPI = 130


def require_matplotlib() -> None:
    """Says early that plots cannot be made.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UnavailableError("plots need matplotlib: pip install 'ionmorphnet[plots]'") from None


def new_figure(width: float, height: float) -> Any:
    """An empty figure of this size in inches.

    Raises:
        UnavailableError: matplotlib is not installed.
    """
    require_matplotlib()
    # Figures of their own, drawn with Agg: no window, no state shared with the user's plots.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Any, folder: PathLike, name: str) -> Path:
    """Write a figure as PNG into a folder, which is made; what no file name takes becomes an underscore.

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


def line_style(i: int) -> dict[str, Any]:
    """Colour and dashes of the i-th line; where colours come again, the dashes are others."""
    again, place = divmod(i, len(COLOURS))
    return {"color": COLOURS[place], "linestyle": DASHES[(place + again) % len(DASHES)]}


def tidy(*all_axes: Any) -> None:
    """Take the upper and the right border off."""
    for axes in all_axes:
        axes.spines[["top", "right"]].set_visible(False)


def interval_rows(axes: Any, rows: pd.DataFrame, colours: list[str]) -> None:
    """Draw one figure a row with its interval, the first row on top; rows without a figure keep their place.

    Args:
        axes: Where.
        rows: Columns figure, lower and upper end, in this order; the index names the rows.
        colours: One a row.
    """
    for y, (value, low, high) in enumerate(rows.to_numpy(dtype=np.float64)):
        if not np.isnan(value):
            axes.plot([low, high], [y, y], color=colours[y], linewidth=2)
            axes.plot(value, y, marker="o", color=colours[y], markersize=6)
    axes.set_yticks(range(len(rows)), list(rows.index))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    tidy(axes)


def confusion_image(figure: Any, axes: Any, counts: npt.NDArray[Any], names: list[str]) -> None:
    """Draw counts (classes, classes), rows = label, as shares of the label."""
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
