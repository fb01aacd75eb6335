"""Names of scorers and precisions, for a command line that loads no scorer to show its help."""

from __future__ import annotations

from typing import Literal, get_args

# What parameters named ``scorer`` and ``precision`` accept by name.
ScorerName = Literal["auto", "openvino", "tensorrt", "torch", "moran", "blur", "chaos", "blur_sqrt", "reliability"]
Precision = Literal["auto", "f32", "bf16", "fp16", "int8"]
SCORER_NAMES: tuple[str, ...] = get_args(ScorerName)
