"""Reference implementation of each native stage in plain numpy. It specifies what the native code must compute."""

from __future__ import annotations

from ionmorphnet.reference import images, patches, preprocess, regions, sample_map, statistics

__all__ = ["images", "patches", "preprocess", "regions", "sample_map", "statistics"]
