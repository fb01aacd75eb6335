"""Draw docs/images/demo_ranking.png, the picture of README.md: the demo section's channels from best to worst."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from ionmorphnet.io.rendering import contact_sheet

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "demo_ranking.png"
COLUMNS, ROWS = 6, 3


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        # The section that `ionmorphnet demo` simulates.
        section = imn.simulate(Path(folder) / "demo.imzML", shape=(100, 120), n_channels=600, seed=7)
        with imn.open(section.path) as ds:
            ranked = imn.pick(ds, precision="f32", device="cpu").all_scores
            shown = ranked.iloc[np.linspace(0, len(ranked) - 1, COLUMNS * ROWS).round().astype(int)]
            images = ds.window_images(shown["mz_lo"].to_numpy(), shown["mz_hi"].to_numpy())
    captions = [f"#{row.rank}  {row.score:.2f}  {row.label}" for row in shown.itertuples()]
    PICTURE.write_bytes(contact_sheet(images, captions, columns=COLUMNS, zoom=1))


if __name__ == "__main__":
    main()
