"""Slow numpy specification of each native stage; the native code is tested against it."""

from __future__ import annotations

from ionmorphnet.reference.images import bin_images, tic_image
from ionmorphnet.reference.preprocess import preprocess, quantile99, resize_bilinear
from ionmorphnet.reference.statistics import morans_i

__all__ = ["bin_images", "morans_i", "preprocess", "quantile99", "resize_bilinear", "tic_image"]
