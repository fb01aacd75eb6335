"""From a model folder to an engine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError, UnavailableError
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

logger = logging.getLogger(__name__)


def build_engine(
    model: str | Path | Model | None = None,
    path: str | os.PathLike[str] | None = None,
    *,
    targets: str | Iterable[str] = CURRENT,
    precision: str = "auto",
    batch: int = DEFAULT_BATCH,
    flavour: str | None = None,
    device_index: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> EngineFile:
    """Builds an engine, or finds it in the cache.

    Args:
        model: Bundled name, model folder or loaded Model; None: the default model.
        path: File to write; None: into the cache, where an engine with the same key is used as it is.
        targets: ``"sm_89"``, a list of such, or ``"current"``, the GPU of this machine. ``tensorrt`` builds for the
            current GPU only, ``tensorrt_rtx`` for any that it knows, also without a GPU.
        precision: ``"bf16"``, ``"fp16"``, ``"f32"``, or ``"auto"``: bf16, or fp16 where a target has no bf16.
        batch: Images of each call.
        flavour: ``"tensorrt"`` or ``"tensorrt_rtx"``; None: the installed one that fits.
        device_index: Which GPU ``"current"`` means.
        cache_dir: Folder of the cache; None: the platform's.

    Returns:
        The engine's file and what it depends on. Beside the file lies its sidecar, ``<file>.json``.

    Raises:
        ArgumentError: An argument cannot be meant.
        FileError: The model cannot be used, or the file cannot be written.
        UnavailableError: TensorRT or onnx is missing or too old, there is no GPU, or a target is not supported.
        IonMorphNetError: TensorRT could not build it.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    if precision not in ("auto", *PRECISIONS):
        raise ArgumentError(f"precision of an engine must be one of auto, {', '.join(PRECISIONS)}, not '{precision}'")
    if batch < 1:
        raise ArgumentError(f"the batch of an engine must be at least 1, not {batch}")
    wanted = parse_targets(targets)
    gpu = _current_gpu(device_index, needed=wanted is None)
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
        Driver().make_current(gpu)  # tensorrt measures kernels on the current GPU
    content = build(typed_onnx(loaded, precision, batch), chosen, wanted)
    if path is None:
        return store(content, key, loaded.name, cache_dir)
    return write_engine(Path(path), content, key, loaded.name)


def checked_precision(precision: str, targets: tuple[int, ...]) -> str:
    """The precision to build in, ``auto`` resolved.

    Raises:
        UnavailableError: bf16 for a GPU that has none.
    """
    without = [target for target in targets if target < _FIRST_WITH_BF16]
    if precision == "auto":
        return "fp16" if without else "bf16"
    if precision == "bf16" and without:
        raise UnavailableError(f"{target_name(without[0])} has no bf16; choose the precision fp16")
    return precision


def _current_gpu(index: int, *, needed: bool) -> Gpu | None:
    try:
        return find_gpu(index, Driver())
    except UnavailableError as error:
        if needed:
            raise UnavailableError(f"{error}; to build ahead name the target, for example sm_89") from None
        return None


def _flavour_for(targets: tuple[int, ...], name: str | None, gpu: Gpu | None) -> Flavour:
    """The module for explicit targets: what is measured on the GPU that is here, else what builds ahead."""
    if name is not None:
        return find_flavour(name)
    if gpu is not None and targets == (gpu.capability,):
        return find_flavour(None, gpu)
    return find_flavour("tensorrt_rtx")


def build(onnx: bytes, flavour: Flavour, targets: tuple[int, ...]) -> bytes:
    """An engine from a typed graph.

    Raises:
        IonMorphNetError: TensorRT did not take the graph, or could not build it; its own words, in one line.
    """
    trt = flavour.module
    log = new_log(flavour)
    builder = started(flavour, log, lambda: trt.Builder(log))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(onnx):
        said = "; ".join(parser.get_error(i).desc() for i in range(parser.num_errors))
        raise IonMorphNetError(f"{flavour} does not take the network: {said or log.said()}")
    config = builder.create_builder_config()
    # Float32 means float32, in the islands too. (With TF32 an f32 engine for sm_120 is twelve times as large, besides.)
    config.clear_flag(trt.BuilderFlag.TF32)
    flavour.set_targets(config, targets)
    serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        raise IonMorphNetError(f"{flavour} could not build the engine: {log.said()}")
    return bytes(serialized)


def started(flavour: Flavour, log: Any, make: Callable[[], Any]) -> Any:
    """What ``make`` makes of TensorRT.

    Raises:
        UnavailableError: It cannot be made, as with a driver that is too old: TensorRT's bindings then raise errors of
            their own, some of them for a null pointer.
    """
    try:
        return make()
    except (TypeError, RuntimeError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        said = log.said() if log.errors else first
        raise UnavailableError(f"{flavour} does not start: {said}") from error


def new_log(flavour: Flavour) -> Any:
    """A logger for TensorRT that passes its messages on to ours, and remembers errors for :meth:`said`."""
    base: Any = flavour.module.ILogger

    class Log(base):  # type: ignore[misc]
        def __init__(self) -> None:
            base.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if int(severity) <= int(base.Severity.ERROR):
                self.errors.append(" ".join(message.split()))
            logger.log(logging.DEBUG, "%s: %s", flavour.name, message)

        def said(self) -> str:
            return self.errors[0] if self.errors else "it gives no reason"

    return Log()
