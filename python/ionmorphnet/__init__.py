"""Peak picking for mass spectrometry imaging by the spatial morphology of ion images."""

from __future__ import annotations
