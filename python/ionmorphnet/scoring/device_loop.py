"""Networks on a GPU, behind the device's streaming loop: the images never leave the device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.devices import GPU_FORKED, Device
from ionmorphnet.base.errors import UnavailableError
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.device_network import DeviceNetwork
from ionmorphnet.scoring.network_scorer import LoopResult, NetworkArguments, NetworkScorer
from ionmorphnet.scoring.scorer import Float32, ScoreOptions


class DeviceArguments(NetworkArguments[DeviceNetwork]):
    """Keywords of the device loop."""

    device: str


class DeviceLoopScorer(NetworkScorer[DeviceNetwork]):
    """A network on a GPU."""

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
        super().__init__(network.name, model, network, network.precision, refused=refused)
        self.device = device

    def native_arguments(self) -> DeviceArguments:
        """See :meth:`NetworkScorer.native_arguments`."""
        if self.forked:
            raise UnavailableError(GPU_FORKED)
        return {**super().native_arguments(), "device": str(self.device)}

    def _run_windows(
        self, dataset: Dataset, axis: CandidateAxis, options: ScoreOptions, reach: Float32 | None
    ) -> LoopResult:
        result: LoopResult = _core.score_windows_on_device(
            dataset._scored,
            axis.mz_lo,
            axis.mz_hi,
            device_memory=options.device_memory_limit,
            pinned_memory=min(_core.DEFAULT_PINNED_MEMORY, options.memory_limit // 2),
            threads=options.threads,
            progress=options.progress,
            sample=options.sample,
            **self.native_arguments(),
        )
        return result

    def _run_stack(
        self, images: Float32, mask: npt.NDArray[np.uint8] | None, options: ScoreOptions, reach: Float32 | None
    ) -> LoopResult:
        largest = 3 * images[:1].nbytes  # as many chunks as are under way
        result: LoopResult = _core.score_stack_on_device(
            images,
            mask,
            pinned_memory=max(_core.DEFAULT_PINNED_MEMORY, 2 * largest),
            threads=options.threads,
            progress=options.progress,
            sample=options.sample,
            **self.native_arguments(),
        )
        return result
