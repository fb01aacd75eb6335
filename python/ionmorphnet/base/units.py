"""Memory sizes as text, such as 4GB."""

from __future__ import annotations

import re

from ionmorphnet.base.errors import ArgumentError

_FACTORS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def parse_bytes(size: int | str) -> int:
    """Reads a size: a number of bytes, or text such as ``"4GB"``, ``"512MiB"``, ``"1.5 g"``.

    Raises:
        ArgumentError: Not a positive size.
    """
    if isinstance(size, int) and not isinstance(size, bool):
        value = size
    else:
        match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]*)?)\s*([KMGT]I?)?B?\s*", str(size).upper())
        if match is None:
            raise ArgumentError(f"'{size}' is not a size; write for example 4GB or 512MiB")
        value = int(float(match[1]) * _FACTORS[match[2] or ""])
    if value <= 0:
        raise ArgumentError(f"a size must be positive, not {size}")
    return value


def format_bytes(size: float) -> str:
    """A size as readable text: ``1.5 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
