"""Train short variants of the default recipe, each without one of its parts, and print what each part contributes.

    python scripts/ablation.py --out RUNS [--images N] [--size S] [--seeds K] [--sets NAME ...] [--variants NAME ...]

Variants: full; without the mask of measured pixels (one channel); without the structure output (the score is then the
expected structure given the class probabilities); without the ranking loss; without the statistics. Each is judged at
the size of its training, with torch, on labelled real images and on simulated ones of a seed that no training uses.

All variants of a seed see the same images, which are simulated once and kept in --inputs (float16; 55 KB per image of
96 x 96). RUNS receives a folder for each variant and seed, and ablation.json. It can be stopped at any time; the
same command resumes it and does not repeat what is finished. barley101 is kept aside during development: it is judged
only if --sets names it.
"""

from __future__ import annotations

import os

# As in train_bundled_model.py.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import json
import logging
import math
import multiprocessing
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ablation_inputs import KeptSource
from corpus_tables import markdown
from evaluate_model import CLOSED, DATA, SETS, load_real
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from ionmorphnet.base.json_output import write_json
from ionmorphnet.evaluate import EvaluationSet
from ionmorphnet.evaluate.metrics import auc, spearman
from ionmorphnet.labelled.sources import Sample, SimulatedSource
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.models.networks.convnextv2 import ConvNeXtV2
from ionmorphnet.models.networks.weights import read_weights
from ionmorphnet.models.preprocessing import Preprocessing
from ionmorphnet.training.batches import batches, network_inputs
from ionmorphnet.training.export import score_weights, scores
from ionmorphnet.training.fit import LEVELS, Execution, fit
from ionmorphnet.training.held_out import HELD_OUT_SEED
from ionmorphnet.training.presets import MIN_IMAGES_TO_COMPILE
from ionmorphnet.training.recipe import Phase, Recipe, images_seen
from ionmorphnet.training.runtime import torch_device

VARIANTS: dict[str, dict[str, object]] = {
    "full": {},
    "no mask": {"mask": False},
    "no structure output": {"structure": False},
    "no ranking loss": {"ranking_weight": 0.0},
    "no statistics": {"statistics": ()},
}
BATCH = 32
# Grade from which an image counts as structured, as in evaluate_model.py.
GRADE = 1.5

Float64 = NDArray[np.float64]
Figures = dict[str, dict[str, float]]


def recipe_of(variant: str, images: int, seed: int, options: argparse.Namespace) -> Recipe:
    """The default recipe without one of its parts. All variants of a seed see the same images."""
    recipe = replace(Recipe(), phases=(Phase(options.size, images, BATCH),), seed=seed, precision=options.precision)
    return replace(recipe, compile=options.compile and images >= MIN_IMAGES_TO_COMPILE, **VARIANTS[variant])


def training_source(seed: int, options: argparse.Namespace) -> KeptSource:
    """Return the images of one seed, as :func:`fit` would simulate them."""
    recipe = recipe_of("full", options.images, seed, options)
    simulated = SimulatedSource(images_seen(recipe, recipe.steps), seed, levels=LEVELS)
    return KeptSource(simulated, options.size, options.inputs / f"seed-{seed}", workers=options.workers)


def held_out_source(options: argparse.Namespace) -> KeptSource:
    """Simulated images that no training uses."""
    simulated = SimulatedSource(options.held_out, HELD_OUT_SEED, sides=(20, 260))
    return KeptSource(simulated, options.size, options.inputs / "held-out", workers=options.workers)


class RealImages:
    """Images of a labelled set as network inputs, as in training. The labellings are averaged."""

    def __init__(self, of: EvaluationSet) -> None:
        self._of = of

    def __len__(self) -> int:
        return len(self._of)

    def __getitem__(self, index: int) -> Sample:
        image, labels = self._of.images[index], self._of.labels[:, index]
        shares = np.eye(len(CLASSES), dtype=np.float32)[labels[labels >= 0]].mean(axis=0)
        return Sample(image, ~np.isnan(image), shares, float(self._of.structure[index]), self._of.name)


@torch.no_grad()
def outputs_of(
    network: ConvNeXtV2,
    statistics: Sequence[str],
    source: KeptSource | RealImages,
    size: int,
    device: torch.device,
) -> tuple[Float64, Float64, Float64]:
    """Compute outputs (n, 6 or 7), and return the true class probabilities (n, 6) and grades (n,), of all images."""
    inputs = network_inputs(source, Preprocessing(size=size, mask=network.in_chans == 2), statistics=statistics)
    parts = [range(first, min(first + BATCH, len(source))) for first in range(0, len(source), BATCH)]
    outputs, probabilities, structure = [], [], []
    for batch in batches(inputs, parts, 0):
        found = network.forward_all(batch.images.to(device), batch.statistics.to(device) if statistics else None)
        outputs.append(torch.cat(list(found.values()), dim=1).double().cpu().numpy())
        probabilities.append(batch.probabilities.double().numpy())
        structure.append(batch.structure.double().numpy())
    return np.concatenate(outputs), np.concatenate(probabilities), np.concatenate(structure)


