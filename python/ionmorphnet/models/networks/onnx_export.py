"""Export of networks to ONNX, and comparison with torch through OpenVINO."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
from ionmorphnet.models.networks.deploy import deployed
from ionmorphnet.models.networks.onnx_file import write_onnx
from ionmorphnet.models.networks.parity import Parity, compare

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

_BATCH = 32
# Images that are also evaluated in float64, which takes two to four times as long.
_ROUNDING_IMAGES = 16


def output_names(model: ConvNeXtV2) -> tuple[str, ...]:
    """Name the outputs in the order of their columns: ``logits``, and ``structure`` if the model has it.

    Raises:
        ArgumentError: Model folders do not support an output.
    """
    extra = {name: head.out_features for name, head in model.head.extra.items()}
    if extra not in ({}, {"structure": 1}):
        raise ArgumentError(f"model folders support the outputs logits and structure (width 1) only, got {extra}")
    return ("logits", *extra)


def n_statistics(model: ConvNeXtV2) -> int:
    """Number of classical statistics that the model uses as input."""
    if model.head.statistics is None:
        return 0
    first = model.head.statistics[0]
    assert isinstance(first, nn.Linear)
    return first.in_features


class _OneOutput(nn.Module):
    """Concatenates all outputs; it holds the model's parts directly, so parameters keep their names."""

    def __init__(self, model: ConvNeXtV2) -> None:
        super().__init__()
        self.stem, self.stages, self.head = model.stem, model.stages, model.head
        self._features = model.features

    def forward(self, image: Tensor, statistics: Tensor | None = None) -> Tensor:
        """Compute (N, 6) logits, or (N, 7) with the structure logit last."""
        # Not split by output: that would need a sequence in the graph, which few engines support.
        columns: Tensor = self.head.columns(self._features(image), statistics, image)
        return columns


def export_onnx(model: ConvNeXtV2, path: Path, size: int) -> None:
    """Write one float32 ONNX file.

    The inputs are ``image`` (N, C, size, size) and, if the model uses them, ``statistics`` (N, count). The output is
    ``logits`` (N, 6) or, with the structure logit as the last column, ``outputs`` (N, 7). N is dynamic. The graph is
    that of :func:`~ionmorphnet.models.networks.deploy.deployed`; initialisers have the parameters' names, and no path
    of this machine is stored.

    Args:
        model: Network to export; it is not changed.
        path: File to write; a failure leaves an existing file unchanged.
        size: Side of the images in pixels.

    Raises:
        ArgumentError: Model folders do not support an output of the model.
        FileError: The file cannot be written.
        IonMorphNetError: The exporter failed.
    """
    names = output_names(model)
    example: dict[str, Tensor] = {"image": torch.zeros(2, model.in_chans, size, size)}
    if n_statistics(model):
        example["statistics"] = torch.zeros(2, n_statistics(model))
    write_onnx(_OneOutput(deployed(model)).eval(), example, "logits" if len(names) == 1 else "outputs", path)


def torch_outputs(model: ConvNeXtV2, images: Float32, statistics: Float32 | None) -> Float32:
    """Compute all outputs with torch in float32.

    Args:
        model: Network in evaluation mode, on the CPU.
        images: float32 (N, C, size, size).
        statistics: float32 (N, count), or None if the model uses none.

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
    """Compute the output of an ONNX file with OpenVINO on the CPU.

    Args:
        path: The ONNX file.
        images: float32 (N, C, size, size).
        statistics: float32 (N, count), or None if the file has no such input.
        precision: ``f32`` or ``bf16``.

    Returns:
        float32 (N, 6 or 7).
    """
    compiled = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": precision})
    parts = []
    for first in range(0, len(images), _BATCH):
        feed = {"image": images[first : first + _BATCH]}
        if statistics is not None:
            feed["statistics"] = statistics[first : first + _BATCH]
        parts.append(np.array(compiled(feed)[0]))
    result: Float32 = np.concatenate(parts)
    return result


def cpu_has_bf16() -> bool:
    """Whether OpenVINO computes in bfloat16 on this CPU."""
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def exact_outputs(model: ConvNeXtV2, images: Float32, statistics: Float32 | None) -> Float64:
    """Compute all outputs with torch in float64; arguments as in :func:`torch_outputs`, float64 (N, 6 or 7)."""
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        given = None if statistics is None else torch.from_numpy(statistics).double()
        outputs = exact.forward_all(torch.from_numpy(images).double(), given).values()
    result: Float64 = torch.cat(list(outputs), 1).numpy()
    return result


def check_parity(model: ConvNeXtV2, path: Path, images: Float32, statistics: Float32 | None = None) -> Parity:
    """Compare the exported file with torch, both in float32, within the float32 rounding of the network.

    Raises:
        IonMorphNetError: They differ by more than :attr:`~ionmorphnet.models.networks.parity.Parity.allowed`.
    """
    some, some_statistics = images[:_ROUNDING_IMAGES], None if statistics is None else statistics[:_ROUNDING_IMAGES]
    exact = exact_outputs(model, some, some_statistics)
    # The deployed form, which the file holds, rounds up to four times as much as the model itself.
    folded = torch_outputs(deployed(model), some, some_statistics)
    expected = torch_outputs(model, images, statistics)
    return compare(openvino_outputs(path, images, statistics), expected, exact, folded).check(path.name)


@dataclass(frozen=True)
class Agreement:
    """Difference between bfloat16 and float32 outputs of an ONNX file.

    Attributes:
        images: Number of images compared.
        top1: Fraction of images with the same most probable class.
        max_difference: Largest absolute difference of an output.
        outputs_f32: float32 (N, 6 or 7).
        outputs_bf16: Same outputs computed in bfloat16, float32 (N, 6 or 7).
    """

    images: int
    top1: float
    max_difference: float
    outputs_f32: Float32
    outputs_bf16: Float32


def bf16_agreement(path: Path, images: Float32, statistics: Float32 | None, *, n_classes: int) -> Agreement:
    """Compare bfloat16 with float32, both computed by OpenVINO."""
    exact, rounded = (openvino_outputs(path, images, statistics, precision=p) for p in ("f32", "bf16"))
    same = exact[:, :n_classes].argmax(1) == rounded[:, :n_classes].argmax(1)
    return Agreement(len(images), float(same.mean()), float(np.abs(exact - rounded).max()), exact, rounded)
