"""Tables of a study for people, R and other programs: common channels, means of sections and patients, lists."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.base.extras import require_openpyxl, require_pyarrow
from ionmorphnet.base.files import atomic_path, make_folder, read_json
from ionmorphnet.base.json_output import write_json
from ionmorphnet.base.paths import PathLike, is_url
from ionmorphnet.base.versions import versions
from ionmorphnet.cohort.content import StudyContent, some, study_content
from ionmorphnet.cohort.study import CONSENSUS, MATRICES
from ionmorphnet.cohort.study_folder import StudyFolder, study_folder
from ionmorphnet.cohort.workbook import write_study_workbook
from ionmorphnet.io.channel_lists import NO_FORMULAS, formula_column, metaspace_table, write_metaspace, write_scils
from ionmorphnet.models.labels import checked_classes
from ionmorphnet.picking.tables import write_csv

FOLDER, RECORD = "tables", "tables.json"
FORMATS: tuple[str, ...] = ("xlsx", "csv", "parquet", "scils", "metaspace")
# What needs the means; the others are lists of channels.
_OF_MEANS = {"xlsx", "csv", "parquet"}
_SCHEMA = 1
# Chunks of the pixels and of what is known of each, in the stores of the sections.
_PIXELS = re.compile(r"\.zarr/(X|obs|obsm|layers)/(.*/)?[^./][^/]*$")
# Where new tables are assembled, within their folder.
_STAGE = ".ionmorphnet-new-"

Writer = Callable[[Path], None]


@dataclass(frozen=True)
class StudyTables:
    """Written tables.

    Attributes:
        folder: Folder or URL where they are.
        files: All of them, below the folder, with their sizes in bytes; the record last.
        channels: The channels that are in them, as in ``channels.csv``.
        means: A row per section and channel; empty if only lists were written.
        patients: A row per patient and channel; empty without patients.
        excluded: How many channels were left out, by class.
        normalize: How the pixels were normalised; empty if only lists were written.
        notes: What is missing, and why.
        already_done: Whether the same tables were there already, so that nothing was written.
    """

    folder: str
    files: dict[str, int]
    channels: pd.DataFrame
    means: pd.DataFrame
    patients: pd.DataFrame
    excluded: dict[str, int] = field(default_factory=dict)
    normalize: str = ""
    notes: tuple[str, ...] = ()
    already_done: bool = False


def write_tables(
    out: PathLike,
    *,
    to: PathLike | None = None,
    exclude: str | Iterable[str] = (),
    formats: str | Iterable[str] = FORMATS,
    overwrite: bool = False,
    stage: PathLike | None = None,
) -> StudyTables:
    """Writes the channels of a study and their means in each section for Excel, R, SCiLS Lab and METASPACE.

    What is written: ``study.xlsx``; ``channels``, ``means`` (a row per section and channel), ``means_wide`` (a row per
    section) and, if the sections have patients, ``patients`` and ``patients_wide``, as CSV and Parquet; ``scils.csv``
    on the common scale, and ``scils/<section>.csv`` with the mass drift of each section; ``metaspace.tsv``, if the
    channels have formulas; ``tables.json``, which records how they were made.

    Means are over the measured pixels of a section, normalised as ``cohort matrix`` was told to. Nothing else is
    corrected. Sections that failed, or are not in the matrix yet, are named in the notes.

    Args:
        out: The study's folder, or its URL, with a consensus, and with a matrix unless only lists are written.
        to: Folder for the tables; None: ``OUT/tables``.
        exclude: Classes, such as ``negative``: channels whose class is one of these are left out.
        formats: Any of ``xlsx``, ``csv``, ``parquet``, ``scils`` and ``metaspace``.
        overwrite: Replace files that somebody else wrote or changed. Files that are as this function wrote them are
            replaced in any case.
        stage: Folder for local copies of what lies behind a URL; None: the system's folder for temporary files.

    Returns:
        The tables and what is missing from them.

    Raises:
        ArgumentError: Unknown class or format, or no channel is left.
        FileError: There is no consensus, or no means; a file would be replaced that is not ours; or one cannot be read
            or written.
        UnavailableError: A format needs a package that is not installed.
    """
    if to is not None and is_url(os.fspath(to)):
        raise ArgumentError(f"{to}: tables are written to a folder, or to that of the study")
    wanted, classes = _formats(formats), checked_classes(exclude)
    with study_folder(out, stage, wanted=_needed_here) as study:
        local = study.local / FOLDER if to is None else Path(to)
        done = _written(study, local, wanted, classes, overwrite)
        if to is not None:
            return done
        if not done.already_done:
            study.publish_tree(FOLDER)
        return dataclasses.replace(done, folder=study.place(FOLDER))


def _needed_here(name: str) -> bool:
    """Whether a file of a study is read for its tables: of the matrices all but the pixels."""
    if name.startswith(f"{MATRICES}/"):
        return not _PIXELS.search(name)
    return name.startswith((f"{CONSENSUS}/", f"{FOLDER}/"))


def _written(
    study: StudyFolder, folder: Path, wanted: list[str], classes: tuple[str, ...], overwrite: bool
) -> StudyTables:
    out = study.local
    content = study_content(out, classes, with_means=bool(_OF_MEANS & set(wanted)))
    title = study.shown.rstrip("/").rpartition("/")[2] or out.resolve().name
    writers, skipped = _writers(title, content, wanted)
    notes = (*content.notes, *skipped)
    request = {
        "exclude": list(classes),
        "formats": wanted,
        "version": versions()["ionmorphnet"],
        "content": content.digest(),
        "notes": list(notes),
    }
    earlier = _earlier(folder)
    foreign = _not_ours(folder, {*writers, *earlier.get("files", {})}, earlier)
    there = all((folder / name).is_file() for name in writers)
    done = there and not foreign and earlier.get("request") == request
    if not done:
        if foreign and not overwrite:
            raise FileError(
                f"{folder / foreign[0]}: is not as ionmorphnet wrote it and would be replaced; move it away, choose "
                "another folder with --to (Python: to=) or pass --overwrite (Python: overwrite=True)"
            )
        _write(folder, writers, earlier, {"request": request, **_record(content)})
    return StudyTables(
        str(folder),
        {name: (folder / name).stat().st_size for name in (*writers, RECORD)},
        content.channels,
        content.long,
        content.patients,
        content.excluded,
        content.normalize,
        notes,
        done,
    )


def _formats(formats: str | Iterable[str]) -> list[str]:
    names = formats.split(",") if isinstance(formats, str) else list(formats)
    wanted = [name.strip().lower() for name in names if name.strip()]
    unknown = [name for name in wanted if name not in FORMATS]
    if unknown or not wanted:
        raise ArgumentError(f"formats must be among {', '.join(FORMATS)}, not '{unknown[0] if unknown else ''}'")
    if "xlsx" in wanted:
        require_openpyxl()
    if "parquet" in wanted:
        require_pyarrow()
    return [name for name in FORMATS if name in wanted]


def _writers(title: str, content: StudyContent, wanted: list[str]) -> tuple[dict[str, Writer], list[str]]:
    """A function for each file, by its name below the folder; and what cannot be written, and why."""
    found: dict[str, Writer] = {}
    notes: list[str] = []
    if "xlsx" in wanted:
        found["study.xlsx"] = partial(write_study_workbook, content=content, title=title)
    tables = {
        "channels": content.channels,
        "means": content.long,
        "means_wide": content.wide,
        "patients": content.patients,
        "patients_wide": content.patients_wide,
    }
    for kind, write in (("csv", _write_csv), ("parquet", _write_parquet)):
        if kind in wanted:
            found |= {f"{name}.{kind}": partial(write, table) for name, table in tables.items() if len(table)}
    if "scils" in wanted:
        found["scils.csv"] = partial(_write_scils, content, None)
        for k, name in enumerate(content.found.sections):
            found[f"scils/{name}.csv"] = partial(_write_scils, content, k)
    if "metaspace" in wanted:
        if formula_column(content.channels) is None:
            notes.append(f"no METASPACE list: {NO_FORMULAS}")
        else:
            compounds, refused = metaspace_table(content.channels)
            if refused:
                notes.append(f"left out of the METASPACE list, which takes no such formulas: {some(refused)}")
            if len(compounds):
                found["metaspace.tsv"] = partial(write_metaspace, table=compounds)
    return found, notes


def _write_csv(table: pd.DataFrame, path: Path) -> None:
    """TRUE and FALSE, which R takes for truth values."""
    truths = {str(name): np.where(table[name], "TRUE", "FALSE") for name in table if table[name].dtype == np.bool_}
    write_csv(table.assign(**truths), path)


def _write_parquet(table: pd.DataFrame, path: Path) -> None:
    with atomic_path(path) as temporary:
        table.to_parquet(temporary, index=False, engine="pyarrow")


def _write_scils(content: StudyContent, section: int | None, path: Path) -> None:
    axis = content.found.axis(section)
    comments = [f"{len(axis)} channels of {len(content.found.sections)} sections, found by ionmorphnet"]
    if section is None:
        most = max(float(np.abs(each.at(axis.mz)).max(initial=0.0)) for each in content.found.drift)
        comments.append(f"Common scale; sections deviate by up to {most:.1f} ppm. The folder scils has a list for each")
    else:
        comments.append(f"For section {content.found.sections[section]}, mass drift included")
    write_scils(path, content.channels.assign(mz_lo=axis.mz_lo, mz_hi=axis.mz_hi), comments)


def _record(content: StudyContent) -> dict[str, Any]:
    return {
        "excluded": content.excluded,
        "n_channels": len(content.channels),
        "n_channels_of_consensus": content.n_all,
        "n_sections": 0 if content.means is None else len(content.means.sections),
        "normalize": content.normalize,
    }


def _earlier(folder: Path) -> dict[str, Any]:
    """The record of the tables that a folder holds; empty if there is none."""
    if not (folder / RECORD).is_file():
        return {}
    record = read_json(folder / RECORD)
    if not isinstance(record, dict) or not isinstance(record.get("files"), dict):
        raise FileError(f"{folder / RECORD}: not a record of tables; choose another folder")
    return record


def _not_ours(folder: Path, names: Iterable[str], earlier: Mapping[str, Any]) -> list[str]:
    """Files of these names that are not as they were written, or were about to be when a run was stopped."""
    ours = [earlier.get(key) or {} for key in ("files", "next")]
    there = sorted(name for name in names if (folder / name).exists())
    return [
        name
        for name in there
        if not (folder / name).is_file() or _sha256(folder / name) not in [known.get(name) for known in ours]
    ]


def _write(folder: Path, writers: Mapping[str, Writer], earlier: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Writes the files aside and moves them into place; those of an earlier run that are no more go."""
    make_folder(folder)
    stage = folder / f"{_STAGE}{secrets.token_hex(4)}"
    try:
        for name, write in writers.items():
            make_folder((stage / name).parent)
            write(stage / name)
        files = {name: _sha256(stage / name) for name in writers}
        # Should this be stopped below, the next run still knows which files are ours.
        known = earlier.get("files", {})
        write_json(folder / RECORD, {"schema": _SCHEMA, "files": known, "next": files})
        for name in set(known) - set(files):
            (folder / name).unlink(missing_ok=True)
        for name in files:
            make_folder((folder / name).parent)
            (stage / name).replace(folder / name)
        write_json(folder / RECORD, {"schema": _SCHEMA, **record, "versions": versions(), "files": files})
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{folder}: cannot be written: {error.strerror}") from error
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
