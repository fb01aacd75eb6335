"""Cohorts: sections of several patients with annotated regions, listed in a CSV file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Unpack

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.csv_rows import parse_number, read_rows
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.io.open_options import OpenOptions, checked_open_options
from ionmorphnet.tumor.regions import UNLABELLED, Regions, as_labels, read_regions

_NEEDED = ("file", "regions", "patient")
_OPTIONAL = ("name", "scale")


@dataclass(frozen=True)
class SectionFile:
    """One section on disk.

    Attributes:
        name: Unique name in the cohort.
        path: The imzML file.
        regions: Region file, see :func:`~ionmorphnet.tumor.regions.read_regions`.
        patient: Patient of the section. Sections of one patient are never split between training and test.
        scale: Side of a pixel in the units of the polygons (GeoJSON only).
        opened: How the file is opened: options of :func:`ionmorphnet.open`.
    """

    name: str
    path: Path
    regions: Path
    patient: str
    scale: float = 1.0
    opened: OpenOptions = field(default_factory=OpenOptions, hash=False)


@dataclass(frozen=True)
class Cohort:
    """Sections with their classes.

    Attributes:
        sections: Sections in the order of the list.
        classes: Class names; a label is a position in this tuple.
        label_map: Class of each region name; None: the region names are the classes.
    """

    sections: tuple[SectionFile, ...]
    classes: tuple[str, ...]
    label_map: Mapping[str, str] | None = None

    def __len__(self) -> int:
        """Number of sections."""
        return len(self.sections)

    def __repr__(self) -> str:
        """Counts and classes."""
        patients = len({section.patient for section in self.sections})
        return f"Cohort({len(self)} sections of {patients} patients, classes {', '.join(self.classes)})"

    def labels(self, section: SectionFile, shape: tuple[int, int]) -> npt.NDArray[np.int16]:
        """Class of each pixel of a section, int16 (H, W), -1 = no label.

        Args:
            section: A section of the cohort.
            shape: (H, W) of the section.

        Raises:
            FileError: The regions cannot be read or do not fit the section.
        """
        return as_labels(read_regions(section.regions, shape, scale=section.scale), self.label_map, self.classes)


@dataclass(frozen=True, eq=False)
class Survey:
    """Facts about a section that need no intensities.

    Attributes:
        measured: bool (H, W).
        labels: int16 (H, W), -1 = no label; labelled pixels are measured.
        span: Smallest and largest m/z.
        identity: UUID and size of the data, which identify copies; empty if the file has no UUID.
    """

    measured: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int16]
    span: tuple[float, float]
    identity: str


def survey(cohort: Cohort) -> list[Survey]:
    """Reads masks and headers of all sections, to find unusable files before any long computation.

    Raises:
        FileError: A section or its regions cannot be used, or no pixel of the cohort has a label.
    """
    found = []
    for section in cohort.sections:
        with open_section(section) as ds:
            measured = ds.mask
            labels = np.where(measured, cohort.labels(section, ds.shape), np.int16(UNLABELLED))
            uuid = ds.declared.get("uuid", "").strip("{}").replace("-", "").lower()
            identity = f"{uuid}-{os.path.getsize(ds.ibd_path)}" if uuid.strip("0") else ""
            found.append(Survey(measured, labels, ds.mz_range, identity))
    if not any((each.labels != UNLABELLED).any() for each in found):
        regions = cohort.sections[0].regions
        classes = ", ".join(cohort.classes)
        raise FileError(f"{regions}: no measured pixel of any section has a label; check the label map ({classes})")
    return found


def read_cohort(path: PathLike, *, labels: Mapping[str, str] | None = None, **opened: Unpack[OpenOptions]) -> Cohort:
    """Reads a cohort list.

    Args:
        path: CSV with the columns ``file`` (imzML), ``regions`` (mask or GeoJSON) and ``patient``, and optionally
            ``name`` (default: the file's stem) and ``scale`` (GeoJSON). Paths are relative to the list.
        labels: Class of each region name (for masks the number as text). Several regions may share a class; regions
            not listed stay unlabelled. None: every region name is a class.
        **opened: How every section is opened: options of :func:`ionmorphnet.open`.

    Returns:
        The cohort. Classes are in the order of ``labels``, or sorted by name (numbers by value).

    Raises:
        FileError: The list or a region file cannot be read, or a listed file does not exist.
        ArgumentError: There are fewer than two classes.
    """
    path = Path(path)
    rows = read_rows(path)
    if not rows:
        raise FileError(f"{path}: lists no sections")
    header = [cell.lower() for cell in rows[0][1]]
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise FileError(
            f"{path}: column '{missing[0]}' is missing; required are {', '.join(_NEEDED)}, found {', '.join(header)}"
        )
    checked_open_options(opened, function="read_cohort", paths=rows[1:])
    sections = [_section(path, line, dict(zip(header, cells, strict=False)), opened) for line, cells in rows[1:]]
    return make_cohort(sections, labels=labels, source=str(path))


def make_cohort(
    sections: Iterable[SectionFile], *, labels: Mapping[str, str] | None = None, source: str = "cohort"
) -> Cohort:
    """Makes a cohort of sections; see :func:`read_cohort`.

    Args:
        sections: The sections.
        labels: Class of each region name; None: every region name is a class.
        source: Name of the cohort in error messages.

    Raises:
        FileError: There is no section, two have the same name, or a region file cannot be read.
        ArgumentError: There are fewer than two classes.
    """
    listed = tuple(sections)
    if not listed:
        raise FileError(f"{source}: lists no sections")
    names = [section.name for section in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileError(f"{source}: two sections are named '{twice[0]}'; give them different names (column 'name')")
    if labels is not None:
        classes = tuple(dict.fromkeys(labels.values()))
    else:
        found = {name for section in listed for name in _region_names(section)}
        classes = tuple(sorted(found, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)))
    if len(classes) < 2:
        raise ArgumentError(f"{source}: a classifier needs at least two classes, found {', '.join(classes) or 'none'}")
    return Cohort(listed, classes, None if labels is None else dict(labels))


def open_section(section: SectionFile) -> Dataset:
    """Opens a section, which must have a single z plane.

    Raises:
        FileError: The file cannot be read, or has several planes.
    """
    ds = open_dataset(section.path, **section.opened)
    try:
        ds.require_one_plane("give each section as a file with one plane", error=FileError)
    except FileError:
        ds.close()
        raise
    return ds


def class_counts(labels: npt.NDArray[np.int16], n_classes: int) -> npt.NDArray[np.int64]:
    """Number of labelled pixels of each class, int64 (n_classes,)."""
    return np.bincount(labels[labels != UNLABELLED].astype(np.int64), minlength=n_classes)


def _region_names(section: SectionFile) -> list[str]:
    with open_section(section) as ds:
        regions: Regions = read_regions(section.regions, ds.shape, scale=section.scale)
    return list(regions.names.values())


def _section(list_path: Path, line: int, cells: dict[str, str], opened: OpenOptions) -> SectionFile:
    for name in _NEEDED:
        if not cells.get(name):
            raise FileError(f"{list_path}: line {line}: '{name}' is empty")
    paths = [list_path.parent / cells[name] for name in ("file", "regions")]
    for path in paths:
        if not path.is_file():
            raise FileError(f"{list_path}: line {line}: file not found: {path}")
    try:
        scale = parse_number(cells.get("scale") or "1")
    except ValueError:
        raise FileError(f"{list_path}: line {line}: scale '{cells['scale']}' is not a number") from None
    if not (np.isfinite(scale) and scale > 0):
        raise FileError(f"{list_path}: line {line}: scale must be positive, not {cells['scale']}")
    return SectionFile(cells.get("name") or paths[0].stem, paths[0], paths[1], cells["patient"], scale, opened)
