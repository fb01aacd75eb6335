"""The page of a study: sections, failures, drift, common channels and their images in one HTML file."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from ionmorphnet.base.arguments import integer
from ionmorphnet.base.errors import FileError, IonMorphNetError
from ionmorphnet.base.paths import PathLike
from ionmorphnet.cohort.consensus import Consensus, SectionChannels
from ionmorphnet.cohort.consensus_files import MEMBERS, channel_table, read_consensus, read_members
from ionmorphnet.cohort.manifest import Entry, Manifest
from ionmorphnet.cohort.report_facts import study_facts
from ionmorphnet.cohort.report_images import SectionPictures, current_matrices, section_pictures
from ionmorphnet.cohort.sources import section_channels
from ionmorphnet.cohort.study import CONSENSUS, MATRICES, RELATIVES, has_consensus
from ionmorphnet.cohort.study_folder import RESULTS
from ionmorphnet.io.inputs import natural_order
from ionmorphnet.picking.run_record import RunRecord
from ionmorphnet.picking.saved import open_run
from ionmorphnet.report.study_data import (
    ABSENT,
    PICKED,
    PRESENT,
    DriftLine,
    Notice,
    StudyChannels,
    StudyReportData,
    StudySectionRow,
)
from ionmorphnet.report.study_page import write_study
from ionmorphnet.report.tiles import plan

PAGE = "report.html"
_SECTION_PAGE = "report.html"
# Channels with images at most; how many fit depends on the number of sections.
MAX_IMAGES = 500
# Other files of a study, linked if they are there.
_FILES = {
    "workbook of the study": "tables/study.xlsx",
    "the sections": "manifest.csv",
    "the common channels": f"{CONSENSUS}/channels.csv",
    "which section has which channel": f"{CONSENSUS}/{MEMBERS}",
    "mass drift": f"{CONSENSUS}/drift.csv",
    "isotopes and adducts": f"{CONSENSUS}/{RELATIVES}",
    "mean of each channel in each section": "means.csv",
}
_TIC_SIDE, _SMALL_TIC_SIDE, _MANY = 96, 48, 400


@dataclass(frozen=True)
class _Picked:
    """A section with a readable result."""

    run: RunRecord
    channels: SectionChannels


def report(
    out: PathLike,
    *,
    title: str | None = None,
    images: int = MAX_IMAGES,
    section_reports: bool = False,
    threads: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Writes ``OUT/report.html``: the sections of a study, what failed, mass drift, and the channels in common.

    Before the consensus was made, the page has the sections only. Images come from the matrices of
    :func:`ionmorphnet.cohort.write_matrix` if they are there and up to date, else from the sections' files.

    Args:
        out: The study's folder.
        title: Heading of the page; None: the folder's name.
        images: Most channels to show with images, best first. Fewer are shown if they do not fit into 30 MB.
        section_reports: Also write the report of each section that lacks one.
        threads: CPU threads, 0 = all cores.
        progress: Called as progress(done, total) over the sections.

    Returns:
        The page.

    Raises:
        ArgumentError: ``images`` is negative.
        FileError: There is no manifest, or the consensus cannot be read, or the page cannot be written.
    """
    images = integer("images", images, 0)
    out = Path(out)
    manifest = Manifest(out)
    if not manifest.files():
        raise FileError(f"{out}: holds no manifest; pick the sections with ionmorphnet cohort run")
    notices: list[Notice] = []
    if section_reports:
        _write_section_reports(out, manifest.entries(), notices)
    rows, picked = _rows(out, manifest.entries())
    found, shared = _shared(out, rows, picked, notices)
    tell = progress or (lambda *_: None)
    rows, shared = _pictured(out, rows, picked, found, shared, images, threads, tell)
    data = StudyReportData(
        title=out.resolve().name if title is None else title,
        folder=str(out.resolve()),
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        sections=rows,
        channels=shared,
        notices=notices,
        facts=study_facts(out, [each.run for each in picked.values()], found),
        files={text: place for text, place in _FILES.items() if (out / place).is_file()},
    )
    write_study(out / PAGE, data)
    return out / PAGE


