"""No fault of a file is silent: the picks are right, or the cause is named."""

from __future__ import annotations

import warnings

import pytest

from odd_files.faults import FAULTS
from odd_files.sections import FLAVOURS
from odd_files.sweep import Sweep, command

# Faults that nothing finds yet.
AWAITED = {
    "The terms of the m/z array and the intensity array are exchanged",
    "The terms of the two arrays are exchanged, both of one type",
    "All arrays are stored big-endian",
    "The intensities are stored big-endian",
    "Intensities stored as 32-bit integers are declared 32-bit floats",
    "Arrays are zlib-compressed, which the file does not say",
    "One pixel is a thousand times brighter than the rest",
    "Intensities are logarithms",
    "A baseline was subtracted, and a part of the intensities is negative",
    "All intensities have the wrong sign",
    "Every spectrum was divided by its total",
    "Every spectrum was divided by its largest value",
    "All intensities are 1",
    "Counts over 32,767 became negative",
    "m/z in thousands",
    "m/z in thousandths",
    "m/z drifts over the run",
    "m/z shifts half-way, as after a recalibration",
    "m/z of every second line is shifted",
    "Profiles shift half-way by several peak widths",
    "Centroids are declared as profiles",
    "A third of the spectra is empty",
}


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep(tmp_path_factory.mktemp("sweep"))


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_nothing_is_said_about_a_clean_section(sweep: Sweep, flavour: str) -> None:
    _, picks, outcome = sweep.clean(flavour, 0)
    assert len(picks.mz) == 20
    assert (outcome.code, outcome.lines) == (0, [])


@pytest.mark.parametrize("name", FAULTS)
def test_no_fault_is_silent(sweep: Sweep, name: str) -> None:
    number = list(FAULTS).index(name)
    fault = FAULTS[name]
    flavour = fault.flavours[number % len(fault.flavours)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = sweep.run(fault, flavour, 0, number)
    if name in AWAITED and not (outcome.right or outcome.named):
        pytest.xfail(outcome.why)
    assert outcome.right or outcome.named, (outcome.why, outcome.lines)
    if fault.found_by_validate:
        code, told, _ = command("validate", str(outcome.path))
        assert code in (1, 2), told
