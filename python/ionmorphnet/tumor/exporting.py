"""Model folders of patch classifiers: written, and run by torch; imports torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.evaluate.output import plain
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.models.networks.folder import new_model_folder, write_config, write_safetensors
from ionmorphnet.models.networks.onnx_file import write_onnx
from ionmorphnet.training.runtime import torch_device
from ionmorphnet.tumor.model import FORMAT, KIND, Float32, Forward, TumorModel, load_tumor_model, start_on_cpu
from ionmorphnet.tumor.networks import PatchNet, cost, make_patch_network
from ionmorphnet.tumor.patches import Scaling
from ionmorphnet.tumor.recipe import PatchRecipe

# Largest difference of a logit between torch and OpenVINO, both in float32.
PARITY_TOLERANCE = 1e-3


def export_patches(
    folder: Path,
    network: PatchNet,
    recipe: PatchRecipe,
    *,
    classes: tuple[str, ...],
    axis: CandidateAxis,
    scaling: Scaling,
    normalisation: str,
    span: tuple[float, float],
    examples: tuple[Float32, npt.NDArray[np.uint8]],
    provenance: Mapping[str, Any],
) -> TumorModel:
    """Write a model folder and compare its network with torch's.

    Args:
        folder: Replaced where it holds a model, see :func:`~ionmorphnet.models.networks.folder.new_model_folder`.
        network: In evaluation mode.
        recipe: Of the network.
        classes: Class names.
        axis: The channels that it sees, in order.
        scaling: Their standardisation (``scaling.channels`` is not used).
        normalisation: Of the intensities.
        span: m/z range of the norm.
        examples: Some patches and masks to compare on.
        provenance: From what it was trained.

    Raises:
        FileError: The folder holds something else, or cannot be written.
        IonMorphNetError: The exported network computes something else.
    """
    given = {
        "patches": torch.zeros(2, recipe.channels, recipe.size, recipe.size),
        "mask": torch.ones(2, recipe.size, recipe.size),
    }
    config = {
        "format": FORMAT,
        "kind": KIND,
        "classes": list(classes),
        "size": recipe.size,
        "normalisation": normalisation,
        "span": span,
        "transform": "square root, then (value - centre) * scale",
        "channels": {
            "method": axis.method,
            "mz": axis.mz,
            "mz_lo": axis.mz_lo,
            "mz_hi": axis.mz_hi,
            "half_width_ppm": 0.5e6 * (axis.mz_hi - axis.mz_lo) / axis.mz,
            "centre": scaling.centre,
            "scale": scaling.scale,
        },
        "recipe": recipe.to_dict(),
        "cost": cost(network, recipe.size),
        "provenance": dict(provenance),
    }
    with new_model_folder(folder) as temporary:
        write_onnx(network, given, "logits", temporary / "model.onnx")
        write_safetensors(temporary, network.state_dict(), {"architecture": recipe.network})
        write_config(temporary, plain(config))
        _check_parity(network, start_on_cpu(load_tumor_model(temporary)), examples)
    return load_tumor_model(folder)


def torch_forward(model: TumorModel, device: str) -> Forward:
    """The network of a model folder by torch.

    Raises:
        FileError: The weights cannot be read.
        UnavailableError: The device is not there.
    """
    network, where = load_network(model), torch_device(device)
    network.to(where)

    def run(patches: Float32, mask: npt.NDArray[np.uint8]) -> Float32:
        with torch.no_grad():
            logits = network(torch.from_numpy(patches).to(where), torch.from_numpy(mask).float().to(where))
        found: Float32 = logits.float().cpu().numpy()
        return found

    return run


def load_network(model: TumorModel) -> PatchNet:
    """The network of a model folder, in evaluation mode on the CPU.

    Raises:
        FileError: The weights or their recipe cannot be read, or are those of another model.
    """
    path = model.folder / "model.safetensors"
    try:
        recipe = PatchRecipe.from_dict(model.config["recipe"])
    except (KeyError, TypeError, ValueError, ArgumentError) as error:
        raise FileError(
            f"{model.folder / 'config.json'}: recipe not understood ({type(error).__name__}: {error})"
        ) from None
    if (recipe.channels, recipe.size, recipe.classes) != (len(model.axis), model.size, len(model.classes)):
        raise FileError(f"{model.folder / 'config.json'}: its recipe is of other channels, size or classes")
    network = make_patch_network(recipe)
    try:
        state = load_file(path)
        counters = {name: value for name, value in network.state_dict().items() if not value.is_floating_point()}
        network.load_state_dict({**state, **counters})
    except Exception as error:
        raise FileError(f"{path}: cannot be loaded: {str(error).splitlines()[0]}") from None
    return network.eval()


def _check_parity(network: PatchNet, forward: Forward, examples: tuple[Float32, npt.NDArray[np.uint8]]) -> None:
    patches, mask = examples
    with torch.no_grad():
        expected = network(torch.from_numpy(patches), torch.from_numpy(mask).float()).numpy()
    difference = float(np.abs(forward(patches, mask) - expected).max(initial=0.0))
    if not difference <= PARITY_TOLERANCE:
        raise IonMorphNetError(f"the exported network differs from torch by {difference:.2e}")
