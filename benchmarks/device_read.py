"""The reading of the device loop alone, on any machine, without a GPU; `python -m benchmarks device_read`.

The workload is that of the device benchmark (IMN_DEVICE_SCALE reduces it), in the page cache. In the first pass the
file has just been opened, and the process has not mapped its pages yet; later passes find them mapped. --repeat: number
of times the file is opened. IMN_DEVICE_THREADS: numbers of threads, for example "1,4,16" (default: all).
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator

import ionmorphnet as imn
from benchmarks.common import Context, Row
from benchmarks.device_data import Workload, reference_files
from ionmorphnet import _core

LATER = 3  # passes over an open file


def run(context: Context) -> list[Row]:
    work = Workload(scale=float(os.environ.get("IMN_DEVICE_SCALE", "1")))
    counts = [int(n) for n in os.environ.get("IMN_DEVICE_THREADS", "0").split(",")]
    return [row for threads in counts for row in _rows(context, work, threads)]


def _rows(context: Context, work: Workload, threads: int) -> Iterator[Row]:
    for mode, (path, axis) in reference_files(context.work, work).items():
        path.with_suffix(".ibd").read_bytes()  # into the page cache
        passes: dict[str, list[dict[str, float]]] = {"first pass": [], "later passes": []}
        for _ in range(context.repeat):
            with imn.open(path) as ds:
                for k in range(1 + LATER):
                    probe = _core.probe_read(ds._native, axis.mz_lo, axis.mz_hi, threads=threads)
                    passes["later passes" if k else "first pass"].append(probe)
        for name, probes in passes.items():
            yield _row(f"{mode}, {work.describe(mode)}", f"{name}, {threads or os.cpu_count()} threads", probes, work)


def _row(case: str, tool: str, probes: list[dict[str, float]], work: Workload) -> Row:
    seconds = statistics.median(probe["seconds"] for probe in probes)
    size = probes[0]["bytes"]
    # Every value once, and little else.
    least = work.file_bytes(case.split(",")[0])
    assert 0.99 * least <= size <= 1.1 * least, "the chunks hold another number of values than the file"
    first = statistics.median(probe["first_chunk_s"] for probe in probes)
    rate = size / 1e9 / seconds
    note = f"{rate:.3g} GB/s of {size / 1e9:.3g} GB, {probes[0]['chunks']:.0f} chunks, first after {first * 1e3:.2g} ms"
    best = min(probe["seconds"] for probe in probes)
    values = {"bytes": size, "GB/s": rate, "first_chunk_s": first, "best_s": best}
    return Row(case, tool, seconds, None, note, values)
