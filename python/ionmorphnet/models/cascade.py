"""The cascade of a model folder: which images its network is spared, because cheap statistics show noise."""

from __future__ import annotations

from dataclasses import dataclass


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
