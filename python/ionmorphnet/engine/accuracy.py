"""Cost of 16 bit: difference between typed graph and float32, and the distance of its tensors from overflow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.stacks import checked_stack
from ionmorphnet.engine.evaluator import Evaluator
from ionmorphnet.evaluate.metrics import spearman
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.tensorrt.graph import read_onnx
from ionmorphnet.scoring.tensorrt.operations import Array
from ionmorphnet.scoring.tensorrt.rounding import LARGEST, Float32
from ionmorphnet.scoring.tensorrt.typed import typed_onnx

_BATCH = 8


@dataclass(frozen=True)
class Prepared:
    """Inputs of a network.

    Attributes:
        images: float32 (n, channels, size, size), preprocessed.
        statistics: float32 (n, k) in the model's order; k may be 0.
    """

    images: Float32
    statistics: Float32

    @staticmethod
    def of(model: Model, images: Sequence[npt.ArrayLike]) -> Prepared:
        """Prepares ion images (height, width), NaN = not measured; sizes may differ."""
        rows, values = [], []
        for image in images:
            stack, measured = checked_stack(np.asarray(image)[None], None)
            rows.append(_core.preprocess(stack, model.preprocessing, measured, threads=1)[0])
            values.append(_statistics(model, stack, measured))
        return Prepared(np.stack(rows), np.stack(values).astype(np.float32))

    def __getitem__(self, rows: slice) -> Prepared:
        return Prepared(self.images[rows], self.statistics[rows])

    def __len__(self) -> int:
        return len(self.images)


def _statistics(model: Model, stack: Float32, measured: npt.NDArray[np.uint8] | None) -> Float32:
    if not model.statistics:
        return np.zeros(0, np.float32)
    found = _core.image_statistics(stack, measured, threads=1)[0]
    return np.asarray(found, np.float32)[[STATISTICS.index(name) for name in model.statistics]]


def extreme_inputs(model: Model) -> Prepared:
    """Inputs that cause large activations: all ones, checkerboards, single pixels, stripes, constants, noise.

    Each channel is set alone and together with the others. No preprocessing produces some of these inputs.
    """
    channels, *side = model.input_shape
    y, x = np.mgrid[: side[0], : side[1]]
    single = (y == side[0] // 2) & (x == side[1] // 2)
    planes = [
        np.ones(side), np.full(side, 0.5), np.zeros(side), (x + y) % 2, (x // 4 + y // 4) % 2,
        x % 2, (y // 2) % 2, single, ~single, x / (side[1] - 1), np.random.default_rng(1).random(side),
    ]  # fmt: skip
    stacks = []
    for plane in planes:
        first = np.zeros(model.input_shape, np.float32)
        first[0] = plane
        stacks.append(first)
        if channels > 1:
            masked = np.ones(model.input_shape, np.float32)
            masked[0] = plane
            stacks.extend((masked, np.broadcast_to(plane, masked.shape).astype(np.float32)))
    images = np.stack(stacks)
    values = np.linspace(-1.0, 1.0, len(images), dtype=np.float32)
    return Prepared(images, np.repeat(values[:, None], len(model.statistics), axis=1))


@dataclass
class Ranges:
    """Largest magnitude of each 16-bit tensor before rounding, weights included.

    Attributes:
        kind: The 16-bit type.
        largest: Magnitude by the name of the tensor in the typed graph.
    """

    kind: str
    largest: dict[str, float] = field(default_factory=dict)

    def note(self, name: str, kind: str, values: Array) -> None:
        """Adds one tensor; NaN counts as infinite."""
        if kind == self.kind and values.size:
            magnitude = float(np.max(np.abs(values)))
            magnitude = magnitude if np.isfinite(magnitude) else float("inf")
            self.largest[name] = max(self.largest.get(name, 0.0), magnitude)

    def top(self, n: int = 5) -> list[tuple[str, float]]:
        """Names and magnitudes of the n largest tensors, largest first."""
        return sorted(self.largest.items(), key=lambda item: -item[1])[:n]

    @property
    def maximum(self) -> float:
        """Largest magnitude of all tensors."""
        return max(self.largest.values(), default=0.0)

    @property
    def margin(self) -> float:
        """Factor by which the largest value could grow before its type overflows."""
        return LARGEST[self.kind] / self.maximum if self.maximum else float("inf")


class TypedNetwork:
    """Typed graph of a model on the CPU, rounded at each node; records the ranges of its tensors."""

    def __init__(self, model: Model, precision: str) -> None:
        """Types the graph and reads it back from ONNX, exactly as an engine would be built from it.

        Raises:
            ArgumentError: The precision is unknown.
            FileError: The network has an operation without a typing rule.
            UnavailableError: onnx is not installed.
        """
        graph = read_onnx(typed_onnx(model, precision, 1))
        self.precision, self.model = precision, model
        self.ranges = Ranges(precision)
        for name, constant in graph.constants.items():
            self.ranges.note(name, constant.kind, constant.values)
        self._evaluator = Evaluator(graph, self.ranges.note)
        self._image = next(name for name, port in graph.inputs.items() if len(port.shape) == 4)
        self._others = [name for name in graph.inputs if name != self._image]

    def __call__(self, prepared: Prepared) -> Float32:
        """Outputs, float32 (n, 6 or 7)."""
        parts = []
        for part in _batches(prepared):
            feed = {self._image: part.images} | dict.fromkeys(self._others, part.statistics)
            parts.append(self._evaluator(feed))
        return np.concatenate(parts)


def reference_outputs(model: Model, prepared: Prepared) -> Float32:
    """Outputs of the float32 network, computed by OpenVINO; float32 (n, 6 or 7)."""
    import openvino

    network = openvino.Core().compile_model(str(model.onnx_path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    image = next(port.get_any_name() for port in network.inputs if len(port.get_partial_shape()) == 4)
    others = [port.get_any_name() for port in network.inputs if port.get_any_name() != image]
    parts = [
        np.array(network({image: part.images} | dict.fromkeys(others, part.statistics))[0])
        for part in _batches(prepared)
    ]
    return np.concatenate(parts)


def _batches(prepared: Prepared) -> Iterator[Prepared]:
    for first in range(0, len(prepared), _BATCH):
        yield prepared[first : first + _BATCH]


@dataclass(frozen=True)
class Agreement:
    """Differences between a typed graph and float32 on the same images.

    Attributes:
        images: Number of images.
        max_difference: Largest absolute difference of an output (class and structure logits).
        rms_difference: Root mean square difference of the outputs.
        spearman: Rank correlation of the scores; NaN if they are constant.
        max_score_difference: Largest absolute difference of the score.
        top1: Share of images with the same most probable class.
    """

    images: int
    max_difference: float
    rms_difference: float
    spearman: float
    max_score_difference: float
    top1: float


def agreement(model: Model, outputs: Float32, reference: Float32) -> Agreement:
    """Compares two arrays of outputs, each (n, 6 or 7).

    Raises:
        ArgumentError: The shapes differ, or the arrays are empty.
    """
    if outputs.shape != reference.shape or not len(outputs):
        raise ArgumentError(f"cannot compare outputs of shapes {outputs.shape} and {reference.shape}")
    difference = np.abs(outputs.astype(np.float64) - reference)
    scores, labels = zip(*(_scored(model, each) for each in (outputs, reference)), strict=True)
    return Agreement(
        images=len(outputs),
        max_difference=float(difference.max()),
        rms_difference=float(np.sqrt((difference**2).mean())),
        spearman=spearman(*scores),
        max_score_difference=float(np.abs(scores[0] - scores[1]).max()),
        top1=float((labels[0] == labels[1]).mean()),
    )


def _scored(model: Model, outputs: Float32) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.intp]]:
    probabilities = model.probabilities(outputs)
    structure = model.structure(outputs) if model.has_structure else None
    return model.score(probabilities, structure), probabilities.argmax(axis=1)


def simulated_inputs(model: Model, n: int, *, seed: int) -> Prepared:
    """Simulated ion images as inputs of the model; image i depends only on the seed and i."""
    from ionmorphnet.simulation.ion_image import draw_shape, simulate_ion_image

    def images() -> Iterable[Float32]:
        for index in range(n):
            rng = np.random.default_rng([seed, index])
            yield simulate_ion_image(rng, shape=draw_shape(rng, (20, 260))).image

    return Prepared.of(model, list(images()))
