"""What a report is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything the report shows; nothing is read from disk while it is rendered.

    Attributes:
        title: Heading, usually the file name.
        frame: The picks in rank order with the columns ``rank, mz, score``; used where present: ``mz_lo, mz_hi``
            (window, inclusive), ``label``, ``p_*`` (one column per class, in class order), ``structure`` (expected
            grade, 0 to 3), ``frequency``. Further columns travel into the CSV download only. ``label`` and ``p_*`` may
            be empty (classical scorers), scores may be NaN.
        images: Ion images of the first ``k`` rows of ``frame``, float ``(k, H, W)``, NaN = not measured.
        all_scores: Every candidate, with at least ``score``, and ``label`` where there is one.
        mean_mz: m/z of the mean spectrum, ascending ``(n,)``; empty if there is none to show.
        mean_intensity: Intensity of the mean spectrum ``(n,)``.
        tic: Total ion current ``(H, W)``, NaN = not measured.
        pixel_size_um: Pixel pitch ``(x, y)`` in micrometres, or None if unknown.
        facts: Facts of the run, shown as nested tables. The header and overview use, where present: ``date``,
            ``scorer``, ``input.path``, ``input.mode``, ``input.spectrum_type``, ``model.name``, ``parameters.top``,
            ``parameters.min_score``, ``parameters.threshold`` (the cut that the model brought) and ``timings``
            (stage -> seconds).
        warnings: What the reader of the file complained about; shown prominently.
        score_description: One sentence that says what the score is.

    Raises:
        ArgumentError: Columns are missing, or shapes do not fit each other.
    """

    title: str
    frame: pd.DataFrame
    images: NDArray[np.floating]
    all_scores: pd.DataFrame
    mean_mz: NDArray[np.floating]
    mean_intensity: NDArray[np.floating]
    tic: NDArray[np.floating]
    pixel_size_um: tuple[float, float] | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    score_description: str = ""

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        missing = [c for c in ("rank", "mz", "score") if c not in self.frame.columns]
        if missing:
            raise ArgumentError(f"report: the table of picks lacks the columns {', '.join(missing)}")
        if "score" not in self.all_scores.columns:
            raise ArgumentError("report: the table of all candidates lacks the column score")
        if self.images.ndim != 3:
            raise ArgumentError(f"report: images have the shape (k, H, W), not {self.images.shape}")
        if len(self.images) > len(self.frame):
            raise ArgumentError(f"report: {len(self.images)} images for {len(self.frame)} picks")
        if self.tic.ndim != 2 or 0 in self.tic.shape:
            raise ArgumentError(f"report: the TIC image has the shape (H, W), at least one pixel, not {self.tic.shape}")
        if len(self.images) and self.images.shape[1:] != self.tic.shape:
            raise ArgumentError(
                f"report: images of {self.images.shape[1:]} pixels do not fit a TIC image of {self.tic.shape}"
            )
        if self.mean_mz.ndim != 1 or self.mean_mz.shape != self.mean_intensity.shape:
            raise ArgumentError(
                f"report: mean spectrum with {self.mean_mz.shape} m/z but {self.mean_intensity.shape} intensities"
            )
        if self.pixel_size_um is not None and not all(np.isfinite(s) and s > 0 for s in self.pixel_size_um):
            raise ArgumentError(f"report: a pixel size must be positive, not {self.pixel_size_um}")

    def fact(self, *path: str) -> Any:
        """The fact at a path of keys, None where any of them is absent."""
        value: Any = self.facts
        for key in path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(key)
        return value
