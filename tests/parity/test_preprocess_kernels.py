"""The preprocessing kernel against the CPU's preprocess and find_blank, bit for bit, and against its specification."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import numpy as np
import pytest

from ionmorphnet import _core, reference
from ionmorphnet.base.errors import ArgumentError
from kernels import HOPPER, SMALL, Kernel, awkward_images, backends, same_bits
from native import _core_testing

IDS = ["p99-stretch-224", "p99-stretch-224-mask"]
OTHER_IDS = ["p99-stretch-48-mask", "p99-stretch-224-sqrt", "p99-area-32-mask-sqrt-sample", "p99-area-48-sample"]
SHAPES = [(1, 1), (1, 2), (2, 1), (1, 3), (5, 1), (3, 5), (7, 11), (40, 33), (1, 3000), (61, 100), (300, 300)]
WIDE = 16  # bits that a bfloat16 lacks


def as_bf16(values: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 by comparing both neighbours in float64, ties to the even one, as uint16 bits."""
    bits = values.view(np.uint32)
    below, above = bits >> WIDE, (bits >> WIDE) + np.uint32(1)
    lower, upper = ((half << WIDE).astype(np.uint32).view(np.float32).astype(np.float64) for half in (below, above))
    down, up = np.abs(values - lower), np.abs(upper - values)  # -0.0 has neighbours too
    take_above = (up < down) | ((up == down) & (below % 2 == 1))
    return np.where(take_above, above, below).astype(np.uint16)


@pytest.mark.parametrize("preprocess_id", IDS)
@pytest.mark.parametrize("shape", SHAPES)
@backends("preprocess")
def test_equals_the_cpu(run: Kernel, shape: tuple[int, int], preprocess_id: str, rng: np.random.Generator) -> None:
    images = awkward_images(shape, rng)
    for mask in (None, rng.random(shape) < 0.7, np.zeros(shape, bool)):
        got, facts = run(images, preprocess_id, mask)
        same_bits(got, _core.preprocess(images, preprocess_id, mask))
        np.testing.assert_array_equal(facts["blank"], _core_testing.find_blank(images, preprocess_id, mask))


@pytest.mark.parametrize("preprocess_id", OTHER_IDS)
@pytest.mark.parametrize("shape", [(1, 1), (5, 70), (40, 33), (61, 100)])
@backends("preprocess")
def test_other_ids_equal_the_cpu(
    run: Kernel, shape: tuple[int, int], preprocess_id: str, rng: np.random.Generator
) -> None:
    images = awkward_images(shape, rng)
    mask, sample = rng.random(shape) < 0.7, rng.random(shape).astype(np.float32)
    expected = _core.preprocess(images, preprocess_id, mask, sample)
    got, facts = run(images, preprocess_id, mask, sample=sample)
    same_bits(got, expected)
    np.testing.assert_array_equal(facts["blank"], _core_testing.find_blank(images, preprocess_id, mask))
    f16, _ = run(images, preprocess_id, mask, "f16", sample=sample)
    np.testing.assert_array_equal(f16.view(np.float16), expected.astype(np.float16))
    unknown, _ = run(images, preprocess_id)
    same_bits(unknown, _core.preprocess(images, preprocess_id))


