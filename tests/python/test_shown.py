"""Several spectra at one pixel: images, TIC, mean spectrum, frequency and channels come from those that are shown."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml

Policy = Literal["first", "sum", "mean"]
POLICIES: tuple[Policy, ...] = ("first", "sum", "mean")
HEIGHT, WIDTH = 8, 9
OWN = 700.4  # of every run


def runs(n: int = 3, *, order: str = "run after run", share: float = 1.0, seed: int = 0) -> list[Spec]:
    """Runs on the same pixels, each with an ion of its own (300.1, 400.1 ...) and one that all have.

    Args:
        n: Number of runs.
        order: ``"run after run"`` or ``"pixel after pixel"``.
        share: Share of the pixels that further runs measured.
        seed: Of the noise.
    """
    draw = np.random.default_rng(seed)
    specs = []
    for run in range(n):
        for y, x in np.ndindex(HEIGHT, WIDTH):
            if run > 0 and draw.random() >= share:
                continue
            mz = np.array([300.1 + 100 * run, OWN]) * (1 + draw.normal(0, 1e-6, 2))
            specs.append(Spec(x + 1, y + 1, mz, np.array([1.0 + (x > 3), 2.0 + y]) + 0.1 * draw.random(2)))
    if order == "pixel after pixel":
        specs.sort(key=lambda spec: (spec.y, spec.x))
    return specs


def one_spectrum_per_pixel(specs: list[Spec], policy: Policy) -> list[tuple[Spec, NDArray[np.float64]]]:
    """What every pixel shows: its position, and intensity by m/z rounded to 0.1, as (m/z, intensity) rows."""
    pixels: dict[tuple[int, int], list[Spec]] = {}
    for spec in specs:
        pixels.setdefault((int(spec.y), int(spec.x)), []).append(spec)
    found = []
    for here in pixels.values():
        kept = here[:1] if policy == "first" else here
        rows = np.concatenate([np.column_stack([np.round(s.mz, 1), s.intensity]) for s in kept])
        mz = np.unique(rows[:, 0])
        total = np.array([rows[rows[:, 0] == each, 1].sum() for each in mz])
        found.append((here[0], np.column_stack([mz, total / (len(kept) if policy == "mean" else 1)])))
    return found


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("order", ["run after run", "pixel after pixel"])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_everything_agrees_with_what_is_shown(tmp_path: Path, policy: Policy, order: str, share: float) -> None:
    specs = runs(order=order, share=share)
    path = write_imzml(tmp_path / "s.imzML", specs, intensity_dtype="f8")
    truth = one_spectrum_per_pixel(specs, policy)
    masses = sorted({mz for _, rows in truth for mz in rows[:, 0]})
    images = np.zeros((len(masses), HEIGHT, WIDTH))
    for spec, rows in truth:
        for mz, intensity in rows:
            images[masses.index(mz), int(spec.y) - 1, int(spec.x) - 1] = intensity
    with imn.open(path, duplicates=policy) as ds:
        axis = imn.candidate_axis(ds)
        assert np.round(axis.mz, 1).tolist() == masses
        inside = ds.window_images(axis.mz_lo, axis.mz_hi)
        assert axis.frequency == pytest.approx((inside > 0).mean(axis=(1, 2)))
        assert axis.frequency == pytest.approx((images > 0).mean(axis=(1, 2)), abs=0.03)  # windows of three sd
        assert ds.ion_images(masses, tol=0.05) == pytest.approx(images, rel=1e-6)
        assert ds.tic_image() == pytest.approx(images.sum(axis=0), rel=1e-6)
        mz, intensity = ds.mean_spectrum()
        for each, image in zip(masses, images, strict=True):
            assert intensity[np.abs(mz - each) < 0.05].sum() == pytest.approx(image.mean(), rel=1e-6)
        assert intensity.sum() == pytest.approx(images.sum() / (HEIGHT * WIDTH), rel=1e-6)
        low, high = ds.mz_range
        assert low == pytest.approx(300.1, abs=0.01)
        assert high == pytest.approx(OWN, abs=0.01)


def test_hidden_spectra_do_not_widen_the_range(tmp_path: Path) -> None:
    specs = [*runs(1), Spec(1, 1, [50.0, 2000.0], [1.0, 1.0])]
    path = write_imzml(tmp_path / "s.imzML", specs)
    with imn.open(path) as ds:
        assert ds.mz_range == pytest.approx((300.1, OWN), abs=0.01)
    with imn.open(path, duplicates="sum") as ds:
        assert ds.mz_range == (50.0, 2000.0)


@pytest.mark.parametrize("policy", POLICIES)
def test_profiles_on_a_shared_axis(tmp_path: Path, policy: Policy) -> None:
    """A hidden run that has a peak of its own makes no channel and adds nothing to the mean."""
    axis = np.linspace(500.0, 510.0, 401)
    draw = np.random.default_rng(2)

    def profile(*peaks: float) -> NDArray[np.float64]:
        heights: NDArray[np.float64] = sum(100 * np.exp(-0.5 * ((axis - mz) / 0.1) ** 2) for mz in peaks)
        return heights * draw.uniform(0.5, 1.5) + draw.random(len(axis))

    specs = [Spec(x + 1, y + 1, axis, profile(502.0)) for y, x in np.ndindex(HEIGHT, WIDTH)]
    specs += [Spec(x + 1, y + 1, axis, profile(507.0)) for y, x in np.ndindex(HEIGHT, WIDTH)]
    path = write_imzml(tmp_path / "p.imzML", specs, shared_axis=True, spectrum_type="profile", intensity_dtype="f8")
    values = np.stack([np.asarray(spec.intensity) for spec in specs]).reshape(2, -1, len(axis))
    wanted = {"first": values[0], "sum": values.sum(axis=0), "mean": values.mean(axis=0)}[policy].mean(axis=0)
    with imn.open(path, duplicates=policy) as ds:
        assert ds.mean_spectrum()[1] == pytest.approx(wanted)
        found = imn.candidate_axis(ds).mz
    peaks = [502.0] if policy == "first" else [502.0, 507.0]
    assert [round(mz, 1) for mz in found] == peaks


def test_hidden_profiles_do_not_decide_the_type(tmp_path: Path) -> None:
    """Lists of peaks are shown, profiles are hidden, and the file does not say which is which."""
    draw = np.random.default_rng(3)
    lists, profiles = [], []
    for y, x in np.ndindex(HEIGHT, WIDTH):
        mz = np.sort(draw.uniform(300, 900, 60))
        lists.append(Spec(x + 1, y + 1, mz, draw.exponential(1, 60)))
        axis = 500 + 0.02 * np.arange(600) + draw.uniform(0, 0.01)
        peaks = sum(np.exp(-0.5 * ((axis - at) / 0.08) ** 2) for at in (502, 504, 507.5, 509))
        profiles.append(Spec(x + 1, y + 1, axis, peaks + 0.01 * draw.random(600)))
    alone = write_imzml(tmp_path / "alone.imzML", lists, spectrum_type=None)
    mixed = write_imzml(tmp_path / "mixed.imzML", [*lists, *profiles], spectrum_type=None)
    hidden = write_imzml(tmp_path / "hidden.imzML", [*profiles, *lists], spectrum_type=None)
    with imn.open(alone) as one, imn.open(mixed) as both, imn.open(hidden) as reverse:
        assert one.spectrum_type == both.spectrum_type == "centroid"
        assert imn.candidate_axis(one).evidence == imn.candidate_axis(both).evidence
        assert reverse.spectrum_type == "profile"


def test_planes_summarise_their_own_spectra(tmp_path: Path) -> None:
    """The whole of a file with several planes has a mean spectrum too: of the spectra that its planes show."""
    first, hidden = runs(2), runs(1, seed=5)
    specs = [Spec(s.x, s.y, s.mz, s.intensity, z=1 + k // (HEIGHT * WIDTH)) for k, s in enumerate(first)]
    specs += [Spec(s.x, s.y, np.asarray(s.mz) + 7, s.intensity, z=1) for s in hidden]
    path = write_imzml(tmp_path / "z.imzML", specs, intensity_dtype="f8")
    shown = np.stack([np.asarray(s.intensity) for s in first])
    with imn.open(path) as ds:
        assert ds.mean_spectrum()[1].sum() == pytest.approx(shown.sum(axis=1).mean())
        assert ds.plane(1).mz_range[1] < OWN + 1
        assert imn.candidate_axis(ds.plane(1)).frequency.tolist() == [1.0, 1.0]


def test_a_second_spectrum_does_not_vouch_for_a_channel(tmp_path: Path) -> None:
    """A pixel counts once for a channel that several of its spectra show."""
    specs = runs(1)
    rare = [Spec(1, 1, [512.3], [5.0 + k]) for k in range(9)]
    path = write_imzml(tmp_path / "s.imzML", specs + rare)
    with imn.open(path, duplicates="sum") as ds:
        axis = imn.candidate_axis(ds)
        assert all(share <= 1.0 for share in axis.frequency)
        assert not any(abs(mz - 512.3) < 0.1 for mz in axis.mz)  # one pixel has no shape


@pytest.mark.parametrize("policy", POLICIES)
def test_picks_of_three_runs(tmp_path: Path, policy: Policy) -> None:
    path = write_imzml(tmp_path / "s.imzML", runs())
    peaks = imn.pick(path, scorer="moran", top=9, duplicates=policy)
    frame = peaks.all_scores
    images = peaks.ion_images()
    assert len(frame) == (2 if policy == "first" else 4)
    for share, image in zip(frame["frequency"], images, strict=True):
        assert share == pytest.approx((np.nan_to_num(image) > 0).mean())
    assert peaks.run is not None
    assert peaks.run.input.opened_with["duplicates"] == policy
