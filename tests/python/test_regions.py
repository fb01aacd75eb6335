"""Sections that lie side by side on one slide."""

from __future__ import annotations

import pickle
import random

import numpy as np
import pytest

from imzml_factory import Spec, write_imzml
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.io.dataset import open_dataset
from ionmorphnet.reference.regions import find_regions


@pytest.fixture
def path(tmp_path):
    return tmp_path / "slide.imzML"


def specs_of(mask, dx=1, dy=1, step=1):
    """One spectrum for each True pixel; its intensity tells its place."""
    rows, columns = np.nonzero(mask)
    return [
        Spec(int(dx + step * c), int(dy + step * r), [100.0], [float(1000 * r + c)])
        for r, c in zip(rows, columns, strict=True)
    ]


def disc(shape, row, column, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


@pytest.mark.parametrize("seed", range(12))
def test_regions_equal_those_of_a_flood(path, seed):
    rng = np.random.default_rng(seed)
    shape = (60, 90)
    mask = np.zeros(shape, dtype=bool)
    for _ in range(int(rng.integers(1, 8))):
        mask |= disc(shape, rng.integers(0, 60), rng.integers(0, 90), rng.integers(1, 12))
    mask &= rng.uniform(size=shape) < rng.uniform(0.3, 1)
    mask |= rng.uniform(size=shape) < 0.004
    mask[0, 0] = mask[-1, -1] = True
    specs = specs_of(mask)
    random.Random(seed).shuffle(specs)
    ds = open_dataset(write_imzml(path, specs))
    assert ds.shape == shape
    regions = ds.regions
    assert [(r.n_pixels, r.x0, r.y0, r.width, r.height) for r in regions] == find_regions(mask)
    assert [r.number for r in regions] == list(range(1, len(regions) + 1))
    numbers = ds.region_map
    assert not numbers[~mask].any()
    assert [(numbers == r.number).sum() for r in regions] == [r.n_pixels for r in regions]


@pytest.mark.parametrize("seed", range(4))
def test_reference_equals_components_of_a_neighbour_graph(seed):
    spatial, graph = pytest.importorskip("scipy.spatial"), pytest.importorskip("scipy.sparse.csgraph")
    sparse = pytest.importorskip("scipy.sparse")
    rng = np.random.default_rng(seed)
    mask = rng.uniform(size=(40, 50)) < (0.02 if seed % 2 else 0.06)
    mask |= disc(mask.shape, 15, 15, 6)
    at = np.argwhere(mask)
    pairs = spatial.cKDTree(at).query_pairs(3, p=np.inf, output_type="ndarray")
    edges = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), shape=(len(at), len(at)))
    _, component = graph.connected_components(edges, directed=False)
    sizes = np.sort(np.bincount(component))[::-1]
    expected = [n for i, n in enumerate(sizes) if i == 0 or n >= 16]
    assert [region[0] for region in find_regions(mask)] == expected


def five_cores():
    mask = np.zeros((70, 110), dtype=bool)
    for k, (row, column) in enumerate([(12, 12), (12, 50), (14, 92), (52, 20), (50, 70)]):
        mask |= disc(mask.shape, row, column, 11 - k)
    mask[33, 106] = mask[0, 0] = True  # single stray pixels
    return mask


def test_a_region_is_a_dataset_of_its_own(path):
    mask = five_cores()
    ds = open_dataset(write_imzml(path, specs_of(mask)))
    whole = ds.ion_images(100.0, ppm=5)[0]
    assert [r.number for r in ds.regions] == [1, 2, 3, 4, 5]
    for region in ds.regions:
        part = ds.region(region.number)
        box = np.s_[region.y0 : region.y0 + region.height, region.x0 : region.x0 + region.width]
        assert part.shape == (region.height, region.width)
        assert part.n_spectra == region.n_pixels == part.mask.sum()
        assert part.region_number == region.number
        np.testing.assert_array_equal(part.ion_images(100.0, ppm=5)[0], whole[box])
        np.testing.assert_array_equal(
            part.raw_coordinates, (part.coordinates - 1) * part.coordinate_step + part.coordinate_origin
        )
        assert f"region {region.number}" in repr(part)
        again = pickle.loads(pickle.dumps(part))
        assert (again.shape, again.region_number, again.n_spectra) == (part.shape, region.number, part.n_spectra)
        (own,) = part.regions
        assert (own.n_pixels, own.x0, own.y0, own.width, own.height) == (region.n_pixels, 0, 0, *part.shape[::-1])
    with pytest.raises(ArgumentError, match="no region 6; there are 5"):
        ds.region(6)


