"""Networks on the CPU, behind the host's streaming loop: OpenVINO, torch, or a callable of the user's."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.devices import cpu_has_vnni
from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.base.paths import utf8_path
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.models.cascade import Cascade
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.network_scorer import LoopResult, NetworkArguments, NetworkScorer
from ionmorphnet.scoring.scorer import Float32, ScoreOptions

_CALLBACK_BATCH = 32

_FORKED = (
    "OpenVINO was started before this process was forked and would hang here: "
    "start workers with multiprocessing's 'spawn' or 'forkserver' method"
)
_started = False
_started_before_fork = False


def _after_fork() -> None:
    global _started_before_fork
    _started_before_fork = _started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class HostScorer(NetworkScorer[_core.Scorer]):
    """A network on the CPU; made by :func:`start_openvino`, :func:`start_torch` or :func:`wrap_callable`."""

    def native_arguments(self) -> NetworkArguments[_core.Scorer]:
        """See :meth:`NetworkScorer.native_arguments`."""
        if self.name == "openvino" and self.forked:
            raise UnavailableError(_FORKED)
        return super().native_arguments()

    @property
    def cascade(self) -> Cascade | None:
        """The model's cascade; a callable of the user's sees every image."""
        return None if self.name == "callback" else self._model.cascade

    def _run_windows(
        self, dataset: Dataset, axis: CandidateAxis, options: ScoreOptions, reach: Float32 | None
    ) -> LoopResult:
        result: LoopResult = _core.score_windows(
            dataset._scored,
            axis.mz_lo,
            axis.mz_hi,
            memory_limit=options.memory_limit,
            threads=options.threads,
            progress=options.progress,
            sample=options.sample,
            cascade=self._limits(reach),
            reach=reach,
            **self.native_arguments(),
        )
        return result

    def _run_stack(
        self, images: Float32, mask: npt.NDArray[np.uint8] | None, options: ScoreOptions, reach: Float32 | None
    ) -> LoopResult:
        result: LoopResult = _core.score_stack(
            images,
            mask,
            threads=options.threads,
            progress=options.progress,
            sample=options.sample,
            cascade=self._limits(reach),
            reach=reach,
            **self.native_arguments(),
        )
        return result

    def _limits(self, reach: Float32 | None) -> tuple[float, float] | None:
        return None if self.cascade is None or reach is None else self.cascade.limits


def start_openvino(
    model: Model, *, precision: str, threads: int, refused: Mapping[str, str] | None = None
) -> HostScorer:
    """Compiles a model's network with OpenVINO.

    Raises:
        FileError: The network cannot be read, or is not what ``config.json`` says.
        UnavailableError: This build has no OpenVINO, or the process was forked after OpenVINO was started.
    """
    global _started
    if _started_before_fork:
        raise UnavailableError(_FORKED)
    _started = True
    path, precision = _variant(model, precision)
    quantised = path != model.onnx_path
    # What is not quantised runs in bf16 where the CPU has it.
    network = _core.openvino_scorer(str(path), precision="auto" if quantised else precision, threads=threads)
    _core.check_network(
        network,
        folder=utf8_path(model.folder),
        preprocessing=model.preprocessing,
        outputs=model.outputs,
        statistics=model.statistics,
    )
    info = network.info
    return HostScorer(info["name"], model, network, "int8" if quantised else info["precision"], refused=refused)


def _variant(model: Model, precision: str) -> tuple[Path, str]:
    """The file of the network to run, and the precision to ask for.

    Raises:
        UnavailableError: The folder has no 8-bit network.
    """
    if precision == "int8" and model.int8_path is None:
        raise UnavailableError(
            f"{model.folder}: has no 8-bit network; make one with `ionmorphnet export --int8`, or use f32 or bf16"
        )
    if model.int8_path is not None and (
        precision == "int8" or (precision == "auto" and not _core.cpu_has_bf16() and cpu_has_vnni())
    ):
        return model.int8_path, "int8"
    return model.onnx_path, precision


def start_torch(model: Model, *, precision: str, threads: int) -> HostScorer:
    """Loads a model's network in torch.

    Raises:
        FileError: The network is not one of this package's.
        ImportError: torch, or a package that it needs here, is not installed.
    """
    from ionmorphnet.scoring.torch.scorer import resolved_precision, torch_callable

    precision = resolved_precision(precision, "cpu")
    call = torch_callable(model, precision=precision, threads=threads)
    return HostScorer("torch", model, _callback(call, "torch", precision, model), precision)


def wrap_callable(call: Callable[..., Float32], model: Model) -> HostScorer:
    """Puts a callable in the place of a model's network.

    Args:
        call: Takes preprocessed images (n, channels, size, size) float32 and, if the model uses statistics, these as
            (n, k) float32; returns what the network would.
        model: Says what the inputs and outputs are.

    Raises:
        ArgumentError: The callable does not accept the inputs of the model's network.
    """
    _check_signature(call, model)
    return HostScorer("callback", model, _callback(call, "callback", "f32", model), "f32")


def _callback(call: Callable[..., Float32], name: str, precision: str, model: Model) -> _core.Scorer:
    return _core.callback_scorer(
        call,
        *model.input_shape,
        model.n_outputs,
        _CALLBACK_BATCH,
        name=name,
        precision=precision,
        n_statistics=len(model.statistics),
    )


def _check_signature(call: Callable[..., Float32], model: Model) -> None:
    """Refuses a callable that cannot be called as the network is, before any image is read."""
    arguments = ("images", "statistics") if model.statistics else ("images",)
    try:
        signature = inspect.signature(call)
    except (TypeError, ValueError):  # some compiled functions have none
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        raise ArgumentError(
            f"the callable must accept ({', '.join(arguments)}) and return logits (n, {model.n_outputs}), as the "
            f"network of {model.name} does; its arguments are {signature}"
        ) from None
