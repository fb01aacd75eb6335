"""Pick a section from Python: open, look, pick, export. Run: python examples/pick_peaks.py [section.imzML]."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import ionmorphnet as imn


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:
            path = Path(folder) / "section.imzML"
            imn.simulate(path, shape=(60, 80), n_channels=200, seed=1)

        with imn.open(path) as ds:
            print(ds)
            axis = imn.candidate_axis(ds)
            print(axis)
            image = ds.ion_images(axis.mz[0], ppm=5)[0]
            print(f"ion image of m/z {axis.mz[0]:.4f}: shape {image.shape}, NaN where nothing was measured")

            peaks = imn.pick(ds, top=20, axis=axis)
            print(peaks)
            print(peaks.to_frame().head(5).to_string(index=False))

            # A strong baseline without any model: compare before you rely on either.
            moran = imn.pick(ds, top=20, axis=axis, scorer="moran")
            print(f"{len(set(peaks.mz) & set(moran.mz))} of 20 channels are also among Moran's I's best 20")

            peaks.to_csv(Path(folder) / "peaks.csv")
            peaks.report(Path(folder) / "report.html")


if __name__ == "__main__":
    main()
