"""Classify tissue: simulate a cohort, evaluate, train, predict, explain.

Run: python examples/classify_tumor.py [--out FOLDER] [--quick]. --quick uses a cohort that is too small to be
informative, but shows every step in half a minute. Needs the extras [tumor] and [plots].
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import ionmorphnet as imn
from ionmorphnet.tumor.plots import plot_importance, plot_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="output folder; default: a temporary one")
    parser.add_argument("--quick", action="store_true", help="a cohort and networks of toy size")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        run(options.out or Path(temporary), options.quick)


def run(out: Path, quick: bool) -> None:
    # Two sections per patient; the last patient is held out for the final prediction.
    size = {"patients": 4, "sections": 1, "shape": (28, 30), "n_channels": 40} if quick else {"patients": 7}
    written = imn.tumor.simulate_cohort(out / "cohort", difficulty="easy" if quick else "medium", seed=11, **size)
    everyone = imn.tumor.read_cohort(written.list_path, labels=imn.tumor.parse_label_map(str(written.label_path)))
    last = everyone.sections[-1].patient
    known = [section for section in everyone.sections if section.patient != last]
    new = [section for section in everyone.sections if section.patient == last]
    cohort = imn.tumor.make_cohort(known, labels=everyone.label_map)
    print(cohort)

    # Judge on patients that the methods have not seen; channels and folds are the same for all methods.
    methods = ("pls-texture", "cnn3d") if quick else imn.tumor.EvaluationPlan.methods
    short = {"steps": 10, "size": 3, "recipe": {"batch": 32}} if quick else {}
    plan = imn.tumor.EvaluationPlan(methods=methods, top=10 if quick else 40, seed=1, **short)
    report = imn.tumor.evaluate_cohort(out / "evaluation", cohort, plan)
    print(report.table[["selection", "method", "balanced_accuracy", "low", "high"]].to_string(index=False))
    for path in plot_report(report, out / "pictures"):
        print(path)

    # Train on all other patients, with channels that were picked without labels.
    trained = imn.tumor.train_tumor(out / "run", cohort, top=plan.top, seed=1)
    print(trained.model)
    for section in new:
        prediction = imn.tumor.predict(trained.model, section.path)
        print(prediction)
        imn.tumor.write_npz(prediction, out / f"{section.name}.npz")
        imn.tumor.write_overlay(prediction, out / "pictures" / f"{section.name}.png")
        truth = everyone.labels(section, prediction.labels.shape)
        labelled = truth >= 0
        print(f"{section.name}: {(prediction.labels == truth)[labelled].mean():.0%} of the labelled pixels are correct")

    # Compare the most important channels with the simulated truth.
    table = imn.tumor.explain(trained.model, imn.tumor.make_cohort(new, labels=everyone.label_map), pixels=200)
    nearest = [(written.truth["mz"] - mz).abs().idxmin() for mz in table["mz"]]
    table["truth"] = written.truth["kind"].to_numpy()[nearest]
    print(table[["rank", "mz", "importance", "truth"]].head(10).to_string(index=False))
    print(plot_importance(table, out / "pictures"))


if __name__ == "__main__":
    main()
