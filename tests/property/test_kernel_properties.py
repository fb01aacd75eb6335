"""Properties of the GPU's kernels of preprocessing and statistics, run on the host: equal to the CPU for any image."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ionmorphnet import _core
from ionmorphnet.reference import preprocess as reference
from kernels import HOPPER, SMALL, same_bits
from native import _core_testing

IDS = st.sampled_from(["p99-stretch-224", "p99-stretch-224-mask"])
SHAPES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=70)
ANY_FLOAT = st.floats(width=32, allow_nan=True, allow_infinity=True)
DEVICES = st.fixed_dictionaries(
    {"shared_bytes": st.sampled_from([HOPPER, SMALL, 10_000]), "seed": st.integers(0, 2**32)}
)


@st.composite
def stacks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray | None]:
    """One image whose pixels are drawn one by one, or from a seed (which finds more crowded ones)."""
    shape = draw(SHAPES)
    if draw(st.booleans()):
        image = draw(hnp.arrays(np.float32, shape, elements=ANY_FLOAT, fill=ANY_FLOAT))
        return image[np.newaxis], draw(st.none() | hnp.arrays(bool, shape))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.integers(-2, draw(st.integers(1, 40)) + 1, shape).astype(np.float32)
    image[rng.random(shape) < draw(st.sampled_from([0, 0.1]))] = np.nan
    return image[np.newaxis], rng.random(shape) < draw(st.floats(0, 1))


@given(stacks(), IDS, DEVICES)
@settings(max_examples=150, deadline=None)
def test_preprocessing_has_the_bits_of_the_cpu(
    stack: tuple[np.ndarray, np.ndarray | None], preprocess_id: str, device: dict[str, int]
) -> None:
    images, mask = stack
    got, facts = _core_testing.emulated_preprocess(images, preprocess_id, mask, **device)
    same_bits(got, _core.preprocess(images, preprocess_id, mask, threads=1))
    assert facts["blank"][0] == _core_testing.find_blank(images, preprocess_id, mask, threads=1)[0]
    assert facts["measured"][0] == reference.measured_pixels(images[0], mask).sum()


@given(st.integers(1, 12_000), st.integers(0, 2**32 - 1), st.integers(1, 40), st.floats(0, 1), DEVICES)
@settings(max_examples=100, deadline=None)
def test_selection_is_exact_for_any_share_of_ties_and_unmeasured(
    n: int, seed: int, levels: int, measured_share: float, device: dict[str, int]
) -> None:
    """Values of all magnitudes and both signs: every digit of the radix decides now and then."""
    rng = np.random.default_rng(seed)
    image = rng.integers(-levels, levels, (1, 1, n)).astype(np.float32) * np.float32(2.0 ** int(rng.integers(-40, 40)))
    assert image.dtype == np.float32  # the reference computes in the type it is given
    image[0, 0, : n // 2] *= rng.choice([1, 1 + 2**-23, 1 + 2**-12, 2], n // 2).astype(np.float32)
    mask = rng.random((1, n)) < measured_share
    for channels, preprocess_id in enumerate(("p99-stretch-224", "p99-stretch-224-mask"), 1):
        got, facts = _core_testing.emulated_preprocess(image, preprocess_id, mask, **device)
        same_bits(got, _core.preprocess(image, preprocess_id, mask, threads=1))
        counted = image[0][mask] if channels == 2 else np.where(mask, image[0], np.float32(0))
        if counted.size > 0:
            assert facts["divisor"][0] == max(reference.quantile99(counted), reference.SMALLEST_DIVISOR)


@given(stacks(), DEVICES)
@settings(max_examples=150, deadline=None)
def test_statistics_are_those_of_the_cpu(stack: tuple[np.ndarray, np.ndarray | None], device: dict[str, int]) -> None:
    images, mask = stack
    got = _core_testing.emulated_statistics(images, mask, **device)
    cpu = _core.image_statistics(images, mask, threads=1)
    same_bits(got[:, 2:], cpu[:, 2:])
    unit = np.spacing(np.maximum(np.abs(cpu[:, :2]), np.float32(1e-3)))
    assert (np.abs(got[:, :2] - cpu[:, :2]) <= 4 * unit).all()
