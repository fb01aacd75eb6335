"""What the tables of a study hold: read from the consensus, the manifest and the matrix."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.cohort.carried import free_name
from ionmorphnet.cohort.consensus import Consensus
from ionmorphnet.cohort.consensus_files import OWN, channel_table, drift_table, read_consensus, read_members
from ionmorphnet.cohort.manifest import Entry, Manifest
from ionmorphnet.cohort.means import StudyMeans, long_table, patient_means, read_means, wide_table
from ionmorphnet.cohort.study import CONSENSUS, RELATIVES, StudySection, consensus_notes, study_sections
from ionmorphnet.io.channel_lists import name_column
from ionmorphnet.models.labels import CLASSES

# Columns of the table of sections; a column of the sample list that has one of their names gets a prefix.
SECTION_COLUMNS = (
    *("section", "sample", "status", "reason", "n_pixels", "n_present", "n_picked"),
    *("drift_ppm", "residual_ppm", "n_matched"),
)


@dataclass(frozen=True)
class StudyContent:
    """The content of the tables of a study.

    Attributes:
        found: The consensus, without the channels that were left out.
        channels: Its table as in ``channels.csv``, columns of the m/z list in front, and ``related`` at the end: what a
            channel is probably an isotope or adduct of.
        sections: All sections, failed ones too: what became of them, their drift.
        means: Means of the sections; None if they were not asked for.
        long: A row per section and channel: ``mean``, ``present``, ``picked``.
        wide: A row per section, a column per channel.
        patients: A row per patient and channel: ``mean``, ``mean_pixels``.
        patients_wide: A row per patient, a column per channel.
        excluded: How many channels were left out, by class.
        n_all: Channels of the consensus.
        notes: What is missing, and why.
    """

    found: Consensus
    channels: pd.DataFrame
    sections: pd.DataFrame
    means: StudyMeans | None
    long: pd.DataFrame
    wide: pd.DataFrame
    patients: pd.DataFrame
    patients_wide: pd.DataFrame
    excluded: dict[str, int]
    n_all: int
    notes: tuple[str, ...]

    @property
    def normalize(self) -> str:
        """How the pixels were normalised; empty without means."""
        return "" if self.means is None else self.means.normalize

    def digest(self) -> str:
        """Hash of everything."""
        digest = hashlib.sha256()
        for frame in (self.channels, self.sections, self.long, self.patients):
            digest.update("\t".join(map(str, frame)).encode())
            digest.update(pd.util.hash_pandas_object(frame, index=False).to_numpy().tobytes())
        for drift in self.found.drift:
            digest.update(repr(drift).encode())
        return digest.hexdigest()


def study_content(out: Path, classes: Sequence[str], *, with_means: bool) -> StudyContent:
    """Reads the content of the tables.

    Args:
        out: The study's folder.
        classes: Classes whose channels are left out.
        with_means: Whether means are needed.

    Raises:
        ArgumentError: No channel is left, or no section is done.
        FileError: There is no consensus, or there are no means.
        UnavailableError: anndata or zarr is not installed.
    """
    found = read_consensus(out / CONSENSUS)
    sections = study_sections(out)
    kept, excluded = _kept(out, found, classes)
    related, notes = _related(out, found)
    notes += consensus_notes(found, sections)
    channels = channel_table(found)
    channels["related"] = [related.get(int(number), "") for number in channels["channel"]]
    channels = channels[[*OWN[:2], *(name for name in channels if name not in {*OWN, "related"}), *OWN[2:], "related"]]
    channels = channels.iloc[kept].reset_index(drop=True)
    picked = _picked(out, found)[:, kept]
    whole = found
    found = dataclasses.replace(
        found, channels=found.channels.iloc[kept].reset_index(drop=True), members=found.members[:, kept]
    )
    entries = Manifest(out).entries()
    failed = [each for each in entries.values() if each.status == "failed"]
    if failed:
        notes.append(f"{counted(len(failed), 'section')} failed: {some([each.name for each in failed])}")
    means = None
    long = wide = patients = patients_wide = pd.DataFrame()
    if with_means:
        means = read_means(out, whole, sections)
        means = dataclasses.replace(means, values=means.values[:, kept])
        notes += _without_means(means)
        mz = channels["mz"].to_numpy(np.float64)
        shown = channels[["channel", "mz"]].copy()
        name = name_column(channels)
        if name is not None:
            shown["name"] = channels[name]
        own = {"mean": means.values, "present": found.members[means.places] >= 0, "picked": picked[means.places]}
        long, wide = long_table(means.sections, shown, own), wide_table(means.sections, means.values, mz)
        by_patient = patient_means(means)
        if by_patient is not None:
            rows, plain, weighted = by_patient
            patients = long_table(rows, shown, {"mean": plain, "mean_pixels": weighted})
            patients_wide = wide_table(rows, plain, mz)
    about = _section_table(found, sections, failed, means, picked)
    return StudyContent(
        found, channels, about, means, long, wide, patients, patients_wide, excluded, len(whole), tuple(notes)
    )


def some(names: Sequence[str]) -> str:
    """A list for a message: the first five, and how many follow."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def counted(number: int, thing: str) -> str:
    """A number of things, such as ``1 section`` and ``2 sections``."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def _kept(out: Path, found: Consensus, classes: Sequence[str]) -> tuple[npt.NDArray[np.int64], dict[str, int]]:
    """Positions of the channels that are not of some classes, and how many are."""
    codes = found.channels["label"].to_numpy(np.int64)
    if classes and len(codes) and (codes < 0).all():
        raise ArgumentError(f"{out}: no channel has a class to exclude; pick with a network, not with a statistic")
    excluded = {name: int((codes == CLASSES.index(name)).sum()) for name in classes}
    kept = np.flatnonzero(~np.isin(codes, [CLASSES.index(name) for name in classes]))
    if not len(kept):
        why = f"all {len(codes)} are {' or '.join(classes)}" if len(codes) else "the consensus is empty"
        raise ArgumentError(f"{out}: no channel is left; {why}")
    return kept, excluded


def _without_means(means: StudyMeans) -> list[str]:
    notes = []
    for why in dict.fromkeys(means.missing.values()):
        names = [name for name, each in means.missing.items() if each == why]
        remedy = f"run ionmorphnet cohort {'consensus' if 'picked' in why else 'matrix'} again"
        have = f"{counted(len(names), 'section')} {'has' if len(names) == 1 else 'have'}"
        notes.append(f"{have} no means ({why}): {some(names)}; {remedy}")
    return notes


def _related(out: Path, found: Consensus) -> tuple[dict[int, str], list[str]]:
    """What each channel is probably an isotope or adduct of, by number; and a note if that is not known."""
    path = out / CONSENSUS / RELATIVES
    if not path.is_file():
        return {}, []
    pairs = pd.read_csv(path, float_precision="round_trip")
    mz = found.channels["mz"].to_numpy(np.float64)
    for side in ("lighter", "heavier"):
        places = pairs[side].to_numpy(np.int64) - 1
        inside = (places >= 0) & (places < len(mz))
        if not inside.all() or not np.array_equal(mz[places], pairs[f"mz_{side}"].to_numpy(np.float64)):
            return {}, ["isotopes and adducts are those of another consensus; run ionmorphnet cohort matrix again"]
    texts: dict[int, list[str]] = {}
    for row in pairs.itertuples():
        texts.setdefault(int(str(row.heavier)), []).append(
            f"{row.relation} of channel {row.lighter} (m/z {row.mz_lighter:.4f}, correlation {row.correlation:.2f})"
        )
    return {number: "; ".join(each) for number, each in texts.items()}, []


def _picked(out: Path, found: Consensus) -> npt.NDArray[np.bool_]:
    """Which section picked which channel, (n_sections, C)."""
    table = read_members(out / CONSENSUS, "channel", "section", "picked")
    picked = np.zeros(found.members.shape, np.bool_)
    places = {name: k for k, name in enumerate(found.sections)}
    rows = table["section"].map(places).to_numpy(np.int64)
    picked[rows, table["channel"].to_numpy(np.int64) - 1] = table["picked"].to_numpy(np.bool_)
    return picked


def _section_table(
    found: Consensus,
    sections: Sequence[StudySection],
    failed: Sequence[Entry],
    means: StudyMeans | None,
    picked: npt.NDArray[np.bool_],
) -> pd.DataFrame:
    """What became of each section, failed ones last."""
    drift = drift_table(found).set_index("section")
    places = {name: k for k, name in enumerate(found.sections)}
    pixels = {} if means is None else dict(zip(means.sections["section"], means.sections["n_pixels"], strict=True))
    missing = {} if means is None else means.missing
    rows = []

    def told(entry: Entry) -> dict[str, str]:
        return {free_name(name, {*SECTION_COLUMNS}, "sample"): text for name, text in entry.columns.items()}

    for section in sections:
        at = places.get(section.name)
        rows.append(
            {
                "section": section.name,
                "sample": section.entry.name,
                **told(section.entry),
                "status": "done",
                "reason": missing.get(section.name, ""),
                "n_pixels": pixels.get(section.name),
                "n_present": None if at is None else int((found.members[at] >= 0).sum()),
                "n_picked": None if at is None else int(picked[at].sum()),
                "drift_ppm": None if at is None else drift["ppm_middle"][section.name],
                "residual_ppm": None if at is None else drift["residual_ppm"][section.name],
                "n_matched": None if at is None else int(drift["n_matched"][section.name]),
            }
        )
    rows += [
        {"section": each.name, "sample": each.name, **told(each), "status": "failed", "reason": each.reason}
        for each in failed
    ]
    table = pd.DataFrame(rows)
    counts = ["n_pixels", "n_present", "n_picked", "n_matched"]
    table[counts] = table[counts].astype("Int64")
    return table
