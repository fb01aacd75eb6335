"""Print the figures of a model card: labelled real images and mSCF1, with every classical score next to each model.

    python scripts/evaluate_model.py [--model FOLDER ...] [--sets NAME ...] [--json PATH] [--record]

Prints markdown tables: AUC for grade >= 1.5, Spearman, class accuracy against both labellings, recall of each class
with its count; mSCF1 on bladder79 (regions) and on ten simulated sections whose seeds no training uses. Intervals:
2,000 resamples of the images (of the sections), percentiles, 95 %. Everything is f32.

The images and labels are not part of the repository: see ``--data``. The set bladder79-sample is made from bladder79:
the images that neither labelling calls negative, with only the pixels on the sample given as measured, as in sections
that were measured exactly up to their edge. barley101 must not influence decisions, so the default leaves it out; name
it in ``--sets`` for the final figures. ``--record`` writes the figures of the (single) model into its config.json.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.json_output import plain, write_json
from ionmorphnet.models.labels import CLASSES

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("IMN_SHARED_DATA", ROOT.parent / "shared" / "data"))
SAMPLE_ONLY = "bladder79-sample"
SETS = ("bladder150", "bladder79", SAMPLE_ONLY, "barley101", "brain96")
CLOSED = ("barley101",)
METRICS = ("auc", "spearman")

# Held-out simulated sections: continuous centroids, so each channel is one bin; every second one is measured within an
# outline. Their masks contain the background and the compartments of the sample.
SECTION_SEEDS = tuple(range(930_001, 930_011))
SECTION = {
    "shape": (80, 100),
    "n_channels": 400,
    "n_informative": 100,
    "mode": "continuous",
    "spectrum_type": "centroid",
}


def real_sets(data: Path, names: Iterable[str], methods: ev.Methods) -> list[ev.ScoredSet]:
    """Score the labelled sets."""
    return [ev.score_set(each, methods) for name in names for each in load_real(data, name)]


def load_real(data: Path, name: str) -> list[ev.EvaluationSet]:
    """Load a labelled set by its name."""
    if name != SAMPLE_ONLY:
        return ev.load_sets(data / "ion_images" / f"{name}.npz", name=name)
    path = data / "ion_images" / "bladder79.npz"
    (whole,) = ev.load_sets(path)
    with np.load(path) as archive:
        sample = on_sample(archive["regions"])
    kept = np.flatnonzero(~(whole.labels == CLASSES.index("negative")).any(axis=0))
    images = [np.where(sample, whole.images[int(i)], np.float32(np.nan)) for i in kept]
    keys = tuple(whole.keys[int(i)] for i in kept)
    return [ev.EvaluationSet(name, images, whole.labels[:, kept], whole.structure[kept], keys)]


def on_sample(regions: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Pixels of bladder79 on the sample, bool (H, W): its regions except 3 and 4, smoothed over 9 x 9 pixels."""
    inside = ~np.isin(regions, (3, 4))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(inside, 4, mode="edge"), (9, 9))
    result: NDArray[np.bool_] = windows.mean(axis=(2, 3)) > 0.5
    return result


def regions_report(data: Path, methods: ev.Methods) -> ev.PickingReport:
    """Compute mSCF1 against the regions of bladder79; k = the number of true channels at each threshold."""
    with ev.open_bins(data / "ion_images" / "bladder79.npz") as section:
        return ev.picking_report(section.truth(), section.scores(methods), methods.kinds, name="bladder79 (regions)")


def simulated_reports(methods: ev.Methods, seeds: Iterable[int] = SECTION_SEEDS) -> list[ev.PickingReport]:
    """Compute mSCF1 on simulated sections; k = the number of informative channels."""
    reports = []
    with tempfile.TemporaryDirectory() as folder:
        for i, seed in enumerate(seeds):
            path = Path(folder) / f"section-{seed}.imzML"
            imn.simulate(path, seed=seed, outline=bool(i % 2), **SECTION)
            with ev.open_bins(path, axis="bins") as section:
                scores = section.scores(methods)
                reports.append(
                    ev.picking_report(
                        section.truth(), scores, methods.kinds, k=section.n_informative, name=section.name
                    )
                )
    return reports


def ranking_table(report: ev.RankingReport) -> pd.DataFrame:
    """One row per set and metric, one column per method; the best classical statistic is in bold."""
    rows = []
    for dataset in report.table["dataset"].unique():
        for metric in METRICS:
            of_metric = report.table[(report.table["dataset"] == dataset) & (report.table["metric"] == metric)]
            row = {"images": dataset, "n": int(of_metric["n"].max()), "figure": metric}
            classical = of_metric[of_metric["kind"] == "classical"].set_index("method")["value"].dropna()
            for method in of_metric["method"]:
                text = str(report.estimate(dataset, method, metric))
                row[method] = f"**{text}**" if len(classical) and method == classical.idxmax() else text
            rows.append(row)
    return pd.DataFrame(rows)


def comparison_table(report: ev.RankingReport) -> pd.DataFrame:
    """Models compared with the best classical statistic of each set."""
    table = report.comparisons[report.comparisons["metric"].isin(METRICS)]
    return pd.DataFrame(
        [
            {
                "images": row["dataset"],
                "figure": row["metric"],
                "model": row["model"],
                "value": f"{row['value']:.3f}",
                "best classical": row["best_classical"],
                "classical value": _interval(row, "classical_value", "classical_low", "classical_high"),
                "difference": _interval(row, "difference", "difference_low", "difference_high"),
                "verdict": row["verdict"],
            }
            for row in table.to_dict("records")
        ]
    )


