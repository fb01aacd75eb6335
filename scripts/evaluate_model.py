"""Print the figures of a model card: labelled real images by source and pooled, and mSCF1, with every classical score.

    python scripts/evaluate_model.py [--model FOLDER ...] [--leave-one-out NAME=PATH ...] [--predictions NAME=FILE ...]
        [--sets NAME ...] [--out FOLDER] [--record]

Real images: class agreement as the mean over both labelling passes, and where they agree; recall and precision of each
class; confusion; concordance C over pairs of different grade, Spearman and AUC (grade >= 1.5) of every score; paired
differences from the best classical score; recall and precision of the picks at the model's default cut; each next to
the agreement of the passes with each other. Intervals: 2,000 resamples, of the images and, for pools, of whole sources;
percentiles, 95 %. mSCF1: regions of bladder79, and ten simulated sections whose seeds no training uses. Everything is
f32.

--leave-one-out judges each source by a model that did not see it. PATH is JSON {"<source or fold>": "<model folder or
predictions>"}, or a folder whose model folders or predictions (.csv, .npz) are named after sources or folds.
--predictions reads predictions of all images. --out receives report.json, the tables (report.md) and the predictions of
each model (<name>.csv), which --predictions reads again. --record writes the figures of the (single) model into its
config.json.

The images and labels are not part of the repository: see ``--data``. The set bladder79-sample is made from bladder79:
the images that neither labelling calls negative, with only the pixels on the sample given as measured, as in sections
that were measured exactly up to their edge. barley101 must not influence decisions, so the default leaves it out; name
it in ``--sets`` for the final figures.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from corpus_tables import markdown, tables
from numpy.typing import NDArray

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.base.files import atomic_path
from ionmorphnet.base.json_output import plain, write_json
from ionmorphnet.evaluate.corpus_report import BEST, CorpusReport, corpus_report
from ionmorphnet.evaluate.corpus_scores import (
    leave_one_out,
    read_parts,
    read_predictions,
    score_corpus,
    write_predictions,
)
from ionmorphnet.labelled.corpus import Corpus, joined
from ionmorphnet.labelled.image_arrays import MEMORY_LIMIT
from ionmorphnet.labelled.image_store import ImageStore
from ionmorphnet.labelled.real_images import REAL_IMAGES, read_corpora, read_image_array
from ionmorphnet.labelled.section_maps import with_sample_maps
from ionmorphnet.models.labels import CLASSES

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("IMN_SHARED_DATA", ROOT.parent / "shared" / "data"))
SAMPLE_ONLY = "bladder79-sample"
SETS = ("bladder150", "bladder79", SAMPLE_ONLY, "barley101", "brain96")
CLOSED = ("barley101",)
RECORDED = ("concordance", "spearman", "auc")

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


def _interval(row: dict[str, float], value: str, low: str, high: str) -> str:
    return str(ev.Estimate(row[value], row[low], row[high], 0, 0))


def read_labelled(data: Path, names: Iterable[str]) -> Corpus:
    """Read the labelled images of some sets, with sample maps."""
    wanted = set(names)
    parts = [with_sample_maps(read_corpora(data, wanted - {SAMPLE_ONLY}))] if wanted - {SAMPLE_ONLY} else []
    if SAMPLE_ONLY in wanted:
        parts.append(only_sample(read_image_array(data / "ion_images" / "bladder79.npz"), data))
    return joined(parts)


def only_sample(whole: Corpus, data: Path) -> Corpus:
    """Make bladder79-sample from bladder79. Every measured pixel is sample, so there is no map."""
    with np.load(data / "ion_images" / "bladder79.npz") as archive:
        sample = on_sample(archive["regions"])
    store, items = ImageStore(MEMORY_LIMIT), []
    for k, item in enumerate(whole.items):
        if CLASSES.index("negative") not in item.labels:
            image = np.where(sample, whole[k].image, np.float32(np.nan))
            items.append(replace(item, number=store.add(image), source=SAMPLE_ONLY, section=SAMPLE_ONLY))
    return Corpus(store, items, whole.report)


def pools_of(corpus: Corpus) -> dict[str, list[str]]:
    """Pool the sources of real_images; the other sets are single sections or series."""
    real = [name for name in corpus.sources if name not in SETS]
    return {REAL_IMAGES: real} if len(real) > 1 else {}


def named(text: str) -> tuple[str, Path]:
    """Split NAME=PATH of an option."""
    name, found, path = text.partition("=")
    if not (name and found and path):
        raise argparse.ArgumentTypeError(f"'{text}' must be NAME=PATH")
    return name, Path(path)


def record(model: imn.Model, document: dict[str, object]) -> None:
    """Write the figures to ``metrics.evaluation`` in the model's config.json."""
    path = model.folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config.setdefault("metrics", {})["evaluation"] = plain(document)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def summary(report: CorpusReport, model: str) -> dict[str, object]:
    """Select the figures of one model for its config.json."""

    def rows(frame: pd.DataFrame, column: str) -> list[dict[str, object]]:
        return frame[frame[column] == model].drop(columns=column).round(4).to_dict("records")

    best = report.differences[report.differences["second"] == BEST]
    return {
        "ranking": rows(report.ranking[report.ranking["metric"].isin(RECORDED)].drop(columns="kind"), "method"),
        "best_classical": rows(best.drop(columns="second"), "first"),
        "agreement": rows(report.agreement, "model"),
        "observers": report.observers.round(4).to_dict("records"),
        "picks": rows(report.picks, "model"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], help="bundled name or model folder; repeatable")
    parser.add_argument("--leave-one-out", action="append", default=[], type=named, metavar="NAME=PATH")
    parser.add_argument("--predictions", action="append", default=[], type=named, metavar="NAME=FILE")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the images (default: $IMN_SHARED_DATA)")
    open_sets = [REAL_IMAGES, *(name for name in SETS if name not in CLOSED)]
    parser.add_argument("--sets", nargs="+", default=open_sets, help=f"{REAL_IMAGES}, {', '.join(SETS)}, or sources")
    parser.add_argument(
        "--sections", type=int, default=len(SECTION_SEEDS), help="number of simulated sections (default 10)"
    )
    parser.add_argument("--draws", type=int, default=2000, help="bootstrap resamples")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument("--out", type=Path, help="folder for report.json, report.md and predictions")
    parser.add_argument("--record", action="store_true", help="write the figures into the model's config.json")
    arguments = parser.parse_args()
    given = arguments.model or ([] if arguments.leave_one_out or arguments.predictions else [None])
    if arguments.record and len(given) != 1:
        parser.error("--record requires a single --model")
    options = ev.BootstrapOptions(arguments.draws)
    corpus = read_labelled(arguments.data, arguments.sets)
    methods = ev.make_methods(given, precision="f32", threads=arguments.threads)
    scores = score_corpus(corpus, methods)
    for name, path in reversed(arguments.predictions):
        scores = scores.with_model(name, read_predictions(path, corpus))
    for name, path in reversed(arguments.leave_one_out):
        scores = scores.with_model(name, leave_one_out(corpus, read_parts(path), threads=arguments.threads))
    report = corpus_report(scores, pools_of(corpus), options=options)
    text = [f"## {title}\n\n{markdown(table)}\n" for title, table in tables(report).items()]
    print("\n".join(text), flush=True)
    document: dict[str, object] = {"images": report.to_dict()}
    if given and "bladder79" in arguments.sets:
        regions = regions_report(arguments.data, methods)
        document["mscf1_regions"] = regions.to_dict()
        text.append(f"## mSCF1, {regions.name}\n\n{markdown(picking_table(regions))}\n")
        print(text[-1], flush=True)
    if given and arguments.sections:
        sections = simulated_reports(methods, SECTION_SEEDS[: arguments.sections])
        mean = ev.mean_of_sections(sections, options=options)
        document["mscf1_simulated"] = {"sections": [s.to_dict() for s in sections], "mean": mean.to_dict("records")}
        k = f"k = {sections[0].k[0]} of {sections[0].n_bins}"
        text.append(f"## mSCF1, mean of {len(sections)} simulated sections ({k})\n\n{markdown(mean_table(mean))}\n")
        print(text[-1], flush=True)
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        write_json(arguments.out / "report.json", document)
        (arguments.out / "report.md").write_text("\n".join(text), encoding="utf-8")
        for name in scores.predictions:
            write_predictions(arguments.out / f"{name}.csv", scores, name)
    if arguments.record:
        name, scorer = next(iter(methods.scorers.items()))
        assert scorer.model is not None
        record(scorer.model, summary(report, name))


if __name__ == "__main__":
    main()
