"""PeakList as a sequence, and as what an earlier run left in a folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn


@pytest.fixture(scope="module")
def peaks(section: Path) -> imn.PeakList:
    return imn.pick(section, top=12, precision="f32")


def test_iteration_and_positions(peaks: imn.PeakList) -> None:
    frame = peaks.to_frame()
    found = list(peaks)
    assert [peak.rank for peak in found] == list(frame["rank"])
    assert [peak.score for peak in found] == list(frame["score"])
    first, last = peaks[0], peaks[-1]
    assert isinstance(first, imn.Peak)
    assert (first.rank, last.rank) == (1, 12)
    assert first.label == frame["label"][0]
    assert first.probabilities.keys() == set(imn.CLASSES)
    assert sum(first.probabilities.values()) == pytest.approx(1)
    assert first.structure == frame["structure"][0]
    assert first.mz_lo <= first.mz <= first.mz_hi
    plain = imn.pick(peaks.dataset, scorer="moran", top=1)[0]
    assert (plain.label, plain.structure, plain.probabilities) == (None, None, {})
    for position in (12, -13):
        with pytest.raises(IndexError, match="of a list of 12"):
            peaks[position]


def test_parts_are_peak_lists_of_the_same_run(peaks: imn.PeakList) -> None:
    frame = peaks.to_frame()
    best = peaks[:3]
    assert list(best.mz) == list(peaks.mz[:3])
    assert len(best.all_scores) == len(peaks.all_scores)
    np.testing.assert_array_equal(best.ion_images(), peaks.ion_images(0, 3))
    label = frame["label"][0]
    of_class = peaks[frame["label"] == label]
    assert set(of_class.to_frame()["label"]) == {label}
    assert len(of_class) == (frame["label"] == label).sum()
    assert list(peaks[[7, 2]].to_frame()["rank"]) == [3, 8]  # the order stays that of rank
    assert len(peaks[[]]) == len(peaks[5:2]) == 0
    assert [peak.rank for peak in peaks[::5]] == [1, 6, 11]
    assert list(peaks[1:][0:2].to_frame()["rank"]) == [2, 3]
    features = of_class.to_frame(features=True)["moran"].to_numpy()
    every = peaks.to_frame(features=True)["moran"].to_numpy()
    np.testing.assert_array_equal(features, every[(frame["label"] == label).to_numpy()])
    with pytest.raises(IndexError, match="one entry per pick, 12, not 3"):
        peaks[np.array([True, False, True])]
    for wrong in ("mz", 1.5, None, [[1]], True):
        with pytest.raises(TypeError, match="positions, a slice or a boolean array"):
            peaks[wrong]


def test_a_notebook_shows_a_table(peaks: imn.PeakList) -> None:
    text = peaks._repr_html_()
    assert "<table" in text
    assert f"{peaks.mz[0]:.4f}" in text
    assert "p_structured" not in text
    assert "more" in imn.pick(peaks.dataset, scorer="moran", min_score=-2)._repr_html_()


def test_a_saved_run_opens_as_it_was(section: Path, peaks: imn.PeakList, tmp_path: Path) -> None:
    written = peaks.save(tmp_path / "run", formats="csv,imzml", report=True)
    assert {path.name for path in written} == {path.name for path in (tmp_path / "run").iterdir()}
    again = imn.open_run(tmp_path / "run")
    pd.testing.assert_frame_equal(again.all_scores, peaks.all_scores)
    pd.testing.assert_frame_equal(again.to_frame(), peaks.to_frame())
    assert again.run == peaks.run
    assert again.score_description == peaks.score_description
    np.testing.assert_array_equal(again.ion_images(), peaks.ion_images())  # the section is found again
    part = again[:2]
    part.save(tmp_path / "part")
    assert list(imn.open_run(tmp_path / "part").mz) == list(peaks.mz[:2])
    assert json.loads((tmp_path / "part" / "run.json").read_text())["counts"]["picked"] == 2


def test_an_empty_run_opens(section: Path, tmp_path: Path) -> None:
    imn.pick(section, scorer="moran", min_score=2).save(tmp_path)
    again = imn.open_run(tmp_path)
    assert len(again) == 0
    assert len(again.all_scores) > 0


def test_a_plane_opens_as_a_plane(two_planes: Path, tmp_path: Path) -> None:
    with imn.open(two_planes) as ds:
        peaks = imn.pick(ds.plane(2), scorer="moran", top=3)
        peaks.save(tmp_path)
        images = peaks.ion_images()
    np.testing.assert_array_equal(imn.open_run(tmp_path).ion_images(), images)
    with imn.open(two_planes) as ds:
        np.testing.assert_array_equal(imn.open_run(tmp_path, dataset=ds.plane(2)).ion_images(), images)
        for other in (ds.plane(1), ds):
            with pytest.raises(imn.FileError, match="is not the section that was picked"):
                imn.open_run(tmp_path, dataset=other)


def test_a_saved_run_does_not_depend_on_the_folder_it_was_made_in(
    section: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(section.parent)
    peaks = imn.pick(section.name, scorer="moran", top=2, threads=np.int64(2))
    peaks.save(tmp_path)
    monkeypatch.chdir(tmp_path)
    np.testing.assert_array_equal(
        imn.open_run(tmp_path).ion_images(), imn.pick(section, scorer="moran", top=2).ion_images()
    )


def test_another_section_is_refused(section: Path, two_planes: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved" / "x.imzML"
    moved.parent.mkdir()
    for suffix in (".imzML", ".ibd"):
        shutil.copyfile(section.with_suffix(suffix), moved.with_suffix(suffix))
    imn.pick(moved, scorer="moran", top=3).save(tmp_path / "run")
    for suffix in (".imzML", ".ibd"):
        shutil.copyfile(two_planes.with_suffix(suffix), moved.with_suffix(suffix))
    again = imn.open_run(tmp_path / "run")
    assert len(again) == 3  # the tables need no section
    with pytest.raises(imn.FileError, match=r"x\.imzML: is not the section that was picked"):
        again.ion_images()
    with imn.open(two_planes) as other, pytest.raises(imn.FileError, match="is not the section that was picked"):
        imn.open_run(tmp_path / "run", dataset=other)
    with imn.open(section) as right:
        assert imn.open_run(tmp_path / "run", dataset=right).ion_images().shape[0] == 3


def test_folders_that_are_no_run(section: Path, tmp_path: Path) -> None:
    with pytest.raises(imn.FileError, match="no such folder"):
        imn.open_run(tmp_path / "absent")
    with pytest.raises(imn.FileError, match=r"holds no run\.json"):
        imn.open_run(tmp_path)
    peaks = imn.pick(section, scorer="moran", top=3)
    peaks.save(tmp_path)
    record = json.loads((tmp_path / "run.json").read_text())
    for change, text in (({"schema": 99}, "schema 99"), ({"counts": None}, "not the record of a pick")):
        (tmp_path / "run.json").write_text(json.dumps({**record, **change}))
        with pytest.raises(imn.FileError, match=text):
            imn.open_run(tmp_path)
    peaks.save(tmp_path)
    imn.pick(section, scorer="blur", top=3).all_scores.to_csv(tmp_path / "scores.csv", index=False)
    with pytest.raises(imn.FileError, match="not of the same pick"):
        imn.open_run(tmp_path)


def test_a_csv_becomes_a_list(section: Path, peaks: imn.PeakList, tmp_path: Path) -> None:
    peaks.to_csv(tmp_path / "p.csv")
    with imn.open(section) as ds:
        again = imn.PeakList.from_csv(tmp_path / "p.csv", dataset=ds)
        pd.testing.assert_frame_equal(again.to_frame(), peaks.to_frame())
        np.testing.assert_array_equal(again.ion_images(), peaks.ion_images())
        again.report(tmp_path / "r.html")
    bare = imn.PeakList.from_csv(tmp_path / "p.csv")
    assert (bare.scorer, bare.run, len(bare)) == (peaks.scorer, None, 12)
    with pytest.raises(imn.ArgumentError, match="no section"):
        bare.ion_images()
    with pytest.raises(imn.ArgumentError, match="no record to save"):
        bare.save(tmp_path / "x")
    (tmp_path / "q.csv").write_text("mz,intensity\n1,2\n")
    with pytest.raises(imn.FileError, match=r"q\.csv: not a peak list: it lacks the column 'rank'"):
        imn.PeakList.from_csv(tmp_path / "q.csv")
    (tmp_path / "q.csv").write_text("rank,mz,mz_lo,mz_hi,score,label,scorer\n1,a,1,1,1,,moran\n")
    with pytest.raises(imn.FileError, match="column 'mz' does not hold numbers"):
        imn.PeakList.from_csv(tmp_path / "q.csv")
    with pytest.raises(imn.FileError, match=r"absent\.csv: No such file"):
        imn.PeakList.from_csv(tmp_path / "absent.csv")
