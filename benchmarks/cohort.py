"""Cohort runs: two workers against one, and what the scheduler costs a file.

Each case runs ``imn.cohort.run`` in processes of its own, since a parent's memory is one of the figures.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import ionmorphnet as imn
from benchmarks.common import Context, Row

# Sections of the comparison of workers: with a small one and a classical score, a core is idle much of the time.
N_SECTIONS = 60
SHAPE = (48, 40)
# Tiny files of the scheduler's case at scale 1; the default scale of .05 makes 50 of them.
N_TINY = 1000

RUN = """\
import json, resource, sys, time
import ionmorphnet as imn

def rss():
    with open("/proc/self/status") as status:
        fields = dict(line.split(":", 1) for line in status if ":" in line)
    return int(fields["VmRSS"].split()[0]) * 1024

if __name__ == "__main__":
    memory = []
    def progress(p):
        if p.last:
            memory.append(rss())
    start = time.perf_counter()
    done = imn.cohort.run(sys.argv[1], sys.argv[2], jobs=int(sys.argv[3]), scorer=sys.argv[4], progress=progress,
                          **({"top": 10} if sys.argv[4] == "moran" else {}))
    assert not done.failed, done.failed
    picks = sum(entry.seconds for entry in done.entries.values())
    print(json.dumps({"wall": time.perf_counter() - start, "picks": picks, "memory": memory}))
"""


def run(context: Context) -> list[Row]:
    found = []
    sections = context.work / "cohort"
    for k in range(N_SECTIONS):
        path = sections / f"s{k:02}.imzML"
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            imn.simulate(path, shape=SHAPE, n_channels=300, mode="processed", seed=k)
    for scorer in ("moran", "openvino"):
        walls: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(min(context.repeat, 3)):
            for jobs in walls:
                walls[jobs].append(_run(context, sections, f"{scorer}-{jobs}-{turn}", jobs, scorer)["wall"])
        one, two = (statistics.median(walls[jobs]) for jobs in (1, 2))
        case = f"{N_SECTIONS} sections of {SHAPE[0]} x {SHAPE[1]} pixels, scorer {scorer}"
        found += [Row(case, "2 workers", two, 1.0), Row(case, "1 worker", one, one / two)]
    return [*found, *_scheduler(context)]


def _scheduler(context: Context) -> list[Row]:
    n = max(20, round(N_TINY * context.scale))
    tiny = context.work / f"tiny-{n}"
    for k in range(n):
        path = tiny / f"s{k:04}.imzML"
        if not path.is_file():
            path.parent.mkdir(exist_ok=True)
            imn.simulate(path, shape=(16, 16), n_channels=10, mode="continuous", seed=k)
    start = time.perf_counter()
    paths = sorted(tiny.glob("*.imzML"))[:n]
    picked = list(imn.pick_files(paths, context.work / "plain", scorer="moran", top=10, force=True))
    plain = time.perf_counter() - start
    assert all(each.picked for each in picked), picked
    report = _run(context, tiny, "scheduler", 1, "moran")
    memory = report["memory"]
    grown = (memory[-1] - memory[len(memory) // 10]) / 1e6
    note = (
        f"{1e3 * (report['wall'] - report['picks']) / n:.1f} ms a file besides the picks, "
        f"{1e3 * (report['wall'] - plain) / n:+.1f} ms a file more than pick; "
        f"memory of the parent {memory[-1] / 1e6:.0f} MB, {grown:+.1f} MB after the first tenth"
    )
    case = f"{n:,} files of 256 pixels"
    return [
        Row(case, "cohort run, 1 worker", report["wall"], 1.0, note),
        Row(case, "pick", plain, plain / report["wall"]),
    ]


def _run(context: Context, sections: Path, name: str, jobs: int, scorer: str) -> dict[str, float]:
    out = context.work / "out" / f"{name}-{time.monotonic_ns()}"
    script = context.work / "cohort_run.py"
    script.write_text(RUN)
    command = [sys.executable, script, sections, out, str(jobs), scorer]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    report: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return report
