"""Fit the cascade of a model folder on labelled real images and simulated ones, and write it to config.json.

    python scripts/fit_cascade.py FOLDER [--data FOLDER] [--simulated N] [--dry-run]

The limits are the largest ones that leave a margin of 1.5 to every image of grade 1.5 or more. Nothing is written if
limits fitted without a source would lose a structured image of that source, or if the network itself would pick an
image that the limits spare it. The images and labels are not part of the repository: see ``--data``.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from ionmorphnet.base.errors import IonMorphNetError
from ionmorphnet.base.json_output import plain
from ionmorphnet.evaluate.cascade_fit import fit_cascade, of_corpus, of_simulation, write_cascade
from ionmorphnet.labelled.real_images import read_corpora
from ionmorphnet.models.model import load_model

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("IMN_SHARED_DATA", ROOT.parent / "shared" / "data"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="model folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder with real_images/ and ion_images/")
    parser.add_argument("--simulated", type=int, default=1500, help="simulated images (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true", help="print the cascade without writing it")
    options = parser.parse_args()
    try:
        model = load_model(options.folder)
        corpus, simulated = of_corpus(read_corpora(options.data)), of_simulation(options.simulated)
        fitted = fit_cascade(model, corpus, simulated, threads=options.threads)
        if not options.dry_run:
            write_cascade(options.folder, fitted)
    except IonMorphNetError as error:
        print(f"fit_cascade: {error}", file=sys.stderr)
        return 2
    print(json.dumps(plain({**fitted.cascade.to_dict(), "evidence": fitted.evidence}), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
