"""The files of one pick run: ``OUT/<stem>/peaks.csv``, ``scores.csv``, ``run.json`` and what was asked for besides."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from ionmorphnet._files import atomic_path
from ionmorphnet.errors import ArgumentError
from ionmorphnet.peak_list import PeakList

FORMATS = ("csv", "parquet", "imzml", "h5ad")


def parse_formats(text: str) -> tuple[str, ...]:
    """Reads ``csv,parquet``; csv is always among the result.

    Raises:
        ArgumentError: A format that is not known.
    """
    wanted = [name.strip().lower() for name in text.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown:
        raise ArgumentError(f"unknown format '{unknown[0]}'; known: {', '.join(FORMATS)}")
    return tuple(dict.fromkeys(["csv", *wanted]))


def output_names(inputs: Sequence[Path]) -> list[str]:
    """A folder name for each input: its stem, with the parent folder's name as prefix where stems repeat.

    Raises:
        ArgumentError: Two inputs would still write to the same place.
    """
    counts = Counter(path.stem for path in inputs)
    names = [path.stem if counts[path.stem] == 1 else f"{path.resolve().parent.name}_{path.stem}" for path in inputs]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ArgumentError(f"two inputs would write to '{twice[0]}': pick them in separate calls")
    return names


def write_run(peaks: PeakList, folder: Path, *, formats: Iterable[str] = ("csv",), report: bool = False) -> list[Path]:
    """Writes a run's files, each under a temporary name first; run.json comes last, so it marks a complete folder.

    Returns:
        What was written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "run.json").unlink(missing_ok=True)
    written = [folder / "peaks.csv", folder / "scores.csv"]
    peaks.to_csv(folder / "peaks.csv")
    with atomic_path(folder / "scores.csv") as temporary:
        peaks.all_scores.to_csv(temporary, index=False)
    for name in formats:
        target = folder / f"peaks.{name}"
        if name == "parquet":
            peaks.to_parquet(target)
        elif name == "imzml":
            target = folder / "peaks.imzML"
            peaks.to_imzml(target)
        elif name == "h5ad":
            with atomic_path(target) as temporary:
                peaks.to_anndata().write_h5ad(temporary)
        else:
            continue
        written.append(target)
    if report:
        peaks.report(folder / "report.html")
        written.append(folder / "report.html")
    with atomic_path(folder / "run.json") as temporary:
        temporary.write_text(json.dumps(peaks.run, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [*written, folder / "run.json"]
