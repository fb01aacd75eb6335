"""Every second line mirrored or shifted: found where it is so, and not where the sample looks alike."""

from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet.picking.displaced_lines import displaced_lines


def blobs(rng, n, shape):
    """Smooth images of some round spots each."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    images = np.zeros((n, *shape))
    for image in images:
        for _ in range(4):
            row, column, radius = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(3, 10)
            image += np.exp(-((y - row) ** 2 + (x - column) ** 2) / radius**2)
    return images


def stripes(shape, slant, period):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 1 + np.sin(2 * np.pi * (x + slant * y) / period)[None]


def noisy(images, rng, share=0.6):
    return np.maximum(images + share * images.std(axis=(1, 2), keepdims=True) * rng.normal(size=images.shape), 0)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("along", ["row", "column"])
def test_mirrored_lines_are_found(seed, first, along):
    rng = np.random.default_rng(seed)
    images = noisy(blobs(rng, 12, (40, 50)), rng)
    faulty = images.copy()
    faulty[:, first::2] = faulty[:, first::2, ::-1]
    measured = np.ones(images.shape[1:], bool)
    if along == "column":
        images, faulty, measured = images.transpose(0, 2, 1), faulty.transpose(0, 2, 1), measured.T
    assert displaced_lines(images, measured) == []
    (line,) = displaced_lines(faulty, measured)
    assert line.startswith(f"every second {along} is mirrored")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("by", [2, 3, 6])
@pytest.mark.parametrize("side", [-1, 1])
def test_shifted_lines_are_found(seed, by, side):
    rng = np.random.default_rng(seed)
    images = noisy(blobs(rng, 12, (40, 50)), rng, 0.3)
    faulty = np.zeros((12, 40, 50 + by))
    measured = np.zeros((40, 50 + by), bool)
    for y in range(40):
        start = by if (y % 2 == 0) == (side == 1) else 0
        faulty[:, y, start : start + 50] = images[:, y]
        measured[y, start : start + 50] = True
    (line,) = displaced_lines(faulty, measured)
    assert line.startswith(f"every second row is shifted by {by} pixels")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "kind", ["symmetric", "slanted", "fine stripes", "noise", "two of noise", "flat", "half measured", "small"]
)
def test_sections_without_the_fault_are_not_suspected(seed, kind):
    rng = np.random.default_rng(seed)
    images = blobs(rng, 10, (40, 48))
    measured = np.ones((40, 48), bool)
    if kind == "symmetric":
        images = images + images[:, :, ::-1] + images[:, ::-1]
    elif kind == "slanted":
        images = stripes((40, 48), slant=3, period=11) * np.linspace(1, 2, 10)[:, None, None]
    elif kind == "fine stripes":
        images = images * (1 + np.arange(40)[None, :, None] % 2)
    elif kind == "noise":
        images = rng.gamma(1, 1, images.shape)
    elif kind == "two of noise":
        images, measured = rng.gamma(1, 1, (2, 20, 20)), np.ones((20, 20), bool)
    elif kind == "flat":
        images = np.ones_like(images)
    elif kind == "half measured":
        y, x = np.mgrid[:40, :48]
        measured = (y - 20) ** 2 + (x - 24) ** 2 < 300
        images = images * measured
    else:
        images, measured = images[:, :8, :9], measured[:8, :9]
    assert displaced_lines(noisy(images, rng, 0.2) * measured, measured) == []
