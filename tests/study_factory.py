"""A small picked study: four sections of processed centroids with names, classes, patients and known means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

import ionmorphnet as imn

IONS = np.array([200.0, 300.1, 301.1033548, 400.2, 500.3, 600.4])
NAMES = ["=cmd()", "PC 34:1; PE 37:1", "NA", "Gamma", "", "Omega"]
FORMULAS = ["C10H12", "C42H82NO8P; C42H82NO8P", "", "C5H5+", "", "C6H6"]
IDS = ["007", "008", "009", "010", "011", "012"]
LABELS = ["structured", "structured", "localized", "negative", "negative", "unstructured"]
SHAPES = [(10, 12), (10, 13), (9, 12), (8, 10)]
SAMPLES = """path,sample,patient,group,mean,batch,x,status
s0.imzML,a,p0,control,x,1,X0,s
s1.imzML,b/one,p0,control,y,2,X1,s
s2.imzML,c,p1,tumour,z,1,X2,s
s3.imzML,d,,tumour,z,1,X3,s
absent.imzML,e,p1,tumour,z,1,X4,s
"""


def write_study(root: Path) -> Path:
    """Picks the sections of a new study below ``root`` with an m/z list; one of the samples does not exist.

    Returns:
        The study's folder.
    """
    rng = np.random.default_rng(0)
    for k, (height, width) in enumerate(SHAPES):
        with imn.ImzMLWriter(
            root / f"s{k}.imzML", mode="processed", spectrum_type="centroid", pixel_size_um=(20.0, 20.0)
        ) as writer:
            for y in range(1, height + 1):
                for x in range(1, width + 1):
                    values = rng.gamma(9.0, 1 / 9, len(IONS)) * (1 + k) * np.arange(1, len(IONS) + 1) * 1000.0
                    values[2] = 0.3 * values[1]  # an isotope
                    writer.add(x, y, IONS * (1 + rng.normal(0, 0.3e-6, len(IONS))), values)
    (root / "samples.csv").write_text(SAMPLES)
    rows = zip(IONS, IONS * 10e-6, NAMES, FORMULAS, IDS, strict=True)
    lines = ["\t".join(map(str, row)) for row in rows]
    (root / "list.tsv").write_text("\n".join(["m/z\tWidth (+/- Da)\tName\tFormula\tid", *lines]) + "\n")
    out = root / "out"
    axis = imn.CandidateAxis.from_csv(root / "list.tsv")
    imn.cohort.run(root / "samples.csv", out, scorer="moran", top=3, axis=axis, jobs=1, spectrum_type="centroid")
    for table in out.glob("sections/**/*.csv"):  # classes, which a statistic has not
        frame = pd.read_csv(table, dtype={"id": str}, keep_default_na=False)
        frame["label"] = [LABELS[int(np.abs(IONS - mz).argmin())] for mz in frame["mz"]]
        frame.to_csv(table, index=False)
    return out


def true_means(root: Path) -> npt.NDArray[np.float64]:
    """Mean of each ion in each section, (4, 6)."""
    means = []
    for k in range(len(SHAPES)):
        with imn.open(root / f"s{k}.imzML", spectrum_type="centroid") as ds:
            means.append(ds.ion_images(IONS, ppm=10)[:, ds.mask].mean(axis=1, dtype=np.float64))
    return np.array(means)
