"""Files that others reported: each rebuilt from what the report says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from imzml_factory import cv, ms_level
from odd_files.registry import fault
from odd_files.sections import Section

_PEAKS = ("processed", "continuous")
_GITHUB = "https://github.com/"


@fault("arrays", r"offset", source=_GITHUB + "sgibb/MALDIquantForeign/issues/20")
def offsets_not_available(section: Section, rng: np.random.Generator) -> Section:
    """Offsets are NA from some spectrum on, after an overflow in R."""
    section = section.copy()
    seen: list[int] = []
    stop = int(rng.integers(200, 1200))

    def offset(at: int) -> str:
        seen.append(at)
        return str(at) if len(seen) < stop else "NA"

    section.options |= {"offset": offset, "mode": "continuous"}
    return section


@fault("arrays", r"overlap", source=_GITHUB + "Cardinalverse/Cardinal/pull/30", flavours=("processed",))
def overlapping_arrays(section: Section, rng: np.random.Generator) -> Section:
    """Arrays overlap, because an exporter counted values instead of bytes."""
    section = section.copy()
    section.options |= {"encoded_length": False, "offset": lambda at: str(16 + (at - 16) // 2 // 8 * 8)}
    return section


@fault("spectra", r"profile|centroid", source=_GITHUB + "m2aia/m2aia/issues/52")
def accessions_cut_off(section: Section, rng: np.random.Generator) -> Section:
    """Accessions are empty, and stand in the names."""
    section = section.copy()
    kind = "profile" if section.flavour == "profile" else "centroid"
    section.options["spectrum_type"] = None
    section.options["groups"] = {
        "spectrum": f'<cvParam cvRef="MS" accession="MS:" name="[MS:1000128] {kind} spectrum" value=""/>'
    }
    section.options["mode"] = None
    section.options["content"] = '<cvParam cvRef="IMS" accession="IMS:" name="[IMS:1000030] continuous" value=""/>'
    return section


@fault("grid", r"position|coordinate", source=_GITHUB + "m2aia/m2aia/issues/53", found_by_validate=False)
def zero_based(section: Section, rng: np.random.Generator) -> Section:
    """Coordinates begin at 0."""
    section = section.copy()
    for spec in section.specs:
        spec.x, spec.y = int(spec.x) - 1, int(spec.y) - 1
    return section


@fault("masses", r"zero", source=_GITHUB + "mzmine/mzmine/issues/1384", flavours=_PEAKS, found_by_validate=False)
def centroids_with_zeros(section: Section, rng: np.random.Generator) -> Section:
    """Every centroid spectrum lists the peaks of all others, most with intensity 0."""
    section = section.copy()
    if section.flavour == "continuous":
        return section  # the zeros are there
    for spec in section.specs:
        others = rng.choice(len(section.specs), 3)
        mz = np.concatenate([np.asarray(spec.mz), *(np.asarray(section.specs[k].mz) for k in others)])
        intensity = np.concatenate([np.asarray(spec.intensity), np.zeros(len(mz) - len(np.asarray(spec.mz)))])
        order = np.argsort(mz, kind="stable")
        spec.mz, spec.intensity = mz[order], intensity[order]
    return section


@fault("grid", r"order|raster", source=_GITHUB + "mzmine/mzmine/issues/1049", found_by_validate=False)
def random_raster(section: Section, rng: np.random.Generator) -> Section:
    """Spectra stand in random order, as of a random raster, and no scan pattern is declared."""
    section = section.copy()
    section.specs = [section.specs[k] for k in rng.permutation(len(section.specs)).tolist()]
    return section


@fault(
    "spectra",
    r"negative|absorption|radiation|not of ions|kind|already (has|have)|no mass spectr|several spectra",
    source=_GITHUB + "ProteoWizard/pwiz/issues/1692",
    flavours=("processed",),
)
def detector_channel(section: Section, rng: np.random.Generator) -> Section:
    """Readings of a detector for light, some negative, stand before each mass spectrum as MS1 scans."""
    section = section.copy()
    light = np.linspace(200.0, 600.0, 40)
    params = cv("MS:1000804", "electromagnetic radiation spectrum") + cv("MS:1000511", "ms level", 1)
    section.specs = [
        new
        for spec in section.specs
        for new in (replace(spec, mz=light, intensity=rng.normal(0, 2000, 40), params=params), spec)
    ]
    return section


@fault(
    "spectra",
    r"profile|centroid",
    source=_GITHUB + "ProteoWizard/pwiz/issues/1166",
    flavours=("profile",),
    found_by_validate=False,
)
def profiles_without_zeros(section: Section, rng: np.random.Generator) -> Section:
    """Profiles leave out all points below a threshold, so that each spectrum has m/z of its own."""
    section = section.copy()
    values = np.concatenate([np.asarray(spec.intensity) for spec in section.specs[::20]])
    level = float(np.quantile(values, 0.8))
    section.options["shared_axis"] = False
    for spec in section.specs:
        mz, intensity = np.asarray(spec.mz), np.asarray(spec.intensity)
        keep = intensity > level
        spec.mz, spec.intensity = mz[keep], intensity[keep]
    return section


@fault("pixels", r"cop(y|ies)|identical|same content|repeat", source=_GITHUB + "gtluu/timsconvert/pull/67")
def resampled_lines(section: Section, rng: np.random.Generator) -> Section:
    """Lines of different numbers of scans were resampled, so that neighbours show the same scan."""
    section = section.copy()
    height, width = section.shape
    rows = [section.specs[y * width : (y + 1) * width] for y in range(height)]
    specs = []
    for row in rows:
        n = int(rng.integers(width // 2, 3 * width // 4))
        kept = [row[k] for k in np.linspace(0, width - 1, n).round().astype(int).tolist()]
        at = np.linspace(0, n - 1, width).round().astype(int).tolist()
        specs += [replace(kept[k], x=x + 1) for x, k in enumerate(at)]
    section.specs = specs
    return section


@fault("masses", r"ascend|sorted|repair", source=_GITHUB + "sneumann/xcms/issues/706", flavours=("processed",))
def mobility_frames(section: Section, rng: np.random.Generator) -> Section:
    """Each spectrum is a frame of an ion mobility scan: m/z begin again with every mobility."""
    section = section.copy()
    for spec in section.specs:
        mz, value = np.asarray(spec.mz), np.asarray(spec.intensity)
        spec.mz, spec.intensity = np.tile(mz, 3), np.concatenate([value * s for s in (0.2, 0.5, 0.3)])
        spec.extra = {
            'accession="MS:1003006" name="mean inverse reduced ion mobility array"': np.repeat([0.8, 0.9, 1.0], len(mz))
        }
    return section


@fault("header", r"scan pattern", source=_GITHUB + "Cardinalverse/Cardinal/issues/36", found_by_validate=False)
def unknown_pattern(section: Section, rng: np.random.Generator) -> Section:
    """The scan pattern is a misspelt or withdrawn term."""
    section = section.copy()
    height, width = section.shape
    pattern = cv("IMS:1000410", "meanndering") if rng.random() < 0.5 else cv("IMS:1000411", "one way")
    counts = cv("IMS:1000042", "max count of pixel x", width) + cv("IMS:1000043", "max count of pixel y", height)
    section.options["scan_settings"] = [pattern + counts + cv("IMS:1000046", "pixel size", 50)]
    section.options["content"] = ms_level(1)
    return section


@fault("header", r"count|size", source=_GITHUB + "mzmine/mzmine/pull/279", found_by_validate=False)
def no_dimensions(section: Section, rng: np.random.Generator) -> Section:
    """The header states neither the numbers of pixels nor their size."""
    section = section.copy()
    section.options |= {"max_count": None, "pixel_size_um": None}
    return section
