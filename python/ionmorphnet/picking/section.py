"""pick: from an imzML section to its ranked channels."""

from __future__ import annotations

import dataclasses
import datetime
import logging
import os
import platform
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, Unpack, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.base.arguments import integer, optional_number, thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.progress import Progress, shown_progress
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.base.versions import versions
from ionmorphnet.io.candidates import CandidateAxis, candidate_axis
from ionmorphnet.io.data_checks import check_data
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.normalization import checked_normalize
from ionmorphnet.io.open_options import OpenOptions, checked_open_options, refuse_open_options
from ionmorphnet.io.sample_maps import SampleMap, given_sample_map, sample_map
from ionmorphnet.models.labels import checked_classes
from ionmorphnet.models.model import Model
from ionmorphnet.models.preprocessing import Preprocessing
from ionmorphnet.picking.confounders import shared_patterns
from ionmorphnet.picking.peak_list import PeakList
from ionmorphnet.picking.run_record import (
    AxisRecord,
    Counts,
    InputRecord,
    ModelRecord,
    Parameters,
    RunRecord,
    SampleRecord,
)
from ionmorphnet.scoring.kept import kept_scorer
from ionmorphnet.scoring.minimum import needs_pixels
from ionmorphnet.scoring.scorer import Precision, ScoreOptions, Scorer, ScorerCallable, ScorerName, Scores
from ionmorphnet.scoring.section_calibration import (
    CalibrationRecord,
    SectionCalibration,
    calibration_name,
    calibration_of,
)

AxisKind = Literal["auto", "bins", "peaks"]
# Where the sample map comes from: made if the model reads it, left out, or given.
SampleChoice = Literal["auto", "none"] | SampleMap | npt.ArrayLike

DEFAULT_MEMORY_LIMIT = _core.DEFAULT_MEMORY_LIMIT

_log = logging.getLogger("ionmorphnet")


