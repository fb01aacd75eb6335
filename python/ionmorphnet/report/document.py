"""What the pages have in common: one HTML file that loads nothing, with its data, style and script inside."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ionmorphnet.base.files import atomic_path

_ASSETS = resources.files("ionmorphnet.report") / "assets"


def render_document(
    template: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    payload: Mapping[str, object],
    context: Mapping[str, object],
) -> str:
    """Renders a page whose content security policy admits its own script and no network.

    Args:
        template: Name of the template among the assets. It gets ``style``, ``script``, ``script_hash`` and ``payload``.
        styles: Style sheets, in order.
        scripts: Scripts, in order; they share one scope.
        payload: What the scripts read, JSON values only.
        context: Further values of the template.
    """
    script = "(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in scripts) + "\n})();"
    environment = Environment(
        loader=PackageLoader("ionmorphnet.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.filters["intensity"] = intensity_text
    return environment.get_template(template).render(
        **context,
        style=Markup("".join(_asset(name) for name in styles)),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii"),
        payload=_embedded_json(payload),
    )


def write_document(path: str | os.PathLike[str], page: str) -> None:
    """Writes a page.

    Raises:
        FileError: The file cannot be written; an existing file is left as it was.
    """
    with atomic_path(path) as temporary:
        # File names that are not UTF-8 contain lone surrogates, which cannot be encoded.
        temporary.write_bytes(page.encode("utf-8", "replace"))


def shown(value: object) -> str:
    """Formats a fact as short text."""
    if value is None or value == "":
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {shown(v)}" for k, v in value.items()) or "–"
    if isinstance(value, list | tuple):
        return ", ".join(shown(v) for v in value) or "–"
    return str(value)


def intensity_text(value: float) -> str:
    """Intensity with three digits: ``44,200``; the scripts of the page format theirs alike."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,g}" if rounded == 0 or 0.01 <= rounded < 1e6 else f"{value:.2e}"


def date_text(value: object) -> str:
    """Date of a run as ``2026-01-31 12:00 UTC``; any other text as it is."""
    text = shown(value)
    try:
        date = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{date:%Y-%m-%d %H:%M}" + (f" {date:%Z}" if date.tzinfo else "")


def _asset(name: str) -> str:
    return (_ASSETS / name).read_text(encoding="utf-8")


def _embedded_json(value: object) -> Markup:
    """JSON that cannot close the script element around it."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)
