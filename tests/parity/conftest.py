"""Fixtures of the comparisons between backends."""

from __future__ import annotations

import pytest

from kernels import Kernel, emulated, on_gpu


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Kernel:
    """Kernels on one backend, see `kernels.backends`; without a GPU the tests on one skip."""
    name, backend = request.param
    if backend == "cuda":
        return on_gpu(name, request.getfixturevalue("cuda"))
    return emulated(name, backend)
