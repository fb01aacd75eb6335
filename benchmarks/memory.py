"""Anonymous memory of a pick (peak RssAnon + RssShmem) on a file ten times larger than the memory limit, minus
that of the same pick on a tiny file."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import ionmorphnet as imn
from benchmarks.common import Context, Row

LIMIT_MB = 200
PICK = "import sys, ionmorphnet as imn; imn.pick(sys.argv[1], top=10, scorer=sys.argv[2], memory_limit=sys.argv[3])"


def run(context: Context) -> list[Row]:
    tiny = context.simulated("memory_tiny", shape=(16, 16), n_channels=20, mode="continuous", seed=1)
    # 250 x 250 pixels x 8,000 channels x 4 bytes = 2.0 GB of intensities.
    large = context.simulated("memory_large", shape=(250, 250), n_channels=8000, mode="continuous", seed=1)
    size = large.with_suffix(".ibd").stat().st_size
    assert size >= 10 * LIMIT_MB * 1e6, size
    found = []
    for scorer in ("moran", "openvino"):
        if scorer == "openvino":
            with imn.open(large) as ds:
                keep = imn.candidate_axis(ds)
            assert len(keep) == 8000
        peaks = {name: _peak(path, scorer) for name, path in (("tiny", tiny), ("large", large))}
        extra = peaks["large"][0] - peaks["tiny"][0]
        note = f"{extra / 1e6:.0f} MB above the tiny file's {peaks['tiny'][0] / 1e6:.0f} MB; limit {LIMIT_MB} MB"
        found.append(Row(f"ibd of {size / 1e9:.1f} GB, scorer {scorer}", "pick", peaks["large"][1], None, note))
        assert extra < LIMIT_MB * 1e6, note
    return found


def _peak(path: Path, scorer: str) -> tuple[int, float]:
    """Peak anonymous bytes and seconds of a pick in a separate process, sampled from /proc."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", PICK, str(path), scorer, f"{LIMIT_MB}MB"])
    return peak_anonymous(process), time.perf_counter() - start


def peak_anonymous(process: subprocess.Popen[bytes]) -> int:
    """Peak anonymous bytes of a process; its failure is an error."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, _anonymous(process.pid))
        time.sleep(0.005)
    assert process.returncode == 0
    return peak


def _anonymous(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    return sum(int(fields.get(name, "0").split()[0]) * 1024 for name in ("RssAnon", "RssShmem"))
