"""Contents of the page of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.report.tiles import Tile

SectionStatus = Literal["done", "failed", "missing"]

# Values of a coverage: the section lacks the channel, has it as a candidate, or it was picked there.
ABSENT, PRESENT, PICKED = 0, 1, 2


@dataclass(frozen=True, kw_only=True)
class DriftLine:
    """Mass drift of a section, linear in ln(m/z) between its knots.

    Attributes:
        mz: Knots in m/z, ascending, at least two.
        ppm: Deviation at the knots.
        matched: Peaks that were matched with the reference.
        residual_ppm: Spread of the matched peaks around the drift; NaN without matches.
    """

    mz: Sequence[float]
    ppm: Sequence[float]
    matched: int
    residual_ppm: float


@dataclass(frozen=True, kw_only=True)
class StudySectionRow:
    """A section of a study, picked or not.

    Attributes:
        name: Its name.
        path: Its file.
        status: ``done``; ``failed``; ``missing``: it was picked, and the result cannot be read.
        reason: Why there is no result.
        columns: What the sample list says of it.
        link: Its own report, or else its table of picks, relative to the page; empty: neither is there.
        has_report: Whether the link is a report.
        picks: Channels picked; None without a result.
        scores: Scores of all candidates; NaN where there is none.
        picked: Which of them were picked, bool of the same length.
        seconds: How long the pick took; None if another section of the same file says it.
        warnings: What was odd.
        drift: Its mass drift; None if the consensus does not have the section.
        tic: Total ion current; None if the section could not be read.
        without_images: Why there are no images of it; empty if there are.
    """

    name: str
    path: str
    status: SectionStatus
    reason: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    link: str = ""
    has_report: bool = False
    picks: int | None = None
    scores: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    picked: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    seconds: float | None = None
    warnings: Sequence[str] = ()
    drift: DriftLine | None = None
    tic: Tile | None = None
    without_images: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyChannels:
    """The channels that the sections of a study share.

    Attributes:
        table: C rows, ascending in m/z: ``channel``, ``mz``, ``mz_lo``, ``mz_hi``, ``n_present``, ``share_present``,
            ``n_picked``, ``share_picked``, ``score``, ``score_present``, ``spread_ppm``, ``label`` (name of the class,
            empty: none), ``votes``, and optionally a column that names compounds, such as ``name`` or ``formula``.
        coverage: uint8 (sections of the page, C): 0 absent, 1 a candidate, 2 picked; 0 for sections without a result.
        covered: Which sections of the page the consensus has, bool (sections of the page).
        relatives: Pairs with ``lighter`` and ``heavier`` (values of ``channel``), ``relation`` and ``correlation``;
            None: they were not looked for.
        pictured: Rows of ``table`` (k,) that have images, best first.
        images: For each of them a tile per section of the page; None where there is no image.
        intensities: What the intensities of the images are, in a few words.
        absolute: Whether lock masses fix the scale.
    """

    table: pd.DataFrame
    coverage: NDArray[np.uint8]
    covered: NDArray[np.bool_]
    relatives: pd.DataFrame | None = None
    pictured: Sequence[int] = ()
    images: Sequence[Sequence[Tile | None]] = ()
    intensities: str = ""
    absolute: bool = False


@dataclass(frozen=True)
class Notice:
    """What is missing or out of date.

    Attributes:
        text: The notice, plain text.
        command: What makes it good; empty: no command does.
    """

    text: str
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class StudyReportData:
    """Contents of the page of a study. Rendering reads nothing else from disk.

    Attributes:
        title: Name of the study.
        folder: Where it is.
        date: When the page was made, ISO 8601.
        sections: All sections, in order.
        channels: The channels in common; None: they were not looked for yet.
        notices: What is missing or out of date, and which command makes it.
        facts: How the study was made: groups of named facts.
        files: Other files of the study that are there: what they hold, and where they are, relative to the page.

    Raises:
        ArgumentError: Shapes do not match.
    """

    title: str
    folder: str
    date: str
    sections: Sequence[StudySectionRow]
    channels: StudyChannels | None = None
    notices: Sequence[Notice] = ()
    facts: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks that the parts match."""
        for row in self.sections:
            if row.scores.shape != row.picked.shape:
                raise ArgumentError(f"report: {row.name} has scores {row.scores.shape} and picks {row.picked.shape}")
        if self.channels is None:
            return
        shape = (len(self.sections), len(self.channels.table))
        if self.channels.coverage.shape != shape or self.channels.covered.shape != shape[:1]:
            raise ArgumentError(f"report: a coverage of shape {self.channels.coverage.shape} for {shape}")
        if [len(each) for each in self.channels.images] != [len(self.sections)] * len(self.channels.pictured):
            raise ArgumentError("report: every channel with images needs one per section, None where there is none")
