"""Examples in docstrings of public names run as written."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import ionmorphnet as imn

MODULES = (
    "engine",
    "io.candidates",
    "io.imzml_writer",
    "io.info",
    "picking.validation",
    "models.model",
    "simulation.section",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with imn.ImzMLWriter("section.imzML", mode="processed", spectrum_type="centroid") as writer:
        writer.add(1, 1, [100.0, 200.0], [5.0, 7.0])
        writer.add(2, 1, [100.0, 300.0], [6.0, 1.0])
    found = doctest.testmod(importlib.import_module(f"ionmorphnet.{name}"), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted > 0
    assert found.failed == 0