def pick(
    dataset: Dataset | PathLike,
    *,
    top: int | None = None,
    min_score: float | None = None,
    exclude: str | Iterable[str] = (),
    model: str | Path | Model | None = None,
    scorer: ScorerName | ScorerCallable | Scorer = "auto",
    device: DeviceName | Device = "auto",
    precision: Precision = "auto",
    axis: AxisKind | CandidateAxis | npt.ArrayLike | None = None,
    ppm: float | None = None,
    tol: float | None = None,
    normalize: Normalize | None = None,
    sample: SampleChoice = "auto",
    memory_limit: int | str = DEFAULT_MEMORY_LIMIT,
    device_memory_limit: int | str | None = None,
    cascade: bool = True,
    threads: int = 0,
    calibration: SectionCalibration | PathLike | None = None,
    progress: Progress | bool | None = None,
    **opened: Unpack[OpenOptions],
) -> PeakList:
    """Ranks the m/z channels of a section by the spatial morphology of their ion images.

    Args:
        dataset: An open Dataset, or the path of an imzML file.
        top: Keep at most this many channels.
        min_score: Keep channels with at least this score. With neither ``top`` nor ``min_score`` the model's own
            threshold cuts; if both are given, both apply.
        exclude: Classes that are not picked, such as ``"negative"`` (bright outside of the sample). They stay among
            the scores.
        model: Bundled name, model folder or loaded Model; None: the default model.
        scorer: ``"auto"``, ``"openvino"``, ``"tensorrt"``, ``"torch"``, a classical one such as ``"moran"``,
            a callable or a Scorer (see :func:`ionmorphnet.make_scorer`).
        device: ``"auto"`` (the first usable GPU, else the CPU), ``"cpu"``, ``"cuda"`` or ``"cuda:N"``.
        precision: ``"auto"`` (bf16 on a GPU, and on CPUs that have it), ``"f32"`` (reproduces between hosts),
            ``"bf16"``, ``"int8"`` (models with an 8-bit network) or, for TensorRT, ``"fp16"``.
        axis: The candidates: None or ``"auto"`` (chosen from the data), ``"bins"``, ``"peaks"``, a CandidateAxis, or a
            list of m/z values (then exactly one of ``ppm`` and ``tol``).
        ppm: Half width of the windows around a given m/z list, parts per million.
        tol: Half width of the windows around a given m/z list, m/z units.
        normalize: Divide ion images by a norm of each pixel's spectrum before they are scored: ``"tic"``, ``"rms"``,
            ``"median"`` or ``"none"``, see :meth:`Dataset.normalized`; None: as the dataset's images are. Candidates
            and the sample map are found in the data as measured.
        sample: The sample map: ``"auto"`` (made with :func:`ionmorphnet.sample_map` if the model reads it), ``"none"``
            (unknown), a SampleMap, or an array (height, width) of probabilities from 0 to 1 that a pixel is sample.
        memory_limit: Anonymous memory to plan with, bytes or text such as ``"4GB"``.
        device_memory_limit: The same for memory of the GPU, without the scorer's own; None: four fifths of what is free
            once the scorer has started.
        cascade: Whether to spare the network the channels that the model's cascade finds to be noise (on the CPU, if
            the model has one).
        threads: CPU threads; 0: all.
        calibration: What :func:`ionmorphnet.calibrate` returned or wrote; it maps scores and classes before the cut.
        progress: Called as progress(done, total) while images are scored; True: a bar on the terminal or in the
            notebook.
        **opened: How a path is opened: options of :func:`ionmorphnet.open`, such as ``duplicates="sum"``.

    Returns:
        The picks and all candidates' scores, ranked; equal scores by ascending m/z.

    Raises:
        FileError: The section or the model cannot be used; a network is to score fewer than 36 measured pixels, or
            scattered ones.
        ArgumentError: An argument has the wrong type or is out of range; a classical scorer without ``top`` or
            ``min_score``; a file with several z planes (pick ``ds.plane(z)``); a calibration for another model.
        UnavailableError: The scorer or device is not available.
    """
    limit = parse_bytes(memory_limit)
    device_limit = None if device_memory_limit is None else parse_bytes(device_memory_limit)
    top, min_score = checked_cut(top, min_score)
    exclude = checked_classes(exclude)
    check_windows(axis, ppm, tol)
    check_sample(sample)
    if normalize is not None:
        normalize = checked_normalize(normalize)
    checked_open_options(opened, function="pick")
    if isinstance(dataset, Dataset):
        refuse_open_options(opened, "the dataset is open already; pass these to ionmorphnet.open")
    threads = thread_count(threads)
    mapped = calibration_of(calibration)
    clock = _Clock()
    with kept_scorer(model=model, scorer=scorer, device=device, precision=precision, threads=threads) as ready:
        require_cut(ready, top, min_score)
        require_classes(ready, exclude)
        if mapped is not None:
            mapped.require_model(ready.model, calibration_name(calibration))
        clock.lap("load_model")
        ds = dataset if isinstance(dataset, Dataset) else open_dataset(dataset, **opened)
        ds.require_one_plane("pick each ds.plane(z) on its own")
        told = set(ds.warnings)
        clock.lap("open")
        channels = _resolve_axis(ds, axis, ppm=ppm, tol=tol, threads=threads)
        channels = _prepared(ds, channels, ready, threads)
        clock.lap("axis")
        if normalize is not None and normalize != ds.normalize:
            ds = ds.normalized(normalize, threads=threads)
            clock.lap("normalize")
        check_data(ds, threads=threads)
        clock.lap("check")
        reads = ready.model is not None and Preprocessing.parse(ready.model.preprocessing).sample
        found = _sample(ds, channels, sample, wanted=reads, threads=threads)
        if found is not None:
            clock.lap("sample")
        with shown_progress(progress, Path(ds.path).name, "images") as shown:
            known = None if found is None else found.map
            options = ScoreOptions(limit, device_limit, threads, shown, known, cascade=cascade)
            scores = ready.score_windows(ds, channels, options)
        frame = scores.frame
        if mapped is not None and ready.model is not None:
            frame = mapped.apply(frame, ready.model)
        ds.copies(threads=threads)  # what they need was read before; the section's warnings tell of them
        clock.lap("score")

    threshold = _core.cutting_threshold(top, min_score, _threshold(ready))
    ranked = _ranked(channels, frame, ready.name, ds)
    barred = ranked["label"].isin(exclude).to_numpy(np.bool_)
    chosen, excluded = _core.pick_ranked(ranked["score"].to_numpy(np.float64), top, min_score, threshold, barred)
    warnings = _core.pick_warnings(
        ds._native, channels.mz_lo, channels.mz_hi, list(channels.notes), network=needs_pixels(ready)
    )
    warnings += _other_labels(mapped, ds)
    picked = ranked.iloc[chosen]
    warnings += shared_patterns(
        ds, channels, picked["mz_lo"].to_numpy(np.float64), picked["mz_hi"].to_numpy(np.float64)
    )
    for text in [*(line for line in ds.warnings if line not in told), *warnings]:
        _log.warning("%s: %s", ds.path, text)
    run = _run_record(
        ds,
        ready,
        channels,
        scores,
        Parameters(top, min_score, threshold, channels.ppm, channels.tol, limit, device_limit, threads, exclude),
        (len(chosen), excluded),
        clock.timings(),
        warnings,
        None if mapped is None else mapped.record(),
        None if found is None else SampleRecord.of(found, used=reads and found.map is not None),
    )
    return PeakList(ranked, chosen, ready.name, run.score, run, ds, found)


