"""Faults of the positions, and of what the header says about the grid."""

from __future__ import annotations

import numpy as np

from imzml_factory import max_counts, pixel_size
from odd_files.registry import fault
from odd_files.sections import Section


def _place(section: Section, new_x: np.ndarray, new_y: np.ndarray) -> Section:
    """A copy with other positions, one per spectrum."""
    section = section.copy()
    for spec, x, y in zip(section.specs, new_x.tolist(), new_y.tolist(), strict=True):
        spec.x, spec.y = int(x), int(y)
    return section


def _positions(section: Section) -> tuple[np.ndarray, np.ndarray]:
    return np.array([int(s.x) for s in section.specs]), np.array([int(s.y) for s in section.specs])


@fault("grid", r"coordinate|position", found_by_validate=False)
def shifted_coordinates(section: Section, rng: np.random.Generator) -> Section:
    """Coordinates begin far from 1."""
    x, y = _positions(section)
    return _place(section, x + int(rng.integers(0, 5000)) - 1, y + int(rng.integers(0, 5000)) - 1)


@fault("grid", r"stage|step", found_by_validate=False)
def stage_coordinates(section: Section, rng: np.random.Generator) -> Section:
    """Positions of the stage in micrometres."""
    x, y = _positions(section)
    return _place(section, 23000 + 50 * x, 11000 + 50 * y)


@fault("grid", r"step|every (second|2)|stage|neighbour")
def step_of_two(section: Section, rng: np.random.Generator) -> Section:
    """Coordinates advance by 2 to 4, which the header does not say."""
    x, y = _positions(section)
    step = int(rng.integers(2, 5))
    section = _place(section, step * x, step * y)
    height, width = section.shape
    section.options["max_count"] = (step * width, step * height)
    return section


@fault("grid", r"step|every (second|2)|stage|aspect|neighbour|lines")
def step_of_two_in_y(section: Section, rng: np.random.Generator) -> Section:
    """Every second line has no spectra by numbering."""
    x, y = _positions(section)
    section = _place(section, x, 2 * y)
    height, width = section.shape
    section.options["max_count"] = (width, 2 * height)
    return section


@fault("grid", r"x and y|exchanged|swapped|declares?")
def swapped_counts(section: Section, rng: np.random.Generator) -> Section:
    """The declared numbers of pixels in x and y are exchanged."""
    section = section.copy()
    height, width = section.shape
    section.options["max_count"] = (height, width)
    return section


@fault("grid", r"x and y|exchanged|swapped|declares?")
def swapped_positions(section: Section, rng: np.random.Generator) -> Section:
    """Positions x and y are exchanged."""
    x, y = _positions(section)
    return _place(section, y, x)


@fault("grid", r"mirrored|meander|reversed")
def mirrored_lines(section: Section, rng: np.random.Generator) -> Section:
    """Every second line is mirrored, as a meander that was written as if all lines ran the same way."""
    x, y = _positions(section)
    first = int(rng.integers(2))
    return _place(section, np.where(y % 2 == first, section.shape[1] + 1 - x, x), y)


@fault("grid", r"shifted|offset|displaced")
def interleaved_shift(section: Section, rng: np.random.Generator) -> Section:
    """Every second line is shifted by some pixels."""
    x, y = _positions(section)
    first, by = int(rng.integers(2)), int(rng.integers(2, 7))
    section = _place(section, np.where(y % 2 == first, x + by, x), y)
    section.options["max_count"] = None
    return section


@fault("grid", r"lines?\b.*(no spectr|missing|without)|rows?\b.*(no spectr|missing)|no spectr.*lines?")
def missing_lines(section: Section, rng: np.random.Generator) -> Section:
    """Some lines are missing."""
    section = section.copy()
    height = section.shape[0]
    gone = set(rng.choice(np.arange(4, height - 4), int(rng.integers(3, 7)), replace=False).tolist())
    section.specs = [spec for spec in section.specs if int(spec.y) not in gone]
    return section


