"""Small cohorts for the tests of tumor classification."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ionmorphnet.io.imzml_writer import ImzMLWriter

MZ = np.linspace(200.0, 390.0, 20)
LABELS = {"1": "normal", "2": "tumor"}


def write_section(path: Path, rng: np.random.Generator, *, shape: tuple[int, int] = (14, 16), gap: bool = True) -> None:
    """A section whose right half is tumor: channel 3 is brighter, channel 5 grained; a corner is not measured."""
    height, width = shape
    gain = rng.uniform(0.8, 1.25, len(MZ))
    with ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        for y, x in np.ndindex(height, width):
            if gap and y < 3 and x < 4 and (y, x) != (0, 0):
                continue
            intensity = gain * rng.gamma(8.0, 10.0, len(MZ))
            if x >= width // 2:
                intensity[3] *= 3.0
                intensity[5] *= 0.4 if (x + y) % 2 else 1.6
            writer.add(x + 1, y + 1, MZ, intensity)


def regions(shape: tuple[int, int] = (14, 16)) -> np.ndarray:
    """1 on the left, 2 on the right, 0 between and in the first row."""
    mask = np.ones(shape, np.uint8)
    mask[:, shape[1] // 2 :] = 2
    mask[:, shape[1] // 2 - 1] = 0
    mask[0] = 0
    return mask


def write_cohort(folder: Path, patients: int = 4, sections: int = 1, seed: int = 0) -> Path:
    """A cohort list with its sections and masks."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    lines = ["file,regions,patient"]
    for patient in range(patients):
        for number in range(sections):
            name = f"p{patient}_{number}"
            write_section(folder / f"{name}.imzML", rng)
            np.save(folder / f"{name}.npy", regions())
            lines.append(f"{name}.imzML,{name}.npy,patient{patient}")
    (folder / "cohort.csv").write_text("\n".join(lines) + "\n")
    return folder / "cohort.csv"
