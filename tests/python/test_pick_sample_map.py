"""The sample map of a section: found in it, given to a pick, recorded and shown."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ionmorphnet as imn
from ionmorphnet.io.sample_maps import read_sample_map
from ionmorphnet.report.pictures import sample_text
from model_factory import write_model

Command = Callable[..., object]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> imn.simulation.SimulatedSection:
    path = tmp_path_factory.mktemp("sample map") / "simulated.imzML"
    return imn.simulate(path, shape=(44, 50), n_channels=240, outline=True, seed=4)


@pytest.fixture(scope="module")
def with_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that reads the sample map: its score is the mean of the map's channel."""
    folder = tmp_path_factory.mktemp("model") / "with map"
    write_model(folder, preprocessing="p99-area-64-mask-sample")
    return folder


def test_of_a_section(simulated: imn.simulation.SimulatedSection) -> None:
    with imn.open(simulated.path) as ds:
        found = imn.sample_map(ds)
        again = imn.sample_map(ds, imn.candidate_axis(ds), threads=1)
    assert found.map is not None
    assert np.array_equal(found.map, again.map)
    assert found.kind == "part"
    assert (found.map[~simulated.measured] == 0).all()
    assert 3 <= found.n_coherent < found.n_images <= 200
    inside = found.map > 0.5
    assert (inside & simulated.tissue).sum() > 0.93 * ((inside | simulated.tissue) & simulated.measured).sum()
    assert found.share == pytest.approx(found.map[simulated.measured].mean(), abs=1e-6)
    assert 0 <= found.noise < 0.4


def test_of_bins_without_frequency(tmp_path: Path) -> None:
    section = imn.simulate(
        tmp_path / "p.imzML", shape=(30, 34), n_channels=60, mode="continuous", spectrum_type="profile",
        resolving_power=1000, seed=2,
    )  # fmt: skip
    with imn.open(section.path) as ds:
        axis = imn.candidate_axis(ds, kind="bins")
        assert len(axis) > 400
        found = imn.sample_map(ds, axis)
    assert found.kind == "part"
    assert ((found.map > 0.5) == section.tissue).mean() > 0.93


def test_unknown(two_planes: Path) -> None:
    with imn.open(two_planes) as ds:
        with pytest.raises(imn.ArgumentError, match="plane"):
            imn.sample_map(ds)
        found = imn.sample_map(ds.plane(1))  # one coherent channel
    assert (found.map, found.kind, found.share, found.noise) == (None, "unknown", None, None)


def test_pick_with_a_model_that_reads_it(simulated: imn.simulation.SimulatedSection, with_map: Path) -> None:
    with imn.open(simulated.path) as ds:
        found = imn.sample_map(ds)
        picked = imn.pick(ds, model=with_map, precision="f32")
        given = imn.pick(ds, model=with_map, precision="f32", sample=found.map)
        off = imn.pick(ds, model=with_map, precision="f32", sample="none")
        half = imn.pick(ds, model=with_map, precision="f32", sample=np.full(ds.shape, 0.5))
    assert picked.sample.map is not None
    assert np.array_equal(picked.sample.map, found.map)
    record = picked.run.sample
    assert (record.kind, record.used, record.n_images) == ("part", True, found.n_images)
    assert record.share == round(found.share, 4)
    assert "sample" in picked.run.timings
    scores = [peaks.all_scores.sort_values("mz")["score"].to_numpy() for peaks in (picked, given, off, half)]
    assert np.array_equal(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])
    assert not np.allclose(scores[2], scores[3])  # unknown is 0.5 everywhere, a given map 0 where not measured
    assert [peaks.run.sample.kind for peaks in (given, off, half)] == ["given", "off", "given"]
    assert [peaks.run.sample.used for peaks in (given, off, half)] == [True, False, True]


def test_pick_with_a_model_that_does_not(simulated: imn.simulation.SimulatedSection, tmp_path: Path) -> None:
    write_model(tmp_path / "plain")
    picked = imn.pick(simulated.path, model=tmp_path / "plain", precision="f32")
    assert picked.sample is None
    assert picked.run.sample is None
    files = picked.save(tmp_path / "out", report=True)
    page = (tmp_path / "out" / "report.html").read_text()
    assert page.count("Sample map, probability of sample") == 1
    assert re.search(r"about \d+% of the measured pixels \(from \d+ of \d+ images", page)
    assert imn.open_run(tmp_path / "out").run.sample is None  # the pick did not depend on it
    assert len(files) == 4
    off = imn.pick(simulated.path, model=tmp_path / "plain", precision="f32", sample="none")
    off.save(tmp_path / "off", report=True)
    assert "Sample map, probability" not in (tmp_path / "off" / "report.html").read_text()
    assert imn.open_run(tmp_path / "off").run.sample.kind == "off"


