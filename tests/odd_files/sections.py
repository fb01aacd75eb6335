"""Clean simulated sections in memory, for faults to change and to write."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import ionmorphnet as imn
from imzml_factory import Spec, ms_level, polarity, write_imzml

FLAVOURS = ("processed", "continuous", "profile")
PIXEL_SIZE_UM = 50.0
_SIZES = {"processed": (40, 48), "continuous": (40, 48), "profile": (30, 36)}
_SETTINGS: dict[str, dict[str, Any]] = {
    "processed": {"n_channels": 60, "n_informative": 22},
    "continuous": {"mode": "continuous", "n_channels": 70, "n_informative": 24},
    "profile": {
        "mode": "continuous",
        "spectrum_type": "profile",
        "resolving_power": 1000.0,
        "n_channels": 50,
        "n_informative": 18,
    },
}


@dataclass
class Section:
    """A section that is about to be written.

    Attributes:
        flavour: "processed" or "continuous" centroids, or "profile" (continuous).
        specs: Its spectra, line by line.
        options: Arguments of ``write_imzml``.
        after: Called with the path of the imzML file once it is written, to damage its ibd file.
        pixel_size_um: The pixel size that a result may state, besides none.
        gaps: Whether the section has gaps between its pixels that are no fault.
    """

    flavour: str
    specs: list[Spec]
    options: dict[str, Any] = field(default_factory=dict)
    after: Callable[[Path], None] | None = None
    pixel_size_um: tuple[float, float] = (PIXEL_SIZE_UM, PIXEL_SIZE_UM)
    gaps: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the clean grid."""
        return _SIZES[self.flavour]

    @property
    def peak_like(self) -> bool:
        """Whether the spectra are centroids."""
        return self.flavour != "profile"

    def copy(self) -> Section:
        """A copy whose spectra may be changed in place."""
        specs = [
            replace(spec, mz=np.array(spec.mz), intensity=np.array(spec.intensity), extra=dict(spec.extra))
            for spec in self.specs
        ]
        return replace(self, specs=specs, options=dict(self.options))

    def change_intensities(self, change: Callable[[np.ndarray, int, int], np.ndarray]) -> Section:
        """A copy with ``change(intensity, x, y)``, x and y from 1, in place of each spectrum's intensities."""
        section = self.copy()
        for spec in section.specs:
            spec.intensity = change(np.asarray(spec.intensity), int(spec.x), int(spec.y))
        return section

    def change_mz(self, change: Callable[[np.ndarray, int], np.ndarray]) -> Section:
        """A copy with ``change(mz, number)`` in place of each spectrum's m/z; each then has its own array."""
        section = self.copy()
        section.options["shared_axis"] = False
        for number, spec in enumerate(section.specs):
            spec.mz = change(np.asarray(spec.mz), number)
        return section

    def write(self, path: Path) -> Path:
        """Writes the section and returns ``path``."""
        write_imzml(path, self.specs, **self.options)
        if self.after is not None:
            self.after(path)
        return path


def clean_section(folder: Path, flavour: str, seed: int) -> Section:
    """A simulated section; its files in ``folder`` serve to read it from.

    Args:
        folder: Where the simulator writes.
        flavour: One of FLAVOURS.
        seed: Seed of the simulation.
    """
    source = folder / f"{flavour}_{seed}_source.imzML"
    simulated = imn.simulate(source, shape=_SIZES[flavour], mz_range=(300.0, 1000.0), seed=seed, **_SETTINGS[flavour])
    params = ms_level(1) + polarity("positive")
    specs = []
    with imn.open(simulated.path) as ds:
        for i, (x, y, _) in enumerate(ds.coordinates.tolist()):
            mz, intensity = ds.spectrum(i)
            specs.append(Spec(x, y, mz, intensity, params=params))
    height, width = _SIZES[flavour]
    options = {
        "shared_axis": flavour != "processed",
        "spectrum_type": "profile" if flavour == "profile" else "centroid",
        "max_count": (width, height),
        "pixel_size_um": (PIXEL_SIZE_UM, PIXEL_SIZE_UM),
    }
    return Section(flavour, specs, options)
