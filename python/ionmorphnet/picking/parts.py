"""The parts of a file that are picked one by one, each into a folder of its own."""

from __future__ import annotations

from dataclasses import dataclass

from ionmorphnet.io.dataset import Dataset


@dataclass(frozen=True)
class Part:
    """A part of a file.

    Attributes:
        dataset: The part as a section.
        label: The end of its folder's name; empty for a file that is picked as a whole.
        title: The same for messages, such as ``z=2``.
        z: The plane of a file with several; None otherwise.
    """

    dataset: Dataset
    label: str = ""
    title: str = ""
    z: int | None = None

    def folder_of(self, name: str) -> str:
        """The name of its result, from that of the file."""
        return f"{name}_{self.label}" if self.label else name


def parts_of(ds: Dataset) -> list[Part]:
    """The parts of an open file, in the order in which they are picked."""
    planes = ds.z_planes
    if len(planes) <= 1:
        return [Part(ds)]
    return [Part(ds.plane(z), f"z{z}", f"z={z}", z) for z in planes]
