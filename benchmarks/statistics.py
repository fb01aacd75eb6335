"""The classical statistics, compared with the numpy specification and, if installed, scipy.ndimage."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.common import Context, Row, cpu_seconds, interleaved, rows
from ionmorphnet import _core, reference
from ionmorphnet.models.labels import STATISTICS

IMAGES = 64
SHAPE = (134, 260)


def run(context: Context) -> list[Row]:
    found = []
    for kind, images in _images().items():
        few = images[:1]
        expected = reference.statistics.image_statistics(few)
        assert np.allclose(_core.image_statistics(few), expected, rtol=1e-4, atol=1e-5)
        tools: dict[str, Callable[[], object]] = {
            "ionmorphnet, 1 thread": lambda x=images: _core.image_statistics(x, threads=1),
            "ionmorphnet, 2 threads": lambda x=images: _core.image_statistics(x, threads=2),
        }
        for name in (name for name in STATISTICS if name != "coverage"):
            tools[f"{name} alone, 1 thread"] = lambda x=images, n=name: _core.score_stack(
                x, None, statistic=n, threads=1
            )
        seconds = {tool: value / IMAGES for tool, value in interleaved(tools, context.repeat).items()}
        slow: dict[str, Callable[[], object]] = {
            "numpy specification": lambda x=few: reference.statistics.image_statistics(x)
        }
        slow |= _scipy(few[0], expected[0])
        seconds |= interleaved(slow, 2)
        notes = {tool: f"{1 / value:.0f} images/s" for tool, value in seconds.items()}
        for tool, call in {**tools, **slow}.items():
            if "2 threads" not in tool:
                cpu = cpu_seconds(call, context.repeat if tool in tools else 2) / (IMAGES if tool in tools else 1)
                notes[tool] += f"; {1e6 * cpu:.0f} us of processor time"
        case = f"{SHAPE[0]} x {SHAPE[1]}, {kind}, per image"
        found += rows(case, seconds, ours="ionmorphnet, 1 thread", notes=notes)
    return found


def _images() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    y, x = np.indices(SHAPE)
    noise = rng.gamma(0.5, 10.0, (IMAGES, *SHAPE)).astype(np.float32)
    tissue = np.clip(np.sin(x / 25) + np.cos(y / 18), 0, None)
    return {"noise": noise, "tissue": rng.poisson(20 * tissue, noise.shape).astype(np.float32)}


def _scipy(image: np.ndarray, expected: np.ndarray) -> dict[str, Callable[[], object]]:
    """Blur and chaos written with scipy, for an image that is already normalised and fully measured."""
    try:
        from scipy import ndimage
    except ImportError:
        return {}
    x = reference.preprocess.stretched(image, np.ones(image.shape, bool), image)
    cross, square = ndimage.generate_binary_structure(2, 1), np.ones((3, 3))
    ones = ndimage.gaussian_filter(np.ones(image.shape), 2, mode="constant", truncate=4)

    def blur() -> float:
        blurred = ndimage.gaussian_filter(x.astype(np.float64), 2, mode="constant", truncate=4) / ones
        return float(blurred.var() / x.var(dtype=np.float64))

    def chaos() -> float:
        above = np.ceil(x * np.float32(29))
        objects = 0
        for level in range(30):
            dilated = ndimage.binary_dilation(above > level, cross)
            objects += ndimage.label(ndimage.binary_erosion(dilated, square, border_value=1))[1]
        return 1 - objects / 30 / int((x > 0).sum())

    assert np.allclose([blur(), chaos()], expected[1:3], rtol=1e-4, atol=1e-5)
    return {"blur, scipy.ndimage": blur, "chaos, scipy.ndimage": chaos}