@fault(
    "grid",
    r"lines?\b.*(no spectr|missing|without)|columns?\b.*(no spectr|missing|without)|pixels .*no spectrum|regions?",
)
def missing_columns(section: Section, rng: np.random.Generator) -> Section:
    """Some columns are missing."""
    section = section.copy()
    width = section.shape[1]
    gone = set(rng.choice(np.arange(4, width - 4), int(rng.integers(3, 7)), replace=False).tolist())
    section.specs = [spec for spec in section.specs if int(spec.x) not in gone]
    return section


@fault(
    "grid",
    r"regions?|far from|apart",
    source="https://github.com/M4i-Imaging-Mass-Spectrometry/thyra/pull/358",
    found_by_validate=False,
)
def two_regions(section: Section, rng: np.random.Generator) -> Section:
    """Two regions far apart on one slide."""
    x, y = _positions(section)
    gap = int(rng.integers(300, 900))
    section = _place(section, np.where(x > section.shape[1] // 2, x + gap, x), y)
    section.options["max_count"] = None
    section.gaps = True
    return section


@fault("grid", r"regions?|far from|apart|stray|grid|alone")
def stray_pixel(section: Section, rng: np.random.Generator) -> Section:
    """One spectrum lies far away from all others."""
    section = section.copy()
    section.specs[-1].x = int(rng.integers(500, 1500))
    section.specs[-1].y = int(rng.integers(500, 1500))
    section.options["max_count"] = None
    return section


@fault("grid", r"position|coordinate")
def positions_missing(section: Section, rng: np.random.Generator) -> Section:
    """Some spectra have no position."""
    section = section.copy()
    n = int(rng.integers(5, 60))
    chosen = set(rng.choice(len(section.specs), n, replace=False).tolist())
    for i in chosen:
        section.specs[i].x, section.specs[i].y = "", ""
    return section


@fault("grid", r"square|aspect|pixel size", found_by_validate=False)
def oblong_pixels(section: Section, rng: np.random.Generator) -> Section:
    """Pixels are not square."""
    section = section.copy()
    section.pixel_size_um = section.options["pixel_size_um"] = (25.0, 150.0)
    return section


@fault("header", r"pixel size")
def unit_is_no_length(section: Section, rng: np.random.Generator) -> Section:
    """The unit of the pixel size is no length."""
    section = section.copy()
    height, width = section.shape
    section.options["scan_settings"] = [max_counts(width, height) + pixel_size(2500, unit="square micrometer")]
    return section


@fault("header", r"pixel size")
def millimetres_for_micrometres(section: Section, rng: np.random.Generator) -> Section:
    """The pixel size in micrometres is declared in millimetres."""
    section = section.copy()
    height, width = section.shape
    section.options["scan_settings"] = [max_counts(width, height) + pixel_size(50, 50, "millimeter")]
    return section


@fault("header", r"pixel size", found_by_validate=False)
def nanometres(section: Section, rng: np.random.Generator) -> Section:
    """The pixel size is in nanometres, and says so."""
    section = section.copy()
    height, width = section.shape
    section.options["scan_settings"] = [max_counts(width, height) + pixel_size(50000, 50000, "nanometer")]
    return section


@fault("header", r"scan settings|pixel size")
def two_scan_settings(section: Section, rng: np.random.Generator) -> Section:
    """Two blocks of scan settings contradict each other."""
    section = section.copy()
    height, width = section.shape
    section.options["scan_settings"] = [
        max_counts(width, height) + pixel_size(50, 50),
        max_counts(2 * width, 2 * height) + pixel_size(25, 25),
    ]
    return section


@fault("header", r"count|spectra")
def wrong_count(section: Section, rng: np.random.Generator) -> Section:
    """The announced number of spectra is wrong."""
    section = section.copy()
    section.options["count"] = len(section.specs) + int(rng.integers(1, 200))
    return section
