"""The matrix of a study three times larger than the memory limit, and one of its channels read from disk.

Memory is the peak of anonymous memory (RssAnon + RssShmem) of the whole process, interpreter and libraries included.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from benchmarks.common import Context, Row, interleaved
from benchmarks.memory import peak_anonymous

SECTIONS, SHAPE, CHANNELS = 10, (75, 80), 6250
LIMIT_MB = 500
MATRIX = """\
import json, sys
import ionmorphnet as imn

written = imn.cohort.write_matrix(sys.argv[1], memory_limit=sys.argv[2])
print(json.dumps([written.n_pixels, written.n_channels]))
"""


def run(context: Context) -> list[Row]:
    # 60,000 pixels x 6,250 channels x 4 bytes = 1.5 GB.
    large = _study(context.work / "matrix_large", CHANNELS)
    command = [sys.executable, "-c", MATRIX, str(large), f"{LIMIT_MB}MB"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    peak = peak_anonymous(process)
    seconds = time.perf_counter() - start
    assert process.stdout is not None
    n_pixels, n_channels = json.loads(process.stdout.read())
    size = 4 * n_pixels * n_channels
    note = f"{size / 1e6:.0f} MB of values, limit {LIMIT_MB} MB, peak of the process {peak / 1e6:.0f} MB"
    assert size >= 3 * LIMIT_MB * 1e6, note
    assert peak < LIMIT_MB * 1e6, note
    found = [Row(f"{n_pixels:,} pixels x {n_channels:,} channels", "cohort matrix", seconds, None, note)]
    small = _study(context.work / "matrix_small", 300)
    written = imn.cohort.write_matrix(small)
    assert (written.n_pixels, written.n_channels) == (60_000, 300)
    return [*found, *_reading(Path(written.path), context.repeat)]


def _reading(store: Path, repeat: int) -> list[Row]:
    import anndata
    import zarr

    whole = np.asarray(anndata.read_zarr(store).X)
    for k in (0, 150, 299):
        assert np.array_equal(zarr.open_array(store / "X")[:, k], whole[:, k])
    rng = np.random.default_rng(0)
    seconds = interleaved(
        {
            "one channel of all pixels": lambda: zarr.open_array(store / "X")[:, int(rng.integers(300))],
            "whole store, anndata.read_zarr": lambda: anndata.read_zarr(store),
        },
        max(repeat, 5),
    )
    one = seconds["one channel of all pixels"]
    return [Row("60,000 pixels x 300 channels", tool, value, value / one) for tool, value in seconds.items()]


def _study(folder: Path, n_channels: int) -> Path:
    """A picked study with a consensus of all channels."""
    out = folder / "out"
    if (out / "consensus").is_dir():
        return out
    rng = np.random.default_rng(n_channels)
    mz = np.geomspace(150.0, 1800.0, n_channels)
    y, x = np.mgrid[1 : SHAPE[0] + 1, 1 : SHAPE[1] + 1]
    positions = np.stack([x.ravel(), y.ravel(), np.ones(x.size, int)], axis=1)
    for k in range(SECTIONS):
        path = folder / "study" / f"s{k}.imzML"
        path.parent.mkdir(parents=True, exist_ok=True)
        with imn.ImzMLWriter(path, mode="continuous", spectrum_type="centroid", pixel_size_um=(50.0, 50.0)) as writer:
            writer.add_shared(positions, mz, rng.gamma(4.0, 25.0, (x.size, n_channels)).astype(np.float32))
    done = imn.cohort.run(folder / "study", out, jobs=1, scorer="moran", top=50)
    assert not done.failed, done.failed
    found = imn.cohort.find_consensus(out, min_share=0.5)
    assert len(found) == n_channels, len(found)
    return out
