"""What the positions of a file say: grid, planes and regions. The header is read for it, spectra are not."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.dataset import Dataset
from ionmorphnet.io.regions import Region

__all__ = ["LayoutFacts", "layout_facts"]


@dataclass(frozen=True)
class LayoutFacts:
    """Where the spectra of a file lie.

    Attributes:
        width: Columns of the pixel grid.
        height: Rows of the pixel grid.
        n_pixels: Measured pixels of all planes.
        coordinate_step: Units of the written positions per pixel along x, y and z.
        pixel_size_um: Distance of neighbouring pixels in x and y, in micrometres; None if unknown.
        z_planes: Values of z.
        regions: Sections that lie side by side, by z.
        left_out: Measured pixels that are in no region.
        warnings: What is odd about the file, as far as the header and the positions show it.
    """

    width: int
    height: int
    n_pixels: int
    coordinate_step: tuple[int, int, int]
    pixel_size_um: tuple[float, float] | None
    z_planes: list[int]
    regions: dict[int, list[Region]]
    left_out: int
    warnings: list[str]

    def to_dict(self) -> dict[str, object]:
        """Returns all fields as plain Python values, ready for JSON."""
        return asdict(self)


def layout_facts(ds: Dataset) -> LayoutFacts:
    """Describes where the spectra of an open file lie.

    Args:
        ds: The file, with all its planes.
    """
    planes = ds.z_planes
    parts = [ds] if len(planes) == 1 else [ds.plane(z) for z in planes]
    regions = {z: part.regions for z, part in zip(planes, parts, strict=True)}
    n_pixels = sum(_n_pixels(part) for part in parts)
    inside = sum(region.n_pixels for found in regions.values() for region in found)
    return LayoutFacts(
        width=ds.shape[1],
        height=ds.shape[0],
        n_pixels=n_pixels,
        coordinate_step=ds.coordinate_step,
        pixel_size_um=ds.pixel_size_um,
        z_planes=planes,
        regions=regions,
        left_out=n_pixels - inside,
        warnings=ds.warnings,
    )


def _n_pixels(ds: Dataset) -> int:
    try:
        return len(ds._native.pixels)
    except ArgumentError:  # regions too far apart for one image
        return len({(x, y) for x, y in ds.coordinates[:, :2].tolist()})
