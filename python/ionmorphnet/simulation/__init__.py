"""Simulated ion images and imzML sections with known ground truth."""

from __future__ import annotations

from ionmorphnet.simulation.image_set import SimulatedImages, simulate_images
from ionmorphnet.simulation.ion_image import SimulatedImage, simulate_ion_image, simulate_scene
from ionmorphnet.simulation.sample_map import draw_sample_map, drop_sample_map
from ionmorphnet.simulation.section import SimulatedSection, simulate

__all__ = [
    "SimulatedImage",
    "SimulatedImages",
    "SimulatedSection",
    "draw_sample_map",
    "drop_sample_map",
    "simulate",
    "simulate_images",
    "simulate_ion_image",
    "simulate_scene",
]
