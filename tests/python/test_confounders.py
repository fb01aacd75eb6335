"""Warnings about patterns that picks share with the measurement: each fault is told, clean sections are not."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet.picking.confounders import describe, repeated_maxima
from ionmorphnet.picking.image_measures import autocorrelation, block_means, border_distance, correlation
from ionmorphnet.picking.lines import line_pattern

SHAPE = (60, 72)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
ORDER = np.arange(Y.size).reshape(SHAPE)
SHARED = "picks may show the measurement rather than the sample"


def section(seed: int, *, tissue: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """40 noisy channels (n, H, W) and which of them show something: discs, or regions of an outline with background."""
    rng = np.random.default_rng(seed)
    shown = np.arange(40) % (2 if tissue else 5) == 0
    inside = ((Y - 30) / 22) ** 2 + ((X - 36) / 28) ** 2 < 1 if tissue else np.ones(SHAPE, bool)
    images = []
    for k in range(40):
        level = np.ones(SHAPE)
        if shown[k]:
            cy, cx, r = rng.uniform(12, 48), rng.uniform(15, 57), rng.uniform(6, 16)
            level += 2.5 * ((Y - cy) ** 2 + (X - cx) ** 2 < r * r)
            level *= np.where(inside, 1.0, 0.1)
        images.append(level * rng.gamma(4, 0.25, SHAPE) * rng.uniform(1, 5))
    return np.array(images, np.float32), shown


def warnings_of(images: np.ndarray, picked: np.ndarray, order: np.ndarray = ORDER) -> list[str]:
    return describe(images[picked], images, order)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("tissue", [False, True])
def test_clean_sections_say_nothing(seed: int, tissue: bool) -> None:
    images, shown = section(seed, tissue=tissue)
    assert warnings_of(images, shown) == []
    # In any order of acquisition, and with pixels that were not measured.
    turned = np.where((Y + X) % 9 > 0, ORDER.T.reshape(SHAPE[1], SHAPE[0]).T[:, ::-1], -1)
    assert warnings_of(np.where(turned < 0, np.nan, images), shown, turned) == []


GAINS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], str]] = {
    "step down": (lambda _: np.where(Y >= 25, 0.6, 1.0), "all channels change by -40% at row 26 of 60"),
    "step up": (lambda _: np.where(Y >= 40, 1.5, 1.0), "all channels change by +50% at row 41 of 60"),
    "step along x": (lambda _: np.where(X >= 30, 0.5, 1.0), "all channels change by -50% at column 31 of 72"),
    "stripes": (lambda rng: np.exp(rng.normal(0, 0.2, SHAPE[0]))[:, None] * np.ones(SHAPE), "from row to row"),
    "columns": (lambda rng: np.exp(rng.normal(0, 0.2, SHAPE[1]))[None] * np.ones(SHAPE), "from column to column"),
    "every other row": (lambda _: np.where(Y % 2, 0.85, 1.0), "from row to row"),
    "weak edge": (lambda _: np.where(border_distance(ORDER >= 0, 4) <= 3, 0.4, 1.0), "weaker within two pixels"),
    "strong edge": (lambda _: np.where(border_distance(ORDER >= 0, 4) <= 3, 2.0, 1.0), "stronger within two pixels"),
}


@pytest.mark.parametrize("fault", GAINS)
def test_each_change_of_sensitivity_is_told(fault: str) -> None:
    gain, text = GAINS[fault]
    for seed in range(3):
        images, shown = section(seed)
        found = warnings_of(images * gain(np.random.default_rng(seed)), shown)
        assert len(found) == 1
        assert found[0].startswith(SHARED)
        assert found[0].endswith('compare with --normalize tic (Python: normalize="tic")')
        before, _, after = text.partition("%")
        assert before[:23] in found[0]
        if after:
            assert after in found[0]
            assert rounded_percent(found[0], "change by ") == pytest.approx(float(before[before.rindex(" ") :]), abs=4)


def rounded_percent(text: str, before: str) -> float:
    return float(text.split(before)[1].split("%")[0])


def test_the_size_and_place_of_a_step() -> None:
    images, _ = section(0)
    for change in (0.8, 0.4, 0.25):
        lines = line_pattern((images * np.where(Y >= 33, change, 1)).astype(float), ORDER >= 0)
        assert lines.at == 33
        assert lines.step == pytest.approx(change - 1, abs=0.05)
    assert line_pattern(images.astype(float), ORDER >= 0).step == 0


def test_picks_that_follow_the_total_signal() -> None:
    for seed in range(3):
        images, shown = section(seed)
        smooth = np.exp(0.6 * np.sin(X / 11 + seed) * np.cos(Y / 9))  # matrix that was sprayed unevenly
        found = warnings_of(images * smooth, np.ones(40, bool))
        assert len(found) == 1
        assert rounded_percent(found[0], "sample: ") >= 60
        assert "follow the signal of all channels (correlation above 0.8) and are flat once divided by it" in found[0]
        normalised = images * smooth / (images * smooth).sum(axis=0)
        assert describe(normalised[shown], normalised, ORDER, normalized=True) == []


def test_picks_that_follow_the_order_of_acquisition() -> None:
    images, every = section(1)[0], np.ones(40, bool)
    by_column = np.argsort(np.argsort(X.ravel(), kind="stable")).reshape(SHAPE)
    for order, gain in ((ORDER, 1 - 0.8 * Y / 59), (by_column, 1 - 0.8 * X / 71)):
        faded = images * gain
        assert "of the picks fall with the order of acquisition" in warnings_of(faded, every, order)[0]
        assert "of the picks rise with the order of acquisition" in warnings_of(faded, every, order.max() - order)[0]


@pytest.mark.parametrize("sparse", [False, True])
def test_channels_that_fade(sparse: bool) -> None:
    for seed in range(3):
        images, shown = section(seed)
        if sparse:  # peaks below a threshold are not in the file, and the sample is in the middle
            inside = ((Y - 30) / 22) ** 2 + ((X - 36) / 28) ** 2 < 1
            images = images * (inside & (np.random.default_rng(seed).random(images.shape) < 0.4))
        assert warnings_of(images, shown) == []
        for order, gain in ((ORDER, np.exp(-1.4 * Y / 59)), (ORDER[::-1], np.exp(-1.4 * Y / 59)[::-1])):
            found = warnings_of(images * gain, shown, order)
            assert len(found) == 1
            assert rounded_percent(found[0], "of the channels change by ") == pytest.approx(-62, abs=15)
            assert "from the first to the last quarter of the acquisition" in found[0]


def test_dead_lines() -> None:
    images, shown = section(2)
    images[:, 20] = 0
    images[:, :, [7, 50]] *= 0.001
    found = warnings_of(images, shown)
    assert any(text.startswith("row 21 has hardly any signal in all channels") for text in found)
    assert any(text.startswith("columns 8, 51 have hardly any signal") for text in found)
    # A line that was not measured is none.
    images, shown = section(2)
    assert warnings_of(images, shown, np.where(Y == 20, -1, ORDER)) == []


def test_saturated_pixels() -> None:
    images, shown = section(3)
    assert not repeated_maxima(images.reshape(40, -1).astype(float)).any()
    for share in (0.02, 0.1):
        limit = np.quantile(images, 1 - share, axis=(1, 2), keepdims=True)
        assert "100% of the picks have the same largest value" in warnings_of(np.minimum(images, limit), shown)[0]
    counted = np.random.default_rng(0).poisson(np.exp(np.random.default_rng(1).normal(4, 1, (5, 4000)))).astype(float)
    assert repeated_maxima(np.minimum(counted, 255)).all()  # eight bits
    assert not repeated_maxima(counted).any()
    # Counts repeat without being clipped; a constant and an empty channel are no detector's limit.
    counts = np.random.default_rng(0).poisson(3, (5, 4000)).astype(float)
    assert not repeated_maxima(counts).any()
    assert not repeated_maxima(np.array([np.ones(100), np.zeros(100)])).any()


def test_small_sections_are_left_alone() -> None:
    images, shown = section(0)
    assert warnings_of((images * np.where(Y >= 6, 0.3, 1))[:, :12, :12], shown, np.arange(144).reshape(12, 12)) == []


def test_parts() -> None:
    plane = np.arange(36.0).reshape(6, 6)
    assert correlation(plane[0], -plane[0]) == pytest.approx(-1)
    assert correlation(plane[0], np.ones(6)) == 0
    assert autocorrelation(plane[None])[0] > 0.8
    assert autocorrelation(np.full((1, 6, 6), np.nan))[0] == 0
    big = np.zeros((1, 56, 60))
    big[0, :2, :3] = 5
    means = block_means(np.pad(big, ((0, 0), (0, 0), (0, 0))), np.ones((56, 60), bool))
    assert means.shape == (1, 19, 20)  # blocks of 3 x 3
    assert means[0, 0, 0] == pytest.approx(5 * 6 / 9)
    distance = border_distance(np.pad(np.ones((5, 5), bool), 2), 8)
    np.testing.assert_array_equal(distance[4], [0, 0, 1, 2, 3, 2, 1, 0, 0])


def test_a_pick_says_it_once_with_the_remedy(tmp_path: Path) -> None:
    images, _ = section(5)
    images = images * np.where(Y >= 30, 0.4, 1)
    mz = np.linspace(200, 900, 40)
    path = write_imzml(
        tmp_path / "step.imzML",
        [Spec(x + 1, y + 1, mz, images[:, y, x]) for y in range(SHAPE[0]) for x in range(SHAPE[1])],
        shared_axis=True,
    )
    raw, levelled = imn.pick(path), imn.pick(path, normalize="tic")
    assert raw.run is not None
    assert levelled.run is not None
    assert len([text for text in raw.run.warnings if text.startswith(SHARED)]) == 1
    assert "at row 31 of 60 and stay there" in raw.run.warnings[0]
    assert levelled.run.warnings == ()
    assert len(levelled) < len(raw)


@pytest.mark.parametrize("name", ["bladder79/bladder79_processed", "barley101/barley101_continuous"])
def test_real_sections_say_nothing(name: str) -> None:
    folder = os.environ.get("IMN_SHARED_DATA")
    if not folder:
        pytest.skip("no real sections here")
    run = imn.pick(Path(folder) / f"{name}.imzML", scorer="moran", top=40).run
    assert run is not None
    assert run.warnings == ()
