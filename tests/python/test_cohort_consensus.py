"""Channels that the sections of a cohort share."""

import dataclasses

import numpy as np
import pytest

import ionmorphnet as imn
from cohort_factory import matched, simulate_candidates
from ionmorphnet.cohort.consensus import SectionChannels, consensus


def section(name, mz, score=None, picked=None, label=None, half_ppm=5.0):
    mz = np.asarray(mz, np.float64)
    n = len(mz)
    return SectionChannels(
        name,
        mz,
        mz * (1 - half_ppm * 1e-6),
        mz * (1 + half_ppm * 1e-6),
        np.full(n, np.nan) if score is None else np.asarray(score, np.float64),
        np.zeros(n, np.bool_) if picked is None else np.asarray(picked),
        np.full(n, -1, np.int64) if label is None else np.asarray(label, np.int64),
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_ions_are_found_across_drifts_and_false_peaks(seed):
    cohort = simulate_candidates(20, seed=seed)
    found = consensus(cohort.sections, min_share=0.2)
    mz = found.channels["mz"].to_numpy()
    drift = np.array([each.at(cohort.true) for each in found.drift])
    error = drift - np.median(drift, axis=0) - cohort.drift_ppm + np.median(cohort.drift_ppm, axis=0)
    assert np.sqrt((error**2).mean(axis=1)).max() <= 0.5
    # The scale is the cohort's own up to a line.
    scale = np.exp(np.median(cohort.drift_ppm - drift, axis=0) * 1e-6)
    wanted = cohort.true * scale
    assert matched(wanted[cohort.present.mean(axis=0) >= 0.2], mz, 3.0).mean() >= 0.98
    assert matched(mz, wanted, 3.0).mean() >= 0.98


@pytest.mark.parametrize("seed", [2, 3])
def test_few_peaks_of_an_ion_are_one_channel(seed):
    """Of three peaks with jitter, two are often nearer to each other than to the third: two modes of one ion."""
    cohort = simulate_candidates(6, seed=seed)
    mz = consensus(cohort.sections, min_share=0.5).channels["mz"].to_numpy()
    assert matched(cohort.wanted(0.5), mz, 3.0).mean() >= 0.99
    assert matched(mz, cohort.wanted(0.5), 3.0).mean() >= 0.98


def test_dense_channels_are_told_apart():
    cohort = simulate_candidates(60, n_ions=1000, span=(600.0, 900.0), seed=3)
    found = consensus(cohort.sections, min_share=0.2)
    mz = found.channels["mz"].to_numpy()
    assert matched(cohort.wanted(0.2), mz, 3.0).mean() >= 0.98
    assert matched(mz, cohort.wanted(0.15), 3.0).mean() >= 0.98


def test_wide_peaks_have_wide_channels(rng):
    """Linear TOF: the jitter is hundreds of ppm, so is the drift."""
    true = np.sort(rng.uniform(2000.0, 11000.0, 40))
    sections = []
    for k in range(12):
        mz = true * (1 + rng.uniform(-2e-3, 2e-3) + rng.normal(0, 2e-4, 40))
        sections.append(section(str(k), np.sort(mz), half_ppm=1500.0))
    found = consensus(sections, min_share=0.5)
    apart = np.diff(true) / true[1:] > 1.5e-3
    assert len(found) >= apart.sum()
    assert (found.channels["n_present"] == 12).mean() > 0.8


def test_windows_that_touch_do_not_tell_of_peak_widths():
    """Bins of a shared axis: windows of .5 Da, and ions 20 ppm apart in different sections stay two channels."""
    mz = np.arange(200.0, 260.0)
    edges = np.concatenate([[199.5], 0.5 * (mz[1:] + mz[:-1]), [259.5]])
    lo, hi = np.nextafter(edges[:-1], np.inf), edges[1:]
    empty = section("", mz)
    one = dataclasses.replace(empty, name="a", mz_lo=lo, mz_hi=hi)
    moved = mz.copy()
    moved[30] *= 1 + 100e-6
    other = dataclasses.replace(empty, name="b", mz=moved, mz_lo=lo, mz_hi=hi)
    found = consensus([one, other], min_share=0.0)
    assert len(found) == 61
    assert found.width_ppm <= 10.0


def test_without_the_drift_step_most_channels_are_lost():
    cohort = simulate_candidates(20)
    found = consensus(cohort.sections, min_share=0.2, align=False)
    assert matched(cohort.wanted(0.2), found.channels["mz"].to_numpy(), 3.0).mean() < 0.8


def test_members_shares_and_votes():
    a = section("a", [200.0, 300.0, 400.0], [0.9, 0.8, 0.1], [True, True, False], [0, 0, 5])
    b = section("b", [200.0, 400.0], [0.7, 0.2], [True, False], [1, 5])
    c = section("c", [200.0, 500.0], [0.5, 0.4], [False, False], [0, 2])
    found = consensus([a, b, c], min_share=0.5, align=False)
    table = found.channels
    np.testing.assert_allclose(table["mz"], [200.0, 400.0])
    assert found.members.tolist() == [[0, 2], [0, 1], [0, -1]]
    assert table["n_present"].tolist() == [3, 2]
    np.testing.assert_allclose(table["share_present"], [1.0, 2 / 3])
    np.testing.assert_allclose(table["share_picked"], [2 / 3, 0.0])
    np.testing.assert_allclose(table["score"], [0.7, 0.1])
    np.testing.assert_allclose(table["score_present"], [0.7, 0.15])
    assert table["label"].tolist() == [0, 5]
    np.testing.assert_allclose(table["votes"], [2 / 3, 1.0])


def test_a_section_has_at_most_one_peak_in_a_channel():
    a = section("a", [200.0, 200.0 * (1 + 0.5e-6)])
    b = section("b", [200.0])
    found = consensus([a, b, b], min_share=0.6, align=False)
    assert found.members.tolist() == [[0], [0], [0]]
    assert found.channels["n_present"].tolist() == [3]


def test_ions_that_each_section_tells_apart_are_two_channels():
    """Closer than the pooled jitter, but no section has one of them twice."""
    pair = [500.0, 500.0 * (1 + 2e-6)]
    found = consensus([section(str(k), pair, half_ppm=10.0) for k in range(8)], min_share=0.5, align=False)
    np.testing.assert_allclose(found.channels["mz"], pair)
    assert found.channels["n_present"].tolist() == [8, 8]


def test_windows_do_not_overlap_and_hold_their_channel():
    step = 1 + 6e-6
    sections = [section(str(k), 200.0 * step ** np.arange(20), half_ppm=8.0) for k in range(5)]
    table = consensus(sections, align=False).channels
    assert len(table) == 20
    assert (table["mz_lo"] <= table["mz"]).all()
    assert (table["mz"] <= table["mz_hi"]).all()
    assert (table["mz_lo"].to_numpy()[1:] > table["mz_hi"].to_numpy()[:-1]).all()


def test_the_axis_of_a_section_carries_its_drift():
    cohort = simulate_candidates(20, seed=4)
    found = consensus(cohort.sections)
    for k in (0, 7):
        mz = cohort.sections[k].mz
        members = found.members[k]
        axis = found.axis(k)
        inside = (axis.mz_lo <= mz[members]) & (mz[members] <= axis.mz_hi)
        assert inside[members >= 0].mean() > 0.98
    fixed = found.axis()
    np.testing.assert_array_equal(fixed.mz, found.channels["mz"])


def test_lock_masses_make_the_scale_absolute():
    cohort = simulate_candidates(20, seed=5)
    moved = [
        dataclasses.replace(each, mz=each.mz * (1 + 6e-6), mz_lo=each.mz_lo * (1 + 6e-6), mz_hi=each.mz_hi * (1 + 6e-6))
        for each in cohort.sections
    ]
    common = cohort.true[cohort.present.mean(axis=0) > 0.8]
    locks = common[[0, len(common) // 3, 2 * len(common) // 3, -1]]
    found = consensus(moved, lock_masses=locks)
    assert found.absolute
    wanted = cohort.true[cohort.present.mean(axis=0) >= 0.2]
    assert matched(wanted, found.channels["mz"].to_numpy(), 3.0).mean() > 0.98
    relative = consensus(moved)
    assert not relative.absolute
    assert matched(wanted, relative.channels["mz"].to_numpy(), 3.0).mean() < 0.5


def test_the_order_of_the_sections_does_not_matter():
    cohort = simulate_candidates(12, seed=6)
    one = consensus(cohort.sections)
    other = consensus(cohort.sections[::-1])
    np.testing.assert_allclose(one.channels["mz"], other.channels["mz"], rtol=1e-7)
    assert (one.members == other.members[::-1]).mean() > 0.999


@pytest.mark.parametrize("n_sections", [2, 3, 5])
def test_few_sections_are_aligned(n_sections):
    """With a small share of few sections a channel of one section counts, but says nothing of that section's drift."""
    cohort = simulate_candidates(n_sections, n_ions=150, n_false=400, seed=8)
    found = consensus(cohort.sections, min_share=0.2)
    true = cohort.drift_ppm - np.median(cohort.drift_ppm, axis=0)
    seen = np.array([each.at(cohort.true) for each in found.drift])
    assert np.sqrt(np.mean((seen - seen.mean(axis=0) - (true - true.mean(axis=0))) ** 2)) < 0.5
    assert found.unaligned == ()


def test_sections_without_common_channels_are_not_aligned():
    rng = np.random.default_rng(9)
    sections = [section(str(k), np.sort(rng.uniform(100.0, 1500.0, 60))) for k in range(4)]
    found = consensus(sections, min_share=0.2)
    assert found.unaligned == ("0", "1", "2", "3")
    assert found.channels["n_present"].sum() == 240


@pytest.mark.parametrize("mz", [[[]], [[], []], [[500.0]], [[], [500.0]]])
def test_almost_nothing_is_a_consensus_too(mz):
    found = consensus([section(str(k), values) for k, values in enumerate(mz)], min_share=0.0)
    assert len(found) == sum(map(len, mz))


@pytest.mark.parametrize(
    ("arguments", "match"),
    [({"min_share": 1.5}, "min_share"), ({"reach_ppm": -1}, "reach_ppm"), ({"lock_masses": [0.0]}, "lock_masses")],
)
def test_arguments_are_checked(arguments, match):
    with pytest.raises(imn.ArgumentError, match=match):
        consensus([section("a", [200.0])], **arguments)


def test_a_lock_mass_that_is_not_there_is_an_error():
    with pytest.raises(imn.ArgumentError, match="no lock mass was found"):
        consensus([section("a", [200.0]), section("b", [200.0])], lock_masses=[700.0])


def test_no_section_is_an_error():
    with pytest.raises(imn.ArgumentError, match="at least one section"):
        consensus([])