def _prepared(ds: Dataset, channels: CandidateAxis, scorer: Scorer, threads: int) -> CandidateAxis:
    """The channels with their frequencies; refuses sections that the scorer cannot score."""
    frequency = _core.prepare_pick(
        ds._native,
        channels.mz_lo,
        channels.mz_hi,
        channels.frequency,
        network=needs_pixels(scorer),
        threads=threads,
    )
    return dataclasses.replace(channels, frequency=frequency) if np.isnan(channels.frequency).all() else channels


def check_sample(sample: SampleChoice) -> None:
    """Checks the name of a way to get the sample map.

    Raises:
        ArgumentError: Unknown name.
    """
    if isinstance(sample, str) and sample not in ("auto", "none"):
        raise ArgumentError(f"sample must be auto, none, a SampleMap or an array (height, width), not {sample!r}")


def _sample(
    ds: Dataset, channels: CandidateAxis, sample: SampleChoice, *, wanted: bool, threads: int
) -> SampleMap | None:
    """The sample map of a section; None if it is neither given nor wanted."""
    if isinstance(sample, str):
        if sample == "none":
            return SampleMap(None, "off")
        return sample_map(ds, channels, threads=threads) if wanted else None
    if isinstance(sample, SampleMap):
        return sample if sample.map is None else given_sample_map(sample.map, ds)
    return given_sample_map(sample, ds)


def checked_cut(top: int | None, min_score: float | None) -> tuple[int | None, float | None]:
    """The cut as an int and a float, before any work is done.

    Raises:
        ArgumentError: Not numbers, or out of range.
    """
    if top is not None:
        top = min(integer("top", top, 1), 2**62)
    min_score = optional_number("min_score", min_score)
    _core.check_cut(top, min_score)
    return top, min_score


def require_cut(scorer: Scorer, top: int | None, min_score: float | None) -> None:
    """Checks that something says how many channels are picked.

    Raises:
        ArgumentError: The scorer has no threshold of its own, and neither ``top`` nor ``min_score`` is given.
    """
    _core.require_cut(scorer.name, top, min_score, _threshold(scorer))


def _threshold(scorer: Scorer) -> float | None:
    return None if scorer.model is None else scorer.model.threshold


def require_classes(scorer: Scorer, exclude: tuple[str, ...]) -> None:
    """Checks that the scorer tells classes if some are excluded.

    Raises:
        ArgumentError: It does not.
    """
    if exclude and scorer.model is None:
        raise ArgumentError(f"scorer '{scorer.name}' tells no classes to exclude; use a network")


def check_windows(axis: AxisKind | CandidateAxis | npt.ArrayLike | None, ppm: float | None, tol: float | None) -> None:
    """Checks that ``ppm`` and ``tol`` are given for a list of m/z values only.

    Raises:
        ArgumentError: The axis has its own windows.
    """
    if ppm is None and tol is None:
        return
    if isinstance(axis, CandidateAxis):
        raise ArgumentError("a CandidateAxis has its own windows; leave ppm and tol out")
    if axis is None or isinstance(axis, str):
        raise ArgumentError("ppm and tol belong to a given m/z list; channels found in the data have their own windows")


class _Clock:
    """Seconds of each stage, one after the other."""

    def __init__(self) -> None:
        self._started = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self._laps[name] = now - self._last
        self._last = now

    def timings(self) -> dict[str, float]:
        laps = {**self._laps, "total": self._last - self._started}
        return {name: round(seconds, 4) for name, seconds in laps.items()}


