"""Candidate axis: the m/z channels of a section that are worth an ion image."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.arguments import positive, thread_count
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.windows import mz_windows

if TYPE_CHECKING:
    import pandas as pd

    from ionmorphnet.io.dataset import Dataset

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class CandidateAxis:
    """m/z channels, ascending, each with its window.

    Attributes:
        mz: centre of each channel, float64 (n,), ascending.
        mz_lo: lower bound of each window, inclusive, float64 (n,).
        mz_hi: upper bound of each window, inclusive, float64 (n,).
        frequency: share of spectra with a non-zero value in the window, float64 (n,); NaN where it was not measured (an
            axis made from an m/z list).
        method: how the axis was made, for the run record.

    Raises:
        ArgumentError: lengths differ, a value is not finite, ``mz_lo <= mz <= mz_hi`` fails, or mz does not ascend.
    """

    mz: FloatArray
    mz_lo: FloatArray
    mz_hi: FloatArray
    frequency: FloatArray
    method: str = "given"

    def __post_init__(self) -> None:
        """Converts to float64 and validates."""
        for name in ("mz", "mz_lo", "mz_hi", "frequency"):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim != 1:
                raise ArgumentError(f"axis: {name} must be one-dimensional, not of shape {values.shape}")
            if name != "frequency" and not np.isfinite(values).all():
                raise ArgumentError(f"axis: {name} holds values that are not finite")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        lengths = {name: len(getattr(self, name)) for name in ("mz", "mz_lo", "mz_hi", "frequency")}
        if len(set(lengths.values())) > 1:
            raise ArgumentError(f"axis: lengths differ: {lengths}")
        outside = (self.mz < self.mz_lo) | (self.mz > self.mz_hi)
        if outside.any():
            i = int(np.argmax(outside))
            raise ArgumentError(f"axis: channel {i}: mz {self.mz[i]} is outside [{self.mz_lo[i]}, {self.mz_hi[i]}]")
        if (np.diff(self.mz) < 0).any():
            raise ArgumentError("axis: mz must ascend")

    def __len__(self) -> int:
        """Number of channels."""
        return len(self.mz)

    def __repr__(self) -> str:
        """Size, range and method."""
        span = f", m/z {self.mz[0]:.4f} to {self.mz[-1]:.4f}" if len(self) else ""
        return f"CandidateAxis({len(self)} channels{span}; {self.method})"

    @classmethod
    def from_mz_list(
        cls, mz: float | Sequence[float] | npt.ArrayLike, *, ppm: float | None = None, tol: float | None = None
    ) -> CandidateAxis:
        """Axis of a given list: sorted, repeats removed with one warning that counts them.

        Args:
            mz: m/z values in any order.
            ppm: half width of every window in parts per million.
            tol: half width of every window in m/z units.

        Raises:
            ArgumentError: as :func:`ionmorphnet.io.windows.mz_windows`.
        """
        mz_windows(mz, ppm=ppm, tol=tol)  # checks every entry before their order is lost
        given = np.atleast_1d(np.asarray(mz, dtype=np.float64))
        unique = np.unique(given)
        repeats = len(given) - len(unique)
        if repeats:
            warnings.warn(f"the m/z list holds {repeats} repeated values; each is used once", stacklevel=2)
        lo, hi = mz_windows(unique, ppm=ppm, tol=tol)
        width = f"{ppm:g} ppm" if ppm is not None else f"{tol:g}"
        return cls(unique, lo, hi, np.full(len(unique), np.nan), f"given m/z list, +-{width}")

    def to_frame(self) -> pd.DataFrame:
        """Frame with the columns mz, mz_lo, mz_hi, frequency."""
        import pandas as pd

        return pd.DataFrame(
            {"mz": self.mz, "mz_lo": self.mz_lo, "mz_hi": self.mz_hi, "frequency": self.frequency}, copy=True
        )


def candidate_axis(
    ds: Dataset,
    *,
    kind: Literal["auto", "bins", "peaks"] = "auto",
    min_frequency: float | None = None,
    ppm: float | None = None,
    threads: int = 0,
) -> CandidateAxis:
    """The channels of a section, found from the data; no parameter is needed.

    Continuous centroid files: the bins of the shared axis. Profile files: local maxima of the mean spectrum, and of the
    root mean square over the spectra, which shows what only a small region has. Processed centroid files: heaps of
    peaks on the ln(m/z) axis that are more than chance; their spread is estimated from the data.

    Args:
        ds: the section.
        kind: ``"bins"`` = every bin (processed profile: of a common grid), ``"peaks"`` = maxima, ``"auto"`` = as above.
        min_frequency: share of spectra (0 to 1) that must show a channel. None: for processed centroids 0.005 and at
            least two spectra; for the others no floor.
        ppm: processed centroids: half width of a channel; None = estimated (three standard deviations).
        threads: worker threads, 0 = all. The result does not depend on it.

    Returns:
        Channels ascending in m/z. Windows of neighbours do not share a value.

    Raises:
        ArgumentError: an option is out of range, or bins are asked of processed centroid spectra.
        FileError: a spectrum cannot be read.
    """
    if min_frequency is not None and not 0 <= min_frequency <= 1:
        raise ArgumentError(f"min_frequency must be between 0 and 1, not {min_frequency}")
    return CandidateAxis(
        *_core.candidate_axis(
            ds._native,
            kind=kind,
            min_frequency=-1.0 if min_frequency is None else float(min_frequency),
            ppm=0.0 if ppm is None else positive("ppm", ppm),
            threads=thread_count(threads),
        )
    )
