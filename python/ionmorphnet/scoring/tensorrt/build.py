"""Building of TensorRT engines from model folders."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, SupportsInt, TypeVar

from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.models.model import Model, load_model
from ionmorphnet.scoring.tensorrt.cache import find_cached, store
from ionmorphnet.scoring.tensorrt.flavour import Flavour, find_flavour
from ionmorphnet.scoring.tensorrt.gpu import Driver, Gpu, find_gpu
from ionmorphnet.scoring.tensorrt.key import EngineKey
from ionmorphnet.scoring.tensorrt.sidecar import EngineFile, write_engine
from ionmorphnet.scoring.tensorrt.targets import CURRENT, parse_targets, target_name
from ionmorphnet.scoring.tensorrt.typed import PRECISIONS, typed_onnx

DEFAULT_BATCH = 128
_FIRST_WITH_BF16 = 80

T = TypeVar("T")

logger = logging.getLogger(__name__)


def build_engine(
    model: str | Path | Model | None = None,
    path: PathLike | None = None,
    *,
    targets: str | Iterable[str] = CURRENT,
    precision: str = "auto",
    batch: int = DEFAULT_BATCH,
    flavour: str | None = None,
    device: DeviceName | Device = "cuda",
    cache_dir: PathLike | None = None,
) -> EngineFile:
    """Builds a TensorRT engine, or returns a matching one from the cache.

    Args:
        model: Bundled name, model folder or loaded Model; None for the default model.
        path: File to write. None uses the cache and builds only if no engine with the same key is there.
        targets: ``"sm_89"``, a list of such names, or ``"current"`` for the GPU of this machine. ``tensorrt`` builds
            for the current GPU only; ``tensorrt_rtx`` builds for any GPU it knows, even on a machine without one.
        precision: ``"bf16"``, ``"fp16"``, ``"f32"`` or ``"auto"``: bf16, or fp16 if a target lacks bf16.
        batch: Images per call.
        flavour: ``"tensorrt"`` or ``"tensorrt_rtx"``; None chooses an installed one that supports the target.
        device: The GPU that ``"current"`` refers to, ``"cuda"`` (the first) or ``"cuda:N"``.
        cache_dir: Folder of the engine cache; None for the default of the platform.

    Returns:
        The engine file with its key. Its sidecar ``<file>.json`` is next to it.

    Raises:
        ArgumentError: An argument has the wrong type or is out of range.
        FileError: The model cannot be used, or the file cannot be written.
        UnavailableError: TensorRT or onnx is missing or too old, there is no GPU, or a target is not supported.
        IonMorphNetError: TensorRT failed to build the engine.

    Example:
        >>> import ionmorphnet as imn
        >>> imn.engine.build_engine("atto-sim-3", "atto.engine", targets="sm_89")  # doctest: +SKIP
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    if precision not in ("auto", *PRECISIONS):
        raise ArgumentError(f"precision of an engine must be one of auto, {', '.join(PRECISIONS)}, got '{precision}'")
    if batch < 1:
        raise ArgumentError(f"batch of an engine must be at least 1, got {batch}")
    wanted = parse_targets(targets)
    gpu = _current_gpu(device, needed=wanted is None)
    if wanted is None:
        assert gpu is not None
        wanted = (gpu.capability,)
        chosen = find_flavour(flavour, gpu)
    else:
        chosen = _flavour_for(wanted, flavour, gpu)
    chosen.check_targets(wanted, gpu)
    precision = checked_precision(precision, wanted)
    key = EngineKey.of(loaded, chosen, wanted, gpu, precision=precision, batch=batch)
    if path is None:
        cached = find_cached(key, loaded.name, cache_dir)
        if cached is not None:
            return cached
    if gpu is not None and not chosen.builds_ahead:
        Driver().make_current(gpu)  # tensorrt times kernels on the current GPU
    content = build(typed_onnx(loaded, precision, batch), chosen, wanted)
    if path is None:
        return store(content, key, loaded.name, cache_dir)
    return write_engine(Path(path), content, key, loaded.name)


def checked_precision(precision: str, targets: tuple[int, ...]) -> str:
    """Resolves ``auto`` and checks that the targets support the precision.

    Raises:
        UnavailableError: A target lacks bf16.
    """
    without = [target for target in targets if target < _FIRST_WITH_BF16]
    if precision == "auto":
        return "fp16" if without else "bf16"
    if precision == "bf16" and without:
        raise UnavailableError(f"{target_name(without[0])} has no bf16; use precision fp16")
    return precision


def _current_gpu(device: DeviceName | Device, *, needed: bool) -> Gpu | None:
    try:
        return find_gpu(device, Driver())
    except UnavailableError as error:
        if needed:
            raise UnavailableError(f"{error}; to build ahead, name the target, for example sm_89") from None
        return None


def _flavour_for(targets: tuple[int, ...], name: str | None, gpu: Gpu | None) -> Flavour:
    """Module for explicit targets: one that times kernels on the GPU at hand, otherwise one that builds ahead."""
    if name is not None:
        return find_flavour(name)
    if gpu is not None and targets == (gpu.capability,):
        return find_flavour(None, gpu)
    return find_flavour("tensorrt_rtx")


def build(onnx: bytes, flavour: Flavour, targets: tuple[int, ...]) -> bytes:
    """Builds an engine from a typed graph.

    Raises:
        IonMorphNetError: TensorRT rejected the graph or failed to build it; quotes its message in one line.
    """
    trt = flavour.module
    log = new_log(flavour)
    builder = started(flavour, log, lambda: trt.Builder(log))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx):
        said = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise IonMorphNetError(f"{flavour} rejected the network: {said or log.said()}")
    config = builder.create_builder_config()
    # Full float32, also in the islands. (With TF32, an f32 engine for sm_120 is also twelve times larger.)
    config.clear_flag(trt.BuilderFlag.TF32)
    flavour.set_targets(config, targets)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise IonMorphNetError(f"{flavour} failed to build the engine: {log.said()}")
    return bytes(serialized)


class EngineLog(Protocol):
    """Logger of TensorRT that keeps its errors."""

    errors: list[str]

    def said(self) -> str:
        """The first error."""


def started(flavour: Flavour, log: EngineLog, make: Callable[[], T]) -> T:
    """Creates a TensorRT object.

    Raises:
        UnavailableError: It cannot be created, for example because the driver is too old; the bindings of TensorRT then
            raise various errors, some of them about a null pointer.
    """
    try:
        return make()
    except (TypeError, RuntimeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        said = log.said() if log.errors else first
        raise UnavailableError(f"{flavour} failed to start: {said}") from error


def new_log(flavour: Flavour) -> EngineLog:
    """Logger for TensorRT that forwards messages to our log and keeps errors for ``said``."""
    base: Any = flavour.module.ILogger

    class Log(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: SupportsInt, message: str) -> None:
            if int(severity) <= int(base.Severity.ERROR):
                self.errors.append(" ".join(message.split()))
            logger.log(logging.DEBUG, "%s: %s", flavour.name, message)

        def said(self) -> str:
            return self.errors[0] if self.errors else "no reason given"

    return Log()
