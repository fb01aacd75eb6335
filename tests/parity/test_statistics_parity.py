"""Native statistics against their numpy specification, values worked out by hand and, where it is there, scipy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.reference import statistics as reference
from ionmorphnet.reference.preprocess import measured_pixels, stretched

SHAPES = [(1, 1), (1, 2), (1, 40), (40, 1), (2, 2), (7, 11), (40, 33), (61, 100)]
Statistics = Callable[..., np.ndarray]
both = pytest.mark.parametrize("statistics", [_core.image_statistics, reference.image_statistics])


def zoo(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise, structure, sparse images, gaps, low contrast, large and tiny values, hot pixels."""
    images = rng.exponential(size=(11, *shape)).astype(np.float32)
    images[1] = np.cumsum(images[1], axis=0)
    images[2][rng.random(shape) < 0.9] = 0
    images[3][rng.random(shape) < 0.3] = np.nan
    images[4] = images[4] * 1e-3 + 1e4
    images[5] *= np.float32(1e37)
    y, x = np.indices(shape)
    images[6] = np.sin(x / 5) + np.cos(y / 7) + 0.2 * images[6]  # a half of it is negative
    images[7] = np.round(images[7] * 3)  # many equal values
    images[8].flat[rng.integers(0, images[8].size, 2)] = [1e30, np.inf]
    images[9] *= 1e-9  # the smallest divisor rules
    images[10] = np.round(10 * np.sin(x / 9) ** 2)
    return images


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_reference(shape: tuple[int, int], rng: np.random.Generator) -> None:
    images = zoo(shape, rng)
    for mask in (None, rng.random(shape) < 0.7, np.zeros(shape, bool)):
        got = _core.image_statistics(images, mask, threads=2)
        assert got.dtype == np.float32
        assert got.shape == (len(images), len(STATISTICS))
        np.testing.assert_allclose(got, reference.image_statistics(images, mask), rtol=2e-5, atol=2e-6)


def test_a_section_of_ordinary_size(rng: np.random.Generator) -> None:
    images = zoo((134, 260), rng)[[0, 3, 6]]
    y, x = np.indices((134, 260))
    mask = (y - 67) ** 2 / 60**2 + (x - 130) ** 2 / 125**2 < 1
    got = _core.image_statistics(images, mask)
    np.testing.assert_allclose(got, reference.image_statistics(images, mask), rtol=2e-5, atol=2e-6)


def test_any_number_of_threads_gives_the_same_bits(rng: np.random.Generator) -> None:
    images = np.concatenate([zoo((45, 37), rng) for _ in range(5)])
    mask = rng.random((45, 37)) < 0.8
    once = _core.image_statistics(images, mask, threads=1)
    for threads in (2, 3, 8):
        np.testing.assert_array_equal(_core.image_statistics(images, mask, threads=threads), once)
    # Images of other measured pixels in between do not disturb what a worker keeps of the last ones.
    alone = np.concatenate([_core.image_statistics(image[np.newaxis], mask) for image in images])
    np.testing.assert_array_equal(alone, once)


@pytest.mark.parametrize("name", STATISTICS)
def test_one_statistic_alone_is_the_same(name: str, rng: np.random.Generator) -> None:
    images = zoo((30, 31), rng)
    alone = _core.score_stack(images, None, statistic=name)[0]
    np.testing.assert_array_equal(alone[:, 0], _core.image_statistics(images)[:, STATISTICS.index(name)])


@both
def test_moran_worked_out_by_hand(statistics: Statistics) -> None:
    checkerboard = np.indices((6, 6)).sum(0) % 2
    halves = np.repeat([[0, 0, 1, 1]], 4, axis=0)  # 20 of 24 links join equal pixels: (20 - 4) / 24
    pair = np.array([[1, 2]])
    for image, expected in ((checkerboard, -1.0), (halves, 16 / 24), (pair, -1.0)):
        assert statistics(image[np.newaxis].astype(np.float32))[0, 0] == pytest.approx(expected, abs=1e-6)


