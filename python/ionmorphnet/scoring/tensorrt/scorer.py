"""Scoring on a GPU with TensorRT. Tested with a substitute for the TensorRT module, not on a GPU."""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import Any

from ionmorphnet.base.devices import Device, DeviceName
from ionmorphnet.base.errors import FileError, IonMorphNetError, UnavailableError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.models.model import Model, load_model
from ionmorphnet.scoring.device_network import DeviceNetwork, InputDtype
from ionmorphnet.scoring.tensorrt.build import DEFAULT_BATCH, build_engine, checked_precision, new_log, started
from ionmorphnet.scoring.tensorrt.cuda_graph import Graphs, StreamOrder
from ionmorphnet.scoring.tensorrt.flavour import Flavour, find_flavour
from ionmorphnet.scoring.tensorrt.gpu import Driver, Gpu, find_gpu
from ionmorphnet.scoring.tensorrt.key import EngineKey
from ionmorphnet.scoring.tensorrt.sidecar import EngineFile, check_fits, check_runnable, read_engine

_DTYPES = {"FLOAT": "f32", "BF16": "bf16", "HALF": "f16"}


class TensorRTScorer:
    """Implements :class:`ionmorphnet.scoring.device_network.DeviceNetwork` with a TensorRT engine.

    Attributes:
        engine: The engine file.
        gpu: The GPU it runs on.
        flavour: ``tensorrt`` or ``tensorrt_rtx``, with its version.
    """

    name = "tensorrt"

    def __init__(self, engine: EngineFile, content: bytes, flavour: Flavour, gpu: Gpu, driver: Driver) -> None:
        """Loads an engine that passed :func:`ionmorphnet.scoring.tensorrt.sidecar.check_runnable`.

        Makes the GPU current in the calling thread.

        Raises:
            UnavailableError: TensorRT rejected the engine; quotes its message in one line.
            FileError: Inputs or outputs of the engine do not match its sidecar.
        """
        self.engine, self.gpu, self.flavour = engine, gpu, str(flavour)
        key = engine.key
        self.precision, self.batch = key.precision, key.batch
        self.channels, self.size = key.channels, key.size
        self.n_outputs, self.n_statistics = key.n_outputs, key.n_statistics
        self.input_dtype: InputDtype = key.tensors()[0]["dtype"]
        driver.make_current(gpu)
        self._log = new_log(flavour)
        self._runtime = started(flavour, self._log, lambda: flavour.module.Runtime(self._log))
        self._engine = started(flavour, self._log, lambda: self._runtime.deserialize_cuda_engine(content))
        if self._engine is None:
            raise UnavailableError(f"{engine.path}: {flavour} rejected the engine on {gpu}: {self._log.said()}")
        self._names = _bind(self._engine, flavour, engine)
        self._context = started(flavour, self._log, lambda: flavour.new_context(self._engine))
        if self._context is None:
            raise UnavailableError(f"{engine.path}: not enough memory on {gpu} to run the engine: {self._log.said()}")
        # A context has one set of addresses and activations, so calls are serialised here and on the GPU.
        self._lock = threading.Lock()
        self._order = StreamOrder(driver)
        self._graphs: Graphs | None = None
        if not flavour.captures_graphs:
            self._graphs = Graphs(driver)
            # Not at exit: by then the driver, and the graphs with it, may be gone.
            weakref.finalize(self, self._graphs.close).atexit = False

    def enqueue(self, image: int, statistics: int, outputs: int, stream: int) -> None:
        """See :meth:`ionmorphnet.scoring.device_network.DeviceNetwork.enqueue`."""
        if not (image and outputs and (statistics or not self.n_statistics)):
            raise IonMorphNetError("enqueue received a null address")  # the GPU would fail without explanation
        with self._lock, self._order.on(stream):
            if self._graphs is None:
                self._run(image, statistics, outputs, stream)
            else:
                work = (image, statistics, outputs, stream)
                self._graphs.launch(work, stream, lambda: self._run(*work))

    def _run(self, image: int, statistics: int, outputs: int, stream: int) -> None:
        self._log.errors.clear()  # drop messages of earlier calls
        addresses = {"image": image, "statistics": statistics, "outputs": outputs}
        for role, name in self._names.items():
            if not self._context.set_tensor_address(name, addresses[role]):
                raise IonMorphNetError(f"{self.flavour} rejected the address of '{name}': {self._log.said()}")
        if not self._context.execute_async_v3(stream):
            raise IonMorphNetError(f"{self.flavour} failed to start the engine: {self._log.said()}")


