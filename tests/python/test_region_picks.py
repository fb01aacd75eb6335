"""Sections side by side on one slide, on their way through pick, info, images and the outputs."""

from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml


def disc(shape, row, column, radius):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


CENTRES = ((10, 10), (12, 40), (36, 24))


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Three round sections: the first ion is bright in half of each, the second in the middle of the last one only."""
    rng = np.random.default_rng(0)
    shape = (50, 52)
    specs = []
    for k, (row, column) in enumerate(CENTRES):
        for y, x in np.argwhere(disc(shape, row, column, 9)):
            middle = float(k == 2 and (y - row) ** 2 + (x - column) ** 2 < 16)
            values = [10.0 * (x > column) + rng.uniform(), 10 * middle + 0.1 * rng.uniform(), rng.uniform(1, 2)]
            specs.append(Spec(int(x) + 1, int(y) + 1, [200.1, 300.2, 400.3], values))
    specs.append(Spec(52, 1, [200.1, 300.2, 400.3], [1.0, 1.0, 1.0]))
    path = tmp_path_factory.mktemp("slide") / "slide.imzML"
    return write_imzml(path, specs, shared_axis=True, pixel_size_um=(20.0, 60.0))


PICK = {"scorer": "moran", "top": 3, "axis": "bins"}


def test_each_region_gets_a_result(slide, tmp_path):
    (outcome,) = imn.pick_files([slide], tmp_path, regions="each", report=True, **PICK)
    assert outcome.ok, outcome.message
    assert [part.folder.name for part in outcome.picked] == [f"slide_region{k}" for k in (1, 2, 3)]
    with imn.open(slide) as ds:
        for number, part in enumerate(outcome.picked, 1):
            table = pd.read_csv(part.folder / "peaks.csv", float_precision="round_trip")
            assert table["region"].tolist() == [number] * len(table)
            record = json.loads((part.folder / "run.json").read_text())["input"]
            assert record["region"] == number
            own = ds.region(number)
            assert (record["height"], record["width"], record["n_spectra"]) == (*own.shape, own.n_spectra)
            expected = imn.pick(own, **PICK)
            np.testing.assert_array_equal(table["score"], expected.to_frame()["score"])
            again = imn.open_run(part.folder)
            assert again.ion_images().shape[1:] == own.shape
            assert f"region {number}" in (part.folder / "report.html").read_text()
    # The second ion is structured in the last section only.
    best = [part.peaks.to_frame().set_index("mz")["score"].loc[300.2] for part in outcome.picked]
    lower = next(r.number for r in imn.open(slide).regions if r.y0 > 20)
    assert int(np.argmax(best)) + 1 == lower


def test_one_region_of_the_slide(slide, tmp_path):
    (outcome,) = imn.pick_files([slide], tmp_path, regions=2, **PICK)
    assert [part.folder.name for part in outcome.picked] == ["slide_region2"]
    (missing,) = imn.pick_files([slide], tmp_path, regions=4, **PICK)
    assert re.search(r"slide\.imzML: has no region 4; it has 3", missing.message)
    for wrong in (0, "all", True, None):
        with pytest.raises(imn.ArgumentError, match="regions must be"):
            imn.pick_files([slide], tmp_path, regions=wrong, **PICK)


def test_regions_together_are_one_section_and_told_apart_in_the_outputs(slide, tmp_path):
    pytest.importorskip("anndata")
    (outcome,) = imn.pick_files([slide], tmp_path, formats="h5ad,imzml", report=True, **PICK)
    assert outcome.ok, outcome.message
    (part,) = outcome.picked
    assert part.folder.name == "slide"
    assert "region" not in pd.read_csv(part.folder / "peaks.csv")
    with imn.open(slide) as ds:
        table = part.peaks.to_anndata()
        np.testing.assert_array_equal(table.obs["region"], ds.region_map[ds.mask])
        assert sorted(table.obs["region"].unique()) == [0, 1, 2, 3]
        sizes = [r.n_pixels for r in ds.regions]
    page = (part.folder / "report.html").read_text()
    assert len(re.findall(r'class="region"', page)) == 3
    for size in sizes:
        assert f"{size:,} pixels, {size * 20 * 60 / 1e6:.3g} mm²" in page
    with imn.open(part.folder / "peaks.imzML") as back, imn.open(slide) as ds:
        np.testing.assert_array_equal(
            back.raw_coordinates[:, :2], ds.raw_coordinates[np.lexsort(ds.coordinates.T)][:, :2]
        )


def test_pick_on_the_command_line(cli, slide, tmp_path):
    done = cli("pick", slide, "-o", tmp_path, "--regions", "each", "--scorer", "moran", "--top", "2", "--axis", "bins")
    assert done.code == 0, done.stdout
    assert re.search(r"slide\.imzML region 2: 2 of 3 channels picked", done.stdout)
    assert (tmp_path / "slide_region3" / "peaks.csv").is_file()
    wrong = cli("pick", slide, "-o", tmp_path, "--regions", "both")
    assert wrong.code == 2
    assert "neither together nor each" in wrong.stderr


def test_info_lists_the_regions(cli, slide):
    text = cli("info", slide).stdout
    assert re.search(r"regions +1: \d+ pixels, 19 x 19 \(width x height\), from column \d+, row \d+", text)
    assert "1 pixel in no region" in text
    assert re.search(r"pixel size +20 x 60 µm \(width x height\)", text)
    found = json.loads(cli("info", slide, "--json").stdout)["positions"]
    with imn.open(slide) as ds:
        assert found["regions"]["1"] == [r.to_dict() for r in ds.regions]
        assert (found["width"], found["height"], found["n_pixels"]) == (51, 46, ds.mask.sum())
    assert found["left_out"] == 1
    assert found["pixel_size_um"] == [20.0, 60.0]


def test_info_without_an_ibd_says_what_it_could_not_read(cli, slide, tmp_path):
    copy = tmp_path / "alone.imzML"
    copy.write_bytes(slide.read_bytes())
    done = cli("info", copy)
    assert done.code == 0
    assert re.search(r"positions +not read: .*alone\.imzML.*ibd", done.stdout)


def test_images_of_one_region(cli, slide, tmp_path):
    done = cli("images", slide, "--mz", "200.1", "--ppm", "10", "--region", "1", "-o", tmp_path / "a.npz")
    assert done.code == 0, done.stdout
    with np.load(tmp_path / "a.npz") as saved, imn.open(slide) as ds:
        np.testing.assert_array_equal(saved["images"], ds.region(1).ion_images([200.1], ppm=10))


def test_regions_no_image_holds_are_picked_each(cli, tmp_path):
    mask = disc((20, 20), 9, 9, 8)
    rng = np.random.default_rng(0)
    specs = [
        Spec(int(x + off), int(y + off), [200.1, 300.2], [float(x), rng.uniform()])
        for off in (1, 60_000)
        for y, x in np.argwhere(mask)
    ]
    path = write_imzml(tmp_path / "far.imzML", specs, shared_axis=True)
    (together,) = imn.pick_files([path], tmp_path / "out", **PICK)
    assert re.search(r"far\.imzML: its 2 regions lie too far apart for one image.*--regions each", together.message)
    (each,) = imn.pick_files([path], tmp_path / "out", regions="each", **PICK)
    assert each.ok, each.message
    assert [part.peaks[0].mz for part in each.picked] == [200.1, 200.1]
    assert "2: " in cli("info", path).stdout


def test_positions_of_regions_with_offsets_of_their_own_are_those_of_the_file(tmp_path):
    pytest.importorskip("anndata")
    rng = np.random.default_rng(0)
    places = [(500 + 50 * c, 700 + 50 * r) for r in range(12) for c in range(20)]
    places += [(4013 + 50 * c, 1231 + 50 * r) for r in range(10) for c in range(15)]
    specs = [Spec(x, y, [200.1, 300.2], [float(x), rng.uniform()]) for x, y in places]
    path = write_imzml(tmp_path / "stage.imzML", specs, shared_axis=True)
    with imn.open(path) as ds:
        table = imn.pick(ds, **PICK).to_anndata()
        assert set(zip(table.obs["imzml_x"], table.obs["imzml_y"], strict=True)) == set(places)
        values = dict(
            zip(
                zip(table.obs["imzml_x"], table.obs["imzml_y"], strict=True),
                table[:, "200.100000"].X.ravel(),
                strict=True,
            )
        )
        assert all(values[x, y] == x for x, y in places)


@pytest.mark.parametrize(("size", "ratio"), [((25.0, 150.0), 1 / 6), ((150.0, 25.0), 6.0), ((20.0, 27.4), 20 / 27.4)])
def test_images_are_drawn_at_their_true_aspect(cli, tmp_path, size, ratio):
    specs = [Spec(x, y, [200.1], [float(x * y)]) for y in range(1, 13) for x in range(1, 41)]
    path = write_imzml(tmp_path / "a.imzML", specs, shared_axis=True, pixel_size_um=size)
    out = tmp_path / "a.png"
    assert cli("images", path, "--mz", "200.1", "--ppm", "10", "-o", out).code == 0
    colours = np.asarray(Image.open(out).convert("RGB")).astype(int)
    coloured = np.ptp(colours, axis=2) > 30
    # The ramp of the legend is 100 x 13 pixels; the image is what remains.
    rows = np.flatnonzero(coloured.sum(axis=1) > 0)
    top = rows[: int(np.flatnonzero(np.diff(rows) > 1)[0]) + 1]
    columns = np.flatnonzero(coloured[top].any(axis=0))
    drawn = (columns[-1] - columns[0] + 1) / len(top)
    assert drawn == pytest.approx(40 / 12 * ratio, rel=0.02)
