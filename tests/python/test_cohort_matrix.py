"""Feature matrices of sections and cohorts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn

anndata = pytest.importorskip("anndata")
zarr = pytest.importorskip("zarr")

from ionmorphnet.cohort.matrix import CHUNK, join_matrices, write_section_matrix  # noqa: E402


def make_section(path: Path, rng, width=20, height=12, n=50, hole=True):
    mz = np.linspace(200.0, 600.0, n)
    with imn.ImzMLWriter(path, mode="continuous", spectrum_type="centroid", pixel_size_um=(10.0, 20.0)) as writer:
        positions = [(x, y, 1) for y in range(1, height + 1) for x in range(1, width + 1) if not (hole and x == y)]
        writer.add_shared(np.array(positions), mz, rng.random((len(positions), n)).astype(np.float32))
    return path, imn.CandidateAxis.from_mz_list(mz, ppm=10)


def var_of(axis):
    return pd.DataFrame({"mz": axis.mz}, index=[f"{mz:.4f}" for mz in axis.mz])


def written(tmp_path, rng, name, **shape):
    path, axis = make_section(tmp_path / f"{name}.imzML", rng, **shape)
    with imn.open(path) as ds:
        part = write_section_matrix(
            ds,
            axis,
            tmp_path / f"{name}.zarr",
            var=var_of(axis),
            sample=name,
            columns={"patient": f"p-{name}"},
            facts={"source": str(path)},
        )
        images = ds.window_images(axis.mz_lo, axis.mz_hi)[:, ds.mask].T
    return part, images


def test_a_section_is_read_by_anndata(tmp_path, rng):
    part, images = written(tmp_path, rng, "a")
    table = anndata.read_zarr(part.path)
    np.testing.assert_array_equal(table.X, images)
    np.testing.assert_allclose(part.means, images.mean(axis=0), rtol=1e-6)
    assert table.shape == (part.n_pixels, 50)
    assert table.obs_names[0] == "a:0_1"
    assert (table.obs["patient"] == "p-a").all()
    np.testing.assert_array_equal(
        table.obsm["spatial"], table.obs[["x"]].to_numpy() * [[10, 0]] + table.obs[["y"]].to_numpy() * [[0, 20]]
    )
    assert table.uns["source"].endswith("a.imzML")


def test_sections_below_each_other(tmp_path, rng):
    parts = [written(tmp_path, rng, name, width=width) for name, width in (("a", 20), ("b", 31), ("c", 3))]
    n = join_matrices(tmp_path / "cohort.zarr", [part.path for part, _ in parts])
    table = anndata.read_zarr(tmp_path / "cohort.zarr")
    np.testing.assert_array_equal(table.X, np.concatenate([images for _, images in parts]))
    assert n == len(table) == sum(part.n_pixels for part, _ in parts)
    assert table.obs_names.is_unique
    assert list(table.obs["sample"].cat.categories) == ["a", "b", "c"]
    assert table.obs["patient"].value_counts().to_dict() == {
        f"p-{s}": p.n_pixels for s, (p, _) in zip("abc", parts, strict=True)
    }
    assert table.uns["sections"].loc["b", "source"].endswith("b.imzML")


def test_chunks_meet_across_sections(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("ionmorphnet.cohort.matrix.CHUNK", (100, 7))
    parts = [written(tmp_path, rng, name) for name in "ab"]
    join_matrices(tmp_path / "cohort.zarr", [part.path for part, _ in parts], memory_limit=4 * 2 * 4 * 100 * 7)
    x = zarr.open_array(tmp_path / "cohort.zarr" / "X", mode="r")
    assert x.chunks == (100, 7)
    np.testing.assert_array_equal(x[:], np.concatenate([images for _, images in parts]))


def test_a_limit_that_is_too_small_names_the_one_needed(tmp_path, rng):
    path, axis = make_section(tmp_path / "s.imzML", rng)
    with imn.open(path) as ds, pytest.raises(imn.ArgumentError, match="38 channels of it need a memory limit of"):
        write_section_matrix(
            ds, axis, tmp_path / "s.zarr", var=var_of(axis), sample="s", columns={}, facts={}, memory_limit=1000
        )
    assert not (tmp_path / "s.zarr").exists()
    assert not list(tmp_path.glob(".tmp*"))


def test_other_channels_are_refused(tmp_path, rng):
    one, _ = written(tmp_path, rng, "a")
    other, _ = written(tmp_path, rng, "b", n=40)
    with pytest.raises(imn.ArgumentError, match=r"b\.zarr: has other channels"):
        join_matrices(tmp_path / "cohort.zarr", [one.path, other.path])


def test_a_damaged_store_is_named(tmp_path, rng):
    one, _ = written(tmp_path, rng, "a")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(imn.FileError, match=r"empty\.zarr: not a readable matrix"):
        join_matrices(tmp_path / "cohort.zarr", [one.path, tmp_path / "empty.zarr"])
    with pytest.raises(imn.ArgumentError, match="no sections"):
        join_matrices(tmp_path / "cohort.zarr", [])


def test_a_store_is_replaced_and_other_folders_are_not(tmp_path, rng):
    first, _ = written(tmp_path, rng, "a")
    again, images = written(tmp_path, rng, "a")
    assert first.path == again.path
    np.testing.assert_array_equal(anndata.read_zarr(again.path).X, images)
    (tmp_path / "mine.zarr").mkdir()
    (tmp_path / "mine.zarr" / "notes.txt").write_text("mine")
    with pytest.raises(imn.FileError, match="is not a Zarr store"):
        join_matrices(tmp_path / "mine.zarr", [first.path])
    assert not list(tmp_path.glob(".tmp*"))


def test_chunks_are_narrow():
    assert CHUNK == (7500, 38)
