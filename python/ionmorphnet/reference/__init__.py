"""Slow numpy specification of each native stage; the native code is tested against it."""

from __future__ import annotations

from ionmorphnet.reference import images, patches, preprocess, statistics

__all__ = ["images", "patches", "preprocess", "statistics"]
