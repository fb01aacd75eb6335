"""Positions that advance in steps, lack z, or are no grid at all."""

from __future__ import annotations

import numpy as np
import pytest

from imzml_factory import Spec, write_imzml
from ionmorphnet.base.errors import FileError
from ionmorphnet.io.dataset import open_dataset


@pytest.fixture
def path(tmp_path):
    return tmp_path / "section.imzML"


def image_of(width, height, seed=0):
    return np.random.default_rng(seed).uniform(1, 9, (height, width)).round(3)


def placed(image, x=lambda c: c + 1, y=lambda r: r + 1, z=None):
    """One spectrum for each pixel of an image, at positions that are functions of column and row."""
    return [
        Spec(x(c), y(r), [100.0], [float(image[r, c])], z=z)
        for r in range(image.shape[0])
        for c in range(image.shape[1])
    ]


def step_warnings(ds):
    return [line for line in ds.warnings if "step" in line]


@pytest.mark.parametrize(
    ("step", "origin"),
    [((2, 2), (1, 1)), ((1, 3), (7, 0)), ((4, 1), (-40, 12)), ((2, 50), (1, 9000)), ((3, 4), (0, 0))],
)
def test_common_steps_differ_between_the_axes(path, step, origin):
    image = image_of(12, 9)
    specs = placed(image, lambda c: origin[0] + step[0] * c, lambda r: origin[1] + step[1] * r)
    ds = open_dataset(write_imzml(path, specs))
    assert ds.shape == (9, 12)
    assert ds.coordinate_step[:2] == step
    assert ds.coordinate_origin[:2] == origin
    np.testing.assert_allclose(ds.ion_images(100.0, ppm=5)[0], image, rtol=1e-6)
    (line,) = step_warnings(ds)
    assert f"{step[0]} in x and {step[1]} in y" in line


def test_a_step_shows_in_gaps_and_in_any_order(path):
    image = image_of(15, 15)
    specs = placed(image, lambda c: 2 * c + 1, lambda r: 3 * r + 1)
    rng = np.random.default_rng(3)
    kept = [specs[i] for i in rng.permutation(len(specs))[:150]]
    ds = open_dataset(write_imzml(path, kept))
    assert ds.coordinate_step[:2] == (2, 3)
    shown = ds.ion_images(100.0, ppm=5)[0]
    assert np.isnan(shown).sum() == shown.size - 150
    np.testing.assert_allclose(shown[ds.mask], image[: ds.shape[0], : ds.shape[1]][ds.mask], rtol=1e-6)


def test_a_few_spectra_between_the_steps_are_counted(path):
    image = image_of(20, 20)
    specs = placed(image, lambda c: 2 * c + 1, lambda r: r + 1)
    specs[57].x += 1
    specs[300].x += 1
    ds = open_dataset(write_imzml(path, specs))
    assert ds.shape == (20, 20)
    assert ds.coordinate_step[:2] == (2, 1)
    assert ["2 spectra lie between the steps in x" in line for line in step_warnings(ds)] == [True]
    np.testing.assert_allclose(ds.ion_images(100.0, ppm=5)[0], image, rtol=1e-6)


def test_a_stray_first_spectrum_does_not_hide_stage_steps(path):
    image = image_of(20, 10)
    specs = [Spec(983, 2001, [100.0], [1.0]), *placed(image, lambda c: 1000 + 25 * c, lambda r: 2000 + 150 * r)]
    ds = open_dataset(write_imzml(path, specs))
    assert ds.coordinate_step[:2] == (25, 150)
    assert ds.coordinate_origin[:2] == (975, 2000)
    np.testing.assert_allclose(ds.ion_images(100.0, ppm=5)[0][:, 1:], image, rtol=1e-6)


@pytest.mark.parametrize("share", [0.03, 0.5])
def test_many_spectra_between_the_steps_are_no_step(path, share):
    image = image_of(40, 20)
    specs = placed(image, lambda c: 2 * c + 1)
    for spec in np.random.default_rng(0).choice(specs, int(share * len(specs)), replace=False):
        spec.x += 1
    assert open_dataset(write_imzml(path, specs)).coordinate_step == (1, 1, 1)


