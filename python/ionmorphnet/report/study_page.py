"""Rendering of the page of a study."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ionmorphnet.io.rendering import CLIP_QUANTILE
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.report import tiles
from ionmorphnet.report.classes import image_classes
from ionmorphnet.report.document import date_text, render_document, write_document
from ionmorphnet.report.study_data import StudyChannels, StudyReportData, StudySectionRow
from ionmorphnet.report.table import names as compound_names
from ionmorphnet.report.tiles import Tile

_SCRIPTS = (
    "dom.js",
    "study_tiles.js",
    "study_sections.js",
    "study_plots.js",
    "study_coverage.js",
    "study_channels.js",
    "study_main.js",
)
_BINS = 40


def render_study(data: StudyReportData, *, max_bytes: int = tiles.MAX_BYTES) -> str:
    """Renders the page of a study as one HTML document that loads nothing else; it links to the sections' pages.

    Args:
        data: Contents of the page.
        max_bytes: Compressed size of the images of channels. Channels beyond it, in the order of
            ``data.channels.pictured``, are listed without images; the page states it.
    """
    channels = data.channels
    pictures = None if channels is None else _pictures(channels, max_bytes)
    pictured = 0 if pictures is None else len(pictures["channels"])
    payload = {
        "title": data.title,
        "sections": _sections(data.sections),
        "scores": _scores(data.sections),
        "tic": _packed([row.tic for row in data.sections]),
        "palette": tiles.palette(),
        "channels": None if channels is None else _channels(channels),
        "coverage": None if channels is None else tiles.as_text(tiles.deflated(channels.coverage)),
        "pictures": pictures,
        "classes": [] if channels is None else [c._asdict() for c in image_classes([channels.table[["label"]]])],
        "classNames": list(CLASSES),
    }
    failed = [row for row in data.sections if row.status != "done"]
    context = {
        "data": data,
        "date": date_text(data.date),
        "failed": failed,
        "n_done": len(data.sections) - len(failed),
        "n_warned": sum(bool(row.warnings) for row in data.sections),
        "picks": sum(row.picks or 0 for row in data.sections),
        "seconds": _duration(sum(row.seconds or 0.0 for row in data.sections)),
        "channels": channels,
        "n_channels": 0 if channels is None else len(channels.table),
        "n_covered": 0 if channels is None else int(channels.covered.sum()),
        "remains": None if channels is None else _median(channels.table["spread_ppm"].to_numpy(np.float64)),
        "pictured": pictured,
        "levels": tiles.LEVELS,
        "reports": sum(row.has_report for row in data.sections),
        "blind": [row for row in data.sections if row.without_images],
        "quantile": CLIP_QUANTILE,
    }
    return render_document(
        "study.html", styles=("report.css", "study.css"), scripts=_SCRIPTS, payload=payload, context=context
    )


def write_study(path: str | os.PathLike[str], data: StudyReportData) -> None:
    """Writes the page of :func:`render_study` to a file.

    Raises:
        FileError: The file cannot be written; an existing file is left as it was.
    """
    write_document(path, render_study(data))


def _sections(rows: Sequence[StudySectionRow]) -> dict[str, Any]:
    names = list(dict.fromkeys(name for row in rows for name in row.columns))
    return {
        "name": [row.name for row in rows],
        "path": [row.path for row in rows],
        "status": [row.status for row in rows],
        "reason": [row.reason for row in rows],
        "link": [row.link for row in rows],
        "hasReport": [row.has_report for row in rows],
        "picks": [row.picks for row in rows],
        "candidates": [None if row.picks is None else len(row.scores) for row in rows],
        "seconds": [None if row.seconds is None else round(row.seconds, 2) for row in rows],
        "warnings": [list(row.warnings) for row in rows],
        "blind": [row.without_images for row in rows],
        # A list, not an object: the names are the user's.
        "columns": [[name, [row.columns.get(name, "") for row in rows]] for name in names],
        "drift": [_drift(row) for row in rows],
    }


def _drift(row: StudySectionRow) -> dict[str, Any] | None:
    if row.drift is None:
        return None
    return {
        "mz": [float(value) for value in row.drift.mz],
        "ppm": [round(float(value), 3) for value in row.drift.ppm],
        "matched": row.drift.matched,
        "residual": round(row.drift.residual_ppm, 3) if math.isfinite(row.drift.residual_ppm) else None,
    }


def _scores(rows: Sequence[StudySectionRow]) -> dict[str, Any] | None:
    """Distributions of the finite scores of each section on one axis; None if there are none."""
    finite = [row.scores[np.isfinite(row.scores)] for row in rows]
    every = np.concatenate([np.zeros(0), *finite])
    if not every.size:
        return None
    low, high = float(every.min()), float(every.max())
    if low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    elif low == high:
        low, high = low - 0.5, high + 0.5

    def counts(values: NDArray[np.float64]) -> list[int]:
        return [int(n) for n in np.histogram(values, bins=_BINS, range=(low, high))[0]]

    picked = [row.scores[row.picked & np.isfinite(row.scores)] for row in rows]
    return {
        "low": low,
        "high": high,
        "all": [counts(values) for values in finite],
        "picked": [counts(values) for values in picked],
        "cut": [float(values.min()) if values.size else None for values in picked],
    }


def _packed(row: Sequence[Tile | None]) -> dict[str, Any]:
    return {"data": tiles.as_text(tiles.pack(row)), **_places(row), "upper": _uppers(row)}


def _places(row: Sequence[Tile | None]) -> dict[str, Any]:
    """Width, height, offset in pixels and ratio of each tile; None where there is none."""
    places: list[list[float] | None] = []
    at = 0
    for tile in row:
        if tile is None:
            places.append(None)
            continue
        height, width = tile.levels.shape
        places.append([width, height, at, round(tile.ratio, 4)])
        at += tile.levels.size
    return {"places": places}


def _uppers(row: Sequence[Tile | None]) -> list[float | None]:
    return [None if tile is None else tiles.short(tile.upper) for tile in row]


def _pictures(channels: StudyChannels, max_bytes: int) -> dict[str, Any]:
    """The images of as many channels as fit; every channel has tiles of the same shapes."""
    packed: list[bytes] = []
    for row in channels.images:
        packed.append(tiles.pack(row))
        if sum(map(len, packed)) > max_bytes:
            packed.pop()
            break
    shown = channels.images[: len(packed)]
    return {
        "channels": [int(k) for k in channels.pictured[: len(packed)]],
        "data": [tiles.as_text(each) for each in packed],
        "places": _places(shown[0])["places"] if len(shown) else [],
        "upper": [_uppers(row) for row in shown],
    }


def _channels(channels: StudyChannels) -> dict[str, Any]:
    table = channels.table
    digits = {"mz": 6, "mz_lo": 6, "mz_hi": 6}
    found: dict[str, Any] = {
        name: [_number(value, digits.get(name, 4)) for value in table[name]]
        for name in (
            "mz", "mz_lo", "mz_hi", "share_present", "share_picked", "score", "score_present", "spread_ppm", "votes",
        )
    }  # fmt: skip
    found |= {name: [int(value) for value in table[name]] for name in ("channel", "n_present", "n_picked")}
    found["label"] = [str(value) if value else None for value in table["label"]]
    found["name"] = compound_names(table)
    found["relatives"] = _relatives(channels)
    found["covered"] = [bool(value) for value in channels.covered]
    return found


def _relatives(channels: StudyChannels) -> list[list[list[Any]]] | None:
    """For each channel the relation, the position of the lighter form, and the correlation."""
    if channels.relatives is None:
        return None
    position = {int(number): k for k, number in enumerate(channels.table["channel"])}
    found: list[list[list[Any]]] = [[] for _ in range(len(channels.table))]
    pairs = channels.relatives
    for lighter, heavier, relation, r in zip(
        pairs["lighter"], pairs["heavier"], pairs["relation"], pairs["correlation"], strict=True
    ):
        found[position[int(heavier)]].append([str(relation), position[int(lighter)], _number(r, 3)])
    return found


def _median(values: NDArray[np.float64]) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if known.size else None


def _number(value: float, digits: int) -> float | None:
    return round(float(value), digits) if math.isfinite(value) else None


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
