"""Export of a trained model to ONNX, checked against torch."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ionmorphnet._files import atomic_path
from ionmorphnet.errors import IonMorphNetError
from ionmorphnet.training.convnextv2 import ConvNeXtV2, channel_first

OPSET = 18
INPUT_SIZE = 224

# Largest difference of a logit between torch and OpenVINO, both in float32.
PARITY_TOLERANCE = 1e-4


class _Outputs(nn.Module):
    """A model whose extra outputs follow the logits as a tuple, as ONNX wants them."""

    def __init__(self, model: ConvNeXtV2) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """All outputs, the logits first."""
        return tuple(self.model.forward_all(image).values())


def export_onnx(model: ConvNeXtV2, path: Path) -> None:
    """Write one float32 ONNX file: input ``image`` (N, C, 224, 224), output ``logits`` (N, classes), extra outputs.

    The batch is dynamic. The graph is channel-first without transposes and holds no trace of where it was made.

    Args:
        model: In evaluation mode; its weights are not changed.
        path: File to write; a failure leaves it as it was.

    Raises:
        FileError: It cannot be written.
        IonMorphNetError: The exporter failed.
    """
    names = ["logits", *model.head.extra]
    example = torch.zeros(2, model.in_chans, INPUT_SIZE, INPUT_SIZE)
    exporter_log = logging.getLogger("torch.onnx")
    level = exporter_log.level
    exporter_log.setLevel(logging.ERROR)
    try:
        with channel_first(model), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # the exporter warns of its own dependencies
            program = torch.onnx.export(
                _Outputs(model).eval(),
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["image"],
                output_names=names,
                dynamic_shapes={"image": {0: torch.export.Dim("batch", min=1, max=65_536)}},
                external_data=False,
                verbose=False,
            )
        if program is None:
            raise IonMorphNetError("the ONNX exporter returned nothing")
        proto = program.model_proto
        _strip_origin(proto)
        onnx.checker.check_model(proto)
        with atomic_path(path) as temporary:
            onnx.save_model(proto, str(temporary), save_as_external_data=False)
    finally:
        exporter_log.setLevel(level)


def _strip_origin(proto: onnx.ModelProto) -> None:
    """Remove stack traces and file names that the exporter attaches to nodes."""
    graph = proto.graph
    holders = [proto, graph, *graph.node, *graph.value_info, *graph.initializer, *graph.input, *graph.output]
    for holder in holders:
        holder.doc_string = ""
        del holder.metadata_props[:]


def openvino_outputs(path: Path, images: NDArray[np.float32], output: str = "logits") -> NDArray[np.float32]:
    """One output of an ONNX model, computed by OpenVINO in float32 on the CPU.

    Args:
        path: The ONNX file.
        images: float32 (N, C, 224, 224).
        output: Name of the output.

    Returns:
        float32 (N, width).
    """
    import openvino

    core = openvino.Core()
    compiled = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    port = compiled.output(output)
    parts = [compiled(part)[port] for part in np.array_split(images, max(1, len(images) // 32))]
    result: NDArray[np.float32] = np.concatenate(parts)
    return result


def check_parity(model: ConvNeXtV2, path: Path, images: NDArray[np.float32]) -> float:
    """Largest absolute difference of a logit between torch and the exported file.

    Raises:
        IonMorphNetError: It exceeds ``PARITY_TOLERANCE``.
    """
    with torch.no_grad():
        expected = torch.cat([model(part) for part in torch.split(torch.from_numpy(images), 32)]).numpy()
    difference = float(np.abs(openvino_outputs(path, images) - expected).max())
    if not difference <= PARITY_TOLERANCE:
        raise IonMorphNetError(f"{path.name}: differs from torch by {difference:.2e}, allowed {PARITY_TOLERANCE:.0e}")
    return difference
