"""Make the tables of docs/reference/tumor-results.md: simulated cohorts, and a real section in spatial blocks.

python scripts/tumor_tables.py --out RUN [easy medium hard bladder79]. If it is stopped, the same command resumes it.
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
import pandas as pd

import ionmorphnet as imn
from ionmorphnet.evaluate import Estimate
from ionmorphnet.tumor.plots import plot_report

# Chosen before any method was run on a cohort with this seed; difficulties and patch size were tuned on other seeds.
SEED = 1
SHARED = Path(os.environ.get("IMN_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=["easy", "medium", "hard", "bladder79"], metavar="NAME")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--ablation", nargs="*", default=["moran", "intensity", "random"], metavar="SELECTION")
    parser.add_argument("--ablation-method", nargs="*", default=["lda", "cnn3d"], metavar="METHOD")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    options = parser.parse_args()
    for name in options.names:
        started = time.perf_counter()
        out = options.out / name
        common = {
            "ablation": tuple(options.ablation),
            "ablation_methods": tuple(options.ablation_method),
            "threads": options.threads,
            "seed": SEED,
        }
        if name == "bladder79":
            cohort = bladder79(out)
            if cohort is None:
                print(f"bladder79: not found at {SHARED}")
                continue
            plan = imn.tumor.EvaluationPlan(blocks=(4, 6), protocol="k-fold", k=4, **common)
        else:
            written = imn.tumor.simulate_cohort(out / "cohort", difficulty=name, seed=SEED)
            labels = imn.tumor.parse_label_map(str(written.label_path))
            cohort, plan = imn.tumor.read_cohort(written.list_path, labels=labels), imn.tumor.EvaluationPlan(**common)
        report = imn.tumor.evaluate_cohort(out / "evaluation", cohort, plan, progress=_print_progress)
        plot_report(report, out / "pictures")
        text = markdown(report)
        (out / "table.md").write_text(text)
        print(f"\n## {name} ({time.perf_counter() - started:.0f} s)\n\n{text}", flush=True)


def bladder79(out: Path) -> imn.tumor.Cohort | None:
    """The section with its six regions, or None if the data are absent."""
    section, arrays = SHARED / "bladder79" / "bladder79_processed.imzML", SHARED / "ion_images" / "bladder79.npz"
    if not (section.is_file() and arrays.is_file()):
        return None
    out.mkdir(parents=True, exist_ok=True)
    with np.load(arrays) as loaded:
        np.save(out / "regions.npy", loaded["regions"])
    file = imn.tumor.SectionFile("bladder79", section, out / "regions.npy", "mouse")
    return imn.tumor.make_cohort([file])


def markdown(report: imn.tumor.TumorReport) -> str:
    """All selections as one table, methods sorted by balanced accuracy."""
    recalls = report.classes if len(report.classes) <= 2 else ()
    header = [
        "channels",
        "method",
        "balanced accuracy",
        *(f"recall {name}" for name in recalls),
        "AUC",
        "cnn3d minus method",
    ]
    lines = [f"| {' | '.join(header)} |", "|---|---|" + "---:|" * (len(header) - 2)]
    for selection, rows in report.table.groupby("selection", sort=False):
        for _, row in rows.sort_values("balanced_accuracy", ascending=False, kind="stable").iterrows():
            cells = [
                f"{selection} {row['channels']}",
                row["method"],
                _text(row, "balanced_accuracy", "low", "high"),
                *(f"{row[f'recall_{name}']:.3f}" for name in recalls),
                f"{row['auc']:.3f}",
                _text(row, "difference", "difference_low", "difference_high"),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _text(row: pd.Series, value: str, low: str, high: str) -> str:
    return str(Estimate(row[value], row[low], row[high], 0, 0))


def _print_progress(text: str, done: int, total: int) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text} {done}/{total}", flush=True)


if __name__ == "__main__":
    main()
