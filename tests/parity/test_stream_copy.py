"""What fills the chunks of the device loop: copies past the caches, in every width that this processor has."""

from __future__ import annotations

import numpy as np
import pytest

import ionmorphnet as imn
from native import _core_testing

DTYPES = ["f4", "f8"]
WIDTHS = [0, *_core_testing.stream_widths()]


def copied(values: np.ndarray, at: int, first: int, bits: int) -> tuple[np.ndarray, bool]:
    """From byte `at` of a buffer to value `first` of a line."""
    data = bytes(at) + values.tobytes() + bytes(64)
    whole = np.full(len(values) + 64, 7, values.dtype)
    skip = (-whole.ctypes.data % 64) // whole.itemsize + first
    finite = _core_testing.stream_copy(data, at, whole[skip : skip + len(values)], bits)
    # Nothing beside it is written.
    assert (whole[:skip] == 7).all()
    assert (whole[skip + len(values) :] == 7).all()
    return whole[skip : skip + len(values)], finite


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_place_and_length(dtype: str, bits: int, rng: np.random.Generator) -> None:
    line = 64 // np.dtype(dtype).itemsize
    extremes = np.array([np.finfo(dtype).max, np.finfo(dtype).min, np.finfo(dtype).smallest_subnormal, -0.0], dtype)
    for n in [*range(2 * line + 3), 1000]:
        values = rng.choice(extremes, n) if n % 2 else rng.normal(size=n).astype(dtype)
        for first in range(line):
            got, finite = copied(values, int(rng.integers(64)), first, bits)
            assert got.tobytes() == values.tobytes()
            assert finite


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_each_value_is_looked_at(dtype: str, bits: int, bad: float, rng: np.random.Generator) -> None:
    n = 150
    for k in range(n):
        values = rng.normal(size=n).astype(dtype)
        values[k] = bad
        got, finite = copied(values, 3, k % 16, bits)
        assert got.tobytes() == values.tobytes()
        assert not finite


def test_more_than_there_is() -> None:
    with pytest.raises(imn.ArgumentError, match="fewer values"):
        _core_testing.stream_copy(bytes(15), 0, np.empty(4, "f4"))
