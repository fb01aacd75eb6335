"""What a fault is, and the list of all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from odd_files.sections import FLAVOURS, Section

Change = Callable[[Section, np.random.Generator], Section]


@dataclass(frozen=True)
class Fault:
    """One way in which a file can be wrong.

    Attributes:
        name: What the tables call it.
        kind: The family: "spectra", "pixels", "arrays", "masses", "intensities", "grid" or "header".
        names: Regular expression that a warning or error must match to count as naming the cause; case is ignored.
        change: Takes a clean section and a random generator, which draws the severity, and returns the faulty section.
        flavours: The flavours that it applies to.
        found_by_validate: Whether ``validate`` must report it (what is no fault of the file need not be).
        source: Address of a public report of such a file; empty for faults of our own devising.
    """

    name: str
    kind: str
    names: str
    change: Change
    flavours: tuple[str, ...] = FLAVOURS
    found_by_validate: bool = True
    source: str = ""


FAULTS: dict[str, Fault] = {}


def fault(
    kind: str,
    names: str,
    *,
    flavours: Sequence[str] = FLAVOURS,
    found_by_validate: bool = True,
    source: str = "",
) -> Callable[[Change], Change]:
    """Adds the decorated change to FAULTS, under the first line of its docstring without the full stop."""

    def add(change: Change) -> Change:
        assert change.__doc__ is not None
        name = change.__doc__.partition("\n")[0].rstrip(".")
        assert name not in FAULTS, name
        FAULTS[name] = Fault(name, kind, names, change, tuple(flavours), found_by_validate, source)
        return change

    return add
