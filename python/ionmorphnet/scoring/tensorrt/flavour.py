"""Differences between ``tensorrt`` and ``tensorrt_rtx``, the two modules that build and run engines.

Both use strongly typed networks, engines with static shapes and tensors passed by address. They differ in this:

* ``tensorrt_rtx`` builds without a GPU, for any of the compute capabilities it knows; kernels are compiled on the
  machine that runs them. It captures CUDA graphs itself if its runtime configuration says so. Capturing them here
  would require engines built for memory allocated by the user.
* ``tensorrt`` builds for the GPU of this machine and times kernels on it. Its graphs are captured in
  :mod:`ionmorphnet.scoring.tensorrt.cuda_graph`.
"""

from __future__ import annotations

import importlib
import re
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from ionmorphnet.base.errors import ArgumentError, UnavailableError
from ionmorphnet.scoring.tensorrt.gpu import Gpu
from ionmorphnet.scoring.tensorrt.targets import target_name, target_names

# tensorrt first, because it times kernels on the target GPU and supports data centre GPUs.
FLAVOURS = ("tensorrt", "tensorrt_rtx")
_OLDEST = {"tensorrt": (10, 12), "tensorrt_rtx": (1, 7)}
_EXTRA = {"tensorrt": "tensorrt", "tensorrt_rtx": "tensorrt-rtx"}
# tensorrt_rtx lacks float32 matrix products on Turing, which the heads of the networks need.
_OLDEST_CAPABILITY = {"tensorrt": 75, "tensorrt_rtx": 80}


@dataclass(frozen=True)
class Flavour:
    """An installed TensorRT module.

    Attributes:
        name: ``tensorrt`` or ``tensorrt_rtx``.
        version: Version of the module.
        module: The imported module.
    """

    name: str
    version: str
    module: ModuleType

    def __str__(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def builds_ahead(self) -> bool:
        """Whether engines can be built for GPUs of other machines."""
        return self.name == "tensorrt_rtx"

    @property
    def captures_graphs(self) -> bool:
        """Whether the module captures CUDA graphs itself."""
        return self.name == "tensorrt_rtx"

    def known_targets(self) -> tuple[int, ...] | None:
        """Supported compute capabilities, ascending; None if only a build on the GPU can tell."""
        if not self.builds_ahead:
            return None
        names = vars(self.module.ComputeCapability)
        found = sorted(int(name[2:]) for name in names if re.fullmatch(r"SM\d+", name))
        return tuple(each for each in found if each >= _OLDEST_CAPABILITY[self.name])

    def check_targets(self, targets: tuple[int, ...], gpu: Gpu | None) -> None:
        """Checks that the module can build for the targets.

        Args:
            targets: Compute capabilities.
            gpu: The GPU of this machine, if there is one.

        Raises:
            UnavailableError: A target is not supported; one line with the target and the remedy.
        """
        known = self.known_targets()
        if known is not None:
            for target in targets:
                if target not in known:
                    raise UnavailableError(
                        f"{self} does not support {target_name(target)}, only {target_names(known)}; "
                        "for other GPUs install the full TensorRT: pip install 'ionmorphnet[tensorrt]'"
                    )
        elif gpu is None or targets != (gpu.capability,):
            here = f"this machine has {gpu}" if gpu else "this machine has none"
            raise UnavailableError(
                f"{self} builds only for the GPU of this machine, not for {target_names(targets)} ({here}); "
                "to build ahead: pip install 'ionmorphnet[tensorrt-rtx]'"
            )
        elif gpu.capability < _OLDEST_CAPABILITY[self.name]:
            raise UnavailableError(f"{self} does not support {gpu}")

    def set_targets(self, config: Any, targets: tuple[int, ...]) -> None:
        """Sets the targets of a build."""
        if not self.builds_ahead:
            return  # tensorrt always builds for the current GPU
        config.num_compute_capabilities = len(targets)
        for index, target in enumerate(targets):
            if not config.set_compute_capability(getattr(self.module.ComputeCapability, f"SM{target}"), index):
                raise UnavailableError(f"{self} cannot build for {target_name(target)}")

    def new_context(self, engine: Any) -> Any:
        """Execution context that owns its memory, with graphs if the module captures them."""
        if not self.captures_graphs:
            return engine.create_execution_context()
        config = engine.create_runtime_config()
        config.cuda_graph_strategy = self.module.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
        return engine.create_execution_context(config)


def find_flavour(name: str | None = None, gpu: Gpu | None = None) -> Flavour:
    """Finds the module to use.

    Args:
        name: ``"tensorrt"`` or ``"tensorrt_rtx"``; None for the first one that is installed and supports the GPU.
        gpu: The GPU to support.

    Raises:
        ArgumentError: The name is unknown.
        UnavailableError: The module is not installed, too old, or does not support the GPU; one line with what to
            install.
    """
    if name is not None and name not in FLAVOURS:
        raise ArgumentError(f"unknown flavour '{name}'; known: {', '.join(FLAVOURS)}")
    reasons = []
    for candidate in FLAVOURS if name is None else (name,):
        try:
            flavour = _load(candidate)
            if gpu is not None:
                flavour.check_targets((gpu.capability,), gpu)
            return flavour
        except UnavailableError as error:
            # Without a name, only report modules that are installed but do not work.
            reasons.append((str(error), isinstance(error, _MissingError)))
    if all(missing for _, missing in reasons) and name is None:
        raise UnavailableError(
            "TensorRT is not installed: pip install 'ionmorphnet[tensorrt-rtx]' (GeForce and RTX, sm_80 to sm_121) "
            "or 'ionmorphnet[tensorrt]' (data centre GPUs too)"
        )
    raise UnavailableError("; ".join(text for text, missing in reasons if not missing or name is not None))


class _MissingError(UnavailableError):
    """The module is not installed."""


def _load(name: str) -> Flavour:
    install = f"pip install 'ionmorphnet[{_EXTRA[name]}]'"
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise UnavailableError(f"{name} cannot be loaded ({error}): {install}") from None
        raise _MissingError(f"{name} is not installed: {install}") from None
    except (ImportError, OSError, RuntimeError) as error:
        raise UnavailableError(f"{name} cannot be loaded ({error}): {install}") from None
    version = str(getattr(module, "__version__", ""))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < _OLDEST[name]:
        oldest = ".".join(map(str, _OLDEST[name]))
        raise UnavailableError(
            f"{name} {version or 'of unknown version'} is too old, {oldest} or later is needed: {install}"
        )
    return Flavour(name, version, module)
