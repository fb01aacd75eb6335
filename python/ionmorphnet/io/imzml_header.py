"""XML text of an imzML file (imzML 1.1.1, mzML 1.1): header, one template for all spectra, tail."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from uuid import UUID
from xml.sax.saxutils import quoteattr

import numpy as np

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

    def _spectrum_terms(self) -> tuple[str, str]:
        kind = ("MS:1000128", "profile spectrum") if self.profile else ("MS:1000127", "centroid spectrum")
        return _term("MS:1000579", "MS1 spectrum"), _term(*kind)

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
            width, height = (f"{side:.10g}" for side in self.pixel_size_um)
            settings += [
                # The ontology's name. M2aia 0.5 finds the width only under "pixel size x", at which pyimzML warns.
                _term("IMS:1000046", "pixel size (x)", width, unit),
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
        settings_text = "\n      ".join(settings)
        level, kind = self._spectrum_terms()
        return f"""<?xml version="1.0" encoding="UTF-8"?>
<mzML version="1.1" xmlns="http://psi.hupo.org/ms/mzml" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="http://psi.hupo.org/ms/mzml http://psidev.info/files/ms/mzML/xsd/mzML1.1.0.xsd">
  <cvList count="{len(_CV)}">
{cvs}  </cvList>
  <fileDescription>
    <fileContent>
      {level}
      {kind}
      {_term(*mode)}
      {_term("IMS:1000080", "universally unique identifier", "{" + str(self.uuid) + "}")}
      {_term("IMS:1000091", "ibd SHA-1", self.sha1)}
    </fileContent>
  </fileDescription>
  <referenceableParamGroupList count="3">
    {mz_group}
    {intensity_group}
    <referenceableParamGroup id="{_SPECTRUM_GROUP}">
      {level}
      {kind}
    </referenceableParamGroup>
  </referenceableParamGroupList>
  <softwareList count="1">
    <software id="ionmorphnet" version={quoteattr(version("ionmorphnet"))}>
      {_term("MS:1000799", "custom unreleased software tool", "ionmorphnet")}
    </software>
  </softwareList>
  <scanSettingsList count="1">
    <scanSettings id="scansettings1">
      {settings_text}
    </scanSettings>
  </scanSettingsList>
  <instrumentConfigurationList count="1">
    <instrumentConfiguration id="instrument1">
      {_term("MS:1000031", "instrument model")}
    </instrumentConfiguration>
  </instrumentConfigurationList>
  <dataProcessingList count="1">
    <dataProcessing id="processing1">
      <processingMethod order="1" softwareRef="ionmorphnet">
        {_term("MS:1000544", "Conversion to mzML")}
      </processingMethod>
    </dataProcessing>
  </dataProcessingList>
  <run defaultInstrumentConfigurationRef="instrument1" id="run1">
    <spectrumList count="{self.n_spectra}" defaultDataProcessingRef="processing1">
"""

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


def _term(accession: str, name: str, value: object = "", unit: tuple[str, str] | None = None) -> str:
    text = f'<cvParam cvRef="{accession.split(":")[0]}" accession="{accession}" name={quoteattr(name)}'
    text += f" value={quoteattr(str(value))}"
    if unit is not None:
        text += f' unitCvRef="{unit[0].split(":")[0]}" unitAccession="{unit[0]}" unitName={quoteattr(unit[1])}'
    return text + "/>"
