"""A small folder in the layout of ``real_images``: sources of discs and noise, labelled by two passes."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

COLUMNS = (
    *("index", "source", "key", "height", "width", "label_a", "label_b", "grade_a", "grade_b", "structure"),
    *("usable", "may_train", "expert_off_sample", "section"),
)
# Source, images per picture, pictures, may_train.
SOURCES = (("alpha", 2, 4, 1), ("beta", 3, 2, 1), ("gamma", 1, 3, 0))


def ion_image(index: int, shape: tuple[int, int] = (24, 28)) -> tuple[NDArray[np.float32], str, float]:
    """An image with its class and grade: a disc that fills most of the frame, a small one, or noise."""
    rng = np.random.default_rng([5, index])
    y, x = np.mgrid[: shape[0], : shape[1]]
    kind = index % 3
    image = rng.random(shape, dtype=np.float32) * np.float32(0.2 if kind < 2 else 1.0)
    radius = (10.0, 4.0, 0.0)[kind]
    image += ((y - shape[0] / 2) ** 2 + (x - shape[1] / 2) ** 2 < radius**2).astype(np.float32)
    return image, ("structured", "localized", "unstructured")[kind], (3.0, 2.5, 0.0)[kind]


def rows_of(sources: tuple[tuple[str, int, int, int], ...] = SOURCES) -> list[dict[str, object]]:
    """Rows of labels.csv; every fifth image is labelled differently by the second pass, and the last is not usable."""
    rows: list[dict[str, object]] = []
    for source, images, pictures, may_train in sources:
        for k in range(images * pictures):
            index = len(rows)
            image, label, grade = ion_image(index)
            other = "weak_structured" if index % 5 == 0 else label
            rows.append(
                {
                    "index": index,
                    "source": source,
                    "key": f"{source}_book_{k // images}#{k % images}",
                    "height": image.shape[0],
                    "width": image.shape[1],
                    "label_a": label,
                    "label_b": other,
                    "grade_a": grade,
                    "grade_b": max(0.0, grade - 0.5),
                    "structure": (grade + max(0.0, grade - 0.5)) / 2,
                    "usable": 1,
                    "may_train": may_train,
                    "expert_off_sample": ("on", "off", "")[index % 3],
                    "section": f"{source}:piece" if source == "beta" else "",
                }
            )
    rows.append(rows[-1] | {"index": len(rows), "label_a": "bad", "label_b": "bad", "usable": 0})
    return rows


def write_real_images(folder: Path, rows: list[dict[str, object]] | None = None) -> Path:
    """Write ``images.npz`` and ``labels.csv``, and return the folder."""
    rows = rows_of() if rows is None else rows
    folder.mkdir(parents=True, exist_ok=True)
    images = {f"image_{row['index']}": ion_image(int(str(row["index"])))[0].astype(np.float16) for row in rows}
    np.savez(folder / "images.npz", **images)
    with open(folder / "labels.csv", "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return folder
