"""Networks on a GPU, behind the device's streaming loop: the images never leave the device."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.devices import GPU_FORKED, Device
from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.base.progress import Progress
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.columns import network_columns
from ionmorphnet.scoring.device_network import DeviceNetwork
from ionmorphnet.scoring.scorer import Float32, Scorer, Scores

# Page-locked host memory, bytes.
_PINNED_MEMORY = 192 << 20


class DeviceLoopScorer(Scorer):
    """A network on a GPU.

    Attributes:
        network: The network as the device loop calls it.
    """

    def __init__(
        self, model: Model, network: DeviceNetwork, device: Device, *, refused: Mapping[str, str] | None = None
    ) -> None:
        """Takes over a network that :mod:`ionmorphnet.scoring.gpu_networks` started.

        Args:
            model: The model of the network.
            network: Ready on the device.
            device: The GPU.
            refused: Engines that were tried before, and why they did not start.
        """
        self.name = network.name
        self.model = self._model = model
        self.network = network
        self.device = device
        self.precision = network.precision
        self.refused = dict(refused or {})
        self._process = os.getpid()

    @property
    def description(self) -> str:
        """How the model forms its score."""
        return self._model.score_description

    def __reduce__(self) -> NoReturn:
        """A running network stays in its process."""
        raise TypeError("a scorer with a network does not pickle: call make_scorer in the worker")

    def score_windows(
        self,
        dataset: Dataset,
        axis: CandidateAxis,
        *,
        memory_limit: int,
        device_memory_limit: int | None = None,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> Scores:
        """See :meth:`Scorer.score_windows`."""
        outputs, blank, timings = _core.score_windows_on_device(
            dataset._native,
            axis.mz_lo,
            axis.mz_hi,
            device_memory=device_memory_limit or 0,
            pinned_memory=min(_PINNED_MEMORY, memory_limit // 2),
            threads=threads,
            progress=progress,
            **self.native_arguments(),
        )
        return Scores(network_columns(self.name, self._model, outputs, blank), blank, timings)

    def score_stack(
        self,
        images: Float32,
        mask: npt.NDArray[np.uint8] | None = None,
        *,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> Scores:
        """See :meth:`Scorer.score_stack`."""
        largest = 3 * images[:1].nbytes  # as many chunks as are under way
        outputs, blank, timings = _core.score_stack_on_device(
            images,
            mask,
            pinned_memory=max(_PINNED_MEMORY, 2 * largest),
            threads=threads,
            progress=progress,
            **self.native_arguments(),
        )
        return Scores(network_columns(self.name, self._model, outputs, blank), blank, timings)

    def native_arguments(self) -> dict[str, Any]:
        """Which network the native loop runs, on what and where.

        Raises:
            UnavailableError: The network was started before this process was forked.
        """
        if self._process != os.getpid():
            raise UnavailableError(GPU_FORKED)
        return {
            "scorer": self.network,
            "preprocess_id": self._model.preprocessing,
            "statistics": list(self._model.statistics),
            "device": str(self.device),
        }
