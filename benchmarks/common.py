"""Shared by all benchmarks: interleaved timing, the data, and the table."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ionmorphnet as imn

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Context:
    """Where the data are, and how often to repeat."""

    work: Path
    repeat: int = 5
    scale: float = 0.05
    models: tuple[str, ...] = ()
    shared: Path = field(
        default_factory=lambda: Path(os.environ.get("IMN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    )

    def sections(self) -> dict[str, Path]:
        """A processed and a continuous section: real ones where available, otherwise simulated ones."""
        real = {
            "bladder79 (processed)": self.shared / "bladder79" / "bladder79_processed.imzML",
            "barley101 (continuous)": self.shared / "barley101" / "barley101_continuous.imzML",
        }
        if all(path.is_file() for path in real.values()):
            return real
        return {
            "simulated (processed)": self.simulated("processed", mode="processed"),
            "simulated (continuous)": self.simulated("continuous", mode="continuous"),
        }

    def simulated(self, name: str, **options: Any) -> Path:
        """A simulated section, written once per work folder."""
        path = self.work / f"{name}.imzML"
        if not path.is_file():
            imn.simulate(path, **options)
        return path


@dataclass(frozen=True)
class Row:
    """One line of the table: ``ratio`` is the time over ours in the same run; ``values`` go into the JSON file."""

    case: str
    tool: str
    seconds: float
    ratio: float | None = None
    note: str = ""
    values: Mapping[str, float] = field(default_factory=dict)


def interleaved(tools: Mapping[str, Callable[[], Any]], repeat: int) -> dict[str, float]:
    """Median seconds of each tool. Tools take turns, so noise hits all of them; the first round is a warm-up."""
    seconds: dict[str, list[float]] = {name: [] for name in tools}
    for turn in range(repeat + 1):
        for name, call in tools.items():
            start = time.perf_counter()
            call()
            if turn:
                seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in seconds.items()}


def cpu_seconds(call: Callable[[], object], repeat: int) -> float:
    """Median processor time, because the wall clock of a busy machine includes other processes."""
    seconds = []
    for _ in range(repeat):
        start = time.process_time()
        call()
        seconds.append(time.process_time() - start)
    return statistics.median(seconds)


def rows(case: str, seconds: Mapping[str, float], *, ours: str, notes: Mapping[str, str] | None = None) -> list[Row]:
    """One row per tool, with its time over ours."""
    base = seconds[ours]
    return [Row(case, tool, value, value / base, (notes or {}).get(tool, "")) for tool, value in seconds.items()]


def table(found: list[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| case | tool | time | x ours | note |", "|---|---|---:|---:|---|"]
    for row in found:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}" if row.ratio < 10 else f"{row.ratio:.0f}"
        lines.append(f"| {row.case} | {row.tool} | {_duration(row.seconds)} | {ratio} | {row.note} |")
    return "\n".join(lines)


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"