def _bind(engine: Any, flavour: Flavour, file: EngineFile) -> dict[str, str]:
    """Tensor name of each role, checked against the sidecar."""
    trt = flavour.module
    found = {}
    for name in (engine.get_tensor_name(i) for i in range(engine.num_io_tensors)):
        shape = list(engine.get_tensor_shape(name))
        role = "outputs" if engine.get_tensor_mode(name) == trt.TensorIOMode.OUTPUT else "statistics"
        role = "image" if len(shape) == 4 else role
        dtype = engine.get_tensor_dtype(name).name
        found[role] = (name, {"role": role, "dtype": _DTYPES.get(dtype, dtype), "shape": shape})
    wanted = file.key.tensors()
    if [found[each["role"]][1] for each in wanted if each["role"] in found] != wanted or len(found) != len(wanted):
        has = ", ".join(f"{name} {each['dtype']} {each['shape']}" for name, each in found.values())
        raise FileError(f"{file.path}: the engine has {has}, which does not match its sidecar")
    return {role: name for role, (name, _) in found.items()}


def load_tensorrt_scorer(path: PathLike, *, device: DeviceName | Device = "cuda") -> TensorRTScorer:
    """Loads an engine that was built ahead. Checks its sidecar before TensorRT reads the engine.

    Args:
        path: The engine file.
        device: ``"cuda"`` (the first GPU) or ``"cuda:N"``.

    Raises:
        FileError: The file is damaged or was not built by ionmorphnet.
        UnavailableError: There is no GPU, or this machine cannot run the engine; one line with the reason.
        ArgumentError: There is no such GPU.
    """
    file, content = read_engine(Path(path))
    driver = Driver()
    gpu = find_gpu(device, driver)
    flavour = find_flavour(file.key.flavour)
    check_runnable(file, flavour, gpu)
    return TensorRTScorer(file, content, flavour, gpu, driver)


def make_tensorrt_scorer(
    model: str | Path | Model | None = None,
    *,
    device: DeviceName | Device = "cuda",
    precision: str = "auto",
    batch: int | None = None,
    cache_dir: PathLike | None = None,
    engine: PathLike | None = None,
    flavour: str | None = None,
) -> DeviceNetwork:
    """Makes a scorer on a GPU. The engine comes from a file or the cache, or is built.

    Args:
        model: Bundled name, model folder or loaded Model; None for the default model.
        device: ``"cuda"`` (the first GPU) or ``"cuda:N"``.
        precision: ``"bf16"``, ``"fp16"``, ``"f32"`` or ``"auto"``: that of the file; without a file bf16, or fp16 on a
            GPU that lacks bf16.
        batch: Images per call; None for that of the file, or 128 without a file.
        cache_dir: Folder of the engine cache; None for the default of the platform.
        engine: An engine built ahead. It must match the model, and precision and batch if these are set.
        flavour: ``"tensorrt"`` or ``"tensorrt_rtx"``; None chooses an installed one that supports the GPU.

    Raises:
        UnavailableError: There is no usable GPU, or TensorRT is missing, too old or does not support the GPU; one line
            with the reason and the remedy.
        FileError: The model or the engine cannot be used.
        ArgumentError: An argument has the wrong type or is out of range.
        IonMorphNetError: TensorRT failed to build the engine.
    """
    loaded = model if isinstance(model, Model) else load_model(model)
    driver = Driver()
    gpu = find_gpu(device, driver)
    if engine is not None:
        file, content = read_engine(Path(engine))
        chosen = find_flavour(file.key.flavour)
        check_runnable(file, chosen, gpu)
        precision = file.key.precision if precision == "auto" else precision
        batch = file.key.batch if batch is None else batch
    else:
        chosen = find_flavour(flavour, gpu)
        batch = DEFAULT_BATCH if batch is None else batch
        file = build_engine(
            loaded,
            precision=precision,
            batch=batch,
            flavour=chosen.name,
            device=device,
            cache_dir=cache_dir,
        )
        file, content = read_engine(file.path)
    precision = checked_precision(precision, (gpu.capability,))
    wanted = EngineKey.of(loaded, chosen, (gpu.capability,), gpu, precision=precision, batch=batch)
    check_fits(file, wanted, loaded)
    return TensorRTScorer(file, content, chosen, gpu, driver)
