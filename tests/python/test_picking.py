from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet.io.imzml_writer import ImzMLWriter
from ionmorphnet.models.labels import PROBABILITY_COLUMNS, STATISTICS
from ionmorphnet.picking.run_record import Counts

CONTRACT = ["rank", "mz", "mz_lo", "mz_hi", "score", "label", *PROBABILITY_COLUMNS]


@pytest.fixture(scope="module")
def peaks(section: Path) -> imn.PeakList:
    return imn.pick(imn.open(section), top=15)


def test_the_contract_s_columns(peaks: imn.PeakList) -> None:
    frame = peaks.to_frame()
    assert list(frame.columns)[: len(CONTRACT)] == CONTRACT
    assert list(frame["rank"]) == list(range(1, 16))
    assert frame["score"].is_monotonic_decreasing
    assert (frame["mz_lo"] <= frame["mz"]).all()
    assert (frame["mz"] <= frame["mz_hi"]).all()
    assert len(peaks) == 15
    assert len(peaks.all_scores) > 15
    assert "15 of" in repr(peaks)


def test_scores_are_those_of_the_channels_images(section: Path, peaks: imn.PeakList) -> None:
    """The streaming loop gives what binning and score_images give one after the other."""
    with imn.open(section) as ds:
        f32 = imn.pick(ds, top=15, precision="f32")
        images = f32.ion_images()
        direct = imn.score_images(images, ds.mask, precision="f32")
        assert images.shape == (15, *ds.shape)
    assert np.allclose(direct["score"], f32.to_frame()["score"], atol=1e-4)


@pytest.mark.parametrize("scorer", ["moran", "auto"])
def test_strips_and_threads_do_not_change_the_result(section: Path, scorer: str) -> None:
    one = imn.pick(section, top=9, scorer=scorer, precision="f32", device="cpu")
    pixels = 40 * 50
    limit = 4 * 4 * pixels * 7
    strips = imn.pick(section, top=9, scorer=scorer, precision="f32", device="cpu", memory_limit=limit, threads=1)
    assert strips.run.scoring_loop["strips"] >= 8
    assert one.run.scoring_loop["strips"] == 1
    pd.testing.assert_frame_equal(one.all_scores, strips.all_scores, atol=1e-4, rtol=0)


def test_a_limit_too_small_for_one_image_is_an_error(section: Path) -> None:
    with pytest.raises(imn.ArgumentError, match="memory limit"):
        imn.pick(section, top=9, scorer="moran", memory_limit=1000)


def test_cuts(section: Path) -> None:
    everything = imn.pick(section, scorer="moran", min_score=-2)
    assert len(everything) == len(everything.all_scores)
    middle = float(everything.all_scores["score"].median())
    both = imn.pick(section, scorer="moran", min_score=middle, top=4)
    assert len(both) == 4
    above = imn.pick(section, scorer="moran", min_score=middle)
    assert (above.to_frame()["score"] >= middle).all()
    assert (above.all_scores["score"][len(above) :] < middle).all()
    none = imn.pick(section, scorer="moran", min_score=2)
    assert len(none) == 0
    assert list(none.to_frame().columns) == list(none.all_scores.columns)


def test_the_model_s_threshold_is_the_default_cut(section: Path) -> None:
    peaks = imn.pick(section)
    threshold = imn.load_model().threshold
    assert peaks.run.parameters.threshold == threshold
    assert len(peaks) == (peaks.all_scores["score"] >= threshold).sum()


def test_a_classical_scorer_needs_a_cut(section: Path) -> None:
    with pytest.raises(imn.ArgumentError, match="no default threshold"):
        imn.pick(section, scorer="moran")


def test_a_given_list(section: Path) -> None:
    with imn.open(section) as ds:
        some = imn.candidate_axis(ds).mz[:5]
        peaks = imn.pick(ds, axis=some, ppm=5, scorer="moran", top=10)
        assert sorted(peaks.mz) == pytest.approx(sorted(some))
        same = imn.pick(ds, axis=imn.CandidateAxis.from_mz_list(some, ppm=5), scorer="moran", top=10)
        pd.testing.assert_frame_equal(peaks.all_scores, same.all_scores)
        for bad in ({"ppm": 5, "tol": 0.1}, {}, {"ppm": -1}):
            with pytest.raises(imn.ArgumentError):
                imn.pick(ds, axis=some, scorer="moran", top=3, **bad)
        with pytest.raises(imn.ArgumentError, match="its own windows"):
            imn.pick(ds, axis=imn.candidate_axis(ds), ppm=5, scorer="moran", top=3)
        with pytest.raises(imn.ArgumentError, match="m/z list"):
            imn.pick(ds, ppm=5, scorer="moran", top=3)


