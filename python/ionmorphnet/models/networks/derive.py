"""Networks from model folders, also from folders without model.safetensors."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import cast

import numpy as np
import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from ionmorphnet.base.errors import ArgumentError, FileError, IonMorphNetError
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.models.model import Model, load_model
from ionmorphnet.models.networks.convnextv2 import STATISTICS_HIDDEN, ConvNeXtV2
from ionmorphnet.models.networks.deploy import restored
from ionmorphnet.models.networks.folder import (
    ModelConfig,
    check_replaceable,
    new_model_folder,
    write_config,
    write_safetensors,
)
from ionmorphnet.models.networks.weights import load_strictly
from ionmorphnet.models.preprocessing import Preprocessing

_DERIVED = "derived from model.onnx: same outputs; folded scales and shifts are identities"


def read_network(model: str | Path | Model | None = None) -> ConvNeXtV2:
    """Load the network of a model folder into torch, from model.safetensors or, if that is missing, model.onnx.

    Args:
        model: Bundled name, model folder or loaded Model; None: the default model.

    Returns:
        The network in evaluation mode. Loaded from model.onnx, it computes the same outputs as the trained network, but
        scales and shifts that the export folded into neighbouring layers are identities.

    Raises:
        FileError: The folder cannot be used, or its network was not written by this package.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    return network_of_folder(loaded.folder, cast(ModelConfig, loaded.config))


def network_of_folder(folder: Path, config: ModelConfig) -> ConvNeXtV2:
    """Load the network from a folder with the given content of config.json; see :func:`read_network`."""
    stored = folder / "model.safetensors"
    if not stored.is_file():
        net = _empty(config, folder)
        net.load_state_dict(_from_onnx(folder / "model.onnx", net), strict=True)
        return net.eval()
    try:
        state = load_file(stored)
    except (SafetensorError, OSError) as error:
        raise FileError(f"{stored}: {error}") from None
    net = _empty(config, folder)
    load_strictly(net, state, stored)
    return net.eval()


def derive_safetensors(model: str | Path, out: str | Path) -> ModelConfig:
    """Copy a model folder and add model.safetensors, derived from its model.onnx.

    Loaded into ``ConvNeXtV2`` with ``strict=True``, the weights reproduce the network's outputs, which is checked. They
    differ from the trained parameters where the export folded layers, see :mod:`ionmorphnet.models.networks.deploy`.

    Args:
        model: Bundled name or model folder.
        out: Folder to write.

    Returns:
        The content of config.json.

    Raises:
        FileError: The model cannot be used, or the folder cannot be written.
        IonMorphNetError: The derived weights do not reproduce the outputs of the network.
    """
    # Imported here because it requires OpenVINO, which reading a network does not.
    from ionmorphnet.models.networks.onnx_export import check_parity

    out = Path(out)
    check_replaceable(out)
    loaded = load_model(model)
    if out.exists() and out.resolve() == loaded.folder.resolve():
        raise ArgumentError(f"{out}: is the model itself; choose another folder")
    path, model_config = loaded.folder / "model.onnx", cast(ModelConfig, loaded.config)
    net = _empty(model_config, loaded.folder)
    net.load_state_dict(_from_onnx(path, net), strict=True)
    rng = np.random.default_rng(0)
    images = rng.random((4, *loaded.input_shape), dtype=np.float32)
    statistics = rng.random((4, len(model_config.get("statistics", ()))), dtype=np.float32)
    parity = check_parity(net.eval(), path, images, statistics if statistics.shape[1] else None)
    with new_model_folder(out) as temporary:
        shutil.copyfile(path, temporary / "model.onnx")
        write_safetensors(temporary, net.state_dict(), {"name": loaded.name, "origin": _DERIVED})
        config: ModelConfig = {
            **model_config,
            "safetensors": {"origin": _DERIVED, "max_output_difference_to_onnx": parity.difference},
        }
        config.pop("int8", None)  # the 8-bit network is not copied
        write_config(temporary, config)
    return config


def _empty(config: ModelConfig, folder: Path) -> ConvNeXtV2:
    """Build the network that a config.json describes, with random weights."""
    extra = {name: 1 for name in config.get("outputs", ["logits"]) if name != "logits"}
    try:
        with_sample = config.get("sample_statistics", False)
        channels = Preprocessing.parse(config["preprocessing"]).channels if with_sample else ()
        return ConvNeXtV2(
            config["architecture"],
            in_chans=int(config["input"]["channels"]),
            num_classes=len(CLASSES),
            extra_outputs=extra,
            statistics=len(config.get("statistics", ())),
            statistics_hidden=int(config.get("statistics_hidden", STATISTICS_HIDDEN)),
            sample_channels=channels,
        )
    except ArgumentError as error:
        raise FileError(f"{folder}: {error}") from None
    except (KeyError, TypeError, ValueError):
        raise FileError(f"{folder / 'config.json'}: incomplete or malformed description of the network") from None


def _from_onnx(path: Path, net: ConvNeXtV2) -> dict[str, Tensor]:
    try:
        graph = onnx.load(str(path)).graph
    except (DecodeError, OSError) as error:
        raise FileError(f"{path}: cannot be read as ONNX: {error}") from None
    # Copied because onnx may return views of read-only memory.
    parameters = {i.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(i))) for i in graph.initializer}
    try:
        return restored(parameters, net)
    except IonMorphNetError as error:
        raise FileError(f"{path}: not written by this package's export: {error}") from None
