"""Writes the golden tables: rank, m/z and score of every candidate of three sections, in float32 on the CPU.

python tests/golden/write_tables.py OUT [SHARED_DATA]

Run it only for a change that is meant to change numbers, and say so under "Numerical changes" in CHANGELOG.md. The two
measured sections are third-party data that is not part of the repository (tests/conftest.py).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import pandas as pd

import ionmorphnet as imn

SECTIONS = {
    "bladder79": "bladder79/bladder79_processed.imzML",
    "barley101": "barley101/barley101_continuous.imzML",
}


def simulate_demo(folder: Path) -> Path:
    """The section of `ionmorphnet demo`."""
    path = folder / "demo.imzML"
    imn.simulate(path, shape=(100, 120), n_channels=600, seed=7)
    return path


def table(section: Path) -> pd.DataFrame:
    """Every candidate, ranked; columns rank, mz, score, picked."""
    peaks = imn.pick(section, device="cpu", scorer="openvino", precision="f32")
    frame = peaks.all_scores[["rank", "mz", "score"]].copy()
    frame["picked"] = frame["rank"] <= len(peaks)
    return frame


def main(out: Path, data: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sections = {name: data / file for name, file in SECTIONS.items()} | {"demo": simulate_demo(Path(folder))}
        for name, section in sections.items():
            table(section).to_csv(out / f"{name}.csv", index=False, float_format="%.9g")


if __name__ == "__main__":
    here = Path(__file__).resolve()
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else here.parents[3] / "shared" / "data")
