"""No fault of a file is silent: the picks are right, or the cause is named."""

from __future__ import annotations

import warnings

import pytest

from odd_files.faults import FAULTS
from odd_files.sections import FLAVOURS
from odd_files.sweep import Sweep, command


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep(tmp_path_factory.mktemp("sweep"))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_nothing_is_said_about_a_clean_section(sweep: Sweep, flavour: str) -> None:
    _, picks, outcome = sweep.clean(flavour, 0)
    assert len(picks.mz) == 20
    assert (outcome.code, outcome.lines) == (0, [])
    code, told, _ = command("validate", str(outcome.path))
    assert (code, "no problems" in told) == (0, True), told


@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_is_silent(sweep: Sweep, name: str) -> None:
    number = list(FAULTS).index(name)
    fault = FAULTS[name]
    flavour = fault.flavours[number % len(fault.flavours)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = sweep.run(fault, flavour, 0, number)
    assert outcome.right or outcome.named, (outcome.why, outcome.lines)
    if fault.found_by_validate:
        code, told, _ = command("validate", str(outcome.path))
        assert code in (1, 2), told