@both
def test_chaos_worked_out_by_hand(statistics: Statistics) -> None:
    square = np.zeros((12, 20), np.float32)
    square[2:7, 2:7] = 1  # 25 pixels; one object at 29 of 30 levels
    two = square.copy()
    two[2:7, 12:17] = 1
    steps = two.copy()
    steps[2:7, 7:12] = np.float32(9.5 / 29)  # a bridge at ten levels: 10 of one object and 19 of two
    frame = np.ones((12, 20), np.float32)
    frame[4:8, 5:15] = 0  # a hole: still one object
    point = np.zeros((12, 20), np.float32)
    point[5, 5] = 1  # nothing is left of a single pixel
    expected = {
        "square": 1 - 29 / 30 / 25,
        "two": 1 - 2 * 29 / 30 / 50,
        "steps": 1 - (10 + 2 * 19) / 30 / 75,
        "frame": 1 - 29 / 30 / 200,
        "point": 0.0,
    }
    for name, image in {"square": square, "two": two, "steps": steps, "frame": frame, "point": point}.items():
        assert statistics(image[np.newaxis])[0, 2] == pytest.approx(expected[name], abs=1e-6), name


@both
def test_blur_worked_out_by_hand(statistics: Statistics) -> None:
    pair = np.array([[[1, 2]]], np.float32)
    weight = np.exp(-1 / 8)  # of the neighbour; the difference shrinks to (1 - w) / (1 + w)
    assert statistics(pair)[0, 1] == pytest.approx(((1 - weight) / (1 + weight)) ** 2, rel=1e-5)
    far = np.full((1, 1, 10), np.nan, np.float32)
    far[0, 0, [0, 9]] = 1, 2  # further than the blur reaches
    assert statistics(far)[0, 1] == pytest.approx(1, rel=1e-5)


@both
def test_blur_sqrt_is_the_blur_of_the_root(statistics: Statistics, rng: np.random.Generator) -> None:
    x = rng.random((2, 30, 40)).astype(np.float32)
    x.reshape(2, -1)[:, :20] = 1  # the quantile, so that x is its own normalised image
    np.testing.assert_allclose(statistics(x**2)[:, 4], statistics(x)[:, 1], rtol=1e-4)


@both
def test_reliability_is_the_correlation_of_independent_halves(statistics: Statistics, rng: np.random.Generator) -> None:
    y, x = np.indices((60, 70))
    shape = 4 + 3 * np.sin(x / 9) * np.cos(y / 8)
    clear, faint, none = (rng.poisson(c * shape if c else np.full(shape.shape, 4.0)) for c in (10, 0.1, 0))
    values = statistics(np.stack([clear, faint, none]).astype(np.float32))[:, 5]
    assert values[0] > 0.98
    assert 0.2 < values[1] < 0.8
    # What two independent measurements of the same shape would have in common: the mean over many is 0 without one.
    noise = rng.exponential(size=(40, 40, 45)).astype(np.float32)
    assert abs(statistics(noise)[:, 5].mean()) < 0.06
    assert abs(values[2]) < 0.35


@both
def test_reliability_of_halves_that_say_nothing(statistics: Statistics) -> None:
    first, second = reference.halves(np.ones((30, 30), bool))
    assert 0.4 < first.mean() < 0.6
    assert 0.2 < (first & second).mean() < 0.3  # the splits are independent
    one_sided = np.zeros((1, 30, 30), np.float32)
    one_sided[0, 10:20, 10:20] = (first & second)[10:20, 10:20]  # only ever in the first half
    assert statistics(one_sided)[0, 5] == 0
    alone = np.full((1, 60, 60), np.nan, np.float32)
    alone[0, ::20, ::20] = np.arange(9).reshape(3, 3)  # no pixel has neighbours in the other half
    assert statistics(alone)[0, 5] == 0


