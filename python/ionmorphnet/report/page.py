"""Rendering of the report page."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.base.files import atomic_path
from ionmorphnet.io.rendering import CLIP_QUANTILE
from ionmorphnet.report import pictures, table
from ionmorphnet.report.classes import image_classes, probability_columns
from ionmorphnet.report.data import ReportData
from ionmorphnet.report.spectrum import mean_spectrum

MAX_PICTURES = 500
_ASSETS = resources.files("ionmorphnet.report") / "assets"
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
    script = "(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in _SCRIPTS) + "\n})();"
    environment = Environment(
        loader=PackageLoader("ionmorphnet.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = _shown
    environment.filters["intensity"] = _intensity_text
    return environment.get_template("report.html").render(
        data=data,
        cut=_cut_text(data),
        scorer=_scorer_text(data),
        tic=pictures.picture(data.tic, tic_factor),
        tic_geometry=pictures.geometry(data, tic_factor),
        area=pictures.measured_area(data),
        sample=None if data.sample is None else pictures.sample_view(data.sample, data.tic, tic_factor),
        regions=pictures.region_boxes(data),
        class_counts=table.class_counts(data),
        classes=classes if payload["probabilities"] else [],
        histogram=payload["histogram"],
        spectrum=spectrum,
        pictured=len(images),
        factor=factor,
        quantile=CLIP_QUANTILE,
        facts=_fact_sections(data.facts),
        timings=_timings(data),
        style=Markup(_asset("report.css")),
        script=Markup(script),
        date=_date_text(data),
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        payload=_embedded_json(payload),
    )


def write_report(path: str | os.PathLike[str], data: ReportData, *, max_pictures: int = MAX_PICTURES) -> None:
    """Writes the page of :func:`render_report` to a file.

    Raises:
        ArgumentError: As :func:`render_report`.
        FileError: The file cannot be written; an existing file is left as it was.
    """
    page = render_report(data, max_pictures=max_pictures)
    with atomic_path(path) as temporary:
        # File names that are not UTF-8 contain lone surrogates, which cannot be encoded.
        temporary.write_bytes(page.encode("utf-8", "replace"))


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _embedded_json(value: object) -> Markup:
    """JSON that cannot close the script element around it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)


def _cut_text(data: ReportData) -> str:
    top, least, threshold = (data.fact("parameters", key) for key in ("top", "min_score", "threshold"))
    parts = [f"top {top:,}" if isinstance(top, int) else f"top {top}"] if top is not None else []
    if least is not None:
        parts.append(f"score ≥ {_shown(least)}")
    if not parts and threshold is not None:
        parts.append(f"score ≥ {_shown(threshold)} (model threshold)")
    return " and ".join(parts) or "not stated"


def _date_text(data: ReportData) -> str:
    """Date of the run as ``2026-01-31 12:00 UTC``; any other text as it is."""
    text = _shown(data.fact("date"))
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{date:%Y-%m-%d %H:%M}" + (f" {date:%Z}" if date.tzinfo else "")


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


def _intensity_text(value: float) -> str:
    """Intensity with three digits: ``44,200``; the scripts of the page format theirs alike."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,g}" if rounded == 0 or 0.01 <= rounded < 1e6 else f"{value:.2e}"


def _shown(value: object) -> str:
    """Formats a fact as short text."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_shown(v)}" for k, v in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(_shown(v) for v in value) or "–"
    return str(value)
