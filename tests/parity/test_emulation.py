"""The emulated thread block that the kernels are tested in: its collectives, and that it shows mistakes."""

from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from native import _core_testing


@pytest.mark.parametrize("threads", [32, 96, 256, 1024])
@pytest.mark.parametrize("n", [0, 1, 31, 32, 33, 1000])
def test_collectives(rng: np.random.Generator, n: int, threads: int) -> None:
    values = rng.integers(-1000, 1000, n).astype(float) + rng.random(n)
    results = [_core_testing.emulated_collectives(values, threads, seed) for seed in (0, 1, 99)]
    whole = values.astype(np.int32)
    for total, scanned, scan_total in results:
        assert total == results[0][0]  # the order of the threads does not show
        assert total == pytest.approx(values.sum(), abs=1e-9)
        np.testing.assert_array_equal(scanned, np.cumsum(whole) - whole)
        assert scan_total == whole.sum()


def test_a_block_has_whole_warps() -> None:
    for threads in (0, 31, 33, 2048):
        with pytest.raises(ArgumentError, match="multiple of 32, at most 1024"):
            _core_testing.emulated_collectives(np.ones(3), threads, 0)


def test_mistakes_show() -> None:
    assert _core_testing.emulated_mistake("order", 0) == 63
    assert len({_core_testing.emulated_mistake("order", seed) for seed in range(1, 20)}) > 5
    assert _core_testing.emulated_mistake("unwritten", 0) != 0
    for seed in (0, 1):
        with pytest.raises(IonMorphNetError, match="wrote outside its 100 bytes of shared memory"):
            _core_testing.emulated_mistake("outside", seed)
