"""Outputs of the native loops as columns of a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet import _core
from ionmorphnet.models.cascade import Cascade
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS
from ionmorphnet.models.model import Model

Float32 = npt.NDArray[np.float32]


def plain_columns(name: str, score: npt.NDArray[np.floating]) -> pd.DataFrame:
    """Columns of a score without classes: label and p_* stay empty.

    Args:
        name: Name of the scorer, for errors.
        score: (n,).

    Raises:
        IonMorphNetError: A score is not finite.
    """
    _core.check_scores(name, score)
    frame = pd.DataFrame({"score": score.astype(np.float64)})
    frame["label"] = pd.array([pd.NA] * len(score), dtype="string")
    frame[list(PROBABILITY_COLUMNS)] = np.nan
    return frame


def network_columns(
    name: str,
    model: Model,
    outputs: Float32,
    blank: npt.NDArray[np.bool_],
    cascade: Cascade | None = None,
    reach: Float32 | None = None,
) -> pd.DataFrame:
    """Columns of a network's outputs: score, label, p_*, structure if the model estimates it, spared with a cascade.

    Blank images are ``unstructured`` with probability 1; their score and structure are 0. So are images that the
    network was spared, but with the score of the cascade and the structure that belongs to it.

    Args:
        name: Name of the scorer, for errors.
        model: Says what the outputs are.
        outputs: (n, k).
        blank: (n,), images that were not scored.
        cascade: The cascade that was at work.
        reach: (n,), how near each spared image came to the limits of the cascade; NaN = not spared.

    Raises:
        IonMorphNetError: Outputs are not finite.
    """
    score, probabilities, structure, label = _core.network_outcome(
        name,
        outputs,
        blank,
        reach,
        structure=model.has_structure,
        weights=model.weights,
        ceiling=None if cascade is None else cascade.ceiling,
    )
    labels = np.asarray(CLASSES, dtype=object)[label]
    frame = pd.DataFrame({"score": score, "label": pd.array(labels, dtype="string")})
    frame[list(PROBABILITY_COLUMNS)] = probabilities
    if structure is not None:
        frame["structure"] = structure
    if cascade is not None:
        frame["spared"] = np.zeros(len(blank), np.bool_) if reach is None else ~np.isnan(reach)
    return frame
