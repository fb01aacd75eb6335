"""The cascade: native against the specification, and the loop against scoring the remaining images alone."""

from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet import _core
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.reference.cascade import find_noise

PLAIN = "p99-stretch-224"
LIMITS = (3.0, 0.05)


@pytest.fixture
def images(rng: np.random.Generator) -> np.ndarray:
    """60 images: noise, noise over a disc of growing contrast, blank ones; pixels that are not measured."""
    y, x = np.mgrid[:24, :31] / 24
    disc = (y - 0.5) ** 2 + (x - 0.7) ** 2 < 0.08
    stack = rng.exponential(size=(60, 24, 31)) + disc * np.linspace(0, 1.5, 60)[:, None, None]
    rng.shuffle(stack)
    stack[rng.random(stack.shape) < 0.02] = np.nan
    stack[[0, 7, 8, 59]] = 3.0
    stack[30] = np.nan
    return stack.astype(np.float32)


def run(images: np.ndarray, mask: np.ndarray | None = None, *, batch: int = 4, threads: int = 1, limits=LIMITS):
    """Outputs, reach, sizes of the batches, timings; the network returns mean and largest value."""
    sizes = []

    def call(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        return np.stack([batch.mean(axis=(1, 2, 3)), batch.std(axis=(1, 2, 3))], axis=1)

    scorer = _core.callback_scorer(call, 1, 224, 224, 2, batch)
    reach = np.full(len(images), 9, np.float32)
    outputs, blank, timings = _core.score_stack(
        images, mask, scorer=scorer, preprocess_id=PLAIN, cascade=limits, reach=reach, threads=threads
    )
    return outputs, blank, reach, sizes, timings


@pytest.mark.parametrize("batch", [1, 3, 32, 100])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_network_sees_what_is_left(images: np.ndarray, rng: np.random.Generator, batch: int, threads: int) -> None:
    mask = (rng.random(images.shape[1:]) < 0.95).astype(np.uint8)
    outputs, blank, reach, sizes, timings = run(images, mask, batch=batch, threads=threads)
    expected = find_noise(images, mask, moran_z=LIMITS[0], blur=LIMITS[1])
    np.testing.assert_allclose(reach, expected, rtol=1e-4)
    spared = ~np.isnan(reach)
    assert 10 < spared.sum() < 50
    assert not (spared & blank).any()
    assert ((reach[spared] >= 0) & (reach[spared] <= 1)).all()
    left = ~(spared | blank)
    assert sum(sizes) == left.sum()
    assert set(sizes[:-1]) <= {batch}
    assert (outputs[~left] == 0).all()
    alone, _, _ = _core.score_stack(
        images[left],
        mask,
        scorer=_core.callback_scorer(
            lambda x: np.stack([x.mean(axis=(1, 2, 3)), x.std(axis=(1, 2, 3))], axis=1), 1, 224, 224, 2, 8
        ),
        preprocess_id=PLAIN,
    )
    np.testing.assert_allclose(outputs[left], alone, rtol=1e-6)
    assert timings["cascade_s"] > 0


def test_many_images_in_one_call(images: np.ndarray) -> None:
    """More than pass the cascade at a time."""
    many = np.concatenate([images[np.roll(np.arange(60), k)] for k in range(5)])
    outputs, _, reach, _, _ = run(many)
    once, _, single, _, _ = run(images)
    for k in range(5):
        where = np.roll(np.arange(60), k)
        np.testing.assert_array_equal(reach[60 * k :][:60], single[where])
        np.testing.assert_array_equal(outputs[60 * k :][:60], once[where])


def test_all_or_nothing_is_spared(images: np.ndarray) -> None:
    _, blank, reach, sizes, _ = run(images, limits=(1e9, 1e9))
    assert sizes == []
    np.testing.assert_array_equal(np.isnan(reach), blank)
    _, blank, reach, sizes, _ = run(images, limits=(1e-9, 1e-9))
    assert sum(sizes) == (~blank).sum()
    assert np.isnan(reach).all()


def test_small_images_are_left_to_the_network(rng: np.random.Generator) -> None:
    """In 3 x 3 pixels any structure may be chance."""
    for shape, n_spared in (((3, 3), 0), ((19, 21), 0), ((20, 20), 20)):
        images = rng.random((20, *shape), dtype=np.float32)
        _, _, reach, sizes, _ = run(images, limits=(10.0, 0.5))
        np.testing.assert_allclose(reach, find_noise(images, moran_z=10.0, blur=0.5), rtol=1e-4)
        assert (~np.isnan(reach)).sum() == n_spared
        assert sum(sizes) == 20 - n_spared


def test_arguments_that_do_not_fit(images: np.ndarray) -> None:
    scorer = _core.callback_scorer(lambda x: x.mean(axis=(2, 3)), 1, 224, 224, 1, 4)
    arguments = {"scorer": scorer, "preprocess_id": PLAIN}
    for limits in ((0.0, 1.0), (1.0, np.nan), (np.inf, 1.0)):
        with pytest.raises(ArgumentError, match="limits of a cascade must be positive"):
            _core.score_stack(images, cascade=limits, reach=np.zeros(60, np.float32), **arguments)
    with pytest.raises(ArgumentError, match="one reach per image"):
        _core.score_stack(images, cascade=LIMITS, **arguments)
    with pytest.raises(ArgumentError, match="one reach per image"):
        _core.score_stack(images, cascade=LIMITS, reach=np.zeros(59, np.float32), **arguments)
    with pytest.raises(TypeError):
        _core.score_stack(images, cascade=LIMITS, reach=np.zeros(60), **arguments)
    with pytest.raises(ArgumentError, match="a classical score has none"):
        _core.score_stack(images, statistic="moran", cascade=LIMITS)
