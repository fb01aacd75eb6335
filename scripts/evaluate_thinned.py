"""Judge scores on thinned real images: real anatomy, simulated counts, and a known order without labellers.

    python scripts/evaluate_thinned.py [--model FOLDER ...] [--sources NAME ...] [--levels X ...] [--out FILE]

Structured real images (grade >= 2 in the mean of both passes) become the rates of Poisson counts at several levels. The
figures are concordances C of each score with three truths, with percentile intervals from resampling the originals:

  order    pairs of levels of the same original
  pixels   all pairs; truth: expected correlation of counts and rate, pixel by pixel
  blocks   all pairs; truth: the same for means over blocks of 1/24 of the longer side, as in an image seen from afar

The differences are those from the first method. The images are not part of the repository, see ``--data``; images that
may not train distributed weights are left out unless ``--all-images`` is given.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from corpus_tables import markdown

from ionmorphnet import evaluate as ev
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.json_output import write_json
from ionmorphnet.evaluate.thinned import BLOCKS, LEVELS, SMOOTHING, TRUTHS, score_thinned, thin, thinned_report
from ionmorphnet.labelled.real_images import REAL_IMAGES, read_corpora

DATA = Path(os.environ.get("IMN_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
GRADE = 2.0


def originals(
    data: Path, sources: list[str], *, per_source: int, all_images: bool, seed: int = 0
) -> list[tuple[str, np.ndarray]]:
    """Select structured images, at most ``per_source`` of each source, with their sources.

    Raises:
        ArgumentError: No image is structured.
    """
    corpus = read_corpora(data, sources, may_train=None if all_images else True)
    rng = np.random.default_rng(seed)
    chosen = []
    for source in corpus.sources:
        rows = [k for k, item in enumerate(corpus.items) if item.source == source and item.structure >= GRADE]
        if len(rows) > per_source:
            rows = sorted(rng.choice(rows, per_source, replace=False).tolist())
        chosen += [(source, corpus[k].image) for k in rows if float(np.nan_to_num(corpus[k].image).max()) > 0]
    if not chosen:
        raise ArgumentError(f"{', '.join(sources)}: no image has a grade of {GRADE:g} or higher")
    return chosen


def table(report: pd.DataFrame) -> pd.DataFrame:
    """One row per method, one column per truth."""
    rows = []
    for method in report["method"].unique():
        row = {"method": method}
        for truth in TRUTHS:
            found = report[(report["method"] == method) & (report["truth"] == truth)].iloc[0]
            row[truth] = str(ev.Estimate(found["value"], found["low"], found["high"], 0, 0))
            gap = ev.Estimate(found["difference"], found["difference_low"], found["difference_high"], 0, 0)
            row[f"{truth}, difference"] = "" if method == report["method"].iloc[0] else str(gap)
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", default=[], help="bundled name or model folder; repeatable")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the images (default: $IMN_SHARED_DATA)")
    parser.add_argument("--sources", nargs="+", default=[REAL_IMAGES, "bladder79"], help="sources of the images")
    parser.add_argument("--per-source", type=int, default=12, help="largest number of originals of a source")
    parser.add_argument("--all-images", action="store_true", help="also images that may not train distributed weights")
    parser.add_argument("--levels", nargs="+", type=float, default=LEVELS, help="expected counts per measured pixel")
    parser.add_argument("--smoothing", type=float, default=SMOOTHING, help="sigma of the Gaussian on the originals")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="blocks along the longer side")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choice and of the counts")
    parser.add_argument("--draws", type=int, default=500, help="bootstrap resamples")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads; 0: all cores")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    arguments = parser.parse_args()
    methods = ev.make_methods(arguments.model or [None], precision="f32", threads=arguments.threads)
    chosen = originals(
        arguments.data,
        arguments.sources,
        per_source=arguments.per_source,
        all_images=arguments.all_images,
        seed=arguments.seed,
    )
    thinned = thin(
        [image for _, image in chosen],
        arguments.levels,
        seed=arguments.seed,
        smoothing=arguments.smoothing,
        blocks=arguments.blocks,
    )
    report = thinned_report(
        thinned, score_thinned(thinned, methods), options=ev.BootstrapOptions(arguments.draws, seed=arguments.seed)
    )
    sources = pd.Series([source for source, _ in chosen]).value_counts(sort=False)
    described = ", ".join(f"{name} {count}" for name, count in sources.items())
    print(f"{len(thinned)} images, {len(chosen)} originals: {described}\n\n{markdown(table(report))}")
    if arguments.out:
        write_json(arguments.out, {"originals": sources.to_dict(), "figures": report.to_dict("records")})


if __name__ == "__main__":
    main()
