"""Key of an engine: everything it depends on. Engines with equal keys are interchangeable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

from ionmorphnet.models.model import Model
from ionmorphnet.scoring.device_network import InputDtype
from ionmorphnet.scoring.tensorrt.flavour import Flavour
from ionmorphnet.scoring.tensorrt.gpu import Gpu
from ionmorphnet.scoring.tensorrt.targets import target_name
from ionmorphnet.scoring.tensorrt.typed import GRAPH_REVISION

_INPUT_DTYPES: dict[str, InputDtype] = {"bf16": "bf16", "fp16": "f16", "f32": "f32"}


class TensorSpec(TypedDict):
    """An input or output of an engine: its role, type and shape."""

    role: str
    dtype: InputDtype
    shape: list[int]


@dataclass(frozen=True)
class EngineKey:
    """Everything that an engine depends on.

    Attributes:
        onnx_sha256: Hash of the model's ``model.onnx``.
        graph_revision: Revision of the graph and of how it is built (``typed.GRAPH_REVISION``).
        flavour: ``tensorrt`` or ``tensorrt_rtx``.
        version: Version of that module.
        targets: Compute capabilities, such as ``sm_89``, ascending.
        gpu: Name of the GPU on which kernels were timed (``tensorrt``); empty if it does not matter.
        precision: ``bf16``, ``fp16`` or ``f32``.
        batch: Images per call.
        channels: Channels of an image.
        size: Height and width of an image.
        n_statistics: Statistics per image.
        n_outputs: Outputs per image.
    """

    onnx_sha256: str
    graph_revision: int
    flavour: str
    version: str
    targets: tuple[str, ...]
    gpu: str
    precision: str
    batch: int
    channels: int
    size: int
    n_statistics: int
    n_outputs: int

    @staticmethod
    def of(
        model: Model, flavour: Flavour, targets: tuple[int, ...], gpu: Gpu | None, *, precision: str, batch: int
    ) -> EngineKey:
        """Key of the engine for a model and its targets."""
        return EngineKey(
            onnx_sha256=model.sha256,
            graph_revision=GRAPH_REVISION,
            flavour=flavour.name,
            version=flavour.version,
            targets=tuple(map(target_name, targets)),
            gpu="" if flavour.builds_ahead or gpu is None else gpu.name,
            precision=precision,
            batch=batch,
            channels=model.input_shape[0],
            size=model.input_shape[1],
            n_statistics=len(model.statistics),
            n_outputs=model.n_outputs,
        )

    @staticmethod
    def from_dict(values: dict[str, Any]) -> EngineKey:
        """Inverse of :meth:`to_dict`.

        Raises:
            TypeError: A part is missing, unknown or of another type.
        """
        key = EngineKey(**{**values, "targets": tuple(values.get("targets", ()))})
        for name, value in asdict(key).items():
            wanted = {"str": str, "int": int}.get(EngineKey.__annotations__[name], tuple)
            if type(value) is not wanted:
                raise TypeError(f"'{name}' is not of type {wanted.__name__}")
        return key

    def to_dict(self) -> dict[str, object]:
        """Parts by name, for JSON."""
        return asdict(self) | {"targets": list(self.targets)}

    @property
    def digest(self) -> str:
        """SHA-256 of all parts."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()

    def tensors(self) -> list[TensorSpec]:
        """Inputs and outputs of the engine with role, type and shape."""
        shape = [self.batch, self.channels, self.size, self.size]
        image: TensorSpec = {"role": "image", "dtype": _INPUT_DTYPES[self.precision], "shape": shape}
        outputs: TensorSpec = {"role": "outputs", "dtype": "f32", "shape": [self.batch, self.n_outputs]}
        if not self.n_statistics:
            return [image, outputs]
        return [image, {"role": "statistics", "dtype": "f32", "shape": [self.batch, self.n_statistics]}, outputs]