def test_a_single_row_keeps_its_row_and_loses_its_step(path):
    specs = placed(image_of(30, 1), lambda c: 3 * c + 2, lambda r: 17)
    ds = open_dataset(write_imzml(path, specs))
    assert (ds.shape, ds.coordinate_step[:2], ds.coordinate_origin[:2]) == ((1, 30), (3, 1), (2, 17))


def test_few_positions_are_doubtful(path):
    five = open_dataset(write_imzml(path, placed(image_of(5, 12), lambda c: 2 * c + 1)))
    assert five.shape == (12, 5)
    assert "only 5 positions in x show it" in step_warnings(five)[0]
    three = open_dataset(write_imzml(path, placed(image_of(3, 12), lambda c: 2 * c + 1)))
    assert three.shape == (12, 5)
    assert any("the 3 positions in x lie 2 apart" in line for line in three.warnings)


def test_random_spots_are_no_step(path):
    rng = np.random.default_rng(1)
    specs = [Spec(int(x), int(y), [100.0], [1.0]) for x, y in rng.integers(1, 60, (300, 2))]
    assert open_dataset(write_imzml(path, specs)).coordinate_step == (1, 1, 1)


@pytest.mark.parametrize(
    ("counts", "size"),
    [
        ((24, 12), (100.0, 50.0)),  # the columns left out are counted: two sizes from pixel to pixel
        ((12, 12), (50.0, 50.0)),  # they are not: the step is a unit of the positions
        (None, (50.0, 50.0)),
    ],
)
def test_declared_counts_tell_what_a_step_is_in_micrometres(path, counts, size):
    specs = placed(image_of(12, 12), lambda c: 2 * c + 1)
    ds = open_dataset(write_imzml(path, specs, max_count=counts, pixel_size_um=(50.0, 50.0)))
    assert ds.pixel_size_um == size
    assert ("may be that many times larger" in step_warnings(ds)[0]) == (counts is None)


def test_stage_steps_leave_the_pixel_size_alone(path):
    specs = placed(image_of(12, 12), lambda c: 5000 + 50 * c, lambda r: 200 * r)
    ds = open_dataset(write_imzml(path, specs, max_count=(5550, 2200), pixel_size_um=(50.0, 200.0)))
    assert ds.pixel_size_um == (50.0, 200.0)


def test_z_of_some_spectra_only(path):
    specs = placed(image_of(6, 5), z=1)
    for spec in specs[::3]:
        spec.z = None
    ds = open_dataset(write_imzml(path, specs))
    assert ds.z_planes == [1]
    assert ds.mask.all()
    (line,) = ds.warnings
    assert "10 spectra have no z" in line
    assert "part of z = 1" in line


def test_z_of_one_of_two_planes_only(path):
    ds = open_dataset(write_imzml(path, [*placed(image_of(6, 5)), *placed(image_of(6, 5, seed=1), z=1)]))
    assert ds.z_planes == [1, 2]
    assert [ds.plane(z).mask.sum() for z in ds.z_planes] == [30, 30]
    assert any("30 spectra have no z" in line and "plane of their own, z = 0" in line for line in ds.warnings)


def test_z_of_negative_planes(path):
    specs = [*placed(image_of(3, 3)), *placed(image_of(3, 3), z=-2)]
    ds = open_dataset(write_imzml(path, specs))
    assert ds.z_planes == [1, 2]
    assert any("a plane of their own, z = -3" in line for line in ds.warnings)


@pytest.mark.parametrize("by", [2, 4, 13])
def test_inexact_stage_positions_are_said_to_be_no_pixels(path, by):
    rng = np.random.default_rng(0)
    specs = placed(image_of(20, 20), lambda c: 30 * c + int(rng.integers(by)), lambda r: 30 * r + int(rng.integers(by)))
    ds = open_dataset(write_imzml(path, specs))
    assert ds.coordinate_step == (1, 1, 1)
    assert any("pixels have no measured neighbour" in line for line in ds.warnings)


@pytest.mark.parametrize("pitch", [3.5, 33.3333, 12.7])
def test_rounded_steps_of_a_fractional_pitch_are_not_divided(path, pitch):
    # 0, 3, 7, 10, 14 have no common step: dividing them would leave holes where nothing is missing.
    specs = placed(image_of(12, 12), lambda c: round(pitch * c), lambda r: round(pitch * r))
    ds = open_dataset(write_imzml(path, specs))
    assert ds.coordinate_step == (1, 1, 1)
    assert any("144 of 144 pixels have no measured neighbour" in line for line in ds.warnings)


