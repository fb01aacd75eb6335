"""Simulated ion images are reproducible, in range and consistent with their class."""

from __future__ import annotations

import numpy as np
import pytest

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.reference.statistics import morans_i
from ionmorphnet.simulation import SimulatedImage, simulate_ion_image, simulate_scene
from ionmorphnet.simulation.fields import smooth_field, spline_weights
from ionmorphnet.simulation.ion_image import draw_measured_area
from ionmorphnet.simulation.observer import LOCALIZED, STRUCTURED, UNSTRUCTURED, WEAK, Truth, enclosed, judge
from ionmorphnet.simulation.sample_map import draw_sample_map, drop_sample_map
from ionmorphnet.simulation.silhouettes import Silhouette, draw_silhouette


@pytest.fixture(scope="module")
def by_class() -> dict[str, list[SimulatedImage]]:
    images: dict[str, list[SimulatedImage]] = {name: [] for name in CLASSES}
    rng = np.random.default_rng(5)
    for k in range(150):
        simulated = simulate_ion_image(rng, shape=(90, 110), label=k % 6)
        images[simulated.class_name].append(simulated)
    return images


def test_same_seed_same_image() -> None:
    first, second, other = (simulate_ion_image(np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.image, second.image)
    assert (first.label, first.structure) == (second.label, second.structure)
    assert first.image.shape != other.image.shape or not np.array_equal(first.image, other.image, equal_nan=True)


def test_value_ranges(by_class: dict[str, list[SimulatedImage]]) -> None:
    for simulated in (s for images in by_class.values() for s in images):
        assert simulated.image.shape == simulated.mask.shape == simulated.expectation.shape == (90, 110)
        assert simulated.image.dtype == np.float32
        assert simulated.expectation.dtype == np.float32
        np.testing.assert_array_equal(np.isnan(simulated.image), ~simulated.mask)
        assert (simulated.image[simulated.mask] >= 0).all()
        assert np.isfinite(simulated.expectation).all()
        assert 0.0 <= simulated.structure <= 3.0
    assert all(len(images) >= 15 for images in by_class.values())


def test_structure_follows_the_class(by_class: dict[str, list[SimulatedImage]]) -> None:
    mean = {name: np.mean([s.structure for s in images]) for name, images in by_class.items()}
    assert mean["unstructured"] < 0.5
    assert mean["structured"] > 1.9
    assert mean["structured"] > mean["weak_structured"] > 1.0
    assert mean["fragmented"] > 0.8


def test_soft_labels_are_shares_of_observers(by_class: dict[str, list[SimulatedImage]]) -> None:
    shares = np.stack([s.probabilities for images in by_class.values() for s in images])
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, atol=1e-6)
    assert (shares >= 0).all()
    assert ((shares > 0.1) & (shares < 0.9)).any(axis=1).mean() > 0.03  # observers sometimes disagree
    assert all(s.label == s.probabilities.argmax() for images in by_class.values() for s in images)


def test_a_scene_is_one_truth_at_several_noise_levels(rng: np.random.Generator) -> None:
    for _ in range(10):
        scene = simulate_scene(rng, shape=(60, 70), levels=3, label=0)
        assert len(scene) == 3
        for other in scene[1:]:
            np.testing.assert_array_equal(scene[0].expectation, other.expectation)
            np.testing.assert_array_equal(scene[0].mask, other.mask)
            assert not np.array_equal(scene[0].image, other.image, equal_nan=True)


def test_more_noise_means_less_structure() -> None:
    rng = np.random.default_rng(2)
    truth = np.zeros((80, 80), dtype=np.float32)
    truth[:, 30:60] = 1.0
    everywhere = np.ones(truth.shape, dtype=np.bool_)
    prepared = Truth(truth, truth > 0, everywhere)
    grades, unstructured = [], []
    for sd in (0.0, 0.5, 1.5, 5.0, 50.0):
        noisy = np.maximum(truth + np.float32(sd) * rng.standard_normal(truth.shape, dtype=np.float32), 0.0)
        shares, grade = judge(WEAK, prepared.visibility(noisy))
        grades.append(grade)
        unstructured.append(shares[4])
    assert grades == sorted(grades, reverse=True)
    assert unstructured == sorted(unstructured)
    assert grades[0] > 2.9
    assert grades[-1] < 0.5


