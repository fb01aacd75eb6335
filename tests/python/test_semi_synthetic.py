"""Degraded real images: each change does what it says, and labels follow the known degradation."""

from __future__ import annotations

import pickle
from collections.abc import Iterable

import numpy as np
import pytest

from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.labelled.semi_synthetic import SemiSyntheticSource
from ionmorphnet.labelled.sources import Sample
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.simulation import alterations, simulate_ion_image
from ionmorphnet.simulation.degrade import (
    NOISE_KINDS,
    Noise,
    NoiseKind,
    Processing,
    Signal,
    blur,
    process,
    record,
    residual,
    resize,
    resize_measured,
    tiled,
    unit,
)
from ionmorphnet.simulation.fields import Field
from ionmorphnet.simulation.observer import LOCALIZED, NEGATIVE, STRUCTURED, UNSTRUCTURED, WEAK
from ionmorphnet.simulation.reframe import Frame, draw_reframed, resized, turned
from ionmorphnet.simulation.semi_synthetic import MAP_UNKNOWN, CleanScene, SemiSyntheticImage, degrade_scene
from ionmorphnet.simulation.verdicts import follow_lit, follow_noise, lit_share
from ionmorphnet.simulation.view import View, contrast, grade_of, log_odds, odds_of, reliability


def disc(side: int = 80, radius: float = 0.6) -> Field:
    """A round sample, float32 (side, side)."""
    place = np.linspace(-1.0, 1.0, side, dtype=np.float32)
    return (np.hypot(place[:, None], place[None, :]) < radius).astype(np.float32)


