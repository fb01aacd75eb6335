"""The level between the peaks of profile spectra: what the instrument does is told, what the sample does is not."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.io.candidates import CandidateAxis
from ionmorphnet.io.literals import InstrumentName
from ionmorphnet.picking.levels import between_peaks, level_patterns
from odd_files.faults import FAULTS
from odd_files.sweep import Sweep

SHAPE = (36, 44)
Y, X = np.mgrid[: SHAPE[0], : SHAPE[1]]
ORDER = np.arange(Y.size).reshape(SHAPE)
EDGE = np.minimum.reduce([Y, X, SHAPE[0] - 1 - Y, SHAPE[1] - 1 - X])


def bands(seed: int, level: np.ndarray | float = 1.0) -> np.ndarray:
    """Ten windows between peaks: a level that all share, the gain of each spectrum, and noise of their own."""
    rng = np.random.default_rng(seed)
    shared = level * rng.gamma(12, 1 / 12, SHAPE)
    return np.array([shared * rng.gamma(30, 1 / 30, SHAPE) * rng.uniform(0.5, 50) for _ in range(10)])


ANATOMY = {
    "even": np.ones(SHAPE),
    "sample in the middle": np.where(((Y - 18) / 11) ** 2 + ((X - 22) / 14) ** 2 < 1, 1.0, 0.4),
    "wavy layers": 1 + 0.8 * (np.sin(X / 6) * 3 + Y > 14) + 0.8 * (np.cos(X / 8) * 3 + Y > 26),
    "a cut at a slant": np.where(Y + 0.15 * X > 20, 2.5, 1.0),
    "sample at one side": 1 + 2.0 / (1 + np.exp(-(Y - 20 + 4 * np.sin(X / 7)) / 1.5)),
    "brighter around the sample": np.where(((Y - 18) / 16) ** 2 + ((X - 22) / 20) ** 2 < 1, 1.0, 1.8),
}


@pytest.mark.parametrize("anatomy", ANATOMY)
def test_anatomy_says_nothing(anatomy: str) -> None:
    for seed in range(5):
        images = bands(seed, ANATOMY[anatomy])
        assert level_patterns(images, ORDER) == []
        outline = np.where(EDGE + (Y + X) % 3 > 1, ORDER, -1)
        assert level_patterns(np.where(outline < 0, 0.0, images), outline) == []


GAINS: dict[str, tuple[Callable[[np.random.Generator], np.ndarray], str, float]] = {
    "step down": (lambda _: np.where(Y >= 15, 0.4, 1.0), "changes by % at row 16 of 36 and stays there", -60),
    "step up": (lambda _: np.where(Y >= 20, 2.0, 1.0), "changes by % at row 21 of 36 and stays there", 100),
    "step along x": (lambda _: np.where(X >= 12, 0.3, 1.0), "changes by % at column 13 of 44 and stays there", -70),
    "every other row": (lambda _: np.where(Y % 2, 0.7, 1.0)[:, :1], "changes from row to row, by %", 25),
    "every other column": (lambda _: np.where(X % 2, 0.7, 1.0), "changes from column to column, by %", 25),
    "columns": (lambda rng: np.exp(rng.normal(0, 0.3, SHAPE[1])), "changes from column to column, by %", 25),
    "fading": (lambda _: 0.2 ** (ORDER / ORDER.size), "falls with the order of acquisition, by % from", -75),
    "warming up": (lambda _: 4 ** (ORDER / ORDER.size), "rises with the order of acquisition, by % from", 235),
    "strong edge": (lambda _: np.where(EDGE < 2, 5.0, 1.0), "is % times as high within two pixels of the border", 5),
}


@pytest.mark.parametrize("fault", GAINS)
def test_each_change_is_told(fault: str) -> None:
    gain, text, figure = GAINS[fault]
    before, after = text.split("%")
    for seed in range(3):
        (found,) = level_patterns(bands(seed) * gain(np.random.default_rng(seed)), ORDER)
        assert found.startswith(f"the level between the peaks {before}")
        assert after in found
        told = found.removeprefix(f"the level between the peaks {before}").split(after.strip() or "%")[0]
        assert float(told.strip().rstrip("%")) == pytest.approx(figure, abs=0.15 * abs(figure) + 4)


@pytest.mark.parametrize("fault", ["step down", "step up", "every other row", "every other column", "strong edge"])
def test_each_change_is_told_beside_anatomy(fault: str) -> None:
    gain, text, _ = GAINS[fault]
    for seed in range(3):
        images = bands(seed, ANATOMY["sample in the middle"]) * gain(np.random.default_rng(seed))
        assert text.split("%")[0].split()[0] in level_patterns(images, ORDER)[0]


def test_no_level_no_word() -> None:
    step = np.where(Y >= 15, 0.4, 1.0)
    assert level_patterns(bands(0)[:5] * step, ORDER) == []  # few windows
    assert level_patterns(np.where(np.random.default_rng(0).random((10, *SHAPE)) < 0.3, 1.0, 0.0) * step, ORDER) == []


def test_windows_between_the_peaks() -> None:
    mz = np.arange(100.0, 200.0, 5.0)
    axis = CandidateAxis(mz, mz - 0.5, mz + 0.5, np.ones(20), evidence={"peak_width": 0.4})
    lo, hi = between_peaks(axis, 8)
    assert len(lo) == 8
    np.testing.assert_allclose(hi - lo, 3.0)  # 5 less a window and half a window on either side
    np.testing.assert_allclose((lo - 1.0) % 5, 0)
    assert len(between_peaks(CandidateAxis(mz, mz - 0.5, mz + 0.5, np.ones(20)), 8)[0]) == 0  # not of a profile
    close = CandidateAxis(mz, mz - 2.2, mz + 2.2, np.ones(20), evidence={"peak_width": 0.4})
    assert len(between_peaks(close, 8)[0]) == 0


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Sweep:
    return Sweep(tmp_path_factory.mktemp("levels"))


@pytest.mark.parametrize("seed", [2, 3, 7, 14])
def test_small_profile_sections_of_mostly_rare_ions(sweep: Sweep, seed: int) -> None:
    assert sweep.clean("profile", seed)[2].lines == []
    for word in ("sensitivity", "fades", "brightness", "edge"):
        for fault in (fault for fault in FAULTS.values() if word in fault.name):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                outcome = sweep.run(fault, "profile", seed, 1000 * seed + 77)
            assert any("picks may show the measurement" in line for line in outcome.lines), (fault.name, outcome.why)


@pytest.mark.parametrize(("instrument", "span"), [("linear-tof", (2400.0, 11000.0)), ("reflector-tof", (700.0, 800.0))])
def test_baselines_that_differ_from_spectrum_to_spectrum(
    tmp_path: Path, instrument: InstrumentName, span: tuple[float, float]
) -> None:
    section = imn.simulate(
        tmp_path / "a.imzML", shape=(24, 24), instrument=instrument, n_channels=30, mz_range=span, seed=3
    )
    run = imn.pick(section.path, scorer="moran", top=20).run
    assert run is not None
    assert run.warnings == ()
