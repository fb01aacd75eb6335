"""Picks stay what they were: every candidate's rank, m/z and score beside the tables that write_tables.py wrote."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from golden.write_tables import SECTIONS, simulate_demo, table

HERE = Path(__file__).parent
# Scores of one network in float32 differ this much between CPUs whose kernels sum in another order.
TOLERANCE = 1e-6


def assert_golden(section: Path, name: str) -> None:
    expected = pd.read_csv(HERE / f"{name}.csv")
    got = table(section)
    assert len(got) == len(expected)
    np.testing.assert_allclose(got["mz"], expected["mz"], rtol=1e-8)
    np.testing.assert_allclose(got["score"], expected["score"], rtol=0, atol=TOLERANCE)
    np.testing.assert_array_equal(got["rank"], expected["rank"])
    np.testing.assert_array_equal(got["picked"], expected["picked"])


@pytest.mark.parametrize("name", SECTIONS)
def test_measured_sections(name: str, shared_data: Callable[[str], Path]) -> None:
    assert_golden(shared_data(SECTIONS[name]), name)


def test_the_demo_section(tmp_path: Path) -> None:
    assert_golden(simulate_demo(tmp_path), "demo")
