"""Sections of 4 x 5 pixels with spectra of two kinds, for tests of what is read.

The spectra that are to be read hold an ion at m/z 300, the others one at m/z 150, so that a wrong choice shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from imzml_factory import Spec, cv, polarity, scan_filter, write_imzml

HEIGHT, WIDTH = 4, 5
LEVEL_TERM = {1: cv("MS:1000579", "MS1 spectrum"), 2: cv("MS:1000580", "MSn spectrum")}
FULL = "FTMS + p ESI Full ms [100.00-1000.00]"
FRAGMENTS = "FTMS + p ESI Full ms2 445.12@hcd35.00 [100.00-460.00]"


def spec(pixel: int, wanted: bool, **terms: Any) -> Spec:
    y, x = divmod(pixel, WIDTH)
    return Spec(x + 1, y + 1, [300.0 if wanted else 150.0, 800.0], [1.0 + pixel, 1.0], **terms)


def both(
    one: dict[str, Any], other: dict[str, Any], *, pixels: int = HEIGHT * WIDTH, other_first: bool = True
) -> list[Spec]:
    """Two spectra at each pixel, of which the second one is to be read."""
    pairs = [(spec(p, False, **other), spec(p, True, **one)) for p in range(pixels)]
    return [each for pair in pairs for each in (pair if other_first else pair[::-1])]


def write(folder: Path, specs: Sequence[Spec], **knobs: Any) -> Path:
    return write_imzml(folder / "s.imzML", specs, **knobs)


# How files say which polarity a spectrum has.
POLARITIES: dict[str, Callable[[str], dict[str, Any]]] = {
    "spectrum": lambda name: {"params": polarity(name)},
    "scan": lambda name: {"scan_params": polarity(name)},
    "group of the spectrum": lambda name: {"groups": ("spectrum", name[:3])},
    "group of the scan": lambda name: {"scan_groups": (name[:3],)},
    "filter string": lambda name: {"scan_params": scan_filter(FULL if name == "positive" else FULL.replace("+", "-"))},
    "boilerplate beside the filter": lambda name: {
        "params": polarity("positive"),
        "scan_params": scan_filter(FULL if name == "positive" else FULL.replace("+", "-")),
    },
}
