"""Evaluation of all methods on the same channels, pixels and folds; it can resume after any fold."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.arguments import usable_cores
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError, FileError, UnavailableError
from ionmorphnet.base.extras import require_torch
from ionmorphnet.base.files import atomic_path, make_folder, read_json
from ionmorphnet.base.json_output import plain, write_json
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.versions import versions
from ionmorphnet.evaluate.bootstrap import BootstrapOptions
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.tumor.baselines import BASELINES, FittedBaseline, most_pixels, parse_method, require_sklearn
from ionmorphnet.tumor.channels import ChannelsLike, make_channels
from ionmorphnet.tumor.cohort import Cohort
from ionmorphnet.tumor.cubes import Cube, CubeStore, open_cubes, split_blocks
from ionmorphnet.tumor.evaluation_plan import NETWORK_METHODS, EvaluationPlan
from ionmorphnet.tumor.evaluation_report import Outcome, TumorReport, make_report
from ionmorphnet.tumor.patches import (
    Pixels,
    Scaling,
    feature_cubes,
    groups_of,
    labelled_pixels,
    local_features,
    measured_pixels,
    pieces,
    thinned,
)
from ionmorphnet.tumor.posteriors import change_posteriors
from ionmorphnet.tumor.regions import UNLABELLED
from ionmorphnet.tumor.selection import DEFAULT_TOP, Mask, section_scores, select
from ionmorphnet.tumor.splits import Fold, make_folds, read_folds
from ionmorphnet.tumor.texture import texture_projection

logger = logging.getLogger("ionmorphnet")

VALIDATION_PIXELS = 1000

Progress = Callable[[str, int, int], None]


def evaluate_cohort(
    out: PathLike,
    cohort: Cohort,
    plan: EvaluationPlan | None = None,
    *,
    channels: ChannelsLike = None,
    ppm: float | None = None,
    tol: float | None = None,
    split: PathLike | None = None,
    device: DeviceName | Device = "auto",
    memory_limit: int | str = "4GB",
    options: BootstrapOptions | None = None,
    resume: bool = True,
    progress: Progress | None = None,
) -> TumorReport:
    """Evaluates the 3D CNN and the pixel-wise classifiers on unseen patients.

    In each fold, channels are ranked, selected and standardised on the training sections only, and no ranking uses
    labels. Networks use one training patient for early stopping; the other methods train on that patient as well.

    Args:
        out: Folder for ``plan.json``, the predictions of every fold and method, ``table.csv``, ``by_section.csv``,
            ``by_patient.csv`` and ``report.json``. Results that it already contains are reused.
        cohort: The sections.
        plan: Settings of the evaluation; None: the defaults.
        channels: Channels, see :func:`~ionmorphnet.tumor.channels.make_channels`. They are used unchanged unless the
            plan sets a selection, an ablation or ``top``. None: selected from all channels of the cohort.
        ppm: Half width of the windows of a given m/z list.
        tol: The same in m/z units.
        split: JSON file with folds. It replaces the plan's ``protocol``, ``by`` and ``k``, which must have their
            defaults.
        device: ``auto``, ``cpu`` or ``cuda[:N]``, for the networks and the picker.
        memory_limit: Limit of anonymous memory, in bytes or as text such as ``"4GB"``.
        options: How the intervals are computed; None: the defaults.
        resume: Continue an evaluation in ``out``; False refuses a folder that contains one.
        progress: Called as progress(text, done, total), where the text names the current stage.

    Returns:
        The report.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range; a fold leaks; a training set lacks a class;
            there is only one section; or ``out`` contains another evaluation.
        FileError: A file cannot be read or written.
        UnavailableError: scikit-learn, torch or the device is not available.
        Cancelled: The evaluation was stopped; the same call continues it.
    """
    plan = (EvaluationPlan() if plan is None else plan).resolved(given=channels is not None)
    if split is not None and any(
        getattr(plan, name) != getattr(EvaluationPlan, name) for name in ("protocol", "by", "k")
    ):
        raise ArgumentError("split defines the folds; do not set protocol, by or k as well")
    if any(method in BASELINES for _, method in plan.tasks()):
        require_sklearn()
    if plan.networks():
        _require_device(device)
    out = Path(out)
    axis = make_channels(channels, cohort, ppm=ppm, tol=tol)
    report_progress = progress or (lambda *_: None)
    with open_cubes(
        cohort,
        axis,
        normalize=plan.normalize,
        standardize=plan.standardize,
        memory_limit=memory_limit,
        progress=lambda done, total: report_progress("reading", done, total),
    ) as sections:
        cubes, origin = _blocks(sections, plan)
        # A patient is held out even without networks among the methods, because one may be added later.
        if split is not None:
            folds = read_folds(Path(split), cubes, cohort.classes, inner=plan.inner)
        else:
            folds = make_folds(
                cubes, cohort.classes, protocol=plan.protocol, by=plan.by, k=plan.k, inner=plan.inner, seed=plan.seed
            )
        if plan.networks() and plan.inner:
            _warn_without_stopping(folds)
        _claim(out, _described(plan, axis, sections, cubes, folds, cohort), resume)
        blocks = None
        if plan.blocks is not None:
            blocks = [
                [cube.measured for cube, i in zip(cubes, origin, strict=True) if i == s] for s in range(len(cohort))
            ]
        scores = _scores(
            out,
            cohort,
            axis,
            list(dict.fromkeys([*plan.selections, *plan.ablation])),
            report_progress,
            blocks=blocks,
            seed=plan.seed,
            device=device,
            threads=plan.threads,
            memory_limit=memory_limit,
        )
        run = _Run(out, plan, cubes, scores, cohort.classes, len(axis), device, memory_limit)
        tasks, done = plan.tasks(), 0
        outcomes: list[Outcome] = []
        for selection, method in tasks:
            parts = []
            for fold in folds:
                report_progress(f"{selection} / {method}", done, len(tasks) * len(folds))
                parts.append(run.fold(selection, method, fold))
                done += 1
            for adapt, smooth in product(plan.adapt, plan.smooth):
                outcomes.append(_joined(selection, method, parts, cubes, adapt, smooth))
        report_progress("done", done, done)
        names, patients = tuple(cube.name for cube in cubes), tuple(cube.group for cube in cubes)
    report = make_report(outcomes, cohort.classes, names, patients, options=options)
    write_report(report, out, outcomes)
    return report


def write_report(report: TumorReport, out: Path, outcomes: Sequence[Outcome]) -> None:
    """Writes ``table.csv``, ``by_section.csv``, ``by_patient.csv`` and ``report.json``.

    Raises:
        FileError: A file cannot be written.
    """
    with atomic_path(out / "table.csv") as temporary:
        report.table.to_csv(temporary, index=False)
    with atomic_path(out / "by_patient.csv") as temporary:
        report.by_patient.to_csv(temporary, index=False)
    flat = report.by_section.set_axis(["/".join(key) for key in report.by_section.columns], axis=1)
    with atomic_path(out / "by_section.csv") as temporary:
        flat.to_csv(temporary, index_label="section")
    pixels = {"/".join(each.key): len(each.label) for each in outcomes}
    write_json(out / "report.json", {**report.to_dict(), "pixels": pixels, "versions": versions()})


def inner_pixels(cubes: Sequence[Cube], sections: Sequence[int], seed: int) -> Pixels | None:
    """Pixels for early stopping of a network; None without sections."""
    return thinned(labelled_pixels(cubes, sections), VALIDATION_PIXELS, seed) if sections else None


class _Run:
    """State shared by the folds of an evaluation."""

    def __init__(
        self,
        out: Path,
        plan: EvaluationPlan,
        cubes: list[Cube],
        scores: list[pd.DataFrame],
        classes: tuple[str, ...],
        n_channels: int,
        device: DeviceName | Device,
        memory_limit: int | str,
    ) -> None:
        self.memory_limit = memory_limit
        self.out, self.plan, self.cubes, self.scores = out, plan, cubes, scores
        self.classes, self.n_channels, self.device = classes, n_channels, device

    def fold(self, selection: str, method: str, fold: Fold) -> dict[str, npt.NDArray[Any]]:
        """Predictions of a method on a fold, read from its file or computed."""
        top = DEFAULT_TOP if self.plan.top is None else self.plan.top
        chosen = select([self.scores[i] for i in fold.outer], selection, top, self.n_channels)
        # Named after the channels, not the selection: if two selections agree, one computation serves both.
        name = f"{_file_name(fold.name)}_{len(chosen)}-{zlib.crc32(chosen.tobytes()):08x}.npz"
        path = self.out / "folds" / method / name
        if path.is_file():
            return _read_fold(path)
        make_folder(path.parent)
        test = measured_pixels(self.cubes, fold.test)  # smoothing needs the pixels between the labelled ones
        if method in BASELINES:
            found, seconds = self._baseline(method, fold, chosen, test)
        else:
            found, seconds = self._network(method, fold, chosen, test, path.with_suffix(""))
        content: dict[str, npt.NDArray[Any]] = {
            "section": test.section,
            "pixel": test.pixel,
            "label": test.label,
            "probabilities": found.astype(np.float32),
            "channels": chosen,
            "seconds": np.array(seconds),
        }
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **content)  # type: ignore[arg-type]
        shutil.rmtree(path.with_suffix(""), ignore_errors=True)
        return content

    def _baseline(
        self, method: str, fold: Fold, chosen: npt.NDArray[np.int64], test: Pixels
    ) -> tuple[npt.NDArray[np.float64], tuple[float, float]]:
        kind, seed = parse_method(method)[1], self.plan.seed
        started = time.perf_counter()
        training = thinned(labelled_pixels(self.cubes, fold.outer), most_pixels(method, len(chosen)), seed)
        scaling = Scaling.of(self.cubes, training, chosen)
        projection = texture_projection(kind, self.cubes, training, scaling)
        values = local_features(self.cubes, training, scaling, kind, projection)
        fitted = FittedBaseline(
            method,
            values,
            training.label,
            groups_of(self.cubes, training),
            seed=seed,
            threads=self.plan.threads or usable_cores(),
        )
        between = time.perf_counter()
        # Test sections can be large, so their features are computed in parts.
        found = np.concatenate(
            [
                fitted.probabilities(local_features(self.cubes, test[part], scaling, kind, projection))
                for part in pieces(len(test), len(chosen))
            ]
        )
        return found, (between - started, time.perf_counter() - between)

    def _network(
        self, method: str, fold: Fold, chosen: npt.NDArray[np.int64], test: Pixels, folder: Path
    ) -> tuple[npt.NDArray[np.float64], tuple[float, float]]:
        from ionmorphnet.tumor.training_setup import prepare_fit

        plan, cubes = self.plan, self.cubes
        name, kind = parse_method(method)
        store = CubeStore(self.memory_limit)
        try:
            if kind:
                training = labelled_pixels(cubes, fold.train)
                scaling = Scaling.of(cubes, training, chosen)
                projection = texture_projection(kind, cubes, training, scaling)
                cubes = feature_cubes(cubes, scaling, kind, projection, store)
                chosen = np.arange(cubes[0].n_channels)
            fit = prepare_fit(
                name,
                cubes,
                labelled_pixels(cubes, fold.train),
                inner_pixels(cubes, fold.inner, plan.seed),
                chosen,
                classes=len(self.classes),
                size=plan.size,
                steps=plan.steps,
                seed=plan.seed,
                device=self.device,
                threads=plan.threads,
                recipe=plan.recipe,
            )
            done = fit.run(folder)
            started = time.perf_counter()
            found = fit.predict(folder, test)
        finally:
            store.close()
        return found, (done.seconds, time.perf_counter() - started)


def _require_device(device: DeviceName | Device) -> None:
    """Checks before any work is done that networks can be trained.

    Raises:
        ArgumentError: ``device`` is not the name of a device.
        UnavailableError: torch or the device is not available.
    """
    missing = (
        f"networks ({', '.join(NETWORK_METHODS)}) need torch: pip install 'ionmorphnet[tumor]', or choose other methods"
    )
    try:
        require_torch(missing)
        from ionmorphnet.training.runtime import torch_device
    except ImportError:
        raise UnavailableError(missing) from None
    torch_device(device)


def _warn_without_stopping(folds: Sequence[Fold]) -> None:
    without = [fold.name for fold in folds if not fold.inner]
    if without:
        logger.warning(
            "no early stopping of networks in %d of %d folds (%s): that needs three training patients, one of whom has "
            "all classes and leaves all classes to the others",
            len(without),
            len(folds),
            ", ".join(without[:5]) + (", ..." if len(without) > 5 else ""),
        )


def _scores(
    out: Path,
    cohort: Cohort,
    axis: CandidateAxis,
    kinds: Sequence[str],
    report_progress: Progress,
    *,
    blocks: Sequence[Sequence[Mask]] | None,
    seed: int,
    device: DeviceName | Device,
    threads: int,
    memory_limit: int | str,
) -> list[pd.DataFrame]:
    """Channel scores of each section or block by the kinds, read from ``scores.csv`` or computed."""
    path = out / "scores.csv"
    try:
        known = pd.read_csv(path) if path.is_file() else pd.DataFrame()
    except ValueError as error:
        raise FileError(f"{path}: damaged ({error}); delete it to rank the channels again") from None
    missing = [kind for kind in kinds if kind not in known and kind != "all"]
    if missing:
        found = section_scores(
            cohort,
            axis,
            missing,
            blocks=blocks,
            seed=seed,
            device=device,
            threads=threads,
            memory_limit=memory_limit,
            progress=lambda done, total: report_progress("ranking channels", done, total),
        )
        known = pd.concat([known, pd.concat(found, ignore_index=True)], axis=1)
        with atomic_path(path) as temporary:
            known.to_csv(temporary, index=False)
    n = len(axis)
    parts = len(cohort) if blocks is None else sum(map(len, blocks))
    if len(known.columns) and len(known) != n * parts:
        raise FileError(f"{path}: damaged (wrong number of rows); delete it to rank the channels again")
    return [known.iloc[first : first + n].reset_index(drop=True) for first in range(0, n * parts, n)]


def _blocks(sections: list[Cube], plan: EvaluationPlan) -> tuple[list[Cube], list[int]]:
    """The cubes that form the folds, and the position of the section that each comes from."""
    if plan.blocks is None:
        return sections, list(range(len(sections)))
    buffer = plan.size // 2 if plan.buffer is None else plan.buffer
    parts = [split_blocks(cube, *plan.blocks, buffer=buffer) for cube in sections]
    return [block for blocks in parts for block in blocks], [i for i, blocks in enumerate(parts) for _ in blocks]


def _described(
    plan: EvaluationPlan,
    axis: CandidateAxis,
    sections: Sequence[Cube],
    cubes: Sequence[Cube],
    folds: Sequence[Fold],
    cohort: Cohort,
) -> dict[str, Any]:
    """Everything that determines the figures. Another host or number of threads may continue the evaluation."""
    names = [cube.name for cube in cubes]
    left_out = ("selections", "ablation", "methods", "ablation_methods", "adapt", "smooth", "threads")
    return {
        "plan": {k: v for k, v in vars(plan).items() if k not in left_out},
        "classes": cohort.classes,
        "channels": {
            "n": len(axis),
            "method": axis.method,
            "crc": zlib.crc32(np.stack([axis.mz, axis.mz_lo, axis.mz_hi]).tobytes()),
        },
        # Checksums of the contents, independent of file names and dates.
        "data": {cube.name: zlib.crc32(np.ascontiguousarray(cube.values).data) for cube in sections},
        "sections": [
            {
                "name": cube.name,
                "group": cube.group,
                "file": os.path.basename(cube.source),
                "shape": cube.measured.shape,
                "labels": zlib.crc32(np.ascontiguousarray(cube.labels).tobytes()),
            }
            for cube in cubes
        ],
        "folds": [
            {
                "name": fold.name,
                **{part: [names[i] for i in getattr(fold, part)] for part in ("train", "inner", "test")},
            }
            for fold in folds
        ],
    }


def _claim(out: Path, described: dict[str, Any], resume: bool) -> None:
    """Writes ``plan.json``, or refuses a folder that contains another evaluation."""
    if out.exists() and not out.is_dir():
        raise FileError(f"{out}: is a file; choose a folder")
    path = out / "plan.json"
    document = json.loads(json.dumps(plain(described)))
    if path.is_file():
        if not resume:
            raise ArgumentError(f"{out}: contains an evaluation; resume it or choose another folder")
        other = read_json(path)
        changed = [key for key in document if not isinstance(other, dict) or other.get(key) != document[key]]
        if changed:
            raise ArgumentError(
                f"{out}: contains an evaluation that differs in {', '.join(changed)}; choose another folder"
            )
        return
    make_folder(out)
    write_json(path, document)


def _file_name(fold: str) -> str:
    """A file name that is valid on every file system and unique to the fold."""
    safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in fold)
    return safe if safe == fold else f"{safe}-{zlib.crc32(fold.encode()):08x}"


def _read_fold(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as loaded:
            return {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError) as error:
        raise FileError(f"{path}: damaged ({error}); delete it to compute the fold again") from None


def _joined(
    selection: str,
    method: str,
    parts: Sequence[dict[str, npt.NDArray[Any]]],
    cubes: Sequence[Cube],
    adapt: str,
    smooth: str,
) -> Outcome:
    """Predictions of the labelled pixels of all folds, adapted and smoothed section by section."""
    joined: dict[str, list[npt.NDArray[Any]]] = {"section": [], "label": [], "probabilities": []}
    for part in parts:
        for section in np.unique(part["section"]):
            own = part["section"] == section
            given = part["probabilities"][own].astype(np.float64)
            changed = change_posteriors(given, cubes[section].measured, adapt=adapt, smooth=smooth)
            label = part["label"][own]
            judged = label != UNLABELLED
            joined["section"].append(part["section"][own][judged])
            joined["label"].append(label[judged])
            joined["probabilities"].append(changed[judged])
    seconds = np.sum([part["seconds"] for part in parts], axis=0)
    return Outcome(
        selection,
        "+".join([method, *(name for name in (adapt, smooth) if name != "none")]),
        int(max(len(part["channels"]) for part in parts)),
        **{name: np.concatenate(values) for name, values in joined.items()},
        train_seconds=float(seconds[0]),
        predict_seconds=float(seconds[1]),
    )
