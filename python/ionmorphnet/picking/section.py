"""pick: from an imzML section to its ranked channels."""

from __future__ import annotations

import datetime
import logging
import operator
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.base.versions import versions
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.io.dataset import CHANGED, Dataset, open_dataset
from ionmorphnet.models.model import Model
from ionmorphnet.picking.peak_list import PeakList
from ionmorphnet.scoring.scorer import Scorer, ScorerCallable, make_scorer

Progress = Callable[[int, int], None]
AxisKind = Literal["auto", "bins", "peaks"]

DEFAULT_MEMORY_LIMIT = "4GB"
# Share of the measured pixels without a neighbour above which an image has hardly a morphology.
_MOST_ALONE = 0.5

_log = logging.getLogger("ionmorphnet")


def pick(
    dataset: Dataset | str | os.PathLike[str],
    *,
    top: int | None = None,
    min_score: float | None = None,
    model: str | Path | Model | None = None,
    scorer: str | ScorerCallable | Scorer = "auto",
    device: DeviceName | Device = "auto",
    precision: str = "auto",
    axis: CandidateAxis | npt.ArrayLike | str | None = None,
    ppm: float | None = None,
    tol: float | None = None,
    memory_limit: int | str = DEFAULT_MEMORY_LIMIT,
    device_memory_limit: int | str | None = None,
    threads: int = 0,
    progress: Progress | None = None,
) -> PeakList:
    """Ranks the m/z channels of a section by the spatial morphology of their ion images.

    Args:
        dataset: An open Dataset, or the path of an imzML file.
        top: Keep at most this many channels.
        min_score: Keep channels with at least this score. With neither ``top`` nor ``min_score`` the model's own
            threshold cuts; both given: both apply.
        model: Bundled name, model folder or loaded Model; None: the default model.
        scorer: ``"auto"``, ``"openvino"``, ``"tensorrt"``, ``"torch"``, a classical one (``"moran"``, ``"blur"``,
            ``"chaos"``), or a callable (see :func:`ionmorphnet.scoring.scorer.make_scorer`).
        device: ``"auto"`` (the first usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"auto"`` (bf16 on a GPU, and where the CPU has it), ``"f32"`` (reproduces between hosts),
            ``"bf16"`` or, for TensorRT, ``"fp16"``.
        axis: The candidates: None or ``"auto"`` (chosen from the data), ``"bins"``, ``"peaks"``, a CandidateAxis, or a
            list of m/z values (then exactly one of ``ppm`` and ``tol``).
        ppm: Half width of the windows around a given m/z list, parts per million.
        tol: Half width of the windows around a given m/z list, m/z units.
        memory_limit: Anonymous memory to plan with, bytes or text such as ``"4GB"``.
        device_memory_limit: The same for memory of the GPU, without the scorer's own; None: four fifths of what is free
            once the scorer is there.
        threads: CPU threads; 0: all.
        progress: Called as progress(done, total) while images are scored.

    Returns:
        The picks and all candidates' scores, ranked; equal scores by ascending m/z.

    Raises:
        FileError: The section or the model cannot be used.
        ArgumentError: Arguments that cannot be meant; a classical scorer without ``top`` or ``min_score``; a file with
            several z planes (pick ``ds.plane(z)``).
        UnavailableError: The scorer or device is not there.
    """
    limit = parse_bytes(memory_limit)
    device_limit = 0 if device_memory_limit is None else parse_bytes(device_memory_limit)
    top, min_score = _checked_cut(top, min_score)
    started = time.perf_counter()
    clock: dict[str, float] = {}

    ready = make_scorer(model=model, scorer=scorer, device=device, precision=precision, threads=threads)
    if ready.model is None and top is None and min_score is None:
        raise ArgumentError(f"scorer '{ready.name}' has no default threshold: give top or min_score")
    clock["load_model_s"] = _lap(started, clock)
    ds = dataset if isinstance(dataset, Dataset) else open_dataset(dataset)
    ds.require_one_plane("pick each ds.plane(z) on its own")
    clock["open_s"] = _lap(started, clock)
    channels = _resolve_axis(ds, axis, ppm=ppm, tol=tol, threads=threads)
    clock["axis_s"] = _lap(started, clock)
    outputs, blank, loop = ready.run_windows(
        ds._native,
        channels.mz_lo,
        channels.mz_hi,
        memory_limit=limit,
        device_memory_limit=device_limit,
        threads=threads,
        progress=progress,
    )
    clock["score_s"] = _lap(started, clock)
    clock["total_s"] = time.perf_counter() - started

    threshold = ready.model.threshold if ready.model is not None and top is None and min_score is None else None
    cut = threshold if min_score is None else min_score
    all_scores, kept = _ranked(channels, ready.frame(outputs, blank), ready.name, top, cut)
    run = _run_record(ds, ready, channels, clock, loop)
    run["parameters"] = {
        "top": top,
        "min_score": min_score,
        "threshold": threshold,
        "ppm": ppm,
        "tol": tol,
        "memory_limit_bytes": limit,
        "device_memory_limit_bytes": device_limit or None,
        "threads": threads,
    }
    run["warnings"] = _warnings(ds, channels)
    for text in run["warnings"]:
        _log.warning("%s: %s", ds.path, text)
    run["counts"] = {"candidates": len(all_scores), "blank": int(blank.sum()), "picked": kept}
    return PeakList(
        all_scores=all_scores,
        n_picked=kept,
        scorer=ready.name,
        score_description=ready.description,
        run=run,
        dataset=ds,
    )