def _resolve_axis(
    ds: Dataset,
    axis: AxisKind | CandidateAxis | npt.ArrayLike | None,
    *,
    ppm: float | None,
    tol: float | None,
    threads: int,
) -> CandidateAxis:
    if isinstance(axis, CandidateAxis):
        return axis
    if axis is None:
        axis = "auto"
    if not isinstance(axis, str):
        return CandidateAxis.from_mz_list(axis, ppm=ppm, tol=tol)
    return candidate_axis(ds, kind=axis_kind(axis), threads=threads)


def axis_kind(text: str) -> AxisKind:
    """Checks the name of a way to find candidates.

    Raises:
        ArgumentError: Unknown name.
    """
    kinds: tuple[AxisKind, ...] = get_args(AxisKind)
    for kind in kinds:
        if text == kind:
            return kind
    raise ArgumentError(f"axis must be {', '.join(kinds)}, a CandidateAxis or a list of m/z values, not '{text}'")


def _ranked(
    channels: CandidateAxis,
    scores: pd.DataFrame,
    scorer: str,
    ds: Dataset,
) -> pd.DataFrame:
    if len(scores) != len(channels):
        raise ArgumentError(f"scorer '{scorer}' returned {len(scores)} rows for {len(channels)} channels")
    # An axis ascends, so equal scores rank by m/z.
    order = _core.rank_scores(scores["score"].to_numpy(np.float64))
    frame = pd.DataFrame({"mz": channels.mz, "mz_lo": channels.mz_lo, "mz_hi": channels.mz_hi})
    frame = pd.concat([frame, scores.reset_index(drop=True)], axis=1).iloc[order].reset_index(drop=True)
    frame.insert(0, "rank", np.arange(1, len(frame) + 1))
    frame["frequency"] = channels.frequency[order]
    frame["scorer"] = pd.array([scorer] * len(frame), dtype="string")  # scales differ between scorers
    if ds.normalize != "none":
        frame["normalize"] = pd.array([ds.normalize] * len(frame), dtype="string")
    if ds.region_number is not None:
        frame["region"] = ds.region_number
    for name, values in channels.columns.items():  # of the list that was given
        own = values[order]
        frame[f"list_{name}" if name in frame else name] = pd.array(own, dtype="string") if own.dtype == object else own
    return frame


def _other_labels(calibration: SectionCalibration | None, ds: Dataset) -> list[str]:
    """Warnings if the labels are of another section or of other images, whose conventions need not hold here."""
    if calibration is None:
        return []
    texts = []
    uuid = ds.declared.get("uuid")
    if None not in (calibration.uuid, uuid) and calibration.uuid != uuid:
        texts.append(f"the calibration was made with labels of another section, {calibration.section}")
    if calibration.normalize != ds.normalize:
        made, here = (
            "not normalised" if kind == "none" else f"normalised by {kind}"
            for kind in (calibration.normalize, ds.normalize)
        )
        texts.append(
            f"the calibration was made with labels of images that were {made}, and these are {here}; "
            f"pick with --normalize {calibration.normalize}, or calibrate a pick with --normalize {ds.normalize}"
        )
    return texts


def _run_record(
    ds: Dataset,
    scorer: Scorer,
    channels: CandidateAxis,
    scores: Scores,
    parameters: Parameters,
    picked: tuple[int, int],
    timings: Mapping[str, float],
    warnings: list[str],
    calibration: CalibrationRecord | None,
    sample: SampleRecord | None,
) -> RunRecord:
    model = scorer.model
    return RunRecord(
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        input=InputRecord.of(ds),
        scorer=scorer.name,
        device=str(scorer.device),
        precision=scorer.precision,
        refused=dict(scorer.refused),
        score=scorer.description if calibration is None else f"{scorer.description}, calibrated with labels",
        model=None
        if model is None
        else ModelRecord(
            model.name, model.architecture, model.preprocessing, model.outputs, model.statistics, model.sha256
        ),
        calibration=calibration,
        axis=AxisRecord(channels.method, len(channels), channels.notes, dict(channels.evidence)),
        parameters=parameters,
        counts=Counts(len(scores.frame), int(scores.blank.sum()), scores.n_spared, *picked),
        cascade=None if scores.cascade is None else scores.cascade.to_dict(),
        timings=timings,
        scoring_loop={
            name: round(value, 4) if isinstance(value, float) else value for name, value in scores.timings.items()
        },
        versions=versions(),
        host={"machine": platform.machine(), "system": platform.system(), "cpus": os.cpu_count()},
        warnings=tuple(warnings),
        sample=sample,
    )
