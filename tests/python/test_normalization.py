"""Normalised ion images: norms and factors against the numpy specification, and a section whose gain changes."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet import _core
from ionmorphnet.cli.app import cli
from ionmorphnet.io.normalization import normalization_factors, pixel_norms
from ionmorphnet.reference import images as reference
from native import _core_testing

KINDS = ("tic", "rms", "median")
FLAT = (150.0, 210.2, 260.3, 300.1, 400.2)
DISC = 500.3


def sections(path: Path, *, shared: bool, compress: bool = False) -> list[Spec]:
    """60 of 80 pixels, one without a value, some measured twice; negative intensities and zeros."""
    rng = np.random.default_rng(3)
    axis = np.sort(rng.uniform(100, 900, 70))
    specs = []
    for cell in [*rng.permutation(80)[:60], 5, 5, 17]:
        mz = axis if shared else np.sort(rng.choice(axis, int(rng.integers(0, 60))))
        intensity = rng.gamma(2, 40, len(mz)) * (rng.random(len(mz)) < 0.8)
        intensity[:2] -= 1.0
        specs.append(Spec(int(cell % 10 + 1), int(cell // 10 + 1), mz, intensity))
    empty = specs[7]
    specs[7] = Spec(empty.x, empty.y, empty.mz, np.zeros(len(np.asarray(empty.mz))))
    write_imzml(path, specs, shared_axis=shared, compress=compress)
    return specs


def spectra_of(ds: imn.Dataset) -> tuple[list[tuple[np.ndarray, np.ndarray]], list[int]]:
    x, y, _ = ds.coordinates.T
    return [ds.spectrum(i) for i in range(len(ds))], ((y - 1) * ds.shape[1] + x - 1).tolist()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("compress", [False, True])
def test_images_against_the_specification(tmp_path: Path, kind: Any, shared: bool, compress: bool) -> None:
    path = tmp_path / "section.imzML"
    sections(path, shared=shared, compress=compress)
    lo, hi = np.array([100.0, 400.0, 300.0, 950.0]), np.array([900.0, 500.0, 450.0, 960.0])
    with imn.open(path, duplicates="sum") as ds:
        spectra, index = spectra_of(ds)
        expected = reference.pixel_norms(spectra, index, ds.shape, kind)
        found = pixel_norms(ds._native, kind, threads=1)
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        np.testing.assert_array_equal(pixel_norms(ds._native, kind, threads=3), found)
        factors = normalization_factors(found)
        np.testing.assert_allclose(factors, reference.normalization_factors(expected), rtol=1e-12)
        assert (factors[ds.mask] == 0).any()  # the empty spectrum
        assert (factors[ds.mask] == 1).any()  # the median pixel
        sums = np.zeros((4, *ds.shape))
        for (mz, intensity), at in zip(spectra, index, strict=True):
            for w in range(4):
                sums[w].flat[at] += reference.window_sum(mz, intensity, lo[w], hi[w])
        images = ds.window_images(lo, hi, normalize=kind)
        np.testing.assert_allclose(images[:, ds.mask], (sums * factors)[:, ds.mask].astype(np.float32), rtol=2e-7)
        np.testing.assert_array_equal(np.isnan(images).all(axis=0), ~ds.mask)
        # The same by every way to ask for it, and nothing changed for the dataset itself.
        again = ds.normalized(kind)
        np.testing.assert_array_equal(again.window_images(lo, hi), images)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).window_images(lo, hi), images)
        np.testing.assert_array_equal(again.window_images(lo, hi, normalize="none"), ds.window_images(lo, hi))
        np.testing.assert_array_equal(again.normalized("none").window_images(lo, hi), ds.window_images(lo, hi))
        np.testing.assert_array_equal(again.tic_image(), ds.tic_image())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shared", [False, True])
def test_device_kernels_have_the_same_bits(tmp_path: Path, kind: Any, shared: bool) -> None:
    path = tmp_path / "section.imzML"
    sections(path, shared=shared)
    rng = np.random.default_rng(1)
    lo = rng.uniform(50, 900, 90)
    hi = lo + rng.exponential(60, 90)
    for duplicates in ("first", "sum"):
        with imn.open(path, duplicates=duplicates) as ds:  # type: ignore[arg-type]
            native = ds.normalized(kind)._scored
            expected = _core.bin_images(native, lo, hi)
            assert (expected != _core.bin_images(ds._native, lo, hi)).any()
            for seed, strip, pixels in ((1, 200, 100), (2, 33, 17), (3, 1, 5)):
                cuts = {"seed": seed, "windows_per_strip": strip, "pixels_per_chunk": pixels, "bins_per_chunk": 64}
                got = _core_testing.emulated_bin_images(native, lo, hi, **cuts)
                np.testing.assert_array_equal(got, expected)


def test_norms_in_a_range(tmp_path: Path) -> None:
    write_imzml(tmp_path / "s.imzML", [Spec(1, 1, [100, 200, 300, 400], [1, 2, 4, 9]), Spec(2, 1, [100], [5])])
    with imn.open(tmp_path / "s.imzML") as ds:
        for kind, inside in (("tic", 6.0), ("rms", np.sqrt(10)), ("median", 3.0)):
            np.testing.assert_allclose(pixel_norms(ds._native, kind, (200, 300)), [[inside, 0]])  # type: ignore[arg-type]
        assert (pixel_norms(ds._native, "none") == 1).all()


def test_factors() -> None:
    norms = np.array([[0.0, 2.0, 8.0], [-3.0, np.nan, 4.0]])
    np.testing.assert_array_equal(normalization_factors(norms), [[0, 2, 0.5], [0, 0, 1]])
    assert (normalization_factors(np.zeros((2, 2))) == 0).all()
    assert normalization_factors(np.array([[5e-324, 1.0, 1.0]]))[0, 0] == 0  # would be infinite


def gain_section(path: Path, gain: np.ndarray) -> None:
    """Five flat channels and a disc, all times a gain per pixel (H, W)."""
    rng = np.random.default_rng(3)
    height, width = gain.shape
    y, x = np.mgrid[:height, :width]
    disc = (y - height // 2) ** 2 + (x - width // 3) ** 2 < (height // 4) ** 2
    specs = []
    for py in range(height):
        for px in range(width):
            flat = rng.gamma(4, 0.25, 5) * (3, 2, 1, 5, 2)
            values = np.append(flat, 1 + 2 * disc[py, px] + 0.2 * rng.uniform())
            specs.append(Spec(px + 1, py + 1, [*FLAT, DISC], values * gain[py, px]))
    write_imzml(path, specs)


def step(shape: tuple[int, int]) -> np.ndarray:
    gain = np.ones(shape)
    gain[shape[0] // 2 :] = 0.4
    return gain


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_of_sensitivity_is_levelled(tmp_path: Path, kind: Any) -> None:
    path = tmp_path / "step.imzML"
    gain_section(path, step((40, 50)))
    peaks = imn.pick(path, normalize=kind)
    np.testing.assert_allclose(peaks.mz, [DISC], rtol=1e-4)
    assert peaks.run is not None
    assert peaks.run["input"]["normalize"] == kind
    assert peaks.to_frame()["normalize"].tolist() == [kind]
    raw = imn.pick(path)
    assert len(raw) > 1
    assert "normalize" not in raw.to_frame()
    assert raw.run is not None
    np.testing.assert_array_equal(
        raw.all_scores.sort_values("mz")["mz_lo"], peaks.all_scores.sort_values("mz")["mz_lo"]
    )
    # A dataset that is normalised already gives the same scores, as does a result that is opened again.
    with imn.open(path) as ds:
        assert imn.pick(ds.normalized(kind)).all_scores.equals(peaks.all_scores)
        assert imn.pick(ds.normalized(kind), normalize="none").all_scores.equals(raw.all_scores)
    peaks.save(tmp_path / "out", formats="csv,parquet")
    again = imn.open_run(tmp_path / "out")
    assert again.dataset.normalize == kind
    np.testing.assert_array_equal(again.ion_images(), peaks.ion_images())


def test_on_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "step.imzML"
    gain_section(path, step((40, 50)))
    run = CliRunner().invoke(cli, ["pick", str(path), "-o", str(tmp_path / "o"), "--normalize", "tic", "--json"])
    assert run.exit_code == 0, run.output
    assert json.loads((tmp_path / "o/step/run.json").read_text())["input"]["normalize"] == "tic"
    out = tmp_path / "images.npz"
    arguments = ["images", str(path), "--mz", f"{DISC}", "--ppm", "20", "--normalize", "rms", "-o", str(out)]
    assert CliRunner().invoke(cli, arguments).exit_code == 0
    with imn.open(path) as ds, np.load(out) as saved:
        np.testing.assert_array_equal(saved["images"], ds.ion_images(DISC, ppm=20, normalize="rms"))
        assert str(saved["normalize"]) == "rms"


def test_unknown_names(tmp_path: Path) -> None:
    path = tmp_path / "s.imzML"
    write_imzml(path, [Spec(1, 1, [100], [1])])
    with imn.open(path) as ds:
        for call in (
            lambda: ds.normalized("TIC"),  # type: ignore[arg-type]
            lambda: ds.ion_images(100, ppm=5, normalize="max"),  # type: ignore[arg-type]
            lambda: imn.pick(ds, normalize="max"),  # type: ignore[arg-type]
            lambda: imn.pick_files([path], tmp_path / "o", normalize="max"),  # type: ignore[arg-type]
        ):
            with pytest.raises(imn.ArgumentError, match="normalize must be one of none, tic, rms, median"):
                call()
