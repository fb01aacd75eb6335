#!/usr/bin/env python
"""Sweeps for silence: simulated sections with one random fault each, picked on the command line.

For each section either the picks, their images and the pixel size are those of the section without the fault, or a
warning or an error names the cause. The table counts both; the exit code is 1 if any result was wrong in silence, or if
anything was said about a clean section.

    python scripts/sweep_for_silence.py --sections 200
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from odd_files.faults import FAULTS
from odd_files.sections import FLAVOURS
from odd_files.sweep import Outcome, Sweep


def main() -> int:
    """Runs the sweep and prints its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", type=int, default=200, metavar="N", help="faulty sections (default: 200)")
    parser.add_argument("--seed", type=int, default=1, help="what is drawn (default: 1)")
    parser.add_argument(
        "--simulations", type=int, default=5, metavar="N", help="clean sections of each kind to start from"
    )
    parser.add_argument("--scorer", default="moran", help="scorer (default: moran)")
    parser.add_argument("--verbose", action="store_true", help="print what was said about every section")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    folder = Path(tempfile.mkdtemp(prefix="sweep"))
    try:
        return _run(arguments, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(arguments: argparse.Namespace, folder: Path) -> int:
    started = time.perf_counter()
    rng = np.random.default_rng(arguments.seed)
    sweep = Sweep(folder, arguments.scorer)
    names = list(FAULTS)
    # Every fault as often as every other, in random order.
    drawn = np.concatenate([rng.permutation(len(names)) for _ in range(-(-arguments.sections // len(names)))])
    outcomes: dict[str, list[Outcome]] = defaultdict(list)
    for number, k in enumerate(drawn[: arguments.sections].tolist()):
        fault = FAULTS[names[k]]
        flavour = fault.flavours[int(rng.integers(len(fault.flavours)))]
        outcome = sweep.run(fault, flavour, int(rng.integers(arguments.simulations)), 1000 * arguments.seed + number)
        outcomes[fault.name].append(outcome)
        if arguments.verbose or outcome.silent:
            print(f"{_verdict(outcome)}: {fault.name} [{flavour}] exit {outcome.code} {outcome.why}")
            print(*(f"    {line}" for line in outcome.lines), sep="\n")
        for done in folder.glob("run*"):
            shutil.rmtree(done)
    clean = [sweep.clean(flavour, seed)[2] for flavour in FLAVOURS for seed in range(arguments.simulations)]
    alarms = [line for outcome in clean for line in outcome.lines]
    print(_table(outcomes))
    silent = sum(outcome.silent for found in outcomes.values() for outcome in found)
    print(f"\nsilent: {silent} of {arguments.sections}")
    print(f"clean sections: {len(clean)}, with a warning: {sum(bool(outcome.lines) for outcome in clean)}")
    print(*alarms, sep="\n")
    print(f"{time.perf_counter() - started:.0f} s, scorer {arguments.scorer}, seed {arguments.seed}")
    return 1 if silent or alarms else 0


def _verdict(outcome: Outcome) -> str:
    return "right" if outcome.right else "named" if outcome.named else "SILENT"


def _table(outcomes: dict[str, list[Outcome]]) -> str:
    rows = ["| fault | n | right picks | cause named | silent |", "|---|---|---|---|---|"]
    total: Counter[str] = Counter()
    for name in FAULTS:
        counts = Counter(_verdict(outcome) for outcome in outcomes.get(name, []))
        named = sum(outcome.named for outcome in outcomes.get(name, []))
        total += Counter(n=len(outcomes.get(name, [])), right=counts["right"], named=named, silent=counts["SILENT"])
        rows.append(f"| {name} | {len(outcomes.get(name, []))} | {counts['right']} | {named} | {counts['SILENT']} |")
    rows.append(f"| all {len(FAULTS)} | {total['n']} | {total['right']} | {total['named']} | {total['silent']} |")
    return "\n".join(rows)


if __name__ == "__main__":
    sys.exit(main())
