"""Networks as ONNX: written by torch, run and compared with torch by OpenVINO."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
from ionmorphnet.models.networks.deploy import deployed
from ionmorphnet.models.networks.onnx_file import write_onnx

INPUT_SIZE = 224

# Largest difference of an output between torch and OpenVINO, both in float32.
PARITY_TOLERANCE = 1e-4

Float32 = NDArray[np.float32]

_BATCH = 32


def output_names(model: ConvNeXtV2) -> tuple[str, ...]:
    """What the columns of the network's output hold: ``logits``, then ``structure`` where the model has it.

    Raises:
        ArgumentError: An output that model folders do not know.
    """
    extra = {name: head.out_features for name, head in model.head.extra.items()}
    if extra not in ({}, {"structure": 1}):
        raise ArgumentError(f"a model folder holds the outputs logits and structure (width 1), not {extra}")
    return ("logits", *extra)


def n_statistics(model: ConvNeXtV2) -> int:
    """Number of classical statistics that the model takes beside the image."""
    if model.head.statistics is None:
        return 0
    first = model.head.statistics[0]
    assert isinstance(first, nn.Linear)
    return first.in_features


class _OneOutput(nn.Module):
    """All outputs side by side; the model's parts are held directly, so that parameters keep their names."""

    def __init__(self, model: ConvNeXtV2) -> None:
        super().__init__()
        self.stem, self.stages, self.head = model.stem, model.stages, model.head
        self._features = model.features

    def forward(self, image: Tensor, statistics: Tensor | None = None) -> Tensor:
        """(N, 6) logits, or (N, 7) with the structure logit last."""
        features = self.head.norm(self._features(image))
        outputs = torch.cat([layer(features) for layer in (self.head.fc, *self.head.extra.values())], 1)
        # Added at once: parts of it for each output would be a sequence in the graph, which few engines take.
        return outputs if self.head.statistics is None else outputs + self.head.statistics(statistics)


def export_onnx(model: ConvNeXtV2, path: Path) -> None:
    """Write one float32 ONNX file.

    Input ``image`` (N, C, 224, 224) and, where the model takes them, ``statistics`` (N, 4); one output, ``logits``
    (N, 6) or, with the structure logit as the last column, ``outputs`` (N, 7). N is dynamic. The graph is that of
    :func:`~ionmorphnet.models.networks.deploy.deployed`; initialisers carry the parameters' names, and nothing tells
    where the file was made.

    Args:
        model: Its weights and mode are not changed.
        path: File to write; a failure leaves it as it was.

    Raises:
        ArgumentError: The model has outputs that model folders do not know.
        FileError: It cannot be written.
        IonMorphNetError: The exporter failed.
    """
    names = output_names(model)
    example: dict[str, Tensor] = {"image": torch.zeros(2, model.in_chans, INPUT_SIZE, INPUT_SIZE)}
    if n_statistics(model):
        example["statistics"] = torch.zeros(2, n_statistics(model))
    write_onnx(_OneOutput(deployed(model)).eval(), example, "logits" if len(names) == 1 else "outputs", path)


def torch_outputs(model: ConvNeXtV2, images: Float32, statistics: Float32 | None) -> Float32:
    """All outputs side by side, computed by torch in float32.

    Args:
        model: In evaluation mode, on the CPU.
        images: float32 (N, C, 224, 224).
        statistics: float32 (N, 4), or None where the model takes none.

    Returns:
        float32 (N, 6 or 7).
    """
    parts = []
    with torch.no_grad():
        for first in range(0, len(images), _BATCH):
            rows = slice(first, first + _BATCH)
            given = None if statistics is None else torch.from_numpy(statistics[rows])
            parts.append(torch.cat(list(model.forward_all(torch.from_numpy(images[rows]), given).values()), 1))
    result: Float32 = torch.cat(parts).numpy()
    return result


def openvino_outputs(
    path: Path, images: Float32, statistics: Float32 | None = None, *, precision: str = "f32"
) -> Float32:
    """The output of an ONNX file, computed by OpenVINO on the CPU.

    Args:
        path: The ONNX file.
        images: float32 (N, C, 224, 224).
        statistics: float32 (N, 4), or None where the file has no such input.
        precision: ``f32`` or ``bf16``.

    Returns:
        float32 (N, 6 or 7).
    """
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": precision})
    parts = []
    for first in range(0, len(images), _BATCH):
        feed: dict[str, Any] = {"image": images[first : first + _BATCH]}
        if statistics is not None:
            feed["statistics"] = statistics[first : first + _BATCH]
        parts.append(np.array(compiled(feed)[0]))
    result: Float32 = np.concatenate(parts)
    return result


def cpu_has_bf16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this CPU."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def check_parity(model: ConvNeXtV2, path: Path, images: Float32, statistics: Float32 | None = None) -> float:
    """Largest absolute difference of an output between torch and the exported file, both in float32.

    Raises:
        IonMorphNetError: It exceeds ``PARITY_TOLERANCE``.
    """
    expected = torch_outputs(model, images, statistics)
    difference = float(np.abs(openvino_outputs(path, images, statistics) - expected).max())
    if not difference <= PARITY_TOLERANCE:
        raise IonMorphNetError(f"{path.name}: differs from torch by {difference:.2e}, allowed {PARITY_TOLERANCE:.0e}")
    return difference


@dataclass(frozen=True)
class Agreement:
    """How far bfloat16 changes the outputs of a file.

    Attributes:
        images: Number of images compared.
        top1: Share of images with the same most probable class.
        max_difference: Largest absolute difference of an output.
        outputs_f32: float32 (N, 6 or 7).
        outputs_bf16: The same in bfloat16.
    """

    images: int
    top1: float
    max_difference: float
    outputs_f32: Float32
    outputs_bf16: Float32


def bf16_agreement(path: Path, images: Float32, statistics: Float32 | None, *, n_classes: int) -> Agreement:
    """Compare bfloat16 with float32, both by OpenVINO."""
    exact, rounded = (openvino_outputs(path, images, statistics, precision=p) for p in ("f32", "bf16"))
    same = exact[:, :n_classes].argmax(1) == rounded[:, :n_classes].argmax(1)
    return Agreement(len(images), float(same.mean()), float(np.abs(exact - rounded).max()), exact, rounded)
