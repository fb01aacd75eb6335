"""Pick the peaks of a section with MALDIquant, for comparison.

    python scripts/maldiquant_picks.py SECTION.imzML picks.csv [--top N]
    ionmorphnet evaluate mscf1 SECTION.imzML --picked picks.csv

MALDIquant (Gibb and Strimmer 2012, Bioinformatics 28, 2270-2271; GPL-3) picks by spectra, not by images. Centroid
spectra: binPeaks and filterPeaks; score = share of the spectra with the peak. Profile spectra: the peaks of the mean
spectrum (SNIP baseline, MAD noise); score = signal-to-noise ratio. Spectra of more than a few ten million values in all
do not fit R's memory. Needs R with the package MALDIquant, which ionmorphnet does not install.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import ionmorphnet as imn
from ionmorphnet.base.errors import FileError, IonMorphNetError, UnavailableError

INSTALL = "Debian or Ubuntu: apt-get install --no-install-recommends r-cran-maldiquant"
NO_PACKAGE = 3  # exit status of the R script


def maldiquant_picks(path: Path, *, snr: float = 3.0, frequency: float = 0.01, ppm: float = 20.0) -> pd.DataFrame:
    """Pick the peaks of a section.

    Args:
        path: imzML file with one plane.
        snr: Least signal-to-noise ratio of a peak of the mean spectrum (profile).
        frequency: Least share of the spectra with a peak (centroid).
        ppm: Half width of a peak's bin (centroid).

    Returns:
        mz, score and intensity, best first.

    Raises:
        FileError: The file cannot be read, or R cannot process it.
        UnavailableError: R or MALDIquant is missing.
    """
    program = shutil.which("Rscript")
    if program is None:
        raise UnavailableError(f"Rscript not found; install R with MALDIquant ({INSTALL})")
    with tempfile.TemporaryDirectory() as temporary, imn.open(path) as dataset:
        folder = Path(temporary)
        _export(dataset, folder)
        numbers = [str(value) for value in (snr, frequency, ppm * 1e-6)]
        script = Path(__file__).with_suffix(".R")
        command = [program, "--vanilla", str(script), temporary, dataset.spectrum_type, *numbers]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == NO_PACKAGE:
            raise UnavailableError(f"R has no package MALDIquant; install it ({INSTALL})")
        if done.returncode:
            raise FileError(f"{path}: MALDIquant failed: {' '.join(done.stderr.split())[-300:]}")
        return pd.read_csv(folder / "picks.csv")


def _export(dataset: imn.Dataset, folder: Path) -> None:
    """Write what the R script reads; intensities of 0 are left out of centroid spectra."""
    counts = []
    with (folder / "mz.bin").open("wb") as of_mz, (folder / "intensity.bin").open("wb") as of_intensity:
        for index in range(dataset.n_spectra):
            mz, intensity = dataset.spectrum(index)
            kept = np.isfinite(intensity)
            if dataset.spectrum_type == "centroid":
                kept &= intensity > 0
            if kept.any():
                counts.append(int(kept.sum()))
                of_mz.write(mz[kept].astype("<f8").tobytes())
                of_intensity.write(intensity[kept].astype("<f8").tobytes())
    np.array(counts, "<i4").tofile(folder / "counts.bin")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("section", type=Path, help="imzML file")
    parser.add_argument("out", type=Path, help="CSV for the picks: mz, score, intensity")
    parser.add_argument("--top", type=int, help="write only the best N")
    parser.add_argument("--snr", type=float, default=3.0, help="least signal-to-noise ratio (profile; default 3)")
    parser.add_argument("--frequency", type=float, default=0.01, help="least share of spectra (centroid; default 0.01)")
    parser.add_argument("--ppm", type=float, default=20.0, help="half width of a peak's bin (centroid; default 20)")
    given = parser.parse_args()
    try:
        picks = maldiquant_picks(given.section, snr=given.snr, frequency=given.frequency, ppm=given.ppm)
    except IonMorphNetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    picks.head(given.top or len(picks)).to_csv(given.out, index=False)
    print(f"{given.out}: {min(given.top or len(picks), len(picks))} of {len(picks)} picks")
    return 0


if __name__ == "__main__":
    sys.exit(main())
