"""Pick the peaks of a section from Python: open, look, pick, export.

Run: python examples/pick_peaks.py [section.imzML] [--out FOLDER]. Without a section it uses a small simulated one.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import ionmorphnet as imn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", nargs="?", type=Path, metavar="section.imzML")
    parser.add_argument(
        "--out", type=Path, help="folder that receives peaks.csv and report.html; default: a temporary one"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        path = (
            options.section
            or imn.simulate(Path(temporary) / "section.imzML", shape=(60, 80), n_channels=200, seed=1).path
        )
        out = options.out or Path(temporary)
        out.mkdir(parents=True, exist_ok=True)

        with imn.open(path) as ds:
            print(ds)
            axis = imn.candidate_axis(ds)
            print(axis)
            image = ds.ion_images(axis.mz[0], ppm=5)[0]
            print(f"ion image of m/z {axis.mz[0]:.4f}: shape {image.shape}, NaN where nothing was measured")

            peaks = imn.pick(ds, top=20, axis=axis)
            print(peaks)
            print(peaks.to_frame().head(5).to_string(index=False))

            # A strong baseline that needs no model. Compare both before you rely on either.
            moran = imn.pick(ds, top=20, axis=axis, scorer="moran")
            print(f"{len(set(peaks.mz) & set(moran.mz))} of 20 channels are also among the best 20 by Moran's I")

            peaks.to_csv(out / "peaks.csv")
            peaks.report(out / "report.html")


if __name__ == "__main__":
    main()
