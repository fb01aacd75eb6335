"""Fixtures of the comparisons between backends."""

from __future__ import annotations

from functools import partial

import pytest

from ionmorphnet import _core
from kernels import Kernel, emulated


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Kernel:
    """Kernels on one backend, see `kernels.backends`; without a GPU the tests on one skip."""
    name, backend = request.param
    if backend == "cuda":
        return partial(getattr(_core, f"cuda_{name}"), device=request.getfixturevalue("cuda"))
    return emulated(name, backend)
