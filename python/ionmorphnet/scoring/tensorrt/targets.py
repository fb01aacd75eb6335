"""Targets of an engine: compute capabilities as ``sm_89`` and as the number 89."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ionmorphnet.base.errors import ArgumentError

CURRENT = "current"


def parse_targets(targets: str | Iterable[str]) -> tuple[int, ...] | None:
    """Reads target names.

    Args:
        targets: ``"sm_89"``, several names (a list, or separated by commas), or ``"current"``.

    Returns:
        Numbers such as 89, ascending; None for the GPU of this machine.

    Raises:
        ArgumentError: A name has another form, or ``current`` is combined with others.
    """
    listed = [targets] if isinstance(targets, str) else list(targets)
    names = [part.strip() for each in listed for part in str(each).split(",") if part.strip()]
    if names == [CURRENT]:
        return None
    if not names:
        raise ArgumentError("an engine needs a target, for example sm_89")
    found = set()
    for name in names:
        match = re.fullmatch(r"sm_(\d{2,3})", name)
        if match is None:
            beside = " cannot be combined with others" if name == CURRENT else ""
            raise ArgumentError(f"target '{name}'{beside}: use sm_NN (for example sm_89) or current")
        found.add(int(match[1]))
    return tuple(sorted(found))


def target_name(capability: int) -> str:
    """``sm_89`` for 89."""
    return f"sm_{capability}"


def target_names(capabilities: Iterable[int]) -> str:
    """``sm_80, sm_89``."""
    return ", ".join(map(target_name, capabilities)) or "none"
