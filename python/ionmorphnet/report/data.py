"""Contents of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.regions import Region
from ionmorphnet.io.sample_maps import SampleMap


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Contents of a report. Rendering reads nothing else from disk.

    Attributes:
        title: Heading, usually the file name.
        frame: The picks in rank order, with the columns ``rank``, ``mz`` and ``score``. Optional columns: ``mz_lo`` and
            ``mz_hi`` (window, inclusive), ``label``, ``p_*`` (one column per class, in class order), ``structure``
            (expected grade, 0 to 3) and ``frequency``. Any other column appears only in the CSV download. ``label`` and
            ``p_*`` may be empty (classical scorers); scores may be NaN.
        images: Ion images of the first k rows of ``frame``, float (k, height, width); NaN = not measured.
        all_scores: All candidates, with the column ``score`` and optionally ``label``.
        mean_mz: m/z of the mean spectrum, ascending (n,); empty to show no spectrum.
        mean_intensity: Intensity of the mean spectrum (n,).
        tic: Total ion current (height, width); NaN = not measured.
        pixel_size_um: Pixel width and height in micrometres, or None if unknown.
        facts: Facts of the run, shown as nested tables. The header and overview use these if present: ``date``,
            ``scorer``, ``input.path``, ``input.mode``, ``input.spectrum_type``, ``model.name``, ``parameters.top``,
            ``parameters.min_score``, ``parameters.threshold`` (threshold of the model), ``timings`` (stage -> seconds)
            and ``warnings`` (texts, shown like :attr:`warnings`).
        warnings: Warnings about the input or the run, shown at the top of the page.
        score_description: One sentence explaining the score.
        sample: The sample map of the section; None to show none.
        regions: Sections that lie side by side and were picked together; shown as boxes if there are several.

    Raises:
        ArgumentError: Columns are missing, or shapes do not match.
    """

    title: str
    frame: pd.DataFrame
    images: NDArray[np.floating]
    all_scores: pd.DataFrame
    mean_mz: NDArray[np.floating]
    mean_intensity: NDArray[np.floating]
    tic: NDArray[np.floating]
    pixel_size_um: tuple[float, float] | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    score_description: str = ""
    sample: SampleMap | None = None
    regions: Sequence[Region] = ()

    def __post_init__(self) -> None:
        """Checks that the parts match."""
        missing = [c for c in ("rank", "mz", "score") if c not in self.frame.columns]
        if missing:
            raise ArgumentError(f"report: frame lacks the columns {', '.join(missing)}")
        if "score" not in self.all_scores.columns:
            raise ArgumentError("report: all_scores lacks the column score")
        if self.images.ndim != 3:
            raise ArgumentError(f"report: images must have the shape (k, height, width), got {self.images.shape}")
        if len(self.images) > len(self.frame):
            raise ArgumentError(f"report: {len(self.images)} images for {len(self.frame)} picks")
        if self.tic.ndim != 2 or 0 in self.tic.shape:
            raise ArgumentError(f"report: tic must have the shape (height, width) and a pixel, got {self.tic.shape}")
        if len(self.images) and self.images.shape[1:] != self.tic.shape:
            raise ArgumentError(
                f"report: images of shape {self.images.shape[1:]} do not match a tic of shape {self.tic.shape}"
            )
        if self.sample is not None and self.sample.map is not None and self.sample.map.shape != self.tic.shape:
            raise ArgumentError(
                f"report: a sample map of shape {self.sample.map.shape} does not match a tic of shape {self.tic.shape}"
            )
        if self.mean_mz.ndim != 1 or self.mean_mz.shape != self.mean_intensity.shape:
            raise ArgumentError(
                f"report: mean_mz has shape {self.mean_mz.shape}, mean_intensity {self.mean_intensity.shape}"
            )
        if self.pixel_size_um is not None and not all(np.isfinite(s) and s > 0 for s in self.pixel_size_um):
            raise ArgumentError(f"report: pixel_size_um must be positive, got {self.pixel_size_um}")

    @property
    def all_warnings(self) -> list[str]:
        """:attr:`warnings` and those among the facts, each once."""
        listed = self.fact("warnings")
        others = [str(each) for each in listed] if isinstance(listed, list | tuple) else []
        return list(dict.fromkeys([*self.warnings, *others]))

    def fact(self, *path: str) -> object:
        """Fact at a path of keys; None if any key is missing."""
        value: object = self.facts
        for key in path:
            if not isinstance(value, Mapping):
                return None
            value = value.get(key)
        return value