def test_two_regions_of_a_stage_may_have_offsets_of_their_own(path):
    images = image_of(20, 12), image_of(15, 15, seed=1)
    specs = placed(images[0], lambda c: 500 + 50 * c, lambda r: 700 + 50 * r)
    specs += placed(images[1], lambda c: 4013 + 50 * c, lambda r: 1231 + 50 * r)
    ds = open_dataset(write_imzml(path, specs))
    assert ds.coordinate_step[:2] == (50, 50)
    assert "2 different offsets from the steps in x were rounded off; 2 different" in step_warnings(ds)[0]
    assert [(r.width, r.height) for r in ds.regions] == [(20, 12), (15, 15)]
    for number, image in enumerate(images, 1):
        np.testing.assert_allclose(ds.region(number).ion_images(100.0, ppm=5)[0], image, rtol=1e-6)


def test_exchanged_counts_and_counts_of_occupied_columns(path):
    specs = placed(image_of(9, 5))
    swapped = open_dataset(write_imzml(path, specs, max_count=(5, 9)))
    assert any("9 columns where the header declares 5" in line for line in swapped.warnings)
    specs = [spec for spec in specs if spec.x != 4]
    (line,) = open_dataset(write_imzml(path, specs, max_count=(8, 5))).warnings
    assert line.startswith("1 column within")


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 2), (7, 3), (1, 40), (33, 20)])
@pytest.mark.parametrize("origin", [0, 1, 4000, -13])
def test_plain_grids_give_no_warning(path, width, height, origin):
    ds = open_dataset(write_imzml(path, placed(image_of(width, height), lambda c: origin + c, lambda r: origin + r)))
    assert (ds.shape, ds.warnings, ds.coordinate_step) == ((height, width), [], (1, 1, 1))


def test_positions_without_any_order_are_refused(path):
    rng = np.random.default_rng(0)
    specs = [Spec(int(x), int(y), [100.0], [1.0]) for x, y in rng.integers(0, 10**6, (100, 2))]
    with pytest.raises(FileError, match=r"pixels \(width x height\) for 100 spectra; the limit is"):
        open_dataset(write_imzml(path, specs))


def test_missing_lines_are_counted(path):
    rng = np.random.default_rng(0)
    specs = placed(image_of(30, 25))
    rows, columns = {5, 9, 10}, {3, 20}
    kept = [spec for spec in specs if spec.y not in rows and spec.x not in columns]
    (line,) = open_dataset(write_imzml(path, kept)).warnings
    assert line.startswith("3 rows and 2 columns within the section hold no spectrum")
    (line,) = open_dataset(write_imzml(path, [spec for spec in specs if spec.x != 7])).warnings
    assert line.startswith("1 column within the section")
    # Lines between regions, and lines that random spots miss, are no missing lines.
    apart = [spec for spec in specs if not 8 <= spec.y <= 12]
    assert open_dataset(write_imzml(path, apart)).warnings == []
    # Nor are those between the section and a fragment beside it.
    beside = [*specs, Spec(40, 28, [100.0], [1.0])]
    assert open_dataset(write_imzml(path, beside)).warnings == []
    spots = [specs[i] for i in rng.choice(len(specs), 40, replace=False)]
    assert open_dataset(write_imzml(path, spots)).warnings == []


@pytest.mark.parametrize("n_strays", [1, 5])
def test_stray_pixels_that_widen_the_grid_are_counted(path, n_strays):
    specs = placed(image_of(20, 25))
    strays = [Spec(500 + 40 * k, 300, [100.0], [1.0]) for k in range(n_strays)]
    ds = open_dataset(write_imzml(path, [*specs, *strays]))
    (line,) = ds.warnings
    assert line.startswith(f"{n_strays} stray pixel{'s lie' if n_strays > 1 else ' lies'} far from the rest")
    assert "from 20 x 25 to" in line
    np.testing.assert_allclose(ds.region(1).ion_images(100.0, ppm=5)[0], image_of(20, 25), rtol=1e-6)
    beside = open_dataset(write_imzml(path, [*specs, Spec(25, 26, [100.0], [1.0])]))
    assert beside.warnings == []
