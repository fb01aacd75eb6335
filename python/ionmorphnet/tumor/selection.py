"""Rankings of channels within a cohort, none of which sees a label: picked, Moran's I, intensity, random, all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.picking.section import pick
from ionmorphnet.scoring.images import score_images
from ionmorphnet.scoring.scorer import Scorer, make_scorer
from ionmorphnet.tumor.cohort import Cohort, open_section

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SELECTIONS = ("picked", "moran", "intensity", "random", "all")
DEFAULT_TOP = 40
_IMAGE_BYTES = 256 << 20


def section_scores(
    cohort: Cohort,
    axis: CandidateAxis,
    kinds: Sequence[str],
    *,
    blocks: Sequence[Sequence[Mask]] | None = None,
    seed: int = 0,
    model: Any = None,
    device: DeviceName | Device = "auto",
    threads: int = 0,
    memory_limit: int | str = "4GB",
    progress: Callable[[int, int], None] | None = None,
) -> list[pd.DataFrame]:
    """Score of every channel in every section, or block.

    The picker computes in float32, so that the channels do not depend on what the host is best at.

    Args:
        cohort: The sections.
        axis: The channels.
        kinds: Names of ``SELECTIONS``.
        blocks: Pixels, bool (H, W), of the blocks of each section that are ranked on their own, by nothing but their
            pixels, cut to their rectangle. None: sections are ranked as they are.
        seed: Seed of ``random``, which is one order for the whole cohort.
        model: Of the picker; None: the bundled one.
        device: Of the picker, see :func:`~ionmorphnet.picking.section.pick`.
        threads: CPU threads; 0: all.
        memory_limit: Anonymous memory to plan with.
        progress: Called after every section with (done, sections).

    Returns:
        For each section, or each block section by section, a frame with one row a channel, in the axis' order, and one
        column a kind (without ``all``).

    Raises:
        ArgumentError: An unknown kind.
        FileError: A section cannot be read.
        UnavailableError: The device is not there.
    """
    unknown = [kind for kind in kinds if kind not in SELECTIONS]
    if unknown:
        raise ArgumentError(f"channels must be one of {', '.join(SELECTIONS)}, not '{unknown[0]}'")
    scorers: dict[str, Scorer] = {}
    if "picked" in kinds:
        scorers["picked"] = make_scorer(model=model, device=device, precision="f32", threads=threads)
    if "moran" in kinds:
        scorers["moran"] = make_scorer(scorer="moran")
    order = np.random.default_rng([seed, len(axis)]).permutation(len(axis)).astype(np.float64)
    limit = parse_bytes(memory_limit)
    frames = []
    for i, section in enumerate(cohort.sections):
        with open_section(section) as ds:
            if blocks is None:
                parts = [_whole(ds, axis, scorers, limit, threads)]
                masks: Sequence[Mask] = [ds.mask]
            else:
                masks = blocks[i]
                parts = _by_block(ds, axis, masks, scorers, limit, threads)
            if "intensity" in kinds:
                for part, mean in zip(parts, _mean_intensity(ds, axis, masks, limit, threads), strict=True):
                    part["intensity"] = mean
        frames += [
            pd.DataFrame({kind: {"random": order, **part}[kind] for kind in kinds if kind != "all"}) for part in parts
        ]
        if progress is not None:
            progress(i + 1, len(cohort))
    return frames


def wanted_selection(kinds: Sequence[str], top: int | None, given: bool) -> tuple[tuple[str, ...], int]:
    """How channels are selected: given ones are used as they are unless a selection is asked for.

    Args:
        kinds: Names of ``SELECTIONS`` that the user asks for; empty: none.
        top: Number of channels that the user asks for; None: none.
        given: Whether the user gives channels.

    Returns:
        The names, and the number of channels.

    Raises:
        ArgumentError: An unknown name, or a number below 1.
    """
    unknown = [kind for kind in kinds if kind not in SELECTIONS]
    if unknown:
        raise ArgumentError(f"channels must be of {', '.join(SELECTIONS)}, not '{unknown[0]}'")
    if top is not None and top < 1:
        raise ArgumentError(f"the number of channels must be at least 1, not {top}")
    chosen = tuple(kinds) or (("all",) if given and top is None else ("picked",))
    return chosen, DEFAULT_TOP if top is None else top


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


def _whole(
    ds: Dataset, axis: CandidateAxis, scorers: Mapping[str, Scorer], limit: int, threads: int
) -> dict[str, Float64]:
    """Scores of a section."""
    found = {}
    for kind, scorer in scorers.items():
        peaks = pick(ds, axis=axis, top=len(axis), scorer=scorer, memory_limit=limit, threads=threads)
        found[kind] = peaks.all_scores.sort_values("mz", kind="stable")["score"].to_numpy(np.float64)
    return found


def _by_block(
    ds: Dataset,
    axis: CandidateAxis,
    blocks: Sequence[Mask],
    scorers: Mapping[str, Scorer],
    limit: int,
    threads: int,
) -> list[dict[str, Float64]]:
    """Scores of each block, by images in which nothing else was measured."""
    found = [{kind: np.empty(len(axis)) for kind in scorers} for _ in blocks]
    if not scorers:
        return found
    for at, images in _pieces(ds, axis, limit, threads):
        for block, scores in zip(blocks, found, strict=True):
            rows, columns = np.flatnonzero(block.any(axis=1)), np.flatnonzero(block.any(axis=0))
            cut = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            own = np.where(block[cut], images[:, *cut], np.float32(np.nan))
            for kind, scorer in scorers.items():
                scores[kind][at] = score_images(own, scorer=scorer, threads=threads)["score"].to_numpy(np.float64)
    return found


def _mean_intensity(ds: Dataset, axis: CandidateAxis, masks: Sequence[Mask], limit: int, threads: int) -> list[Float64]:
    found = [np.empty(len(axis)) for _ in masks]
    for at, images in _pieces(ds, axis, limit, threads):
        for mask, means in zip(masks, found, strict=True):
            means[at] = images[:, mask].mean(axis=1, dtype=np.float64)
    return found


def _pieces(
    ds: Dataset, axis: CandidateAxis, limit: int, threads: int
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Ion images (n, H, W), some channels at a time, with their place."""
    height, width = ds.shape
    # The images, what is taken from them and what scores them are alive at once.
    step = max(1, min(_IMAGE_BYTES, limit // 8) // (4 * height * width))
    for first in range(0, len(axis), step):
        at = slice(first, first + step)
        yield at, ds.window_images(axis.mz_lo[at], axis.mz_hi[at], threads=threads)
