"""What the native loop takes for blank, against its numpy specification and against what it must be."""

from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet import _core, reference
from ionmorphnet.base.errors import ArgumentError
from native import _core_testing

IDS = ["p99-stretch-224", "p99-area-64-mask-sqrt-sample"]
SHAPES = [(1, 1), (1, 2), (3, 5), (10, 10), (20, 31), (134, 260)]


def cases(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    size = shape[0] * shape[1]
    plane = np.zeros(shape, np.float32)
    noise = rng.exponential(size=shape).astype(np.float32)
    last = np.zeros(size, np.float32)
    last[-1] = 1e-30
    hot = np.full(size, 5, np.float32)
    hot[rng.permutation(size)[: size // 100]] = 7
    warm = np.full(size, 5, np.float32)
    warm[rng.permutation(size)[: size // 100 + 2]] = 7
    return np.stack(
        [
            plane, plane + 3.7, plane - 2, -noise, noise, noise + 4, noise * 1e-9, last.reshape(shape),
            hot.reshape(shape), warm.reshape(shape), np.where(noise > 1, np.inf, noise), plane + np.inf, plane * np.nan,
            np.where(noise > 1, np.nan, 2), np.where(noise > 1, np.nan, noise), -plane, plane + 1e-40,
        ]
    ).astype(np.float32)  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("preprocess_id", IDS)
def test_equals_reference(preprocess_id: str, shape: tuple[int, int], rng: np.random.Generator) -> None:
    images = cases(shape, rng)
    for mask in (None, rng.random(shape) < 0.6, np.zeros(shape, bool)):
        got = _core_testing.find_blank(images, preprocess_id, mask, threads=2)
        assert got.dtype == np.bool_
        np.testing.assert_array_equal(got, reference.preprocess.find_blank(images, preprocess_id, mask))


@pytest.mark.parametrize("low", [2.0, 1e-6, 3e-7, 0.0])
@pytest.mark.parametrize("size", [50, 100, 101, 2047, 2048, 2049, 4500, 30_000])
@pytest.mark.parametrize("preprocess_id", IDS)
def test_how_many_pixels_differ(preprocess_id: str, size: int, low: float, rng: np.random.Generator) -> None:
    """Around one per cent of higher pixels the quantile leaves the lowest one; both answers must occur."""
    counts = [0, *range(max(0, size // 100 - 3), size // 100 + 5), size // 2]
    images = np.full((2 * len(counts), 1, size), low, np.float32)
    for image, count in zip(images, [*counts, *counts], strict=True):
        image[0, rng.permutation(size)[:count]] = low + 1e-6
    images[len(counts) :, 0, : size // 3] = np.nan
    expected = reference.preprocess.find_blank(images, preprocess_id)
    np.testing.assert_array_equal(_core_testing.find_blank(images, preprocess_id), expected)
    assert expected.any()
    assert not expected.all()


@pytest.mark.parametrize("preprocess_id", IDS)
def test_what_is_blank(preprocess_id: str, rng: np.random.Generator) -> None:
    names = [
        "zero", "constant", "negative constant", "negative", "noise", "shifted", "tiny", "one pixel", "hot", "warm",
        "infinite", "all infinite", "nothing measured", "constant where measured", "noise where measured", "minus zero",
        "denormal",
    ]  # fmt: skip
    blank = {
        "zero", "constant", "negative constant", "negative", "hot", "all infinite", "nothing measured",
        "constant where measured", "minus zero", "denormal",
    }  # fmt: skip
    images = cases((20, 31), rng)
    for find in (_core_testing.find_blank, reference.preprocess.find_blank):
        found = dict(zip(names, find(images, preprocess_id), strict=True))
        assert {name for name, flag in found.items() if flag} == blank


def test_blank_is_what_the_network_sees_as_constant(rng: np.random.Generator) -> None:
    images = cases((224, 224), rng)  # the network's size: the resize leaves every pixel as it is
    measured = ~np.isnan(images)
    seen = _core.preprocess(images, "p99-stretch-224-mask")[:, 0]
    constant = [not m.any() or np.ptp(x[m]) == 0 for x, m in zip(seen, measured, strict=True)]
    np.testing.assert_array_equal(_core_testing.find_blank(images, "p99-stretch-224-mask"), constant)


def test_bad_arguments() -> None:
    assert _core_testing.find_blank(np.zeros((0, 3, 3)), IDS[0]).shape == (0,)
    with pytest.raises(ArgumentError, match="preprocessing id"):
        _core_testing.find_blank(np.zeros((1, 3, 3)), "x")
    with pytest.raises(ArgumentError, match="shape"):
        _core_testing.find_blank(np.zeros((3, 3)), IDS[0])
