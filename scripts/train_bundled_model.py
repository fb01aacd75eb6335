"""Train the bundled model on simulated ion images, from nothing to the model folder that ships.

This command reproduces it with its seed:

    python scripts/train_bundled_model.py --out RUN

It can be stopped at any time (Ctrl-C, SIGTERM, even a power cut); the same command resumes it. RUN receives last.pt
(everything needed to resume), weights.pt (averaged weights, updated during training) and log.csv. At the end the
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
from pathlib import Path

import ionmorphnet as imn
from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.models.networks.folder import check_replaceable
from ionmorphnet.training.fit import Execution, Progress, fit
from ionmorphnet.training.recipe import Phase, Recipe
from ionmorphnet.training.runtime import torch_device

NAME = "atto-sim-3"
BUNDLED = Path(imn.__file__).parent / "models" / "bundled"


def _phases(sizes: str, images: str, batches: str, peaks: str) -> tuple[Phase, ...]:
    columns = list(zip(sizes.split(","), images.split(","), batches.split(","), strict=True))
    rates = [float(peak) for peak in peaks.split(",")]
    rates += [0.0] * (len(columns) - len(rates))
    return tuple(Phase(int(size), int(n), int(batch), rates[k]) for k, (size, n, batch) in enumerate(columns))


def _show(progress: Progress) -> None:
    if progress.line:
        print(progress.line, flush=True)


def main() -> int:
    default = Recipe()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the training")
    parser.add_argument(
        "--size", default=",".join(str(p.size) for p in default.phases), help="image side of each phase"
    )
    parser.add_argument(
        "--images", default=",".join(str(p.images) for p in default.phases), help="images of each phase"
    )
    parser.add_argument(
        "--batch", default=",".join(str(p.batch) for p in default.phases), help="images per step of each phase"
    )
    parser.add_argument(
        "--peak",
        default=",".join(f"{p.peak:g}" for p in default.phases),
        help="restart of the learning rate in each phase, as a fraction of its peak; 0: none",
    )
    parser.add_argument("--architecture", default=default.architecture)
    parser.add_argument("--resize", choices=("stretch", "area"), default=default.resize)
    for name in ("mask", "sqrt", "sample", "structure", "compile", "soft-labels"):
        parser.add_argument(
            f"--{name}", action=argparse.BooleanOptionalAction, default=getattr(default, name.replace("-", "_"))
        )
    parser.add_argument(
        "--statistics", nargs="*", choices=STATISTICS, default=default.statistics, help="statistics the network reads"
    )
    for name in ("learning-rate", "ranking-weight", "structure-weight", "label-smoothing", "ema-decay", "drop-path"):
        parser.add_argument(f"--{name}", type=float, default=getattr(default, name.replace("-", "_")))
    for name in ("augmented-share", "warmup", "weight-decay"):
        parser.add_argument(f"--{name}", type=float, default=getattr(default, name.replace("-", "_")))
    parser.add_argument("--augmentation", choices=("none", "turns", "mild"), default=default.augmentation)
    parser.add_argument("--seed", type=int, default=default.seed)
    parser.add_argument("--precision", choices=("bf16", "f32"), default=default.precision)
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:N or auto")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads for the network; 0: all cores")
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate images")
    parser.add_argument("--save-seconds", type=float, default=300.0, help="time between saves")
    parser.add_argument("--log-steps", type=int, default=25, help="steps per line of the log")
    parser.add_argument("--name", default=NAME, help="name of the model")
    parser.add_argument("--folder", type=Path, help="model folder to write (default: bundled/NAME in the package)")
    parser.add_argument("--export", action=argparse.BooleanOptionalAction, default=True, help="write the model folder")
    parser.add_argument(
        "--statistics-share", type=float, default=0.5, help="weight of the statistics alone in the structure output"
    )
    parser.add_argument("--export-images", type=int, default=1500, help="simulated images for calibration and checks")
    options = vars(parser.parse_args())
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    out = options.pop("out")
    device = options.pop("device")
    execution = {name: options.pop(name) for name in ("threads", "workers", "save_seconds", "log_steps")}
    export = options.pop("export")
    name, folder, images = (options.pop(key) for key in ("name", "folder", "export_images"))
    share = options.pop("statistics_share")
    options["statistics"] = tuple(options["statistics"])
    if not (options["structure"] and options["statistics"]):
        share = 0.0
    folder = BUNDLED / name if folder is None else folder
    try:
        if export:
            check_replaceable(folder)  # fail hours before it is needed
        phases = _phases(options.pop("size"), options.pop("images"), options.pop("batch"), options.pop("peak"))
        fit(
            Recipe(phases=phases, **options),
            out,
            execution=Execution(torch_device(device), **execution),
            progress=_show,
        )
        print(out / "weights.pt")
        if export:
            imn.export_model(out / "weights.pt", folder, name=name, images=images, statistics_share=share, bundled=True)
            print(folder)
    except (IonMorphNetError, ValueError) as error:
        print(f"train_bundled_model: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
