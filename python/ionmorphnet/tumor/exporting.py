"""Export of patch classifiers to model folders; imports torch."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ionmorphnet.base.json_output import plain
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.models.networks.folder import new_model_folder, write_config, write_safetensors
from ionmorphnet.models.networks.onnx_file import write_onnx
from ionmorphnet.models.networks.parity import compare
from ionmorphnet.tumor.feature_networks import FeatureNet, FeatureRecipe
from ionmorphnet.tumor.inference import start_on_cpu
from ionmorphnet.tumor.model import FORMAT, KIND, Float32, Forward, TumorModel, load_tumor_model
from ionmorphnet.tumor.networks import PatchNet, cost
from ionmorphnet.tumor.patches import Scaling
from ionmorphnet.tumor.recipe import PatchRecipe


def export_patches(
    folder: Path,
    network: PatchNet | FeatureNet,
    recipe: PatchRecipe | FeatureRecipe,
    *,
    classes: tuple[str, ...],
    axis: CandidateAxis,
    scaling: Scaling,
    normalize: str,
    standardize: str,
    span: tuple[float, float],
    examples: tuple[Float32, npt.NDArray[np.uint8]],
    provenance: Mapping[str, Any],
) -> TumorModel:
    """Writes a model folder and checks the exported network against torch.

    Args:
        folder: Destination. An existing model is replaced, see
            :func:`~ionmorphnet.models.networks.folder.new_model_folder`.
        network: The trained network, in evaluation mode.
        recipe: Recipe of the network.
        classes: Class names.
        axis: Input channels of the network, in order.
        scaling: Standardisation of the channels (``scaling.channels`` is not used).
        normalize: Normalisation of the intensities.
        standardize: Standardisation of each channel within a section.
        span: m/z range of the norm.
        examples: Patches and masks for the comparison.
        provenance: What the network was trained on.

    Raises:
        FileError: The folder holds something other than a model, or cannot be written.
        IonMorphNetError: The exported network differs from torch.
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
        "normalize": normalize,
        "standardize": standardize,
        "span": span,
        "transform": "square root, standardization per section and channel, then (value - centre) * scale",
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


def _check_parity(
    network: PatchNet | FeatureNet, forward: Forward, examples: tuple[Float32, npt.NDArray[np.uint8]]
) -> None:
    patches, mask = examples
    given = torch.from_numpy(patches), torch.from_numpy(mask).float()
    with torch.no_grad():
        expected = network(*given).numpy()
        exact = copy.deepcopy(network).double()(*(each.double() for each in given)).numpy()
    compare(forward(patches, mask), expected, exact).check("model.onnx")
