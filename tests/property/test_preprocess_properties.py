"""Properties of the preprocessing that hold for any image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ionmorphnet import _core
from ionmorphnet.models.preprocessing import Preprocessing
from ionmorphnet.reference import preprocess as reference

IDS = st.builds(
    Preprocessing,
    st.sampled_from(["stretch", "area"]),
    st.sampled_from([32, 48, 64, 224]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
).map(str)
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70)
ANY_FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True)


@st.composite
def stacks(draw: st.DrawFn, elements: st.SearchStrategy[float] = ANY_FLOAT) -> tuple[np.ndarray, np.ndarray | None]:
    shape = draw(SHAPES)
    image = draw(hnp.arrays(np.float32, shape, elements=elements, fill=elements))
    mask = draw(st.none() | hnp.arrays(bool, shape))
    return image[None], mask


@given(stacks(), IDS)
@settings(max_examples=150, deadline=None)
def test_any_image_equals_reference_and_stays_in_the_unit_range(
    stack: tuple[np.ndarray, np.ndarray | None], preprocess_id: str
) -> None:
    images, mask = stack
    got = _core.preprocess(images, preprocess_id, mask, threads=1)
    assert got.min() >= 0
    assert got.max() <= 1
    np.testing.assert_allclose(got, reference.preprocess(images, preprocess_id, mask), rtol=0, atol=1e-6)


@given(st.integers(1, 12_000), st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0, 1))
@settings(max_examples=150, deadline=None)
def test_selection_is_exact_for_any_share_of_ties_and_unmeasured(
    n: int, seed: int, levels: int, measured_share: float
) -> None:
    """Long one-line images reach every branch of the selection."""
    rng = np.random.default_rng(seed)
    image = (rng.integers(0, levels, (1, 1, n)) ** 3).astype(np.float32)
    mask = rng.random((1, n)) < measured_share
    for preprocess_id in ("p99-stretch-224", "p99-stretch-224-mask", "p99-area-32-mask"):
        got = _core.preprocess(image, preprocess_id, mask, threads=1)
        np.testing.assert_allclose(got, reference.preprocess(image, preprocess_id, mask), rtol=0, atol=1e-6)


@given(stacks(st.floats(0, 2**20, width=32)), st.integers(-10, 10))
@settings(max_examples=60, deadline=None)
def test_intensity_scale_does_not_matter(stack: tuple[np.ndarray, np.ndarray | None], exponent: int) -> None:
    images, mask = stack
    images = np.where(images < 2**-8, np.float32(0), images)
    scaled = images * np.float32(2.0**exponent)
    a, b = (_core.preprocess(x, "p99-stretch-224", mask, threads=1) for x in (images, scaled))
    measured = np.where(True if mask is None else mask, np.minimum(images, scaled), np.float32(0))
    if reference.quantile99(measured) > 1e-5:  # else the smallest divisor takes over
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6)
