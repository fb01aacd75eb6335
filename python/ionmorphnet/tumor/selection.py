"""Rankings of channels within a cohort, none of which sees a label: picked, Moran's I, intensity, random, all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.candidates import CandidateAxis
from ionmorphnet.errors import ArgumentError
from ionmorphnet.images import window_images
from ionmorphnet.picking import pick
from ionmorphnet.tumor.cohort import Cohort, open_section

SELECTIONS = ("picked", "moran", "intensity", "random", "all")
_IMAGE_BYTES = 256 << 20


def section_scores(
    cohort: Cohort,
    axis: CandidateAxis,
    kinds: Sequence[str],
    *,
    seed: int = 0,
    model: Any = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[pd.DataFrame]:
    """Score of every channel in every section.

    Args:
        cohort: The sections.
        axis: The channels.
        kinds: Names of ``SELECTIONS``.
        seed: Seed of ``random``, which is one order for the whole cohort.
        model: Of the picker; None: the bundled one.
        progress: Called after every section with (done, sections).

    Returns:
        For each section a frame with one row a channel, in the axis' order, and one column a kind (without ``all``).

    Raises:
        ArgumentError: An unknown kind.
        FileError: A section cannot be read.
    """
    unknown = [kind for kind in kinds if kind not in SELECTIONS]
    if unknown:
        raise ArgumentError(f"channels must be one of {', '.join(SELECTIONS)}, not '{unknown[0]}'")
    order = np.random.default_rng([seed, len(axis)]).permutation(len(axis)).astype(np.float64)
    frames = []
    for section in cohort.sections:
        columns: dict[str, npt.NDArray[np.float64]] = {"random": order}
        with open_section(section) as ds:
            for kind, scorer in (("picked", "auto"), ("moran", "moran")):
                if kind in kinds:
                    peaks = pick(ds, axis=axis, top=len(axis), scorer=scorer, model=model if kind == "picked" else None)
                    scores = peaks.all_scores.sort_values("mz", kind="stable")["score"]
                    columns[kind] = scores.to_numpy(np.float64)
            if "intensity" in kinds:
                columns["intensity"] = _mean_intensity(ds, axis)
        frames.append(pd.DataFrame({kind: columns[kind] for kind in kinds if kind != "all"}))
        if progress is not None:
            progress(len(frames), len(cohort))
    return frames


def select(scores: Sequence[pd.DataFrame], kind: str, top: int, n_channels: int) -> npt.NDArray[np.int64]:
    """The best channels by their mean rank over some sections.

    Args:
        scores: Of the sections that may be looked at (those of a training set).
        kind: Name of a column, or ``all``.
        top: How many.
        n_channels: How many there are.

    Returns:
        int64, ascending positions on the axis.
    """
    if kind == "all" or top >= n_channels:
        return np.arange(n_channels)
    ranks = np.mean([frame[kind].rank().to_numpy() for frame in scores], axis=0)
    best = np.argsort(-ranks, kind="stable")[:top]
    chosen: npt.NDArray[np.int64] = np.sort(best).astype(np.int64)
    return chosen


def _mean_intensity(ds: Any, axis: CandidateAxis) -> npt.NDArray[np.float64]:
    height, width = ds.shape
    step = max(1, _IMAGE_BYTES // (4 * height * width))
    means = [
        np.nanmean(window_images(ds, axis.mz_lo[first : first + step], axis.mz_hi[first : first + step]), axis=(1, 2))
        for first in range(0, len(axis), step)
    ]
    return np.concatenate(means).astype(np.float64)
