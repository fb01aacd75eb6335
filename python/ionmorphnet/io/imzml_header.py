"""XML text of an imzML file (imzML 1.1.1, mzML 1.1): header, one template for all spectra, tail."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from uuid import UUID
from xml.sax.saxutils import quoteattr

import numpy as np

from ionmorphnet.io.imzml_origin import Origin, Param, Program

_CV = {
    "MS": (
        "Proteomics Standards Initiative Mass Spectrometry Ontology",
        "4.1.0",
        "http://purl.obolibrary.org/obo/ms.obo",
    ),
    "UO": ("Unit Ontology", "09:04:2014", "http://purl.obolibrary.org/obo/uo.obo"),
    "IMS": (
        "Mass Spectrometry Imaging Ontology",
        "1.1.0",
        "https://raw.githubusercontent.com/imzML/imzML/master/imagingMS.obo",
    ),
}
_DTYPES = {
    np.dtype("<f4"): ("MS:1000521", "32-bit float"),
    np.dtype("<f8"): ("MS:1000523", "64-bit float"),
}

_DIMENSIONS = (("IMS:1000044", "max dimension x"), ("IMS:1000045", "max dimension y"))

# Readers such as M2aia look for the spectrum type in a parameter group, not in each <spectrum>; it also saves XML.
_SPECTRUM_GROUP = "spectrum1"


@dataclass(frozen=True)
class Header:
    """Declarations in the header of an imzML file.

    Attributes:
        continuous: Whether all spectra share one m/z array.
        profile: Whether the spectra are profiles rather than centroids.
        zlib: Whether the arrays are compressed.
        mz_dtype: m/z type on disk, little-endian float32 or float64.
        intensity_dtype: Intensity type on disk, little-endian float32 or float64.
        pixel_size_um: Pixel width and height in micrometres, or None if unknown.
        uuid: Identifier shared with the ibd file.
        sha1: SHA-1 of the ibd file, hexadecimal.
        extent: Largest x and y position.
        n_spectra: Number of spectra.
        ms_level: MS level of the spectra; None: not stated.
        origin: What the file was made from, by which instrument and programs.
        methods: What this package did to the data, besides writing it.
    """

    continuous: bool
    profile: bool
    zlib: bool
    mz_dtype: np.dtype[np.floating]
    intensity_dtype: np.dtype[np.floating]
    pixel_size_um: tuple[float, float] | None
    uuid: UUID
    sha1: str
    extent: tuple[int, int]
    n_spectra: int
    ms_level: int | None = 1
    origin: Origin = field(default_factory=Origin)
    methods: tuple[tuple[Param, ...], ...] = ()

    def _spectrum_terms(self) -> list[str]:
        """What all spectra are, for the content of the file and the group that each spectrum refers to."""
        kind = ("MS:1000128", "profile spectrum") if self.profile else ("MS:1000127", "centroid spectrum")
        level = ("MS:1000580", "MSn spectrum") if (self.ms_level or 1) > 1 else ("MS:1000579", "MS1 spectrum")
        polarities = {"positive": ("MS:1000130", "positive scan"), "negative": ("MS:1000129", "negative scan")}
        polarity = polarities.get(self.origin.polarity or "")
        return [_term(*level), _term(*kind), *([] if polarity is None else [_term(*polarity)])]

    def head(self) -> str:
        """Text before the first spectrum."""
        mode = ("IMS:1000030", "continuous") if self.continuous else ("IMS:1000031", "processed")
        cvs = "".join(
            f'    <cv id="{key}" fullName={quoteattr(name)} version={quoteattr(number)} URI={quoteattr(uri)}/>\n'
            for key, (name, number, uri) in _CV.items()
        )
        settings = [
            _term("IMS:1000042", "max count of pixels x", self.extent[0]),
            _term("IMS:1000043", "max count of pixels y", self.extent[1]),
        ]
        if self.pixel_size_um is not None:
            unit = ("UO:0000017", "micrometer")
            sides = (f"{n * side:.10g}" for n, side in zip(self.extent, self.pixel_size_um, strict=True))
            for (accession, name), side in zip(_DIMENSIONS, sides, strict=True):
                settings.append(_term(accession, name, side, unit))
            width, height = (f"{side:.10g}" for side in self.pixel_size_um)
            settings += [
                # The ontology calls it "pixel size (x)". Other writers and the format's own examples leave the brackets
                # out, and M2aia 0.5 finds the width only under that name.
                _term("IMS:1000046", "pixel size x", width, unit),
                _term("IMS:1000047", "pixel size y", height, unit),
            ]
        mz_group = self._array_group("mzArray", "MS:1000514", "m/z array", ("MS:1000040", "m/z"), self.mz_dtype)
        intensity_group = self._array_group(
            "intensityArray",
            "MS:1000515",
            "intensity array",
            ("MS:1000131", "number of detector counts"),
            self.intensity_dtype,
        )
        settings = [*(each.xml() for each in self.origin.scan), *settings]
        settings_text = "\n      ".join(settings)
        content = "\n      ".join(self._spectrum_terms())
        group = list(self._spectrum_terms())
        if self.ms_level is not None:
            group.insert(1, _term("MS:1000511", "ms level", self.ms_level))
        group_text = "\n      ".join(group)
        source = ' defaultSourceFileRef="source1"' if self.origin.files else ""
        run = f'<run defaultInstrumentConfigurationRef="instrument1" id="run1"{source}>'
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<mzML version="1.1" xmlns="http://psi.hupo.org/ms/mzml" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://psi.hupo.org/ms/mzml http://psidev.info/files/ms/mzML/xsd/mzML1.1.0.xsd">
  <cvList count="{len(_CV)}">
{cvs}  </cvList>
  <fileDescription>
    <fileContent>
      {content}
      {_term(*mode)}
      {_term("IMS:1000080", "universally unique identifier", "{" + str(self.uuid) + "}")}
      {_term("IMS:1000091", "ibd SHA-1", self.sha1)}
    </fileContent>
{self._source_files()}  </fileDescription>
  <referenceableParamGroupList count="3">
    {mz_group}
    {intensity_group}
    <referenceableParamGroup id="{_SPECTRUM_GROUP}">
      {group_text}
    </referenceableParamGroup>
  </referenceableParamGroupList>
{self._software()}  <scanSettingsList count="1">
    <scanSettings id="scansettings1">
      {settings_text}
    </scanSettings>
  </scanSettingsList>
{self._instrument()}{self._processing()}  {run}
    <spectrumList count="{self.n_spectra}" defaultDataProcessingRef="processing1">
"""

    def _source_files(self) -> str:
        if not self.origin.files:
            return ""
        files = "".join(
            f'      <sourceFile id="source{k}" name={quoteattr(file.name)} location={quoteattr(file.location)}>\n'
            f"{_lines(file.params, 8)}      </sourceFile>\n"
            for k, file in enumerate(self.origin.files, 1)
        )
        return f'    <sourceFileList count="{len(self.origin.files)}">\n{files}    </sourceFileList>\n'

    def _programs(self) -> list[tuple[str, Program]]:
        """All programs, this package last, with the identifiers that they have in the file."""
        own = Program(
            "ionmorphnet",
            version("ionmorphnet"),
            (Param("MS:1000799", "custom unreleased software tool", "ionmorphnet"),),
            (*self.methods, (Param("MS:1000544", "Conversion to mzML"),)),
        )
        named = []
        taken = {own.name}
        for program in self.origin.programs:
            key = base = re.sub(r"[^\w.-]|^(?![A-Za-z_])", "_", program.name, flags=re.ASCII)
            number = 1
            while key in taken:
                number += 1
                key = f"{base}-{number}"
            taken.add(key)
            named.append((key, program))
        return [*named, (own.name, own)]

    def _software(self) -> str:
        programs = self._programs()
        listed = "".join(
            f"    <software id={quoteattr(key)} version={quoteattr(program.version)}>\n"
            f"{_lines(program.params or (Param('MS:1000799', 'custom unreleased software tool', program.name),), 6)}"
            "    </software>\n"
            for key, program in programs
        )
        return f'  <softwareList count="{len(programs)}">\n{listed}  </softwareList>\n'

    def _instrument(self) -> str:
        origin = self.origin
        own = _lines(origin.instrument or (Param("MS:1000031", "instrument model"),), 6)
        parts = "".join(
            f'        <{kind} order="{order}">\n{_lines(terms, 10)}        </{kind}>\n'
            for order, (kind, terms) in enumerate(origin.components, 1)
        )
        if parts:
            parts = f'      <componentList count="{len(origin.components)}">\n{parts}      </componentList>\n'
        return (
            '  <instrumentConfigurationList count="1">\n    <instrumentConfiguration id="instrument1">\n'
            f"{own}{parts}    </instrumentConfiguration>\n  </instrumentConfigurationList>\n"
        )

    def _processing(self) -> str:
        steps = [(key, terms) for key, program in self._programs() for terms in program.methods]
        methods = "".join(
            f'      <processingMethod order="{order}" softwareRef={quoteattr(key)}>\n{_lines(terms, 8)}'
            "      </processingMethod>\n"
            for order, (key, terms) in enumerate(steps, 1)
        )
        return (
            f'  <dataProcessingList count="1">\n    <dataProcessing id="processing1">\n{methods}'
            "    </dataProcessing>\n  </dataProcessingList>\n"
        )

    def spectrum_template(self) -> str:
        """Text of one spectrum, to be filled with ``%``.

        The values are id, index, x, y, z, then the length, offset and encoded bytes of the m/z array and of the
        intensity array.
        """
        position = "\n            ".join(
            _term(f"IMS:100005{k}", f"position {axis}", "%d") for k, axis in enumerate(("x", "y", "z"))
        )
        arrays = "".join(
            f"""        <binaryDataArray encodedLength="0">
          <referenceableParamGroupRef ref="{group}"/>
          {_term("IMS:1000103", "external array length", "%d")}
          {_term("IMS:1000102", "external offset", "%d")}
          {_term("IMS:1000104", "external encoded length", "%d")}
          <binary/>
        </binaryDataArray>
"""
            for group in ("mzArray", "intensityArray")
        )
        return f"""      <spectrum id="Scan=%d" defaultArrayLength="0" index="%d">
        <referenceableParamGroupRef ref="{_SPECTRUM_GROUP}"/>
        <scanList count="1">
          {_term("MS:1000795", "no combination")}
          <scan instrumentConfigurationRef="instrument1">
            {position}
          </scan>
        </scanList>
        <binaryDataArrayList count="2">
{arrays}        </binaryDataArrayList>
      </spectrum>
"""

    @staticmethod
    def tail() -> str:
        """Text after the last spectrum."""
        return "    </spectrumList>\n  </run>\n</mzML>\n"

    def _array_group(
        self, key: str, accession: str, name: str, unit: tuple[str, str], dtype: np.dtype[np.floating]
    ) -> str:
        compression = ("MS:1000574", "zlib compression") if self.zlib else ("MS:1000576", "no compression")
        return f"""<referenceableParamGroup id="{key}">
      {_term(accession, name, "", unit)}
      {_term(*_DTYPES[dtype])}
      {_term(*compression)}
      {_term("IMS:1000101", "external data", "true")}
    </referenceableParamGroup>"""


def _lines(params: Iterable[Param], indent: int) -> str:
    return "".join(f"{' ' * indent}{each.xml()}\n" for each in params)


def _term(accession: str, name: str, value: object = "", unit: tuple[str, str] | None = None) -> str:
    return Param(accession, name, str(value), unit).xml()
