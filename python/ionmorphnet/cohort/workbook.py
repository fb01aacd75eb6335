"""study.xlsx: the channels, sections and means of a study for people."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ionmorphnet.cohort.content import SECTION_COLUMNS, StudyContent
from ionmorphnet.cohort.means import channel_columns
from ionmorphnet.io.channel_lists import name_column
from ionmorphnet.io.xlsx import Column, Sheet, fits, magnitude_format, write_workbook

_CHANNELS = (
    Column("channel", "Channel", "Number of the channel in the consensus", "0"),
    Column("mz", "m/z", "Mean m/z over the sections, their mass drift removed", "0.0000"),
)
_MORE = (
    Column("mz_lo", "Window from (m/z)", "Lower bound of the window on the common scale", "0.0000"),
    Column("mz_hi", "Window to (m/z)", "Upper bound of the window", "0.0000"),
    Column("n_present", "Present in (sections)", "Sections in which the channel is a candidate", "0"),
    Column("share_present", "Present in (%)", "The same as a share of all sections", "0%"),
    Column("n_picked", "Picked in (sections)", "Sections in which the channel was picked", "0"),
    Column("share_picked", "Picked in (%)", "The same as a share of all sections", "0%"),
    Column("score", "Score, all sections (0 to 1)", "Mean score; 0 counts where the channel is absent", "0.000"),
    Column("score_present", "Score, where present (0 to 1)", "Mean score over the sections that have it", "0.000"),
    Column("spread_ppm", "Spread (ppm)", "Standard deviation of its m/z over the sections, drift removed", "0.00"),
    Column("label", "Class", "Class of its images in most sections; 'negative': bright outside of the sample"),
    Column("votes", "Votes (%)", "Share of the sections with a class that have this one", "0%"),
    Column(
        "related",
        "Probably a form of",
        "Lighter channels of which it is probably an isotope or adduct: the distance fits, the images are alike",
    ),
)
_SECTIONS = (
    Column("section", "Section", "Name of the result; a file with several planes or polarities has several"),
    Column("sample", "Sample", "Name of the file in the study"),
    Column("status", "Status", "done or failed"),
    Column("reason", "Reason", "Why it failed, or has no means"),
    Column("n_pixels", "Pixels (number)", "Measured pixels", "#,##0"),
    Column("n_present", "Channels present (number)", "Channels of this workbook that are candidates here", "#,##0"),
    Column("n_picked", "Channels picked (number)", "Channels of this workbook that were picked here", "#,##0"),
    Column("drift_ppm", "Drift (ppm)", "Mass drift in the middle of the range", "0.00"),
    Column("residual_ppm", "Residual (ppm)", "Standard deviation of its m/z around the drift", "0.00"),
    Column("n_matched", "Matched (peaks)", "Peaks that tell the drift; with few it is uncertain", "#,##0"),
)
_NORMS = {"none": "not normalised", "tic": "total ion current", "rms": "root mean square", "median": "median"}
_TOO_LARGE = "more channels than Excel has columns: see means_wide.csv"


def write_study_workbook(path: Path, *, content: StudyContent, title: str) -> None:
    """Writes the workbook.

    Sheets: About (facts, and what all columns mean), Channels, Sections, Means (a row per section, a column per
    channel) and, if the sections have patients, Patients.

    Args:
        path: The xlsx file.
        content: What it holds.
        title: Name of the study.

    Raises:
        UnavailableError: openpyxl is not installed.
        FileError: The file cannot be written.
    """
    assert content.means is not None
    n_done, n_all = len(content.means.sections), len(content.sections)
    left_out = ", ".join(f"{number} {name}" for name, number in content.excluded.items()) or "none"
    scale = "absolute, by lock masses" if content.found.absolute else "that of the median section"
    facts: list[tuple[str, object]] = [
        ("Channels", len(content.channels)),
        ("Left out by class", f"{left_out}, of {content.n_all}"),
        ("Sections with means", f"{n_done} of {n_all}"),
        ("Normalisation", _NORMS.get(content.normalize, content.normalize)),
        ("Means", "mean intensity over the measured pixels of a section (arbitrary units)"),
        ("m/z scale", scale),
        *(("Note", note) for note in content.notes),
    ]
    channels = content.channels
    channels = channels.assign(votes=channels["votes"].where(channels["label"] != ""))  # no class, no votes
    of_samples = [name for name in map(str, content.sections) if name not in SECTION_COLUMNS]
    named = tuple(Column(name, _title(name), "From the list of samples") for name in of_samples)
    sheets = [
        Sheet("Channels", channels, _channel_columns(channels), "A channel that sections share", fixed=2),
        Sheet("Sections", content.sections, (*_SECTIONS[:2], *named, *_SECTIONS[2:]), "A section of the study"),
    ]
    columns = channel_columns(content.channels["mz"].to_numpy(float))
    for name, wide, about in (
        ("Means", content.wide, "Mean of each channel in a section"),
        (
            "Patients",
            content.patients_wide,
            "Mean of each channel over the sections of a patient, which count the same",
        ),
    ):
        if not len(wide):
            continue
        if not fits(len(wide), len(wide.columns)):
            facts.append(("Note", f"No sheet {name}: {_TOO_LARGE}"))
            continue
        sheets.append(_means_sheet(name, wide, columns, content.channels, about))
    write_workbook(path, f"{title}: channels and their means", facts, sheets)


def _channel_columns(channels: pd.DataFrame) -> tuple[Column, ...]:
    own = {column.name for column in (*_CHANNELS, *_MORE)}
    listed = [Column(str(name), str(name), "From the m/z list") for name in channels if name not in own]
    return (*_CHANNELS, *listed, *_MORE)


def _means_sheet(title: str, wide: pd.DataFrame, columns: list[str], channels: pd.DataFrame, about: str) -> Sheet:
    facts = [Column(name, _title(name)) for name in map(str, wide) if name not in columns]
    kind = magnitude_format(wide[columns].to_numpy(float).ravel())
    shown = [
        Column(name, f"m/z {mz:.4f}", number_format=kind)
        for name, mz in zip(columns, channels["mz"].tolist(), strict=True)
    ]
    named = name_column(channels)
    above = None
    if named is not None:
        above = {name: "" if pd.isna(text) else str(text) for name, text in zip(columns, channels[named], strict=True)}
    return Sheet(title, wide, (*facts, *shown), f"{about}; columns are channels, named by their m/z", above)


def _title(name: str) -> str:
    known = {"n_pixels": "Pixels (number)", "n_sections": "Sections (number)", "normalize": "Normalisation"}
    return known.get(name, name.replace("_", " ").capitalize())