def _write_section_reports(out: Path, entries: Mapping[str, Entry], notices: list[Notice]) -> None:
    """Writes the reports that are missing; a section that cannot be read stops no other."""
    failed = []
    for entry in entries.values():
        for name in entry.results if entry.status == "done" else ():
            target = out / RESULTS / name / _SECTION_PAGE
            if target.is_file():
                continue
            try:
                open_run(target.parent).report(target)
            except IonMorphNetError as error:
                failed.append(f"{name} ({' '.join(str(error).split())})")
    if failed:
        more = f", and {len(failed) - 3} more" if len(failed) > 3 else ""
        notices.append(Notice(f"These sections got no report: {', '.join(failed[:3])}{more}."))


def _rows(out: Path, entries: Mapping[str, Entry]) -> tuple[list[StudySectionRow], dict[str, _Picked]]:
    """The sections in the order of their names, and the results of those that have one."""
    rows: list[StudySectionRow] = []
    picked: dict[str, _Picked] = {}
    for entry in sorted(entries.values(), key=lambda each: natural_order(each.name)):
        base = StudySectionRow(
            name=entry.name,
            path=entry.path,
            status="failed",
            reason=entry.reason,
            columns=entry.columns,
            seconds=entry.seconds,
            warnings=entry.warnings,
        )
        if entry.status == "removed":
            continue
        if entry.status == "failed":
            rows.append(base)
            continue
        if not entry.results:
            rows.append(replace(base, status="missing", reason="its result is gone; cohort run picks it again"))
        for position, name in enumerate(sorted(entry.results, key=natural_order)):
            # Time and warnings are those of the file, which may have several sections.
            own = replace(base, name=name, seconds=entry.seconds if position == 0 else None)
            try:
                peaks = open_run(out / RESULTS / name)
            except FileError as error:
                reason = f"{' '.join(str(error).split())}; cohort run picks it again"
                rows.append(replace(own, status="missing", reason=reason))
                continue
            assert peaks.run is not None
            has_report = (out / RESULTS / name / _SECTION_PAGE).is_file()
            file = _SECTION_PAGE if has_report else "peaks.csv"
            given = section_channels(peaks, name)
            picked[name] = _Picked(peaks.run, given)
            rows.append(
                replace(
                    own,
                    status="done",
                    reason="",
                    link=quote(f"{RESULTS}/{name}/{file}", safe="/", errors="surrogateescape"),
                    has_report=has_report,
                    picks=len(peaks),
                    scores=given.score,
                    picked=given.picked,
                )
            )
    return rows, picked


def _shared(
    out: Path, rows: Sequence[StudySectionRow], picked: Mapping[str, _Picked], notices: list[Notice]
) -> tuple[Consensus | None, StudyChannels | None]:
    """The consensus, and what the page shows of it without images."""
    command = f"ionmorphnet cohort consensus {shlex.quote(str(out))}"
    if not has_consensus(out):
        if picked:
            notices.append(Notice("The channels that the sections share are not known yet. Find them with:", command))
        return None, None
    found = read_consensus(out / CONSENSUS)
    members = read_members(out / CONSENSUS, "channel", "section", "candidate", "mz", "picked")
    position = {row.name: k for k, row in enumerate(rows)}
    covered = np.array([row.name in picked and row.name in found.sections for row in rows], np.bool_)
    coverage = np.full((len(rows), len(found)), ABSENT, np.uint8)
    changed = []
    for name, own in members.groupby("section", sort=False):
        if name not in picked:
            continue
        channels = own["channel"].to_numpy(np.int64) - 1
        was_picked = own["picked"].astype(str).to_numpy() == "True"
        coverage[position[str(name)], channels] = np.where(was_picked, PICKED, PRESENT)
        candidates, now = own["candidate"].to_numpy(np.int64), picked[str(name)].channels
        if candidates.max() >= len(now) or not (
            np.array_equal(now.mz[candidates], own["mz"]) and np.array_equal(now.picked[candidates], was_picked)
        ):
            changed.append(str(name))
    _tell_changes(command, rows, picked, found, changed, notices)
    table = channel_table(found)
    shared = StudyChannels(
        table=table,
        coverage=coverage,
        covered=covered,
        relatives=_relatives(out, table, notices),
        absolute=found.absolute,
    )
    return found, shared