def test_what_the_report_says() -> None:
    part = imn.SampleMap(np.ones((2, 2), np.float32), "part", 0.42, 0.9, 7.0, 0.13, 150, 40)
    say = "about 42% of the measured pixels (from 40 of 150 images; signal of its ions off the sample: "
    assert sample_text(part) == say + "up to 13% of a bright pixel)"
    assert sample_text(dataclasses.replace(part, noise=0.001)) == say + "next to none)"
    assert sample_text(dataclasses.replace(part, noise=None)) == say.partition(";")[0] + ")"
    assert "sample throughout" in sample_text(dataclasses.replace(part, kind="all"))
    assert sample_text(imn.SampleMap(None, "unknown")).startswith("unknown")


@pytest.mark.parametrize(
    ("sample", "text"),
    [
        ("never", "sample must be auto, none"),
        (np.ones((3, 3)), "shape"),
        (np.full((44, 44), 2.0), "from 0 to 1"),
    ],
)
def test_wrong_maps(simulated: imn.simulation.SimulatedSection, sample: object, text: str) -> None:
    with pytest.raises(imn.ArgumentError, match=text):
        imn.pick(simulated.path, scorer="moran", top=3, sample=sample)


def test_command(simulated: imn.simulation.SimulatedSection, with_map: Path, tmp_path: Path, cli: Command) -> None:
    shape = simulated.measured.shape
    np.save(tmp_path / "map.npy", np.linspace(0, 1, shape[0] * shape[1]).reshape(shape))
    options = ["--model", with_map, "--precision", "f32", "--top", "3"]
    for name, choice in {"found": "auto", "off": "none", "given": tmp_path / "map.npy"}.items():
        done = cli("pick", simulated.path, "-o", tmp_path / name, "--sample-map", choice, "--report", *options)
        assert done.code == 0, done
    runs = {
        name: json.loads((tmp_path / name / "simulated" / "run.json").read_text()) for name in ("found", "off", "given")
    }
    assert {name: run["sample"]["kind"] for name, run in runs.items()} == {
        "found": "part",
        "off": "off",
        "given": "given",
    }
    assert "by the map that was given" in (tmp_path / "given" / "simulated" / "report.html").read_text()

    np.save(tmp_path / "small.npy", np.ones((4, 5)))
    done = cli("pick", simulated.path, "-o", tmp_path / "x", "--sample-map", tmp_path / "small.npy", *options)
    assert done.code == 2
    assert "sample has shape (4, 5)" in done.stderr
    cli("pick", simulated.path, "-o", tmp_path / "x", "--sample-map", tmp_path / "no.npy").is_one_line_error("no.npy")


def test_files(tmp_path: Path) -> None:
    values = np.array([[0, 0.25], [0.5, 1]])
    np.save(tmp_path / "m.npy", values)
    assert np.array_equal(read_sample_map(tmp_path / "m.npy"), values.astype(np.float32))
    np.save(tmp_path / "b.npy", values > 0.3)
    assert np.array_equal(read_sample_map(tmp_path / "b.npy"), values > 0.3)
    Image.fromarray(np.uint8([[0, 255], [51, 102]])).save(tmp_path / "m.PNG")
    assert np.allclose(read_sample_map(tmp_path / "m.PNG"), [[0, 1], [0.2, 0.4]])
    Image.fromarray(np.uint16([[0, 65535], [13107, 26214]])).save(tmp_path / "deep.png")
    assert np.allclose(read_sample_map(tmp_path / "deep.png"), [[0, 1], [0.2, 0.4]])


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("m.txt", b"1", "must be a .npy or .png file"),
        ("m.npy", b"nonsense", "cannot be read"),
        ("m.png", b"nonsense", "not a picture"),
    ],
)
def test_files_that_are_no_maps(tmp_path: Path, name: str, content: bytes, text: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(imn.FileError, match=text):
        read_sample_map(tmp_path / name)
    np.save(tmp_path / "wrong.npy", np.full((3, 3), 2.0))
    with pytest.raises(imn.FileError, match=r"wrong.npy: .*from 0 to 1"):
        read_sample_map(tmp_path / "wrong.npy")
    np.save(tmp_path / "flat.npy", np.ones(3))
    with pytest.raises(imn.FileError, match="shape"):
        read_sample_map(tmp_path / "flat.npy")
    with pytest.raises(imn.FileError, match="No such file"):
        read_sample_map(tmp_path / "none.npy")
