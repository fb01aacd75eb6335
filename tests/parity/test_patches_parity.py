from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet import _core, reference
from ionmorphnet.base.errors import ArgumentError


def _arguments(rng: np.random.Generator, shape: tuple[int, int, int], n: int) -> dict[str, np.ndarray]:
    height, width, channels = shape
    cube = rng.standard_normal(shape).astype(np.float32)
    measured = rng.random((height, width)) < 0.8
    cube[~measured] = np.nan
    chosen = rng.permutation(channels)[: max(1, channels // 2)]
    return {
        "cube": cube,
        "measured": measured,
        "pixels": rng.integers(0, height * width, n),
        "channels": chosen,
        "centre": rng.standard_normal(len(chosen)).astype(np.float32),
        "scale": rng.random(len(chosen)).astype(np.float32),
    }


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("size", [1, 3, 7, 15])
@pytest.mark.parametrize("shape", [(9, 11, 5), (1, 1, 1), (2, 30, 300), (20, 3, 64)])
def test_native_equals_reference(
    rng: np.random.Generator, shape: tuple[int, int, int], size: int, threads: int
) -> None:
    given = _arguments(rng, shape, 70)
    values, mask = _core.extract_patches(size=size, threads=threads, **given)
    expected, expected_mask = reference.patches.extract_patches(size=size, **given)
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(mask, expected_mask)
    assert values.shape == (70, len(given["channels"]), size, size)
    assert np.isfinite(values).all()


def test_what_a_patch_is() -> None:
    """The corner pixel of a 2 x 3 grid, written down by hand."""
    cube = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    measured = np.array([[True, True, True], [True, False, True]])
    one, zero = np.ones(1, np.float32), np.zeros(1, np.float32)
    values, mask = _core.extract_patches(cube, measured, [0], 3, [0], zero, one)
    np.testing.assert_array_equal(values[0, 0], [[0, 0, 0], [0, 0, 1], [0, 3, 0]])
    np.testing.assert_array_equal(mask[0], [[0, 0, 0], [0, 1, 1], [0, 1, 0]])


def test_given_arrays_are_filled(rng: np.random.Generator) -> None:
    given = _arguments(rng, (9, 11, 5), 12) | {"size": 3}
    expected, expected_mask = _core.extract_patches(**given)
    values, mask = np.full_like(expected, np.nan), np.full_like(expected_mask, 9)
    found, found_mask = _core.extract_patches(**given, out_values=values, out_mask=mask)
    assert found is values
    assert found_mask is mask
    np.testing.assert_array_equal(values, expected)
    np.testing.assert_array_equal(mask, expected_mask)
    for wrong in (values[:-1], values[:, ::-1], values.astype(np.float64)):
        with pytest.raises((ArgumentError, TypeError)):
            _core.extract_patches(**given, out_values=wrong)
    values.setflags(write=False)
    with pytest.raises(ArgumentError, match="writeable"):
        _core.extract_patches(**given, out_values=values)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 4}, "odd and positive, not 4"),
        ({"size": -1}, "odd and positive, not -1"),
        ({"pixels": [0, 99]}, "patch 1: no pixel 99 on a grid of 9 x 11"),
        ({"pixels": [-1]}, "no pixel -1"),
        ({"channels": [0, 5]}, "no channel 5; the section has 5"),
        ({"centre": np.zeros(1, np.float32)}, "the same length"),
        ({"measured": np.ones((9, 10), bool)}, "the cube's shape"),
        ({"cube": np.zeros((9, 11), np.float32)}, r"shape \(height, width, channels\)"),
    ],
)
def test_arguments_are_checked(rng: np.random.Generator, change: dict[str, object], message: str) -> None:
    given = _arguments(rng, (9, 11, 5), 3) | {"size": 3}
    with pytest.raises(ArgumentError, match=message):
        _core.extract_patches(**(given | change))
