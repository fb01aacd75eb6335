"""What the spectra of an opened file are: MS levels, polarities, runs, scan filters."""

from __future__ import annotations

from typing import cast

from ionmorphnet import _core
from ionmorphnet.io.literals import Polarity

__all__ = ["SpectrumKinds"]


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
