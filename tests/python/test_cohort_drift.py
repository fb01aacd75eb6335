"""Drift of a section against a reference list."""

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.cohort.drift import Drift, find_drift, lock_drift

MZ = np.geomspace(100.0, 1500.0, 200)


def section(rng, drift, n_false=150, jitter=1.0, share=0.7):
    seen = drift.to_section(MZ) * np.exp(rng.normal(0, jitter, len(MZ)) * 1e-6)
    return np.concatenate([seen[rng.random(len(MZ)) < share], rng.uniform(100, 1500, n_false)])


def test_a_drift_is_a_deviation_in_ppm():
    drift = Drift((100.0, 1000.0), (-10.0, 10.0))
    np.testing.assert_allclose(drift.at([100.0, np.sqrt(1e5), 1000.0]), [-10.0, 0.0, 10.0], atol=1e-9)
    np.testing.assert_allclose(drift.at([10.0, 1e4]), [-30.0, 30.0])  # goes on beyond the knots
    assert drift.to_section(1000.0) == pytest.approx(1000.01, abs=1e-6)
    np.testing.assert_allclose(drift.to_reference(drift.to_section(MZ)), MZ, rtol=1e-9)


def test_the_difference_of_two_drifts():
    one, two = Drift((100.0, 1000.0), (5.0, 9.0)), Drift((200.0, 400.0), (1.0, 2.0))
    np.testing.assert_allclose(one.minus(two).at(MZ), one.at(MZ) - two.at(MZ), atol=1e-9)


@pytest.mark.parametrize("offset", [-10.0, 0.0, 10.0])
@pytest.mark.parametrize("slope", [-8.0, 0.0, 8.0])
def test_offset_and_slope_are_found_among_false_peaks(rng, offset, slope):
    true = Drift((100.0, 1500.0), (offset - slope, offset + slope))
    found = find_drift(section(rng, true), MZ)
    assert np.abs(found.at(MZ) - true.at(MZ)).max() < 0.6
    assert found.residual_ppm == pytest.approx(1.0, abs=0.3)
    assert 110 < found.n_matched < 170


def test_a_bend_makes_the_drift_piecewise(rng):
    u = np.linspace(-1, 1, 33)
    true = Drift(tuple(np.geomspace(100.0, 1500.0, 33)), tuple(4.0 * u**2))
    mz = np.geomspace(100.0, 1500.0, 600)
    seen = true.to_section(mz) * np.exp(rng.normal(0, 0.7, 600) * 1e-6)
    found = find_drift(seen, mz)
    assert len(found.mz) > 2
    assert np.abs(found.at(mz) - true.at(mz)).mean() < 0.5


def test_a_line_stays_a_line(rng):
    bent = [
        len(find_drift(section(np.random.default_rng(seed), Drift(ppm=(3.0, 6.0)), share=1.0), MZ).mz) > 2
        for seed in range(30)
    ]
    assert sum(bent) == 0


@pytest.mark.parametrize(("mz", "reference"), [([], MZ), (MZ, []), ([500.0], MZ), (MZ * 3.0, MZ[:5])])
def test_too_few_matches_tell_no_drift(mz, reference):
    found = find_drift(mz, reference)
    assert found.n_matched == 0
    assert np.all(found.at(MZ) == 0.0)


def test_few_matches_tell_an_offset_only():
    found = find_drift(MZ[::30] * (1 + 7e-6), MZ)
    assert found.n_matched == 7
    np.testing.assert_allclose(found.at(MZ), 7.0, atol=0.01)


def test_lock_masses_give_offset_or_line():
    np.testing.assert_allclose(lock_drift([500.0 * (1 + 4e-6)], [500.0]).at(MZ), 4.0, atol=1e-3)
    true = Drift((200.0, 800.0), (2.0, 6.0))
    locks = np.array([200.0, 350.0, 500.0, 800.0])
    np.testing.assert_allclose(lock_drift(true.to_section(locks), locks).at(MZ), true.at(MZ), atol=1e-6)


def test_the_reach_must_be_positive():
    with pytest.raises(imn.ArgumentError, match="reach_ppm"):
        find_drift(MZ, MZ, reach_ppm=0)
