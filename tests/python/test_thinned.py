"""Thinned images: rates, their visibility, and the concordance of scores with the known order."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.evaluate import metrics
from ionmorphnet.evaluate.thinned import LEVELS, rate_of, score_thinned, thin, thinned_report, visible_share
from real_image_factory import write_real_images

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


@pytest.fixture
def waves() -> np.ndarray:
    y, x = np.indices((40, 60))
    image = (2 + np.sin(x / 6) + np.cos(y / 5)).astype(np.float32)
    image[:, :7] = np.nan
    return image


def test_rates_have_mean_one_and_keep_what_was_not_measured(waves: np.ndarray) -> None:
    for smoothing in (0.0, 1.5):
        rate = rate_of(7 * waves, smoothing)
        assert np.array_equal(np.isnan(rate), np.isnan(waves))
        assert np.nanmean(rate) == pytest.approx(1)
        assert np.nanmin(rate) >= 0
    assert np.nanstd(rate_of(waves, 3.0)) < np.nanstd(rate_of(waves, 0.0))


@pytest.mark.parametrize("block", [1, 4, 7])
def test_visibility_is_the_expected_correlation(waves: np.ndarray, block: int, rng: np.random.Generator) -> None:
    rate = rate_of(waves[:, 7:], 0.0)[:28, : 49 // block * block]
    rate /= rate.mean()
    blocks = (28 // block, block, rate.shape[1] // block, block)
    expected = rate.reshape(blocks).mean(axis=(1, 3)).ravel()
    draws = rng.poisson(0.3 * rate, (400, *rate.shape)).reshape(400, *blocks).mean(axis=(2, 4)).reshape(400, -1)
    found = np.mean([np.corrcoef(draw, expected)[0, 1] for draw in draws])
    assert visible_share(rate, 0.3, block) == pytest.approx(found, abs=0.02)


def test_more_counts_and_larger_blocks_show_more(waves: np.ndarray) -> None:
    rate = rate_of(waves)
    by_level = [visible_share(rate, level) for level in LEVELS]
    assert by_level == sorted(by_level)
    assert visible_share(rate, 0.1, 5) > visible_share(rate, 0.1)
    assert visible_share(np.ones((9, 9)), 1.0) == 0


def test_thinned_images_are_counts_in_the_order_of_the_originals(waves: np.ndarray) -> None:
    thinned = thin([waves, waves.T], (0.5, 4.0), seed=3)
    assert thinned.original.tolist() == [0, 0, 1, 1]
    assert thinned.level.tolist() == [0.5, 4.0, 0.5, 4.0]
    for image, level in zip(thinned.images, thinned.level, strict=True):
        assert np.array_equal(np.nan_to_num(image), np.round(np.nan_to_num(image)))
        assert np.nanmean(image) == pytest.approx(level, rel=0.1)
    again = thin([waves], (0.5,), seed=3)
    np.testing.assert_array_equal(again.images[0], thinned.images[0])
    assert not np.array_equal(thin([waves], (0.5,), seed=4).images[0], again.images[0], equal_nan=True)


def test_concordance_with_the_known_order(waves: np.ndarray) -> None:
    thinned = thin([waves, np.abs(waves.T - 2)], (0.1, 1.0, 9.0))
    scores = pd.DataFrame({"level": thinned.level, "block": thinned.blocks, "same": 0.5, "worst": -thinned.level})
    report = thinned_report(thinned, scores, options=ev.BootstrapOptions(50)).set_index(["truth", "method"])
    assert report["value"]["order"].to_dict() == {"level": 1.0, "block": 1.0, "same": 0.5, "worst": 0.0}
    assert report["value"]["blocks", "block"] == 1.0
    assert report["value"]["pixels", "level"] == metrics.concordance(thinned.level, thinned.pixels)
    assert report["difference"]["order"].to_dict() == {"level": 0.0, "block": 0.0, "same": -0.5, "worst": -1.0}
    assert (report["low"] <= report["value"]).all()
    methods = ev.make_methods([], ["blur"], baselines=False)
    found = score_thinned(thinned, methods)
    expected = [float(imn.image_statistics(image)["blur"][0]) for image in thinned.images]
    np.testing.assert_allclose(found["blur"], expected)


def test_invalid_arguments(waves: np.ndarray) -> None:
    with pytest.raises(imn.ArgumentError, match="at least one image and one level"):
        thin([])
    with pytest.raises(imn.ArgumentError, match="above 0, not -1"):
        thin([waves], (1.0, -1.0))
    with pytest.raises(imn.ArgumentError, match="a pixel above 0"):
        thin([np.zeros((5, 5), np.float32)])
    with pytest.raises(imn.ArgumentError, match="measured pixels"):
        thin([np.full((5, 5), np.nan, np.float32)])


def test_the_script_prints_a_row_for_each_score(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_real_images(tmp_path / "real_images")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    arguments = ["--data", str(tmp_path), "--sources", "real_images", "--levels", "0.3", "3", "--per-source", "2"]
    arguments += ["--draws", "20", "--all-images", "--out", str(tmp_path / "thinned.json")]
    monkeypatch.setattr(sys, "argv", ["evaluate_thinned.py", *arguments])
    runpy.run_path(str(SCRIPTS / "evaluate_thinned.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    written = json.loads((tmp_path / "thinned.json").read_text(encoding="utf-8"))
    n = sum(written["originals"].values())
    assert lines[0].startswith(f"{2 * n} images, {n} originals: ")
    assert max(written["originals"].values()) <= 2
    assert {line.split(" | ")[0] for line in lines[4:]} >= {"| atto-sim-3", "| blur_sqrt", "| reliability"}
