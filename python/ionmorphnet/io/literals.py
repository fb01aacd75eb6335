"""Options that accept one of a few words, as types for signatures."""

from __future__ import annotations

from typing import Literal

Mode = Literal["continuous", "processed"]
SpectrumType = Literal["profile", "centroid"]
Duplicates = Literal["first", "sum", "mean", "error"]
Polarity = Literal["positive", "negative"]
Normalize = Literal["none", "tic", "rms", "median"]
InstrumentName = Literal["linear-tof", "reflector-tof", "orbitrap", "ft-icr"]
Copies = Literal["keep", "drop"]
AxisKind = Literal["auto", "bins", "peaks"]
FloatType = Literal["float32", "float64"]
