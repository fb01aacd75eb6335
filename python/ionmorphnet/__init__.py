"""Peak picking for mass spectrometry imaging by the spatial morphology of ion images.

import ionmorphnet as imn
peaks = imn.pick(imn.open("section.imzML"))
peaks.to_frame()
"""

from __future__ import annotations

from typing import Any

from ionmorphnet import reference as reference
from ionmorphnet._core import __version__ as __version__
from ionmorphnet.candidates import CandidateAxis, candidate_axis
from ionmorphnet.dataset import Dataset
from ionmorphnet.dataset import open_dataset as open
from ionmorphnet.errors import (
    ArgumentError,
    Cancelled,
    FileError,
    IonMorphNetError,
    UnavailableError,
)
from ionmorphnet.labels import CLASSES
from ionmorphnet.models import Model, bundled_models, load_model
from ionmorphnet.peak_list import PeakList
from ionmorphnet.picking import pick
from ionmorphnet.scorers import Scorer, make_scorer
from ionmorphnet.scoring import score_images
from ionmorphnet.simulation import simulate

__all__ = [
    "CLASSES",
    "ArgumentError",
    "Cancelled",
    "CandidateAxis",
    "Dataset",
    "FileError",
    "IonMorphNetError",
    "Model",
    "PeakList",
    "Scorer",
    "UnavailableError",
    "bundled_models",
    "candidate_axis",
    "load_model",
    "make_scorer",
    "open",
    "pick",
    "reference",
    "score_images",
    "simulate",
]

# Public names that are settled but not there yet: using one says so, instead of a bare AttributeError.
_PLANNED = {
    "train": "training from Python",
    "evaluate": "evaluation (mSCF1 and ranking reports)",
    "tumor": "tumour classification",
    "cohort": "cohort runs",
    "engine": "TensorRT engines",
}


def __getattr__(name: str) -> Any:
    if name in _PLANNED:
        raise AttributeError(f"ionmorphnet.{name}: {_PLANNED[name]} is not in version {__version__} yet")
    raise AttributeError(f"module 'ionmorphnet' has no attribute '{name}'")
