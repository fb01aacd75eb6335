"""Simulated ion images and whole simulated sections with known truth; numpy only."""

from __future__ import annotations

from ionmorphnet.imzml_writer import ImzMLWriter
from ionmorphnet.simulation.ion_image import SimulatedImage, simulate_ion_image, simulate_scene
from ionmorphnet.simulation.section import SimulatedSection, simulate

__all__ = ["ImzMLWriter", "SimulatedImage", "SimulatedSection", "simulate", "simulate_ion_image", "simulate_scene"]
