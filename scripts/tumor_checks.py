"""Check tissue classification: sections with other gains and offsets, and what selected channels save.

python scripts/tumor_checks.py shift --out RUN
python scripts/tumor_checks.py cost --out RUN
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import tumor_tables

import ionmorphnet as imn
from ionmorphnet.base.files import atomic_path
from ionmorphnet.evaluate.metrics import auc
from ionmorphnet.io.imzml_writer import ImzMLWriter

SEED = 911  # not one of the tables
TESTED = ("p02", "p04", "p06")
# Standard deviation of the log gain of a channel, and mean offset as a share of the channel's mean intensity.
SHIFTS = {
    "none": (0.0, 0.0),
    "gains 0.5": (0.5, 0.0),
    "gains 1": (1.0, 0.0),
    "offsets 0.1": (0.0, 0.1),
    "offsets 0.2": (0.0, 0.2),
    "offsets 0.5": (0.0, 0.5),
    "offsets 1": (0.0, 1.0),
    "gains and offsets 0.5": (0.5, 0.5),
}
SETTINGS = (("tic", "z"), ("tic", "rank"), ("none", "z"))
CHANNELS = (200, 2000)


def make_cohort(folder: Path, difficulty: str = "medium", channels: int = 200) -> imn.tumor.Cohort:
    """A simulated cohort, as the tables' are; made if it is not there."""
    if not (folder / "cohort.csv").is_file():
        imn.tumor.simulate_cohort(
            folder, sections=1, shape=(36, 40), n_channels=channels, difficulty=difficulty, seed=SEED
        )
    labels = imn.tumor.parse_label_map(str(folder / "labels.json"))
    return imn.tumor.read_cohort(folder / "cohort.csv", labels=labels)


def write_shifted(source: Path | str, path: Path, gains: float, offsets: float) -> None:
    """The section with another gain and offset in every channel."""
    with imn.open(source) as ds, ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        spectra = [ds.spectrum(i) for i in range(len(ds.coordinates))]
        level = np.mean([intensity for _, intensity in spectra], axis=0)
        gain = np.exp(np.random.default_rng(6).normal(0.0, gains, len(level)))
        offset = np.random.default_rng(5).uniform(0.0, 2.0 * offsets, len(level)) * level
        for (x, y, _), (mz, intensity) in zip(ds.coordinates, spectra, strict=True):
            writer.add(int(x), int(y), mz, (gain * (intensity + offset)).astype(np.float32))


