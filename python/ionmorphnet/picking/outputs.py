"""The files of one pick run: ``OUT/<stem>/peaks.csv``, ``scores.csv``, ``run.json`` and what was asked for besides."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.files import atomic_path, make_folder, refuse_replacing
from ionmorphnet.io.dataset import CHANGED, Dataset
from ionmorphnet.io.h5ad import write_h5ad
from ionmorphnet.picking.peak_list import PeakList

FORMATS = ("csv", "parquet", "imzml", "h5ad")
# What a run may or may not write, besides peaks.csv and scores.csv.
_OPTIONAL = {
    "parquet": ("peaks.parquet",),
    "imzml": ("peaks.imzML", "peaks.ibd"),
    "h5ad": ("peaks.h5ad",),
    "report": ("report.html",),
}


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
    names = [path.stem if counts[path.stem] == 1 else f"{_parent(path)}_{path.stem}" for path in inputs]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ArgumentError(f"two inputs would write to '{twice[0]}': pick them in separate calls")
    return names


def _parent(path: Path) -> str:
    # Not resolve(): the folder as the user names it, not the one that a symbolic link leads to.
    return Path(os.path.abspath(path)).parent.name


@contextlib.contextmanager
def prepared_folder(folder: Path) -> Iterator[None]:
    """Makes the folder and tries to write in it, before the work whose result it shall hold.

    If the block fails, folders that were made here and are still empty are removed.

    Raises:
        FileError: The folder cannot be made or written in.
    """
    missing = [path for path in (folder, *folder.parents) if not os.path.lexists(path)]
    try:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
        except OSError as error:
            raise FileError(f"{folder}: cannot be written: {error.strerror}") from None
        yield
    except BaseException:
        for path in missing:
            with contextlib.suppress(OSError):  # never made, or something is in it
                path.rmdir()
        raise


def _optional_files() -> tuple[str, ...]:
    return tuple(file for group in _OPTIONAL.values() for file in group)


def refuse_input_folder(dataset: Dataset, folder: Path) -> None:
    """Refuses a folder in which a run would write over its own input, or remove it.

    Raises:
        FileError: It holds the input under the name of a result.
    """
    targets = (folder / file for file in ("peaks.csv", "scores.csv", "run.json", *_optional_files()))
    refuse_replacing(targets, (dataset.path, dataset.ibd_path), "give another folder")


def skipped_formats(peaks: PeakList, formats: Iterable[str]) -> dict[str, str]:
    """Formats that cannot hold this result, and why."""
    if len(peaks) == 0 and "imzml" in formats:
        return {"imzml": "no channel was picked, and an imzML file without channels cannot be read"}
    return {}


def write_run(
    peaks: PeakList,
    folder: Path,
    *,
    formats: Iterable[str] = ("csv",),
    report: bool = False,
    features: bool = False,
) -> list[Path]:
    """Writes a run's files, each under a temporary name first; run.json comes last, so it marks a complete folder.

    Files of an earlier run that this one does not write are removed; a folder that holds the input is refused. run.json
    lists the ``files``, and under ``skipped`` the formats that cannot hold the result (see :func:`skipped_formats`).
    ``features`` adds the classical statistics of the picks to peaks.csv and peaks.parquet.

    Returns:
        What was written.
    """
    wanted = tuple(formats)
    skipped = skipped_formats(peaks, wanted)
    chosen = [name for name in _OPTIONAL if (name in wanted and name not in skipped) or (name == "report" and report)]
    files = ["peaks.csv", "scores.csv", *(file for name in chosen for file in _OPTIONAL[name]), "run.json"]

    refuse_input_folder(peaks.dataset, folder)
    make_folder(folder)
    # Only files of ours go: an earlier run has listed them, or was interrupted and left its tables.
    ours = (folder / "run.json").is_file() or all((folder / file).is_file() for file in ("peaks.csv", "scores.csv"))
    # run.json first: whatever happens from here on, the folder does not look complete.
    for file in ("run.json", *_optional_files()) if ours else ():
        if file == "run.json" or file not in files:
            (folder / file).unlink(missing_ok=True)

    peaks.to_csv(folder / "peaks.csv", features=features)
    with atomic_path(folder / "scores.csv") as temporary:
        peaks.all_scores.to_csv(temporary, index=False)
    for name in chosen:
        _write_optional(peaks, name, folder / _OPTIONAL[name][0], features=features)
    # Asked last: images of the picks were read again for what is written.
    if peaks.dataset.was_changed and CHANGED not in peaks.run["warnings"]:
        peaks.run["warnings"].append(CHANGED)
    record = {**peaks.run, "files": files, "skipped": skipped}
    with atomic_path(folder / "run.json") as temporary:
        temporary.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return [folder / file for file in files]


def _write_optional(peaks: PeakList, name: str, target: Path, *, features: bool) -> None:
    if name == "parquet":
        peaks.to_parquet(target, features=features)
    elif name == "imzml":
        peaks.to_imzml(target)
    elif name == "h5ad":
        write_h5ad(peaks.to_anndata(), target)
    else:
        peaks.report(target)
