"""A small imzML writer for tests, independent of the package, with a knob for every oddity that real files show.

``write_imzml(path, spectra, ...)`` writes ``path`` and its ibd and returns the path. What a spectrum or the head says
is given as text of cvParams: ``cv`` writes one, and the functions after it write the terms that tests need most. Knobs
that are not here: pass ``edit=`` and change the XML text, or write over the ibd.
"""

from __future__ import annotations

import hashlib
import uuid as uuid_module
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

DTYPES: dict[str, tuple[str, str, str]] = {
    # numpy type -> vocabulary, accession, name
    "f4": ("MS", "MS:1000521", "32-bit float"),
    "f8": ("MS", "MS:1000523", "64-bit float"),
    "i4": ("MS", "MS:1000519", "32-bit integer"),
    "i8": ("MS", "MS:1000522", "64-bit integer"),
    "u4": ("MS", "MS:1000519", "32-bit unsigned integer"),
    "u8": ("MS", "MS:1000522", "64-bit unsigned integer"),
    "u1": ("IMS", "IMS:1100000", "8-bit integer"),
    "u2": ("IMS", "IMS:1100001", "16-bit integer"),
    "i1": ("IMS", "IMS:1100000", "signed 8-bit integer"),
    "i2": ("IMS", "IMS:1100001", "signed 16-bit integer"),
}


