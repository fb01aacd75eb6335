"""Peak: one picked channel."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from ionmorphnet.models.labels import PROBABILITY_COLUMNS


@dataclass(frozen=True)
class Peak:
    """One picked channel.

    Attributes:
        rank: Rank among all candidates, 1 = best.
        mz: Centre of the channel.
        mz_lo: Lower bound of its m/z window, inclusive.
        mz_hi: Upper bound, inclusive.
        score: The scorer's score.
        label: Most probable class; None for a scorer without classes.
        probabilities: Probability of each class; empty for a scorer without classes.
        structure: Expected structure grade, 0 to 3; None if the model does not estimate it.
        frequency: Share of spectra with a signal in the window; NaN if it was not measured.
    """

    rank: int
    mz: float
    mz_lo: float
    mz_hi: float
    score: float
    label: str | None
    probabilities: dict[str, float] = field(repr=False)
    structure: float | None
    frequency: float


def peak_of(row: pd.Series) -> Peak:
    """The pick in a row of a peak list."""
    label = None if pd.isna(row["label"]) else str(row["label"])
    return Peak(
        rank=int(row["rank"]),
        mz=float(row["mz"]),
        mz_lo=float(row["mz_lo"]),
        mz_hi=float(row["mz_hi"]),
        score=float(row["score"]),
        label=label,
        probabilities={}
        if label is None
        else {name[2:]: float(row[name]) for name in PROBABILITY_COLUMNS if name in row},
        structure=float(row["structure"]) if "structure" in row and not pd.isna(row["structure"]) else None,
        frequency=float(row["frequency"]) if "frequency" in row else float("nan"),
    )