def judge(weights: Path, options: argparse.Namespace, device: torch.device) -> Figures:
    """AUC, Spearman and class accuracy on each set; the last two also on simulated images."""
    trained = read_weights(weights)
    network = trained.model.to(device)
    outputs, labels, structure = outputs_of(network, trained.statistics, held_out_source(options), options.size, device)
    score = {"kind": "structure"}
    if outputs.shape[1] == len(CLASSES):
        score = {"kind": "weighted_probabilities", "weights": score_weights(labels, structure)}
    predicted = outputs[:, : len(CLASSES)].argmax(axis=1)
    figures: Figures = {
        "simulated": {
            "spearman": spearman(scores(outputs, score), structure),
            "accuracy": float((predicted == labels.argmax(axis=1)).mean()),
        }
    }
    for name in options.sets:
        (real,) = load_real(options.data, name)
        outputs, _, structure = outputs_of(network, trained.statistics, RealImages(real), options.size, device)
        graded = np.isfinite(structure)
        ranked, truth = scores(outputs, score)[graded], structure[graded]
        labellings = real.labels.T
        predicted = outputs[:, : len(CLASSES)].argmax(axis=1)
        figures[name] = {
            "auc": auc(truth >= GRADE, ranked),
            "spearman": spearman(ranked, truth),
            # Averaged over the labellings.
            "accuracy": float((predicted[:, None] == labellings).mean()),
        }
    return figures


def run_variant(variant: str, seed: int, options: argparse.Namespace) -> Figures:
    """Train and judge, or read earlier results."""
    folder = options.out / f"{variant.replace(' ', '-')}-{seed}"
    recipe = recipe_of(variant, options.images, seed, options)
    asked = {"recipe": recipe.to_dict(), "sets": options.sets, "held_out": options.held_out}
    path = folder / "figures.json"
    if path.is_file():
        done = json.loads(path.read_text(encoding="utf-8"))
        if done["asked"] == json.loads(json.dumps(asked)):
            print(f"{variant}, seed {seed}: already finished", flush=True)
            return {
                name: {k: math.nan if v is None else v for k, v in of.items()} for name, of in done["figures"].items()
            }
    torch.set_num_threads(options.threads)
    device = torch_device(options.device)
    execution = Execution(device, workers=0, threads=options.threads)
    trained = fit(recipe, folder, source=training_source(seed, options), execution=execution)
    figures = judge(folder / "weights.pt", options, device)
    write_json(path, {"asked": asked, "seconds": trained.seconds, "figures": figures})
    print(f"{variant}, seed {seed}: {trained.seconds:.0f} s", flush=True)
    return figures


def run_all(options: argparse.Namespace) -> dict[str, list[Figures]]:
    """Figures of every variant, one list entry per seed."""
    for name in options.sets:  # fail before hours of training
        load_real(options.data, name)
    seeds = [Recipe().seed + k for k in range(options.seeds)]
    for seed in seeds:
        training_source(seed, options)
    held_out_source(options)
    tasks = [(variant, seed) for seed in seeds for variant in options.variants]
    if options.parallel > 1:
        with ProcessPoolExecutor(options.parallel, mp_context=multiprocessing.get_context("spawn")) as pool:
            figures = list(pool.map(run_variant, *zip(*tasks, strict=True), [options] * len(tasks)))
    else:
        figures = [run_variant(*task, options) for task in tasks]
    found = dict(zip(tasks, figures, strict=True))
    return {variant: [found[variant, seed] for seed in seeds] for variant in options.variants}


def table_of(found: dict[str, list[Figures]]) -> pd.DataFrame:
    """One row per variant: means over the seeds, with their range if there are several."""
    rows = []
    for variant, of_seeds in found.items():
        row = {"variant": variant}
        for name, figures in of_seeds[0].items():
            for figure in figures:
                values = np.array([each[name][figure] for each in of_seeds])
                if np.isnan(values).all():  # AUC is undefined without images below the grade
                    continue
                text = f"{values.mean():.3f}"
                row[f"{name} {figure}"] = (
                    text if len(values) == 1 else f"{text} [{values.min():.3f}, {values.max():.3f}]"
                )
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the trainings")
    parser.add_argument("--images", type=int, default=48_000, help="images per training")
    parser.add_argument("--size", type=int, default=96, help="side of the images in pixels")
    parser.add_argument("--seeds", type=int, default=1, help="trainings per variant")
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS), metavar="NAME")
    parser.add_argument("--sets", nargs="*", choices=SETS, default=[name for name in SETS if name not in CLOSED])
    parser.add_argument("--data", type=Path, default=DATA, help="folder with ion_images/ (default: $IMN_SHARED_DATA)")
    parser.add_argument("--held-out", type=int, default=1000, help="simulated images to evaluate on")
    parser.add_argument("--precision", choices=("bf16", "f32"), default="bf16", help="precision of the trainings")
    parser.add_argument("--device", default="cpu", help="device of the trainings: cpu (default), cuda, cuda:N or auto")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="compile the networks")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads per training")
    parser.add_argument("--workers", type=int, default=2, help="processes that simulate images")
    parser.add_argument("--parallel", type=int, default=1, help="number of parallel trainings")
    parser.add_argument("--inputs", type=Path, help="folder of the simulated images (default: OUT/inputs)")
    options = parser.parse_args()
    options.inputs = options.out / "inputs" if options.inputs is None else options.inputs
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        if min(options.seeds, options.held_out) < 1:
            raise ArgumentError("--seeds and --held-out must be at least 1")
        found = run_all(options)
        settings = {name: getattr(options, name) for name in ("images", "size", "seeds", "sets", "held_out")}
        write_json(options.out / "ablation.json", {**settings, "variants": found})
    except (IonMorphNetError, ValueError) as error:
        print(f"ablation: {error}", file=sys.stderr)
        return 1
    print(f"\n{markdown(table_of(found))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
