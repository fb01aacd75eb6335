"""The cascade of a model folder: which images its network is spared, because cheap statistics show noise."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ionmorphnet.base.errors import FileError

_LIMITS = ("moran_z", "blur")


@dataclass(frozen=True)
class Cascade:
    """Limits below which an image is noise, and the scores that such images get.

    The network is spared an image of at least 400 measured pixels if both statistics are at most their limit. Its
    score is ``ceiling * reach``, where reach is the larger of the two statistics divided by their limits, 0 to 1.

    Attributes:
        moran_z: Limit of Moran's I in units of its standard deviation among independent pixels, ``1 / sqrt(2 n)`` for
            n measured pixels.
        blur: Limit of the blur variance; about 0.02 among independent pixels.
        ceiling: Largest score of a spared image, below the model's threshold.
    """

    moran_z: float
    blur: float
    ceiling: float

    @property
    def limits(self) -> tuple[float, float]:
        """Both limits, as the native loop takes them."""
        return (self.moran_z, self.blur)

    def to_dict(self) -> dict[str, float]:
        """Limits and ceiling by name."""
        return {"moran_z": self.moran_z, "blur": self.blur, "ceiling": self.ceiling}


def read_cascade(config: Mapping[str, Any], threshold: float, path: Path) -> Cascade | None:
    """The entry ``cascade`` of config.json; None if there is none.

    Raises:
        FileError: It is malformed, its evidence lists lost images, or the ceiling is not below the threshold.
    """
    given = config.get("cascade")
    if given is None:
        return None
    if not isinstance(given, dict):
        raise FileError(f"{path}: 'cascade' must be an object")
    values = {}
    for name in (*_LIMITS, "ceiling"):
        value = given.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value <= 0:
            raise FileError(f"{path}: cascade '{name}' must be a positive number, got {value!r}")
        values[name] = float(value)
    if values["ceiling"] >= threshold:
        raise FileError(
            f"{path}: the ceiling {values['ceiling']:g} of the cascade must be below the threshold {threshold:g}, or "
            "images that the network never saw would be picked"
        )
    evidence = given.get("evidence", {})
    if not isinstance(evidence, dict) or evidence.get("lost", 0) != 0:
        raise FileError(f"{path}: the cascade loses structured images according to its evidence; fit it again")
    return Cascade(**values)
