"""Classical scorers: one statistic of the ion image is the score, no model is needed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.progress import Progress
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.scoring.columns import plain_columns
from ionmorphnet.scoring.scorer import Float32, Scorer, Scores

# Statistics that rank images, and what each score is. The statistics themselves are native: csrc/score/statistics.h.
CLASSICAL_SCORERS = {
    "moran": "Moran's I of the ion image over measured pixels (rook neighbours)",
    "blur": "share of the ion image's variance that a Gaussian blur of sigma 2 pixels leaves, over measured pixels",
    "chaos": "METASPACE's measure of spatial chaos over measured pixels (just below 1 = one connected shape)",
}


class ClassicalScorer(Scorer):
    """Scores images by one statistic, on the CPU. Pickles."""

    def __init__(self, name: str) -> None:
        """Makes the scorer; it starts nothing.

        Args:
            name: A key of ``CLASSICAL_SCORERS``.
        """
        self.name = name

    @property
    def description(self) -> str:
        """What the statistic is."""
        return CLASSICAL_SCORERS[self.name]

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
        outputs, blank, timings = _core.score_windows(
            dataset._native,
            axis.mz_lo,
            axis.mz_hi,
            statistic=self.name,
            memory_limit=memory_limit,
            threads=threads,
            progress=progress,
        )
        return Scores(plain_columns(outputs[:, 0]), blank, timings)

    def score_stack(
        self,
        images: Float32,
        mask: npt.NDArray[np.uint8] | None = None,
        *,
        threads: int = 0,
        progress: Progress | None = None,
    ) -> Scores:
        """See :meth:`Scorer.score_stack`."""
        outputs, blank, timings = _core.score_stack(
            images, mask, statistic=self.name, threads=threads, progress=progress
        )
        return Scores(plain_columns(outputs[:, 0]), blank, timings)