def class_table(report: ev.ClassifierReport) -> pd.DataFrame:
    """Tabulate accuracy against both labellings, and recall (count) of each class."""
    rows = []
    for result in report.results.values():
        row = {
            "images": result.dataset,
            "model": result.model,
            "n": result.n,
            "accuracy": str(result.accuracy),
            "label_a / label_b": " / ".join(f"{value:.3f}" for value in result.labelling_accuracy),
        }
        for name in CLASSES:
            recall, count = result.classes.loc[name, ["recall", "count"]]
            row[name] = f"{recall:.2f} ({count:g})" if count else "-"
        row["ECE"] = f"{result.ece:.3f}"
        rows.append(row)
    rows += [
        {"images": "mean of sets", "model": model, "n": estimate.n, "accuracy": str(estimate)}
        for model, estimate in report.mean_accuracy.items()
    ]
    return pd.DataFrame(rows)


def picking_table(report: ev.PickingReport) -> pd.DataFrame:
    """Tabulate mSCF1 of each method on one section, with intervals."""
    table = report.table.drop(columns=["kind", "low", "high"]).round(3)
    table["mscf1"] = [_interval(row, "mscf1", "low", "high") for row in report.table.to_dict("records")]
    return table


def mean_table(table: pd.DataFrame) -> pd.DataFrame:
    """Tabulate mean mSCF1 over sections, with intervals."""
    return pd.DataFrame(
        [
            {
                "method": row["method"],
                "mSCF1": _interval(row, "mscf1", "low", "high"),
                "ceiling": f"{row['ceiling']:.3f}",
            }
            for row in table.to_dict("records")
        ]
    )


def markdown(table: pd.DataFrame) -> str:
    """Format a markdown table."""
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + "---|" * len(table.columns)]
    for _, row in table.iterrows():
        lines.append("| " + " | ".join("" if pd.isna(value) else str(value) for value in row) + " |")
    return "\n".join(lines)


def _interval(row: dict[str, float], value: str, low: str, high: str) -> str:
    return str(ev.Estimate(row[value], row[low], row[high], 0, 0))


def record(model: imn.Model, document: dict[str, object]) -> None:
    """Write the figures to ``metrics.evaluation`` in the model's config.json."""
    path = model.folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.setdefault("metrics", {})["evaluation"] = plain(document)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def summary(ranking: ev.RankingReport, classes: ev.ClassifierReport, model: str) -> dict[str, object]:
    """Select the figures of one model for its config.json."""
    table = ranking.table
    rows = table[(table["method"] == model) & table["metric"].isin(METRICS)]
    best = ranking.comparisons[ranking.comparisons["metric"].isin(METRICS) & (ranking.comparisons["model"] == model)]
    accuracy = {dataset: vars(result.accuracy) for (dataset, name), result in classes.results.items() if name == model}
    return {
        "ranking": rows[["dataset", "metric", "value", "low", "high", "n"]].round(4).to_dict("records"),
        "best_classical": best[["dataset", "metric", "best_classical", "classical_value", "verdict"]]
        .round(4)
        .to_dict("records"),
        "accuracy": accuracy,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", help="bundled name or model folder; repeatable")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with ion_images/ (default: $IMN_SHARED_DATA)")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=[name for name in SETS if name not in CLOSED])
    parser.add_argument(
        "--sections", type=int, default=len(SECTION_SEEDS), help="number of simulated sections (default 10)"
    )
    parser.add_argument("--draws", type=int, default=2000, help="bootstrap resamples")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument("--json", type=Path, help="also write all reports as JSON")
    parser.add_argument("--record", action="store_true", help="write the figures into the model's config.json")
    arguments = parser.parse_args()
    models = arguments.model or [None]
    if arguments.record and len(models) > 1:
        parser.error("--record requires a single model")
    methods = ev.make_methods(models, precision="f32", threads=arguments.threads)
    options = ev.BootstrapOptions(arguments.draws)
    sets = real_sets(arguments.data, arguments.sets, methods)
    ranking, classes = ev.ranking_report(sets, options=options), ev.classifier_report(sets, options=options)
    print(f"## Ranking by structure\n\n{markdown(ranking_table(ranking))}\n")
    print(f"## Models compared with the best classical statistic\n\n{markdown(comparison_table(ranking))}\n")
    print(f"## Classes: accuracy, recall (count)\n\n{markdown(class_table(classes))}\n", flush=True)
    document: dict[str, object] = {"ranking": ranking.to_dict(), "classes": classes.to_dict()}
    if "bladder79" in arguments.sets:
        regions = regions_report(arguments.data, methods)
        document["mscf1_regions"] = regions.to_dict()
        print(f"## mSCF1, {regions.name}\n\n{markdown(picking_table(regions))}\n", flush=True)
    if arguments.sections:
        sections = simulated_reports(methods, SECTION_SEEDS[: arguments.sections])
        mean = ev.mean_of_sections(sections, options=options)
        document["mscf1_simulated"] = {"sections": [s.to_dict() for s in sections], "mean": mean.to_dict("records")}
        k = f"k = {sections[0].k[0]} of {sections[0].n_bins}"
        print(f"## mSCF1, mean of {len(sections)} simulated sections ({k})\n\n{markdown(mean_table(mean))}")
    if arguments.json:
        write_json(arguments.json, document)
    if arguments.record:
        name, scorer = next(iter(methods.scorers.items()))
        assert scorer.model is not None
        record(scorer.model, summary(ranking, classes, name))


if __name__ == "__main__":
    main()
