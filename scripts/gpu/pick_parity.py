"""Compares picks of whole sections on a GPU with those on the CPU: ranks, scores, labels, picked channels.

python scripts/gpu/pick_parity.py SECTION.imzML ... [--simulate FOLDER] [--device cuda] [--json OUT]

The CPU picks with OpenVINO in float32 (with torch if OpenVINO is missing), the GPU with the torch scorer in float32
and bf16. Exits with 1 if scores differ by more than the tolerance of the precision, or if the picked channels differ. A
channel whose score is within the tolerance of the threshold or of the last picked channel may be picked on one side
only.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from ionmorphnet import _core

# Largest score difference that rounding explains: another summation order in float32; 8-bit mantissas in 40 layers.
TOLERANCE = {"f32": 2e-3, "bf16": 0.05}


def simulated(folder: Path) -> list[Path]:
    """Simulates two sections of 250 x 200 pixels: continuous with 20,000 bins, and processed with centroids."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "continuous.imzML", folder / "processed.imzML"]
    shape = (200, 250)
    if not paths[0].is_file():
        profile = {"mode": "continuous", "spectrum_type": "profile", "n_bins": 20_000}
        imn.simulate(paths[0], shape=shape, n_channels=2000, seed=3, **profile)
    if not paths[1].is_file():
        imn.simulate(paths[1], shape=shape, n_channels=3000, mode="processed", seed=4)
    return paths


def compared(path: Path, device: str, precisions: list[str]) -> list[dict]:
    """Returns one entry per precision."""
    started = time.perf_counter()
    # No GPU uses the cascade, so the CPU must not either.
    scorer_on_cpu = "openvino" if _core.has_openvino else "torch"
    cpu = imn.pick(path, device="cpu", scorer=scorer_on_cpu, precision="f32", cascade=False)
    seconds = time.perf_counter() - started
    found = []
    for precision in precisions:
        scorer = imn.make_scorer(scorer="torch", device=device, precision=precision)
        started = time.perf_counter()
        gpu = imn.pick(path, scorer=scorer)
        entry = {
            "section": path.stem,
            "images": len(gpu.all_scores),
            "precision": precision,
            "cpu": cpu.run.scorer,
            "cpu_s": round(seconds, 3),
            "gpu_s": round(time.perf_counter() - started, 3),
        }
        found.append(entry | agreement(cpu, gpu, TOLERANCE[precision]))
    return found


def agreement(cpu: imn.PeakList, gpu: imn.PeakList, tolerance: float) -> dict:
    """Compares two picks of one section."""
    left, right = (peaks.all_scores.sort_values("mz").reset_index(drop=True) for peaks in (cpu, gpu))
    if not np.array_equal(left["mz"], right["mz"]):
        return {"equal": False, "why": "the candidate axes differ"}
    ours, theirs = left["score"].to_numpy(), right["score"].to_numpy()
    difference = float(np.max(np.abs(ours - theirs), initial=0.0))
    ranks = [np.argsort(np.argsort(-score, kind="stable"), kind="stable") for score in (ours, theirs)]
    spread = np.std(ranks[0]) * np.std(ranks[1])
    picked = [set(peaks.to_frame()["mz"]) for peaks in (cpu, gpu)]
    one_side = picked[0] ^ picked[1]
    lowest = min((float(peaks.to_frame()["score"].min()) for peaks in (cpu, gpu) if len(peaks.to_frame())), default=0.0)
    far = [mz for mz in one_side if np.abs(ours[left["mz"].to_numpy() == mz] - lowest).min() > tolerance]
    return {
        "equal": bool(difference <= tolerance and not far),
        "score_difference": difference,
        "spearman": float(np.cov(*ranks, bias=True)[0, 1] / spread) if spread else 1.0,
        "largest_rank_difference": int(np.max(np.abs(ranks[0] - ranks[1]), initial=0)),
        "labels": float(np.mean(left["label"] == right["label"])),
        "picked": [len(one) for one in picked],
        "picked_on_one_side": len(one_side),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", type=Path, nargs="*")
    parser.add_argument(
        "--simulate",
        type=Path,
        metavar="FOLDER",
        help="add two simulated sections, kept in FOLDER",
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", choices=list(TOLERANCE), action="append", help="repeatable; default: all")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    precisions = given.precision or list(TOLERANCE)
    paths = [*given.sections, *(simulated(given.simulate) if given.simulate else [])]
    entries = []
    for path in paths:
        entries += compared(path, given.device, precisions)
        for entry in entries[-len(precisions) :]:
            print(json.dumps(entry), flush=True)
    if given.json:
        given.json.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")
    return 0 if all(entry["equal"] for entry in entries) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except imn.IonMorphNetError as error:
        print(f"pick_parity: {error}", file=sys.stderr)
        sys.exit(2)
