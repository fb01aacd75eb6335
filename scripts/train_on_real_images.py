"""Train on simulated and then on real images with sample maps, or judge such a training on sources it did not see.

    python scripts/train_on_real_images.py --out RUN --data DATA --folder MODEL
    python scripts/train_on_real_images.py --out RUN --data DATA --hold-out all

docs/maintainers/ablations.md has what such trainings gave; the bundled model comes from train_bundled_model.py.

Two stages: simulated images (RUN/simulated), then a mixture of real, semi-synthetic and simulated ones (RUN/real). DATA
holds real_images/ and ion_images/, see docs/reference/real-images.md; only images that may train distributed weights
are trained on. Without --data, the first stage is all. --teacher lets a model grade the images of the first stage, see
ionmorphnet.training.taught.

--hold-out repeats the second stage without the images of one source (or a group of sources, see
ionmorphnet.labelled.corpus.source_folds) and writes predictions of exactly these images to RUN/held-out/SOURCE.csv, and
those of sources that never train, by the weights of all the others: ``scripts/evaluate_model.py --leave-one-out
NAME=RUN/held-out``. Predictions without sample maps are in RUN/held-out-without-map.

The command can be stopped at any time (Ctrl-C, SIGTERM, even a power cut); the same command resumes it. At the end the
weights are calibrated, exported and checked, and the model folder (--folder) is written. Rounding (bfloat16, threads,
library versions) makes weights differ between machines, so compare figures, not bytes.
"""

from __future__ import annotations

import os

# The simulator's matrices are too small for threads, which would only slow the training down.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Waiting threads sleep instead of spinning: several times faster while other processes run, such as the simulator's.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import argparse
import logging
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
from torch import Tensor

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, IonMorphNetError
from ionmorphnet.labelled.corpus import Corpus, source_folds
from ionmorphnet.labelled.real_images import read_corpora
from ionmorphnet.labelled.section_maps import with_sample_maps
from ionmorphnet.labelled.sources import SimulatedSource, Source
from ionmorphnet.labelled.visible import VisibleSource
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.models.networks.folder import check_replaceable
from ionmorphnet.training.fit import LEVELS, Execution, Progress, fit
from ionmorphnet.training.predict import predict_corpus
from ionmorphnet.training.real_images import Shares, mixture, real_stage, simulated_stage
from ionmorphnet.training.recipe import Recipe
from ionmorphnet.training.runtime import torch_device
from ionmorphnet.training.start_weights import read_start
from ionmorphnet.training.taught import TaughtSource


def _show(progress: Progress) -> None:
    if progress.line:
        print(progress.line, flush=True)


def _parser() -> argparse.ArgumentParser:
    default = Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument("--data", type=Path, help="folder of the real images; default: simulated images only")
    parser.add_argument("--hold-out", nargs="+", metavar="SOURCE", help="sources or groups to hold out in turn, or all")
    parser.add_argument("--size", type=int, default=96, help="image side in pixels")
    parser.add_argument("--simulated-images", type=int, default=64_000, help="images of the first stage")
    parser.add_argument("--images", type=int, default=12_000, help="images of the second stage")
    parser.add_argument("--batch", type=int, default=32, help="images per step")
    parser.add_argument("--shares", type=float, nargs=3, metavar=("REAL", "SEMI", "SIMULATED"), help="second stage")
    parser.add_argument("--architecture", default=default.architecture)
    parser.add_argument("--resize", choices=("area", "stretch"), default="area")
    for name in ("mask", "sqrt", "sample", "structure"):
        parser.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument(
        "--sample-statistics",
        action=argparse.BooleanOptionalAction,
        default=False,
        help="shares and levels relative to the sample as inputs of the class logits",
    )
    parser.add_argument("--statistics", nargs="*", choices=STATISTICS, default=STATISTICS, help="second input")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=False)
    parser.add_argument("--seed", type=int, default=default.seed, help="seed of both stages")
    parser.add_argument("--init", help="bundled model, weights.pt or model folder to start the first stage from")
    parser.add_argument("--learning-rate", type=float, help="peak of the first stage")
    parser.add_argument(
        "--teacher", metavar="MODEL", help="bundled model or folder that grades the first stage's images"
    )
    parser.add_argument("--teacher-classes", type=float, default=0.0, metavar="SHARE", help="its share in the classes")
    parser.add_argument("--teacher-grades", type=float, default=1.0, metavar="SHARE", help="its share in the grades")
    parser.add_argument("--start", help="the same for the second stage, instead of training the first")
    parser.add_argument("--precision", choices=("bf16", "f32"), default=default.precision)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:N or auto")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads for the network; 0: all cores")
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare images")
    parser.add_argument("--save-seconds", type=float, default=300.0, help="time between saves")
    parser.add_argument("--log-steps", type=int, default=25, help="steps per line of the log")
    parser.add_argument("--folder", type=Path, help="model folder to write; default: none")
    parser.add_argument(
        "--statistics-share", type=float, default=0.0, help="weight of the statistics alone in the structure output"
    )
    parser.add_argument("--export-images", type=int, default=1500, help="simulated images for calibration and checks")
    return parser


