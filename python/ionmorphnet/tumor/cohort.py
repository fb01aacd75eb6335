"""A cohort: sections of several patients with annotated regions, listed in a CSV file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ionmorphnet.base.csv_rows import parse_number, read_rows
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.dataset import Dataset, open_dataset
from ionmorphnet.tumor.regions import UNLABELLED, Regions, as_labels, read_regions

_NEEDED = ("file", "regions", "patient")
_OPTIONAL = ("name", "scale")


@dataclass(frozen=True)
class SectionFile:
    """One section on disk.

    Attributes:
        name: Unique in the cohort.
        path: The imzML file.
        regions: Its region mask, see :func:`~ionmorphnet.tumor.regions.read_regions`.
        patient: Whose section it is; sections of one patient are never split between training and test.
        scale: GeoJSON only: length of a pixel in the polygons' units.
    """

    name: str
    path: Path
    regions: Path
    patient: str
    scale: float = 1.0


@dataclass(frozen=True)
class Cohort:
    """Sections with their classes.

    Attributes:
        sections: In the order of the list.
        classes: Class names; labels are positions in it.
        label_map: Class of each region name; None: region names are classes.
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
        """Class of each pixel, int16 (H, W), -1 = no label.

        Raises:
            FileError: The regions cannot be read or do not fit the section.
        """
        return as_labels(read_regions(section.regions, shape, scale=section.scale), self.label_map, self.classes)


@dataclass(frozen=True, eq=False)
class Survey:
    """What is known of a section before its intensities are read.

    Attributes:
        measured: bool (H, W).
        labels: int16 (H, W), -1 = no label; labelled pixels are measured.
        span: Smallest and largest m/z.
        identity: UUID and size of its data, by which a copy is known; empty where the file has no UUID.
    """

    measured: npt.NDArray[np.bool_]
    labels: npt.NDArray[np.int16]
    span: tuple[float, float]
    identity: str


def survey(cohort: Cohort) -> list[Survey]:
    """Reads the masks and heads of all sections, so that what cannot be used is known early.

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
        raise FileError(f"{regions}: no measured pixel of any section has a label (classes: {cohort.classes})")
    return found


def read_cohort(path: PathLike, *, labels: Mapping[str, str] | None = None) -> Cohort:
    """Reads a cohort list.

    Args:
        path: CSV with the columns ``file`` (imzML), ``regions`` (mask or GeoJSON) and ``patient``; optional ``name``
            (default: the file's stem) and ``scale`` (GeoJSON). Paths are relative to the list.
        labels: Class of each region name (numbers of a mask as text); regions that it does not name stay unlabelled,
            several may be one class. None: every region is a class of its own name.

    Returns:
        The cohort. Classes are in the order of ``labels``, or in the order of their names (numbers by value).

    Raises:
        FileError: The list or a region file cannot be read, or a section or its regions do not exist.
        ArgumentError: Fewer than two classes.
    """
    path = Path(path)
    rows = read_rows(path)
    if not rows:
        raise FileError(f"{path}: holds no section")
    header = [cell.lower() for cell in rows[0][1]]
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        raise FileError(f"{path}: no column '{missing[0]}' among {', '.join(header)} (needed: {', '.join(_NEEDED)})")
    sections = [_section(path, line, dict(zip(header, cells, strict=False))) for line, cells in rows[1:]]
    return make_cohort(sections, labels=labels, source=str(path))


def make_cohort(
    sections: Iterable[SectionFile], *, labels: Mapping[str, str] | None = None, source: str = "cohort"
) -> Cohort:
    """A cohort of given sections; see :func:`read_cohort`.

    Args:
        sections: The sections.
        labels: Class of each region name, or None.
        source: What errors name.

    Raises:
        FileError: No section, two of one name, or region files that cannot be read.
        ArgumentError: Fewer than two classes.
    """
    listed = tuple(sections)
    if not listed:
        raise FileError(f"{source}: holds no section")
    names = [section.name for section in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise FileError(f"{source}: two sections are named '{twice[0]}'; give them names of their own (column 'name')")
    if labels is not None:
        classes = tuple(dict.fromkeys(labels.values()))
    else:
        found = {name for section in listed for name in _region_names(section)}
        classes = tuple(sorted(found, key=lambda name: (not name.isdigit(), int(name) if name.isdigit() else 0, name)))
    if len(classes) < 2:
        raise ArgumentError(f"{source}: a classifier needs two classes at least, found {', '.join(classes) or 'none'}")
    return Cohort(listed, classes, None if labels is None else dict(labels))


def open_section(section: SectionFile) -> Dataset:
    """Opens a section that must have one z plane.

    Raises:
        FileError: It cannot be read, or holds several planes.
    """
    ds = open_dataset(section.path)
    planes = len(ds.z_planes)
    if planes > 1:
        ds.close()
        raise FileError(f"{section.path}: holds {planes} z planes; a cohort takes sections of one plane")
    return ds


def labelled_shares(labels: npt.NDArray[np.int16], n_classes: int) -> npt.NDArray[np.int64]:
    """Number of pixels of each class, int64 (n_classes,)."""
    return np.bincount(labels[labels != UNLABELLED].astype(np.int64), minlength=n_classes)


def _region_names(section: SectionFile) -> list[str]:
    with open_section(section) as ds:
        regions: Regions = read_regions(section.regions, ds.shape, scale=section.scale)
    return list(regions.names.values())


def _section(list_path: Path, line: int, cells: dict[str, str]) -> SectionFile:
    for name in _NEEDED:
        if not cells.get(name):
            raise FileError(f"{list_path}: line {line}: '{name}' is empty")
    paths = [list_path.parent / cells[name] for name in ("file", "regions")]
    for path in paths:
        if not path.is_file():
            raise FileError(f"{list_path}: line {line}: no such file: {path}")
    try:
        scale = parse_number(cells.get("scale") or "1")
    except ValueError:
        raise FileError(f"{list_path}: line {line}: scale '{cells['scale']}' is no number") from None
    if not (np.isfinite(scale) and scale > 0):
        raise FileError(f"{list_path}: line {line}: scale must be positive, not {cells['scale']}")
    return SectionFile(cells.get("name") or paths[0].stem, paths[0], paths[1], cells["patient"], scale)
