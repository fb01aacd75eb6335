"""What the spectra of an opened file are: MS levels, polarities, runs, scan filters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Self, cast

from ionmorphnet import _core
from ionmorphnet.io.literals import Polarity

__all__ = ["SpectrumFacts", "SpectrumKinds"]


class SpectrumKinds:
    """The properties of a dataset that say which kinds of spectra its file holds and which of them are read."""

    @property
    def _native(self) -> _core.Dataset:
        raise NotImplementedError

    @property
    def ms_levels(self) -> dict[int, int]:
        """Number of spectra of the file, or of the chosen run, by MS level; level 0 stands for "not stated"."""
        return dict(self._native.ms_levels)

    @property
    def ms_level(self) -> int | None:
        """MS level of the spectra that are read; None if the file states none and none was asked for."""
        return self._native.ms_level

    @property
    def polarities(self) -> dict[str, int]:
        """Number of spectra by polarity, before one was chosen: of the run and MS level that are read.

        Keys are ``"positive"``, ``"negative"`` and, for spectra that state none, ``"unknown"``.
        """
        return dict(self._native.polarities)

    @property
    def polarity(self) -> Polarity | None:
        """Polarity of the spectra that are read; None if the file states none and none was asked for."""
        return cast(Polarity | None, self._native.polarity)

    @property
    def runs(self) -> dict[str, int]:
        """Number of spectra of the file by run.

        Runs are told apart by their name, the source file or the scan settings of their spectra, whichever differ.
        """
        return dict(self._native.runs)

    @property
    def scan_filters(self) -> dict[str, int]:
        """Number of spectra that are read, by the filter string of their scan; empty if there are none."""
        return dict(self._native.scan_filters)


@dataclass(frozen=True)
class SpectrumFacts:
    """What the spectra of a file are, and which are read by default; fields as the properties of a dataset."""

    ms_levels: dict[int, int]
    ms_level: int | None
    polarities: dict[str, int]
    polarity: Polarity | None
    runs: dict[str, int]
    scan_filters: dict[str, int]

    @classmethod
    def of(cls, ds: SpectrumKinds) -> Self:
        """The facts of an open file."""
        return cls(ds.ms_levels, ds.ms_level, ds.polarities, ds.polarity, ds.runs, ds.scan_filters)

    def to_dict(self) -> dict[str, object]:
        """Returns all fields as plain Python values, ready for JSON."""
        return asdict(self)

    def rows(self) -> dict[str, str]:
        """Texts for a table; empty where there is nothing to tell."""
        levels = {str(level) if level else "not stated": n for level, n in self.ms_levels.items()}
        polarities = {name if name != "unknown" else "not stated": n for name, n in self.polarities.items()}
        return {
            "ms level": "" if list(levels) == ["not stated"] else _counted(levels),
            "polarity": "" if list(polarities) == ["not stated"] else _counted(polarities),
            "runs": _counted(self.runs) if len(self.runs) > 1 else "",
            "scan filters": _counted(self.scan_filters, "\n"),
        }


def _counted(counts: dict[str, int], between: str = ", ") -> str:
    """Names with numbers of spectra; names alone if there is one. Long lists are cut."""
    if len(counts) == 1:
        return next(iter(counts))
    shown = [f"{name} ({n:,} spectra)" for name, n in list(counts.items())[:8]]
    return between.join([*shown, *([f"... ({len(counts)} in all)"] if len(counts) > 8 else [])])