def _disc_with_noise(sd: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ground truth, noisy image and mask of a disc with two different halves."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:100, :100]
    disc = (y - 50) ** 2 + (x - 50) ** 2 < 42**2
    truth = np.where(disc, np.where(x < 50, 1.0, 0.3), 0.0).astype(np.float32)
    noise = np.float32(sd) * rng.standard_normal(truth.shape, dtype=np.float32)
    return truth, np.where(disc, np.maximum(truth + noise, 0.0), 0.0).astype(np.float32), disc


@pytest.mark.parametrize("sd", [0.3, 0.6])
def test_a_sample_measured_to_its_edge_looks_as_in_a_wide_frame(sd: float) -> None:
    truth, image, disc = _disc_with_noise(sd)
    wide = Truth(truth, disc, np.ones_like(disc)).visibility(image)
    tight = Truth(truth, disc, disc).visibility(image)
    assert tight.value == pytest.approx(wide.value, abs=0.3)
    assert judge(WEAK, tight)[1] == pytest.approx(judge(WEAK, wide)[1], abs=0.25)


def test_the_outline_does_not_make_structure_of_noise() -> None:
    truth, image, disc = _disc_with_noise(20.0)
    for measured in (disc, np.ones_like(disc)):
        view = Truth(truth, disc, measured).visibility(image)
        assert view.view > 1.0  # bright noise in dark surroundings has a shape
        shares, structure = judge(WEAK, view)
        assert shares[CLASSES.index("unstructured")] > 0.75
        assert 0.2 < structure < 0.75


def test_an_even_ion_of_the_whole_sample_is_structured_only_without_noise() -> None:
    _, _, disc = _disc_with_noise(0.0)
    even = disc.astype(np.float32)
    prepared = Truth(even, disc, np.ones_like(disc))
    rng = np.random.default_rng(4)
    noise = rng.standard_gamma(np.float32(100.0), disc.shape, dtype=np.float32) / 100.0
    assert judge(WEAK, prepared.visibility(even * noise))[0].argmax() == STRUCTURED
    noise = rng.standard_gamma(np.float32(1.0), disc.shape, dtype=np.float32)
    assert judge(WEAK, prepared.visibility(even * noise))[0].argmax() == UNSTRUCTURED


def test_noise_in_a_full_frame_is_unstructured() -> None:
    rng = np.random.default_rng(8)
    frame = np.ones((90, 90), dtype=np.bool_)
    noise = rng.standard_gamma(np.float32(2.0), frame.shape, dtype=np.float32)
    view = Truth(frame.astype(np.float32), frame, frame).visibility(noise)
    shares, structure = judge(WEAK, view)
    assert shares[UNSTRUCTURED] > 0.9
    assert structure < 0.5


def _label(truth: np.ndarray, tissue: np.ndarray, image: np.ndarray | None = None) -> int:
    """Class of an image (by default without noise) whose scene is of the sample."""
    prepared = Truth(truth, tissue, np.ones_like(tissue))
    return int(judge(STRUCTURED, prepared.visibility(truth if image is None else image))[0].argmax())


def test_classes_are_relative_to_the_sample() -> None:
    y, x = np.mgrid[:100, :100]
    blob = np.exp(-((y - 50) ** 2 + (x - 50) ** 2) / 150.0).astype(np.float32)
    small, large = np.hypot(y - 50, x - 50) < 16, np.hypot(y - 50, x - 50) < 42
    assert _label(blob * small, small) == STRUCTURED
    assert _label(blob * small, large) == LOCALIZED


def test_an_outlined_sample_is_not_localized() -> None:
    y, x = np.mgrid[:120, :120]
    radius = np.hypot(y - 60, x - 60)
    rng = np.random.default_rng(5)
    ring = ((radius > 40) & (radius < 50)).astype(np.float32)
    sparse = ring * (rng.random(ring.shape) < 0.35)
    assert _label(ring, radius < 50) == STRUCTURED
    assert _label(ring, radius < 50, sparse.astype(np.float32)) == WEAK
    prepared = Truth(ring, radius < 50, np.ones(ring.shape, dtype=np.bool_))
    assert 1.5 < judge(WEAK, prepared.visibility(sparse.astype(np.float32)))[1] < 2.5
    assert _label(ring * (x > 75), radius < 50) == LOCALIZED


def test_faint_anatomy_below_a_bright_strip_counts() -> None:
    y, x = np.mgrid[:120, :120]
    tissue = np.hypot(y - 60, x - 60) < 50
    anatomy = tissue * (1.0 + np.sin(x / 8.0) * np.cos(y / 8.0))
    strip = tissue & (x < 18)
    rng = np.random.default_rng(6)
    for level, expected in ((0.1, {WEAK, STRUCTURED}), (0.005, {LOCALIZED})):
        truth = np.where(strip, 1.0, level * anatomy).astype(np.float32)
        image = truth * rng.standard_gamma(4.0, truth.shape).astype(np.float32) / 4.0
        assert _label(truth, tissue, image) in expected


def test_parts_enclosed_by_lit_ones_are_found() -> None:
    lit = np.zeros((12, 14), dtype=np.bool_)
    lit[2:9, 3:11] = True
    lit[4:7, 5:9] = False
    lit[2, 6] = False  # a gap of one block is closed
    expected = np.zeros_like(lit)
    expected[2:9, 3:11] = True
    expected[2, 6] = enclosed(lit)[2, 6]
    np.testing.assert_array_equal(enclosed(lit), expected)
    lit[:, :8] = False  # open to one side
    assert enclosed(lit).sum() < 1.3 * lit.sum()


def test_measured_areas() -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        silhouette = draw_silhouette(rng, (60, 80), coverage=(0.3, 0.8))
        assert draw_measured_area(rng, silhouette, kind=0.2).all()
        tight = draw_measured_area(rng, silhouette, kind=0.6)
        drawn = draw_measured_area(rng, silhouette, kind=0.8)
        if silhouette.kind != "full":
            assert (tight != silhouette.tissue).mean() < 0.1
            assert drawn[silhouette.tissue].mean() > 0.99
    for _ in range(40):
        matrix = simulate_ion_image(rng, shape=(50, 60), label=5)
        if matrix.class_name == "negative":  # otherwise only a rim would be measured
            assert (matrix.expectation[matrix.mask] > 0.2).mean() > 0.1


def test_structured_images_are_spatially_correlated(by_class: dict[str, list[SimulatedImage]]) -> None:
    moran = {name: np.median([morans_i(s.image[None])[0] for s in images]) for name, images in by_class.items()}
    assert moran["structured"] > 0.4
    assert moran["unstructured"] < 0.1
    assert moran["structured"] > moran["weak_structured"] > moran["unstructured"]


def test_negative_images_are_bright_off_the_sample(by_class: dict[str, list[SimulatedImage]]) -> None:
    # The expectation is bimodal; the image must be bright where it is high, a part that reaches the frame.
    for simulated in by_class["negative"]:
        outside = simulated.expectation > 0.5 * simulated.expectation.max()
        assert np.nanmean(simulated.image[outside]) > np.nanmean(simulated.image[~outside])
        border = np.concatenate([outside[0], outside[-1], outside[:, 0], outside[:, -1]])
        assert border.any()


def test_localized_signal_is_confined(by_class: dict[str, list[SimulatedImage]]) -> None:
    share = [np.mean(s.expectation > 0.4) for s in by_class["localized"]]
    whole = [np.mean(s.expectation > 0.15) for s in by_class["structured"]]
    assert np.median(share) < 0.2 < np.median(whole)


def test_empty_images_occur_and_are_unstructured() -> None:
    rng = np.random.default_rng(0)
    images = [simulate_ion_image(rng, shape=(20, 20), label=4) for _ in range(150)]
    empty = [s for s in images if not np.nan_to_num(s.image).any()]
    assert len(empty) >= 3
    assert all(s.class_name == "unstructured" for s in images)


@pytest.mark.parametrize("shape", [(16, 300), (300, 16), (20, 20), (37, 211)])
def test_any_shape(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    for label in range(6):
        assert simulate_ion_image(rng, shape=shape, label=label).image.shape == shape


def test_bad_arguments(rng: np.random.Generator) -> None:
    with pytest.raises(ArgumentError, match="at least 16"):
        simulate_ion_image(rng, shape=(8, 100))
    with pytest.raises(ArgumentError, match="label"):
        simulate_ion_image(rng, label=6)


def test_spline_interpolation_keeps_constants_and_lines() -> None:
    weights = spline_weights(50, 7.3, 0.4)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-6)
    line = weights @ np.arange(weights.shape[1], dtype=np.float32)
    np.testing.assert_allclose(np.diff(line), 1.0 / 7.3, atol=1e-5)


def test_smooth_fields_have_unit_variance_and_the_scale_asked_for(rng: np.random.Generator) -> None:
    fields = np.stack([smooth_field(rng, (60, 60), 10.0) for _ in range(60)])
    assert fields.mean() == pytest.approx(0.0, abs=0.1)
    assert fields.std() == pytest.approx(1.0, abs=0.1)
    near = np.mean(fields[:, :, :-2] * fields[:, :, 2:])
    far = np.mean(fields[:, :, :-45] * fields[:, :, 45:])
    assert near > 0.9
    assert abs(far) < 0.15


def test_sample_maps_show_the_sample_with_errors() -> None:
    rng = np.random.default_rng(6)
    separation, exact, flat = [], 0, 0
    for _ in range(150):
        silhouette = draw_silhouette(rng, (60, 80), coverage=(0.25, 0.7))
        measured = draw_measured_area(rng, silhouette, kind=rng.choice([0.2, 0.8]))
        found = draw_sample_map(rng, silhouette, measured)
        assert found.dtype == np.float32
        assert found.min() >= 0.0
        assert found.max() <= 1.0
        assert not found[~measured].any()
        inside, outside = silhouette.tissue & measured, ~silhouette.tissue & measured
        exact += bool(np.array_equal(found > 0.5, inside))
        flat += bool((found[measured] == 1.0).all())
        separation.append(found[inside].mean() - found[outside].mean() if outside.any() else 0.0)
    assert np.median(separation) > 0.5  # most maps are useful
    assert min(separation) < -0.3  # some are swapped
    assert exact < 30  # and hardly one is exact
    assert flat > 0


def test_a_sample_that_fills_the_measured_area_has_a_map_of_ones() -> None:
    rng = np.random.default_rng(7)
    full = Silhouette(np.full((40, 40), 0.5, dtype=np.float32), "full")
    maps = [draw_sample_map(rng, full, np.ones((40, 40), dtype=np.bool_)) for _ in range(60)]
    assert 0.6 < np.mean([bool((found == 1.0).all()) for found in maps]) < 1.0


def test_a_scene_has_one_sample_map(rng: np.random.Generator) -> None:
    for label in range(6):
        first, second = simulate_scene(rng, shape=(40, 50), levels=2, label=label)
        np.testing.assert_array_equal(first.sample, second.sample)
        assert not first.sample[~first.mask].any()


def test_sample_maps_are_dropped_at_random(rng: np.random.Generator) -> None:
    found = np.ones((4, 4), dtype=np.float32)
    dropped = [drop_sample_map(rng, found, 0.3) is None for _ in range(300)]
    assert 0.2 < np.mean(dropped) < 0.4
    assert drop_sample_map(rng, None, 0.0) is None


def test_silhouettes_keep_the_coverage_asked_for(rng: np.random.Generator) -> None:
    for _ in range(60):
        covered = draw_silhouette(rng, (70, 50), coverage=(0.3, 0.6)).tissue.mean()
        assert 0.28 <= covered <= 0.62
