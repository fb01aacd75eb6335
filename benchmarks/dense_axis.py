"""The candidate axis of dense processed centroids, side by side with another build of the package.

``python -m benchmarks.dense_axis --other FOLDER`` makes a section of 2,000 spectra with 20,000 peaks each (500 MB).
It finds the axis in turns with this build and with the one in FOLDER (the folder that holds its ``ionmorphnet``), each
time in a new process. Prints the medians, and by how much the channels differ at most.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import ionmorphnet as imn

WIDTH = 50
MZ_RANGE = (100.0, 2000.0)
COLUMNS = ("mz", "mz_lo", "mz_hi", "frequency")
MEASURE = """
import json, sys, time
import numpy as np
import ionmorphnet as imn
with imn.open(sys.argv[1]) as ds:
    wall, cpu = time.perf_counter(), time.process_time()
    axis = imn.candidate_axis(ds, threads=int(sys.argv[3]))
    seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
np.savez(sys.argv[2], mz=axis.mz, mz_lo=axis.mz_lo, mz_hi=axis.mz_hi, frequency=axis.frequency)
print(json.dumps(seconds))
"""


def write_section(path: Path, spectra: int, ions: int, share: float) -> None:
    """Ions spread evenly over ln(m/z), each in its own share of the spectra; jitter 1.5 ppm, drift 3 ppm."""
    rng = np.random.default_rng(0)
    mz = np.exp(np.sort(rng.uniform(*np.log(MZ_RANGE), ions)))
    shares = rng.beta(1.5, 0.8, ions)
    shares = np.clip(shares * share / shares.mean(), 0.0, 1.0)
    with imn.ImzMLWriter(path, mode="processed", spectrum_type="centroid") as writer:
        for s in range(spectra):
            shown = mz[rng.random(ions) < shares]
            ppm = rng.normal(0.0, 1.5, len(shown)) + 3.0 * (s / spectra - 0.5)
            peaks = np.unique(shown * (1 + 1e-6 * ppm))
            writer.add(s % WIDTH + 1, s // WIDTH + 1, peaks, rng.lognormal(0.0, 1.0, len(peaks)).astype(np.float32))


def measure(package: Path | None, section: Path, out: Path, threads: int) -> dict[str, float]:
    environment = dict(os.environ)
    if package is not None:
        environment["PYTHONPATH"] = str(package)
    command = [sys.executable, "-c", MEASURE, str(section), str(out), str(threads)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    seconds: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dense_axis", description=__doc__)
    parser.add_argument("--other", type=Path, help="folder of the other build")
    parser.add_argument("--spectra", type=int, default=2000)
    parser.add_argument("--ions", type=int, default=30_000)
    parser.add_argument("--share", type=float, default=2 / 3, help="of the ions in a spectrum (default 2/3)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep the section here (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        section = work / f"dense_{arguments.spectra}_{arguments.ions}.imzML"
        if not section.is_file():
            write_section(section, arguments.spectra, arguments.ions, arguments.share)
        builds: dict[str, Path | None] = {"this": None}
        if arguments.other is not None:
            builds["other"] = arguments.other.resolve()
        found: dict[str, list[dict[str, float]]] = {name: [] for name in builds}
        for _ in range(arguments.rounds):
            for name, package in builds.items():
                found[name].append(measure(package, section, Path(temporary) / f"{name}.npz", arguments.threads))
        for name, rounds in found.items():
            medians = {kind: statistics.median(each[kind] for each in rounds) for kind in ("wall", "cpu")}
            channels = len(np.load(Path(temporary) / f"{name}.npz")["mz"])
            print(f"{name}: {channels:,} channels, wall {medians['wall']:.1f} s, processor {medians['cpu']:.1f} s")
        if arguments.other is not None:
            this, other = (np.load(Path(temporary) / f"{name}.npz") for name in ("this", "other"))
            if len(this["mz"]) != len(other["mz"]):
                sys.exit("the numbers of channels differ")
            worst = {name: float(np.max(np.abs(this[name] / other[name] - 1), initial=0.0)) for name in COLUMNS}
            print("largest relative difference: " + ", ".join(f"{name} {value:.1e}" for name, value in worst.items()))


if __name__ == "__main__":
    main()
