"""Native Moran's I against its numpy specification and against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet import _core
from ionmorphnet.errors import ArgumentError
from ionmorphnet.reference.statistics import morans_i

SHAPES = [(1, 1), (1, 2), (1, 9), (9, 1), (2, 2), (7, 11), (40, 33), (134, 260)]


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_reference(shape: tuple[int, int], rng: np.random.Generator) -> None:
    images = rng.exponential(size=(6, *shape)).astype(np.float32)
    images[1] = np.cumsum(images[1], axis=0)
    images[2][rng.random(shape) < 0.9] = 0
    images[3][rng.random(shape) < 0.3] = np.nan
    images[4] = images[4] * 1e-3 + 1e4
    images[5] *= np.float32(1e37)
    for mask in (None, rng.random(shape) < 0.7, np.zeros(shape, bool)):
        got = _core.morans_i(images, mask, threads=2)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, morans_i(images, mask), rtol=1e-6, atol=1e-7)


def test_values_worked_out_by_hand() -> None:
    checkerboard = np.indices((6, 6)).sum(0) % 2
    halves = np.repeat([[0, 0, 1, 1]], 4, axis=0)  # 20 of 24 links join equal pixels: (20 - 4) / 24
    pair = np.array([[1, 2]])
    expected = {"checkerboard": -1.0, "halves": 16 / 24, "pair": -1.0}
    for name, image in (("checkerboard", checkerboard), ("halves", halves), ("pair", pair)):
        for function in (_core.morans_i, morans_i):
            assert function(image[None].astype(np.float32))[0] == pytest.approx(expected[name], abs=1e-6), name


def test_images_without_information_give_zero() -> None:
    constant = np.full((1, 9, 7), 0.1, np.float32)  # 0.1 is not exact: the mean differs from it by rounding
    empty = np.full((1, 9, 7), np.nan, np.float32)
    single = empty.copy()
    single[0, 4, 4] = 3
    scattered = np.where(np.indices((9, 7)).sum(0) % 2, np.nan, np.arange(63).reshape(9, 7))[None].astype(np.float32)
    for images in (constant, empty, single, scattered):
        for function in (_core.morans_i, morans_i):
            np.testing.assert_array_equal(function(images), [0])


def test_mask_and_nan_are_the_same_thing(rng: np.random.Generator) -> None:
    images = rng.exponential(size=(3, 20, 25)).astype(np.float32)
    mask = rng.random((20, 25)) < 0.6
    with_nan = np.where(mask, images, np.float32(np.nan))
    np.testing.assert_array_equal(_core.morans_i(images, mask), _core.morans_i(with_nan))


def test_infinite_values_give_a_number(rng: np.random.Generator) -> None:
    images = rng.exponential(size=(2, 20, 25)).astype(np.float32)
    images[0, 3, 4] = np.inf
    images[1, :10] = -np.inf
    got = _core.morans_i(images)
    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, morans_i(images), rtol=1e-6, atol=1e-7)


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="shape"):
        _core.morans_i(np.zeros((4, 4), np.float32))
    with pytest.raises(ArgumentError, match="mask"):
        _core.morans_i(np.zeros((1, 4, 4), np.float32), np.ones((4, 5), bool))
