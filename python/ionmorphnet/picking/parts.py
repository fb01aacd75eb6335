"""The parts of a file that are picked one by one, each into a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.dataset import Dataset

RegionChoice = Literal["together", "each"] | int
"""``"together"``: regions of a slide are one section; ``"each"``: each is one; a number: only that region."""


@dataclass(frozen=True)
class Part:
    """A part of a file.

    Attributes:
        dataset: The part as a section.
        label: The end of its folder's name; empty for a file that is picked as a whole.
        title: The same for messages, such as ``z=2``.
        z: The plane of a file with several; None otherwise.
        region: The region that it is; None if regions are not told apart.
    """

    dataset: Dataset
    label: str = ""
    title: str = ""
    z: int | None = None
    region: int | None = None

    def folder_of(self, name: str) -> str:
        """The name of its result, from that of the file."""
        return f"{name}_{self.label}" if self.label else name


def checked_regions(regions: object) -> RegionChoice:
    """A choice of regions.

    Raises:
        ArgumentError: Neither ``"together"`` nor ``"each"`` nor a number from 1.
    """
    if regions in ("together", "each"):
        return "together" if regions == "together" else "each"
    if isinstance(regions, int) and not isinstance(regions, bool) and regions >= 1:
        return regions
    raise ArgumentError(f"regions must be 'together', 'each' or the number of a region, not {regions!r}")


def parts_of(ds: Dataset, regions: RegionChoice = "together") -> list[Part]:
    """The parts of an open file, in the order in which they are picked.

    Args:
        ds: The file.
        regions: How sections that lie side by side are picked.

    Raises:
        ArgumentError: No plane has the region.
    """
    planes = ds.z_planes
    if len(planes) <= 1:
        whole = [Part(ds)]
    else:
        whole = [Part(ds.plane(z), f"z{z}", f"z={z}", z) for z in planes]
    if regions == "together":
        return whole
    parts = [
        Part(
            part.dataset.region(region.number),
            f"{part.label}_region{region.number}".lstrip("_"),
            f"{part.title} region {region.number}".lstrip(),
            part.z,
            region.number,
        )
        for part in whole
        for region in part.dataset.regions
        if regions in ("each", region.number)
    ]
    if not parts:
        most = max(len(part.dataset.regions) for part in whole)
        raise ArgumentError(
            f"{ds.path}: has no region {regions}; it has {most}, numbered from 1 (see ionmorphnet info)"
        )
    return parts