class _Run:
    """The two stages with the options of the command."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.execution = Execution(
            torch_device(options.device),
            workers=options.workers,
            threads=options.threads,
            save_seconds=options.save_seconds,
            log_steps=options.log_steps,
        )
        recipe = Recipe(
            architecture=options.architecture,
            resize=options.resize,
            mask=options.mask,
            sqrt=options.sqrt,
            sample=options.sample,
            structure=options.structure,
            sample_statistics=options.sample_statistics,
            statistics=tuple(options.statistics),
            compile=options.compile,
            precision=options.precision,
            seed=options.seed,
        )
        self.first = simulated_stage(recipe, size=options.size, images=options.simulated_images, batch=options.batch)
        if options.learning_rate is not None:
            self.first = replace(self.first, learning_rate=options.learning_rate)
        self.shares = None if options.shares is None else Shares(**dict(zip(_SHARES, options.shares, strict=True)))

    def simulated(self) -> Path:
        """Train the first stage, or take the given weights."""
        if self.options.start is not None:
            return _path(self.options.start)
        out: Path = self.options.out / "simulated"
        images = self.options.simulated_images + self.options.batch
        source: Source = VisibleSource(SimulatedSource(images, self.options.seed, levels=LEVELS))
        if self.options.teacher is not None:
            shares = {"class_share": self.options.teacher_classes, "grade_share": self.options.teacher_grades}
            source = TaughtSource(source, self.options.teacher, **shares)
        recipe, weights = self._started(self.first, None if self.options.init is None else _path(self.options.init))
        fit(recipe, out, source=source, start=weights, execution=self.execution, progress=_show)
        return out / "weights.pt"

    def real(self, corpus: Corpus, start: Path, out: Path) -> Path:
        """Train the second stage on the corpus."""
        recipe, weights = self._started(real_stage(self.first, images=self.options.images), start)
        source = mixture(corpus, self.options.images + self.options.batch, self.options.seed, self.shares)
        fit(recipe, out, source=source, start=weights, execution=self.execution, progress=_show)
        return out / "weights.pt"

    @staticmethod
    def _started(recipe: Recipe, start: Path | None) -> tuple[Recipe, Mapping[str, Tensor] | None]:
        """Read start weights; the recipe keeps its losses and schedule and takes the shape of the statistics' layer."""
        if start is None:
            return recipe, None
        begun = read_start(start, recipe, architecture=None)
        return replace(
            recipe,
            start=begun.recipe.start,
            statistics_hidden=begun.recipe.statistics_hidden,
            sample_statistics=begun.recipe.sample_statistics,
        ), begun.weights


def _path(weights: str) -> Path:
    """Resolve the name of a bundled model."""
    return imn.load_model(weights).folder if weights in imn.bundled_models() else Path(weights)


_SHARES = ("real", "semi_synthetic", "simulated")


def _hold_out(run: _Run, corpus: Corpus, start: Path, names: list[str], out: Path) -> None:
    """Train without each source in turn; write predictions of what each training did not see."""
    folds = source_folds(corpus, names=None if names == ["all"] else names)
    trained = [fold for fold in folds if any(item.may_train for item in fold.held_out.items)]
    for fold in trained:
        print(f"held out: {fold.name} ({len(fold.held_out)} images)", flush=True)
        weights = run.real(fold.training, start, out / "without" / fold.name)
        _predict(weights, fold.held_out, out, fold.name)
    never = {item.source for fold in folds if fold not in trained for item in fold.held_out.items}
    if never:
        weights = run.real(_training(corpus), start, out / "real")
        for source in sorted(never):
            _predict(weights, corpus.where(lambda item, source=source: item.source == source), out, source)


def _training(corpus: Corpus) -> Corpus:
    return corpus.where(lambda item: item.may_train)


def _predict(weights: Path, corpus: Corpus, out: Path, name: str) -> None:
    for folder, maps in (("held-out", True), ("held-out-without-map", False)):
        (out / folder).mkdir(parents=True, exist_ok=True)
        frame: pd.DataFrame = predict_corpus(weights, corpus, maps=maps)
        frame.to_csv(out / folder / f"{name}.csv", index=False)


def _main(options: argparse.Namespace) -> None:
    folder: Path | None = options.folder
    if options.hold_out is not None and options.data is None:
        raise ArgumentError("--hold-out requires real images; give --data")
    if folder is not None and options.hold_out is not None:
        raise ArgumentError("--hold-out writes predictions, no model folder; leave out --folder")
    if folder is not None:
        check_replaceable(folder)  # fail hours before it is needed
    run = _Run(options)
    corpus = None if options.data is None else with_sample_maps(read_corpora(options.data))
    weights = run.simulated()
    if corpus is not None and options.hold_out is not None:
        _hold_out(run, corpus, weights, options.hold_out, options.out)
        return
    if corpus is not None:
        weights = run.real(_training(corpus), weights, options.out / "real")
    print(weights)
    if folder is not None:
        share = options.statistics_share if options.structure and options.statistics else 0.0
        imn.export_model(weights, folder, images=options.export_images, statistics_share=share)
        print(folder)


def main() -> int:
    """Run the command."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args()
    try:
        _main(options)
    except (IonMorphNetError, ValueError) as error:
        print(f"train_on_real_images: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
