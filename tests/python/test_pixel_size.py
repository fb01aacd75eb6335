"""Pixel sizes with odd units, and scan settings that contradict each other."""

from __future__ import annotations

import pytest

from imzml_factory import cv, grid_specs, length_unit, max_counts, pixel_size, write_imzml
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.io.info import read_info

MICROMETRE = length_unit("micrometer")


def dimension(x: object, y: object, unit: str = "micrometer") -> str:
    text = length_unit(unit) if unit else ""
    return cv("IMS:1000044", "max dimension x", x, unit=text) + cv("IMS:1000045", "max dimension y", y, unit=text)


def old_size(value: object, unit: str = "") -> str:
    return cv("IMS:1000046", "pixel size", value, unit=unit)


COUNTS = max_counts(4, 3)


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (pixel_size(50, 40), (50.0, 40.0)),
        (pixel_size(0.05, 0.04, "millimeter"), (50.0, 40.0)),
        (pixel_size(50_000, 40_000, "nanometer"), (50.0, 40.0)),
        (pixel_size("5e-5", "4e-5", "meter"), (50.0, 40.0)),
        (pixel_size(50, 40, "micron").replace("UO:0000000", ""), (50.0, 40.0)),
        (pixel_size(50, 40, "\u00b5m").replace("UO:0000000", ""), (50.0, 40.0)),
        (pixel_size(50, 40, "\u03bcm").replace("UO:0000000", "UO:0000017"), (50.0, 40.0)),
        (pixel_size(50, 40, "Mikrometer").replace("UO:0000000", "UO:0000017"), (50.0, 40.0)),
        (pixel_size(50, 40, ""), (50.0, 40.0)),
        (pixel_size(50), (50.0, 50.0)),
        (old_size(50, MICROMETRE), (50.0, 50.0)),
        (dimension(200, 120), (50.0, 40.0)),
        (dimension(0.2, 0.12, "millimeter"), (50.0, 40.0)),
        (pixel_size(50, 40) + dimension(200, 120), (50.0, 40.0)),
        (pixel_size(50, 40) + dimension(150, 80), (50.0, 40.0)),  # from the first to the last pixel
        (pixel_size(50, 40) + dimension(4, 3), (50.0, 40.0)),  # the number of pixels
        (pixel_size(1, 1, "") + dimension(200, 120), (50.0, 40.0)),  # 1: "unknown" in the words of some writers
        (old_size(2500) + dimension(200, 150), (50.0, 50.0)),  # an area, which the extent tells
        (pixel_size(2500, unit="square micrometer") + dimension(200, 150), (50.0, 50.0)),
    ],
)
def test_lengths_are_read_with_their_unit(tmp_path, block, expected):
    path = write_imzml(tmp_path / "a.imzML", grid_specs(4, 3), scan_settings=[COUNTS + block])
    ds = open_dataset(path)
    assert ds.pixel_size_um == pytest.approx(expected)
    assert ds.warnings == []
    assert read_info(path).pixel_size_um == ds.pixel_size_um


@pytest.mark.parametrize(
    ("block", "cause"),
    [
        (pixel_size(2500, unit="square micrometer"), "'square micrometer'"),
        (pixel_size(50, 50, "pixel"), "'pixel'"),
        (pixel_size(50, 50, "micrometer").replace("UO:0000017", "UO:0000082"), "UO:0000082"),
        (pixel_size(50, 50, "millimeter").replace("UO:0000016", "UO:0000017"), "two different units"),
        (pixel_size(50) + cv("IMS:1000047", "pixel size y", 40, unit=length_unit("second")), "pixel size y 40"),
        (old_size(2500), "may be a length or an area"),
        (dimension(4, 3, ""), "the number of pixels rather than a length"),
        (dimension(4, 3), "the number of pixels rather than a length"),
        (dimension(200, 120, "degree"), "'degree'"),
        (pixel_size(50, 50) + dimension(9000, 9000), "contradicts the extent of the section, 9000 x 9000 um"),
    ],
)
def test_a_size_that_nobody_can_know_is_unknown(tmp_path, block, cause):
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", grid_specs(4, 3), scan_settings=[COUNTS + block]))
    assert ds.pixel_size_um is None
    (line,) = ds.warnings
    assert cause in line
    assert line.endswith("the pixel size is unknown")


@pytest.mark.parametrize("block", ["", pixel_size(1, 1, ""), pixel_size(0, 0), pixel_size("", ""), pixel_size(-5, -5)])
def test_a_size_that_is_not_stated_needs_no_warning(tmp_path, block):
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", grid_specs(4, 3), scan_settings=[COUNTS + block]))
    assert (ds.pixel_size_um, ds.warnings) == (None, [])


@pytest.mark.parametrize("unit", ["millimeter", "nanometer"])
def test_an_implausible_size_is_unknown(tmp_path, unit):
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", grid_specs(4, 3), scan_settings=[pixel_size(20, 20, unit)]))
    (line,) = ds.warnings
    assert "implausible" in line
    assert ds.pixel_size_um is None


