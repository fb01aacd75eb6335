"""Accuracy and ranges of typed graphs on sets of images, as shown by ``ionmorphnet engine check``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ionmorphnet.engine.accuracy import (
    Agreement,
    Prepared,
    TypedNetwork,
    agreement,
    extreme_inputs,
    reference_outputs,
    simulated_inputs,
)
from ionmorphnet.models.model import Model

SEED = 51_004_001


@dataclass(frozen=True)
class Checked:
    """Result for one precision on one set.

    Attributes:
        precision: ``bf16`` or ``fp16``.
        name: Name of the set.
        agreement: Differences from float32.
        largest: Largest magnitude in a 16-bit tensor.
        largest_in: Name of that tensor.
        margin: Factor by which it could grow before its type overflows.
    """

    precision: str
    name: str
    agreement: Agreement
    largest: float
    largest_in: str
    margin: float


def check_inputs(model: Model, images: int, sets: Iterable[Path] = ()) -> dict[str, Prepared]:
    """Prepares simulated images, extreme inputs, and labelled images from files.

    Args:
        model: A loaded model folder.
        images: Number of simulated images.
        sets: Files as read by ``ionmorphnet evaluate``.

    Returns:
        Inputs by the name of the set.

    Raises:
        FileError: A file cannot be read.
    """
    from ionmorphnet.evaluate.evaluation_set import load_sets

    prepared = {
        "simulated": simulated_inputs(model, images, seed=SEED),
        "extreme": extreme_inputs(model),
    }
    for path in sets:
        found = [np.asarray(image) for each in load_sets(path, name=path.stem) for image in each.images]
        prepared[path.stem] = Prepared.of(model, found)
    return prepared


def check_model(
    model: Model,
    precisions: Iterable[str],
    inputs: Mapping[str, Prepared],
    *,
    progress: Callable[[int, int], None] | None = None,
) -> list[Checked]:
    """Runs the typed graph of each precision on each set; takes about half a second of one CPU core per image.

    Args:
        model: A loaded model folder.
        precisions: Any of ``"bf16"`` and ``"fp16"``.
        inputs: Inputs by the name of the set, see :func:`check_inputs`.
        progress: Called as progress(done, total).

    Returns:
        One result per precision and set.

    Raises:
        FileError: The network has an operation without a typing rule.
        UnavailableError: onnx is not installed.
    """
    chosen = tuple(precisions)
    total, done = len(chosen) * len(inputs), []
    reference = {name: reference_outputs(model, prepared) for name, prepared in inputs.items()}
    for precision in chosen:
        for name, prepared in inputs.items():
            network = TypedNetwork(model, precision)
            compared = agreement(model, network(prepared), reference[name])
            largest_in, largest = network.ranges.top(1)[0]
            done.append(Checked(precision, name, compared, largest, largest_in, network.ranges.margin))
            if progress is not None:
                progress(len(done), total)
    return done