def _tell_changes(
    command: str,
    rows: Sequence[StudySectionRow],
    picked: Mapping[str, _Picked],
    found: Consensus,
    changed: Sequence[str],
    notices: list[Notice],
) -> None:
    """Says where the consensus is not that of the sections as they are."""
    new = [row.name for row in rows if row.name in picked and row.name not in found.sections]
    gone = [name for name in found.sections if name not in picked]
    parts = [
        f"{len(names)} section{one if len(names) == 1 else many} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})"
        for names, one, many in (
            (new, " is not in it", "s are not in it"),
            (changed, " was picked again", "s were picked again"),
            (gone, " of it is removed or has no result now", "s of it are removed or have no result now"),
        )
        if names
    ]
    if parts:
        notices.append(
            Notice(f"The common channels are out of date: {'; '.join(parts)}. Find them again with:", command)
        )


def _relatives(out: Path, table: pd.DataFrame, notices: list[Notice]) -> pd.DataFrame | None:
    """Isotopes and adducts among the channels; None if they were not looked for among these channels."""
    path = out / CONSENSUS / RELATIVES
    command = f"ionmorphnet cohort matrix {shlex.quote(str(out))}"
    if not path.is_file():
        notices.append(Notice("Isotopes and adducts were not looked for. Find them with:", command))
        return None
    mz = dict(zip(table["channel"], table["mz"], strict=True))
    try:
        pairs = pd.read_csv(path, float_precision="round_trip")
        same = all(
            mz.get(int(number)) == value
            for name in ("lighter", "heavier")
            for number, value in zip(pairs[name], pairs[f"mz_{name}"], strict=True)
        )
    except (OSError, ValueError, KeyError) as error:
        raise FileError(f"{path}: not a readable table ({type(error).__name__}); make it again: {command}") from None
    if not same:
        notices.append(Notice("Isotopes and adducts were looked for in other channels. Find them again with:", command))
        return None
    return pairs


def _pictured(
    out: Path,
    rows: Sequence[StudySectionRow],
    picked: Mapping[str, _Picked],
    found: Consensus | None,
    shared: StudyChannels | None,
    images: int,
    threads: int,
    tell: Callable[[int, int], None],
) -> tuple[list[StudySectionRow], StudyChannels | None]:
    """The rows and the channels with drift and images."""
    places = {} if found is None else {name: k for k, name in enumerate(found.sections)}
    names = [row.name for row in rows if row.name in picked and row.name in places]
    wanted, side = np.zeros(0, np.int64), 0
    if found is not None and shared is not None and names:
        best = np.argsort(-shared.table["score"].to_numpy(np.float64), kind="stable").astype(np.int64)
        shapes = [(picked[name].run.input.height, picked[name].run.input.width) for name in names]
        side, n = plan(shapes, min(images, len(best)))
        wanted = best[:n]
    stored = None if found is None or not len(wanted) else current_matrices(out / MATRICES, found, names)
    matrices = {} if stored is None else dict(zip(names, stored, strict=True))
    sides = (_TIC_SIDE if len(rows) <= _MANY else _SMALL_TIC_SIDE, side)
    done: dict[str, SectionPictures] = {}
    for row in rows:
        if row.name not in picked:
            continue
        tell(len(done), len(picked))
        known = row.name in places
        done[row.name] = section_pictures(
            picked[row.name].run.input,
            row.path,
            found if known else None,
            places.get(row.name, 0),
            wanted,
            stored=matrices.get(row.name),
            sides=sides,
            threads=threads,
        )
    tell(len(done), len(picked))
    filled = []
    for row in rows:
        pictures = done.get(row.name)
        if pictures is not None:
            drift = _drift(found, places[row.name]) if found is not None and row.name in places else None
            row = replace(row, tic=pictures.tic, without_images=pictures.problem, drift=drift)
        filled.append(row)
    if shared is None or not len(wanted):
        return filled, shared
    tiles = [
        [done[row.name].images[k] if row.name in done and done[row.name].images else None for row in rows]
        for k in range(len(wanted))
    ]
    kinds = {m.normalize for m in matrices.values()} or {picked[name].run.input.normalize for name in names}
    return filled, replace(shared, pictured=wanted.tolist(), images=tiles, intensities=_intensities(kinds))


def _intensities(kinds: set[str]) -> str:
    if kinds == {"none"}:
        return "as measured, not normalised"
    return "normalised: " + ", ".join(sorted(kinds))


def _drift(found: Consensus, section: int) -> DriftLine:
    drift = found.drift[section]
    return DriftLine(mz=drift.mz, ppm=drift.ppm, matched=drift.n_matched, residual_ppm=drift.residual_ppm)
