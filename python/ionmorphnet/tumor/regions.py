"""Annotated regions of sections, read from arrays, images or polygons."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import read_json
from ionmorphnet.evaluate.class_masks import read_mask, require_shape

logger = logging.getLogger("ionmorphnet")

UNLABELLED = -1

_PICTURES = (".png", ".tif", ".tiff")
_POLYGONS = (".geojson", ".json")
# Names of the class property in QuPath and other programs; the first that is found counts.
_NAME_KEYS = ("classification", "label", "class", "name")


@dataclass(frozen=True, eq=False)
class Regions:
    """Annotated regions of a section.

    Attributes:
        ids: int32 (H, W), 0 = not annotated.
        names: Name of each id: the number as text for masks, the class of the polygons for GeoJSON.
    """

    ids: npt.NDArray[np.int32]
    names: dict[int, str]


def read_regions(path: Path, shape: tuple[int, int], *, scale: float = 1.0) -> Regions:
    """Reads the regions of a section.

    Args:
        path: NPY; NPZ with an array ``regions`` or a single array; PNG or TIFF with one channel (for palette images the
            palette index); or GeoJSON with Polygon and MultiPolygon features whose class is
            ``properties.classification.name`` (QuPath), ``properties.label``, ``class`` or ``name``.
        shape: (H, W) of the section.
        scale: Side of a pixel of the section in the units of the polygons (GeoJSON only). Coordinates are (x, y) from
            the upper left corner of pixel (0, 0). A pixel belongs to the last polygon that contains its centre.

    Raises:
        FileError: The file cannot be read, has values other than whole numbers from 0 or another shape than the
            section, or a polygon lies entirely outside the section.
        ArgumentError: ``scale`` is not positive.
    """
    suffix = path.suffix.lower()
    if suffix in _POLYGONS:
        return _polygons(path, shape, scale)
    if suffix in (".npy", ".npz"):
        array = read_mask(path, shape)
    elif suffix in _PICTURES:
        array = _picture(path)
        require_shape(path, array, shape)
    else:
        raise FileError(f"{path}: unknown region format; use npy, npz, png, tif or geojson")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise FileError(f"{path}: the mask contains NaN; use 0 for pixels without a label")
    if not np.array_equal(array, np.floor(array)) or array.min(initial=0) < 0:
        raise FileError(f"{path}: a mask must hold whole numbers from 0, where 0 = no label")
    if array.max(initial=0) > np.iinfo(np.int32).max:
        raise FileError(f"{path}: mask values must be below 2^31")
    ids = array.astype(np.int32)
    return Regions(ids, {int(value): str(int(value)) for value in np.unique(ids) if value})


def as_labels(regions: Regions, label_map: Mapping[str, str] | None, classes: tuple[str, ...]) -> npt.NDArray[np.int16]:
    """Class of each pixel, int16 (H, W), as a position in ``classes``; -1 = no label.

    Args:
        regions: The annotated regions.
        label_map: Class of each region name; other regions stay unlabelled. None: region names are classes.
        classes: All classes in order.
    """
    labels = np.full(regions.ids.shape, UNLABELLED, np.int16)
    for value, name in regions.names.items():
        target = name if label_map is None else label_map.get(name)
        if target is not None:
            labels[regions.ids == value] = classes.index(target)
    return labels


def parse_label_map(text: str) -> dict[str, str]:
    """Reads a label map, the class of each region name.

    Args:
        text: The map itself, such as ``1=normal,2=tumor``, or the path of a JSON file, such as
            ``{"1": "normal", "2": "tumor"}``.

    Raises:
        ArgumentError: The text is not a label map.
        FileError: The file cannot be read or is not a label map.
    """
    if "=" not in text:
        found = read_json(Path(text))
        if not isinstance(found, dict) or not found or not all(isinstance(v, str) and v for v in found.values()):
            raise FileError(f'{text}: not a label map; write a JSON object such as {{"1": "normal", "2": "tumor"}}')
        return found
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if len(found) != len(pairs) or not all(key and value for key, value in found.items()):
        raise ArgumentError(f"'{text}' is not a label map; write for example 1=normal,2=tumor")
    return found


def _picture(path: Path) -> npt.NDArray[Any]:
    try:
        with Image.open(path) as picture:
            array = np.asarray(picture)
            bands = picture.getbands()
    except (OSError, SyntaxError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not a readable image'}") from None
    if array.ndim != 2:
        raise FileError(f"{path}: a mask must have one channel, but this image has {len(bands)} ({', '.join(bands)})")
    return array


def _polygons(path: Path, shape: tuple[int, int], scale: float) -> Regions:
    if not (np.isfinite(scale) and scale > 0):
        raise ArgumentError(f"{path}: scale must be positive, not {scale}")
    ids = np.zeros(shape, np.int32)
    numbers: dict[str, int] = {}
    for position, feature in enumerate(_features(path)):
        where = f"{path}: feature {position}"
        name = _class_name(feature.get("properties") or {})
        if name is None:
            raise FileError(f"{where} has no class; add properties.classification.name, label, class or name")
        geometry = feature.get("geometry") or {}
        kind, coordinates = geometry.get("type"), geometry.get("coordinates")
        if kind not in ("Polygon", "MultiPolygon"):
            raise FileError(f"{where} is a {kind}; regions must be Polygon or MultiPolygon")
        value = numbers.setdefault(name, len(numbers) + 1)
        if not isinstance(coordinates, list):
            raise FileError(f"{where} has no coordinates")
        polygons: list[Any] = [coordinates] if kind == "Polygon" else coordinates
        for rings in polygons:
            try:
                points = [np.asarray(ring, np.float64)[:, :2] / scale for ring in rings]
            except (TypeError, ValueError, IndexError):
                raise FileError(f"{where}: the coordinates do not form a polygon") from None
            if any(len(ring) < 3 or not np.isfinite(ring).all() for ring in points):
                raise FileError(f"{where}: a ring needs at least three points with finite coordinates")
            contained = inside(points, shape)
            if not contained.any():
                _check_empty(where, points[0], shape)
            ids[contained] = value
    return Regions(ids, {value: name for name, value in numbers.items() if (ids == value).any()})


def _check_empty(where: str, outline: npt.NDArray[np.float64], shape: tuple[int, int]) -> None:
    """Refuses a polygon without pixels if it lies outside the section, a sign of a wrong scale; otherwise logs it."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    if (high <= 0).any() or (low >= shape[::-1]).any():
        raise FileError(
            f"{where} lies outside the section: x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g} pixels on a "
            f"grid of {shape[1]} x {shape[0]}; check the scale"
        )
    logger.warning("%s contains no pixel centre", where)


