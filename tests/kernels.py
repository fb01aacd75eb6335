"""The GPU's kernels of preprocessing and statistics, as tests run them: emulated on the host, and on a GPU."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from ionmorphnet import _core
from ionmorphnet.models.labels import STATISTICS
from native import _core_testing

HOPPER = 227 * 1024  # bytes of shared memory that a block may have on compute capability 9.0
SMALL = 24 * 1024  # less than any GPU has: images of ordinary size do not fit

Kernel = Callable[..., Any]

BACKENDS = ["emulated", "emulated, shuffled", "emulated, little memory", "emulated, little memory, shuffled", "cuda"]


def backends(name: str) -> pytest.MarkDecorator:
    """Parametrises the fixture ``run``: the kernels of ``name`` on every backend."""
    return pytest.mark.parametrize("run", [(name, backend) for backend in BACKENDS], ids=BACKENDS, indirect=True)


def emulated(name: str, backend: str) -> Kernel:
    """A function of the host that runs the kernels of ``name``; shuffled: threads and blocks in another order."""
    shared_bytes = SMALL if "little memory" in backend else HOPPER
    return partial(
        getattr(_core_testing, f"emulated_{name}"), shared_bytes=shared_bytes, seed=7 if "shuffled" in backend else 0
    )


def on_gpu(name: str, device: str) -> Kernel:
    """A function of the host that runs the kernels of ``name`` on a GPU."""
    return partial({"preprocess": _preprocess_on_gpu, "statistics": _statistics_on_gpu}[name], device)


def _preprocess_on_gpu(
    device: str,
    images: np.ndarray,
    preprocess_id: str,
    mask: np.ndarray | None = None,
    kind: str = "f32",
    *,
    sample: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    probe = _core.probe_prepare(images, mask, preprocess_id=preprocess_id, type=kind, sample=sample, device=device)
    return probe["input"], probe["facts"]


def _statistics_on_gpu(device: str, images: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    # With this preprocessing the statistics find the quantile themselves, as the emulated ones do.
    probe = _core.probe_prepare(
        images, mask, preprocess_id="p99-stretch-224", statistics=list(STATISTICS), device=device
    )
    return probe["statistics"]


class DeviceCalls:
    """The native module that runs calls on a device: on ``emulated`` with a seed, which a GPU does not accept."""

    def __init__(self, device: str, seed: int = 0) -> None:
        self._module = _core_testing if device == "emulated" else _core
        self._arguments = {"device": device} | ({"seed": seed} if device == "emulated" else {})

    def __getattr__(self, name: str) -> Kernel:
        return partial(getattr(self._module, name), **self._arguments)


def awkward_images(shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise, structure, and what may go wrong: gaps, ties, infinities, huge, tiny and negative values."""
    size = shape[0] * shape[1]
    plane = np.zeros(shape, np.float32)
    noise = rng.exponential(size=shape).astype(np.float32)
    y, x = np.indices(shape)
    sparse = np.where(rng.random(shape) < 0.005, noise, np.float32(0))
    single = plane.copy()
    single.flat[rng.integers(size)] = 3
    alone = np.full(shape, np.nan, np.float32)
    alone.flat[rng.integers(size)] = 2
    hot = noise.copy()
    hot.flat[rng.integers(0, size, 2)] = [1e30, np.inf]
    ties = np.full(size, 5, np.float32)
    ties[rng.permutation(size)[: size // 100 + 1]] = 7
    zeros = np.where(rng.random(shape) < 0.5, np.float32(-0.0), np.float32(0))
    extremes = np.where(rng.random(shape) < 0.5, np.float32(-np.inf), np.float32(np.inf))
    return np.stack(
        [
            noise, np.cumsum(noise, axis=0), sparse, single, alone, hot, ties.reshape(shape), zeros, extremes, plane,
            plane + 0.1, plane - 2, -noise, plane * np.nan, np.where(noise > 1, np.nan, noise),
            noise * np.float32(1e37), noise * 1e-9, noise * 1e-41, noise * 1e-3 + 1e4, np.round(noise * 3) - 1,
            np.sin(x / 5) + np.cos(y / 7) + 0.2 * noise, np.round(10 * np.sin(x / 9) ** 2), x + y, -x - 2 * y,
        ]
    ).astype(np.float32)  # fmt: skip


def same_bits(got: np.ndarray, expected: np.ndarray) -> None:
    """Equal values, and equal signs of zeros."""
    np.testing.assert_array_equal(got, expected)
    np.testing.assert_array_equal(np.signbit(got), np.signbit(expected))
