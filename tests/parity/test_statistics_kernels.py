"""The kernels of the statistics against the CPU's image_statistics and against their specification."""

from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet import _core
from ionmorphnet.reference import statistics as reference
from kernels import HOPPER, SMALL, Kernel, awkward_images, backends, same_bits
from native import _core_testing

SHAPES = [(1, 1), (1, 2), (2, 2), (1, 40), (40, 1), (7, 11), (31, 63), (33, 65), (61, 100)]


def close_to_cpu(got: np.ndarray, cpu: np.ndarray) -> None:
    """Coverage and chaos have the same bits; the others are sums in another order, see score/statistics_cuda.h."""
    same_bits(got[:, 2:4], cpu[:, 2:4])
    sums, units = [0, 1, 4], np.array([4, 4, 8])
    unit = np.spacing(np.maximum(np.abs(cpu[:, sums]), np.float32(1e-3)))
    assert (np.abs(got[:, sums] - cpu[:, sums]) <= units * unit).all()
    np.testing.assert_allclose(got[:, 5], cpu[:, 5], rtol=0, atol=1e-6)


def mazes(shape: tuple[int, int]) -> np.ndarray:
    """Shapes whose parts hang together by long ways, by equally heavy edges, or not at all."""
    y, x = np.indices(shape)
    comb = ((x % 4 < 2) | (y < 3)).astype(np.float32)
    stripes = (y % 6 < 3) * (1.0 + x % 7)
    steps = np.floor(x / 3) + np.floor(y / 5)
    ridges = np.abs(x - shape[1] / 2) + 3 * (y % 5 > 1)
    radius, angle = np.hypot(y - shape[0] / 2, x - shape[1] / 2), np.arctan2(y - shape[0] / 2, x - shape[1] / 2)
    spiral = ((radius + 4 * angle / np.pi) % 8 < 4) * (5 + radius)
    blocks = (x // 5 % 2) * (y // 5 % 2) * (1 + (x // 10 + y // 10) % 29)
    board = (x // 3 + y // 3) % 2
    cells = (x // 4 * 7 + y // 4 * 11) % 30
    whole = (x * y) % 30  # 29 levels, each exactly reached
    return np.stack(
        [comb, stripes, steps, -steps, ridges, spiral, blocks, x + 0 * y, y - x, board, (x + y) % 2, cells, whole]
    ).astype(np.float32)


@pytest.mark.parametrize("shape", SHAPES)
@backends("statistics")
def test_equals_the_cpu(run: Kernel, shape: tuple[int, int], rng: np.random.Generator) -> None:
    images = awkward_images(shape, rng)
    for mask in (None, rng.random(shape) < 0.7, np.zeros(shape, bool)):
        close_to_cpu(run(images, mask), _core.image_statistics(images, mask))


@backends("statistics")
def test_equals_the_specification(run: Kernel, rng: np.random.Generator) -> None:
    images = np.concatenate([awkward_images((44, 70), rng), mazes((44, 70))])
    mask = rng.random((44, 70)) < 0.9
    np.testing.assert_allclose(run(images, mask), reference.image_statistics(images, mask), rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [(90, 75), (134, 260), (270, 262)])
@backends("statistics")
def test_objects_of_larger_images(run: Kernel, shape: tuple[int, int], rng: np.random.Generator) -> None:
    images = np.concatenate([mazes(shape), awkward_images(shape, rng)[[0, 2, 14, 20]]])
    y, x = np.indices(shape)
    ellipse = ((y / shape[0] - 0.5) ** 2 + (x / shape[1] - 0.5) ** 2) < 0.24
    close_to_cpu(run(images, ellipse), _core.image_statistics(images, ellipse))


@pytest.mark.parametrize("shape", [(3, 3), (33, 32)])
@backends("statistics")
def test_images_that_are_all_but_constant(run: Kernel, shape: tuple[int, int], rng: np.random.Generator) -> None:
    """Deviations of a ten-millionth of the mean: the mean has to be known that much better."""
    images = (1e4 + 1e-3 * rng.exponential(size=(300, *shape))).astype(np.float32)
    close_to_cpu(run(images), _core.image_statistics(images))


@backends("statistics")
def test_what_a_mask_says_and_what_a_gap_says_is_the_same(run: Kernel, rng: np.random.Generator) -> None:
    """The first is blurred once for the section, the second once for each image."""
    images = awkward_images((40, 71), rng)
    mask = rng.random((40, 71)) < 0.6
    same_bits(run(images, mask), run(np.where(mask, images, np.float32(np.nan))))


@backends("statistics")
def test_the_place_in_the_stack_does_not_matter(run: Kernel, rng: np.random.Generator) -> None:
    images = awkward_images((37, 29), rng)
    alone = np.concatenate([run(images[i : i + 1]) for i in range(len(images))])
    same_bits(run(images), alone)


def test_neither_memory_nor_order_of_threads_show(rng: np.random.Generator) -> None:
    images = np.concatenate([awkward_images((50, 61), rng), mazes((50, 61))])
    mask = rng.random((50, 61)) < 0.95
    expected = _core_testing.emulated_statistics(images, mask)
    for seed in range(1, 6):
        for shared_bytes in (HOPPER, SMALL // 4):
            same_bits(_core_testing.emulated_statistics(images, mask, shared_bytes=shared_bytes, seed=seed), expected)


def test_what_fits_the_shared_memory() -> None:
    assert _core_testing.chaos_fits(200, 250)  # a section of ordinary size, on compute capability 9.0
    assert not _core_testing.chaos_fits(270, 262)
    assert not _core_testing.chaos_fits(134, 260, shared_bytes=SMALL)


def test_an_empty_stack() -> None:
    assert _core_testing.emulated_statistics(np.zeros((0, 4, 4), np.float32)).shape == (0, 6)
