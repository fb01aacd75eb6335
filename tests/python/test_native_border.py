"""The border to the native core: defaults that exist once, and what the two native modules share."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import _core
from ionmorphnet.base.units import parse_bytes
from ionmorphnet.cli.pick import pick as pick_command
from ionmorphnet.picking.section import DEFAULT_MEMORY_LIMIT
from native import _core_testing


def test_the_default_memory_limit_is_the_loops() -> None:
    (option,) = [parameter for parameter in pick_command.params if parameter.name == "memory_limit"]
    assert parse_bytes(option.default) == parse_bytes(DEFAULT_MEMORY_LIMIT) == _core.DEFAULT_MEMORY_LIMIT
    assert f"memory_limit: int = {_core.DEFAULT_MEMORY_LIMIT}" in _signature(_core.score_windows)


def _signature(function: object) -> str:
    return (inspect.getdoc(function) or "").replace("typing.SupportsInt | typing.SupportsIndex", "int").splitlines()[0]


@pytest.mark.parametrize("name", ["score_windows_on_device", "score_stack_on_device", "probe_bin", "probe_read"])
def test_there_is_one_default_of_pinned_memory(name: str) -> None:
    assert f"pinned_memory: int = {_core.DEFAULT_PINNED_MEMORY}" in _signature(getattr(_core, name))


def test_the_modules_share_datasets_and_exceptions(section: Path) -> None:
    with imn.open(section) as ds:
        assert _core_testing.float_mz(ds._native) in (True, False)
        lo, hi = np.array([1.0]), np.array([2000.0])
        np.testing.assert_array_equal(
            _core_testing.emulated_bin_images(ds._native, lo, hi), _core.bin_images(ds._native, lo, hi)
        )
        for module in (_core.bin_images, _core_testing.emulated_bin_images):
            with pytest.raises(imn.ArgumentError, match="above the upper bound"):
                module(ds._native, hi, lo)
    with pytest.raises(imn.FileError, match="no such file"):
        _core_testing.parse_header(str(section.with_name("none.imzML")))


def test_the_product_has_no_test_hooks() -> None:
    only_testing = {"parse_header", "find_blank", "read_bins", "stream_copy", "preprocess_fits", "chaos_fits"}
    assert only_testing <= set(dir(_core_testing))
    assert [name for name in dir(_core) if name in only_testing or "emulated" in name] == []


def test_options_left_out_are_chosen_from_the_data(section: Path) -> None:
    """None, not a number that means none."""
    with imn.open(section) as ds:
        native = ds._native
        for wrong in (0.0, -1.0, np.nan):
            with pytest.raises(imn.ArgumentError, match="ppm must be a number above 0"):
                _core.candidate_axis(native, ppm=wrong)
            with pytest.raises(imn.ArgumentError, match="bin_width_ppm must be positive"):
                _core.mean_spectrum(native, bin_width_ppm=wrong)
        with pytest.raises(imn.ArgumentError, match="min_frequency must be between 0 and 1"):
            _core.candidate_axis(native, min_frequency=-1.0)
        chosen = _core.candidate_axis(native, min_frequency=None, ppm=None)
        np.testing.assert_array_equal(chosen[0], _core.candidate_axis(native)[0])
