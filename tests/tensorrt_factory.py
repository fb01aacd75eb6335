"""A stand-in for ``tensorrt`` and ``tensorrt_rtx`` and for the driver, so that what needs a GPU can be tested without.

The engine of the stand-in is JSON with the tensors of the ONNX graph that it was "built" from; running one writes down
the call. ``test_engine_scorer.py`` holds its classes against the real module: what is here must exist there.
"""

from __future__ import annotations

import enum
import json
import types
from collections.abc import Callable
from typing import Any

import onnx


class Severity(enum.IntEnum):
    INTERNAL_ERROR = 0
    ERROR = 1
    WARNING = 2
    INFO = 3
    VERBOSE = 4


class ILogger:
    Severity = Severity

    def log(self, severity: Severity, message: str) -> None:
        raise NotImplementedError


class NetworkDefinitionCreationFlag(enum.IntEnum):
    STRONGLY_TYPED = 0


class DataType(enum.Enum):
    FLOAT = 0
    HALF = 1
    BF16 = 7


class TensorIOMode(enum.Enum):
    NONE = 0
    INPUT = 1
    OUTPUT = 2


class CudaGraphStrategy(enum.Enum):
    DISABLED = 0
    WHOLE_GRAPH_CAPTURE = 1


class ComputeCapability(enum.Enum):
    NONE = 0
    CURRENT = 1
    SM75 = 75
    SM80 = 80
    SM86 = 86
    SM89 = 89
    SM120 = 120
    SM121 = 121


class BuilderFlag(enum.Enum):
    TF32 = 0


class IBuilderConfig:
    def __init__(self) -> None:
        self.num_compute_capabilities = 0
        self._targets: dict[int, ComputeCapability] = {}
        self._flags = {BuilderFlag.TF32}  # as in the real one

    def clear_flag(self, flag: BuilderFlag) -> None:
        self._flags.remove(flag)

    def set_compute_capability(self, capability: ComputeCapability, index: int) -> bool:
        self._targets[index] = capability
        return index < self.num_compute_capabilities


class INetworkDefinition:
    def __init__(self, flags: int) -> None:
        self._flags = flags
        self._tensors: list[Any] = []


class ParserError:
    def desc(self) -> str:
        return "not a network"


class OnnxParser:
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None:
        self._network, self.num_errors = network, 0

    def parse(self, model: bytes) -> bool:
        try:
            graph = onnx.load_from_string(model).graph
        except Exception:
            self.num_errors = 1
            return False
        names = {onnx.TensorProto.FLOAT: "FLOAT", onnx.TensorProto.FLOAT16: "HALF", onnx.TensorProto.BFLOAT16: "BF16"}
        for mode, values in (("INPUT", graph.input), ("OUTPUT", graph.output)):
            for value in values:
                kind = value.type.tensor_type
                shape = [d.dim_value for d in kind.shape.dim]
                self._network._tensors.append([value.name, mode, names[kind.elem_type], shape])
        return True

    def get_error(self, index: int) -> ParserError:
        return ParserError()


class Builder:
    fails = ""  # what the logger gets instead of an engine

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def create_network(self, flags: int) -> INetworkDefinition:
        return INetworkDefinition(flags)

    def create_builder_config(self) -> IBuilderConfig:
        return IBuilderConfig()

    def build_serialized_network(self, network: INetworkDefinition, config: IBuilderConfig) -> bytes | None:
        if self.fails:
            self._logger.log(Severity.ERROR, self.fails)
            return None
        assert network._flags == 1 << NetworkDefinitionCreationFlag.STRONGLY_TYPED, "not strongly typed"
        assert not config._flags, "TF32 is allowed"
        targets = [each.name for each in config._targets.values()]
        return json.dumps({"tensors": network._tensors, "targets": targets}).encode()


