"""Files, windows and images of the reference workload of the device benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

import ionmorphnet as imn
from ionmorphnet.io.imzml_writer import ImzMLWriter

BINS = 20_000
PEAKS = 3_000
IMAGES = 5_000
HEIGHT, WIDTH = 200, 250


@dataclass(frozen=True)
class Workload:
    """The reference workload, or a share of its pixels."""

    scale: float = 1.0

    @property
    def shape(self) -> tuple[int, int]:
        return max(8, int(HEIGHT * self.scale)), WIDTH

    @property
    def pixels(self) -> int:
        return self.shape[0] * self.shape[1]

    def scaled(self, size: int) -> float:
        return max(1 << 16, size * self.scale)

    def file_bytes(self, mode: str) -> float:
        """Bytes of a file's arrays that every window needs once."""
        return self.pixels * (4.0 * BINS if mode == "continuous" else 12.0 * PEAKS)

    def describe(self, mode: str) -> str:
        what = f"{BINS} bins" if mode == "continuous" else f"{PEAKS} peaks"
        return f"{self.pixels} pixels, {what}, {IMAGES} images"

    def images(self, n: int) -> np.ndarray:
        """Smooth structure and noise, exponentially distributed like intensities."""
        rng = np.random.default_rng(1)
        n = max(4, int(n * min(1.0, 4 * self.scale)))
        y, x = np.mgrid[: self.shape[0], : self.shape[1]] / 100.0
        shape = np.stack([np.sin(x * (1 + k % 7)) * np.cos(y * (1 + k % 5)) + 1 for k in range(8)]).astype(np.float32)
        stack = rng.standard_exponential((n, *self.shape), dtype=np.float32)
        for i in range(n):
            stack[i] *= shape[i % 8]
        return stack


def reference_files(folder: Path, work: Workload) -> dict[str, tuple[Path, imn.CandidateAxis]]:
    """Continuous and processed, each with its 5,000 windows; written once."""
    mz = np.geomspace(200.0, 1800.0, BINS)
    centres = mz[2::4]
    step = mz[1] / mz[0]
    files = {}
    for mode in ("continuous", "processed"):
        path = folder / f"reference_{mode}.imzML"
        if not path.is_file():
            _write(path, mode, mz, work)
        # Four bins each, with bounds half-way between bins; wide enough for every second peak of the processed file.
        reach = step**2 if mode == "continuous" else step
        axis = imn.CandidateAxis(
            mz=centres,
            mz_lo=centres / reach,
            mz_hi=centres * reach * (1 - 1e-9),
            frequency=np.ones(len(centres)),
            method="reference workload",
        )
        files[mode] = (path, axis)
    return files


def _write(path: Path, mode: str, mz: np.ndarray, work: Workload) -> None:
    rng = np.random.default_rng(2)
    # Drawing is slow, so spectra are shifted windows of one long draw.
    pool = rng.standard_exponential(8 * BINS, dtype=np.float32)
    choices = [np.sort(rng.choice(BINS, PEAKS, replace=False)) for _ in range(64)]
    with ImzMLWriter(path, mode=mode, spectrum_type="centroid") as writer:
        for k, (y, x) in enumerate(np.ndindex(work.shape)):
            start = (k * 7919) % (7 * BINS)
            intensity = pool[start : start + BINS]
            if mode == "continuous":
                writer.add(x + 1, y + 1, mz, intensity)
            else:
                kept = choices[k % len(choices)]
                writer.add(x + 1, y + 1, mz[kept] * (1 + (k % 5 - 2) * 1e-7), intensity[kept])
