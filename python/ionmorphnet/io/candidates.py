"""Candidate axis: the m/z channels of a section that get an ion image."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, overload

import numpy as np
import numpy.typing as npt

from ionmorphnet import _core
from ionmorphnet.base.arguments import optional_number, thread_count
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.html import facts_table
from ionmorphnet.io.literals import AxisKind
from ionmorphnet.io.mz_list import Column, read_mz_table
from ionmorphnet.io.windows import FloatArray, mz_values, mz_windows

if TYPE_CHECKING:
    import pandas as pd

    from ionmorphnet.io.dataset import Dataset

_COLUMNS = ("mz", "mz_lo", "mz_hi", "frequency")


class Channel(NamedTuple):
    """One m/z channel of a :class:`CandidateAxis`."""

    mz: float
    mz_lo: float
    mz_hi: float
    frequency: float


@dataclass(frozen=True, eq=False, repr=False)
class CandidateAxis:
    """m/z channels in ascending order, each with its window.

    ``len(axis)`` is the number of channels. Iterating and ``axis[3]`` return :class:`Channel` tuples; slices, masks and
    ascending integer arrays return a smaller axis.

    Attributes:
        mz: Centre of each channel, float64 (n,), ascending.
        mz_lo: Lower bound of each window, inclusive, float64 (n,).
        mz_hi: Upper bound of each window, inclusive, float64 (n,).
        frequency: Share of spectra with a non-zero value in the window, float64 (n,); NaN if it was not measured, as
            for an axis from an m/z list until it is picked.
        method: How the axis was made, for the run record.
        ppm: Half width of the windows of a given m/z list in parts per million; None for other axes.
        tol: The same in m/z units.
        notes: Warnings about the axis, one line each: what was decided against the file's declaration and why, why no
            candidate was found.
        evidence: The figures that these decisions rest on, by name.
        columns: Further columns of a given list, such as names, (n,) each: texts, or float64 with NaN for empty cells.

    Raises:
        ArgumentError: Lengths differ, a value is not finite, ``mz_lo <= mz <= mz_hi`` is violated, or mz is not
            ascending.

    Example:
        >>> axis = CandidateAxis.from_mz_list([741.53, 713.5, 798.54], ppm=5)
        >>> axis[:2]
        CandidateAxis(2 channels, m/z 713.5000 to 741.5300; given m/z list, +-5 ppm; 2 of 3 channels)
        >>> axis[axis.mz > 720].mz
        array([741.53, 798.54])
    """

    mz: FloatArray
    mz_lo: FloatArray
    mz_hi: FloatArray
    frequency: FloatArray
    method: str = "given"
    ppm: float | None = None
    tol: float | None = None
    notes: tuple[str, ...] = ()
    evidence: Mapping[str, float | str] = field(default_factory=dict)
    columns: Mapping[str, Column] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Converts to read-only float64 and validates."""
        for name in _COLUMNS:
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.ndim != 1:
                raise ArgumentError(f"axis: {name} must be one-dimensional, got shape {values.shape}")
            if name != "frequency" and not np.isfinite(values).all():
                raise ArgumentError(f"axis: {name} contains values that are not finite")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        object.__setattr__(self, "notes", tuple(self.notes))
        object.__setattr__(self, "evidence", dict(self.evidence))
        object.__setattr__(self, "columns", {name: np.array(values) for name, values in self.columns.items()})
        lengths = {name: len(getattr(self, name)) for name in _COLUMNS}
        lengths |= {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ArgumentError(f"axis: lengths differ: {lengths}")
        outside = (self.mz < self.mz_lo) | (self.mz > self.mz_hi)
        if outside.any():
            i = int(np.argmax(outside))
            raise ArgumentError(f"axis: channel {i}: mz {self.mz[i]} is outside [{self.mz_lo[i]}, {self.mz_hi[i]}]")
        if (np.diff(self.mz) < 0).any():
            raise ArgumentError("axis: mz must be in ascending order")

    def __len__(self) -> int:
        """Number of channels."""
        return len(self.mz)

    def __iter__(self) -> Iterator[Channel]:
        """Channels in ascending m/z."""
        columns = (getattr(self, name).tolist() for name in _COLUMNS)
        return map(Channel._make, zip(*columns, strict=True))

    @overload
    def __getitem__(self, index: int | np.integer) -> Channel: ...

    @overload
    def __getitem__(self, index: slice | Sequence[int] | npt.NDArray[np.generic]) -> CandidateAxis: ...

    def __getitem__(
        self, index: int | np.integer | slice | Sequence[int] | npt.NDArray[np.generic]
    ) -> Channel | CandidateAxis:
        """One channel, or the axis of several.

        Args:
            index: A position (negative counts from the end) for one channel; a slice, a mask of bool (n,) or ascending
                positions for several.

        Raises:
            IndexError: A position is out of range.
            ArgumentError: The mask has another length, the order would not be ascending, or the index has another type.
        """
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            at = range(len(self))[index]
            return Channel(*(float(getattr(self, name)[at]) for name in _COLUMNS))
        chosen = self._positions(index)
        mz, lo, hi, frequency = (getattr(self, name)[chosen] for name in _COLUMNS)
        part = "" if len(mz) == len(self) else f"; {len(mz)} of {len(self)} channels"
        method = self.method + part
        columns = {name: values[chosen] for name, values in self.columns.items()}
        return CandidateAxis(mz, lo, hi, frequency, method, self.ppm, self.tol, self.notes, self.evidence, columns)

    def _positions(self, index: object) -> npt.NDArray[np.intp]:
        """Ascending positions that a slice, a mask or a list of positions selects."""
        n = len(self)
        if isinstance(index, slice):
            chosen = np.arange(n)[index]
        else:
            given = np.asarray(index)
            if given.size == 0 and given.ndim == 1 and given.dtype.kind == "f":  # an empty list
                given = given.astype(np.intp)
            if given.ndim != 1 or given.dtype.kind not in "biu":
                raise ArgumentError(
                    "axis: select channels with a position, a slice, a one-dimensional mask or a list of positions, "
                    f"not {type(index).__name__}"
                )
            if given.dtype.kind == "b" and len(given) != n:
                raise ArgumentError(f"axis: the mask has {len(given)} entries for {n} channels")
            chosen = np.arange(n)[given]
        if (np.diff(chosen) <= 0).any():
            raise ArgumentError("axis: positions must ascend without repeats, because mz ascends along the axis")
        return chosen

    def __repr__(self) -> str:
        """Size, m/z range and method in one line."""
        span = f", m/z {self._span()}" if len(self) else ""
        return f"CandidateAxis({len(self)} channels{span}; {self.method})"

    def _repr_html_(self) -> str:
        """Table of facts for notebooks."""
        known = self.frequency[~np.isnan(self.frequency)]
        return facts_table(
            "CandidateAxis",
            [
                ("channels", f"{len(self):,}"),
                ("m/z", self._span() if len(self) else ""),
                ("frequency", f"{known.min():.3g} to {known.max():.3g} of the spectra" if len(known) else ""),
                ("method", self.method),
                *(("note", note) for note in self.notes),
            ],
        )

    def _span(self) -> str:
        return f"{self.mz[0]:.4f} to {self.mz[-1]:.4f}"

    @classmethod
    def from_mz_list(
        cls, mz: float | Sequence[float] | npt.ArrayLike, *, ppm: float | None = None, tol: float | None = None
    ) -> CandidateAxis:
        """Axis of given m/z values: sorted, repeats removed with one warning.

        Args:
            mz: m/z values in any order.
            ppm: Half width of every window in parts per million. Pass exactly one of ``ppm`` and ``tol``.
            tol: Half width of every window in m/z units.

        Raises:
            ArgumentError: A value is not finite and positive, or not exactly one of ``ppm`` and ``tol`` is given.
        """
        half = optional_number("ppm", ppm), optional_number("tol", tol)
        unique, lo, hi, frequency, method, repeats = _core.given_axis(mz_values(mz), ppm=half[0], tol=half[1])
        if repeats:
            warnings.warn(f"the m/z list contains {repeats} repeated values; each m/z is used once", stacklevel=2)
        return cls(unique, lo, hi, frequency, method, *half)

    @classmethod
    def from_csv(cls, path: PathLike, *, ppm: float | None = None, tol: float | None = None) -> CandidateAxis:
        """Axis of a list in a file: METASPACE annotations, a SCiLS feature list, peaks.csv, or any table with m/z.

        Rows with the same m/z and window are one channel, and their differing cells are joined; one warning says how
        many. All other columns of the file are kept in :attr:`columns`.

        Args:
            path: The file, see :func:`ionmorphnet.io.mz_list.read_mz_table` for its layout.
            ppm: Half width of every window in parts per million.
            tol: Half width of every window in m/z units. With neither, the windows that the list states are used: an
                interval width, or bounds as in peaks.csv.

        Raises:
            FileError: The file cannot be read; the message names the line.
            ArgumentError: Both ``ppm`` and ``tol`` are given, or neither, and the list states no windows.
        """
        table = read_mz_table(Path(path))
        method = f"given m/z list {Path(path).name}, "
        if ppm is None and tol is None:
            if table.lo is None or table.hi is None:
                raise ArgumentError(
                    f"{path}: the list states no windows; pass --ppm or --tol (Python: ppm= or tol=), for example 5 ppm"
                )
            lo, hi, method = table.lo, table.hi, f"{method}windows of its column {table.width_column}"
        else:
            lo, hi = mz_windows(table.mz, ppm=ppm, tol=tol)
            method += _core.half_width_text(ppm=ppm, tol=tol)
            method += f" in place of its column {table.width_column}" if table.width_column else ""
        mz, lo, hi, columns = table.merged(lo, hi)
        if len(mz) < len(table):
            warnings.warn(
                f"{len(table)} rows of the list are {len(mz)} channels: rows of the same m/z and window are one, and "
                "their differing cells are joined",
                stacklevel=2,
            )
        frequency = np.full(len(mz), np.nan)
        return cls(mz, lo, hi, frequency, method, ppm, tol, table.notes, {}, columns)

    def with_frequency(self, ds: Dataset, *, threads: int = 0) -> CandidateAxis:
        """The same axis with the frequencies of a section: the share of its pixels with signal in each window.

        The images are made a few at a time, in one pass over the parts of the file that the windows cover.

        Args:
            ds: The section, one plane.
            threads: Worker threads, 0 = all cores. Does not affect the result.

        Raises:
            ArgumentError: The file holds several z planes.
            FileError: A spectrum cannot be read.
        """
        frequency = _core.count_frequency(ds._native, self.mz_lo, self.mz_hi, threads=thread_count(threads))
        return dataclasses.replace(self, frequency=frequency)

    def to_frame(self) -> pd.DataFrame:
        """Data frame with the columns mz, mz_lo, mz_hi and frequency, and those of a given list."""
        import pandas as pd

        shared = {name: getattr(self, name) for name in _COLUMNS}
        kept = {name if name not in shared else f"list_{name}": values for name, values in self.columns.items()}
        return pd.DataFrame({**shared, **kept}, copy=True)


def candidate_axis(
    ds: Dataset,
    *,
    kind: AxisKind = "auto",
    min_frequency: float | None = None,
    ppm: float | None = None,
    threads: int = 0,
) -> CandidateAxis:
    """Finds the m/z channels of a section in its data. All options have workable defaults.

    The method depends on the file. Continuous centroids: the bins of the shared axis. Profiles: local maxima of the
    mean spectrum and of the root mean square spectrum, which also shows ions of small regions. Processed centroids:
    clusters of peaks on the ln(m/z) axis that exceed chance; their spread is estimated from the data.

    Args:
        ds: The section.
        kind: ``"bins"`` for every bin (of a common grid for processed profiles), ``"peaks"`` for maxima, ``"auto"`` for
            the method above.
        min_frequency: Smallest share of spectra (0 to 1) in which a channel must occur. None sets 0.005 and two spectra
            for processed centroids, and no limit otherwise.
        ppm: Half width of a channel in parts per million, for processed centroids; None estimates it as three standard
            deviations.
        threads: Worker threads, 0 = all cores. Does not affect the result.

    Returns:
        Channels in ascending m/z. Neighbouring windows do not share a value. ``notes`` says what is odd about them, and
        why there are none if there are none.

    Raises:
        ArgumentError: An option is out of range, or ``kind="bins"`` is used with processed centroids.
        FileError: A spectrum cannot be read.
    """
    mz, lo, hi, frequency, method, notes, evidence = _core.candidate_axis(
        ds._native,
        kind=kind,
        min_frequency=optional_number("min_frequency", min_frequency),
        ppm=optional_number("ppm", ppm),
        threads=thread_count(threads),
    )
    return CandidateAxis(mz, lo, hi, frequency, method, notes=tuple(notes), evidence=evidence)
