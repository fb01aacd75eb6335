"""Properties of the statistics that hold for any image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ionmorphnet import _core
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.reference import preprocess, statistics

SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=30)
ANY_FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True)
COUNTS = st.integers(0, 40).map(np.float32)
Stack = tuple[np.ndarray, np.ndarray | None]


@st.composite
def stacks(draw: st.DrawFn, elements: st.SearchStrategy[float] = ANY_FLOAT) -> Stack:
    """One image whose pixels are drawn one by one, or from a seed (which finds more crowded ones)."""
    shape = draw(SHAPES)
    if draw(st.booleans()):
        image = draw(hnp.arrays(np.float32, shape, elements=elements, fill=elements))
        mask = draw(st.none() | hnp.arrays(bool, shape))
    else:
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        image = rng.integers(0, draw(st.integers(1, 40)) + 1, shape).astype(np.float32)
        mask = rng.random(shape) < draw(st.floats(0, 1))
    return image[np.newaxis], mask


def of(images: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return _core.image_statistics(images, mask, threads=1)


@given(stacks())
@settings(max_examples=200, deadline=None)
def test_any_image_equals_reference_and_is_finite(stack: Stack) -> None:
    got = of(*stack)
    assert np.isfinite(got).all()
    assert (got[:, 1:5] >= 0).all()
    assert (got[:, 2] < 1).all()
    assert (got[:, 3] <= 1).all()
    assert (np.abs(got[:, 5]) <= 1).all()
    np.testing.assert_allclose(got, statistics.image_statistics(*stack), rtol=1e-4, atol=1e-5)


@given(stacks(COUNTS))
@settings(max_examples=80, deadline=None)
def test_flips_and_turns_do_not_matter(stack: Stack) -> None:
    """Except for reliability, whose halves belong to positions."""
    images, mask = stack
    turned = of(np.rot90(images, axes=(1, 2)), None if mask is None else np.rot90(mask))
    np.testing.assert_allclose(turned[:, :5], of(images, mask)[:, :5], rtol=1e-4, atol=1e-5)
    flipped = of(images[:, ::-1], None if mask is None else mask[::-1])
    np.testing.assert_allclose(flipped[:, :5], of(images, mask)[:, :5], rtol=1e-4, atol=1e-5)


@given(stacks(COUNTS), st.integers(-10, 10))
@settings(max_examples=80, deadline=None)
def test_the_scale_of_intensities_does_not_matter(stack: Stack, exponent: int) -> None:
    images, mask = stack
    scaled = images * np.float32(2.0**exponent)
    measured = preprocess.measured_pixels(images[0], mask)
    if measured.any() and preprocess.quantile99(np.minimum(images, scaled)[0][measured]) > 1e-5:
        np.testing.assert_allclose(of(scaled, mask), of(images, mask), rtol=1e-5, atol=1e-6)


@given(stacks(COUNTS), st.tuples(*[st.integers(0, 12)] * 4), ANY_FLOAT)
@settings(max_examples=80, deadline=None)
def test_what_was_not_measured_might_as_well_not_be_there(
    stack: Stack, margins: tuple[int, int, int, int], anything: float
) -> None:
    images, mask = stack
    top, bottom, left, right = margins
    room = ((top, bottom), (left, right))
    padded = np.pad(images, ((0, 0), *room), constant_values=np.float32(anything))
    inside = np.pad(np.ones(images.shape[1:], bool) if mask is None else mask, room)
    np.testing.assert_allclose(of(padded, inside), of(images, mask), rtol=1e-5, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.sampled_from(["disc", "halves", "gradient"]))
@settings(max_examples=40, deadline=None)
def test_structure_stands_out_of_noise(seed: int, kind: str) -> None:
    rng = np.random.default_rng(seed)
    y, x = np.indices((40, 50))
    shape = {"disc": (y - 20) ** 2 + (x - 25) ** 2 < 144, "halves": x < 25, "gradient": x / 50}[kind]
    structured = rng.poisson(1 + 30.0 * shape).astype(np.float32)
    noise = rng.permutation(structured.ravel()).reshape(structured.shape)
    a, b = of(np.stack([structured, noise]), None)
    for name in ("moran", "blur", "chaos", "blur_sqrt", "reliability"):
        i = STATISTICS.index(name)
        assert a[i] > b[i], name
    assert a[3] == b[3]
