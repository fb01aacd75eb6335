"""Draw the picture of docs/reference/sample-map.md."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from ionmorphnet.io.rendering import contact_sheet
from ionmorphnet.io.sample_maps import sample_map_of_images

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "images"
SEEDS = (1, 3, 4, 13, 21)
SHAPE = (72, 90)


def main() -> None:
    shown, truth, maps, captions = [], [], [], []
    for seed in SEEDS:
        with tempfile.TemporaryDirectory() as folder:
            section = imn.simulate(Path(folder) / "s.imzML", shape=SHAPE, n_channels=150, seed=seed)
            with imn.open(section.path) as ds:
                images = ds.ion_images(section.truth["mz"], ppm=6)
                found = imn.sample_map(ds)
        shown.append(_mean(images))
        truth.append(section.tissue.astype(float))
        maps.append(found.map)
        captions.append(f"map, off sample {found.off_sample:.2f}")
    # A box within the sample of the last section: measured throughout, and all of it sample.
    rows, cols = _box_inside(section.tissue)
    inside = np.zeros(SHAPE, np.bool_)
    inside[rows, cols] = True
    images = np.where(inside, images, np.nan)
    found = sample_map_of_images(images.astype(np.float32))
    shown.append(_mean(images))
    truth.append(np.where(inside, 1.0, np.nan))
    maps.append(np.where(inside, found.map, np.nan))
    captions.append(f"map, off sample {found.off_sample:.2f}")
    names = ["mean of all images"] * len(shown) + ["truth"] * len(shown) + captions
    sheet = contact_sheet(np.stack([*shown, *truth, *maps]), names, columns=len(shown), zoom=2)
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / "sample_maps.png").write_bytes(sheet)


def _mean(images: np.ndarray) -> np.ndarray:
    """Mean of the images, each clipped at its 0.99 quantile."""
    quantile = np.maximum(np.nanquantile(images, 0.99, axis=(1, 2), keepdims=True), 1e-6)
    return np.clip(images / quantile, 0.0, 1.0).mean(axis=0)


def _box_inside(tissue: np.ndarray) -> tuple[slice, slice]:
    """A large box within the sample, in the proportions of the frame."""
    for height in range(tissue.shape[0], 8, -1):
        width = height * tissue.shape[1] // tissue.shape[0]
        for y in range(tissue.shape[0] - height + 1):
            for x in range(tissue.shape[1] - width + 1):
                if tissue[y : y + height, x : x + width].all():
                    return slice(y, y + height), slice(x, x + width)
    raise ValueError("the sample holds no box")


if __name__ == "__main__":
    main()
