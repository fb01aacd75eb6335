"""Patches around labelled pixels, compared with numpy loops; and the memory of a cohort larger than the limit."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from benchmarks.common import Context, Row, cpu_seconds, interleaved, rows
from benchmarks.memory import peak_anonymous
from ionmorphnet import _core, reference

SHAPE = (120, 150)
PATCHES = 512
LIMIT_MB = 60
READ = """
import sys, numpy as np, ionmorphnet as imn
from ionmorphnet.tumor.cubes import open_cubes
from ionmorphnet.tumor.patches import Scaling, in_batches, labelled_pixels
cohort = imn.tumor.read_cohort(sys.argv[1])
with open_cubes(cohort, imn.tumor.make_channels(None, cohort), memory_limit=sys.argv[2]) as cubes:
    pixels = labelled_pixels(cubes, range(len(cubes)))
    scaling = Scaling.of(cubes, pixels, np.arange(cubes[0].n_channels))
    n = sum(len(values) for _, values, _ in in_batches(cubes, pixels, 5, scaling, 64))
    assert n == len(pixels)
"""


def run(context: Context) -> list[Row]:
    found = []
    rng = np.random.default_rng(0)
    for channels, size in ((40, 5), (40, 7), (40, 9), (200, 7), (2000, 7)):
        n = PATCHES if channels < 1000 else PATCHES // 8
        cube = rng.random((*SHAPE, channels), dtype=np.float32)
        measured = rng.random(SHAPE) < 0.95
        # Byte masks and reused arrays, as in training and prediction.
        seen = measured.view(np.uint8)
        given = (
            cube,
            measured,
            rng.choice(np.flatnonzero(measured), n),
            size,
            np.arange(channels),
            rng.random(channels, dtype=np.float32),
            rng.random(channels, dtype=np.float32),
        )
        expected = reference.patches.extract_patches(*given)
        for threads in (1, 0):
            values, mask = _core.extract_patches(*given, threads=threads)
            assert np.array_equal(values, expected[0])
            assert np.array_equal(mask, expected[1])
        ours = (cube, seen, *given[2:])
        out = {"out_values": values, "out_mask": mask}
        tools = {
            "ionmorphnet, all threads": lambda g=ours, o=out: _core.extract_patches(*g, **o),
            "ionmorphnet, 1 thread": lambda g=ours, o=out: _core.extract_patches(*g, threads=1, **o),
            "numpy, loop over patches": lambda g=given: reference.patches.extract_patches(*g),
            "numpy, loop over pixels": lambda g=given: _pixel_loop(*g),
        }
        seconds = {tool: value / n for tool, value in interleaved(tools, context.repeat).items()}
        notes = {tool: f"{1 / value:.0f} patches/s" for tool, value in seconds.items()}
        for tool, call in tools.items():
            if "all" not in tool:
                notes[tool] += f"; {1e6 * cpu_seconds(call, context.repeat) / n:.2f} us of processor time"
        found += rows(f"{channels} x {size} x {size}, per patch", seconds, ours="ionmorphnet, all threads", notes=notes)
    return [*found, *_memory(context)]


def _pixel_loop(
    cube: np.ndarray,
    measured: np.ndarray,
    pixels: np.ndarray,
    size: int,
    channels: np.ndarray,
    centre: np.ndarray,
    scale: np.ndarray,
) -> np.ndarray:
    """The obvious first version: a loop over the pixels of each patch."""
    height, width = measured.shape
    half = size // 2
    values = np.zeros((len(pixels), len(channels), size, size), np.float32)
    for i, pixel in enumerate(pixels):
        y, x = divmod(int(pixel), width)
        for dy in range(size):
            for dx in range(size):
                v, u = y + dy - half, x + dx - half
                if 0 <= v < height and 0 <= u < width and measured[v, u]:
                    values[i, :, dy, dx] = (cube[v, u, channels] - centre) * scale
    return values


def _memory(context: Context) -> list[Row]:
    """Peak anonymous memory of reading a cohort larger than the limit, minus that of a tiny one."""
    lists = {}
    for name, shape, channels in (("tiny", (24, 24), 20), ("large", (200, 200), 300)):
        folder = context.work / f"cohort_{name}"
        if not (folder / "cohort.csv").is_file():
            imn.tumor.simulate_cohort(folder, patients=2, sections=2, shape=shape, n_channels=channels, seed=1)
        lists[name] = folder / "cohort.csv"
    size = sum(path.stat().st_size for path in lists["large"].parent.glob("*.ibd"))
    assert size > 2 * LIMIT_MB * 1e6, size
    peaks = {name: _peak(path) for name, path in lists.items()}
    extra = peaks["large"][0] - peaks["tiny"][0]
    note = f"{extra / 1e6:.0f} MB above a tiny cohort's {peaks['tiny'][0] / 1e6:.0f} MB; limit {LIMIT_MB} MB"
    assert extra < LIMIT_MB * 1e6, note
    return [
        Row(f"cohort of {size / 1e6:.0f} MB, every labelled patch once", "ionmorphnet", peaks["large"][1], None, note)
    ]


def _peak(path: Path) -> tuple[int, float]:
    started = time.perf_counter()
    command = [sys.executable, "-c", READ, str(path), f"{LIMIT_MB}MB"]
    return peak_anonymous(subprocess.Popen(command, env=dict(os.environ))), time.perf_counter() - started
