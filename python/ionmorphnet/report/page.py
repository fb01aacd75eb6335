"""Rendering of the report page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.io.rendering import CLIP_QUANTILE
from ionmorphnet.report import pictures, table
from ionmorphnet.report.classes import image_classes, probability_columns
from ionmorphnet.report.data import ReportData
from ionmorphnet.report.document import date_text, render_document, shown, write_document
from ionmorphnet.report.spectrum import mean_spectrum

MAX_PICTURES = 500
_SCRIPTS = ("dom.js", "histogram.js", "spectrum.js", "dialog.js", "rows.js", "picks.js", "main.js")


def render_report(data: ReportData, *, max_pictures: int = MAX_PICTURES) -> str:
    """Renders the report as one HTML document that loads nothing else.

    Args:
        data: Contents of the report.
        max_pictures: Picks beyond this rank are listed without a picture to keep the file small; the page states it.

    Returns:
        The document. Its content security policy forbids network access.

    Raises:
        ArgumentError: ``max_pictures`` is negative.
    """
    if max_pictures < 0:
        raise ArgumentError(f"max_pictures must be at least 0, got {max_pictures}")
    images = data.images[:max_pictures]
    factor = pictures.block_factor((data.tic.shape[0], data.tic.shape[1]), len(images))
    tic_factor = pictures.block_factor((data.tic.shape[0], data.tic.shape[1]), 1)
    classes = image_classes([data.frame, data.all_scores])
    spectrum = mean_spectrum(data)
    payload = {
        "name": data.title,
        "table": table.plain_columns(data.frame),
        "names": table.names(data.frame),
        "probabilities": probability_columns(data.frame),
        "classes": [c._asdict() for c in classes],
        "pictures": [asdict(pictures.picture(image, factor)) for image in images],
        "geometry": pictures.geometry(data, factor),
        "spectrum": spectrum,
        "histogram": table.histogram(data),
    }
    context = {
        "data": data,
        "cut": _cut_text(data),
        "scorer": _scorer_text(data),
        "tic": pictures.picture(data.tic, tic_factor),
        "tic_geometry": pictures.geometry(data, tic_factor),
        "area": pictures.measured_area(data),
        "sample": None if data.sample is None else pictures.sample_view(data.sample, data.tic, tic_factor),
        "regions": pictures.region_boxes(data),
        "class_counts": table.class_counts(data),
        "classes": classes if payload["probabilities"] else [],
        "histogram": payload["histogram"],
        "spectrum": spectrum,
        "pictured": len(images),
        "factor": factor,
        "quantile": CLIP_QUANTILE,
        "facts": _fact_sections(data.facts),
        "timings": _timings(data),
        "date": date_text(data.fact("date")),
    }
    return render_document("report.html", styles=("report.css",), scripts=_SCRIPTS, payload=payload, context=context)


def write_report(path: str | os.PathLike[str], data: ReportData, *, max_pictures: int = MAX_PICTURES) -> None:
    """Writes the page of :func:`render_report` to a file.

    Raises:
        ArgumentError: As :func:`render_report`.
        FileError: The file cannot be written; an existing file is left as it was.
    """
    write_document(path, render_report(data, max_pictures=max_pictures))


def _cut_text(data: ReportData) -> str:
    top, least, threshold = (data.fact("parameters", key) for key in ("top", "min_score", "threshold"))
    parts = [f"top {top:,}" if isinstance(top, int) else f"top {top}"] if top is not None else []
    if least is not None:
        parts.append(f"score ≥ {shown(least)}")
    if not parts and threshold is not None:
        parts.append(f"score ≥ {shown(threshold)} (model threshold)")
    return " and ".join(parts) or "not stated"


def _scorer_text(data: ReportData) -> str:
    names = [data.fact("scorer"), data.fact("model", "name")]
    return ", ".join(str(name) for name in names if name) or "not stated"


def _fact_sections(facts: Mapping[str, object]) -> list[tuple[str, list[tuple[str, object]]]]:
    """Single facts under "general" and each mapping under its name, except what the page shows elsewhere."""
    single = [(key, value) for key, value in facts.items() if not isinstance(value, Mapping) and key != "warnings"]
    sections = [("general", single)] if single else []
    for key, value in facts.items():
        if isinstance(value, Mapping) and key != "timings" and value:
            sections.append((key, list(value.items())))
    return sections


def _timings(data: ReportData) -> list[tuple[str, float, float]]:
    """Name, seconds and share of the longest stage."""
    timings = data.fact("timings")
    if not isinstance(timings, Mapping):
        return []
    stages = [(str(k), float(v)) for k, v in timings.items() if isinstance(v, int | float)]
    longest = max((seconds for _, seconds in stages), default=0.0)
    return [(name, seconds, seconds / longest if longest > 0 else 0.0) for name, seconds in stages]
