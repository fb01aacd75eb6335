"""Make the tables of docs/reference/tumor-results.md, on simulated cohorts or on an annotated cohort of your own.

python scripts/tumor_tables.py --out RUN [--stage NAME]
python scripts/tumor_tables.py --out RUN --cohort cohort.csv --labels 1=normal,2=tumor

Every cell is one cohort (difficulty, share of texture, seed), and for networks one seed of the network. If it is
stopped, the same command resumes it; --stage tables only writes the tables of the cells that are done.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

import ionmorphnet as imn
from ionmorphnet.base.files import atomic_path
from ionmorphnet.evaluate import BootstrapOptions, Estimate
from ionmorphnet.tumor.baselines import BASELINES

# Fixed before any method was run on cohorts with these seeds. Methods and difficulties were tried on seeds from 901 on.
COHORT_SEEDS = (101, 102, 103, 104, 105)
NETWORK_SEEDS = (1, 2, 3)
DIFFICULTIES = ("easy", "medium", "hard")
TEXTURE_SHARES = (0.0, 0.5, 1.0)
SMOOTHINGS = ("none", "gaussian", "crf")
FIGURES = ("balanced_accuracy", "auc", "brier", "ece")
SLOW = ("rbf", "boosting")
_FAST = [name for name in BASELINES if not name.startswith(SLOW)]
STAGES: dict[str, tuple[str, ...]] = {
    "baselines": tuple(name for name in _FAST if not name.endswith("-texture")),
    "texture": tuple(name for name in _FAST if name.endswith("-texture")),
    "cnn3d": ("cnn3d",),
    "slow": tuple(name for name in BASELINES if name.startswith(SLOW)),
    "cnn1d": ("cnn1d", "cnn1d-mean", "cnn1d-meanstd"),
}
SELECTIONS = ("picked", "moran", "intensity", "random", "anova")
TOPS = (10, 40, 160)
SELECTION_METHOD = "lda-meanstd"
DRAWS = 2000


@dataclass(frozen=True)
class Study:
    """The cohorts and the size of everything."""

    out: Path
    patients: int
    shape: tuple[int, int]
    channels: int
    folds: int
    size: int
    steps: int
    threads: int
    given: imn.tumor.Cohort | None

    def cells(self) -> Iterator[tuple[str, str, int]]:
        """Difficulty, share of texture and seed of each cohort; whole sets of difficulties and shares come first."""
        if self.given is not None:
            yield "given", "-", 0
            return
        for seed, difficulty, share in itertools.product(COHORT_SEEDS, DIFFICULTIES, TEXTURE_SHARES):
            yield difficulty, f"{share:g}", seed

    def cohort(self, cell: tuple[str, str, int]) -> tuple[Path, imn.tumor.Cohort]:
        """Folder and cohort of a cell."""
        difficulty, share, seed = cell
        folder = self.out / "cells" / f"{difficulty}_{share}_{seed}"
        if self.given is not None:
            return folder, self.given
        place = folder / "cohort"
        if not (place / "cohort.csv").is_file():
            imn.tumor.simulate_cohort(
                place,
                patients=self.patients,
                sections=1,
                shape=self.shape,
                n_channels=self.channels,
                difficulty=difficulty,
                texture_share=float(share),
                seed=seed,
            )
        return folder, imn.tumor.read_cohort(
            place / "cohort.csv", labels=imn.tumor.parse_label_map(str(place / "labels.json"))
        )

    def evaluate(
        self, name: str, cell: tuple[str, str, int], methods: tuple[str, ...], seed: int = 0, **plan: object
    ) -> None:
        """Evaluates methods on a cell, unless that was done before; notes the CPU time."""
        folder, cohort = self.cohort(cell)
        out = folder / name
        if (out / "done.json").is_file():
            return
        began = time.process_time(), time.perf_counter()
        split = folder / "split.json"
        if not split.is_file():
            _write_split(split, cohort, self.folds)
        # The channels are ranked once for each cohort: no ranking used here depends on the seed.
        if (folder / "baselines" / "scores.csv").is_file() and not (out / "scores.csv").is_file() and not plan:
            out.mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / "baselines" / "scores.csv", out / "scores.csv")
        settings = imn.tumor.EvaluationPlan(
            methods=methods,
            smooth=SMOOTHINGS,
            size=self.size,
            steps=self.steps,
            seed=seed,
            threads=self.threads,
            **plan,  # type: ignore[arg-type]
        )
        imn.tumor.evaluate_cohort(out, cohort, settings, split=split, options=BootstrapOptions(0))
        spent = time.process_time() - began[0]
        with atomic_path(out / "done.json") as temporary:
            temporary.write_text(json.dumps({"cpu_s": spent, "wall_s": time.perf_counter() - began[1]}))
        print(f"{time.strftime('%H:%M:%S')} {out.relative_to(self.out)}: {spent:.0f} s of CPU", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    stages = [*STAGES, "selection", "tables"]
    parser.add_argument(
        "--stage", nargs="*", choices=stages, default=stages, help="stages, in this order; default: all"
    )
    parser.add_argument("--cohort", type=Path, help="cohort.csv of an annotated cohort, instead of simulated ones")
    parser.add_argument("--labels", help="its label map, as for `ionmorphnet tumor evaluate`")
    parser.add_argument("--patients", type=int, default=6)
    parser.add_argument("--shape", type=int, nargs=2, default=(36, 40), metavar=("H", "W"))
    parser.add_argument("--channels", type=int, default=200)
    parser.add_argument("--folds", type=int, default=3, help="folds of whole patients; fewer patients: one each")
    parser.add_argument("--size", type=int, default=5, help="side of a network's patch")
    parser.add_argument("--steps", type=int, default=120, help="steps of a network")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; 0: all cores")
    options = parser.parse_args()
    logging.getLogger("ionmorphnet").setLevel(logging.ERROR)
    given = None
    if options.cohort is not None:
        given = imn.tumor.read_cohort(
            options.cohort, labels=None if options.labels is None else imn.tumor.parse_label_map(options.labels)
        )
    sizes = {
        name: getattr(options, name) for name in ("out", "patients", "channels", "folds", "size", "steps", "threads")
    }
    study = Study(**sizes, shape=tuple(options.shape), given=given)
    _claim(study)
    for evaluation, cell in jobs(study, options.stage):
        if evaluation.startswith("selection"):
            select_channels(study, cell)
        else:
            stage, _, seed = evaluation.partition("-")
            study.evaluate(evaluation, cell, STAGES[stage], int(seed or 0))
    if "tables" in options.stage:
        write_tables(study)


def jobs(study: Study, stages: list[str]) -> Iterator[tuple[str, tuple[str, str, int]]]:
    """Evaluations and their cells, so ordered that a run which is stopped has whole sets of cohorts."""
    cells = list(study.cells())
    rounds = [["baselines", "texture", f"cnn3d-{NETWORK_SEEDS[0]}"], ["selection"]]
    rounds += [[f"cnn3d-{seed}"] for seed in NETWORK_SEEDS[1:]] + [["slow"]]
    rounds += [[f"cnn1d-{seed}"] for seed in NETWORK_SEEDS]
    for evaluations in rounds:
        for _, group in itertools.groupby(cells, key=lambda cell: cell[2]):
            own = list(group)
            for evaluation in evaluations:
                for cell in own:
                    chosen = evaluation.partition("-")[0] in stages
                    if chosen and (evaluation != "selection" or cell[0] in ("medium", "given")):
                        yield evaluation, cell


def select_channels(study: Study, cell: tuple[str, str, int]) -> None:
    """Evaluates one method on every way to choose 10, 40 or 160 channels, and on all of them."""
    for top in TOPS:
        more = ("all",) if top == TOPS[0] else ()
        study.evaluate(f"selection{top}", cell, (SELECTION_METHOD,), selections=(*SELECTIONS, *more), top=top)


def _claim(study: Study) -> None:
    """Refuses to mix sizes in a folder."""
    sizes = {name: str(value) for name, value in vars(study).items() if name not in ("out", "threads")}
    path = study.out / "sizes.json"
    if path.is_file():
        known = json.loads(path.read_text())
        if known != sizes:
            raise SystemExit(f"{path}: the run has other sizes ({known}); choose another folder")
        return
    study.out.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(sizes))


def _write_split(path: Path, cohort: imn.tumor.Cohort, folds: int) -> None:
    """Folds of whole patients, the same for all methods and seeds."""
    patients = list(dict.fromkeys(section.patient for section in cohort.sections))
    parts = [patients[i::folds] for i in range(min(folds, len(patients)))]
    document = [
        {
            "train": [section.name for section in cohort.sections if section.patient not in part],
            "test": [section.name for section in cohort.sections if section.patient in part],
        }
        for part in parts
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document))


def read_figures(study: Study, prefix: str) -> pd.DataFrame:
    """Figures by patient of all cells done whose evaluation starts with a prefix."""
    frames = []
    for cell in study.cells():
        folder = study.out / "cells" / "_".join(map(str, cell))
        for done in sorted(folder.glob(f"{prefix}*/done.json")):
            frame = pd.read_csv(done.parent / "by_patient.csv")
            name = done.parent.name.removeprefix(prefix).removeprefix("-")
            frame["difficulty"], frame["texture"], frame["cohort"] = cell
            frame["run"] = int(name) if name.isdigit() else 0
            frame["cpu_s"] = json.loads(done.read_text())["cpu_s"]
            frames.append(frame)
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()


def hierarchical(values: npt.NDArray[np.float64], draws: int = DRAWS) -> npt.NDArray[np.float64]:
    """Resampled means, float64 (1 + draws,), the first that of the sample.

    Args:
        values: (cohorts, runs, patients). Cohorts are resampled, within them runs and patients. Equal shapes see the
            same resamples, so differences are paired; a method with one run sees the same cohorts and patients.
        draws: Number of resamples.
    """
    cohorts, runs, patients = values.shape
    rng = np.random.default_rng(0)
    c = rng.integers(cohorts, size=(draws, cohorts))
    p = rng.integers(patients, size=(draws, cohorts, patients))
    n = rng.integers(runs, size=(draws, cohorts, runs))
    found = values[c[:, :, None, None], n[:, :, :, None], p[:, :, None, :]]
    return np.concatenate([[np.nanmean(values)], np.nanmean(found, axis=(1, 2, 3))])


def _cube(rows: pd.DataFrame, figure: str) -> npt.NDArray[np.float64]:
    """Values (cohorts, runs, patients) of one method; only runs that all cohorts have."""
    table = rows.pivot(index=["cohort", "run"], columns="patient", values=figure)
    cohorts = sorted(rows["cohort"].unique())  # in the same order for all methods, because differences are paired
    runs = [set(table.loc[cohort].index) for cohort in cohorts]
    shared = sorted(set.intersection(*runs))
    parts = [table.loc[cohort].loc[shared].to_numpy(np.float64) for cohort in cohorts]
    return np.stack(parts)


def summarise(rows: pd.DataFrame, key_name: str, reference: str | None = None) -> pd.DataFrame:
    """Means with intervals, paired with the best baseline (or a named row), by cell and over all cells."""
    cells = {}
    for at, cell in rows.groupby(["difficulty", "texture"], sort=False):
        own = dict(iter(cell.groupby(key_name, sort=False)))
        whole = cell["cohort"].nunique()  # a method with fewer cohorts is under way
        cells[at] = {key: part for key, part in own.items() if part["cohort"].nunique() == whole}
    sampled = {
        at: {key: {name: hierarchical(_cube(part, name)) for name in FIGURES} for key, part in cell.items()}
        for at, cell in cells.items()
    }
    # Cells see the same resamples, so their mean resamples the seeds of the cohorts.
    common = [key for key in next(iter(sampled.values())) if all(key in cell for cell in sampled.values())]
    if len(sampled) > 1:
        sampled["all", "all"] = {
            key: {name: np.mean([cell[key][name] for cell in sampled.values()], axis=0) for name in FIGURES}
            for key in common
        }
    found = []
    for at, cell in sampled.items():
        candidates = [key for key in cell if (_is_baseline(key) if reference is None else key == reference)]
        best = max(candidates, key=lambda key: cell[key]["balanced_accuracy"][0])
        for key, each in cell.items():
            part = cells.get(at, next(iter(cells.values())))[key]
            row = {"difficulty": at[0], "texture": at[1], key_name: key, "reference": best}
            row |= {"cohorts": part["cohort"].nunique(), "runs": _cube(part, "auc").shape[1]}
            for figure in FIGURES:
                row[figure], row[f"{figure}_low"], row[f"{figure}_high"] = _interval(each[figure])
            for figure in FIGURES[:2]:
                less = _interval(each[figure] - cell[best][figure])
                row[f"less_{figure}"], row[f"less_{figure}_low"], row[f"less_{figure}_high"] = less
            found.append(row)
    return pd.DataFrame(found)


def _is_baseline(method: str) -> bool:
    return method.split("+")[0] in BASELINES


def _interval(values: npt.NDArray[np.float64]) -> tuple[float, float, float]:
    low, high = np.quantile(values[1:], (0.025, 0.975))
    return float(values[0]), float(low), float(high)


def write_tables(study: Study) -> None:
    """Writes methods.csv, selection.csv and tables.md from the cells that are done."""
    text, spent = [], 0.0
    methods = pd.concat([read_figures(study, stage) for stage in STAGES], ignore_index=True)
    if len(methods):
        spent += methods.drop_duplicates(["difficulty", "texture", "cohort", "run", "cpu_s"])["cpu_s"].sum()
        table = summarise(methods, "method")
        table.to_csv(study.out / "methods.csv", index=False)
        text += ["## Balanced accuracy", _matrix(table, "balanced_accuracy"), "## AUC", _matrix(table, "auc")]
        text += ["## Calibration (ECE)", _matrix(table, "ece"), "## The best of each kind against the best baseline"]
        text += [_against(table)]
    chosen = read_figures(study, "selection")
    if len(chosen):
        spent += chosen.drop_duplicates(["difficulty", "texture", "cohort", "run", "cpu_s"])["cpu_s"].sum()
        chosen = chosen[chosen["method"] == SELECTION_METHOD].assign(top=chosen["run"], run=0)
        chosen["channels"] = np.where(
            chosen["selection"] == "all", "all", chosen["selection"] + " " + chosen["top"].astype(str)
        )
        table = summarise(chosen, "channels", reference="all")
        table.to_csv(study.out / "selection.csv", index=False)
        text += [f"## Channels ({SELECTION_METHOD})", _selection(table)]
    text.append(f"CPU time of the cells: {spent / 3600:.2f} hours.")
    (study.out / "tables.md").write_text("\n\n".join(text) + "\n")
    print(study.out / "tables.md")


def _matrix(table: pd.DataFrame, figure: str) -> str:
    """Methods by cells, sorted by their mean."""
    table = table[(table["difficulty"] != "all")]
    wide = table.pivot_table(index="method", columns=["difficulty", "texture"], values=figure, sort=False).dropna()
    wide = wide.loc[wide.mean(axis=1).sort_values(ascending=figure == "ece", kind="stable").index]
    header = ["method", *(f"{difficulty} {texture}" for difficulty, texture in wide.columns), "mean"]
    rows = [
        [method, *(f"{x:.3f}" for x in row), f"{row.mean():.3f}"]
        for method, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return _markdown(header, rows)


def _against(table: pd.DataFrame) -> str:
    """One row per cell and classifier: its variant that is best over all cells, which need not be that of the cell."""
    header = ["cell", "best baseline", "method", "balanced accuracy", "less the baseline", "AUC", "less the baseline"]
    last = table[
        (table["difficulty"] == table["difficulty"].iloc[-1]) & (table["texture"] == table["texture"].iloc[-1])
    ]
    chosen = last.loc[last.groupby(last["method"].str.split("[-+]").str[0])["balanced_accuracy"].idxmax(), "method"]
    rows = []
    for (difficulty, texture), own in table.groupby(["difficulty", "texture"], sort=False):
        for _, row in own[own["method"].isin(chosen)].sort_values("auc", ascending=False).iterrows():
            figures = [_text(row, name) for f in FIGURES[:2] for name in (f, f"less_{f}")]
            rows.append([f"{difficulty} {texture}", row["reference"], row["method"], *figures])
    return _markdown(header, rows)


def _selection(table: pd.DataFrame) -> str:
    header = ["texture", "channels", "balanced accuracy", "less all", "AUC", "less all"]
    rows = [
        [row["texture"], row["channels"], *(_text(row, name) for f in FIGURES[:2] for name in (f, f"less_{f}"))]
        for _, row in table.iterrows()
    ]
    return _markdown(header, rows)


def _markdown(header: list[str], rows: list[list[str]]) -> str:
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return "\n".join([*lines, *(f"| {' | '.join(map(str, row))} |" for row in rows)])


def _text(row: pd.Series, figure: str) -> str:
    return str(Estimate(row[figure], row[f"{figure}_low"], row[f"{figure}_high"], 0, 0))


if __name__ == "__main__":
    main()
