"""calibrate: from some labels of a section to a calibration of the model's outputs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Unpack

import numpy as np

from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.progress import Progress
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.literals import Normalize
from ionmorphnet.io.open_options import OpenOptions, checked_open_options, refuse_open_options
from ionmorphnet.labelled.label_csv import LabelReport, read_mz_labels
from ionmorphnet.models.model import Model, load_model
from ionmorphnet.picking.peak_list import PeakList
from ionmorphnet.picking.saved import open_run
from ionmorphnet.picking.section import pick
from ionmorphnet.scoring.scorer import Precision
from ionmorphnet.scoring.section_calibration import (
    FEWEST_LABELS,
    SectionCalibration,
    fit_calibration,
    seen_by_network,
)

_log = logging.getLogger("ionmorphnet")


def calibrate(
    source: PeakList | Dataset | PathLike,
    labels: PathLike,
    *,
    out: PathLike | None = None,
    model: str | Path | Model | None = None,
    normalize: Normalize | None = None,
    device: DeviceName | Device = "auto",
    precision: Precision = "auto",
    threads: int = 0,
    progress: Progress | bool | None = None,
    **opened: Unpack[OpenOptions],
) -> SectionCalibration:
    """Fits a calibration of a model to a section, from 10 to 30 labels of its ion images.

    It maps classes and structure to the conventions of the labels, where cross-validation finds that this helps; see
    :mod:`ionmorphnet.scoring.section_calibration`. Use it with ``pick(calibration=...)``.

    Args:
        source: The section: a pick of it with all scores, its result folder, or an imzML file or Dataset, which is
            then picked first.
        labels: Label CSV of the section, see :func:`~ionmorphnet.labelled.label_csv.read_mz_labels`. Each m/z is looked
            up among the windows of the pick. Grades in the column ``structure`` also calibrate the structure.
        out: File to write the calibration to (JSON); None: none.
        model: Bundled name, model folder or loaded Model; None: that of the pick, or the default model.
        normalize: How the ion images of an imzML file or Dataset are normalised, see :func:`ionmorphnet.pick`.
        device: Device for picking, see :func:`ionmorphnet.pick`.
        precision: Precision for picking.
        threads: CPU threads for picking; 0: all.
        progress: Progress of picking, see :func:`ionmorphnet.pick`.
        **opened: How an imzML file is opened for picking: options of :func:`ionmorphnet.open`.

    Returns:
        The calibration; ``lines()`` say what was accepted.

    Raises:
        FileError: A file is missing or invalid, or too few labels can be used.
        ArgumentError: The pick is calibrated already, has no classes, or was made with another model; an option for an
            imzML file was given for something else.
    """
    checked_open_options(opened, function="calibrate")
    ready = load_model(model) if model is not None and not isinstance(model, Model) else model
    if isinstance(source, PeakList):
        refuse_open_options(opened, "the section is open already; pass these to ionmorphnet.open")
        _refuse_normalize(normalize, "the pick")
        peaks = source
    elif not isinstance(source, Dataset) and Path(source).is_dir():
        refuse_open_options(opened, f"{source} is a result folder, which opens its section as the pick did")
        _refuse_normalize(normalize, str(source))
        peaks = open_run(source)
    else:
        peaks = pick(
            source,
            model=ready,
            normalize=normalize,
            device=device,
            precision=precision,
            threads=threads,
            progress=progress,
            **opened,
        )
    used = _model_of(peaks, ready)
    run = peaks.run
    assert run is not None
    section = Path(run.input.path).stem
    rows, report = read_mz_labels(labels, dataset=section)
    frame = peaks.all_scores
    low, high, centre = (frame[name].to_numpy(np.float64) for name in ("mz_lo", "mz_hi", "mz"))
    seen = seen_by_network(frame)
    where, kept, taken = [], [], set()
    for row in rows:
        inside = np.flatnonzero((low <= row.mz) & (row.mz <= high))
        place = f"{labels}: line {row.line}: m/z {row.mz}"
        if not len(inside):
            report.add("no such channel", f"{place} is in no channel of the pick")
            continue
        channel = int(inside[np.abs(centre[inside] - row.mz).argmin()])
        if channel in taken:
            report.add("duplicate", f"{place} is in the same channel as another label")
        elif not seen[channel]:
            report.add("noise", f"{place} has an image that is blank or noise, which the network did not see")
        else:
            taken.add(channel)
            where.append(channel)
            kept.append(row)
    _report(report, len(kept), labels)
    calibration = fit_calibration(
        frame.iloc[where],
        np.array([row.probabilities for row in kept]),
        np.array([row.structure for row in kept]),
        used,
        section=section,
        uuid=run.input.uuid,
        normalize=run.input.normalize,
    )
    if out is not None:
        calibration.save(out)
    return calibration


def _refuse_normalize(normalize: Normalize | None, what: str) -> None:
    """Refuses a normalisation for scores that exist.

    Raises:
        ArgumentError: One was given.
    """
    if normalize is not None:
        raise ArgumentError(f"normalize: {what} has the scores of its own images; pass this to the pick instead")


def _model_of(peaks: PeakList, given: Model | None) -> Model:
    """The model that made a pick.

    Raises:
        ArgumentError: The pick has no model or another one, or is calibrated already.
    """
    run = peaks.run
    if run is None or run.model is None:
        raise ArgumentError("only a pick with a model and its run record can be calibrated, not a classical score")
    if run.calibration is not None:
        raise ArgumentError("the pick is calibrated already; calibrate a pick that was made without a calibration")
    try:
        model = load_model(run.model.name) if given is None else given
    except FileError:
        raise ArgumentError(f"the model of the pick, '{run.model.name}', is not bundled; give its folder") from None
    if model.sha256 != run.model.sha256:
        raise ArgumentError(
            f"the pick was made with another model ('{run.model.name}', {run.model.sha256[:8]}; this is "
            f"'{model.name}', {model.sha256[:8]}); give the folder of that model"
        )
    return model


def _report(report: LabelReport, used: int, labels: PathLike) -> None:
    report.used = used
    lines = report.lines()
    if used < FEWEST_LABELS:
        raise FileError(f"{labels}: {used} usable labels, at least {FEWEST_LABELS} are needed; " + "; ".join(lines[1:]))
    for line in lines[1:]:
        _log.warning("%s", line)
