"""Simulated ion images and whole simulated sections with known truth; numpy only."""

from __future__ import annotations

from ionmorphnet.simulation.imzml_writer import ImzMLWriter
from ionmorphnet.simulation.ion_image import CLASS_NAMES, SimulatedImage, simulate_ion_image
from ionmorphnet.simulation.section import SimulatedSection, simulate

__all__ = ["CLASS_NAMES", "ImzMLWriter", "SimulatedImage", "SimulatedSection", "simulate", "simulate_ion_image"]
