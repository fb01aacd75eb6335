"""Rounding of float32 arrays to the values of a 16-bit type, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

# Largest finite value of each type.
LARGEST = {"bf16": float(2.0**127 * (2 - 2.0**-7)), "fp16": 65504.0, "f32": float(np.finfo(np.float32).max)}


def round_to(values: Float32, kind: str) -> Float32:
    """The nearest values of a type, ties to even, as float32; what is too large becomes infinite.

    Args:
        values: float32, any shape.
        kind: ``bf16`` or ``fp16``; with ``f32`` or ``i64`` nothing happens.
    """
    if kind in ("f32", "i64"):
        return values
    if kind == "fp16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    return (bf16_bits(values).astype(np.uint32) << np.uint32(16)).view(np.float32)


def bf16_bits(values: Float32) -> NDArray[np.uint16]:
    """The bits of each value as bfloat16."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)
    # The carry of rounding would turn some NaN into infinity or zero.
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16)


def from_bf16_bits(bits: NDArray[np.uint16]) -> Float32:
    """The float32 values of bfloat16 bits."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def every_value(kind: str) -> Float32:
    """All 65,536 values of a 16-bit type, by their bits."""
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    return bits.view(np.float16).astype(np.float32) if kind == "fp16" else from_bf16_bits(bits)


def bits_of(values: Float32, kind: str) -> NDArray[np.uint16]:
    """The bits of values that a 16-bit type holds."""
    return values.astype(np.float16).view(np.uint16) if kind == "fp16" else bf16_bits(values)
