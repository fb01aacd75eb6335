from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet import reference
from ionmorphnet.models.labels import STATISTICS
from ionmorphnet.scoring.classical import CLASSICAL_SCORERS


def test_one_row_an_image(images: np.ndarray) -> None:
    frame = imn.image_statistics(images)
    assert list(frame.columns) == list(STATISTICS)
    assert (frame.dtypes == np.float64).all()
    assert np.allclose(frame, reference.statistics.image_statistics(images.astype(np.float32)), atol=1e-5)
    assert np.allclose(frame.loc[2:], [[0, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]])
    assert np.array_equal(imn.image_statistics(images[1]), frame.loc[1:1])
    assert imn.image_statistics(np.zeros((0, 4, 4))).shape == (0, 6)


def test_what_hides_pixels(images: np.ndarray) -> None:
    mask = np.ones(images.shape[1:], bool)
    mask[:, :9] = False
    expected = imn.image_statistics(images, mask)
    assert not np.allclose(expected, imn.image_statistics(images))
    hidden = np.ma.masked_array(images, mask=np.broadcast_to(~mask, images.shape))
    assert np.array_equal(imn.image_statistics(hidden), expected)
    assert np.array_equal(imn.image_statistics(images, np.where(mask, 1.0, np.nan)), expected)
    assert np.array_equal(imn.image_statistics(images[:, :, 9:]), expected)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"images": np.zeros(5)}, "shape"),
        ({"images": np.zeros((1, 4, 4), complex)}, "real numbers"),
        ({"images": np.zeros((1, 4, 4)), "mask": np.ones((4, 5))}, "mask has shape"),
        ({"images": np.zeros((1, 4, 4)), "threads": -1}, "threads"),
    ],
)
def test_arguments_that_cannot_be_meant(arguments: dict, text: str) -> None:
    with pytest.raises(imn.ArgumentError, match=text):
        imn.image_statistics(**arguments)


def test_a_hot_pixel_changes_little(images: np.ndarray) -> None:
    hot = images[:1].copy()
    hot[0, 3, 3] = 1e6
    assert np.allclose(imn.image_statistics(hot), imn.image_statistics(images[:1]), atol=0.03)


@pytest.mark.parametrize("name", ["moran", "blur", "chaos", "blur_sqrt", "reliability"])
def test_the_scorers_are_the_statistics(name: str, images: np.ndarray, section: Path) -> None:
    frame = imn.score_images(images, scorer=name)
    assert np.array_equal(frame["score"], imn.image_statistics(images)[name])
    assert frame["score"][0] > frame["score"][1]
    assert frame["label"].isna().all()
    descriptions = {imn.make_scorer(scorer=other).description for other in CLASSICAL_SCORERS}
    assert len(descriptions) == 5
    peaks = imn.pick(section, top=8, scorer=name)
    assert peaks.run.scorer == peaks.scorer == name
    assert peaks.run.score in descriptions
    assert np.array_equal(peaks.to_frame(features=True)[name], peaks.to_frame()["score"])


def test_coverage_does_not_rank() -> None:
    with pytest.raises(imn.ArgumentError, match=r"not a ranking score; use moran, "):
        imn.make_scorer(scorer="coverage")


def test_features_of_the_picks(section: Path) -> None:
    peaks = imn.pick(section, top=7, scorer="moran")
    plain = peaks.to_frame()
    frame = peaks.to_frame(features=True)
    assert list(frame.columns) == [*plain.columns, *STATISTICS]
    pd.testing.assert_frame_equal(frame[plain.columns], plain)
    assert np.array_equal(frame[list(STATISTICS)], imn.image_statistics(peaks.ion_images()))
    frame["blur"] = 0.0  # a copy
    assert (peaks.to_frame(features=True)["blur"] > 0).all()


def test_images_are_taken_in_parts(section: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = imn.pick(section, top=7, scorer="moran").to_frame(features=True)
    monkeypatch.setattr("ionmorphnet.picking.exports._IMAGE_BYTES_AT_A_TIME", 3 * 4 * 40 * 50)
    parts = imn.pick(section, top=7, scorer="moran").to_frame(features=True)
    pd.testing.assert_frame_equal(parts, whole)


def test_features_of_no_pick(section: Path, tmp_path: Path) -> None:
    none = imn.pick(section, scorer="moran", min_score=2)
    frame = none.to_frame(features=True)
    assert list(frame.columns)[-6:] == list(STATISTICS)
    assert len(frame) == 0
    assert (frame[list(STATISTICS)].dtypes == np.float64).all()
    none.to_csv(tmp_path / "p.csv", features=True)
    assert (tmp_path / "p.csv").read_text().rstrip().endswith(",blur_sqrt,reliability")


def test_features_need_the_section(section: Path) -> None:
    with imn.open(section) as ds:
        peaks = imn.pick(ds, top=3, scorer="moran")
        known = imn.pick(ds, top=3, scorer="moran")
        known.to_frame(features=True)
    with pytest.raises(imn.ArgumentError, match=r"small section\.imzML: the dataset is closed"):
        peaks.to_frame(features=True)
    assert len(peaks.to_frame()) == 3
    pd.testing.assert_frame_equal(
        known.to_frame(features=True), pickle.loads(pickle.dumps(known)).to_frame(features=True)
    )


def test_features_in_files(section: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet needs the extra [parquet]")
    peaks = imn.pick(section, top=5, scorer="chaos")
    peaks.save(tmp_path, formats=("parquet",), features=True)
    expected = peaks.to_frame(features=True)
    csv = pd.read_csv(tmp_path / "peaks.csv", float_precision="round_trip")
    assert np.array_equal(csv[list(STATISTICS)], expected[list(STATISTICS)])
    assert np.array_equal(pd.read_parquet(tmp_path / "peaks.parquet")[list(STATISTICS)], expected[list(STATISTICS)])
    assert "blur" not in pd.read_csv(tmp_path / "scores.csv")
    peaks.save(tmp_path)
    assert "blur" not in pd.read_csv(tmp_path / "peaks.csv")
