"""The sample map on images whose sample is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from ionmorphnet.reference.sample_map import FEWEST_PIXELS, sample_evidence, sample_map


@dataclass(frozen=True)
class Drawn:
    """Images of one section, with 1 in ``sample`` where the sample is."""

    images: np.ndarray
    sample: np.ndarray


def draw(seed: int = 0, *, matrix: int = 8, noise: int = 20, kind: str = "disc") -> Drawn:
    """Images 48 x 60 of a sample with three compartments, of matrix around it, and of noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :60]
    sample = {
        "disc": (y - 24) ** 2 + (x - 27) ** 2 < 17**2,
        "pieces": ((y - 12) ** 2 + (x - 14) ** 2 < 81) | ((y - 33) ** 2 + (x - 42) ** 2 < 144),
        "cut": y + x > 45,
    }[kind]
    part = np.stack([y < 20, (y >= 20) & (x < 30), (y >= 20) & (x >= 30)])
    weights = rng.uniform(0.05, 1.0, (16, 3))
    means = [np.tensordot(w, part, axes=1) * sample for w in weights]
    means += [(1 - sample) * (0.6 + 0.4 * x / 60) for _ in range(matrix)]
    means += [np.full(sample.shape, 0.5) for _ in range(noise)]
    counts = rng.poisson(6.0 * np.stack(means) + 0.2)
    return Drawn((counts * rng.uniform(5, 500, (len(means), 1, 1))).astype(np.float32), sample)


def agreement(found: np.ndarray, sample: np.ndarray) -> float:
    """Intersection over union of the pixels above 0.5 and the sample."""
    return float(((found > 0.5) & sample).sum() / ((found > 0.5) | sample).sum())


@pytest.mark.parametrize("kind", ["disc", "pieces", "cut"])
@pytest.mark.parametrize("matrix", [0, 8, 40])
def test_finds_the_sample(kind: str, matrix: int) -> None:
    drawn = draw(1, matrix=matrix, kind=kind)
    found = sample_map(drawn.images)
    assert found is not None
    assert found.dtype == np.float32
    assert found.shape == drawn.sample.shape
    assert 0 <= found.min() <= found.max() <= 1
    assert agreement(found, drawn.sample) > 0.93
    assert found[drawn.sample].mean() - found[~drawn.sample].mean() > (0.7 if matrix < 40 else 0.5)


@pytest.mark.parametrize("seed", range(4))
def test_a_section_that_is_all_sample(seed: int) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :60] / 60
    # Waves of a few directions and lengths, shared by the channels in different parts.
    waves = np.stack([1 + np.sin(20 * (a * x + b * y + c)) for a, b, c in rng.uniform(-1, 1, (5, 3))])
    images = rng.poisson(4 * np.tensordot(rng.dirichlet(np.ones(5), 30), waves, axes=1)).astype(np.float32)
    evidence = sample_evidence(images)
    assert evidence is not None
    assert evidence.off_sample < 0.4
    assert evidence.map.min() > 0.5


def test_pixels_that_were_not_measured_are_0() -> None:
    drawn = draw(3)
    mask = np.ones(drawn.sample.shape, np.bool_)
    mask[:, 50:] = False
    mask[5:9, 5:9] = False
    found = sample_map(drawn.images, mask)
    assert found is not None
    assert (found[~mask] == 0).all()
    assert (found[mask] > 0).all()
    assert np.array_equal(found, sample_map(np.where(mask, drawn.images, np.nan)))
    assert agreement(found, drawn.sample & mask) > 0.93


def test_off_sample_noise() -> None:
    evidence = sample_evidence(draw(4).images)
    assert evidence is not None
    assert evidence.coherent[:24].all()
    assert not evidence.coherent[24:].any()
    assert (evidence.noise[:16] < 0.2).all()
    assert (evidence.noise[16:24] > 0.7).all()


@pytest.mark.parametrize("n", [0, 1, 2])
def test_unknown_from_too_few_images(n: int) -> None:
    assert sample_map(draw().images[:n]) is None


def test_unknown_from_noise_or_few_pixels() -> None:
    drawn = draw()
    assert sample_map(drawn.images[24:]) is None
    assert sample_map(np.zeros((5, 20, 20), np.float32)) is None
    assert sample_map(np.full((5, 20, 20), np.nan, np.float32)) is None
    few = np.zeros(drawn.sample.shape, np.bool_)
    few.flat[20 : 20 + FEWEST_PIXELS - 1] = True
    assert sample_map(drawn.images, few) is None


def test_large_sections_are_averaged_over_blocks() -> None:
    drawn = draw(5, noise=0, matrix=2)
    large = np.repeat(np.repeat(drawn.images[:, 3:], 5, axis=1), 5, axis=2)[:, :, 2:]
    sample = np.repeat(np.repeat(drawn.sample[3:], 5, axis=0), 5, axis=1)[:, 2:]
    found = sample_map(large)
    assert found is not None
    assert found.shape == sample.shape
    assert agreement(found, sample) > 0.93


def test_scale_and_order_of_the_channels_do_not_matter() -> None:
    drawn = draw(6)
    found = sample_map(drawn.images)
    scaled = drawn.images * np.linspace(0.1, 1e4, len(drawn.images), dtype=np.float32)[:, None, None]
    assert found is not None
    assert np.allclose(found, sample_map(scaled[::-1]), atol=0.02)
