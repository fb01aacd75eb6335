"""Networks back from model folders: for fine-tuning, and for folders that leave model.safetensors out."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

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
from ionmorphnet.models.networks.folder import check_replaceable, new_model_folder, write_config, write_safetensors
from ionmorphnet.models.networks.weights import load_strictly

_DERIVED = "derived from model.onnx: computes the same; folded scales and shifts are identities"


def read_network(model: str | Path | Model | None = None) -> ConvNeXtV2:
    """The network of a model folder in torch: from model.safetensors, or where that is left out from model.onnx.

    Args:
        model: Bundled name, model folder or loaded Model; None: the default model.

    Returns:
        In evaluation mode. From model.onnx it computes the same as the trained network, but scales and shifts that the
        export folded into their neighbours are identities.

    Raises:
        FileError: The folder cannot be used, or its network is not one of this package's.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    return network_of_folder(loaded.folder, loaded.config)


def network_of_folder(folder: Path, config: dict[str, Any]) -> ConvNeXtV2:
    """The same from a folder and what its config.json holds."""
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


def derive_safetensors(model: str | Path, out: str | Path) -> dict[str, Any]:
    """Copy a model folder and add model.safetensors, derived from its model.onnx.

    The weights are those of the network as it runs: loaded into ``ConvNeXtV2`` with ``strict=True`` they give its
    outputs, which is checked. They are not the trained parameters one by one, see
    :mod:`ionmorphnet.models.networks.deploy` for what was folded.

    Args:
        model: Bundled name or model folder.
        out: Folder to write.

    Returns:
        What config.json holds.

    Raises:
        FileError: The model cannot be used or the folder cannot be written.
        IonMorphNetError: The derived weights do not give the outputs of the network.
    """
    # Here, because it needs OpenVINO, and reading a network does not.
    from ionmorphnet.models.networks.onnx_export import INPUT_SIZE, check_parity

    out = Path(out)
    check_replaceable(out)
    loaded = load_model(model)
    if out.exists() and out.resolve() == loaded.folder.resolve():
        raise ArgumentError(f"{out}: is the model itself, another folder is needed")
    path = loaded.folder / "model.onnx"
    net = _empty(loaded.config, loaded.folder)
    net.load_state_dict(_from_onnx(path, net), strict=True)
    rng = np.random.default_rng(0)
    images = rng.random((4, net.in_chans, INPUT_SIZE, INPUT_SIZE), dtype=np.float32)
    statistics = rng.random((4, len(loaded.config.get("statistics", ()))), dtype=np.float32)
    difference = check_parity(net.eval(), path, images, statistics if statistics.shape[1] else None)
    with new_model_folder(out) as temporary:
        shutil.copyfile(path, temporary / "model.onnx")
        write_safetensors(temporary, net.state_dict(), {"name": loaded.name, "origin": _DERIVED})
        record = {"safetensors": {"origin": _DERIVED, "max_output_difference_to_onnx": difference}}
        config = {**loaded.config, **record}
        write_config(temporary, config)
    return config


def _empty(config: dict[str, Any], folder: Path) -> ConvNeXtV2:
    """The network that a config.json describes, with fresh weights."""
    extra = {name: 1 for name in config.get("outputs", ["logits"]) if name != "logits"}
    try:
        return ConvNeXtV2(
            config["architecture"],
            in_chans=int(config["input"]["channels"]),
            num_classes=len(CLASSES),
            extra_outputs=extra,
            statistics=len(config.get("statistics", ())),
            statistics_hidden=int(config.get("statistics_hidden", STATISTICS_HIDDEN)),
        )
    except ArgumentError as error:
        raise FileError(f"{folder}: {error}") from None
    except (KeyError, TypeError, ValueError):
        raise FileError(f"{folder / 'config.json'}: does not describe the network's input") from None


def _from_onnx(path: Path, net: ConvNeXtV2) -> dict[str, Tensor]:
    try:
        graph = onnx.load(str(path)).graph
    except (DecodeError, OSError) as error:
        raise FileError(f"{path}: cannot be read as ONNX: {error}") from None
    # A copy: the arrays of onnx may be views of read-only memory.
    parameters = {i.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(i))) for i in graph.initializer}
    try:
        return restored(parameters, net)
    except IonMorphNetError as error:
        raise FileError(f"{path}: was not written by this package's export: {error}") from None