@both
def test_different_values_with_the_same_root(statistics: Statistics) -> None:
    # Below the smallest divisor, so that the quantile does not make one of them 1.
    pair = np.array([3e-7, np.nextafter(np.float32(3e-7), np.float32(1))], np.float32)
    x = pair / np.float32(1e-6)
    assert x[0] != x[1]
    assert np.sqrt(x[0]) == np.sqrt(x[1])
    image = np.tile(pair, (1, 12, 6))
    assert statistics(image)[0, 1] > 0
    np.testing.assert_array_equal(statistics(image)[0, 4:], 0)


@both
def test_coverage_counts_measured_pixels_above_zero(statistics: Statistics) -> None:
    image = np.array([[[0, 1, 2, np.nan], [-1, 3, 0, np.nan]]], np.float32)
    assert statistics(image)[0, 3] == pytest.approx(3 / 6)
    mask = np.array([[0, 1, 1, 1], [0, 1, 1, 1]], np.uint8)
    assert statistics(image, mask)[0, 3] == pytest.approx(3 / 4)


@both
def test_images_without_information_give_zero(statistics: Statistics) -> None:
    constant = np.full((1, 9, 7), 0.1, np.float32)  # 0.1 is not exact: the mean differs from it by rounding
    empty = np.full((1, 9, 7), np.nan, np.float32)
    single = empty.copy()
    single[0, 4, 4] = 3
    for image, coverage in ((constant, 1), (empty, 0), (single, 1), (0 * constant, 0), (-constant, 0)):
        np.testing.assert_array_equal(statistics(image), [[0, 0, 0, coverage, 0, 0]])


def test_mask_and_nan_are_the_same_thing(rng: np.random.Generator) -> None:
    images = rng.exponential(size=(3, 20, 25)).astype(np.float32)
    mask = rng.random((20, 25)) < 0.6
    with_nan = np.where(mask, images, np.float32(np.nan))
    np.testing.assert_array_equal(_core.image_statistics(images, mask), _core.image_statistics(with_nan))


def test_scipy_agrees(rng: np.random.Generator) -> None:
    ndimage = pytest.importorskip("scipy.ndimage", reason="scipy serves as oracle only")
    mask = rng.random((50, 60)) < 0.97
    images = zoo((50, 60), rng)
    got = _core.image_statistics(images, mask)
    cross = ndimage.generate_binary_structure(2, 1)
    for image, values in zip(images, got, strict=True):
        measured = measured_pixels(image, mask)
        x = stretched(image, measured, image[measured])
        gauss = [ndimage.gaussian_filter(p.astype(float), 2, mode="constant", truncate=4) for p in (x, measured)]
        blurred = gauss[0][measured] / gauss[1][measured]
        assert values[1] == pytest.approx(blurred.var() / x[measured].astype(float).var(), rel=1e-4)
        objects = 0
        for level in range(30):
            inside = measured & (np.ceil(x * np.float32(29)) > level)
            dilated = ndimage.binary_dilation(inside, cross, mask=measured) | ~measured
            eroded = ndimage.binary_erosion(dilated, np.ones((3, 3)), border_value=1) & measured
            objects += ndimage.label(eroded)[1]
        assert values[2] == pytest.approx(1 - objects / 30 / (x > 0).sum() if objects else 0, abs=1e-6)


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="shape"):
        _core.image_statistics(np.zeros((4, 4), np.float32))
    with pytest.raises(ArgumentError, match="mask"):
        _core.image_statistics(np.zeros((1, 4, 4), np.float32), np.ones((4, 5), bool))
    with pytest.raises(
        ArgumentError, match="unknown statistic 'x'; known: moran, blur, chaos, coverage, blur_sqrt, reliability"
    ):
        _core.score_stack(np.zeros((1, 4, 4), np.float32), None, statistic="x")
    assert _core.image_statistics(np.zeros((0, 4, 4), np.float32)).shape == (0, 6)
