"""``python -m benchmarks [NAME ...] [--json OUT]``: runs every benchmark in one process and prints one table each."""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import tempfile
from pathlib import Path

from benchmarks.common import Context, table
from ionmorphnet.base.versions import versions

NAMES = (
    "startup",
    "parse",
    "binning",
    "preprocess",
    "statistics",
    "scoring",
    "end_to_end",
    "many_channels",
    "profile_section",
    "memory",
    "patches",
    "device",
    "device_read",
    "cohort",
    "cohort_matrix",
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which to run: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--json", type=Path, help="also write the rows as JSON")
    parser.add_argument("--repeat", type=int, default=5, help="timed rounds (default 5)")
    parser.add_argument(
        "--scale", type=float, default=0.05, help="size of many_channels; 1: 85,000 bins (default 0.05)"
    )
    parser.add_argument("--model", action="append", help="model of many_channels, bundled name or folder; repeatable")
    parser.add_argument("--work", type=Path, help="keep simulated files here (default: a temporary folder)")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}")
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        context = Context(
            work=work, repeat=arguments.repeat, scale=arguments.scale, models=tuple(arguments.model or ())
        )
        for name in arguments.names or NAMES:
            found = importlib.import_module(f"benchmarks.{name}").run(context)
            results[name] = [dataclasses.asdict(row) for row in found]
            print(f"\n## {name}\n\n{table(found)}", flush=True)
    if arguments.json:
        host = {"machine": platform.machine(), "cpus": os.cpu_count(), "cpu": _cpu_name(), "load": os.getloadavg()}
        document = {"host": host, "versions": versions(), "results": results}
        arguments.json.write_text(json.dumps(document, indent=2) + "\n")


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")


if __name__ == "__main__":
    main()