class IExecutionContext:
    refuses = ""

    def __init__(self, engine: ICudaEngine, strategy: CudaGraphStrategy | None) -> None:
        self._engine, self._strategy = engine, strategy
        self._addresses: dict[str, int] = {}
        self._calls: list[tuple[int, dict[str, int]]] = []

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return name in {each[0] for each in self._engine._tensors} and self.refuses != "address"

    def execute_async_v3(self, stream_handle: int) -> bool:
        self._calls.append((stream_handle, dict(self._addresses)))
        return self.refuses != "run"


class IRuntimeConfig:
    cuda_graph_strategy = CudaGraphStrategy.DISABLED


class ICudaEngine:
    def __init__(self, tensors: list[Any]) -> None:
        self._tensors = tensors
        self.num_io_tensors = len(tensors)

    def _of(self, name: str) -> Any:
        return next(each for each in self._tensors if each[0] == name)

    def get_tensor_name(self, index: int) -> str:
        return self._tensors[index][0]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode[self._of(name)[1]]

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType[self._of(name)[2]]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return tuple(self._of(name)[3])

    def create_runtime_config(self) -> IRuntimeConfig:
        return IRuntimeConfig()

    def create_execution_context(self, runtime_config: IRuntimeConfig | None = None) -> IExecutionContext:
        return IExecutionContext(self, runtime_config.cuda_graph_strategy if runtime_config else None)


class Runtime:
    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: bytes) -> ICudaEngine | None:
        try:
            return ICudaEngine(json.loads(serialized_engine)["tensors"])
        except ValueError:
            self._logger.log(Severity.ERROR, "the plan\nis not one")
            return None


# By the name that the real module has for it.
CLASSES = {
    each.__name__: each
    for each in (
        ILogger, NetworkDefinitionCreationFlag, DataType, TensorIOMode, CudaGraphStrategy, ComputeCapability,
        BuilderFlag, IBuilderConfig, INetworkDefinition, ParserError, OnnxParser, Builder, IExecutionContext,
        IRuntimeConfig, ICudaEngine, Runtime,
    )
}  # fmt: skip


def fake_module(name: str, version: str) -> types.ModuleType:
    """``tensorrt`` has no compute capabilities and no runtime configuration to choose."""
    module = types.ModuleType(name)
    module.__version__ = version
    only_rtx = {"ComputeCapability", "CudaGraphStrategy"}
    for each, value in CLASSES.items():
        if name == "tensorrt_rtx" or each not in only_rtx:
            setattr(module, each, value)
    return module


class FakeCuda:
    """The driver's library with some GPUs; every call is written down. ``fail`` names a function that fails."""

    def __init__(self, *gpus: tuple[str, int], fail: str = "") -> None:
        self.gpus, self.fail, self.calls = gpus, fail, []
        self.capturing = False

    def __getattr__(self, name: str) -> Callable[..., int]:
        if not name.startswith("cu"):
            raise AttributeError(name)

        def call(*arguments: Any) -> int:
            self.calls.append(name)
            if name == self.fail:
                return 900
            return getattr(self, f"_{name}", lambda *_: 0)(*arguments)

        return call

    def _cuGetErrorName(self, code: int, text: Any) -> int:  # noqa: N802
        text._obj.value = b"CUDA_ERROR_TEST"
        return 0

    def _cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return 0

    def _cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return 0

    def _cuDeviceGetName(self, text: Any, size: int, device: Any) -> int:  # noqa: N802
        text.value = self.gpus[device.value][0].encode()
        return 0

    def _cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        capability = self.gpus[device.value][1]
        value._obj.value = {75: capability // 10, 76: capability % 10}[attribute]
        return 0

    def _cuStreamEndCapture(self, stream: Any, graph: Any) -> int:  # noqa: N802
        graph._obj.value = 0x6000
        return 0

    def _cuGraphInstantiateWithFlags(self, executable: Any, graph: Any, flags: Any) -> int:  # noqa: N802
        executable._obj.value = 0x7000
        return 0
