from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.tumor.regions import UNLABELLED, Regions, as_labels, inside, parse_label_map, read_regions

MASK = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)


@pytest.mark.parametrize("name", ["m.npy", "m.npz", "m.png", "m.tif", "named.npz"])
def test_arrays_and_pictures(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "m.npy":
        np.save(path, MASK.astype(np.float64))
    elif name == "m.npz":
        np.savez(path, whatever=MASK)
    elif name == "named.npz":
        np.savez(path, tissue=MASK, regions=MASK)
    else:
        Image.fromarray(MASK).save(path)
    found = read_regions(path, (2, 3))
    np.testing.assert_array_equal(found.ids, MASK)
    assert found.names == {1: "1", 2: "2"}


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (MASK.T, r"the mask has shape \(3, 2\), but the section \(2, 3\)"),
        (MASK - 1.5, "whole numbers from 0"),
        (-MASK.astype(int), "whole numbers from 0"),
        (np.where(MASK, MASK, np.nan), "contains NaN"),
    ],
)
def test_invalid_masks(tmp_path: Path, array: np.ndarray, message: str) -> None:
    np.save(tmp_path / "m.npy", array)
    with pytest.raises(FileError, match=rf"m\.npy: .*{message}"):
        read_regions(tmp_path / "m.npy", (2, 3))


def test_invalid_mask_files(tmp_path: Path) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "rgb.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "broken.npy").write_bytes(b"")
    (tmp_path / "x.txt").write_text("1")
    for name, message in {
        "rgb.png": "one channel, but this image has 3",
        "broken.png": "not a readable image",
        "broken.npy": "not a readable NPZ or NPY",
        "x.txt": "npy, npz, png, tif or geojson",
        "gone.npy": "No such file",
    }.items():
        with pytest.raises(FileError, match=message):
            read_regions(tmp_path / name, (2, 3))


def _feature(coordinates: list, name: object = "tumor", kind: str = "Polygon", key: str = "classification") -> dict:
    value = {"name": name} if key == "classification" else name
    return {"type": "Feature", "properties": {key: value}, "geometry": {"type": kind, "coordinates": coordinates}}


SQUARE = [[0, 0], [4, 0], [4, 4], [0, 4], [0, 0]]
HOLE = [[1, 1], [3, 1], [3, 3], [1, 3], [1, 1]]


def test_polygons(tmp_path: Path) -> None:
    path = tmp_path / "r.geojson"
    far = [[5, 0], [6, 0], [6, 2], [5, 2]]
    features = [
        _feature([SQUARE, HOLE]),
        _feature([[far], [[[5, 3], [6, 3], [6, 4], [5, 4]]]], "stroma", "MultiPolygon"),
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    found = read_regions(path, (5, 7))
    expected = np.zeros((5, 7), int)
    expected[:4, :4] = 1
    expected[1:3, 1:3] = 0
    expected[[0, 1, 3], 5] = 2
    np.testing.assert_array_equal(found.ids, expected)
    assert found.names == {1: "tumor", 2: "stroma"}
    # Half a unit a pixel: every pixel becomes four.
    assert read_regions(path, (10, 14), scale=0.5).ids.sum() == 4 * expected.sum()


def test_a_pixel_belongs_to_the_polygon_of_its_centre() -> None:
    ring = np.array([[0.4, 0.4], [2.6, 0.4], [2.6, 1.6], [0.4, 1.6]])
    np.testing.assert_array_equal(inside([ring], (2, 3)), np.ones((2, 3), bool))
    np.testing.assert_array_equal(inside([ring + 0.2], (2, 3)), [[False] * 3, [False, True, True]])
    triangle = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    y, x = np.mgrid[:10, :10] + 0.5
    expected = x + y < 10
    found = inside([triangle], (10, 10))
    assert (found == expected)[x + y != 10].all()


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        (_feature([SQUARE], key="colour"), "feature 0 has no class"),
        (_feature([1, 2], kind="Point"), "is a Point; regions must be Polygon or MultiPolygon"),
        (_feature([[[0, 0], [1, 1]]]), "three points"),
        (_feature([["a", "b", "c"]]), "the coordinates do not form a polygon"),
        ({"properties": {"label": "x"}, "geometry": {"type": "Polygon"}}, "no coordinates"),
    ],
)
def test_invalid_polygons(tmp_path: Path, feature: dict, message: str) -> None:
    path = tmp_path / "r.geojson"
    path.write_text(json.dumps([feature]))
    with pytest.raises(FileError, match=message):
        read_regions(path, (5, 7))


def test_polygons_without_pixels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "r.geojson"
    micrometres = [[x * 50, y * 50] for x, y in SQUARE]
    far = [[x + 2000, y] for x, y in micrometres]
    path.write_text(json.dumps([_feature([SQUARE]), _feature([far])]))
    with pytest.raises(FileError, match=r"feature 1 lies outside the section: x 2000 to 2200.*; check the scale"):
        read_regions(path, (5, 7))
    path.write_text(json.dumps([_feature([SQUARE]), _feature([[[4.6, 4.6], [4.9, 4.6], [4.9, 4.9]]])]))
    assert (read_regions(path, (5, 7)).ids > 0).sum() == 16
    assert "feature 1 contains no pixel centre" in caplog.text


def test_label_maps(tmp_path: Path) -> None:
    assert parse_label_map(" 1=normal, 2 = tumor,3=normal") == {"1": "normal", "2": "tumor", "3": "normal"}
    (tmp_path / "l.json").write_text('{"1": "a"}')
    assert parse_label_map(str(tmp_path / "l.json")) == {"1": "a"}
    for text in ("1=", "=a", "1=a,1=b"):
        with pytest.raises(ArgumentError, match="is not a label map"):
            parse_label_map(text)
    (tmp_path / "l.json").write_text("[1]")
    with pytest.raises(FileError, match="JSON object"):
        parse_label_map(str(tmp_path / "l.json"))
    regions = Regions(MASK.astype(np.int32), {1: "1", 2: "2"})
    none = UNLABELLED
    np.testing.assert_array_equal(as_labels(regions, {"2": "b"}, ("a", "b")), [[none] * 3, [1, 1, none]])
    np.testing.assert_array_equal(as_labels(regions, None, ("1", "2")), [[none, 0, 0], [1, 1, none]])
