"""What the header of an imzML file says about its making, so that files made from it can say it too."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from ionmorphnet.base.paths import PathLike

_MOST_BYTES = 16 << 20
_PIECE_BYTES = 1 << 18
# Vocabularies that the files written here refer to; terms of others are written as user parameters.
_VOCABULARIES = ("MS", "IMS", "UO")
# How the stage moved: kept. Counts and sizes are those of the new file.
_SCAN_PATTERN = re.compile("IMS:10004[0-9]{2}")
_PLACEHOLDER = "MS:1000031"  # "instrument model": the term that stands for a model that is not stated


@dataclass(frozen=True)
class Param:
    """A term of a vocabulary, or a user parameter (empty accession)."""

    accession: str
    name: str
    value: str = ""
    unit: tuple[str, str] | None = None

    def xml(self) -> str:
        """The element."""
        unit = ""
        if self.unit is not None:
            reference = quoteattr(self.unit[0].split(":")[0])
            unit = f" unitCvRef={reference} unitAccession={quoteattr(self.unit[0])} unitName={quoteattr(self.unit[1])}"
        rest = f"name={quoteattr(self.name)} value={quoteattr(self.value)}{unit}/>"
        if not self.accession:
            return f"<userParam {rest}"
        reference = self.accession.split(":")[0]
        return f"<cvParam cvRef={quoteattr(reference)} accession={quoteattr(self.accession)} {rest}"


@dataclass(frozen=True)
class SourceFile:
    """A file that another one was made from."""

    name: str
    location: str
    params: tuple[Param, ...]


@dataclass(frozen=True)
class Program:
    """A program and what it did to the data."""

    name: str
    version: str
    params: tuple[Param, ...]
    methods: tuple[tuple[Param, ...], ...] = ()


@dataclass(frozen=True)
class Origin:
    """How a file was made.

    Attributes:
        files: The files that it was made from, the direct one first.
        instrument: Terms of the instrument.
        components: Kind (``source``, ``analyzer``, ``detector``) and terms of its parts, in order.
        programs: The programs that worked on the data, in order.
        scan: How the stage moved.
        polarity: ``positive`` or ``negative``; None: not stated.
    """

    files: tuple[SourceFile, ...] = ()
    instrument: tuple[Param, ...] = ()
    components: tuple[tuple[str, tuple[Param, ...]], ...] = ()
    programs: tuple[Program, ...] = ()
    scan: tuple[Param, ...] = ()
    polarity: str | None = None


def read_origin(path: PathLike, declared: Mapping[str, str]) -> Origin:
    """The origin of a file that is made from an imzML file: that file, its instrument, its programs.

    Args:
        path: The imzML file.
        declared: Its declarations, as :attr:`ionmorphnet.Dataset.declared`; they fill in for a header that is no XML.
    """
    source = Path(path).resolve()
    identity = [Param("MS:1000824", "no nativeID format"), Param("MS:1000584", "mzML format")]
    for key, name in (("uuid", "universally unique identifier"), ("ibd_sha1", "ibd SHA-1"), ("ibd_md5", "ibd MD5")):
        if key in declared:  # as user parameters: readers that search for the terms must find those of the new file
            identity.append(Param("", f"source {name}", declared[key]))
    direct = SourceFile(source.name, source.parent.as_uri(), tuple(identity))
    polarity = declared.get("polarity")
    polarity = polarity if polarity in ("positive", "negative") else None
    head = _head(source)
    if head is None:
        instrument = tuple(Param("", "instrument", text) for text in _listed(declared, "instrument"))
        programs = tuple(Program(text, "", ()) for text in _listed(declared, "software"))
        return Origin((direct,), instrument, (), programs, (), polarity)
    terms = _Terms(head)
    instrument, components = terms.instrument()
    return Origin((direct, *terms.files()), instrument, components, terms.programs(), terms.scan(), polarity)


def _listed(declared: Mapping[str, str], key: str) -> list[str]:
    return declared[key].split("; ") if declared.get(key) else []


def _head(path: Path) -> ElementTree.Element | None:
    """Everything in front of the spectra; None if it is no XML."""
    data = b""
    try:
        with path.open("rb") as file:
            while len(data) < _MOST_BYTES and not re.search(rb"<run[\s>]", data):
                piece = file.read(_PIECE_BYTES)
                if not piece:
                    break
                data += piece
    except OSError:
        return None
    found = re.search(rb"<mzML[\s>].*?(?=<run[\s>])", data, re.DOTALL)
    if found is None:
        return None
    declared = re.match(rb"""\s*<\?xml[^>]*encoding\s*=\s*["']([^"']+)""", data)
    try:
        text = found[0].decode(declared[1].decode("ascii", "replace") if declared else "utf-8")
    except (LookupError, UnicodeDecodeError):
        text = found[0].decode("latin-1")
    text = (
        re.sub(r"""\s(xmlns(:\w+)?|\w+:\w+)\s*=\s*("[^"]*"|'[^']*')""", "", text[: text.index(">")])
        + text[text.index(">") :]
    )
    try:
        return ElementTree.fromstring(text + "</mzML>")
    except ElementTree.ParseError:
        return None


class _Terms:
    """Elements of a header as data."""

    def __init__(self, head: ElementTree.Element) -> None:
        self._head = head
        self._groups = {group.get("id", ""): group for group in head.iter("referenceableParamGroup")}

    def params(self, element: ElementTree.Element) -> tuple[Param, ...]:
        found: list[Param] = []
        for child in element:
            if child.tag == "referenceableParamGroupRef":
                group = self._groups.get(child.get("ref", ""))
                found += () if group is None else self.params(group)
            elif child.tag in ("cvParam", "userParam") and child.get("name"):
                found.append(_param(child))
        return tuple(dict.fromkeys(found))

    def files(self) -> Iterable[SourceFile]:
        for element in self._head.iter("sourceFile"):
            yield SourceFile(element.get("name", ""), element.get("location", ""), self.params(element))

    def instrument(self) -> tuple[tuple[Param, ...], tuple[tuple[str, tuple[Param, ...]], ...]]:
        """Terms and parts of the instrument; of the first one that states anything."""
        for element in self._head.iter("instrumentConfiguration"):
            params = tuple(each for each in self.params(element) if each.accession != _PLACEHOLDER or each.value)
            parts = [
                (part.tag, self.params(part))
                for part in element.iterfind("componentList/*")
                if part.tag in ("source", "analyzer", "detector")
            ]
            if params or any(terms for _, terms in parts):
                return params, tuple(parts)
        return (), ()

    def programs(self) -> tuple[Program, ...]:
        done: dict[str, list[tuple[Param, ...]]] = {}
        for processing in self._head.iter("dataProcessing"):
            for method in processing.iterfind("processingMethod"):
                by = method.get("softwareRef") or processing.get("softwareRef") or ""
                done.setdefault(by, []).append(self.params(method))
        return tuple(
            Program(
                element.get("id", ""),
                element.get("version", ""),
                self.params(element),
                tuple(terms for terms in done.get(element.get("id", ""), ()) if terms),
            )
            for element in self._head.iter("software")
        )

    def scan(self) -> tuple[Param, ...]:
        """The scan pattern, if all settings agree on it."""
        patterns = {
            tuple(each for each in self.params(element) if _SCAN_PATTERN.fullmatch(each.accession))
            for element in self._head.iter("scanSettings")
        }
        return patterns.pop() if len(patterns) == 1 else ()


def _param(element: ElementTree.Element) -> Param:
    accession = element.get("accession", "") if element.tag == "cvParam" else ""
    if accession.split(":")[0] not in _VOCABULARIES or ":" not in accession:
        accession = ""
    unit = element.get("unitAccession", "")
    known = unit.split(":")[0] in _VOCABULARIES and ":" in unit
    return Param(
        accession,
        element.get("name", ""),
        element.get("value", ""),
        (unit, element.get("unitName", "")) if known else None,
    )
