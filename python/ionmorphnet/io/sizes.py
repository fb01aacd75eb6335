"""Sizes of images and pixels as text, always with their axis order."""

from __future__ import annotations


def pixels_text(shape: tuple[int, ...]) -> str:
    """Size of a pixel grid, (height, width): ``134 x 260 pixels (height x width)``."""
    height, width = shape
    return f"{height} x {width} pixels (height x width)"


def pixel_size_text(size_um: tuple[float, float]) -> str:
    """Size of a pixel, (width, height) in micrometres: ``50 µm``, or ``25 x 20 µm (height x width)``."""
    width, height = size_um
    return f"{width:g} µm" if width == height else f"{height:g} x {width:g} µm (height x width)"