def _features(path: Path) -> Iterator[dict[str, Any]]:
    found = read_json(path)
    if isinstance(found, dict):
        found = found.get("features", [found])
    if not isinstance(found, list) or not all(isinstance(feature, dict) for feature in found):
        raise FileError(f"{path}: not GeoJSON with features")
    yield from found


def _class_name(properties: Mapping[str, Any]) -> str | None:
    for key in _NAME_KEYS:
        value = properties.get(key)
        if isinstance(value, Mapping):
            value = value.get("name")
        if isinstance(value, str | int) and str(value):
            return str(value)
    return None


def inside(rings: list[npt.NDArray[np.float64]], shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Pixels whose centre lies inside a polygon with holes, by the even-odd rule.

    Args:
        rings: Outline and holes, float64 (n, 2) each: x, y in pixels from the upper left corner of pixel (0, 0).
        shape: (H, W).

    Returns:
        bool (H, W).
    """
    crossed = np.zeros(shape, np.int64)
    columns = np.arange(shape[1]) + 0.5
    rows = np.arange(shape[0]) + 0.5
    for ring in rings:
        for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            spans = (y0 <= rows) != (y1 <= rows)
            if spans.any():
                at = x0 + (rows[spans] - y0) * (x1 - x0) / (y1 - y0)
                crossed[spans] += at[:, None] > columns
    odd: npt.NDArray[np.bool_] = crossed % 2 == 1
    return odd
