"""mSCF1 against a slow, independent version of the published protocol."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import evaluate as ev
from ionmorphnet.evaluate.picking_report import _resampled_mscf1

T = (0.3, 0.4, 0.5, 0.6)


def slow_correlation(member: list[float], values: list[float]) -> float:
    n = len(member)
    a, b = sum(member) / n, sum(values) / n
    cov = sum((x - a) * (y - b) for x, y in zip(member, values, strict=True))
    va = sum((x - a) ** 2 for x in member)
    vb = sum((y - b) ** 2 for y in values)
    if va == 0 or vb == 0:
        return 0.0
    return cov / (va * vb) ** 0.5


def slow_true(r: list[float], threshold: float, rule: str) -> set[int]:
    if rule == "strict":
        return {i for i, value in enumerate(r) if value >= threshold}
    ranked = sorted(range(len(r)), key=lambda i: -r[i])
    distances = [abs(r[i] - threshold) for i in ranked]
    return set(ranked[: distances.index(min(distances))])


def slow_mscf1(
    images: np.ndarray, mz: np.ndarray, mask: np.ndarray, picked: list[float], measured: np.ndarray, rule: str
) -> list[float]:
    pixels = [(y, x) for y in range(mask.shape[0]) for x in range(mask.shape[1]) if measured[y, x]]
    truth: list[set[int]] = [set() for _ in T]
    for label in sorted({int(mask[p]) for p in pixels}):
        member = [float(mask[p] == label) for p in pixels]
        r = [slow_correlation(member, [float(image[p]) for p in pixels]) for image in images]
        for level, threshold in enumerate(T):
            truth[level] |= slow_true(r, threshold, rule)
    chosen = {min(range(len(mz)), key=lambda i: abs(mz[i] - value)) for value in picked}
    values = []
    for true in truth:
        tp, fp, fn = len(true & chosen), len(chosen - true), len(true - chosen)
        values.append(2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0)
    return values


@pytest.mark.parametrize("rule", ["released", "strict"])
@pytest.mark.parametrize("seed", range(6))
def test_equals_the_slow_version(seed: int, rule: str) -> None:
    rng = np.random.default_rng(seed)
    n, shape = 40, (9, 11)
    mask = rng.integers(0, 3, shape)
    measured = rng.random(shape) < 0.8
    strength = rng.random(n) * 1.5
    images = strength[:, None, None] * (mask == rng.integers(0, 3, n)[:, None, None]) + 0.5 * rng.random((n, *shape))
    images[3] = 0.0
    images[4] = 0.1  # its mean is not exactly 0.1: a correlation would be rounding errors
    images = images.astype(np.float32)
    images[:, ~measured] = np.nan
    mz = np.sort(rng.uniform(100, 1000, n))
    picked = [*list(rng.choice(mz, 12, replace=False) + rng.normal(0, 0.0001, 12)), mz[5] + 1e-05, mz[5] - 1e-05, 50.0]
    expected = slow_mscf1(images, mz, mask, picked, measured, rule)
    found = ev.mscf1(images, mz, mask, picked, rule=rule)  # type: ignore[arg-type]
    assert found.f1 == pytest.approx(expected, abs=1e-12)
    assert found.mean == pytest.approx(np.mean(expected), abs=1e-12)
    given = ev.mscf1(np.nan_to_num(images), mz, mask, picked, measured=measured, rule=rule)  # type: ignore[arg-type]
    assert given.f1 == found.f1


def truth_of(r: list[float], rule: str) -> list[int]:
    """True bins at T = 0.6 of one class whose bins correlate as given."""
    member = np.repeat([1.0, 0.0], 500)
    member -= member.mean()
    noise = np.tile([1.0, -1.0], 500)  # uncorrelated with the member, same norm after scaling
    a, b = member / np.linalg.norm(member), noise / np.linalg.norm(noise)
    images = np.array([value * a + np.sqrt(1 - value**2) * b for value in r]).reshape(len(r), 10, 100)
    mask = np.repeat([1, 0], 500).reshape(10, 100)
    truth = ev.mscf1_truth(images, np.arange(1.0, len(r) + 1), mask, thresholds=(0.6,), rule=rule)  # type: ignore[arg-type]
    assert truth.correlation[1] == pytest.approx(r)
    return np.flatnonzero(truth.true[0, 1]).tolist()


def test_released_rule_leaves_out_the_bin_nearest_the_threshold() -> None:
    assert truth_of([0.9, 0.61, 0.58], "released") == [0]
    assert truth_of([0.9, 0.61, 0.58], "strict") == [0, 1]
    assert truth_of([0.58, 0.9, 0.61], "released") == [1]
    assert truth_of([0.9, 0.8, 0.7], "released") == [0, 1], "of bins that are all above, the last is left out"
    assert truth_of([0.2, 0.1, 0.0], "released") == []


def simple() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mask = np.zeros((6, 6), dtype=int)
    mask[:, 3:] = 1
    left, right = (mask == 0).astype(float), (mask == 1).astype(float)
    flat = np.arange(36.0).reshape(6, 6).T % 2
    return np.stack([left, right, flat, -left, np.ones((6, 6))]), np.array([100.0, 200.0, 300.0, 400.0, 500.0]), mask


def test_signs_ceiling_and_classes() -> None:
    images, mz, mask = simple()
    found = ev.mscf1(images, mz, mask, [100.0, 200.0, 300.0], rule="strict")
    # -left is right up to a constant: signed correlation counts it for class 1.
    assert found.n_true == (3, 3, 3, 3)
    assert found.class_true == ((1,) * 4, (2,) * 4)
    assert found.class_recall == ((1.0,) * 4, (0.5,) * 4)
    assert found.f1 == pytest.approx([2 * 2 / 6] * 4)
    assert found.ceiling == (1.0,) * 4
    assert found.k == 3
    one = ev.mscf1(images, mz, mask, [100.0], rule="strict")
    assert one.mean_ceiling == pytest.approx(2 * 1 / (1 + 3))
    assert one.mean == one.mean_ceiling
    assert one.precision == (1.0,) * 4
    frame = found.to_frame()
    assert frame["true_1"].tolist() == [2] * 4
    assert len(frame) == 4


def test_snapping_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    images, mz, mask = simple()
    with caplog.at_level(logging.WARNING, logger="ionmorphnet"):
        found = ev.mscf1(images, mz, mask, [100.0, 100.001, 149.9, 150.0, 700.0])
    assert (found.n_picked, found.k, found.n_merged, found.n_far) == (5, 2, 3, 3)
    assert found.largest_ppm == pytest.approx(500_000)  # half-way: the lower bin
    assert len(found.warnings) == len(caplog.records) == 2
    assert "3 of 5 picked m/z" in caplog.text


def test_nothing_picked_and_nothing_true() -> None:
    images, mz, mask = simple()
    nothing = ev.mscf1(images, mz, mask, [])
    assert nothing.mean == 0.0
    assert nothing.k == 0
    assert nothing.precision == (0.0,) * 4
    flat = ev.mscf1(images, mz, np.zeros((6, 6)), [100.0])  # one class: no correlation is defined
    assert flat.n_true == (0,) * 4
    assert flat.mean == flat.mean_ceiling == 0.0
    assert np.isnan(flat.recall).all()


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"mz": [1.0, 2.0, 3.0, 5.0, 4.0]}, "ascending"),
        ({"mz": [1.0, 2.0]}, "one per m/z"),
        ({"mask": np.zeros((5, 6))}, "class_mask has shape"),
        ({"mask": np.full((6, 6), 0.5)}, "whole numbers"),
        ({"picked": [np.nan]}, "picked_mz"),
        ({"picked": [[1.0]]}, "picked_mz"),
        ({"measured": np.zeros((6, 6))}, "no pixel is measured"),
        ({"rule": "loose"}, "rule"),
        ({"thresholds": ()}, "thresholds"),
    ],
)
def test_bad_arguments(change: dict, text: str) -> None:
    images, mz, mask = simple()
    arguments = {"mz": mz, "mask": mask, "picked": [100.0]} | change
    mz, mask, picked = (arguments.pop(name) for name in ("mz", "mask", "picked"))
    with pytest.raises(imn.ArgumentError, match=text):
        ev.mscf1(images, mz, mask, picked, **arguments)


def test_large_intensities_do_not_overflow() -> None:
    images, mz, mask = simple()
    small = ev.mscf1_truth(images, mz, mask)
    large = ev.mscf1_truth(images * 1e300, mz, mask)
    np.testing.assert_allclose(large.correlation, small.correlation, atol=1e-12)


@pytest.fixture(scope="module")
def continuous(tmp_path_factory: pytest.TempPathFactory) -> imn.simulation.SimulatedSection:
    path = tmp_path_factory.mktemp("mscf1") / "c.imzML"
    return imn.simulate(path, shape=(30, 36), n_channels=50, mode="continuous", outline=True, seed=5)


def test_a_section_equals_its_images(continuous: imn.simulation.SimulatedSection) -> None:
    with imn.open(continuous.path) as ds:
        mz = continuous.truth["mz"].to_numpy()
        images = ds.ion_images(mz, tol=1e-4)
        picked = continuous.informative_mz
        from_arrays = ev.mscf1(images, mz, continuous.regions, picked)
        assert from_arrays.n_true[0] > 0
        from_section = ev.mscf1(ds, mz, continuous.regions, picked)
        assert (from_section.f1, from_section.class_true) == (from_arrays.f1, from_arrays.class_true)
        assert ev.mscf1(ds, imn.candidate_axis(ds), continuous.regions, picked).f1 == from_arrays.f1


def test_methods_on_a_section(continuous: imn.simulation.SimulatedSection) -> None:
    methods = ev.make_methods((), baselines=True)
    with ev.open_bins(continuous.path) as section:
        assert section.n_informative == int(continuous.truth["informative"].sum())
        truth = section.truth()
        scores = section.scores(methods)
        report = ev.picking_report(truth, scores, methods.kinds, k=section.n_informative, images=section.images)
        whole = np.concatenate(list(section.blocks()))
        references = section.references()
    table = report.table.set_index("method")
    best = np.argsort(-scores["moran"].to_numpy(), kind="stable")[: section.n_informative]
    assert table.loc["moran", "mscf1"] == pytest.approx(truth.judge(truth.mz[best]).mean)
    assert table.loc["moran", "mscf1"] > table.loc["random", "mscf1"]
    # Distinct patterns, the filter by references, and mSCF1 over k.
    assert table.loc["moran", "distinct"] == str(int(ev.distinct_patterns(whole[best]).sum()))
    assert 1 <= int(table.loc["random", "distinct"]) <= section.n_informative
    measured = np.isfinite(whole[0])
    np.testing.assert_allclose(references[0][measured], whole.sum(axis=0)[measured], rtol=1e-4)
    np.testing.assert_allclose(scores["reference"], ev.reference_correlation(whole, references), atol=1e-6)
    assert table.loc["reference", "kind"] == "baseline"
    assert report.over_k["moran"][section.n_informative] == pytest.approx(table.loc["moran", "mscf1"])
    assert report.over_k["random"][section.n_informative] == pytest.approx(table.loc["random", "mscf1"], abs=0.05)
    assert (report.over_k.iloc[0] == 0).all()
    assert report.over_k.iloc[-1].nunique() == 1  # all channels
    own = ev.picking_report(truth, scores, methods.kinds)
    assert "distinct" not in own.table
    assert own.k == truth.n_true
    assert (own.table["ceiling"] == 1.0).all()
    for each in (report, own):
        known = each.table.set_index("method").drop(index="random")
        assert (known["low"] < known["mscf1"]).all()
        assert (known["mscf1"] < known["high"]).all()
        assert (known[["low", "high"]].stack().between(0.0, 1.0)).all()
    assert np.isnan(own.table.set_index("method").loc["random", "low"])
    # Resampling with every channel once is the figure itself: without draws the interval is undefined, not wrong.
    union = truth.true.any(axis=1)
    order = np.argsort(-scores["moran"].to_numpy(), kind="stable")
    for sizes, table in ((None, own.table), (report.k, report.table)):
        once = _resampled_mscf1(union, order, sizes)(np.ones((2, truth.mz.size)))
        np.testing.assert_allclose(once, table.set_index("method").loc["moran", "mscf1"])
    mean = ev.mean_of_sections([report, own]).set_index("method")
    assert mean.loc["blur", "n"] == 2
    assert mean.loc["blur", "low"] <= mean.loc["blur", "mscf1"] <= mean.loc["blur", "high"]
    with pytest.raises(imn.ArgumentError, match="k must be"):
        ev.picking_report(truth, scores, methods.kinds, k=10_000)
    with pytest.raises(imn.ArgumentError, match="scores has 3 rows, but the section has 50 bins"):
        ev.picking_report(truth, scores.iloc[:3], methods.kinds)


def test_invalid_sections(continuous: imn.simulation.SimulatedSection, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, np.zeros((3, 3)))
    with pytest.raises(imn.FileError, match=r"wrong\.npy: the mask has shape"), ev.open_bins(continuous.path, wrong):
        pass
    text = tmp_path / "text.npz"
    text.write_text("no")
    with pytest.raises(imn.FileError, match=r"text\.npz: not a readable"), ev.open_bins(text):
        pass
    bare = tmp_path / "bare.npz"
    np.savez(bare, images=np.zeros((2, 3, 3)), mz=[1.0, 2.0])
    with pytest.raises(imn.FileError, match="no array 'regions'"), ev.open_bins(bare):
        pass
    with pytest.raises(imn.FileError, match=r"nothing\.npz: No such file"), ev.open_bins(tmp_path / "nothing.npz"):
        pass