def instruments(edit_from: str, reference: str):
    """Adds a reference to scan settings to the instrument configuration of this name."""
    return lambda text: text.replace(
        f'<instrumentConfiguration id="{edit_from}">',
        f'<instrumentConfiguration id="{edit_from}" scanSettingsRef="{reference}">',
    )


TWO = [COUNTS + pixel_size(10, 10), max_counts(8, 6) + pixel_size(25, 25) + dimension(200, 150)]


@pytest.mark.parametrize(("reference", "size"), [("s", 10.0), ("s2", 25.0)])
def test_the_referenced_settings_hold(tmp_path, reference, size):
    path = write_imzml(
        tmp_path / "a.imzML",
        grid_specs(4, 3),
        scan_settings=TWO,
        instruments={"IC1": ""},
        run_attributes={"run": {"defaultInstrumentConfigurationRef": "IC1"}},
        edit=instruments("IC1", reference),
    )
    ds = open_dataset(path)
    assert ds.pixel_size_um == (size, size)
    assert ds.warnings == []
    assert ds.declared["max_count_x"] == {"s": "4", "s2": "8"}[reference]
    assert read_info(path).pixel_size_um == (size, size)


def test_the_default_instrument_of_the_run_chooses_between_settings(tmp_path):
    path = write_imzml(
        tmp_path / "a.imzML",
        grid_specs(4, 3),
        scan_settings=TWO,
        instruments={"IC1": "", "IC2": ""},
        run_attributes={"run": {"defaultInstrumentConfigurationRef": "IC2"}},
        edit=lambda text: instruments("IC2", "s2")(instruments("IC1", "s")(text)),
    )
    assert open_dataset(path).pixel_size_um == (25.0, 25.0)


@pytest.mark.parametrize("parser", ["plain", "expat"])
def test_the_instrument_of_the_scans_counts_more_than_that_of_the_run(tmp_path, parser):
    specs = grid_specs(4, 3)
    for spec in specs:
        spec.scan_attributes = {"instrumentConfigurationRef": "IC1"}
    path = write_imzml(
        tmp_path / "a.imzML",
        specs,
        scan_settings=TWO,
        instruments={"IC1": "", "IC2": ""},
        run_attributes={"run": {"defaultInstrumentConfigurationRef": "IC2"}},
        edit=lambda text: instruments("IC2", "s2")(instruments("IC1", "s")(text)).replace(
            "<mzML", ("<!DOCTYPE mzML>\n" if parser == "expat" else "") + "<mzML", 1
        ),
    )
    assert open_dataset(path).pixel_size_um == (10.0, 10.0)


def test_settings_that_contradict_each_other_are_named(tmp_path):
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", grid_specs(4, 3), scan_settings=TWO))
    assert ds.pixel_size_um is None
    (line,) = ds.warnings
    assert "'s': 10 x 10 um" in line
    assert "'s2': 25 x 25 um" in line
    assert "refers to none of them" in line


def test_scans_that_refer_to_contradicting_settings_are_said(tmp_path):
    specs = grid_specs(4, 3)
    for i, spec in enumerate(specs):
        spec.scan_attributes = {"instrumentConfigurationRef": f"IC{1 + i % 2}"}
    path = write_imzml(
        tmp_path / "a.imzML",
        specs,
        scan_settings=TWO,
        instruments={"IC1": "", "IC2": ""},
        edit=lambda text: instruments("IC2", "s2")(instruments("IC1", "s")(text)),
    )
    ds = open_dataset(path)
    assert ds.pixel_size_um is None
    assert "its scans refer to more than one" in ds.warnings[0]


def test_settings_that_agree_or_complete_each_other_are_one(tmp_path):
    same = [COUNTS + pixel_size(20, 20), max_counts(9, 9) + pixel_size(0.02, 0.02, "millimeter")]
    ds = open_dataset(write_imzml(tmp_path / "a.imzML", grid_specs(4, 3), scan_settings=same))
    assert (ds.pixel_size_um, ds.warnings) == ((20.0, 20.0), [])
    parts = open_dataset(write_imzml(tmp_path / "a.imzML", grid_specs(4, 3), scan_settings=[COUNTS, dimension(80, 30)]))
    assert (parts.pixel_size_um, parts.warnings) == ((20.0, 10.0), [])


@pytest.mark.parametrize("referred", [True, False])
def test_a_parameter_group_states_the_size(tmp_path, referred):
    reference = '<referenceableParamGroupRef ref="pixels"/>' if referred else ""
    path = write_imzml(
        tmp_path / "a.imzML",
        grid_specs(4, 3),
        groups={"pixels": pixel_size(30, 60)},
        scan_settings=[COUNTS + reference],
    )
    assert open_dataset(path).pixel_size_um == (30.0, 60.0)
