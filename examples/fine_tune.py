"""Fine-tune a model on your own labels: read, train and, with --out, export and pick.

Run: python examples/fine_tune.py [section.imzML labels.csv] [--init MODEL_FOLDER] [--out FOLDER]. Without a section
it trains on a small simulated one, with so few images that it takes seconds and the model learns nothing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import pandas as pd

import ionmorphnet as imn
from ionmorphnet.labelled.read_source import read_source


def simulated_labels(folder: Path) -> tuple[Path, Path]:
    """A small simulated section, and a label file made from its truth in the form that an expert would write."""
    section = imn.simulate(folder / "section.imzML", shape=(48, 56), n_channels=60, n_informative=30, seed=3)
    labels = folder / "labels.csv"
    section.truth[["mz", "label", "structure"]].to_csv(labels, index=False)
    return section.path, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("own", nargs="*", type=Path, metavar="section.imzML labels.csv")
    parser.add_argument("--init", type=Path, help="model folder to start from (default: the bundled model)")
    parser.add_argument("--out", type=Path, help="folder that receives training/ and model/")
    options = parser.parse_args()
    if len(options.own) not in (0, 2):
        parser.error("give both a section and its labels, or neither")

    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        section, labels = options.own or simulated_labels(Path(temporary))

        source = read_source(section, labels, ppm=5, class_structure=True)
        print("\n".join(source.report.lines(limit=3)))
        print(pd.Series(source.targets().sum(axis=0), index=imn.CLASSES, name="images").to_string())

        # Half of the training images are simulated, which preserves what the model learned before.
        trained = imn.train(
            folder / "training",
            source=source,
            init=options.init or imn.load_model().folder,
            images=1500 if options.own else 32,
            size=None if options.own else 32,
            seed=1,
        )
        print(trained)
        if not options.out:
            return

        # Calibrates on simulated images, checks the network, and writes a folder for `ionmorphnet pick --model`.
        imn.export_model(trained.weights, folder / "model")
        peaks = imn.pick(section, top=10, model=folder / "model")
        print(peaks.to_frame()[["mz", "score", "label"]].to_string(index=False))


if __name__ == "__main__":
    main()
