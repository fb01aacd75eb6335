"""Profile or list of peaks: what a file declares against what its data look like."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml

Spectrum = tuple[np.ndarray, np.ndarray]
Make = Callable[[np.random.Generator], Callable[[], Spectrum]]
SIDE = 5


def ions(rng: np.random.Generator, n: int, low: float, high: float, isotopes: int) -> tuple[np.ndarray, np.ndarray]:
    """m/z and levels of n ions with their isotopes, as averagine has them."""
    base = np.round(np.sort(rng.uniform(low, high, n))) * 1.0005
    carbon = base * 0.0005
    shares = np.array([carbon**k * np.exp(-carbon) / math.factorial(k) for k in range(isotopes)]).T
    mz = base[:, None] + 1.00335 * np.arange(isotopes)
    level = shares * rng.lognormal(0, 1, n)[:, None]
    order = np.argsort(mz, axis=None)
    return mz.ravel()[order], level.ravel()[order]


def steps(low: float, high: float, power: float, step: float) -> np.ndarray:
    """An axis whose steps grow with a power of m/z: 0.5 in a TOF, 1.5 in an Orbitrap, 2 in an FT-ICR."""
    axis = [low]
    while axis[-1] < high:
        axis.append(axis[-1] + step * (axis[-1] / low) ** power)
    return np.array(axis)


def profile(power: float, resolving: float, samples: float, *, keep_zeros: bool = True, noise: float = 0.02) -> Make:
    """Profiles with this many samples per width at half height."""

    def make(rng: np.random.Generator) -> Callable[[], Spectrum]:
        high = min(900.0, 600.0 * (1 + 6000 / resolving / samples))
        axis = steps(600.0, high, power, 600.0 / resolving / samples)
        mz, level = ions(rng, 40, 601.0, high - 1.0, 3)

        def one() -> Spectrum:
            value = np.zeros(len(axis))
            for at, height in zip(mz, level * rng.gamma(3, 1 / 3, len(mz)), strict=True):
                value += height * np.exp(-0.5 * ((axis - at) / (at / resolving / 2.355)) ** 2)
            value = np.maximum(0.0, value + noise * rng.normal(size=len(axis)))
            kept = slice(None) if keep_zeros else value > 2 * noise
            return axis[kept], value[kept]

        return one

    return make


def counts(rng: np.random.Generator) -> Callable[[], Spectrum]:
    """A linear TOF that counts single ions on a sloping baseline."""
    axis = steps(2400.0, 9000.0, 0.5, 1.5)
    mz, level = rng.uniform(2500, 8500, 30), rng.lognormal(1, 1, 30)
    shape = level[:, None] * np.exp(-0.5 * ((axis - mz[:, None]) / (mz[:, None] / 900)) ** 2)
    mean = shape.sum(axis=0) + 4 * np.exp(-(axis - 2400) / 1500)
    return lambda: (axis, rng.poisson(mean).astype(float))


def unit_profile(rng: np.random.Generator) -> Callable[[], Spectrum]:
    """A linear TOF resampled to whole mass units."""
    axis = np.arange(3000.0, 9000.0)
    mz, level = rng.uniform(3100, 8900, 30), rng.lognormal(1, 1, 30)
    mean = (level[:, None] * np.exp(-0.5 * ((axis - mz[:, None]) / (mz[:, None] / 900)) ** 2)).sum(axis=0)
    return lambda: (axis, mean * rng.gamma(3, 1 / 3) + 0.02 * rng.random(len(axis)))


def unrelated(rng: np.random.Generator) -> Callable[[], Spectrum]:
    """Irregular m/z of a peak list."""
    axis = np.sort(rng.uniform(600, 3200, 380))
    level = rng.gamma(2, 1, 380)
    return lambda: (axis, level * rng.gamma(6, 1 / 6, 380))


def isotopes_of(low: float, high: float, isotopes: int) -> Make:
    """Centroids of lipids or peptides with their isotopes."""

    def make(rng: np.random.Generator) -> Callable[[], Spectrum]:
        mz, level = ions(rng, 60, low, high, isotopes)
        return lambda: (mz, level * np.repeat(rng.gamma(3, 1 / 3, len(mz) // isotopes), isotopes)[: len(mz)])

    return make


def binned(width: float, low: float, high: float, isotopes: int, baseline: float) -> Make:
    """Centroids summed into bins of equal width."""

    def make(rng: np.random.Generator) -> Callable[[], Spectrum]:
        mz, level = ions(rng, 60, low, high, isotopes)
        edges = np.arange(low - 0.5 * width, high + 10.0, width)
        slope = baseline * np.exp(-(edges[1:] - low) / 300)

        def one() -> Spectrum:
            value = np.histogram(mz, edges, weights=level * rng.gamma(3, 1 / 3, len(mz)))[0]
            return edges[1:] - 0.5 * width, value + slope * rng.gamma(4, 1 / 4, len(slope))

        return one

    return make


PROFILES: dict[str, Make] = {
    "orbitrap": profile(1.5, 70_000, 4),
    "orbitrap without zeros": profile(1.5, 70_000, 4, keep_zeros=False),
    "coarse": profile(1.5, 30_000, 2.5),
    "icr": profile(2.0, 100_000, 4),
    "tof": profile(0.5, 10_000, 6),
    "tof without zeros": profile(0.5, 10_000, 6, keep_zeros=False),
    "counts": counts,
    "whole mass units": unit_profile,
}
LISTS: dict[str, Make] = {
    "unrelated": unrelated,
    "lipids": isotopes_of(300, 1200, 4),
    "peptides": isotopes_of(900, 3500, 7),
    "nominal masses of lipids": binned(1.0, 300, 1200, 4, 0.0),
    "nominal masses of peptides": binned(1.0, 900, 3500, 7, 0.0),
    "nominal masses on a baseline": binned(1.0, 300, 1200, 4, 0.2),
}
BINS: dict[str, Make] = {
    "tenths": binned(0.1, 300, 1200, 4, 0.0),
    "twentieths on a baseline": binned(0.05, 300, 1200, 4, 0.05),
    "half units": binned(0.5, 900, 3500, 7, 0.0),
}


def write(path: Path, make: Make, declared: str | None, *, shared: bool, seed: int = 0) -> Path:
    one = make(np.random.default_rng(seed))
    specs = [Spec(s % SIDE + 1, s // SIDE + 1, *one()) for s in range(SIDE * SIDE)]
    if not shared:
        specs = [Spec(s.x, s.y, np.asarray(s.mz) * (1 + 1e-7 * k), s.intensity) for k, s in enumerate(specs)]
    return write_imzml(path, specs, shared_axis=shared, spectrum_type=declared)


def read_as(path: Path) -> tuple[str, list[str]]:
    with imn.open(path) as ds:
        about = [text for text in ds.warnings if "profile" in text or "centroid" in text]
        assert imn.candidate_axis(ds, min_frequency=0).evidence["read_as"] == ds.spectrum_type
        return ds.spectrum_type, about


@pytest.mark.parametrize("name", PROFILES)
def test_profiles(name: str, tmp_path: Path) -> None:
    shared = "without zeros" not in name
    assert read_as(write(tmp_path / "p.imzML", PROFILES[name], "profile", shared=shared)) == ("profile", [])
    kind, (warning,) = read_as(write(tmp_path / "n.imzML", PROFILES[name], None, shared=shared))
    assert kind == "profile"
    assert "does not say" in warning
    # A processed profile read as a list would be a channel per sample; a shared axis is only redundant.
    kind, (warning,) = read_as(write(tmp_path / "c.imzML", PROFILES[name], "centroid", shared=shared))
    assert kind == ("centroid" if shared else "profile")
    assert "sampled like profiles" in warning
    assert "--spectrum-type" in warning
    kind, (warning,) = read_as(write(tmp_path / "o.imzML", PROFILES[name], "centroid", shared=False))
    assert kind == "profile"


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", LISTS)
def test_lists(name: str, shared: bool, tmp_path: Path) -> None:
    assert read_as(write(tmp_path / "c.imzML", LISTS[name], "centroid", shared=shared)) == ("centroid", [])
    kind, (warning,) = read_as(write(tmp_path / "n.imzML", LISTS[name], None, shared=shared))
    assert kind == "centroid"
    assert "does not say" in warning
    path = write(tmp_path / "p.imzML", LISTS[name], "profile", shared=shared)
    kind, (warning,) = read_as(path)
    assert kind == "centroid"
    assert "says profile, but its spectra are lists of peaks" in warning
    with imn.open(path) as ds:
        axis = imn.candidate_axis(ds)
        assert axis.evidence["declared_type"] == "profile"
        if shared:
            assert len(axis) == len(np.unique(ds.spectrum(0)[0]))
    with imn.open(path, spectrum_type="profile") as ds:  # the caller has the last word
        assert ds.spectrum_type == "profile"
        assert not ds.warnings


@pytest.mark.parametrize("name", BINS)
def test_regular_steps_alone_make_no_profile(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "n.imzML", BINS[name], None, shared=True)
    kind, (warning,) = read_as(path)
    assert kind == "centroid"
    assert "does not say" in warning
    assert read_as(write(tmp_path / "c.imzML", BINS[name], "centroid", shared=True)) == ("centroid", [])
    with imn.open(path) as ds:
        assert imn.candidate_axis(ds).evidence["regular_steps"] == pytest.approx(1.0)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", ["nominal masses of lipids", "nominal masses of peptides", "unrelated"])
def test_whole_numbers_are_told(name: str, shared: bool, tmp_path: Path) -> None:
    one = LISTS[name](np.random.default_rng(0))
    spectra = [one() for _ in range(SIDE * SIDE)]
    for rounded in (True, False):
        # Processed spectra hold only what is above 0.
        kept = [(mz, value) if shared else (mz[value > 0], value[value > 0]) for mz, value in spectra]
        kept = [(np.round(mz) + (0.0 if rounded else 0.25), value) for mz, value in kept]
        specs = [Spec(s % SIDE + 1, s // SIDE + 1, *kept[s]) for s in range(SIDE * SIDE)]
        with imn.open(write_imzml(tmp_path / "s.imzML", specs, shared_axis=shared)) as ds:
            assert ds.spectrum_type == "centroid"
            assert [text.split(" (")[0] for text in ds.warnings] == ["all m/z are whole numbers"] * rounded
            assert imn.candidate_axis(ds).evidence["whole_numbers"] == rounded


@pytest.mark.parametrize("declared", ["profile", "centroid"])
def test_noise_contradicts_nothing(declared: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    axis = steps(600.0, 700.0, 1.5, 0.01)
    specs = [Spec(s % 5 + 1, s // 5 + 1, axis, rng.gamma(2, 1, len(axis))) for s in range(25)]
    path = write_imzml(tmp_path / "s.imzML", specs, shared_axis=True, spectrum_type=declared)
    assert read_as(path) == (declared, [])


@pytest.mark.parametrize("seed", range(4))
def test_few_bins_are_candidates_themselves(seed: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    axis = np.sort(np.concatenate([320 + 0.083 * np.arange(12), [350.0]]))
    specs = [Spec(s % 3 + 1, s // 3 + 1, axis, (rng.gamma(1, 1, 13) + 0.1) * (rng.random(13) < 0.5)) for s in range(6)]
    path = write_imzml(tmp_path / "s.imzML", specs, shared_axis=True, spectrum_type="profile")
    with imn.open(path) as ds:
        axis_found = imn.candidate_axis(ds)
        peaks = imn.candidate_axis(ds, kind="peaks")
    assert len(axis_found) == 13
    (note,) = axis_found.notes
    assert "have only 13 m/z, too few for peaks" in note
    assert axis_found.evidence["bins"] == 13
    assert len(peaks) < 13
