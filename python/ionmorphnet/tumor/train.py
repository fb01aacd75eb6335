"""Training of a tumor model: from a cohort to a model folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ionmorphnet.base.arguments import thread_count
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.extras import require_torch
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.versions import versions
from ionmorphnet.tumor.baselines import BASELINES, CLASSIFIERS, DEFAULT_METHOD, parse_method, require_sklearn
from ionmorphnet.tumor.channel_checks import shared_span
from ionmorphnet.tumor.channels import ChannelsLike, make_channels, some_channels
from ionmorphnet.tumor.cohort import Cohort, class_counts, survey
from ionmorphnet.tumor.cubes import open_cubes
from ionmorphnet.tumor.evaluation_plan import SIZE, STEPS
from ionmorphnet.tumor.model import TumorModel
from ionmorphnet.tumor.selection import section_scores, select, wanted_selection
from ionmorphnet.tumor.standardization import DEFAULT_STANDARDIZATION, checked_standardization

# Methods that can be saved as a model.
MODEL_METHODS = (*(name for name in BASELINES if CLASSIFIERS[parse_method(name)[0]].kind != "trees"), "cnn3d")


@dataclass(frozen=True, eq=False)
class TrainedTumorModel:
    """A finished training.

    Attributes:
        model: The trained model.
        chosen: Hyper-parameters that inner folds chose, and ``inner_auc``, their mean AUC; empty for the network.
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
    chosen: dict[str, Any] = field(default_factory=dict)


def train_tumor(
    out: PathLike,
    cohort: Cohort,
    *,
    method: str = DEFAULT_METHOD,
    channels: ChannelsLike = None,
    selection: str | None = None,
    top: int | None = None,
    ppm: float | None = None,
    tol: float | None = None,
    normalize: str = "tic",
    standardize: str = DEFAULT_STANDARDIZATION,
    size: int | None = None,
    steps: int | None = None,
    validate: bool = True,
    recipe: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: DeviceName | Device = "auto",
    precision: str = "auto",
    threads: int = 0,
    memory_limit: int | str = "4GB",
    progress: Callable[[str, int, int], None] | None = None,
) -> TrainedTumorModel:
    """Trains a classifier on all sections; the stopped training of a network is resumed.

    Args:
        out: Folder for ``training/`` (``last.pt`` to resume from, ``log.csv``, ``validation.csv``) and ``model/``.
        cohort: The sections.
        method: Name from ``MODEL_METHODS``: ``cnn3d``, or a classifier of pixels or local features. The latter chooses
            its hyper-parameters by folds of whole patients and trains on all patients.
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
        size: Side of a patch in pixels, odd; None: 9. This and the next four are for ``cnn3d`` only.
        steps: Optimiser steps; None: 200.
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
    from ionmorphnet.tumor.fitting import fit_baseline, fit_network

    if method not in MODEL_METHODS:
        raise ArgumentError(f"method must be one of {', '.join(MODEL_METHODS)}, not '{method}'")
    if method in BASELINES:
        require_sklearn()
        for_networks = {"size": size, "steps": steps, "recipe": recipe or None}
        for_networks |= {"precision": precision != "auto" or None, "validate": (not validate) or None}
        given = [name for name, value in for_networks.items() if value is not None]
        if given:
            raise ArgumentError(
                f"{', '.join(given)}: for method cnn3d only; leave out, or choose that instead of {method}"
            )
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
        if method in BASELINES:
            trained = fit_baseline(method, cubes, cohort.classes, seed=seed, threads=threads)
        else:
            trained = fit_network(
                out / "training",
                cubes,
                cohort.classes,
                validate=validate,
                size=SIZE if size is None else size,
                steps=STEPS if steps is None else steps,
                seed=seed,
                device=device,
                threads=threads,
                precision=precision,
                recipe=recipe,
                progress=lambda step, total: report_progress("training", step, total),
            )
        model = export_patches(
            out / "model",
            trained.network,
            trained.recipe,
            classes=cohort.classes,
            axis=axis,
            scaling=trained.scaling,
            normalize=normalize,
            standardize=standardize,
            span=span,
            examples=trained.examples,
            provenance={
                "sections": [{"name": cube.name, "patient": cube.group} for cube in cubes],
                **trained.provenance,
                "versions": versions(),
            },
        )
    done = trained.done
    return TrainedTumorModel(
        model,
        done.step,
        done.seconds,
        done.patches_per_s,
        done.stopped_early,
        done.best,
        trained.provenance["validated_on"],
        trained.provenance.get("chosen", {}),
    )
