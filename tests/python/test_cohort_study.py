"""From picked sections to common channels and one matrix."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.cohort import find_consensus, run, write_matrix
from ionmorphnet.cohort.consensus_files import read_consensus
from ionmorphnet.cohort.content import study_content

IONS = np.array([200.0, 300.1, 400.2, 500.3, 600.4, 700.5, 800.6, 900.7])
DRIFT = (0.0, 8.0, -6.0)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three picked sections of processed centroids with mass drift; section 2 lacks the last ion."""
    root = tmp_path_factory.mktemp("study")
    rng = np.random.default_rng(0)
    for k, drift in enumerate(DRIFT):
        ions = (IONS if k != 2 else IONS[:-1]) * (1 + drift * 1e-6)
        with imn.ImzMLWriter(
            root / f"s{k}.imzML", mode="processed", spectrum_type="centroid", pixel_size_um=(20.0, 20.0)
        ) as writer:
            for y in range(1, 11):
                for x in range(1, 13 + k):
                    mz = np.sort(ions * (1 + rng.normal(0, 0.3e-6, len(ions))))
                    writer.add(x, y, mz, (rng.gamma(9.0, 1 / 9, len(ions)) * (1 + k) * np.arange(1, len(ions) + 1)))
    (root / "samples.csv").write_text("path,sample,patient\ns0.imzML,a,p0\ns1.imzML,b,p1\ns2.imzML,c/d,p2\n")
    assert not run(root / "samples.csv", root / "out", scorer="moran", top=3).failed
    return root


def test_the_consensus_is_free_of_drift_and_read_again_without_loss(study):
    found = find_consensus(study / "out", min_share=0.5)
    np.testing.assert_allclose(found.channels["mz"], IONS, rtol=1.5e-6)
    assert found.sections == ("a", "b", "c/d")
    assert found.channels["n_present"].tolist() == [3] * 7 + [2]
    middle = np.array([each.at(500.0) for each in found.drift])
    np.testing.assert_allclose(middle - middle[0], DRIFT, atol=0.5)
    again = read_consensus(study / "out" / "consensus")
    pd.testing.assert_frame_equal(again.channels, found.channels)
    np.testing.assert_array_equal(again.members, found.members)
    assert again.sections == found.sections
    for one, other in zip(again.drift, found.drift, strict=True):
        np.testing.assert_array_equal(one.at(IONS), other.at(IONS))
    members = pd.read_csv(study / "out/consensus/members.csv")
    assert len(members) == 23
    assert set(members.columns) >= {"channel", "section", "mz", "score", "picked", "label"}


def test_names_of_sections_are_texts_even_if_they_look_like_numbers(study, tmp_path):
    names = ["007", "1e3", "NA"]
    lines = [f"{study / f's{k}.imzML'},{name}" for k, name in enumerate(names)]
    (tmp_path / "samples.csv").write_text("\n".join(["path,sample", *lines]) + "\n")
    assert not run(tmp_path / "samples.csv", tmp_path / "out", scorer="moran", top=3).failed
    found = find_consensus(tmp_path / "out", min_share=0.5)
    again = read_consensus(tmp_path / "out" / "consensus")
    assert again.sections == tuple(names)
    np.testing.assert_array_equal(again.members, found.members)
    table = study_content(tmp_path / "out", (), with_means=False).sections.set_index("section")
    assert {name: table["n_picked"][name] for name in names} == dict.fromkeys(names, 3)


def test_the_matrix_holds_every_pixel_in_its_own_windows(study):
    anndata = pytest.importorskip("anndata")
    pytest.importorskip("zarr")
    find_consensus(study / "out", min_share=0.5)
    written = write_matrix(study / "out")
    table = anndata.read_zarr(written.path)
    assert table.shape == (10 * (12 + 13 + 14), 8)
    for k, name in enumerate(["a", "b", "c/d"]):
        ions = (IONS if k != 2 else IONS[:-1]) * (1 + DRIFT[k] * 1e-6)
        with imn.open(study / f"s{k}.imzML") as ds:
            images = ds.ion_images(ions, ppm=3)[:, ds.mask].T
        mine = np.asarray(table[table.obs["sample"] == name].X)
        assert (mine[:, : len(ions)] == images).mean() > 0.997  # the rest lies at the edge of a window
    assert (np.asarray(table[table.obs["sample"] == "c/d"].X)[:, 7] == 0).all()
    assert table.obs.loc["b:0_0", "patient"] == "p1"
    means = pd.read_csv(study / "out/means.csv")
    assert means["section"].tolist() == ["a", "b", "c/d"]
    values = means.iloc[:, 3:].to_numpy(np.float64)
    np.testing.assert_allclose(values[1] / values[0], 2.0, rtol=0.15)
    assert means["n_pixels"].tolist() == [120, 130, 140]