def test_informative_channels_come_first(section: Path, peaks: imn.PeakList) -> None:
    truth = pd.read_csv(section.with_name("small section_truth.csv"))
    structured = truth.loc[truth["structure"] >= 1, "mz"].to_numpy()  # the truth is a grade from 0 to 3
    for result in (peaks, imn.pick(section, scorer="moran", top=15)):
        found = [np.abs(structured / mz - 1).min() < 1e-5 for mz in result.mz[:10]]
        assert np.mean(found) >= 0.9


def test_exports_read_back(peaks: imn.PeakList, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs the extra [parquet]")
    pytest.importorskip("anndata", reason="needs the extra [anndata]")
    peaks.to_csv(tmp_path / "p.csv")
    peaks.to_parquet(tmp_path / "p.parquet")
    peaks.to_imzml(tmp_path / "p.imzML")
    csv = pd.read_csv(tmp_path / "p.csv", float_precision="round_trip")
    parquet = pd.read_parquet(tmp_path / "p.parquet")
    frame = peaks.to_frame()
    assert np.array_equal(csv["mz"], frame["mz"])
    assert np.array_equal(parquet["score"], frame["score"])
    images = peaks.ion_images()
    with imn.open(tmp_path / "p.imzML") as ds:
        assert ds.mode == "continuous"
        mz, _ = ds.spectrum(0)
        assert np.array_equal(mz, np.sort(peaks.mz))
        assert np.array_equal(ds.ion_images(peaks.mz, ppm=0.01), images, equal_nan=True)
    table = peaks.to_anndata()
    measured = ~np.isnan(images[0])
    assert table.shape == (measured.sum(), len(peaks))
    assert np.array_equal(table.X, images[:, measured].T)
    pixels = np.argwhere(measured)[:, ::-1]
    assert np.array_equal(table.obsm["spatial"], pixels * np.array(peaks.dataset.pixel_size_um))


def test_nothing_picked_cannot_become_an_imzml(section: Path, tmp_path: Path) -> None:
    none = imn.pick(section, scorer="moran", min_score=2)
    with pytest.raises(imn.ArgumentError, match="nothing to write"):
        none.to_imzml(tmp_path / "p.imzML")
    none.report(tmp_path / "r.html")
    assert (tmp_path / "r.html").stat().st_size > 1000
    assert [path.name for path in tmp_path.iterdir()] == ["r.html"]


def test_interrupt_stops_and_the_next_pick_works(section: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        imn.pick(section, top=3, progress=stop)
    assert len(imn.pick(section, top=3)) == 3


@pytest.mark.parametrize(
    "bad",
    [
        {"top": 0},
        {"top": 2.5},
        {"top": "3"},
        {"min_score": float("nan")},
        {"min_score": "a"},
        {"memory_limit": "much"},
        {"axis": "x"},
        {"scorer": None},
        {"device": None},
    ],
)
def test_arguments_that_cannot_be_meant(section: Path, bad: dict) -> None:
    with pytest.raises(imn.ArgumentError):
        imn.pick(section, **{"top": 3, "scorer": "moran", **bad})


def test_a_name_that_is_not_public_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute"):
        _ = imn.nonsense


def test_the_record_says_how_the_file_was_opened(tmp_path: Path) -> None:
    path = tmp_path / "planes.imzML"
    with ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        for z in (1, 2):
            for x in range(1, 7):
                for y in range(1, 6):
                    writer.add(x + 10, y, [100.0, 200.0], [x * z, y], z=z)
    with imn.open(path, duplicates="sum") as ds:
        with pytest.raises(imn.ArgumentError, match="2 z planes"):
            imn.pick(ds, top=1, scorer="moran")
        peaks = imn.pick(ds.plane(2), top=10**30, scorer="moran")
    record = peaks.run.input
    assert record.z == 2
    assert record.coordinate_origin == (11, 1, 1)
    assert record.opened_with["duplicates"] == "sum"
    assert record.uuid
    assert list(peaks.to_frame()["scorer"]) == ["moran", "moran"]


def test_a_dataset_pickles_from_any_folder(section: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(section.parent)
    with imn.open(section.name) as ds:
        pickled = pickle.dumps(ds)
        shape = ds.shape
    monkeypatch.chdir(tmp_path)
    with pickle.loads(pickled) as again:
        assert again.shape == shape


@pytest.fixture(scope="module")
def twins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A section whose channels, scattered over the m/z axis, are three images and an empty one, each four times."""
    path = tmp_path_factory.mktemp("twins") / "twins.imzML"
    mz = np.linspace(200, 500, 16)
    draw = np.random.default_rng(8)
    y, x = np.mgrid[:12, :14]
    planes = [draw.random((12, 14)) + 1.0 * (x > 6), draw.random((12, 14)), (x + y) / 10, np.zeros((12, 14))]
    order = draw.permutation(16) % 4
    with ImzMLWriter(path, mode="continuous", spectrum_type="centroid") as writer:
        for row, column in np.ndindex(12, 14):
            writer.add(column + 1, row + 1, mz, [planes[k][row, column] for k in order])
    return path


@pytest.mark.parametrize("scorer", ["auto", "moran"])
@pytest.mark.parametrize("top", [3, 10])
def test_equal_scores_rank_by_ascending_mz(twins: Path, scorer: str, top: int) -> None:
    # f32 on one thread or many: images of a batch do not touch each other, so equal images score equally
    peaks = imn.pick(twins, top=top, scorer=scorer, precision="f32", axis="bins", threads=2)
    scores = peaks.all_scores
    assert scores["score"].nunique() == 4
    expected = scores.sort_values(["score", "mz"], ascending=[False, True], kind="stable")
    assert list(scores["mz"]) == list(expected["mz"])
    assert list(peaks.mz) == list(expected["mz"][:top])
    assert list(scores["rank"]) == list(range(1, 17))


def test_empty_channels_are_counted_and_come_last(twins: Path) -> None:
    peaks = imn.pick(twins, min_score=-9, axis="bins")
    assert peaks.run.counts == Counts(candidates=16, blank=4, spared=0, picked=16)
    assert (peaks.all_scores["score"][12:] == 0).all()
    assert (peaks.all_scores["label"][12:] == "unstructured").all()


def test_a_model_with_structure_and_statistics(section: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="builds models with onnx, of the extra [train]")
    from model_factory import write_model

    write_model(tmp_path / "m", structure=True, statistics=STATISTICS, preprocessing="p99-stretch-224-mask")
    small = {"memory_limit": 4 * 4 * 40 * 50 * 7, "threads": 1}
    one, strips = (imn.pick(section, top=9, model=tmp_path / "m", precision="f32", **more) for more in ({}, small))
    pd.testing.assert_frame_equal(one.all_scores, strips.all_scores, atol=1e-4, rtol=0)
    assert list(one.to_frame().columns)[: len(CONTRACT) + 1] == [*CONTRACT, "structure"]
    np.testing.assert_allclose(one.all_scores["score"], one.all_scores["structure"] / 3)
    assert one.run.model.statistics == STATISTICS
    assert one.run.model.outputs == ("logits", "structure")
    assert one.run.scoring_loop["statistics_s"] >= 0
    assert one.run.score == "calibrated structure estimate (0 to 1)"
    with imn.open(section) as ds:
        direct = imn.score_images(one.ion_images(), ds.mask, model=tmp_path / "m", precision="f32")
    np.testing.assert_allclose(direct["structure"], one.to_frame()["structure"], atol=1e-4)
    one.to_csv(tmp_path / "p.csv")
    csv = pd.read_csv(tmp_path / "p.csv", float_precision="round_trip")
    np.testing.assert_array_equal(csv["structure"], one.to_frame()["structure"])
    one.report(tmp_path / "r.html")
    assert '"structure":[' in (tmp_path / "r.html").read_text(encoding="utf-8")
