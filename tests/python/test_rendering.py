from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.io import rendering


def decoded(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def lightness(rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L* of sRGB colours."""
    c = rgb / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.asarray(116 * np.cbrt(y) - 16)


def test_colour_map_rises_evenly_in_lightness() -> None:
    # Every fifth colour: rounding to 8 bits exceeds the step between neighbours.
    steps = np.diff(lightness(rendering.colour_table()[::5]))
    assert steps.min() > 0
    assert steps.max() < 2 * steps.mean()


def test_levels_are_linear_between_zero_and_the_upper_level() -> None:
    image = np.array([[-5.0, 0.0, 1.0], [2.0, 4.0, np.nan]], dtype=np.float32)
    levels = rendering.colour_levels(image, upper=2.0, levels=101)
    assert levels.tolist() == [[0, 0, 50], [100, 100, 101]]


def test_upper_level_is_the_quantile_of_measured_pixels(rng: np.random.Generator) -> None:
    image = rng.gamma(2, 10, (40, 50)).astype(np.float32)
    image[rng.random(image.shape) < 0.4] = np.nan
    measured = image[~np.isnan(image)].astype(np.float64)
    assert rendering.upper_level(image) == pytest.approx(np.quantile(measured, 0.99))


@pytest.mark.parametrize(
    ("fill", "expected"),
    [([0.0] * 199 + [7.0], 7.0), ([0.0] * 200, 0.0), ([-1.0] * 200, 0.0), ([np.nan] * 200, 0.0)],
)
def test_upper_level_of_nearly_empty_images(fill: list[float], expected: float) -> None:
    image = np.array(fill, dtype=np.float32).reshape(10, 20)
    assert rendering.upper_level(image) == expected
    levels = rendering.colour_levels(image)
    assert (levels == rendering.LEVELS).sum() == np.isnan(image).sum()
    assert (levels == rendering.LEVELS - 1).sum() == (expected > 0)


def test_not_measured_is_transparent_and_zero_is_not() -> None:
    image = np.array([[0, 1], [np.nan, 0.5]], dtype=np.float32)
    rgba = decoded(rendering.encode_png(image, upper=1.0))
    assert rgba[..., 3].tolist() == [[255, 255], [0, 255]]
    table = rendering.colour_table()
    assert (rgba[0, 0, :3] == table[0]).all()
    assert (rgba[0, 1, :3] == table[-1]).all()


def test_checked_grey_is_no_colour_of_the_map() -> None:
    rgba = decoded(rendering.encode_png(np.full((9, 9), np.nan, np.float32), unmeasured="checked"))
    colours = {tuple(c) for c in rgba.reshape(-1, 4)[:, :3].tolist()}
    assert len(colours) == 2
    assert all(r == g == b for r, g, b in colours)
    assert not colours & {tuple(c) for c in rendering.colour_table().tolist()}


def test_zoom_repeats_pixels_without_blurring(rng: np.random.Generator) -> None:
    image = rng.random((5, 7), dtype=np.float32)
    one = decoded(rendering.encode_png(image))
    three = decoded(rendering.encode_png(image, zoom=3))
    assert three.shape == (15, 21, 4)
    assert (three == one.repeat(3, axis=0).repeat(3, axis=1)).all()


def test_block_mean_counts_measured_pixels_only() -> None:
    image = np.array([[1, 3, 5], [np.nan, 5, np.nan], [np.nan, np.nan, 8]], dtype=np.float32)
    np.testing.assert_array_equal(rendering.block_mean(image, 2), [[3, 5], [np.nan, 8]])
    np.testing.assert_array_equal(rendering.block_mean(image, 1), image)


def test_contact_sheet_shows_every_image_and_caption(tmp_path: Path, rng: np.random.Generator) -> None:
    images = rng.random((5, 20, 30), dtype=np.float32)
    images[:, :5] = np.nan
    path = tmp_path / "sheet.png"
    rendering.write_contact_sheet(path, images, [100.5, 200.25, 300, 400, 500], columns=3, zoom=2)
    assert os.listdir(tmp_path) == ["sheet.png"]
    sheet = np.asarray(Image.open(path).convert("RGB")).astype(int)
    # Looks for the measured part of each image in its cell.
    table = rendering.colour_table()
    for image in images:
        part = table[rendering.colour_levels(image)[5:]].repeat(2, axis=0).repeat(2, axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(sheet[..., 0], part.shape[:2])
        assert (windows == part[..., 0]).all(axis=(2, 3)).sum() == 1
    other = rendering.contact_sheet(images, ["a", "b", "c", "d", "other"], columns=3, zoom=2)
    assert other != path.read_bytes()


def test_long_captions_do_not_overlap(rng: np.random.Generator) -> None:
    tiny = rng.random((2, 1, 1), dtype=np.float32)
    short = Image.open(io.BytesIO(rendering.contact_sheet(tiny, ["a", "b"], columns=2, zoom=1)))
    long = Image.open(io.BytesIO(rendering.contact_sheet(tiny, ["a" * 80, "b" * 80], columns=2, zoom=1)))
    assert long.width > short.width


@pytest.mark.parametrize(
    ("images", "captions", "options", "message"),
    [
        (np.zeros((4, 4), np.float32), ["a"], {}, r"\(n, height, width\)"),
        (np.zeros((0, 4, 4), np.float32), [], {}, "non-empty images"),
        (np.zeros((2, 4, 4), np.float32), ["a"], {}, "2 images but 1 captions"),
        (np.zeros((1, 4, 4), np.float32), ["a"], {"zoom": 0}, "zoom must be at least 1"),
        (np.zeros((1, 4, 4), np.float32), ["a"], {"columns": 0}, "columns must be at least 1"),
        (np.broadcast_to(np.float32(0), (10_000, 400, 400)), ["a"] * 10_000, {}, "fewer m/z, or write .npz"),
    ],
)
def test_contact_sheet_refuses(
    images: NDArray[np.float32], captions: list[str], options: dict[str, int], message: str
) -> None:
    with pytest.raises(ArgumentError, match=message):
        rendering.contact_sheet(images, captions, **options)


def test_encode_refuses_impossible_images() -> None:
    with pytest.raises(ArgumentError, match=r"\(height, width\)"):
        rendering.encode_png(np.zeros((2, 3, 4), np.float32))
    with pytest.raises(ArgumentError, match="without pixels"):
        rendering.encode_png(np.zeros((0, 4), np.float32))
    with pytest.raises(ArgumentError, match="zoom"):
        rendering.encode_png(np.zeros((2, 2), np.float32), zoom=0)


def test_contact_sheet_into_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="does not exist"):
        rendering.write_contact_sheet(tmp_path / "none" / "a.png", np.zeros((1, 2, 2), np.float32), [1.0])
