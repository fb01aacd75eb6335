"""Classical scorers: one statistic of the ion image is the score, no model is needed."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.scoring.columns import plain_columns
from ionmorphnet.scoring.scorer import DEFAULT_OPTIONS, Float32, ScoreOptions, Scorer, Scores


class StatisticScorer(Scorer):
    """Scores images by a native statistic (csrc/score/statistics.h), on the CPU. Pickles."""

    def __init__(self, name: str, description: str) -> None:
        """Makes the scorer; it starts nothing.

        Args:
            name: Name of the statistic in the native core.
            description: What the score is, in one line.
        """
        self.name = name
        self._description = description

    @property
    def description(self) -> str:
        """What the statistic is."""
        return self._description

    def score_windows(self, dataset: Dataset, axis: CandidateAxis, options: ScoreOptions = DEFAULT_OPTIONS) -> Scores:
        """See :meth:`Scorer.score_windows`."""
        outputs, blank, timings = _core.score_windows(
            dataset._scored,
            axis.mz_lo,
            axis.mz_hi,
            statistic=self.name,
            memory_limit=options.memory_limit,
            threads=options.threads,
            progress=options.progress,
        )
        return Scores(plain_columns(self.name, outputs[:, 0]), blank, timings)

    def score_stack(
        self, images: Float32, mask: npt.NDArray[np.uint8] | None = None, options: ScoreOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """See :meth:`Scorer.score_stack`."""
        outputs, blank, timings = _core.score_stack(
            images, mask, statistic=self.name, threads=options.threads, progress=options.progress
        )
        return Scores(plain_columns(self.name, outputs[:, 0]), blank, timings)


# Every classical scorer by name; all are ready to run. Names are part of ScorerName, too.
CLASSICAL_SCORERS: dict[str, Scorer] = {
    name: StatisticScorer(name, description) for name, description in _core.ranking_statistics()
}