def test_normalised_sections_are_on_one_scale(study):
    pytest.importorskip("zarr")
    find_consensus(study / "out", min_share=0.5)
    means = write_matrix(study / "out", normalize="tic").means
    values = means.iloc[:, 3:].to_numpy(np.float64)
    np.testing.assert_allclose(values[0], values[1], rtol=0.1)  # b is twice as bright as a
    again = write_matrix(study / "out", normalize="tic").means
    pd.testing.assert_frame_equal(again, means)


def test_isotopes_are_flagged(tmp_path):
    pytest.importorskip("zarr")
    rng = np.random.default_rng(1)
    mz = np.array([500.0, 501.0033548, 600.0, 601.0033548])
    for k in range(2):
        with imn.ImzMLWriter(tmp_path / f"s{k}.imzML", mode="continuous", spectrum_type="centroid") as writer:
            y, x = np.mgrid[1:16, 1:16]
            base = rng.gamma(2.0, 1.0, (225, 2))
            values = np.stack([base[:, 0], 0.3 * base[:, 0], base[:, 1], rng.gamma(2.0, 1.0, 225)], axis=1)
            writer.add_shared(np.stack([x.ravel(), y.ravel(), 0 * x.ravel() + 1], axis=1), mz, values)
    run([tmp_path / "s0.imzML", tmp_path / "s1.imzML"], tmp_path / "out", scorer="moran", top=3)
    find_consensus(tmp_path / "out")
    found = write_matrix(tmp_path / "out").relatives
    assert found[["lighter", "heavier", "relation"]].to_numpy().tolist() == [[0, 1, "13C isotope"]]
    written = pd.read_csv(tmp_path / "out/consensus/relatives.csv")
    assert written[["lighter", "heavier"]].to_numpy().tolist() == [[1, 2]]
    assert written["correlation"][0] > 0.99


def test_what_is_done_is_not_read_again(study, monkeypatch):
    pytest.importorskip("zarr")
    find_consensus(study / "out", min_share=0.5)
    write_matrix(study / "out")
    monkeypatch.setattr("ionmorphnet.cohort.study.write_section_matrix", None)
    assert write_matrix(study / "out").n_pixels == 390
    find_consensus(study / "out", min_share=0.9)
    with pytest.raises(TypeError):
        write_matrix(study / "out")


def test_a_study_that_moved_and_has_a_new_column(study, tmp_path):
    anndata = pytest.importorskip("anndata")
    pytest.importorskip("zarr")
    here = Path(shutil.copytree(study, tmp_path / "before"))
    assert not run(here / "samples.csv", here / "out", scorer="moran", top=3).failed
    find_consensus(here / "out", min_share=0.5)
    expected = anndata.read_zarr(write_matrix(here / "out").path)
    there = here.rename(tmp_path / "after")
    listed = there / "samples.csv"
    listed.write_text("path,sample,patient,batch\ns0.imzML,a,p0,x\ns1.imzML,b,p1,y\ns2.imzML,c/d,p2,x\n")
    assert [each.why for each in run(listed, there / "out", scorer="moran", top=3).planned] == [
        "done; new columns and place"
    ] * 3
    table = anndata.read_zarr(write_matrix(there / "out").path)
    np.testing.assert_array_equal(table.X, expected.X)
    assert table.obs.groupby("sample", observed=True)["batch"].unique().map(list).to_dict() == {
        "a": ["x"], "b": ["y"], "c/d": ["x"],
    }  # fmt: skip
    assert list(pd.read_csv(there / "out/means.csv")["batch"]) == ["x", "y", "x"]
    shutil.rmtree(there / "out/matrix")
    page = imn.cohort.report(there / "out").read_text(encoding="utf-8")
    assert "no such file" not in page.lower()


def test_folders_that_hold_nothing(tmp_path):
    with pytest.raises(imn.FileError, match="holds no manifest"):
        find_consensus(tmp_path)
    with pytest.raises(imn.FileError, match="holds no complete consensus"):
        write_matrix(tmp_path)
