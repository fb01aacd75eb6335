"""peaks.xlsx: the picks of a section for people."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pandas as pd

from ionmorphnet.base.paths import PathLike
from ionmorphnet.io.xlsx import Column, Sheet, write_workbook
from ionmorphnet.models.labels import CLASSES, DESCRIPTIONS, STATISTICS
from ionmorphnet.picking.run_record import RunRecord
from ionmorphnet.picking.tables import listed_columns

_FIRST = (
    Column("rank", "Rank", "1 = best of all candidates", "0"),
    Column("mz", "m/z", "Centre of the channel", "0.0000"),
)
_THEN = (
    Column("label", "Class", "Most probable class of the image"),
    Column("score", "Score", "What the ranking sorts by", "0.000"),
    Column("structure", "Structure (0 to 3)", "Expected grade: 0 none, 3 clear structure", "0.00"),
    Column("frequency", "Frequency (%)", "Share of the spectra with a signal in the window", "0.0%"),
    Column("mz_lo", "Window from (m/z)", "Lower bound of the window", "0.0000"),
    Column("mz_hi", "Window to (m/z)", "Upper bound of the window", "0.0000"),
    *(Column(f"p_{name}", f"Probability {name} (%)", DESCRIPTIONS[name], "0.0%") for name in CLASSES),
    *(Column(name, name.replace("_", " ").capitalize(), "Classical statistic", "0.000") for name in STATISTICS),
    Column("region", "Region", "Number of the region on the slide", "0"),
    Column("spared", "Spared", "Whether the network was spared this channel, which cheap statistics found to be noise"),
    Column("scorer", "Scorer", "Which scorer made the score"),
    Column("normalize", "Normalisation", "By what the images were divided"),
)


def write_picks_workbook(
    path: PathLike, picks: pd.DataFrame, run: RunRecord | None, score: str, warnings: Iterable[str]
) -> None:
    """Writes a workbook: About (the section, the pick, warnings, what the columns mean) and Picks.

    Args:
        path: The xlsx file.
        picks: The picks, best first.
        run: How they were made; None: unknown.
        score: What the score is, in one line.
        warnings: What is odd about the file or limits the meaning of the scores.

    Raises:
        UnavailableError: openpyxl is not installed.
        FileError: The file cannot be written.
    """
    facts: list[tuple[str, object]] = [("Picks", len(picks)), ("Score", score)]
    title = "Picks"
    if run is not None:
        section = run.input
        title = f"Picks of {os.path.basename(section.path)}"
        size = section.pixel_size_um
        facts += [
            ("Candidates", run.counts.candidates),
            ("File", section.path),
            ("Image (pixels)", f"{section.width} x {section.height}"),
            ("Pixel size (µm)", "unknown" if size is None else " x ".join(f"{value:g}" for value in size)),
            ("Model", "none" if run.model is None else run.model.name),
            ("Date (UTC)", run.date),
        ]
    facts += [("Warning", text) for text in dict.fromkeys(warnings)]
    listed = [Column(name, name, "From the m/z list") for name in listed_columns(picks)]
    known = [column for column in (*_FIRST, *listed, *_THEN) if column.name in picks]
    # A scorer without classes leaves their columns empty.
    shown = tuple(column for column in known if len(picks) == 0 or picks[column.name].notna().any())
    write_workbook(path, title, facts, [Sheet("Picks", picks, shown, "A picked channel", fixed=2)])