@dataclass
class Spec:
    """One spectrum. ``position`` values may be text, to write what no number can be."""

    x: int | str
    y: int | str
    mz: ArrayLike
    intensity: ArrayLike
    z: int | str | None = None
    extra: dict[str, ArrayLike] = field(default_factory=dict)
    """Further arrays by cvParam text, e.g. ``{'accession="MS:1002893" name="ion mobility array"': values}``."""
    params: str = ""
    """cvParams of the spectrum, e.g. ``ms_level(2) + polarity("negative")``."""
    scan_params: str = ""
    """cvParams of its scan, e.g. ``scan_filter("FTMS + p ESI Full ms [100.00-1000.00]")``."""
    groups: Sequence[str] = ("spectrum",)
    """Parameter groups that the spectrum refers to; ``spectrum`` says whether it is profile or centroid."""
    scan_groups: Sequence[str] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Further attributes of the spectrum, e.g. ``{"sourceFileRef": "file2"}``."""
    scan_attributes: Mapping[str, str] = field(default_factory=dict)
    """Attributes of its scan, e.g. ``{"instrumentConfigurationRef": "tof"}``."""
    run: str = "run"
    """The run it is in: neighbours in the list with the same name share one ``<run>``."""


def grid_specs(width: int, height: int, n: int = 5, *, shared: bool = False, seed: int = 0) -> list[Spec]:
    """A full grid of spectra with ``n`` peaks each; ``shared`` gives all of them one m/z axis."""
    rng = np.random.default_rng(seed)
    axis = np.sort(rng.uniform(100.0, 1000.0, n))
    specs = []
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            mz = axis if shared else np.sort(rng.uniform(100.0, 1000.0, n))
            specs.append(Spec(x, y, mz, rng.uniform(0.0, 100.0, n)))
    return specs


def cv(accession: str, name: str, value: object = "", *, ref: str | None = None, unit: str = "") -> str:
    """One cvParam element."""
    ref = ref or accession.split(":")[0]
    return f'<cvParam cvRef="{ref}" accession="{accession}" name="{name}" value="{value}"{unit}/>'


def ms_level(level: int) -> str:
    """The level of a spectrum, with the term for its kind, as converters write both."""
    kind = cv("MS:1000579", "MS1 spectrum") if level == 1 else cv("MS:1000580", "MSn spectrum")
    return kind + cv("MS:1000511", "ms level", level)


def polarity(name: str) -> str:
    """The polarity of a spectrum: "positive" or "negative"."""
    return cv({"positive": "MS:1000130", "negative": "MS:1000129"}[name], f"{name} scan")


def representation(name: str) -> str:
    """ "profile" or "centroid"."""
    return cv({"profile": "MS:1000128", "centroid": "MS:1000127"}[name], f"{name} spectrum")


def scan_filter(text: str) -> str:
    """A filter string, as Thermo instruments write it."""
    return cv("MS:1000512", "filter string", text)


def length_unit(name: str) -> str:
    """The unit attributes of a cvParam for "micrometer", "millimeter", "nanometer", "meter" or any other UO term."""
    known = {"meter": "UO:0000008", "millimeter": "UO:0000016", "micrometer": "UO:0000017", "nanometer": "UO:0000018"}
    return f' unitCvRef="UO" unitAccession="{known.get(name, "UO:0000000")}" unitName="{name}"'


def pixel_size(x: object, y: object | None = None, unit: str = "micrometer") -> str:
    """The pixel size of a scan settings block; without ``unit`` (an empty text) the terms have none."""
    text = length_unit(unit) if unit else ""
    size = cv("IMS:1000046", "pixel size x", x, unit=text)
    return size if y is None else size + cv("IMS:1000047", "pixel size y", y, unit=text)


def max_counts(x: object, y: object) -> str:
    """The declared numbers of pixels of a scan settings block."""
    return cv("IMS:1000042", "max count of pixels x", x) + cv("IMS:1000043", "max count of pixels y", y)


def _attributes(values: Mapping[str, str]) -> str:
    return "".join(f' {name}="{value}"' for name, value in values.items())


def _references(groups: Iterable[str]) -> str:
    return "".join(f'<referenceableParamGroupRef ref="{group}"/>' for group in groups)


def write_imzml(
    path: Path,
    spectra: Sequence[Spec | Mapping[str, Any]],
    *,
    shared_axis: bool = False,
    mode: str | None = "auto",
    spectrum_type: str | None = "centroid",
    mz_dtype: str = "f8",
    intensity_dtype: str = "f4",
    mz_term: tuple[str, str, str] | None = None,
    intensity_term: tuple[str, str, str] | None = None,
    compress: bool | str = False,
    params: str = "group",
    encoded_length: bool = True,
    array_length: bool = True,
    integer: Callable[[int], str] = str,
    offset: Callable[[int], str] = str,
    namespace: bool = True,
    declaration: str | None = '<?xml version="1.0" encoding="UTF-8"?>\n',
    indexed: bool = False,
    encoding: str = "utf-8",
    newline: str = "\n",
    max_count: tuple[int, int] | None = None,
    pixel_size_um: tuple[float, float] | None = None,
    content: str = "",
    groups: Mapping[str, str] | None = None,
    scan_settings: Sequence[str] | None = None,
    source_files: Mapping[str, str] | None = None,
    instruments: Mapping[str, str] | None = None,
    run_attributes: Mapping[str, Mapping[str, str]] | None = None,
    array_terms: Mapping[str, tuple[str, str]] | None = None,
    byte_order: str = "<",
    head: str = "",
    uuid: str | None = None,
    ibd_uuid: bytes | None = None,
    checksum: str | None = "sha1",
    count: int | None = None,
    ibd_path: Path | None = None,
    ibd_gap: int = 0,
    truncate_ibd: int | None = None,
    edit: Callable[[str], str] | None = None,
) -> Path:
    """Writes an imzML file and its ibd.

    Args:
        path: the imzML file; the ibd goes beside it unless ``ibd_path`` says otherwise.
        spectra: what to write; a mapping stands for the Spec with these fields.
        shared_axis: store the first spectrum's m/z once and let all spectra point there.
        mode: declared mode; "auto" is the truth, None declares nothing.
        spectrum_type: "profile", "centroid" or None for no term.
        mz_dtype, intensity_dtype: stored types, keys of DTYPES.
        mz_term, intensity_term: (cvRef, accession, name) to declare instead of the truth.
        compress: True for zlib on both arrays; "mz" or "intensity" for one.
        params: where types are declared: "group", "inline" or "both".
        encoded_length, array_length: whether IMS:1000104 and IMS:1000103 are written.
        integer, offset: how lengths and positions, and offsets, become text.
        namespace, declaration, indexed, encoding, newline: the XML around it all.
        max_count, pixel_size_um: scan settings.
        content: cvParams added to the file content (``ms_level(1)`` without the number always stands there).
        groups: further parameter groups, cvParams by name.
        scan_settings: cvParams of each block of scan settings (named s, s2, s3 ...), instead of max_count and
            pixel_size_um.
        source_files: cvParams of each source file by id, which is its name too.
        instruments: cvParams of each instrument configuration by id.
        run_attributes: attributes of runs by their name.
        array_terms: accession and name declared for the arrays "mz" and "intensity", instead of the truth.
        byte_order: "<" as the format wants it, ">" for big-endian arrays.
        head: XML put in front of the run.
        uuid, ibd_uuid: declared text; the 16 bytes that the ibd really carries.
        checksum: hashlib name of the declared checksum, None for none.
        count: announced number of spectra, the truth by default.
        ibd_gap: bytes left out (sparse) between the UUID and the first array.
        truncate_ibd: final size of the ibd in bytes.
        edit: last change of the XML text.
    """
    identity = uuid_module.uuid5(uuid_module.NAMESPACE_URL, path.name)
    ibd_path = ibd_path or path.with_suffix(".ibd")
    specs = [spec if isinstance(spec, Spec) else Spec(**spec) for spec in spectra]
    terms = {"mz": ("MS:1000514", "m/z array"), "intensity": ("MS:1000515", "intensity array"), **(array_terms or {})}
    kinds = {
        "mz": (*terms["mz"], mz_dtype, mz_term),
        "intensity": (*terms["intensity"], intensity_dtype, intensity_term),
    }

    def type_params(kind: str) -> str:
        accession, name, dtype, term = kinds[kind]
        ref, dtype_accession, dtype_name = term or DTYPES[dtype]
        packed = compress is True or compress == kind
        return (
            cv(accession, name)
            + cv(dtype_accession, dtype_name, ref=ref)
            + (cv("MS:1000574", "zlib compression") if packed else cv("MS:1000576", "no compression"))
            + cv("IMS:1000101", "external data", "true")
        )

    with ibd_path.open("wb") as ibd:
        ibd.write(identity.bytes if ibd_uuid is None else ibd_uuid)
        ibd.seek(ibd_gap, 1)

        def store(values: ArrayLike, dtype: str, packed: bool) -> tuple[int, int, int]:
            array = np.asarray(values).astype(np.dtype(byte_order + dtype))
            data = zlib.compress(array.tobytes()) if packed else array.tobytes()
            at = ibd.tell()
            ibd.write(data)
            return at, array.size, len(data)

        def location(place: tuple[int, int, int]) -> str:
            at, n, size = place
            text = cv("IMS:1000102", "external offset", offset(at))
            if array_length:
                text += cv("IMS:1000103", "external array length", integer(n))
            if encoded_length:
                text += cv("IMS:1000104", "external encoded length", integer(size))
            return text

        rows: list[str] = []
        axis: tuple[int, int, int] | None = None
        for k, spec in enumerate(specs):
            if axis is None or not shared_axis:
                axis = store(spec.mz, mz_dtype, compress is True or compress == "mz")
            places = {
                "mz": axis,
                "intensity": store(spec.intensity, intensity_dtype, compress is True or compress == "intensity"),
            }
            arrays = []
            for kind, place in places.items():
                ref = f'<referenceableParamGroupRef ref="{kind}Array"/>' if params in ("group", "both") else ""
                inline = type_params(kind) if params in ("inline", "both") else ""
                arrays.append(
                    f'<binaryDataArray encodedLength="0">{ref}{inline}{location(place)}<binary/></binaryDataArray>'
                )
            for term, values in spec.extra.items():
                place = store(values, "f4", False)
                arrays.append(
                    f'<binaryDataArray encodedLength="0"><cvParam cvRef="MS" {term} value=""/>'
                    + cv("MS:1000521", "32-bit float")
                    + location(place)
                    + "<binary/></binaryDataArray>"
                )
            position = ""
            for axis_name, accession, value in (
                ("x", "IMS:1000050", spec.x),
                ("y", "IMS:1000051", spec.y),
                ("z", "IMS:1000052", spec.z),
            ):
                if value is not None:
                    text = value if isinstance(value, str) else integer(value)
                    position += newline + cv(accession, f"position {axis_name}", text)
            rows.append(
                f'<spectrum id="spectrum={k + 1}" index="{k}" defaultArrayLength="0"'
                f"{_attributes(spec.attributes)}>{newline}"
                f"{_references(spec.groups)}{spec.params}{newline}"
                f'<scanList count="1"><scan{_attributes(spec.scan_attributes)}>{_references(spec.scan_groups)}'
                f"{spec.scan_params}{position}{newline}</scan></scanList>{newline}"
                f'<binaryDataArrayList count="{len(arrays)}">{newline}{newline.join(arrays)}{newline}'
                f"</binaryDataArrayList>{newline}</spectrum>"
            )
        end = ibd.tell()
    if truncate_ibd is not None or ibd_gap:
        with ibd_path.open("r+b") as ibd:
            ibd.truncate(end if truncate_ibd is None else truncate_ibd)

    if mode == "auto":
        mode = "continuous" if shared_axis else "processed"
    content = cv("MS:1000579", "MS1 spectrum") + content
    content += {"continuous": cv("IMS:1000030", "continuous"), "processed": cv("IMS:1000031", "processed")}.get(
        mode or "", ""
    )
    content += cv(
        "IMS:1000080", "universally unique identifier", uuid if uuid is not None else "{" + str(identity) + "}"
    )
    if checksum is not None:
        term = {"md5": "IMS:1000090", "sha1": "IMS:1000091", "sha256": "IMS:1000092"}[checksum]
        digest = hashlib.new(checksum, ibd_path.read_bytes()).hexdigest() if end < 1 << 24 else "0" * 40
        content += cv(term, f"ibd {checksum}", digest)
    if scan_settings is None:
        settings = max_counts(*max_count) if max_count is not None else ""
        scan_settings = [settings + (pixel_size(*pixel_size_um) if pixel_size_um is not None else "")]
    blocks = "".join(
        f'<scanSettings id="s{number if number > 1 else ""}">{block}</scanSettings>'
        for number, block in enumerate(scan_settings, 1)
    )
    all_groups = {"spectrum": representation(spectrum_type) if spectrum_type else "", **(groups or {})}
    if params in ("group", "both"):
        all_groups.update((f"{kind}Array", type_params(kind)) for kind in kinds)
    group_list = newline.join(
        f'<referenceableParamGroup id="{name}">{text}</referenceableParamGroup>' for name, text in all_groups.items()
    )
    files = "".join(
        f'<sourceFile id="{name}" name="{name}" location="file:///">{text}</sourceFile>'
        for name, text in (source_files or {}).items()
    )
    if files:
        files = f'<sourceFileList count="{len(source_files or {})}">{files}</sourceFileList>'
    configurations = "".join(
        f'<instrumentConfiguration id="{name}">{text}</instrumentConfiguration>'
        for name, text in (instruments or {}).items()
    )
    if configurations:
        configurations = (
            f'<instrumentConfigurationList count="{len(instruments or {})}">{configurations}'
            "</instrumentConfigurationList>"
        )
    runs: list[str] = []
    for name, members in groupby(zip(specs, rows, strict=True), key=lambda pair: pair[0].run):
        texts = [row for _, row in members]
        n = count if count is not None and len(texts) == len(rows) else len(texts)
        attributes = _attributes((run_attributes or {}).get(name, {}))
        runs += [f'<run id="{name}"{attributes}><spectrumList count="{n}">', *texts, "</spectrumList></run>"]
    if not runs:
        runs = [f'<run id="run"><spectrumList count="{count or 0}">', "</spectrumList></run>"]
    xmlns = ' xmlns="http://psi.hupo.org/ms/mzml"' if namespace else ""
    body: Iterable[str] = (
        f'<mzML{xmlns} version="1.1">',
        f"<fileDescription><fileContent>{content}</fileContent>{files}</fileDescription>",
        f"<referenceableParamGroupList>{group_list}</referenceableParamGroupList>",
        f'<scanSettingsList count="{len(scan_settings)}">{blocks}</scanSettingsList>{configurations}{head}',
        *runs[:-1],
        runs[-1] + "</mzML>",
    )
    text = newline.join(body)
    if indexed:
        index = '<index name="spectrum"><offset idRef="spectrum=1">0</offset></index>'
        text = f'<indexedmzML{xmlns}>{text}<indexList count="1">{index}</indexList></indexedmzML>'
    text = (declaration or "") + text + newline
    path.write_bytes((edit(text) if edit else text).encode(encoding))
    return path
