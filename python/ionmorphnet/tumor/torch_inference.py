"""Inference of patch classifiers with torch; imports torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file

from ionmorphnet.base.devices import Device
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.training.runtime import torch_device
from ionmorphnet.tumor.feature_networks import FeatureNet, FeatureRecipe, make_feature_network
from ionmorphnet.tumor.model import Float32, Forward, TumorModel
from ionmorphnet.tumor.networks import PatchNet, make_patch_network
from ionmorphnet.tumor.recipe import NETWORKS, PatchRecipe


def torch_forward(model: TumorModel, device: Device) -> Forward:
    """Starts the network of a model folder in torch.

    Raises:
        FileError: The weights cannot be read.
        UnavailableError: The device is not available.
    """
    network, where = load_network(model), torch_device(device)
    network.to(where)

    def run(patches: Float32, mask: npt.NDArray[np.uint8]) -> Float32:
        with torch.no_grad():
            logits = network(torch.from_numpy(patches).to(where), torch.from_numpy(mask).float().to(where))
        found: Float32 = logits.float().cpu().numpy()
        return found

    return run


def load_network(model: TumorModel) -> PatchNet | FeatureNet:
    """Loads the network of a model folder, in evaluation mode on the CPU.

    Raises:
        FileError: The weights or their recipe cannot be read, or belong to another model.
    """
    path = model.folder / "model.safetensors"
    try:
        given = model.config["recipe"]
        recipe = (PatchRecipe if given["network"] in NETWORKS else FeatureRecipe).from_dict(given)
    except (KeyError, TypeError, ValueError, ArgumentError) as error:
        raise FileError(f"{model.folder / 'config.json'}: invalid recipe ({type(error).__name__}: {error})") from None
    if (recipe.channels, recipe.size, recipe.classes) != (len(model.axis), model.size, len(model.classes)):
        raise FileError(f"{model.folder / 'config.json'}: the recipe and the model differ in channels, size or classes")
    network = make_patch_network(recipe) if isinstance(recipe, PatchRecipe) else make_feature_network(recipe)
    try:
        state = load_file(path)
        counters = {name: value for name, value in network.state_dict().items() if not value.is_floating_point()}
        network.load_state_dict({**state, **counters})
    except Exception as error:
        raise FileError(f"{path}: cannot be loaded: {str(error).splitlines()[0]}") from None
    return network.eval()