def figures(prediction: imn.tumor.Prediction, truth: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Balanced accuracy and AUC of a section of two classes."""
    judged = (truth >= 0) & prediction.measured
    tumor, label = prediction.probabilities[1][judged], truth[judged] == 1
    right = (tumor > 0.5) == label
    return float(np.mean([right[label].mean(), right[~label].mean()])), float(auc(label, tumor))


def check_shifts(out: Path) -> None:
    """Predicts shifted sections of patients that the training has not seen."""
    rows = []
    for difficulty, patient in itertools.product(("medium", "hard"), TESTED):
        everyone = make_cohort(out / f"{difficulty}_{SEED}", difficulty)
        (test,) = (section for section in everyone.sections if section.patient == patient)
        known = [section for section in everyone.sections if section.patient != patient]
        cohort = imn.tumor.make_cohort(known, labels=everyone.label_map)
        files = {}
        for i, (name, shift) in enumerate(SHIFTS.items()):
            files[name] = out / f"{difficulty}_{SEED}" / f"{patient}_shift{i}.imzML"
            write_shifted(test.path, files[name], *shift)
        for normalize, standardize in SETTINGS:
            folder = out / f"{difficulty}_{patient}_{normalize}_{standardize}"
            model = imn.tumor.train_tumor(
                folder, cohort, normalize=normalize, standardize=standardize, device="cpu", threads=1
            ).model
            for name, path in files.items():
                found = imn.tumor.predict(model, path, device="cpu", threads=1)
                setting = f"{normalize}, {standardize}"
                values = figures(found, everyone.labels(test, found.measured.shape).astype(np.int64))
                rows.append((difficulty, patient, setting, name, *values))
    table = pd.DataFrame(rows, columns=["difficulty", "patient", "setting", "shift", "balanced_accuracy", "auc"])
    with atomic_path(out / "shift.csv") as temporary:
        table.to_csv(temporary, index=False)
    wide = table.groupby(["shift", "setting"], sort=False)[["balanced_accuracy", "auc"]].mean().unstack()
    settings = [", ".join(each) for each in SETTINGS]
    header = ["shift", *(f"{figure}: {s}" for figure in ("BA", "AUC") for s in settings)]
    lines = [
        [name, *(f"{wide.loc[name, (figure, s)]:.3f}" for figure in ("balanced_accuracy", "auc") for s in settings)]
        for name in SHIFTS
    ]
    print(tumor_tables._markdown(header, lines))


def measure(out: Path, channels: int, selection: str, top: int) -> None:
    """Prints as JSON what one training and prediction take, in a process of their own."""
    cohort = make_cohort(out / f"cost_{channels}", channels=channels)
    axis = out / f"cost_{channels}.json"
    known = json.loads(axis.read_text()) if axis.is_file() else {}
    given = known.get(f"{selection} {top}")
    ranking = 0.0
    if given is None:  # the channels are ranked in a process of their own, whose memory does not count
        began = time.process_time()
        trained = imn.tumor.train_tumor(
            out / f"rank_{channels}_{top}", cohort, selection=selection, top=top, device="cpu", threads=1
        )
        ranking = time.process_time() - began
        known[f"{selection} {top}"] = [trained.model.axis.mz.tolist(), ranking]
        axis.write_text(json.dumps(known))
        return
    began = time.process_time()
    run = out / f"run_{channels}_{top}"
    trained = imn.tumor.train_tumor(run, cohort, channels=given[0], ppm=30, device="cpu", threads=1)
    between = time.process_time()
    imn.tumor.predict(trained.model, cohort.sections[0].path, device="cpu", threads=1)
    after = time.process_time()
    size = sum(path.stat().st_size for path in trained.model.folder.iterdir())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    ranked = max(0.0, given[1] - (between - began)) if selection != "all" else 0.0
    print(json.dumps([ranked, between - began, after - between, peak, size / 1000]))


def check_costs(out: Path) -> None:
    """Time, memory and size of models of selected and of all channels."""
    rows = []
    for channels, (selection, top) in itertools.product(CHANNELS, (("picked", 40), ("picked", 160), ("all", 0))):
        command = [
            sys.executable,
            __file__,
            "cost",
            "--out",
            str(out),
            "--measure",
            str(channels),
            selection,
            str(top or channels),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        ranked, training, predicting, peak, size = json.loads(done.stdout.splitlines()[-1])
        which = f"{selection} {top}" if top else selection
        rows.append(
            [
                f"{channels:,}",
                which,
                f"{ranked:.1f}",
                f"{training:.1f}",
                f"{predicting:.1f}",
                f"{peak:.0f}",
                f"{size:.0f}",
            ]
        )
        print(*rows[-1], flush=True)
    header = ["channels", "used", "ranking, CPU s", "training, CPU s", "section, CPU s", "peak, MB", "model, kB"]
    print(tumor_tables._markdown(header, rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("check", choices=["shift", "cost"])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)  # one row of the costs, in its own process
    options = parser.parse_args()
    logging.getLogger("ionmorphnet").setLevel(logging.ERROR)
    options.out.mkdir(parents=True, exist_ok=True)
    if options.measure is not None:
        channels, selection, top = options.measure
        measure(options.out, int(channels), selection, int(top))
    elif options.check == "shift":
        check_shifts(options.out)
    else:
        check_costs(options.out)


if __name__ == "__main__":
    main()
