"""Post-training quantisation: an 8-bit variant of a model folder's network, with its agreement with float32."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openvino

from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.base.files import read_json
from ionmorphnet.base.json_output import write_json
from ionmorphnet.evaluate.metrics import spearman
from ionmorphnet.models.model import INT8_FILE, Model, load_model
from ionmorphnet.models.networks.folder import Int8Config
from ionmorphnet.models.networks.onnx_export import openvino_outputs
from ionmorphnet.training.held_out import HELD_OUT_SEED, HeldOut, simulated_held_out

CALIBRATION_SEED = HELD_OUT_SEED + 1
# What is computed in 8 bits. Normalisations and depthwise convolutions stay in float: quantised, they gained nothing
# and changed a fifth of the classes.
_QUANTISED = "Convolution"
_NOT_OPERATIONS = {"Parameter", "Result", "Constant", _QUANTISED}


def quantise_model(folder: str | Path, *, images: int = 300) -> Int8Config:
    """Adds an 8-bit variant of the network to a model folder, and its figures to config.json.

    The 1 x 1 and strided convolutions get 8-bit weights and inputs, calibrated on simulated images. Precision ``int8``
    uses the variant.

    Args:
        folder: Model folder; an earlier variant is replaced.
        images: Simulated images for the calibration, and as many others for the comparison with float32.

    Raises:
        FileError: The folder is not a model folder, or cannot be written.
        UnavailableError: nncf is not installed.
    """
    nncf = _import_nncf()
    model = load_model(folder)
    calibration = list(_held_out(model, images, CALIBRATION_SEED))
    network = openvino.Core().read_model(str(model.onnx_path))
    inputs = [
        {port.get_any_name(): _rows(port.get_any_name(), part)[row : row + 1] for port in network.inputs}
        for part in calibration
        for row in range(len(part.images))
    ]
    float_operations = {operation.get_type_name() for operation in network.get_ops()} - _NOT_OPERATIONS
    with _silent():
        quantised = nncf.quantize(
            network,
            nncf.Dataset(inputs),
            subset_size=len(inputs),
            preset=nncf.QuantizationPreset.MIXED,
            ignored_scope=nncf.IgnoredScope(types=sorted(float_operations), validate=False),
        )
    path = model.folder / INT8_FILE
    openvino.save_model(quantised, str(path), compress_to_fp16=False)
    figures = _compare(model, path, images, nncf.__version__)
    config = dict(read_json(model.folder / "config.json"))
    config["int8"] = figures
    write_json(model.folder / "config.json", config)
    return figures


def _import_nncf() -> Any:
    # It would report each use over the network otherwise.
    os.environ.setdefault("NNCF_CI", "1")
    try:
        return importlib.import_module("nncf")
    except ImportError:
        raise UnavailableError("quantisation needs nncf: pip install 'ionmorphnet[int8]'") from None


def _held_out(model: Model, n: int, seed: int) -> Iterator[HeldOut]:
    return simulated_held_out(n, model.preprocessing, statistics=model.statistics, seed=seed)


def _rows(name: str, part: HeldOut) -> np.ndarray[Any, np.dtype[np.float32]]:
    if name == "statistics":
        assert part.statistics is not None
        return part.statistics
    return part.images


def _compare(model: Model, path: Path, n: int, version: str) -> Int8Config:
    exact, rounded = [], []
    for part in _held_out(model, n, HELD_OUT_SEED):
        exact.append(openvino_outputs(model.onnx_path, part.images, part.statistics))
        rounded.append(openvino_outputs(path, part.images, part.statistics))
    scores, labels = [], []
    for outputs in (np.concatenate(exact), np.concatenate(rounded)):
        probabilities = model.probabilities(outputs)
        scores.append(model.score(probabilities, model.structure(outputs) if model.has_structure else None))
        labels.append(probabilities.argmax(axis=1))
    return {
        "images": n,
        "calibration_images": n,
        "spearman_of_score": float(spearman(*scores)),
        "same_class": float((labels[0] == labels[1]).mean()),
        "max_score_difference": float(np.abs(scores[0] - scores[1]).max()),
        "nncf": version,
    }


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Hides nncf's progress bars and its list of operations that stay in float."""
    log = logging.getLogger("nncf")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        log.setLevel(level)
