"""Isotopes and adducts among the channels of a cohort."""

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.cohort.relatives import RELATIONS, image_correlation, relatives

H, C13 = 1.00782503207, 13.0033548378
NA, K, N, O16, CL35, CL37 = 22.9897692809, 38.96370668, 14.0030740048, 15.99491461956, 34.96885268, 36.96590259
S32, S34, BR79, BR81 = 31.972071, 33.96786690, 78.9183371, 80.9162906


@pytest.mark.parametrize(
    ("relation", "distance"),
    [
        ("13C isotope", C13 - 12.0),
        ("13C isotope, charge 2", (C13 - 12.0) / 2),
        ("second 13C isotope", 2 * (C13 - 12.0)),
        ("34S isotope", S34 - S32),
        ("37Cl isotope", CL37 - CL35),
        ("81Br isotope", BR81 - BR79),
        ("NH4 for H", N + 3 * H),
        ("Na for H", NA - H),
        ("K for H", K - H),
        ("K for Na", K - NA),
        ("Na for NH4", NA - N - 4 * H),
        ("Cl for -H", CL35 + H),
        ("water", 2 * H + O16),
    ],
)
def test_distances_follow_from_atomic_masses(relation, distance):
    assert RELATIONS[relation] == pytest.approx(distance, abs=2e-7)
    assert len(RELATIONS) == 13


def always(value):
    return lambda lighter, heavier: np.full(len(lighter), value)


def test_pairs_have_the_distance_and_alike_images():
    mz = np.array([760.5851, 761.5885, 782.5670, 798.5410, 900.0])
    found = relatives(mz, always(0.95))
    pairs = {(row.lighter, row.heavier): row.relation for row in found.itertuples()}
    assert pairs == {(0, 1): "13C isotope", (0, 2): "Na for H", (0, 3): "K for H", (2, 3): "K for Na"}
    assert (found["error_ppm"].abs() < 1.0).all()
    assert relatives(mz, always(0.5)).empty
    assert relatives(mz, always(np.nan)).empty


def test_the_tolerance_counts():
    mz = np.array([500.0, 501.0033548 + 501e-6 * 4])
    assert relatives(mz, always(1.0)).empty
    assert len(relatives(mz, always(1.0), tolerance_ppm=5.0)) == 1


def test_correlation_is_the_median_of_the_sections_that_have_both(rng):
    base = rng.gamma(2.0, 1.0, (200, 1)).astype(np.float32)
    same = np.concatenate([base, 0.3 * base, rng.gamma(2.0, 1.0, (200, 1))], axis=1).astype(np.float32)
    members = np.array([[0, 1, 2], [0, -1, 1], [0, 1, 2]])
    noise = rng.gamma(2.0, 1.0, (200, 3)).astype(np.float32)
    correlate = image_correlation([lambda k: same[:, k], lambda k: noise[:, k], lambda k: same[:, k]], members)
    found = correlate(np.array([0, 0, 1]), np.array([1, 2, 2]))
    assert found[0] == pytest.approx(1.0)
    assert abs(found[1]) < 0.3
    constant = image_correlation([lambda k: np.ones((10, len(k)), np.float32)], np.zeros((1, 2), np.int64))
    assert np.isnan(constant(np.array([0]), np.array([1]))[0])


def test_correlation_holds_no_more_pairs_than_fit(rng):
    values = rng.gamma(2.0, 1.0, (50, 8)).astype(np.float32)
    widest = []

    def read(channels):
        widest.append(len(channels))
        return values[:, channels]

    members = np.zeros((1, 8), np.int64)
    lighter, heavier = np.arange(7), np.arange(1, 8)
    whole = image_correlation([read], members)(lighter, heavier)
    assert max(widest) == 8
    widest.clear()
    np.testing.assert_array_equal(image_correlation([read], members, memory=1)(lighter, heavier), whole)
    assert max(widest) == 2


def test_nothing_to_compare():
    assert relatives([], always(1.0)).empty
    with pytest.raises(imn.ArgumentError, match="min_correlation"):
        relatives([100.0], always(1.0), min_correlation=2)
