"""Rounding of float32 arrays to 16-bit types in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]

# Largest finite value of each type.
LARGEST = {"bf16": float(2.0**127 * (2 - 2.0**-7)), "fp16": 65504.0, "f32": float(np.finfo(np.float32).max)}


def round_to(values: Float32, kind: str) -> Float32:
    """Rounds to the nearest values of a type, ties to even; values that are too large become infinite.

    Args:
        values: float32, any shape.
        kind: ``bf16`` or ``fp16``; ``f32`` and ``i64`` return the values unchanged.

    Returns:
        The rounded values as float32.
    """
    if kind in ("f32", "i64"):
        return values
    if kind == "fp16":
        with np.errstate(over="ignore"):
            return values.astype(np.float16).astype(np.float32)
    return (bf16_bits(values).astype(np.uint32) << np.uint32(16)).view(np.float32)


def bf16_bits(values: Float32) -> NDArray[np.uint16]:
    """bfloat16 bits of each value."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + (np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1)))) >> np.uint32(16)
    # Rounding could carry some NaN to infinity or zero.
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16)


def from_bf16_bits(bits: NDArray[np.uint16]) -> Float32:
    """float32 values of bfloat16 bits."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def every_value(kind: str) -> Float32:
    """All 65,536 values of a 16-bit type in the order of their bits."""
    bits = np.arange(1 << 16, dtype=np.uint32).astype(np.uint16)
    return bits.view(np.float16).astype(np.float32) if kind == "fp16" else from_bf16_bits(bits)


def bits_of(values: Float32, kind: str) -> NDArray[np.uint16]:
    """Bits of values that the 16-bit type represents exactly."""
    return values.astype(np.float16).view(np.uint16) if kind == "fp16" else bf16_bits(values)
