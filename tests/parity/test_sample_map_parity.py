"""The native sample map against the reference."""

from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet import _core
from ionmorphnet.reference.sample_map import sample_evidence


def images_of(rng: np.random.Generator, shape: tuple[int, int], *, n: int = 12) -> np.ndarray:
    """Counts of a few smooth compartments, of matrix, and of noise."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    v, u = y / shape[0] - 0.5, x / shape[1] - 0.45
    inside = u**2 + v**2 < 0.12
    fields = np.stack([1 + np.sin(9 * (a * u + b * v + c)) for a, b, c in rng.uniform(-2, 2, (n, 3))]) * inside
    means = np.concatenate([fields, np.broadcast_to(1 - inside, (3, *shape)), np.full((3, *shape), 0.3)])
    scale = rng.uniform(1, 100, (len(means), 1, 1))
    return (rng.poisson(5 * means + 0.1) * scale).astype(np.float32)


def assert_equal(images: np.ndarray, mask: np.ndarray | None = None, threads: int = 2) -> None:
    expected = sample_evidence(images, mask)
    found = _core.sample_map(images, mask, threads)
    assert (found is None) == (expected is None)
    if expected is None or found is None:
        return
    values, coherent, off_sample, separation, noise = found
    np.testing.assert_allclose(values, expected.map, atol=1e-6)
    assert np.array_equal(coherent, expected.coherent)
    assert off_sample == pytest.approx(expected.off_sample, abs=1e-9)
    assert separation == pytest.approx(expected.separation, rel=1e-9)
    np.testing.assert_allclose(noise, expected.noise, rtol=1e-6)


@pytest.mark.parametrize("shape", [(40, 50), (9, 90), (64, 8), (8, 8), (1, 100), (170, 131)])
def test_as_the_reference(rng: np.random.Generator, shape: tuple[int, int]) -> None:
    images = images_of(rng, shape)
    assert_equal(images)
    one, three = (_core.sample_map(images, threads=threads) for threads in (1, 3))
    assert (one is None) == (three is None) == (shape == (1, 100))  # only short rows: hardly coherent
    assert one is None or np.array_equal(one[0], three[0])


def test_unmeasured_pixels(rng: np.random.Generator) -> None:
    images = images_of(rng, (50, 44))
    mask = (rng.random((50, 44)) < 0.95).astype(np.uint8)
    mask[:6] = 0
    assert_equal(images, mask)
    images[:, :, :5] = np.nan
    images[3, 20:25] = np.nan  # in one image: counts as 0
    images[4, 30, 30] = np.inf
    images[5, 31, 30] = -7
    assert_equal(images, mask)


@pytest.mark.parametrize("n", [0, 2, 3])
def test_few_images(rng: np.random.Generator, n: int) -> None:
    assert_equal(images_of(rng, (30, 30))[:n])


def test_images_that_cannot_tell(rng: np.random.Generator) -> None:
    assert _core.sample_map(rng.random((6, 30, 30), np.float32)) is None
    assert _core.sample_map(np.ones((6, 30, 30), np.float32)) is None
    assert _core.sample_map(np.full((6, 30, 30), np.nan, np.float32)) is None
    assert _core.sample_map(images_of(rng, (7, 9))) is None


def test_wrong_arguments(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="shape"):
        _core.sample_map(rng.random((30, 30), np.float32))
    with pytest.raises(ValueError, match="mask"):
        _core.sample_map(rng.random((5, 30, 30), np.float32), np.ones((30, 31), np.uint8))
