"""Print what a calibration with few labels of a section is worth, on the corpora of real images.

    python scripts/evaluate_calibration.py [--model NAME] [--leave-one-out NAME=PATH | --predictions NAME=FILE]
        [--sets NAME ...] [--labels 10 20 30] [--draws 10] [--units source specimen] [--json PATH]

From each source (and each specimen with enough images), labels of N images are drawn at random, as one of the two
passes gave them; a calibration is fitted to them, and the other images are judged: class agreement as the mean over
both passes, concordance C of the score, and recall and precision of the picks at the default cut (grade >= 1.5), before
and after. Means over the draws; ``worst`` is the largest loss of agreement in one draw.

Predictions come from a model (--model), or from files as in evaluate_model.py, so that models can be judged on sources
that they did not see without scoring again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from corpus_tables import markdown
from evaluate_model import CLOSED, DATA, SETS, named

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.base.json_output import write_json
from ionmorphnet.evaluate import metrics
from ionmorphnet.evaluate.corpus_report import POSITIVE_FROM
from ionmorphnet.evaluate.corpus_scores import leave_one_out, read_parts, read_predictions, score_corpus
from ionmorphnet.labelled.corpus import Corpus
from ionmorphnet.labelled.real_images import REAL_IMAGES, read_corpora
from ionmorphnet.labelled.section_maps import with_sample_maps
from ionmorphnet.models.labels import CLASSES, PROBABILITY_COLUMNS
from ionmorphnet.scoring.section_calibration import fit_calibration

# Images that must remain to judge a calibration.
FEWEST_TESTED = 10
FIGURES = ("agreement", "C", "recall", "precision")


def units_of(corpus: Corpus, units: list[str]) -> dict[str, np.ndarray]:
    """Positions of the images of each source, and of each specimen that is not a whole source."""
    found: dict[str, np.ndarray] = {}
    for unit in units:
        names = np.array([getattr(item, unit) for item in corpus.items])
        sources = np.array([item.source for item in corpus.items])
        for name in np.unique(names):
            where = np.flatnonzero(names == name)
            whole = unit == "specimen" and len(where) == (sources == sources[where[0]]).sum()
            if not whole and len(np.unique(sources[where])) == 1:
                found[str(name)] = where
    return found


def judge(frame: pd.DataFrame, labels: np.ndarray, grades: np.ndarray, cut: float) -> dict[str, float]:
    """Figures of some predictions."""
    predicted = frame[list(PROBABILITY_COLUMNS)].to_numpy().argmax(axis=1)
    score = frame["score"].to_numpy(dtype=np.float64)
    picked, wanted = score >= cut, grades >= POSITIVE_FROM
    hits = (picked & wanted).sum()
    return {
        "agreement": float((labels == predicted).mean()),
        "C": metrics.concordance(score, grades),
        "recall": hits / wanted.sum() if wanted.any() else np.nan,
        "precision": hits / picked.sum() if picked.any() else np.nan,
    }


def draw(
    frame: pd.DataFrame, labels: np.ndarray, grades: np.ndarray, n: int, model: imn.Model, seed: list[int]
) -> dict[str, object]:
    """Calibrate with n labels drawn at random, and judge the other images before and after."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(frame))
    used, rest = order[:n], order[n:]
    given = np.where(rng.random() < 0.5, labels[0, used], labels[-1, used])
    found = fit_calibration(frame.iloc[used], np.eye(len(CLASSES))[given], grades[used], model)
    row: dict[str, object] = {"classes": found.class_map is not None, "structure": found.structure_map is not None}
    tested = frame.iloc[rest]
    for name, each in (("before", tested), ("after", found.apply(tested, model))):
        figures = judge(each, labels[:, rest], grades[rest], model.threshold)
        row |= {f"{figure} {name}": value for figure, value in figures.items()}
    return row


def evaluate(
    corpus: Corpus, predictions: pd.DataFrame, model: imn.Model, options: argparse.Namespace
) -> list[dict[str, object]]:
    """One row per unit, number of labels and draw."""
    rows: list[dict[str, object]] = []
    labels, grades = corpus.labels, corpus.structure
    for name, where in units_of(corpus, options.units).items():
        if predictions.loc[where, "score"].isna().any():
            continue
        for n in options.labels:
            if len(where) < n + FEWEST_TESTED:
                continue
            for k in range(options.draws):
                row = draw(predictions.loc[where], labels[:, where], grades[where], n, model, [k, len(where)])
                rows.append({"images": name, "n": len(where), "labels": n, "draw": k} | row)
    return rows


def table_of(rows: list[dict[str, object]]) -> pd.DataFrame:
    """Means over the draws."""
    frame = pd.DataFrame(rows)
    frame["gain"] = frame["agreement after"] - frame["agreement before"]
    out = []
    for (labels, images), part in frame.groupby(["labels", "images"], sort=False):
        row = {"labels": labels, "images": images, "n": int(part["n"].iloc[0])}
        for figure in FIGURES:
            before, after = part[f"{figure} before"].mean(), part[f"{figure} after"].mean()
            row[figure] = f"{before:.3f} -> {after:.3f}"
        row |= {"gain": f"{part['gain'].mean():+.3f}", "worst": f"{part['gain'].min():+.3f}"}
        row["accepted"] = f"{part['classes'].mean():.0%} / {part['structure'].mean():.0%}"
        out.append(row)
    return pd.DataFrame(out).sort_values("labels", kind="stable")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="bundled name or model folder; with files: whose score and cut these hold")
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--leave-one-out", type=named, metavar="NAME=PATH")
    source.add_argument("--predictions", type=named, metavar="NAME=FILE")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the images (default: $IMN_SHARED_DATA)")
    names = [REAL_IMAGES, *(name for name in SETS if name not in CLOSED and "-" not in name)]
    parser.add_argument("--sets", nargs="+", default=names, help="real_images, array files, or sources")
    parser.add_argument("--labels", nargs="+", type=int, default=[10, 20, 30], help="numbers of labels")
    parser.add_argument("--draws", type=int, default=10, help="draws of labels")
    parser.add_argument("--units", nargs="+", choices=["source", "specimen"], default=["source", "specimen"])
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument("--json", type=Path, help="also write the figures of every draw")
    options = parser.parse_args()
    corpus, model = read_corpora(options.data, options.sets), imn.load_model(options.model)
    if options.predictions:
        predictions = read_predictions(options.predictions[1], corpus)
    elif options.leave_one_out:
        corpus = with_sample_maps(corpus)
        predictions = leave_one_out(corpus, read_parts(options.leave_one_out[1]), threads=options.threads)
    else:
        methods = ev.make_methods([model], baselines=False, precision="f32", threads=options.threads)
        (predictions,) = score_corpus(with_sample_maps(corpus), methods).predictions.values()
    rows = evaluate(corpus, predictions, model, options)
    if not rows:
        parser.error("no source or specimen has enough images")
    print(markdown(table_of(rows)))
    if options.json:
        write_json(options.json, {"draws": rows})


if __name__ == "__main__":
    main()
