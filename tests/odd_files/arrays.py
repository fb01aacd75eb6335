"""Faults of the arrays as they are stored and declared."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from odd_files.registry import fault
from odd_files.sections import Section


@fault("arrays", r"m/z and (the )?intensit|exchanged|swapped")
def exchanged_terms(section: Section, rng: np.random.Generator) -> Section:
    """The terms of the m/z array and the intensity array are exchanged."""
    section = section.copy()
    section.options["array_terms"] = {"mz": ("MS:1000515", "intensity array"), "intensity": ("MS:1000514", "m/z array")}
    return section


@fault("arrays", r"m/z and (the )?intensit|exchanged|swapped")
def exchanged_terms_of_one_type(section: Section, rng: np.random.Generator) -> Section:
    """The terms of the two arrays are exchanged, both of one type."""
    section = exchanged_terms(section, rng)
    section.options |= {"mz_dtype": "f4", "intensity_dtype": "f4"}
    return section


@fault("arrays", r"continuous|processed", found_by_validate=False)
def mode_contradicts(section: Section, rng: np.random.Generator) -> Section:
    """Continuous is declared processed, and the reverse."""
    section = section.copy()
    section.options["mode"] = "continuous" if section.flavour == "processed" else "processed"
    return section


@fault("arrays", r"truncated|shorter|too short")
def truncated(section: Section, rng: np.random.Generator) -> Section:
    """The ibd file is cut off."""
    section = section.copy()
    share = float(rng.uniform(0.2, 0.95))

    def cut(path: Path) -> None:
        ibd = path.with_suffix(".ibd")
        with ibd.open("r+b") as stream:
            stream.truncate(int(ibd.stat().st_size * share))

    section.after = cut
    return section


@fault("arrays", r"UUID")
def foreign_ibd(section: Section, rng: np.random.Generator) -> Section:
    """The ibd file carries another UUID."""
    section = section.copy()
    section.options["ibd_uuid"] = rng.bytes(16)
    return section


@fault("arrays", r"offset", found_by_validate=False)
def wrapped_offsets(section: Section, rng: np.random.Generator) -> Section:
    """Offsets beyond 2 GiB are written as 32-bit integers."""
    section = section.copy()
    section.options |= {
        "ibd_gap": (1 << 31) - int(rng.integers(1 << 10, 1 << 18)),
        "checksum": None,
        "offset": lambda at: str((at + (1 << 31)) % (1 << 32) - (1 << 31)),
    }
    return section


@fault("arrays", r"length|bytes for \d+ values")
def lengths_one_too_many(section: Section, rng: np.random.Generator) -> Section:
    """Array lengths are one too many for the bytes."""
    section = section.copy()
    section.options["edit"] = lambda text: re.sub(
        r'(name="external array length" value=)"(\d+)"', lambda found: f'{found[1]}"{int(found[2]) + 1}"', text
    )
    return section


@fault("arrays", r"length|m/z values but")
def intensities_one_short(section: Section, rng: np.random.Generator) -> Section:
    """The last intensity of some spectra is missing."""
    section = section.copy()
    for i in rng.choice(len(section.specs), 20, replace=False).tolist():
        section.specs[i].intensity = np.asarray(section.specs[i].intensity)[:-1]
    return section


@fault("arrays", r"byte order|endian")
def big_endian(section: Section, rng: np.random.Generator) -> Section:
    """All arrays are stored big-endian."""
    section = section.copy()
    section.options["byte_order"] = ">"
    return section


@fault("arrays", r"byte order|endian")
def big_endian_intensities(section: Section, rng: np.random.Generator) -> Section:
    """The intensities are stored big-endian."""
    return section.change_intensities(lambda values, x, y: values.astype(">f4").view("<f4").astype(np.float64))


@fault("arrays", r"type|length|bytes", found_by_validate=False)
def float_terms_exchanged(section: Section, rng: np.random.Generator) -> Section:
    """The terms for 32-bit and 64-bit floats are exchanged."""
    section = section.copy()
    section.options |= {
        "mz_term": ("MS", "MS:1000521", "32-bit float"),
        "intensity_term": ("MS", "MS:1000523", "64-bit float"),
    }
    return section


@fault("arrays", r"type|length|bytes|overlap|float")
def float_terms_without_lengths(section: Section, rng: np.random.Generator) -> Section:
    """The terms for floats are exchanged, and no encoded length is written."""
    section = float_terms_exchanged(section, rng)
    section.options["encoded_length"] = False
    return section


@fault("arrays", r"int|float|type")
def integers_declared_float(section: Section, rng: np.random.Generator) -> Section:
    """Intensities stored as 32-bit integers are declared 32-bit floats."""
    section = section.copy()
    section.options |= {"intensity_dtype": "i4", "intensity_term": ("MS", "MS:1000521", "32-bit float")}
    return section


@fault("arrays", r"zlib|compress")
def compression_not_declared(section: Section, rng: np.random.Generator) -> Section:
    """Arrays are zlib-compressed, which the file does not say."""
    section = section.copy()
    section.options |= {
        "compress": True,
        "edit": lambda text: text.replace("MS:1000574", "MS:1000576").replace("zlib compression", "no compression"),
    }
    return section


@fault("arrays", r"zlib|compress|inflate")
def compression_declared_wrongly(section: Section, rng: np.random.Generator) -> Section:
    """Arrays are declared zlib-compressed, but are not."""
    section = section.copy()
    section.options["edit"] = lambda text: text.replace("MS:1000576", "MS:1000574").replace(
        "no compression", "zlib compression"
    )
    return section


@fault("arrays", r"overlap|same (place|offset)|offset")
def offsets_repeated(section: Section, rng: np.random.Generator) -> Section:
    """From some spectrum on, all intensity offsets are the same."""
    section = section.copy()
    seen: list[int] = []
    stop = int(rng.integers(len(section.specs) // 3, 2 * len(section.specs) // 3))

    def offset(at: int) -> str:
        seen.append(at)
        # Two calls per spectrum: m/z, then intensity.
        if len(seen) % 2 == 0 and len(seen) > 2 * stop:
            return str(seen[2 * stop - 1])
        return str(at)

    section.options["offset"] = offset
    for spec in section.specs:  # equal lengths, so that every array fits
        n = 20 if section.flavour == "processed" else len(np.asarray(spec.mz))
        spec.mz, spec.intensity = np.asarray(spec.mz)[:n], np.asarray(spec.intensity)[:n]
    return section
