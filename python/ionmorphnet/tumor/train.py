"""Training of a tumor model: from a cohort to a model folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.extras import require_torch
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.versions import versions
from ionmorphnet.tumor.channel_checks import shared_span
from ionmorphnet.tumor.channels import ChannelsLike, make_channels, some_channels
from ionmorphnet.tumor.cohort import Cohort, class_counts, survey
from ionmorphnet.tumor.cubes import open_cubes
from ionmorphnet.tumor.evaluation import inner_pixels
from ionmorphnet.tumor.model import TumorModel
from ionmorphnet.tumor.patches import extract, labelled_pixels
from ionmorphnet.tumor.selection import section_scores, select, wanted_selection
from ionmorphnet.tumor.splits import held_out
from ionmorphnet.tumor.standardization import DEFAULT_STANDARDIZATION, checked_standardization

logger = logging.getLogger("ionmorphnet")

_EXAMPLES = 64


@dataclass(frozen=True, eq=False)
class TrainedTumorModel:
    """A finished training.

    Attributes:
        model: The trained model.
        steps: Optimiser steps.
        seconds: Wall time of the steps, summed over all runs of a resumed training.
        patches_per_s: Patches per second.
        stopped_early: Whether early stopping ended the training.
        validation: Step, loss and balanced accuracy of the saved weights; None without validation.
        validated_on: The patient held out for validation; None without validation.
    """

    model: TumorModel
    steps: int
    seconds: float
    patches_per_s: float
    stopped_early: bool
    validation: dict[str, float] | None
    validated_on: str | None


def train_tumor(
    out: PathLike,
    cohort: Cohort,
    *,
    channels: ChannelsLike = None,
    selection: str | None = None,
    top: int | None = None,
    ppm: float | None = None,
    tol: float | None = None,
    normalize: str = "tic",
    standardize: str = DEFAULT_STANDARDIZATION,
    size: int = 9,
    steps: int = 200,
    validate: bool = True,
    recipe: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: DeviceName | Device = "auto",
    precision: str = "auto",
    threads: int = 0,
    memory_limit: int | str = "4GB",
    progress: Callable[[str, int, int], None] | None = None,
) -> TrainedTumorModel:
    """Trains the 3D CNN on all sections, or resumes a stopped training.

    Args:
        out: Folder for ``training/`` (``last.pt`` to resume from, ``log.csv``, ``validation.csv``) and ``model/``.
        cohort: The sections.
        channels: Channels, see :func:`~ionmorphnet.tumor.channels.make_channels`. All of them are used unless
            ``selection`` or ``top`` is given. None: selected from all channels of the cohort.
        selection: ``picked``, ``moran``, ``intensity``, ``random`` or ``all``. None: ``picked``, or the given channels
            unchanged.
        top: Number of channels; None: 40.
        ppm: Half width of the windows of a given m/z list.
        tol: The same in m/z units.
        normalize: ``none``, ``tic``, ``rms`` or ``median``.
        standardize: ``z``, ``rank``, ``robust`` or ``none``, see
            :func:`~ionmorphnet.tumor.standardization.standardize_section`. The model records it for prediction.
        size: Side of a patch in pixels, odd.
        steps: Optimiser steps.
        validate: Whether to hold one of at least three patients out and keep the weights with the smallest loss on that
            patient. False: train on all patients and keep the last weights.
        recipe: Further fields of :class:`~ionmorphnet.tumor.recipe.PatchRecipe`.
        seed: Seed of everything random. On a CPU, the same seed, data and number of threads give the same weights.
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
        precision: ``f32``, ``bf16``, or ``auto``: mixed precision on a GPU, f32 on a CPU.
        threads: CPU threads; 0: all cores.
        memory_limit: Limit of anonymous memory, in bytes or as text such as ``"4GB"``.
        progress: Called as progress(text, done, total), where the text names the current stage.

    Returns:
        The trained model and how its training went.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range, a class has no labelled pixels, the held-out
            patient shares pixels of a file with the others, or ``out`` contains another training.
        FileError: A file cannot be read or written.
        UnavailableError: torch or the device is not available.
        Cancelled: The training was stopped and saved; the same call resumes it.
    """
    require_torch("training needs torch: pip install 'ionmorphnet[tumor]'")
    from ionmorphnet.models.networks.folder import check_replaceable
    from ionmorphnet.tumor.exporting import export_patches
    from ionmorphnet.tumor.training_loop import read_patch_weights
    from ionmorphnet.tumor.training_setup import prepare_fit

    out = Path(out)
    if out.exists() and not out.is_dir():
        raise FileError(f"{out}: is a file; choose a folder")
    check_replaceable(out / "model")
    threads = thread_count(threads)
    checked_standardization(standardize)
    report_progress = progress or (lambda *_: None)
    (selection,), top = wanted_selection(() if selection is None else (selection,), top, channels is not None)
    # Masks are checked first, because ranking the channels of a cohort takes minutes.
    surveys = survey(cohort)
    labelled = np.sum([class_counts(known.labels, len(cohort.classes)) for known in surveys], axis=0)
    if (labelled == 0).any():
        raise ArgumentError(f"class '{cohort.classes[int(np.argmin(labelled))]}' has no labelled pixels to train on")
    span = shared_span([known.span for known in surveys], [section.name for section in cohort.sections])
    axis = make_channels(channels, cohort, ppm=ppm, tol=tol)
    if selection != "all":
        scores = section_scores(
            cohort,
            axis,
            [selection],
            seed=seed,
            device=device,
            threads=threads,
            memory_limit=memory_limit,
            progress=lambda done, total: report_progress("ranking channels", done, total),
        )
        chosen = select(scores, selection, top, len(axis))
        axis = some_channels(axis, chosen, f"{selection} {len(chosen)} of {axis.method}")
    with open_cubes(
        cohort,
        axis,
        normalize=normalize,
        standardize=standardize,
        span=span,
        surveys=surveys,
        memory_limit=memory_limit,
        progress=lambda done, total: report_progress("reading", done, total),
    ) as cubes:
        patients = [cube.group for cube in cubes]
        everything = range(len(cubes))
        # Held out is the last patient that can be spared.
        names = list(dict.fromkeys(reversed(patients)))
        spared = held_out(cubes, patients, everything, names, len(cohort.classes), 0, "training") if validate else ()
        if validate and not spared:
            logger.warning(
                "no patient is held out, so the last weights are kept: validation needs three patients, one of whom "
                "has all classes and leaves all classes to the others"
            )
        training = labelled_pixels(cubes, [i for i in everything if i not in spared])
        counts = np.bincount(training.label, minlength=len(cohort.classes))
        inner = inner_pixels(cubes, spared, seed)
        fit = prepare_fit(
            "cnn3d",
            cubes,
            training,
            inner,
            np.arange(len(axis)),
            classes=len(cohort.classes),
            size=size,
            steps=steps,
            seed=seed,
            device=device,
            threads=threads,
            precision=precision,
            recipe=recipe,
        )
        done = fit.run(out / "training", lambda step, total: report_progress("training", step, total))
        trained, network = read_patch_weights(out / "training")
        examples = extract(cubes, training[:: max(1, len(training) // _EXAMPLES)][:_EXAMPLES], size, fit.data.scaling)
        validated_on = patients[spared[0]] if spared else None
        provenance = {
            "sections": [{"name": cube.name, "patient": cube.group} for cube in cubes],
            "validated_on": validated_on,
            "pixels": {name: int(n) for name, n in zip(cohort.classes, counts, strict=True)},
            "validation": done.best,
            "steps": done.step,
            "device": fit.execution.device.type,
            "versions": versions(),
        }
        model = export_patches(
            out / "model",
            network,
            trained,
            classes=cohort.classes,
            axis=axis,
            scaling=fit.data.scaling,
            normalize=normalize,
            standardize=standardize,
            span=span,
            examples=examples,
            provenance=provenance,
        )
    return TrainedTumorModel(
        model,
        done.step,
        done.seconds,
        done.patches_per_s,
        done.stopped_early,
        done.best,
        validated_on,
    )
