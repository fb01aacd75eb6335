"""Faults of what a spectrum is, and of which spectra a pixel has."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imzml_factory import Spec, ms_level, polarity, representation, scan_filter
from odd_files.registry import fault
from odd_files.sections import Section

_PEAKS = ("processed", "continuous")


def _other_spectrum(spec: Spec, rng: np.random.Generator, axis: np.ndarray | None = None) -> Spec:
    """A spectrum of other ions at the pixel of ``spec``, as a fragment scan or the other polarity has."""
    if axis is not None:  # one m/z axis for all
        return replace(
            spec, mz=axis, intensity=np.where(rng.random(len(axis)) < 0.3, rng.uniform(50, 3000, len(axis)), 0)
        )
    ions = np.linspace(311.17, 987.31, 25)
    shown = ions[rng.random(25) < 0.8]
    mz = shown * (1 + rng.normal(0, 1e-6, len(shown)))
    return replace(spec, mz=mz, intensity=rng.uniform(500, 3000, len(shown)) * (1 + spec_x(spec) / 20))


def spec_x(spec: Spec) -> float:
    """Column of a spectrum as a number."""
    return float(spec.x)


def _axis(section: Section) -> np.ndarray | None:
    return None if section.flavour == "processed" else np.asarray(section.specs[0].mz)


@fault("spectra", r"MS level")
def fragment_scan_first(section: Section, rng: np.random.Generator) -> Section:
    """MS2 scan before the MS1 scan at every pixel."""
    section = section.copy()
    axis = _axis(section)
    level2 = ms_level(2) + polarity("positive")
    section.specs = [
        new for spec in section.specs for new in (replace(_other_spectrum(spec, rng, axis), params=level2), spec)
    ]
    return section


@fault("spectra", r"MS level")
def data_dependent_scans(section: Section, rng: np.random.Generator) -> Section:
    """MS2 scans in place of every third MS1 scan."""
    section = section.copy()
    axis, level2, start = _axis(section), ms_level(2) + polarity("positive"), rng.integers(3)
    for i in range(int(start), len(section.specs), 3):
        section.specs[i] = replace(_other_spectrum(section.specs[i], rng, axis), params=level2)
    return section


@fault("spectra", r"MS level", found_by_validate=False)
def fragments_only(section: Section, rng: np.random.Generator) -> Section:
    """All spectra are MS2."""
    section = section.copy()
    for spec in section.specs:
        spec.params = ms_level(2) + polarity("positive")
    return section


@fault("spectra", r"polarit")
def polarity_by_line(section: Section, rng: np.random.Generator) -> Section:
    """Polarity switches from line to line."""
    section = section.copy()
    axis, first = _axis(section), int(rng.integers(2))
    negative = ms_level(1) + polarity("negative")
    section.specs = [
        replace(_other_spectrum(spec, rng, axis), params=negative) if int(spec.y) % 2 == first else spec
        for spec in section.specs
    ]
    return section


@fault("spectra", r"polarit")
def polarity_at_each_pixel(section: Section, rng: np.random.Generator) -> Section:
    """Both polarities at every pixel."""
    section = section.copy()
    axis, negative = _axis(section), ms_level(1) + polarity("negative")
    other = [replace(_other_spectrum(spec, rng, axis), params=negative) for spec in section.specs]
    section.specs = [spec for pair in zip(other, section.specs, strict=True) for spec in pair]
    return section


@fault("spectra", r"scan filter|filter string|scan window|scan range|scan type")
def selected_ion_scans(section: Section, rng: np.random.Generator) -> Section:
    """Every other scan covers a narrow m/z window, as its filter string says."""
    section = section.copy()
    low = float(rng.uniform(400, 700))
    for i, spec in enumerate(section.specs):
        if i % 2 == 0:
            spec.scan_params = scan_filter("FTMS + p NSI Full ms [300.00-1000.00]")
            continue
        spec.scan_params = scan_filter(f"FTMS + p NSI SIM ms [{low:.2f}-{low + 50:.2f}]")
        mz = np.asarray(spec.mz)
        inside = (mz > low) & (mz < low + 50)
        if section.flavour == "processed":
            spec.mz, spec.intensity = mz[inside], np.asarray(spec.intensity)[inside]
        else:
            spec.intensity = np.where(inside, spec.intensity, 0)
    return section


@fault("spectra", r"profile|centroid", flavours=_PEAKS)
def peaks_declared_profile(section: Section, rng: np.random.Generator) -> Section:
    """Centroids are declared as profiles."""
    section = section.copy()
    section.options["spectrum_type"] = "profile"
    return section


@fault("spectra", r"profile|centroid", flavours=("profile",))
def profile_declared_centroid(section: Section, rng: np.random.Generator) -> Section:
    """Profiles are declared as centroids."""
    section = section.copy()
    section.options["spectrum_type"] = "centroid"
    return section


@fault("spectra", r"profile|centroid")
def types_mixed(section: Section, rng: np.random.Generator) -> Section:
    """Some spectra are declared profile, the others centroid."""
    section = section.copy()
    section.options["spectrum_type"] = None
    share = rng.uniform(0.1, 0.5)
    for spec in section.specs:
        spec.params += representation("profile" if rng.random() < share else "centroid")
    return section


@fault("spectra", r"profile|centroid", found_by_validate=False)
def type_missing(section: Section, rng: np.random.Generator) -> Section:
    """Neither profile nor centroid is declared."""
    section = section.copy()
    section.options["spectrum_type"] = None
    return section


@fault("pixels", r"\bruns?\b|same pixel|one pixel|taken pixel|already (has|have)|several spectra|pixels? (that|which)")
def runs_on_one_grid(section: Section, rng: np.random.Generator) -> Section:
    """Three runs of other samples on the same pixels."""
    section = section.copy()
    axis = _axis(section)
    specs = [replace(spec, run="sample1") for spec in section.specs]
    for run in ("sample2", "sample3"):
        specs += [replace(_other_spectrum(spec, rng, axis), run=run) for spec in section.specs]
    section.specs = specs
    return section


@fault("pixels", r"at (a|one) pixel|spectra .*pixel|copies|copy")
def whole_section_twice(section: Section, rng: np.random.Generator) -> Section:
    """Every spectrum is written twice."""
    section = section.copy()
    section.specs = [twin for spec in section.specs for twin in (spec, replace(spec))]
    return section


@fault("pixels", r"cop(y|ies)|identical|same content|repeat")
def lines_copied(section: Section, rng: np.random.Generator) -> Section:
    """Lines hold copies of the line before."""
    section = section.copy()
    height, width = section.shape
    lines = set(rng.choice(np.arange(1, height), int(rng.integers(height // 4, height // 2)), replace=False).tolist())
    for y in sorted(lines):
        for x in range(width):
            source = section.specs[(y - 1) * width + x]
            section.specs[y * width + x] = replace(source, y=y + 1)
    return section


@fault("pixels", r"cop(y|ies)|identical|same content|repeat|fill")
def gaps_filled_with_copies(section: Section, rng: np.random.Generator) -> Section:
    """Every second pixel of a line holds a copy of the pixel before."""
    section = section.copy()
    _, width = section.shape
    for i in range(len(section.specs)):
        if i % width % 2 == 1:
            section.specs[i] = replace(section.specs[i - 1], x=section.specs[i].x)
    return section


@fault("pixels", r"cop(y|ies)|identical|same content|equal")
def one_spectrum_everywhere(section: Section, rng: np.random.Generator) -> Section:
    """One spectrum stands at every pixel."""
    section = section.copy()
    source = section.specs[int(rng.integers(len(section.specs)))]
    section.specs = [replace(source, x=spec.x, y=spec.y) for spec in section.specs]
    return section


@fault("pixels", r"\bz\b|planes?", found_by_validate=False)
def two_planes(section: Section, rng: np.random.Generator) -> Section:
    """Two sections in one file, told apart by z."""
    section = section.copy()
    section.specs = [replace(spec, z=z) for z in (1, 2) for spec in section.specs]
    return section


@fault("pixels", r"\bz\b")
def z_in_some(section: Section, rng: np.random.Generator) -> Section:
    """Position z is written for some spectra only."""
    section = section.copy()
    for spec in section.specs:
        if rng.random() < 0.3:
            spec.z = 1
    return section


@fault("pixels", r"empty|no peaks|hold nothing")
def empty_spectra(section: Section, rng: np.random.Generator) -> Section:
    """A third of the spectra is empty."""
    section = section.copy()
    share = rng.uniform(0.25, 0.45)
    for spec in section.specs:
        if rng.random() >= share:
            continue
        if section.flavour == "processed":
            spec.mz = spec.intensity = np.empty(0)
        else:
            spec.intensity = np.zeros_like(np.asarray(spec.intensity))
    return section


@fault("pixels", r"empty|no peaks|no candidate|no channel|no ion|zero|hold nothing")
def all_empty(section: Section, rng: np.random.Generator) -> Section:
    """Every spectrum is empty."""
    section = section.copy()
    for spec in section.specs:
        if section.flavour == "processed":
            spec.mz = spec.intensity = np.empty(0)
        else:
            spec.intensity = np.zeros_like(np.asarray(spec.intensity))
    return section


@fault("pixels", r"pixels|spectra")
def tiny_section(section: Section, rng: np.random.Generator) -> Section:
    """Nine pixels are left."""
    section = section.copy()
    side = 3
    x, y = int(rng.integers(10, 20)), int(rng.integers(10, 20))
    section.specs = [spec for spec in section.specs if 0 <= int(spec.x) - x < side and 0 <= int(spec.y) - y < side]
    section.options["max_count"] = (side, side)
    return section
