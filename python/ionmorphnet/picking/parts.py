"""The parts of a file that are picked one by one, each into a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.literals import Polarity

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
    whole = _planes_of(ds)
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


def _planes_of(ds: Dataset) -> list[Part]:
    """The planes of each polarity."""
    whole: list[Part] = []
    for polarity in _polarities(ds):
        section = ds if polarity is None else ds.reopened(polarity=polarity)
        name = polarity or ""
        planes = section.z_planes
        if len(planes) <= 1:
            whole.append(Part(section, name, name))
        else:
            whole += [Part(section.plane(z), f"{name}_z{z}".lstrip("_"), f"{name} z={z}".lstrip(), z) for z in planes]
    return whole


def _polarities(ds: Dataset) -> list[Polarity | None]:
    """Both polarities if the file holds both and none was chosen; they are separate measurements."""
    if ds.open_options.get("polarity") is not None or not {"positive", "negative"} <= set(ds.polarities):
        return [None]
    return ["positive", "negative"]


def log_warnings_of(parts: list[Part]) -> None:
    """Logs what is odd about the spectra of the parts, once for each polarity."""
    for section in {part.dataset.polarity: part.dataset for part in parts}.values():
        section.log_warnings()


def polarity_note(parts: list[Part]) -> list[str]:
    """One line if the parts are those of both polarities."""
    counts = {part.dataset.polarity: 0 for part in parts if part.dataset.open_options.get("polarity") is not None}
    if len(counts) < 2:
        return []
    all_counts = parts[0].dataset.polarities
    listed = " and ".join(f"{name} ({all_counts[name]:,})" for name in all_counts if name != "unknown")
    return [
        f"the file holds spectra of both polarities, {listed}; each is picked on its own, choose one with --polarity "
        "(Python: polarity=)"
    ]
