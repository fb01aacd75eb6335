"""Export of a network to a single ONNX file."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.base.files import atomic_path

OPSET = 18


def write_onnx(network: nn.Module, example: Mapping[str, Tensor], output: str, path: Path) -> None:
    """Write one float32 ONNX file with a dynamic first axis; no path of this machine is stored.

    Args:
        network: Network in evaluation mode; accepts the tensors of ``example`` by name and returns one tensor.
        example: Inputs by name, first axis = batch.
        output: Name of the output.
        path: File to write; a failure leaves an existing file unchanged.

    Raises:
        FileError: The file cannot be written.
        IonMorphNetError: The exporter failed.
    """
    batch = torch.export.Dim("batch", min=1, max=65_536)
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter warns about its dependencies
            program = torch.onnx.export(
                network,
                kwargs=dict(example),
                dynamo=True,
                opset_version=OPSET,
                input_names=list(example),
                output_names=[output],
                dynamic_shapes={name: {0: batch} for name in example},
                external_data=False,
                verbose=False,
                # Optimisation would merge equal parameters and rename folded ones; OpenVINO optimises anyway.
                optimize=False,
            )
    finally:
        exporter_log.setLevel(level)
    if program is None:
        raise IonMorphNetError("the ONNX exporter returned nothing")
    proto = program.model_proto
    _strip_origin(proto)
    onnx.checker.check_model(proto)
    with atomic_path(path) as temporary:
        onnx.save_model(proto, str(temporary), save_as_external_data=False)


def _strip_origin(proto: onnx.ModelProto) -> None:
    """Remove the stack traces and file names that the exporter attaches to nodes."""
    graph = proto.graph
    holders = [proto, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output]
    for holder in holders:
        holder.doc_string = ""
        del holder.metadata_props[:]