def test_pixels_of_a_neighbour_in_the_box_are_left_out(path):
    mask = np.zeros((40, 40), dtype=bool)
    mask[:, :6] = mask[:6, :] = True  # an L around a square
    mask[20:30, 20:30] = True
    ds = open_dataset(write_imzml(path, specs_of(mask)))
    outer = ds.region(1)
    assert outer.shape == (40, 40)
    assert outer.mask.sum() == 40 * 6 + 34 * 6
    assert not outer.mask[20:30, 20:30].any()


@pytest.mark.parametrize(("gap", "n_regions"), [(1, 1), (2, 1), (3, 2), (10, 2)])
@pytest.mark.parametrize("lines", [True, False])
def test_up_to_two_missing_lines_do_not_divide_a_section(path, gap, n_regions, lines):
    mask = np.ones((20, 24), dtype=bool)
    mask[9 : 9 + gap] = False
    ds = open_dataset(write_imzml(path, specs_of(mask if lines else mask.T)))
    assert len(ds.regions) == n_regions


def test_fragments_are_no_regions(path):
    mask = np.zeros((200, 300), dtype=bool)
    mask[:150, :140] = True  # 21,000 pixels: fragments have fewer than 21
    mask[160:164, 200:205] = True  # 20
    mask[180:183, 200:207] = True  # 21
    mask[190, 290] = True
    ds = open_dataset(write_imzml(path, specs_of(mask)))
    assert [r.n_pixels for r in ds.regions] == [21_000, 21]
    assert (ds.region_map > 0).sum() == 21_021


def test_a_tiny_file_is_one_region(path):
    ds = open_dataset(write_imzml(path, [Spec(x, x + 1, [100.0], [1.0]) for x in (1, 9, 30)]))
    assert [(r.number, r.n_pixels) for r in ds.regions] == [(1, 1)]


def test_planes_have_regions_of_their_own(path):
    mask = five_cores()
    specs = specs_of(mask)
    for spec in specs:
        spec.z = 1
    upper = specs_of(np.ones((10, 10)))
    for spec in upper:
        spec.z = 2
    ds = open_dataset(write_imzml(path, [*specs, *upper]))
    with pytest.raises(ArgumentError, match="2 z planes"):
        _ = ds.regions
    assert len(ds.plane(1).regions) == 5
    part = ds.plane(2).region(1)
    assert (part.plane_z, part.region_number, part.shape) == (2, 1, (10, 10))
    assert pickle.loads(pickle.dumps(part)).n_spectra == 100


@pytest.mark.parametrize("step", [1, 25])
def test_regions_far_apart_open_though_no_image_holds_them(path, step):
    mask = disc((30, 30), 14, 14, 12)
    specs = [*specs_of(mask, step=step), *specs_of(mask, 60_000 * step, 60_000 * step, step)]
    ds = open_dataset(write_imzml(path, specs))
    assert any("--regions each" in line for line in ds.warnings)
    assert [(r.n_pixels, r.width, r.height) for r in ds.regions] == 2 * [(mask.sum(), 25, 25)]
    for number in (1, 2):
        part = ds.region(number)
        shown = part.ion_images(100.0, ppm=5)[0]
        np.testing.assert_array_equal(np.isnan(shown), ~mask[2:27, 2:27])
        assert np.nansum(shown) == np.sum([1000.0 * r + c for r, c in np.argwhere(mask)])
        assert (np.diff(np.unique(part.raw_coordinates[:, 0])) == step).all()
    for read in (lambda: ds.mask, lambda: ds.tic_image(), lambda: ds.ion_images(100.0, ppm=5), lambda: ds.region_map):
        with pytest.raises(
            ArgumentError, match=r"2 regions lie too far apart.*--regions each \(Python: ds\.region\(k\)\)"
        ):
            read()


def test_a_far_stray_pixel_leaves_the_section_usable(path):
    specs = [*specs_of(np.ones((20, 20))), Spec(2_000_000, 2_000_000, [100.0], [1.0])]
    ds = open_dataset(write_imzml(path, specs))
    assert [r.n_pixels for r in ds.regions] == [400]
    assert ds.region(1).mask.all()


def test_scattered_pixels_far_apart_are_no_regions(path):
    rng = np.random.default_rng(0)
    specs = [*specs_of(np.ones((6, 6)))]
    specs += [Spec(int(x), int(y), [100.0], [1.0]) for x, y in rng.integers(10**5, 10**6, (200, 2))]
    with pytest.raises(FileError, match="the limit is"):
        open_dataset(write_imzml(path, specs))