def striped(side: int = 80) -> Field:
    """A disc with a bright and a dim half, float32 (side, side)."""
    return disc(side) * np.where(np.arange(side) < side // 2, 1.0, 0.55).astype(np.float32)[None, :]


def one_hot(kind: int) -> Field:
    return np.eye(6, dtype=np.float32)[kind]


def scenes(n: int, clean: CleanScene, levels: int = 3, seed: int = 0) -> list[tuple[SemiSyntheticImage, ...]]:
    return [degrade_scene(np.random.default_rng([seed, k]), clean, levels=levels) for k in range(n)]


class Images:
    """Simulated clean images in two sections, in place of real ones."""

    def __init__(self, sections: Iterable[str] = ("lab:one", "lab:two"), per_section: int = 18) -> None:
        self.sections, self.per_section = tuple(sorted(sections)), per_section
        self.items: list[Sample] = []
        for section in self.sections:
            rng = np.random.default_rng(sum(map(ord, section)))
            for k in range(per_section):
                tries = [simulate_ion_image(rng, shape=(60, 72), label=k % 6) for _ in range(3)]
                made = max(tries, key=lambda image: image.structure)  # a clear one, as most real scenes are
                grade = float(made.structure)
                self.items.append(
                    Sample(made.image, made.mask, made.probabilities, grade, section, str(k), -1, made.sample)
                )

    @property
    def dataset_ids(self) -> tuple[str, ...]:
        return self.sections

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Sample:
        return self.items[index]

    def targets(self) -> Field:
        return np.stack([item.probabilities for item in self.items])

    def select(self, datasets: Iterable[str]) -> Images:
        return Images(datasets, self.per_section)

    def describe(self) -> dict[str, object]:
        return {"kind": "test", "images": len(self)}


@pytest.fixture(scope="module")
def base() -> Images:
    return Images()


# --- what an observer sees ---------------------------------------------------------------------------------------


def test_grade_and_odds_are_inverse_and_rise() -> None:
    grades = np.linspace(0.05, 2.95, 30)
    np.testing.assert_allclose([grade_of(odds_of(g)) for g in grades], grades, atol=1e-9)
    assert (np.diff([odds_of(g) for g in grades]) > 0).all()


def test_block_means_leave_out_unmeasured_and_unjudged_pixels() -> None:
    values = np.ones((40, 40), dtype=np.float32)
    measured = np.ones((40, 40), dtype=np.bool_)
    measured[:, :11] = False
    values[:, :11] = 0.0
    judged = np.ones_like(measured)
    judged[:10] = False
    values[:10] = 5.0
    view = View(measured, judged)
    np.testing.assert_allclose(view.means(values), 1.0, atol=1e-6)
    assert view.kept[:5].sum() == 0


def test_reliability_is_the_share_of_variance_that_repeats() -> None:
    rng = np.random.default_rng(0)
    signal = rng.standard_normal(20_000).astype(np.float32)
    first, second = (signal + 0.5 * rng.standard_normal(20_000).astype(np.float32) for _ in range(2))
    assert reliability(first, second) == pytest.approx(1.0 / 1.25, abs=0.02)
    assert reliability(first, rng.standard_normal(20_000).astype(np.float32)) < 0.02
    assert reliability(signal, signal) > 0.999
    flat = np.full(50, 0.4, dtype=np.float32)
    assert reliability(flat, flat) == 0.0  # what does not differ is not seen
    assert contrast(flat) == 0.0


def test_a_single_hot_pixel_does_not_hide_a_scene() -> None:
    image = striped()
    hot = image.copy()
    hot[40, 40] = 1000.0
    view = View(np.ones(image.shape, dtype=np.bool_))
    np.testing.assert_allclose(view.seen(hot), view.seen(image), atol=0.05)


# --- pixels ---------------------------------------------------------------------------------------------------------


def test_resizing_keeps_levels_and_averages_when_shrinking() -> None:
    flat = np.full((50, 70), 3.0, dtype=np.float32)
    np.testing.assert_allclose(resize(flat, (23, 91)), 3.0, rtol=1e-5)
    noise = np.random.default_rng(0).standard_normal((100, 100)).astype(np.float32)
    assert resize(noise, (25, 25)).std() < 0.3  # about 1 / 4


def test_unmeasured_pixels_do_not_darken_their_neighbours() -> None:
    measured = disc(60) > 0
    values, inside = resize_measured(measured.astype(np.float32) * 2.0, measured, (37, 37))
    np.testing.assert_allclose(values[inside], 2.0, rtol=1e-5)
    assert not values[~inside].any()


def test_blur_keeps_levels_and_spreads() -> None:
    point = np.zeros((41, 41), dtype=np.float32)
    point[20, 20] = 1.0
    spread = blur(point, 2.0)
    assert spread.sum() == pytest.approx(1.0, abs=1e-4)
    assert spread[20, 22] / spread[20, 20] == pytest.approx(np.exp(-0.5), rel=0.01)
    assert blur(point, 0.2) is point


def signal_of(image: Field) -> tuple[Signal, View]:
    measured = np.ones(image.shape, dtype=np.bool_)
    view = View(measured)
    rng = np.random.default_rng(9)
    texture = image + 0.1 * rng.standard_normal(image.shape).astype(np.float32)
    donor = unit(tiled(rng, rng.gamma(1.0, 1.0, (33, 50)).astype(np.float32), (80, 80)))
    variance = float(view.means(image).var())
    return Signal(image, measured, variance, view.side, residual(texture, measured), donor), view


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_noise_of_each_kind_hides_the_scene_as_much_as_asked(kind: NoiseKind) -> None:
    signal, view = signal_of(striped())
    rng = np.random.default_rng(3)
    seen = []
    for odds in (4.0, 2.0, 0.0, -2.0):
        pairs = [tuple(record(rng, signal, Noise(kind, float(np.exp(odds)))) for _ in range(2)) for _ in range(6)]
        assert all(image.dtype == np.float32 and (image >= 0).all() for pair in pairs for image in pair)
        seen.append(np.mean([log_odds(reliability(view.seen(a), view.seen(b))) for a, b in pairs]))
    assert (np.diff(seen) < 0).all()
    limit = 2.0 if kind == "threshold" else 1.0
    assert abs(seen[1] - 2.0) < limit
    assert abs(seen[2]) < limit


def test_counts_are_multiples_of_one_ion() -> None:
    signal, _ = signal_of(striped())
    image = record(np.random.default_rng(0), signal, Noise("counts", 1.0, shape=100.0))
    levels = np.unique(image)
    np.testing.assert_allclose(levels / levels[1], np.round(levels / levels[1]), atol=1e-3)
    assert not image[disc() == 0].any()  # thinning adds nothing


def test_gaps_only_remove() -> None:
    signal, _ = signal_of(striped())
    image = record(np.random.default_rng(0), signal, Noise("gaps", 1.0))
    kept = image > 0
    np.testing.assert_array_equal(image[kept], signal.values[kept])
    assert 0.01 < kept[disc() > 0].mean() < 0.9


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_an_empty_scene_can_be_recorded(kind: NoiseKind) -> None:
    empty = np.zeros((40, 40), dtype=np.float32)
    image = record(np.random.default_rng(0), Signal(empty, empty == 0, 0.0, 2), Noise(kind, 1.0))
    assert np.isfinite(image).all()


def test_noise_leaves_unmeasured_pixels_empty() -> None:
    measured = disc() > 0
    signal = Signal(disc(), measured, 0.1, 4)
    assert not record(np.random.default_rng(0), signal, Noise("offset", 1.0, blurred=1.0))[~measured].any()


def test_processing_leaves_its_traces() -> None:
    rng = np.random.default_rng(0)
    image = rng.gamma(2.0, 1.0, (60, 60)).astype(np.float32)
    recovered = process(rng, image, Processing(clipped=0.97, levels=255))
    assert len(np.unique(recovered)) <= 256
    assert (recovered == recovered.max()).mean() == pytest.approx(0.03, abs=0.01)
    hot = process(rng, image, Processing(hot=0.002))
    assert 1 <= (hot != image).sum() <= 8
    lines = process(rng, image, Processing(lines=0.2)) / image
    np.testing.assert_allclose(lines, lines[:, :1] * np.ones((1, 60)), rtol=1e-5)
    np.testing.assert_array_equal(process(rng, image, Processing()), image)


# --- frames -----------------------------------------------------------------------------------------------------------


def test_the_sample_map_moves_with_the_image() -> None:
    image = striped()
    sample = image.copy()  # a map that equals the image shows every difference
    frame = Frame(image, np.ones(image.shape, dtype=np.bool_), sample)
    seen: set[str] = set()
    for k in range(200):
        moved, changes = draw_reframed(np.random.default_rng(k), frame, (32, 120))
        assert moved.sample is not None
        assert moved.values.shape == moved.measured.shape == moved.sample.shape
        assert not moved.values[~moved.measured].any()
        assert min(moved.shape) >= 16
        np.testing.assert_allclose(moved.sample, moved.values, atol=1e-5)
        seen |= set(changes)
    assert seen == {"cropped", "padded", "masked", "resampled"}


def test_turns_are_the_eight_of_the_square() -> None:
    image = np.arange(12, dtype=np.float32).reshape(3, 4)
    frame = Frame(image, image >= 0, None)
    turns = [turned(frame, code).values for code in range(8)]
    assert len({turn.tobytes() + bytes(turn.shape) for turn in turns}) == 8
    assert all(sorted(turn.ravel()) == sorted(image.ravel()) for turn in turns)


def test_resizing_a_frame_never_makes_it_tiny() -> None:
    frame = Frame(striped(), np.ones((80, 80), dtype=np.bool_), None)
    assert resized(frame, 0.01).shape == (16, 16)


# --- alterations ----------------------------------------------------------------------------------------------------


def test_confined_regions_and_clusters_lie_in_the_sample() -> None:
    sample = disc()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        keep = alterations.draw_region(rng, sample, 0.1)
        assert 0.02 < (keep > 0.5).sum() / sample.sum() < 0.3
        assert not keep[sample == 0].any()
    many = [alterations.clusters(np.random.default_rng(seed), sample, sample) for seed in range(12)]
    shown = [image for image in many if image is not None]
    assert len(shown) > 6
    assert all(float((image > 0.5 * image.max()).sum()) < 0.6 * sample.sum() for image in shown)


def test_surroundings_are_bright_and_the_sample_dark() -> None:
    for seed in range(8):
        image = alterations.surroundings(np.random.default_rng(seed), striped(), disc())
        assert image[disc() == 0].mean() > 2.0 * image[disc() > 0].mean()


def test_the_sample_of_a_clear_image_is_found() -> None:
    rng = np.random.default_rng(0)
    ring = disc() - disc(radius=0.4)
    for image, negative in ((striped(), False), (ring, False), (1.0 - disc(), True)):
        noisy = np.abs(image + 0.1 * rng.standard_normal(image.shape)).astype(np.float32)
        found = alterations.estimated_sample(noisy, np.ones(image.shape, dtype=np.bool_), negative=negative)
        assert found is not None
        assert ((found > 0.5) == (disc() > 0)).mean() > 0.93
    noise = rng.random((80, 80), dtype=np.float32)
    full = alterations.estimated_sample(noise, noise >= 0, negative=False)
    assert full is not None
    assert full.min() == 1.0
    assert alterations.estimated_sample(noise, noise >= 0, negative=True) is None


def test_scattering_keeps_the_values_and_the_rest() -> None:
    image = striped()
    area = disc() > 0
    mixed = alterations.scattered_pixels(np.random.default_rng(0), image, area, area)
    assert sorted(mixed[area]) == sorted(image[area])
    assert not np.array_equal(mixed, image)
    np.testing.assert_array_equal(mixed[~area], image[~area])


# --- labels ---------------------------------------------------------------------------------------------------------


def test_labels_stay_where_nothing_is_hidden() -> None:
    for kind in range(6):
        shares = 0.7 * one_hot(kind) + np.float32(0.05)
        np.testing.assert_allclose(follow_noise(shares, odds_of(2.0), odds_of(2.0)), shares, atol=1e-6)
        np.testing.assert_allclose(follow_lit(shares, 0.3, 0.3), shares, atol=1e-6)
        np.testing.assert_allclose(follow_lit(shares, None, 0.3), shares)


def test_noise_turns_structured_weak_and_then_unstructured() -> None:
    moved = [follow_noise(one_hot(STRUCTURED), odds_of(2.9), odds_of(g)) for g in (2.9, 2.5, 1.4, 0.2)]
    assert [int(shares.argmax()) for shares in moved] == [STRUCTURED, STRUCTURED, WEAK, UNSTRUCTURED]
    for shares in moved:
        assert shares.sum() == pytest.approx(1.0, abs=1e-5)
    assert follow_noise(one_hot(LOCALIZED), odds_of(2.5), odds_of(1.2)).argmax() == LOCALIZED
    assert follow_noise(one_hot(NEGATIVE), odds_of(2.5), odds_of(1.2)).argmax() == NEGATIVE


def test_lit_share_decides_between_whole_and_confined() -> None:
    assert follow_lit(one_hot(STRUCTURED), 0.9, 0.1).argmax() == LOCALIZED
    assert follow_lit(one_hot(LOCALIZED), 0.1, 0.9).argmax() == STRUCTURED
    blocks = np.array([1.0, 1.0, 0.1, 0.1, 0.1, 0.9], dtype=np.float32)
    on_sample = np.array([1, 1, 1, 1, 0, 0], dtype=np.bool_)
    assert lit_share(blocks, on_sample) == 0.5
    assert lit_share(blocks, ~on_sample) is None


def test_levels_of_a_scene_fall_and_share_frame_and_map() -> None:
    clean = CleanScene(striped(), one_hot(STRUCTURED), 2.8, disc())
    spread = []
    for levels in scenes(60, clean):
        grades = [image.structure for image in levels]
        assert sorted(grades, reverse=True) == grades
        assert len({image.image.shape for image in levels}) == 1
        first = levels[0]
        for image in levels:
            assert image.probabilities.sum() == pytest.approx(1.0, abs=1e-5)
            np.testing.assert_array_equal(np.isnan(image.image), ~image.mask)
            assert (image.image[image.mask] >= 0).all()
            assert (image.sample is None) == (first.sample is None)
            if image.sample is not None:
                assert 0.0 <= image.sample.min() <= image.sample.max() <= 1.0
                assert not image.sample[~image.mask].any()
        spread.append(grades[0] - grades[-1])
    assert np.mean(spread) > 0.7


def test_a_scene_without_noise_and_changes_keeps_its_label() -> None:
    shares = np.array([0.5, 0.5, 0, 0, 0, 0], dtype=np.float32)
    clean = CleanScene(striped(), shares, 2.3, disc())
    kept = [s[0] for s in scenes(150, clean, 1) if not s[0].changes]
    assert len(kept) > 5
    assert np.mean([np.abs(image.probabilities - shares).max() for image in kept]) < 0.1
    assert np.mean([abs(image.structure - 2.3) for image in kept]) < 0.15


def test_a_blurred_scene_is_smoother_and_keeps_its_class() -> None:
    rng = np.random.default_rng(0)
    grainy = striped() * rng.uniform(0.5, 1.0, (80, 80)).astype(np.float32)
    made = [image for (image,) in scenes(400, CleanScene(grainy, one_hot(STRUCTURED), 3.0, disc()), 1)]
    kept = [image.image for image in made if not image.changes and image.image.shape == (80, 80)]
    blurred = [image for image in made if image.changes == ("blurred",)]
    assert kept
    assert blurred

    def roughness(image: Field) -> float:
        return float(np.abs(np.diff(image, axis=0)).mean() / image.mean())

    assert np.median([roughness(image.image) for image in blurred]) < 0.8 * np.median([roughness(i) for i in kept])
    assert all(image.probabilities.argmax() == STRUCTURED for image in blurred)


def test_alterations_give_their_class() -> None:
    clean = CleanScene(striped(), one_hot(STRUCTURED), 3.0, disc())
    found: dict[str, list[SemiSyntheticImage]] = {}
    for (image,) in scenes(500, clean, 1):
        for change in image.changes:
            found.setdefault(change, []).append(image)
    expected = {
        "confined": LOCALIZED,
        "clusters": CLASSES.index("fragmented"),
        "surroundings": NEGATIVE,
        "shuffled": UNSTRUCTURED,
        "scattered in outline": UNSTRUCTURED,
        "inverted": STRUCTURED,
    }
    for change, kind in expected.items():
        clear = [image for image in found[change] if image.changes[-1] == change]  # no noise after it
        assert clear, change
        assert np.mean([image.probabilities[kind] for image in clear]) > 0.49, change
    shapeless = [image.structure for image in found["shuffled"]]
    assert max(shapeless) < 0.3
    assert set(NOISE_KINDS) <= set(found)


def test_a_small_whole_sample_is_structured_only_with_its_map() -> None:
    sample = disc(radius=0.25)
    clean = CleanScene(sample * (0.5 + 0.5 * striped()), one_hot(STRUCTURED), 3.0, sample)
    kept = [s[0] for s in scenes(400, clean, 1, seed=4) if not s[0].changes]
    known = [image.probabilities[LOCALIZED] for image in kept if image.sample is not None]
    unknown = [image.probabilities[LOCALIZED] for image in kept if image.sample is None]
    assert np.mean(known) < 0.1
    assert np.mean(unknown) == pytest.approx(0.5, abs=0.05)


# --- the source -----------------------------------------------------------------------------------------------------


def test_items_depend_only_on_seed_and_index(base: Images) -> None:
    source = SemiSyntheticSource(base, 20, 7, levels=2)
    copy = pickle.loads(pickle.dumps(source))
    for index in (5, 4, 11, 0):
        one, other = source[index], copy[index]
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
        assert (one.structure, one.key, one.dataset, one.scene) == (
            other.structure,
            other.key,
            other.dataset,
            other.scene,
        )
        assert (one.sample is None) == (other.sample is None)
    assert not np.array_equal(source[0].image, SemiSyntheticSource(base, 20, 8)[0].image)


def test_levels_are_consecutive_and_whole(base: Images) -> None:
    source = SemiSyntheticSource(base, 10, 0, levels=3)
    assert len(source) == 12
    assert [source[k].scene for k in range(12)] == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert SemiSyntheticSource(base, 2, 0, levels=1)[0].scene == -1
    with pytest.raises(IndexError):
        source[12]


def test_classes_and_grades_spread(base: Images) -> None:
    items = [SemiSyntheticSource(base, 300, 1)[k] for k in range(300)]
    shares = np.mean([item.probabilities for item in items], axis=0)
    assert (shares > 0.03).all()
    assert shares.max() < 0.5
    grades = np.array([item.structure for item in items])
    assert np.histogram(grades, bins=[0, 0.75, 1.5, 3.01])[0].min() > 60
    assert grades.max() > 2.4
    # Drawn per scene; every image of this base has a map. Four standard errors.
    unknown = np.mean([item.sample is None for item in items[::2]])
    assert unknown == pytest.approx(MAP_UNKNOWN, abs=4.0 * np.sqrt(0.25 * 0.75 / 150))


def test_noise_and_sections_stay_within_a_split(base: Images) -> None:
    part = SemiSyntheticSource(base, 12, 0).select(["lab:two"])
    assert part.dataset_ids == ("lab:two",)
    assert {part[k].dataset for k in range(12)} == {"lab:two"}
    assert part.noise_from.dataset_ids == ("lab:two",)
    elsewhere = Images(["lab:two", "other:three"])
    part = SemiSyntheticSource(base, 12, 0, noise_from=elsewhere).select(["lab:one"])
    assert part.noise_from.dataset_ids == ("other:three",)
    assert part.targets() is None
    assert part.describe()["levels"] == 2


def test_unusable_arguments_are_refused(base: Images) -> None:
    for n, seed, levels in ((0, 0, 1), (1, -1, 1), (1, 0, 0)):
        with pytest.raises(ArgumentError, match="at least"):
            SemiSyntheticSource(base, n, seed, levels=levels)
    with pytest.raises(ArgumentError, match="6 shares"):
        SemiSyntheticSource(base, 1, 0, class_shares=(1.0,))
    with pytest.raises(ArgumentError, match="positive share"):
        SemiSyntheticSource(base, 1, 0, class_shares=(0.0,) * 6)
