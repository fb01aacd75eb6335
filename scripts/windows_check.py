"""Picks of the Windows build under Wine beside those of the Python package on Linux. Run by scripts/windows.sh.

    python scripts/windows_check.py BIN

BIN holds the DLLs, the engines' folders, pick.exe (examples/embedding/c) and misuse.exe (tests/capi). Sections: a
simulated one and, where IMN_SHARED_DATA or ../shared/data has it, barley101. m/z and scores must be equal to 1e-12 for
the statistics and to 1e-5 for the network.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from ionmorphnet.scoring.scorer import ScorerName

ROOT = Path(__file__).resolve().parents[1]
STATISTICS: tuple[ScorerName, ...] = ("moran", "blur", "chaos")
ENGINES = ("openvino", "onnxruntime")
ALL = 1_000_000


def wine(program: Path, *arguments: object) -> str:
    """Standard output of a program; its failure is an error."""
    done = subprocess.run(
        ["wine", program.name, *map(str, arguments)], cwd=program.parent, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"{program.name} {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def sections(folder: Path) -> list[Path]:
    """Sections to pick, copied to the folder."""
    imn.simulate(folder / "simulated.imzML", shape=(60, 50), n_channels=300, seed=1)
    shared = Path(os.environ.get("IMN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    barley = shared / "barley101" / "barley101_continuous.imzML"
    if barley.is_file():
        for path in (barley, barley.with_suffix(".ibd")):
            shutil.copy(path, folder / path.name)
    return sorted(folder.glob("*.imzML"))


def compare(program: Path, section: Path, windows: str, scorer: ScorerName, limit: float) -> bool:
    """Prints the largest differences of one pick; whether they are within the limit."""
    lines = wine(program, section, windows, ALL).split()
    found = np.array([[float(value) for value in line.split(",")] for line in lines])
    frame = imn.pick(section, scorer=scorer, precision="f32" if scorer == "openvino" else "auto", top=ALL).to_frame()
    expected = frame[["mz", "score"]].to_numpy(np.float64)
    if found.shape != expected.shape:
        print(f"{section.name}  {windows:12} {len(found)} channels, {len(expected)} on Linux")
        return False
    # Scores that differ in the last digits may change places: compared by m/z.
    found, expected = found[np.argsort(found[:, 0])], expected[np.argsort(expected[:, 0])]
    difference = np.abs(found - expected).max(axis=0)
    good = bool(difference[0] <= 1e-12 * expected[:, 0].max() and difference[1] <= limit)
    print(
        f"{section.name}  {windows:12} {len(found)} channels, largest difference of m/z {difference[0]:.1e}, "
        f"of scores {difference[1]:.1e} (allowed {limit:g})  {'ok' if good else 'DIFFERS'}"
    )
    return good


def main() -> int:
    folder = Path(sys.argv[1]).resolve()
    good = True
    with tempfile.TemporaryDirectory() as temporary:
        found = sections(Path(temporary))
        models = folder.parent / "share" / "ionmorphnet" / "models"
        last = wine(folder / "misuse.exe", found[-1], models).splitlines()[-1]
        print(f"misuse.exe: {last}")
        good = last.endswith("0 failures")
        for section in found:
            for scorer in STATISTICS:
                good = compare(folder / "pick.exe", section, scorer, scorer, 1e-12) and good
            for engine in ENGINES:
                good = compare(folder / "pick.exe", section, engine, "openvino", 1e-5) and good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
