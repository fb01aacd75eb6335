"""NetworkScorer: what the scorers with a network have in common, on the CPU or a GPU."""

from __future__ import annotations

import abc
import os
from collections.abc import Mapping
from typing import Generic, NoReturn, TypedDict, TypeVar

import numpy as np
import numpy.typing as npt

from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.models.cascade import Cascade
from ionmorphnet.models.model import Model
from ionmorphnet.scoring.columns import network_columns
from ionmorphnet.scoring.scorer import DEFAULT_OPTIONS, Float32, ScoreOptions, Scorer, Scores

# Outputs (n, k), blank images (n,), timings: what the native loops return.
LoopResult = tuple[Float32, npt.NDArray[np.bool_], dict[str, float | int | bool]]


Network = TypeVar("Network")


class NetworkArguments(TypedDict, Generic[Network]):
    """Keywords of the native loops that say which network runs on what inputs."""

    scorer: Network
    preprocess_id: str
    statistics: list[str]


class NetworkScorer(Scorer, Generic[Network]):
    """A model's network behind a native streaming loop. It stays in the process that started it.

    Attributes:
        network: The network as the native loop runs it.
    """

    def __init__(
        self, name: str, model: Model, network: Network, precision: str, *, refused: Mapping[str, str] | None = None
    ) -> None:
        """Takes over a running network.

        Args:
            name: Name of the scorer.
            model: The model of the network.
            network: The network, as the native loop runs it.
            precision: What the network computes in.
            refused: Engines that were tried before, and why they did not start.
        """
        self.name = name
        self.model = self._model = model
        self.network = network
        self.precision = precision
        self.refused = dict(refused or {})
        self._process = os.getpid()

    @property
    def description(self) -> str:
        """How the model forms its score."""
        return self._model.score_description

    @property
    def cascade(self) -> Cascade | None:
        """Which images the network is spared; None where every image goes through it."""
        return None

    @property
    def forked(self) -> bool:
        """Whether this process was forked from the one that started the network."""
        return self._process != os.getpid()

    def __reduce__(self) -> NoReturn:
        """A running network cannot leave its process."""
        raise TypeError("a scorer with a network does not pickle: call make_scorer in the worker")

    def score_windows(self, dataset: Dataset, axis: CandidateAxis, options: ScoreOptions = DEFAULT_OPTIONS) -> Scores:
        """See :meth:`Scorer.score_windows`."""
        reach = self._reach(len(axis), options)
        return self._scores(self._run_windows(dataset, axis, options, reach), reach)

    def score_stack(
        self, images: Float32, mask: npt.NDArray[np.uint8] | None = None, options: ScoreOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """See :meth:`Scorer.score_stack`."""
        reach = self._reach(len(images), options)
        return self._scores(self._run_stack(images, mask, options, reach), reach)

    def native_arguments(self) -> NetworkArguments[Network]:
        """Which network the native loop runs, and on what inputs.

        Raises:
            UnavailableError: The network does not work in this process.
        """
        return {
            "scorer": self.network,
            "preprocess_id": self._model.preprocessing,
            "statistics": list(self._model.statistics),
        }

    @abc.abstractmethod
    def _run_windows(
        self, dataset: Dataset, axis: CandidateAxis, options: ScoreOptions, reach: Float32 | None
    ) -> LoopResult:
        """Runs the native loop over the windows of an axis; the cascade is at work if it receives a ``reach``."""

    @abc.abstractmethod
    def _run_stack(
        self, images: Float32, mask: npt.NDArray[np.uint8] | None, options: ScoreOptions, reach: Float32 | None
    ) -> LoopResult:
        """Runs the native loop over images in memory; see :meth:`_run_windows`."""

    def _reach(self, n: int, options: ScoreOptions) -> Float32 | None:
        """Room for how near each of n images comes to the limits of the cascade, if one is to be at work."""
        if self.cascade is None or not options.cascade:
            return None
        return np.full(n, np.nan, np.float32)

    def _scores(self, result: LoopResult, reach: Float32 | None) -> Scores:
        outputs, blank, timings = result
        cascade = None if reach is None else self.cascade
        frame = network_columns(self.name, self._model, outputs, blank, cascade, reach)
        return Scores(frame, blank, timings, cascade)
