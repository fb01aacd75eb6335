"""Reads a page that a test rendered."""

from __future__ import annotations

import base64
import json
import zlib
from html.parser import HTMLParser
from typing import Any

import numpy as np

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """Elements of a page; fails if tags are not nested."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.stack: list[str] = []
        self.content: dict[str, str] = {}
        self.feed(html)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self.stack):
            self.content[tag] = self.content.get(tag, "") + data

    @property
    def text(self) -> str:
        return " ".join(self.content["body"].replace(self.content["script"], "").split())

    @property
    def payload(self) -> dict[str, Any]:
        text = self.content["script"]
        value, _ = json.JSONDecoder().raw_decode(text)
        assert isinstance(value, dict)
        return value


def unpacked(text: str) -> np.ndarray:
    """The bytes of a zlib stream in base64, uint8 (n,)."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)
