"""Training of one method on the sections of a cohort, up to a network that can be exported; imports torch."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.arguments import usable_cores
from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.tumor.baselines import FittedBaseline, most_pixels, parse_method
from ionmorphnet.tumor.cubes import Cube
from ionmorphnet.tumor.evaluation import inner_pixels
from ionmorphnet.tumor.feature_networks import FeatureNet, FeatureRecipe, make_feature_network
from ionmorphnet.tumor.networks import PatchNet
from ionmorphnet.tumor.patches import Pixels, Scaling, extract, groups_of, labelled_pixels, local_features, thinned
from ionmorphnet.tumor.recipe import PatchRecipe
from ionmorphnet.tumor.splits import held_out
from ionmorphnet.tumor.texture import texture_projection
from ionmorphnet.tumor.training_loop import FitResult, read_patch_weights
from ionmorphnet.tumor.training_setup import prepare_fit

logger = logging.getLogger("ionmorphnet")

_EXAMPLES = 64


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained method.

    Attributes:
        network: The network, in evaluation mode.
        recipe: Its recipe.
        scaling: Standardisation of the channels.
        examples: Patches and masks of some training pixels.
        done: How the training went.
        provenance: What it was trained on.
    """

    network: PatchNet | FeatureNet
    recipe: PatchRecipe | FeatureRecipe
    scaling: Scaling
    examples: tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]
    done: FitResult
    provenance: dict[str, Any]


def fit_network(
    folder: Path,
    cubes: Sequence[Cube],
    classes: tuple[str, ...],
    *,
    validate: bool,
    size: int,
    steps: int,
    seed: int,
    device: DeviceName | Device,
    threads: int,
    precision: str,
    recipe: Mapping[str, Any] | None,
    progress: Callable[[int, int], None],
) -> Fitted:
    """Trains the 3D CNN, or resumes its training in ``folder``; see :func:`~ionmorphnet.tumor.train.train_tumor`."""
    patients = [cube.group for cube in cubes]
    everything = range(len(cubes))
    # Held out is the last patient that can be spared.
    names = list(dict.fromkeys(reversed(patients)))
    spared = held_out(cubes, patients, everything, names, len(classes), 0, "training") if validate else ()
    if validate and not spared:
        logger.warning(
            "no patient is held out, so the last weights are kept: validation needs three patients, one of whom has "
            "all classes and leaves all classes to the others"
        )
    training = labelled_pixels(cubes, [i for i in everything if i not in spared])
    fit = prepare_fit(
        "cnn3d",
        cubes,
        training,
        inner_pixels(cubes, spared, seed),
        np.arange(cubes[0].n_channels),
        classes=len(classes),
        size=size,
        steps=steps,
        seed=seed,
        device=device,
        threads=threads,
        precision=precision,
        recipe=recipe,
    )
    done = fit.run(folder, progress)
    trained, network = read_patch_weights(folder)
    provenance = {
        "validated_on": patients[spared[0]] if spared else None,
        "pixels": _counts(training, classes),
        "validation": done.best,
        "steps": done.step,
        "device": fit.execution.device.type,
    }
    return Fitted(
        network, trained, fit.data.scaling, _examples(cubes, training, size, fit.data.scaling), done, provenance
    )


def fit_baseline(method: str, cubes: Sequence[Cube], classes: tuple[str, ...], *, seed: int, threads: int) -> Fitted:
    """Trains a classifier of pixels or local features on all patients."""
    began = time.perf_counter()
    features = parse_method(method)[1]
    most = most_pixels(method, cubes[0].n_channels)
    training = thinned(labelled_pixels(cubes, range(len(cubes))), most, seed)
    scaling = Scaling.of(cubes, training, np.arange(cubes[0].n_channels))
    projection = texture_projection(features, cubes, training, scaling)
    values = local_features(cubes, training, scaling, features, projection)
    fitted = FittedBaseline(
        method, values, training.label, groups_of(cubes, training), seed=seed, threads=threads or usable_cores()
    )
    exported = fitted.exported()
    centres = 0 if exported.centres is None else len(exported.centres)
    components = 0 if projection is None else projection.shape[1]
    recipe = FeatureRecipe(method, cubes[0].n_channels, len(classes), features, centres, components)
    seconds = time.perf_counter() - began
    provenance = {
        "validated_on": None,
        "pixels": _counts(training, classes),
        "chosen": {**fitted.chosen, "inner_auc": fitted.inner_auc},
        "device": "cpu",
    }
    return Fitted(
        make_feature_network(recipe, exported, projection),
        recipe,
        scaling,
        _examples(cubes, training, recipe.size, scaling),
        FitResult(0, seconds, False, None, len(training) / max(seconds, 1e-9)),
        provenance,
    )


def _counts(training: Pixels, classes: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(training.label, minlength=len(classes))
    return {name: int(n) for name, n in zip(classes, counts, strict=True)}


def _examples(
    cubes: Sequence[Cube], training: Pixels, size: int, scaling: Scaling
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    return extract(cubes, training[:: max(1, len(training) // _EXAMPLES)][:_EXAMPLES], size, scaling)