def _checked_cut(top: int | None, min_score: float | None) -> tuple[int | None, float | None]:
    """The cut as an int and a float, before any work is done."""
    if top is not None:
        try:
            top = operator.index(top)
        except TypeError:
            raise ArgumentError(f"top must be a whole number, not {top!r}") from None
        if top < 1:
            raise ArgumentError(f"top must be at least 1, not {top}")
        top = min(top, 2**62)
    if min_score is not None:
        try:
            min_score = float(min_score)
        except (TypeError, ValueError):
            raise ArgumentError(f"min_score must be a number, not {min_score!r}") from None
        if not np.isfinite(min_score):
            raise ArgumentError("min_score must be a finite number")
    return top, min_score


def _lap(started: float, clock: dict[str, float]) -> float:
    return time.perf_counter() - started - sum(clock.values())


def _resolve_axis(
    ds: Dataset,
    axis: CandidateAxis | npt.ArrayLike | str | None,
    *,
    ppm: float | None,
    tol: float | None,
    threads: int,
) -> CandidateAxis:
    if axis is None or isinstance(axis, str):
        if ppm is not None or tol is not None:
            raise ArgumentError(
                "ppm and tol belong to a given m/z list; the axis found in the data has its own windows"
            )
        return candidate_axis(ds, kind=_axis_kind(axis or "auto"), threads=threads)
    if isinstance(axis, CandidateAxis):
        if ppm is not None or tol is not None:
            raise ArgumentError("a CandidateAxis has its own windows; leave ppm and tol out")
        return axis
    return CandidateAxis.from_mz_list(axis, ppm=ppm, tol=tol)


def _axis_kind(text: str) -> AxisKind:
    for kind in get_args(AxisKind):
        if text == kind:
            return cast(AxisKind, kind)
    raise ArgumentError(f"axis must be auto, bins, peaks, a CandidateAxis or a list of m/z values, not '{text}'")


def _ranked(
    channels: CandidateAxis, scores: pd.DataFrame, scorer: str, top: int | None, min_score: float | None
) -> tuple[pd.DataFrame, int]:
    # An axis ascends, so equal scores rank by m/z.
    order = _core.rank_scores(scores["score"].to_numpy(np.float64))
    frame = pd.DataFrame({"mz": channels.mz, "mz_lo": channels.mz_lo, "mz_hi": channels.mz_hi})
    frame = pd.concat([frame, scores], axis=1).iloc[order].reset_index(drop=True)
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    frame["frequency"] = channels.frequency[order]
    frame["scorer"] = pd.array([scorer] * len(frame), dtype="string")  # scales differ between scorers
    kept = _core.cut_ranked(frame["score"].to_numpy(np.float64), top, min_score)
    return frame, kept


def _warnings(ds: Dataset, channels: CandidateAxis) -> list[str]:
    """What makes scores say little, one line each."""
    texts = []
    measured = np.pad(ds.mask, 1)
    beside = measured[:-2, 1:-1] | measured[2:, 1:-1] | measured[1:-1, :-2] | measured[1:-1, 2:]
    alone = float((ds.mask & ~beside).sum()) / max(1, int(ds.mask.sum()))
    if alone > _MOST_ALONE and ds.mask.sum() > 1:
        texts.append(
            f"{alone:.0%} of the measured pixels have no measured neighbour, so that scores mean little; are the "
            "coordinates those of a stage?"
        )
    if ds.was_changed:
        texts.append(CHANGED)
    low, high = ds.mz_range
    outside = int(((channels.mz_hi < low) | (channels.mz_lo > high)).sum())
    if outside:
        texts.append(f"{outside} of {len(channels)} m/z lie outside of the file, which spans {low:.4f} to {high:.4f}")
    return texts


def _run_record(
    ds: Dataset, scorer: Scorer, channels: CandidateAxis, clock: dict[str, float], loop: dict[str, Any]
) -> dict[str, Any]:
    model = scorer.model
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "input": {
            "path": str(ds.path),
            "ibd_path": str(ds.ibd_path),
            "z": ds.plane_z,
            "uuid": ds.declared.get("uuid"),
            "n_spectra": ds.n_spectra,
            "height": ds.shape[0],
            "width": ds.shape[1],
            "mode": ds.mode,
            "spectrum_type": ds.spectrum_type,
            "pixel_size_um": ds.pixel_size_um,
            "coordinate_origin": list(ds.coordinate_origin),
            "coordinate_step": list(ds.coordinate_step),
            "opened_with": ds.open_options,
            "warnings": list(ds.warnings),
        },
        "scorer": scorer.name,
        "device": scorer.device,
        "precision": scorer.precision,
        "refused": dict(scorer.refused),
        "score": scorer.description,
        "model": None
        if model is None
        else {
            "name": model.name,
            "architecture": model.architecture,
            "preprocessing": model.preprocessing,
            "outputs": list(model.outputs),
            "statistics": list(model.statistics),
            "sha256": model.sha256,
        },
        "axis": {"method": channels.method, "n_channels": len(channels)},
        "timings": {name.removesuffix("_s"): round(seconds, 4) for name, seconds in clock.items()},
        "scoring_loop": {name: value if isinstance(value, bool) else round(value, 4) for name, value in loop.items()},
        "versions": versions(),
        "host": {"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()},
    }
