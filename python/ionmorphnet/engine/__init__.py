"""TensorRT engines of model folders: typed 16-bit graphs, building, caching, and a scorer on the GPU.

Example:
    >>> import ionmorphnet as imn
    >>> built = imn.engine.build_engine("atto-sim-3", "atto.engine", targets="sm_89")  # doctest: +SKIP
"""

from __future__ import annotations

from ionmorphnet.engine.accuracy import (
    Agreement,
    Prepared,
    Ranges,
    TypedNetwork,
    agreement,
    extreme_inputs,
    reference_outputs,
    simulated_inputs,
)
from ionmorphnet.engine.check import Checked, check_inputs, check_model
from ionmorphnet.scoring.tensorrt.build import DEFAULT_BATCH, build_engine
from ionmorphnet.scoring.tensorrt.cache import cache_folder, cached_engines, clear_cache
from ionmorphnet.scoring.tensorrt.key import EngineKey
from ionmorphnet.scoring.tensorrt.scorer import TensorRTScorer, load_tensorrt_scorer, make_tensorrt_scorer
from ionmorphnet.scoring.tensorrt.sidecar import EngineFile, check_runnable, read_engine, read_sidecar, why_not_runnable
from ionmorphnet.scoring.tensorrt.typed import PRECISIONS, typed_onnx

__all__ = [
    "DEFAULT_BATCH",
    "PRECISIONS",
    "Agreement",
    "Checked",
    "EngineFile",
    "EngineKey",
    "Prepared",
    "Ranges",
    "TensorRTScorer",
    "TypedNetwork",
    "agreement",
    "build_engine",
    "cache_folder",
    "cached_engines",
    "check_inputs",
    "check_model",
    "check_runnable",
    "clear_cache",
    "extreme_inputs",
    "load_tensorrt_scorer",
    "make_tensorrt_scorer",
    "read_engine",
    "read_sidecar",
    "reference_outputs",
    "simulated_inputs",
    "typed_onnx",
    "why_not_runnable",
]
