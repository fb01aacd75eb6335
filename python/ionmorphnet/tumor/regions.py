"""Region masks: which pixels of a section belong to which class, from arrays, pictures or polygons."""

from __future__ import annotations

import logging
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import read_json

logger = logging.getLogger("ionmorphnet")

UNLABELLED = -1

_PICTURES = (".png", ".tif", ".tiff")
_POLYGONS = (".geojson", ".json")
# How QuPath and others name the class of a polygon, first found.
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
        path: NPY; NPZ (array ``regions``, or its only one); PNG or TIFF of one channel (palette pictures: the palette's
            index); GeoJSON with Polygon and MultiPolygon features whose class is ``properties.classification.name``
            (QuPath) or ``properties.label``, ``class`` or ``name``.
        shape: (H, W) of the section.
        scale: GeoJSON: length of a pixel of the section in the polygons' units. Coordinates are (x, y) from the upper
            left corner of pixel (0, 0); a pixel belongs to a polygon that holds its centre, to the last one of several.

    Raises:
        FileError: Not readable, not whole numbers from 0, of another size than the section, or a polygon that lies
            wholly outside.
        ArgumentError: ``scale`` is not positive.
    """
    suffix = path.suffix.lower()
    if suffix in _POLYGONS:
        return _polygons(path, shape, scale)
    if suffix in (".npy", ".npz"):
        array = _array(path)
    elif suffix in _PICTURES:
        array = _picture(path)
    else:
        raise FileError(f"{path}: regions are read from npy, npz, png, tif or geojson files")
    if array.shape != shape:
        raise FileError(f"{path}: the mask has shape {array.shape}, the section {shape}")
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise FileError(f"{path}: the mask holds NaN; pixels without a label must be 0")
    if array.dtype.kind not in "iufb" or not np.array_equal(array, np.floor(array)) or array.min(initial=0) < 0:
        raise FileError(f"{path}: a mask holds whole numbers from 0 (0 = no label)")
    if array.max(initial=0) > np.iinfo(np.int32).max:
        raise FileError(f"{path}: the mask holds numbers beyond 2^31")
    ids = array.astype(np.int32)
    return Regions(ids, {int(value): str(int(value)) for value in np.unique(ids) if value})


def as_labels(regions: Regions, label_map: Mapping[str, str] | None, classes: tuple[str, ...]) -> npt.NDArray[np.int16]:
    """Class of each pixel, int16 (H, W): position in ``classes``; ``UNLABELLED`` for all others.

    Args:
        regions: What was annotated.
        label_map: Class of each region name; regions that it does not name stay unlabelled. None: names are classes.
        classes: All classes in order.
    """
    labels = np.full(regions.ids.shape, UNLABELLED, np.int16)
    for value, name in regions.names.items():
        target = name if label_map is None else label_map.get(name)
        if target is not None:
            labels[regions.ids == value] = classes.index(target)
    return labels


def parse_label_map(text: str) -> dict[str, str]:
    """Reads ``1=normal,2=tumor``, or the JSON file of that name, ``{"1": "normal", "2": "tumor"}``.

    Raises:
        ArgumentError: Neither.
        FileError: The file is no such JSON.
    """
    if "=" not in text:
        found = read_json(Path(text))
        if not isinstance(found, dict) or not found or not all(isinstance(v, str) and v for v in found.values()):
            raise FileError(f"{text}: a label map is a JSON object of region names and class names")
        return found
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    found = {key.strip(): value.strip() for key, _, value in pairs}
    if len(found) != len(pairs) or not all(key and value for key, value in found.items()):
        raise ArgumentError(f"'{text}' is no label map; write for example 1=normal,2=tumor")
    return found


def _array(path: Path) -> npt.NDArray[Any]:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            names = loaded.files
            if "regions" not in names and len(names) != 1:
                raise FileError(f"{path}: holds {', '.join(names) or 'nothing'}; 'regions' or one array is expected")
            found: npt.NDArray[Any] = loaded["regions" if "regions" in names else names[0]]
            return found
    except FileError:  # an OSError too, and says more
        raise
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not a readable NPZ or NPY file'}") from None


def _picture(path: Path) -> npt.NDArray[Any]:
    try:
        with Image.open(path) as picture:
            array = np.asarray(picture)
            bands = picture.getbands()
    except (OSError, SyntaxError) as error:
        raise FileError(f"{path}: {getattr(error, 'strerror', None) or 'not a readable picture'}") from None
    if array.ndim != 2:
        raise FileError(f"{path}: a mask has one channel, this picture has {len(bands)} ({', '.join(bands)})")
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
            raise FileError(f"{where} has no class (properties.classification.name, label, class or name)")
        geometry = feature.get("geometry") or {}
        kind, coordinates = geometry.get("type"), geometry.get("coordinates")
        if kind not in ("Polygon", "MultiPolygon"):
            raise FileError(f"{where} is a {kind}; regions are polygons")
        value = numbers.setdefault(name, len(numbers) + 1)
        if not isinstance(coordinates, list):
            raise FileError(f"{where} has no coordinates")
        polygons: list[Any] = [coordinates] if kind == "Polygon" else coordinates
        for rings in polygons:
            try:
                points = [np.asarray(ring, np.float64)[:, :2] / scale for ring in rings]
            except (TypeError, ValueError, IndexError):
                raise FileError(f"{where}: its coordinates are no polygon") from None
            if any(len(ring) < 3 or not np.isfinite(ring).all() for ring in points):
                raise FileError(f"{where}: a ring needs three points that are numbers")
            held = inside(points, shape)
            if not held.any():
                _tell_empty(where, points[0], shape)
            ids[held] = value
    return Regions(ids, {value: name for name, value in numbers.items() if (ids == value).any()})


def _tell_empty(where: str, outline: npt.NDArray[np.float64], shape: tuple[int, int]) -> None:
    """Refuses a polygon outside the section: a wrong scale would leave the section without labels. Else logs it."""
    low, high = outline.min(axis=0), outline.max(axis=0)
    if (high <= 0).any() or (low >= shape[::-1]).any():
        raise FileError(
            f"{where} lies outside the section: x {low[0]:g} to {high[0]:g}, y {low[1]:g} to {high[1]:g} pixels on a "
            f"grid of {shape[1]} x {shape[0]}; is the scale right?"
        )
    logger.warning("%s holds the centre of no pixel", where)


def _features(path: Path) -> Iterator[dict[str, Any]]:
    found = read_json(path)
    if isinstance(found, dict):
        found = found.get("features", [found])
    if not isinstance(found, list) or not all(isinstance(feature, dict) for feature in found):
        raise FileError(f"{path}: is no GeoJSON of features")
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
    """Pixels whose centre lies in a polygon with holes (even-odd rule).

    Args:
        rings: Outline and holes, float64 (n, 2) each: x, y in pixels, corner of pixel (0, 0) at (0, 0).
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
