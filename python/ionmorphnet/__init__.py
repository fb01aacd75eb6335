"""Peak picking for mass spectrometry imaging by the spatial morphology of ion images.

import ionmorphnet as imn
peaks = imn.pick(imn.open("section.imzML"))
peaks.to_frame()
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ionmorphnet import engine as engine
    from ionmorphnet import evaluate as evaluate
    from ionmorphnet import reference as reference
    from ionmorphnet import tumor as tumor
    from ionmorphnet._core import __version__ as __version__
    from ionmorphnet.candidates import CandidateAxis, candidate_axis
    from ionmorphnet.dataset import Dataset
    from ionmorphnet.dataset import open_dataset as open
    from ionmorphnet.devices import build_info
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
    from ionmorphnet.statistics import image_statistics
    from ionmorphnet.training.bundle import export_model
    from ionmorphnet.training.train_model import train

# Where each public name lives. It is loaded on first use, so that importing a small part (the command's entry point)
# does not load numpy, pandas and the native core.
_HOMES = {
    "__version__": "_core",
    "CLASSES": "labels",
    "ArgumentError": "errors",
    "Cancelled": "errors",
    "CandidateAxis": "candidates",
    "Dataset": "dataset",
    "FileError": "errors",
    "IonMorphNetError": "errors",
    "Model": "models",
    "PeakList": "peak_list",
    "Scorer": "scorers",
    "UnavailableError": "errors",
    "build_info": "devices",
    "bundled_models": "models",
    "candidate_axis": "candidates",
    "export_model": "training.bundle",
    "image_statistics": "statistics",
    "load_model": "models",
    "make_scorer": "scorers",
    "open": "dataset",
    "pick": "picking",
    "score_images": "scoring",
    "simulate": "simulation",
    "train": "training.train_model",
}
_OTHER_NAMES = {"open": "open_dataset"}

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
    "build_info",
    "bundled_models",
    "candidate_axis",
    "engine",
    "evaluate",
    "export_model",
    "image_statistics",
    "load_model",
    "make_scorer",
    "open",
    "pick",
    "reference",
    "score_images",
    "simulate",
    "train",
    "tumor",
]

# Public names that are settled but not there yet: using one says so, instead of a bare AttributeError.
_PLANNED = {
    "cohort": "cohort runs",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f"ionmorphnet.{_HOMES[name]}"), _OTHER_NAMES.get(name, name))
        globals()[name] = value
        return value
    if name in ("engine", "evaluate", "reference", "tumor"):
        return importlib.import_module(f"ionmorphnet.{name}")
    if name in _PLANNED:
        version = __getattr__("__version__")
        raise AttributeError(f"ionmorphnet.{name}: {_PLANNED[name]} is not in version {version} yet")
    raise AttributeError(f"module 'ionmorphnet' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
