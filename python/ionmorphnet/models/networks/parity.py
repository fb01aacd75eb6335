"""When an exported network counts as equal to its torch network: a difference within float32's own rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.base.errors import IonMorphNetError

# Accepted difference as a share of the outputs' spread.
SHARE_OF_SPREAD = 1e-4
# Accepted difference as a multiple of the float32 rounding that torch itself shows against float64. Engines sum in
# another order and approximate erf, rsqrt and division; on AVX2 and AVX-512 OpenVINO differed from torch by at most 2
# times that rounding. It varies from image to image and is measured on few of them; hence the wide margin.
TIMES_ROUNDING = 16.0

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Parity:
    """Comparison of an exported network with torch, both in float32.

    Attributes:
        difference: Largest absolute difference of an output.
        spread: Largest standard deviation of an output over the images, at least 1.
        rounding: Largest absolute difference of an output between torch in float32, in any form of the network, and
            torch in float64.
    """

    difference: float
    spread: float
    rounding: float

    @property
    def allowed(self) -> float:
        """Largest accepted difference, ``max(1e-4 * spread, 16 * rounding)``."""
        return max(SHARE_OF_SPREAD * self.spread, TIMES_ROUNDING * self.rounding)

    def check(self, name: str) -> Parity:
        """Returns itself.

        Args:
            name: What was compared, for the error.

        Raises:
            IonMorphNetError: The difference exceeds what is allowed, or is not finite.
        """
        if not self.difference <= self.allowed:
            raise IonMorphNetError(
                f"{name}: differs from torch by {self.difference:.2e}, allowed {self.allowed:.2e} "
                f"(spread of the outputs {self.spread:.3g}, float32 rounding of torch {self.rounding:.1e})"
            )
        return self


def compare(found: Float32, expected: Float32, exact: Float64, *others: Float32) -> Parity:
    """Compares outputs of an exported network with those of torch.

    Args:
        found: Outputs of the exported network, float32 (n, k).
        expected: Outputs of torch in float32 (n, k).
        exact: Outputs of torch in float64 for the first images, (m, k), m <= n.
        others: Outputs of torch in float32 for the first images, in other forms of the network, (m, k).
    """
    difference = np.abs(found.astype(np.float64) - expected).max(initial=0.0)
    rounding = max(np.abs(each[: len(exact)] - exact).max(initial=0.0) for each in (expected, *others))
    spread = expected.astype(np.float64).std(axis=0).max(initial=1.0)
    return Parity(float(difference), float(spread), float(rounding))
