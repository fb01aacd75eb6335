"""Sizes of images and pixels as text, always width x height, and always said so."""

from __future__ import annotations


def pixels_text(shape: tuple[int, ...]) -> str:
    """Size of a pixel grid, (height, width) as arrays have it: ``260 x 134 pixels (width x height)``."""
    height, width = shape
    return f"{width} x {height} pixels (width x height)"


def pixel_size_text(size_um: tuple[float, float]) -> str:
    """Size of a pixel, (width, height) in micrometres: ``50 µm``, or ``25 x 150 µm (width x height)``."""
    width, height = size_um
    return f"{width:g} µm" if width == height else f"{width:g} x {height:g} µm (width x height)"
