"""Studies of small sections with common ions, each with its own mass drift, shape and sample columns."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import ionmorphnet as imn

HEADER = "path,sample,patient,batch,group\n"


def write_study(
    root: Path, n_sections: int, *, n_ions: int = 40, shape: tuple[int, int] = (20, 24), seed: int = 0
) -> Path:
    """Writes sections and ``samples.csv``.

    A quarter of the ions has a shape, the rest is noise. Each section lacks a fifth of the ions, drifts by up to 8 ppm
    and is up to four rows and columns larger than ``shape``.

    Args:
        root: Folder of the files.
        n_sections: Number of sections, named ``s1``, ``s2`` and so on.
        n_ions: Ions of the study.
        shape: Least height and width.
        seed: Random seed.

    Returns:
        The list of samples.
    """
    rng = np.random.default_rng(seed)
    ions = np.sort(rng.uniform(300.0, 900.0, n_ions))
    lines = [HEADER]
    for k in range(1, n_sections + 1):
        height, width = shape[0] + int(rng.integers(5)), shape[1] + int(rng.integers(5))
        y, x = np.mgrid[:height, :width]
        radius = np.hypot((y - height / 2) / height, (x - width / 2) / width)
        tissue = radius < 0.47
        seen = rng.random(n_ions) >= 0.2
        mz = ions[seen] * (1 + (rng.uniform(-8, 8) + rng.normal(0, 0.5, int(seen.sum()))) * 1e-6)
        images = rng.gamma(2.0, 1.0, (n_ions, height, width))
        for i in range(0, n_ions, 4):
            angle = i * 0.7 + k * 0.05
            shaped = np.sin(angle + 5 * x / width) + np.cos(angle + 6 * y / height)
            images[i] += (4 + i % 7) * np.clip(shaped, 0, None)
        values = images[seen][:, tissue].T * rng.uniform(0.5, 2.0)
        cells = np.argwhere(tissue)
        positions = np.stack([cells[:, 1] + 1, cells[:, 0] + 1, np.ones(len(cells), int)], axis=1)
        order = np.argsort(mz)
        with imn.ImzMLWriter(
            root / f"s{k}.imzML", mode="continuous", spectrum_type="centroid", pixel_size_um=(50.0, 50.0)
        ) as writer:
            writer.add_shared(positions, mz[order], values[:, order])
        lines.append(f"s{k}.imzML,s{k},p{(k + 3) // 4},b{k % 3 + 1},{'control' if k % 2 else 'treated'}\n")
    target = root / "samples.csv"
    target.write_text("".join(lines))
    return target
