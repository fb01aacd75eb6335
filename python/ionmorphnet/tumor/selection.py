"""Selection of channels in a cohort: picked, Moran's I, intensity, random or all, without labels; ANOVA with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.models.model import Model
from ionmorphnet.picking.section import pick
from ionmorphnet.scoring.choose import make_scorer
from ionmorphnet.scoring.images import score_images
from ionmorphnet.scoring.scorer import Scorer
from ionmorphnet.tumor.cohort import Cohort, open_section
from ionmorphnet.tumor.regions import UNLABELLED

Float64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SELECTIONS = ("picked", "moran", "intensity", "random", "anova", "all")
DEFAULT_TOP = 40
_IMAGE_BYTES = 256 << 20


def section_scores(
    cohort: Cohort,
    axis: CandidateAxis,
    kinds: Sequence[str],
    *,
    blocks: Sequence[Sequence[Mask]] | None = None,
    seed: int = 0,
    model: str | Path | Model | None = None,
    device: DeviceName | Device = "auto",
    threads: int = 0,
    memory_limit: int | str = "4GB",
    progress: Callable[[int, int], None] | None = None,
) -> list[pd.DataFrame]:
    """Scores every channel in every section or block.

    The picker computes in float32, so that the result does not depend on the host's preferred precision.

    Args:
        cohort: The sections.
        axis: The channels.
        kinds: Names from ``SELECTIONS``. Only ``anova`` reads labels: the ratio of the variances of the roots of
            intensities between and within the classes, NaN in a section of one class.
        blocks: Pixels, bool (H, W), of the blocks of each section. Each block is scored separately on its own pixels,
            cropped to its bounding box. None: whole sections are scored.
        seed: Seed of ``random``, which is one order for the whole cohort.
        model: Model of the picker; None: the bundled one.
        device: Device of the picker, see :func:`~ionmorphnet.picking.section.pick`.
        threads: CPU threads; 0: all cores.
        memory_limit: Limit of anonymous memory, in bytes or as text such as ``"4GB"``.
        progress: Called as progress(done, total) in sections.

    Returns:
        One frame per section, or per block in the order of the sections, with one row per channel in the order of the
        axis and one column per kind except ``all``.

    Raises:
        ArgumentError: A kind is unknown.
        FileError: A section cannot be read.
        UnavailableError: The device is not available.
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
            if "anova" in kinds:
                labels = cohort.labels(section, ds.shape)
                for part, ratio in zip(parts, _variance_ratios(ds, axis, labels, masks, limit, threads), strict=True):
                    part["anova"] = ratio
        frames += [
            pd.DataFrame({kind: {"random": order, **part}[kind] for kind in kinds if kind != "all"}) for part in parts
        ]
        if progress is not None:
            progress(i + 1, len(cohort))
    return frames


def wanted_selection(kinds: Sequence[str], top: int | None, given: bool) -> tuple[tuple[str, ...], int]:
    """Resolves how channels are selected. Given channels are used unchanged unless a selection is requested.

    Args:
        kinds: Requested names from ``SELECTIONS``; may be empty.
        top: Requested number of channels, or None.
        given: Whether the user gives channels.

    Returns:
        The names, and the number of channels.

    Raises:
        ArgumentError: A name is unknown, or the number is below 1.
    """
    unknown = [kind for kind in kinds if kind not in SELECTIONS]
    if unknown:
        raise ArgumentError(f"channels must be among {', '.join(SELECTIONS)}, not '{unknown[0]}'")
    if top is not None and top < 1:
        raise ArgumentError(f"top, the number of channels, must be at least 1, not {top}")
    chosen = tuple(kinds) or (("all",) if given and top is None else ("picked",))
    return chosen, DEFAULT_TOP if top is None else top


def select(scores: Sequence[pd.DataFrame], kind: str, top: int, n_channels: int) -> npt.NDArray[np.int64]:
    """Selects the best channels by mean rank over some sections.

    Args:
        scores: Scores of the sections of a training set.
        kind: Name of a column, or ``all``.
        top: Number of channels to select.
        n_channels: Number of channels of the axis.

    Returns:
        Ascending positions on the axis, int64.

    Raises:
        ArgumentError: No section has scores.
    """
    if kind == "all" or top >= n_channels:
        return np.arange(n_channels)
    if all(frame[kind].isna().all() for frame in scores):
        raise ArgumentError(f"channels cannot be selected by {kind}: no training section has two classes")
    ranks = np.mean([each.rank().to_numpy() for frame in scores if not (each := frame[kind]).isna().all()], axis=0)
    best = np.argsort(-ranks, kind="stable")[:top]
    chosen: npt.NDArray[np.int64] = np.sort(best).astype(np.int64)
    return chosen


def _whole(
    ds: Dataset, axis: CandidateAxis, scorers: Mapping[str, Scorer], limit: int, threads: int
) -> dict[str, Float64]:
    """Scores of a whole section."""
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
    """Scores of each block, from images in which only the block counts as measured."""
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


def _variance_ratios(
    ds: Dataset,
    axis: CandidateAxis,
    labels: npt.NDArray[np.int16],
    masks: Sequence[Mask],
    limit: int,
    threads: int,
) -> list[Float64]:
    """F of a one-way analysis of variance for each channel, in each mask; 0 for constant channels."""
    found = [np.full(len(axis), np.nan) for _ in masks]
    for at, images in _pieces(ds, axis, limit, threads):
        for mask, ratios in zip(masks, found, strict=True):
            judged = mask & (labels != UNLABELLED)
            values = np.sqrt(np.maximum(np.nan_to_num(images[:, judged]), 0.0)).astype(np.float64)
            member = (labels[judged] == np.unique(labels[judged])[:, None]).astype(np.float64)
            counts = member.sum(axis=1)
            if len(counts) < 2 or len(counts) >= member.shape[1]:
                continue
            means = values @ member.T / counts
            between = ((means - values.mean(axis=1, keepdims=True)) ** 2 @ counts) / (len(counts) - 1)
            within = ((values - means @ member) ** 2).sum(axis=1) / (member.shape[1] - len(counts))
            ratios[at] = np.divide(between, within, out=np.zeros_like(between), where=within > 0)
    return found


def _pieces(
    ds: Dataset, axis: CandidateAxis, limit: int, threads: int
) -> Iterator[tuple[slice, npt.NDArray[np.float32]]]:
    """Ion images (n, H, W) of some channels at a time, with their slice of the axis."""
    height, width = ds.shape
    # The images, the blocks copied from them and the scorer's buffers are held at the same time.
    step = max(1, min(_IMAGE_BYTES, limit // 8) // (4 * height * width))
    for first in range(0, len(axis), step):
        at = slice(first, first + step)
        yield at, ds.window_images(axis.mz_lo[at], axis.mz_hi[at], threads=threads)
