"""Train the bundled model on simulated ion images and write its folder.

One command repeats the training of the shipped weights with its seed. Rounding (bfloat16, threads, library versions)
makes the weights differ in detail, so compare the figures, not the bytes:

    python scripts/train_bundled_model.py

takes some 25 minutes on two cores. Stopped early, ``--from-checkpoint`` exports what was reached.
"""

from __future__ import annotations

import os

# The simulator's matrices are too small for threads; its processes would only hinder the training.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import argparse
import time
from pathlib import Path

from ionmorphnet.training.fit import Recipe, fit

NAME = "atto-sim-1"
FOLDER = Path(__file__).resolve().parents[1] / "python" / "ionmorphnet" / "bundled" / NAME


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="model folder to write")
    parser.add_argument("--checkpoint", type=Path, default=Path("out/bundled-model.pt"), help="kept while training")
    parser.add_argument("--from-checkpoint", action="store_true", help="do not train, export the checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1)
    arguments = parser.parse_args()

    recipe = Recipe()
    if not arguments.from_checkpoint:
        arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()

        def report(step: int, steps: int, loss: float) -> None:
            if step % 25 == 0:
                print(f"step {step}/{steps}  loss {loss:.3f}  {time.monotonic() - start:.0f} s", flush=True)

        fit(
            recipe,
            workers=arguments.workers,
            threads=arguments.threads,
            checkpoint=arguments.checkpoint,
            progress=report,
        )

    from ionmorphnet.training.bundle import write_bundle

    print(write_bundle(arguments.checkpoint, arguments.out, script=Path(__file__).name))


if __name__ == "__main__":
    main()