@pytest.mark.parametrize("preprocess_id", IDS)
@backends("preprocess")
def test_equals_the_specification(run: Kernel, preprocess_id: str, rng: np.random.Generator) -> None:
    images = awkward_images((60, 73), rng)
    mask = rng.random((60, 73)) < 0.8
    got, facts = run(images, preprocess_id, mask)
    np.testing.assert_allclose(got, reference.preprocess.preprocess(images, preprocess_id, mask), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(facts["blank"], reference.preprocess.find_blank(images, preprocess_id, mask))
    for i, image in enumerate(images):
        measured = reference.preprocess.measured_pixels(image, mask)
        counted = image[measured] if preprocess_id == IDS[1] else np.where(measured, image, np.float32(0))
        assert facts["measured"][i] == measured.sum()
        if measured.any():
            q = max(reference.preprocess.quantile99(counted), reference.preprocess.SMALLEST_DIVISOR)
            x = reference.preprocess.stretched(image, measured, counted)[measured]
            assert facts["divisor"][i] == pytest.approx(q, rel=2e-7)
            assert facts["positive"][i] == (x > 0).sum()
            assert facts["sum"][i] == pytest.approx(x.astype(np.float64).sum(), rel=1e-6)
        else:
            assert (facts["sum"][i], facts["positive"][i]) == (0, 0)


@pytest.mark.parametrize("rest", [np.nan, -1, 0, -np.inf])
@backends("preprocess")
def test_the_quantile_lies_between_unmeasured_pixels_and_the_few_above(run: Kernel, rest: float) -> None:
    """Of 150 pixels the third from the top and the second decide; what is not measured counts as 0 in the first id."""
    images = np.full((12, 10, 15), rest, np.float32)
    images[6:, 3:5] = np.nan
    for positive in range(6):
        images[positive::6].reshape(2, -1)[:, 20 : 20 + positive] = 2 + np.arange(positive)
    for preprocess_id in IDS:
        got, facts = run(images, preprocess_id)
        same_bits(got, _core.preprocess(images, preprocess_id))
        for image, divisor in zip(images, facts["divisor"], strict=True):
            counted = image[~np.isnan(image)] if preprocess_id == IDS[1] else np.nan_to_num(image, neginf=-np.inf)
            if counted.size > 0:
                expected = max(reference.preprocess.quantile99(counted), reference.preprocess.SMALLEST_DIVISOR)
                assert divisor == pytest.approx(expected, rel=2e-7)


@pytest.mark.parametrize("preprocess_id", IDS)
@pytest.mark.parametrize("shape", [(30, 41), (120, 90)])
@backends("preprocess")
def test_narrow_types_are_the_rounded_values(
    run: Kernel, shape: tuple[int, int], preprocess_id: str, rng: np.random.Generator
) -> None:
    images = awkward_images(shape, rng)
    images[0] = np.where(rng.random(shape) < 0.5, images[0], images[0] * np.float32(2) ** rng.integers(-26, 0, shape))
    expected = _core.preprocess(images, preprocess_id)
    bf16, _ = run(images, preprocess_id, None, "bf16")
    f16, _ = run(images, preprocess_id, None, "f16")
    assert (expected[0, 0] < 2**-14).any()  # subnormal halves are among them
    np.testing.assert_array_equal(bf16, as_bf16(expected))
    np.testing.assert_array_equal(f16.view(np.float16), expected.astype(np.float16))


@backends("preprocess")
def test_the_place_in_the_stack_does_not_matter(run: Kernel, rng: np.random.Generator) -> None:
    """Images of an odd number of pixels begin anywhere within 16 bytes."""
    images = awkward_images((37, 29), rng)
    all_at_once, facts = run(images, IDS[1])
    for i in range(len(images)):
        alone, fact = run(images[i : i + 1], IDS[1])
        same_bits(alone, all_at_once[i : i + 1])
        for name, values in facts.items():
            same_bits(fact[name], values[i : i + 1])


def test_neither_memory_nor_order_of_threads_show(rng: np.random.Generator) -> None:
    images = awkward_images((50, 61), rng)
    expected, facts = _core_testing.emulated_preprocess(images, IDS[0])
    for seed in range(1, 6):
        for shared_bytes in (HOPPER, SMALL // 2):
            got, others = _core_testing.emulated_preprocess(images, IDS[0], shared_bytes=shared_bytes, seed=seed)
            same_bits(got, expected)
            for name, values in facts.items():
                same_bits(others[name], values)


def test_what_fits_the_shared_memory() -> None:
    assert _core_testing.preprocess_fits(200 * 250)  # a section of ordinary size, on compute capability 9.0
    assert not _core_testing.preprocess_fits(300 * 300)
    assert _core_testing.preprocess_fits(61 * 50, shared_bytes=SMALL)
    assert not _core_testing.preprocess_fits(61 * 100, shared_bytes=SMALL)


def test_bad_arguments() -> None:
    images = np.zeros((1, 3, 4), np.float32)
    with pytest.raises(ArgumentError, match="unknown element type 'f64'; known: f32, bf16, f16"):
        _core_testing.emulated_preprocess(images, IDS[0], None, "f64")
    assert _core_testing.emulated_preprocess(images[:0], IDS[1])[0].shape == (0, 2, 224, 224)


@pytest.mark.parametrize(
    "call", [f"probe_prepare(images, preprocess_id={IDS[0]!r}, device='cuda')", "probe_copy(1, device='cuda')"]
)
def test_without_a_gpu_the_cause_is_told(call: str) -> None:
    """In a process that sees none, whatever this host has."""
    code = f"import numpy as np; from ionmorphnet import _core; images = np.zeros((1, 3, 4), 'f4'); _core.{call}"
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert re.search(r"UnavailableError: .*(CUDA|driver|GPU)", done.stderr), done.stderr
