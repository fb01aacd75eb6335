"""All faults. Importing this module fills the list."""

from __future__ import annotations

from odd_files import arrays, grid, intensities, masses, public, spectra
from odd_files.registry import FAULTS, Fault

__all__ = ["FAULTS", "Fault", "arrays", "grid", "intensities", "masses", "public", "spectra"]
