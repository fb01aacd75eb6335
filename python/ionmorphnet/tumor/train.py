"""Train a patch classifier on a cohort and leave a model folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ionmorphnet.base.devices import Device
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.base.torch_check import require_torch
from ionmorphnet.base.versions import versions
from ionmorphnet.tumor.channels import ChannelsLike, make_channels, some_channels
from ionmorphnet.tumor.cohort import Cohort, labelled_shares, survey
from ionmorphnet.tumor.cubes import open_cubes
from ionmorphnet.tumor.model import TumorModel
from ionmorphnet.tumor.patches import extract, labelled_pixels
from ionmorphnet.tumor.protocol import inner_pixels
from ionmorphnet.tumor.reach import shared_span
from ionmorphnet.tumor.selection import section_scores, select, wanted_selection
from ionmorphnet.tumor.splits import held_out

logger = logging.getLogger("ionmorphnet")

_EXAMPLES = 64


@dataclass(frozen=True, eq=False)
class TrainedTumorModel:
    """A finished training.

    Attributes:
        model: The model folder.
        steps: Optimiser steps done.
        seconds: Wall time of the steps, over all sittings.
        patches_per_s: Speed of the training.
        stopped_early: Whether the validation ended it.
        validation: Step, loss and balanced accuracy of the kept weights; None without validation.
        validated_on: The patient that was held out for that.
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
    normalisation: str = "tic",
    size: int = 9,
    steps: int = 200,
    validate: bool = True,
    recipe: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: str = "auto",
    threads: int | None = None,
    memory_limit: int | str = "4GB",
    progress: Callable[[str, int, int], None] | None = None,
) -> TrainedTumorModel:
    """Train the 3D CNN on all sections, or go on with a training that was stopped.

    Args:
        out: Folder; receives ``training/`` (``last.pt`` to go on with, ``log.csv``, ``validation.csv``) and ``model/``.
        cohort: The sections.
        channels: Given channels, see :func:`~ionmorphnet.tumor.channels.make_channels`: all of them are used unless
            ``selection`` or ``top`` is given. None: all that are found, to select from.
        selection: ``picked``, ``moran``, ``intensity``, ``random`` or ``all``; None: ``picked``, or given channels as
            they are.
        top: Number of channels; None: 40.
        ppm: Half width of the windows of a given m/z list.
        tol: The same in m/z units.
        normalisation: ``none``, ``tic``, ``rms`` or ``median``.
        size: Side of a patch in pixels, odd.
        steps: Optimiser steps.
        validate: Hold one patient of three or more out and keep the weights that fit it best; False: the last weights
            of all patients.
        recipe: Further entries of :class:`~ionmorphnet.tumor.recipe.PatchRecipe`.
        seed: Of everything random; on a CPU the same seed, data and number of threads give the same weights.
        device: ``auto``, ``cpu`` or ``cuda[:N]``.
        precision: ``f32``, ``bf16``, or ``auto``: mixed precision on a GPU.
        threads: CPU threads; None: all.
        memory_limit: Anonymous memory to plan with.
        progress: Called with what is done now, and (done, in all).

    Raises:
        ArgumentError: An argument that cannot be meant, a class without labelled pixels, pixels of a file both held out
            and trained on, or ``out`` holds another training.
        FileError: A file cannot be read or written.
        UnavailableError: torch or the device is not there.
        Cancelled: Stopped after saving; the same call goes on.
    """
    require_torch("training needs torch, which is not installed: pip install 'ionmorphnet[tumor]'")
    from ionmorphnet.models.networks.folder import check_replaceable
    from ionmorphnet.tumor.exporting import export_patches
    from ionmorphnet.tumor.fit import read_patch_weights
    from ionmorphnet.tumor.fitting import prepare_fit

    out = Path(out)
    if out.exists() and not out.is_dir():
        raise FileError(f"{out}: is a file, a folder is needed")
    check_replaceable(out / "model")
    tell = progress or (lambda *_: None)
    (selection,), top = wanted_selection(() if selection is None else (selection,), top, channels is not None)
    # Masks first: ranking the channels of a cohort takes minutes.
    surveys = survey(cohort)
    labelled = np.sum([labelled_shares(known.labels, len(cohort.classes)) for known in surveys], axis=0)
    if (labelled == 0).any():
        raise ArgumentError(f"class '{cohort.classes[int(np.argmin(labelled))]}' has no labelled pixel to train on")
    span = shared_span([known.span for known in surveys], [section.name for section in cohort.sections])
    axis = make_channels(channels, cohort, ppm=ppm, tol=tol)
    if selection != "all":
        scores = section_scores(
            cohort,
            axis,
            [selection],
            seed=seed,
            device=Device.parse(device),
            threads=threads or 0,
            memory_limit=memory_limit,
            progress=lambda d, n: tell("ranking channels", d, n),
        )
        chosen = select(scores, selection, top, len(axis))
        axis = some_channels(axis, chosen, f"{selection} {len(chosen)} of {axis.method}")
    with open_cubes(
        cohort,
        axis,
        normalisation=normalisation,
        span=span,
        surveys=surveys,
        memory_limit=memory_limit,
        progress=lambda done, total: tell("reading", done, total),
    ) as cubes:
        patients = [cube.group for cube in cubes]
        everything = range(len(cubes))
        # The last patient that can be spared.
        names = list(dict.fromkeys(reversed(patients)))
        spared = held_out(cubes, patients, everything, names, len(cohort.classes), 0, "training") if validate else ()
        if validate and not spared:
            logger.warning(
                "no patient is held out, the last weights are kept: it takes three patients, and one with all classes "
                "whose absence leaves them to the others"
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
        done = fit.run(out / "training", lambda step, total: tell("training", step, total))
        trained, network = read_patch_weights(out / "training")
        examples = extract(cubes, training[:: max(1, len(training) // _EXAMPLES)][:_EXAMPLES], size, fit.data.scaling)
        provenance = {
            "sections": [{"name": cube.name, "patient": cube.group} for cube in cubes],
            "validated_on": patients[spared[0]] if spared else None,
            "pixels": {name: int(n) for name, n in zip(cohort.classes, counts, strict=True)},
            "validation": done["best"],
            "steps": done["step"],
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
            normalisation=normalisation,
            span=span,
            examples=examples,
            provenance=provenance,
        )
    return TrainedTumorModel(
        model,
        done["step"],
        done["seconds"],
        done["patches_per_s"],
        done["stopped_early"],
        done["best"],
        provenance["validated_on"],
    )
