"""Train the bundled model on simulated ion images and write its folder.

One command reproduces the shipped weights (to the last bits of bfloat16 arithmetic, which differ between processors):

    python scripts/train_bundled_model.py

takes some 20 minutes on two cores. Stopped early, ``--from-checkpoint`` exports what was reached.
"""

from __future__ import annotations

import os

# The simulator's matrices are too small for threads; its processes would only hinder the training.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from pathlib import Path

from ionmorphnet.training.fit import Phase, Recipe, fit

NAME = "atto-sim-1"
FOLDER = Path(__file__).resolve().parents[1] / "python" / "ionmorphnet" / "bundled" / NAME

# First the classes, mostly on small images; then, at the size the model runs at, soft labels that make the score rank
# images by how much structure they show.
CLASSES = Recipe(phases=(Phase(112, 16_000, 32), Phase(224, 4_800, 16)), seed=20_260_419)
RANKING = Recipe(
    phases=(Phase(224, 6_000, 16),), seed=20_260_519, learning_rate=4e-4, soft_labels=True, drop_path=0.0, warmup=0.1
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="model folder to write")
    parser.add_argument("--checkpoint", type=Path, default=Path("out/bundled-model.pt"), help="kept while training")
    parser.add_argument("--from-checkpoint", action="store_true", help="do not train, export the checkpoint")
    parser.add_argument("--second-only", action="store_true", help="start from the first training's checkpoint")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()

    if not arguments.from_checkpoint:
        arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()

        def report(step: int, steps: int, loss: float) -> None:
            if step % 25 == 0:
                print(f"step {step}/{steps}  loss {loss:.3f}  {time.monotonic() - start:.0f} s", flush=True)

        first = arguments.checkpoint.with_suffix(".first.pt")
        options = {"workers": arguments.workers, "threads": arguments.threads, "progress": report}
        if not arguments.second_only:
            fit(CLASSES, checkpoint=first, **options)
        fit(RANKING, checkpoint=arguments.checkpoint, start=first, **options)

    from ionmorphnet.training.bundle import write_bundle

    print(write_bundle(arguments.checkpoint, arguments.out, script=Path(__file__).name))


if __name__ == "__main__":
    main()
