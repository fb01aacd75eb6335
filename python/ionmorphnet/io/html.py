"""Small HTML tables for notebooks: what ``_repr_html_`` of the public types returns."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def facts_table(title: str, facts: Iterable[tuple[str, str]]) -> str:
    """Table of named facts under a title; all texts are escaped, rows without text are left out.

    Args:
        title: Heading, plain text.
        facts: Name and value of each row, plain text.
    """
    rows = "".join(
        f'<tr><th scope="row" style="text-align:left">{escape(name)}</th>'
        f'<td style="text-align:left">{escape(text)}</td></tr>'
        for name, text in facts
        if text
    )
    return f'<table><caption style="text-align:left"><b>{escape(title)}</b></caption><tbody>{rows}</tbody></table>'
