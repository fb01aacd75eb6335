"""Signs of a faulty measurement or conversion: the value that is stated is the one that was put in."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet import _core
from odd_files import intensities, masses
from odd_files.sections import FLAVOURS, Section, clean_section


@pytest.fixture(scope="module")
def sections(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Section]:
    folder = tmp_path_factory.mktemp("clean")
    return {flavour: clean_section(folder, flavour, 3) for flavour in FLAVOURS}


def _findings(section: Section, folder: Path) -> list[str]:
    with imn.open(section.write(folder / "s.imzML")) as ds:
        found = imn.check_data(ds)
        assert imn.check_data(ds) == found
        assert [line for line in ds.warnings if line in found] == found
    return found


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("seed", [11, 12])
def test_nothing_is_found_in_a_section_in_order(tmp_path: Path, flavour: str, seed: int) -> None:
    assert _findings(clean_section(tmp_path, flavour, seed), tmp_path) == []


@pytest.mark.parametrize("drift", [0.0, 1.0])
@pytest.mark.parametrize("jitter", [0.5, 5.0])
def test_mass_errors_within_a_peak_are_in_order(tmp_path: Path, jitter: float, drift: float) -> None:
    path = imn.simulate(
        tmp_path / "s.imzML", shape=(30, 30), n_channels=80, jitter_ppm=jitter, drift_ppm=drift * jitter, seed=4
    ).path
    with imn.open(path) as ds:
        assert imn.check_data(ds) == []


@pytest.mark.parametrize(("x", "y"), [(17, 9), (30, 31)])
def test_the_hot_pixel_is_named(sections: dict[str, Section], tmp_path: Path, x: int, y: int) -> None:
    section = sections["continuous"].change_intensities(lambda v, at_x, at_y: v + 1e8 * ((at_x, at_y) == (x, y)))
    (line,) = _findings(section, tmp_path)
    assert f"x {x}, y {y} is over 1000 times as bright" in line


@pytest.mark.parametrize(("ppm", "share"), [(40.0, 0.5), (-90.0, 0.25)])
def test_a_jump_of_the_calibration_is_measured(
    sections: dict[str, Section], tmp_path: Path, ppm: float, share: float
) -> None:
    n = len(sections["processed"].specs)
    section = sections["processed"].change_mz(lambda mz, i: mz * (1 + 1e-6 * ppm * (i >= share * n)))
    (line,) = _findings(section, tmp_path)
    assert float(re.findall(r"shift by (\S+) ppm", line)[0]) == pytest.approx(abs(ppm), rel=0.1)
    assert float(re.findall(r"about (\d+)% of the run", line)[0]) == pytest.approx(100 * share, abs=7)


@pytest.mark.parametrize("ppm", [60.0, -200.0])
def test_a_drift_of_the_calibration_is_measured(sections: dict[str, Section], tmp_path: Path, ppm: float) -> None:
    n = len(sections["processed"].specs)
    section = sections["processed"].change_mz(lambda mz, i: mz * (1 + 1e-6 * ppm * i / n))
    (line,) = _findings(section, tmp_path)
    assert float(re.findall(r"shift by (\S+) ppm over the run", line)[0]) == pytest.approx(abs(ppm), rel=0.25)


def test_an_offset_between_lines_is_measured(sections: dict[str, Section], tmp_path: Path) -> None:
    section = sections["processed"].change_mz(lambda mz, i: mz * (1 + 50e-6 * (i // 48 % 2)))
    (line,) = _findings(section, tmp_path)
    assert float(re.findall(r"shift by (\S+) ppm between even and odd lines", line)[0]) == pytest.approx(50, rel=0.1)


def test_profiles_that_jump(sections: dict[str, Section], tmp_path: Path) -> None:
    (line,) = _findings(masses.profile_step(sections["profile"], np.random.default_rng(2)), tmp_path)
    assert re.search(r"m/z shift by \S+ ppm over the run", line)


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_the_limit_of_a_saturated_detector_is_stated(
    sections: dict[str, Section], tmp_path: Path, flavour: str
) -> None:
    values = np.concatenate([np.asarray(spec.intensity) for spec in sections[flavour].specs])
    limit = float(np.float32(np.quantile(values[values > 0], 0.9)))
    section = sections[flavour].change_intensities(lambda v, x, y: np.minimum(v, limit))
    (line,) = _findings(section, tmp_path)
    assert f"intensities are cut off at {limit:.6g}" in line


def test_few_counts_are_not_cut_off(sections: dict[str, Section], tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    section = sections["processed"].change_intensities(lambda v, x, y: 1.0 + rng.poisson(0.4, len(v)))
    assert _findings(section, tmp_path) == []


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("change", [np.log1p, np.log10, np.log2])
def test_logarithms(sections: dict[str, Section], tmp_path: Path, flavour: str, change: np.ufunc) -> None:
    section = sections[flavour].change_intensities(lambda v, x, y: np.where(v > 1, change(np.maximum(v, 1)), 0))
    assert any("like logarithms" in line for line in _findings(section, tmp_path))


def test_small_intensities_are_no_logarithms(sections: dict[str, Section], tmp_path: Path) -> None:
    for flavour in FLAVOURS:
        section = sections[flavour].change_intensities(lambda v, x, y: 1e-3 * v)
        assert _findings(section, tmp_path) == []


@pytest.mark.parametrize("shape", [2, 4, 8])
def test_noise_in_small_units_is_no_logarithm(sections: dict[str, Section], tmp_path: Path, shape: int) -> None:
    rng = np.random.default_rng(6)
    for flavour in ("processed", "continuous"):
        section = sections[flavour].change_intensities(lambda v, x, y: rng.gamma(shape, 1.0, len(v)))
        assert _findings(section, tmp_path) == []


def test_a_limit_of_the_whole_file_is_told_once(sections: dict[str, Section], tmp_path: Path) -> None:
    section = intensities.clipped(sections["continuous"], np.random.default_rng(0))
    run = imn.pick(section.write(tmp_path / "s.imzML"), scorer="moran", top=20).run
    assert run is not None
    told = [line for line in (*run.input.warnings, *run.warnings) if "saturated" in line]
    assert len(told) == 1
    assert told[0].startswith("intensities are cut off at")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (intensities.normalised, "same total intensity (1)"),
        (intensities.base_peak_normalised, "same largest intensity (100)"),
        (intensities.all_ones, "all intensities are equal (1)"),
        (intensities.sign_reversed, "negative intensities in 1920 of 1920 spectra"),
    ],
)
def test_processed_intensities(sections: dict[str, Section], tmp_path: Path, change: object, words: str) -> None:
    assert callable(change)
    (line,) = _findings(change(sections["continuous"], np.random.default_rng(0)), tmp_path)
    assert words in line


def test_root_mean_square(sections: dict[str, Section], tmp_path: Path) -> None:
    section = sections["processed"].change_intensities(lambda v, x, y: v / np.sqrt((v**2).sum()))
    (line,) = _findings(section, tmp_path)
    assert "same root of their sum of squares" in line


def test_empty_spectra_between_others(sections: dict[str, Section], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    section = sections["processed"].copy()
    for k in rng.choice(len(section.specs), 300, replace=False).tolist():
        section.specs[k].mz = section.specs[k].intensity = np.empty(0)
    (line,) = _findings(section, tmp_path)
    assert line.startswith("300 of 1920 spectra are empty")


def test_an_empty_region_is_in_order(sections: dict[str, Section], tmp_path: Path) -> None:
    section = sections["processed"].copy()
    for spec in section.specs:
        if int(spec.x) > 30:
            spec.mz = spec.intensity = np.empty(0)
    assert _findings(section, tmp_path) == []


def test_each_plane_is_looked_at(sections: dict[str, Section], tmp_path: Path) -> None:
    section = sections["continuous"].copy()
    faulty = intensities.logarithms(sections["continuous"], np.random.default_rng(0))
    for z, part in ((1, section), (2, faulty)):
        for spec in part.specs:
            spec.z = z
    section.specs = section.specs + faulty.specs
    (line,) = _findings(section, tmp_path)
    assert line.startswith("plane z=2: intensities look transformed")


def test_what_is_in_order_at_the_threads(sections: dict[str, Section], tmp_path: Path) -> None:
    path = intensities.logarithms(sections["processed"], np.random.default_rng(0)).write(tmp_path / "s.imzML")
    with imn.open(path) as one, imn.open(path) as four:
        assert imn.check_data(one, threads=1) == imn.check_data(four, threads=4)


@pytest.mark.parametrize("order", ["mz", "both"])
def test_big_endian_arrays_are_named(sections: dict[str, Section], tmp_path: Path, order: str) -> None:
    section = sections["processed"].copy()
    if order == "both":
        section.options["byte_order"] = ">"
    else:
        for spec in section.specs:
            spec.mz = np.asarray(spec.mz).astype(">f8").view("<f8")
    with imn.open(section.write(tmp_path / "s.imzML")) as ds, pytest.raises(imn.FileError, match="big-endian"):
        ds.spectrum(0)


def test_exchanged_terms_are_named(sections: dict[str, Section], tmp_path: Path) -> None:
    section = sections["continuous"].copy()
    section.options["array_terms"] = {"mz": ("MS:1000515", "intensity array"), "intensity": ("MS:1000514", "m/z array")}
    with imn.open(section.write(tmp_path / "s.imzML")) as ds, pytest.raises(imn.FileError, match="were exchanged"):
        ds.spectrum(0)


def test_unsorted_values_keep_their_own_message(sections: dict[str, Section], tmp_path: Path) -> None:
    section = sections["processed"].copy()
    section.specs[0].mz = np.asarray(section.specs[0].mz)[::-1].copy()
    with (
        imn.open(section.write(tmp_path / "s.imzML")) as ds,
        pytest.raises(imn.FileError, match=r"not ascending.*sorts"),
    ):
        ds.spectrum(0)


def test_facts_of_spectra_against_numpy(tmp_path: Path, rng: np.random.Generator) -> None:
    edges = np.array([150.0, 300.0, 300.0, 777.5, 900.0])
    specs = []
    for x in range(1, 151):  # more than two grains of a thread
        mz = np.sort(rng.uniform(100.0, 1000.0, rng.integers(0, 40)))
        intensity = rng.poisson(2.0, len(mz)).astype(np.float64)
        if x % 7 == 0:
            intensity -= 1.5
        if x % 5 == 0 and len(mz) > 3:
            mz = np.sort(np.append(mz[1:], edges[3]))  # bounds belong to the band above them
        specs.append(Spec(x, 1, mz, intensity))
    specs[3] = Spec(4, 1, [], [])
    with imn.open(write_imzml(tmp_path / "a.imzML", specs, mode="processed")) as ds:
        chosen = [149, *range(0, 149, 2), 3]
        facts, coarse = _core.spectrum_facts(ds._native, chosen, edges, threads=2)
    for row, bands, k in zip(facts, coarse, chosen, strict=True):
        mz, v = np.asarray(specs[k].mz, float), np.asarray(specs[k].intensity, float)
        if not len(v):
            assert not row.any()
            continue
        top = v.max()
        expected = [np.count_nonzero(v), v.sum(), (v * v).sum(), v.min(), top]
        expected += [(v == top).sum(), (v >= 0.8 * top).sum()] if top > 0 else [0, 0]
        np.testing.assert_allclose(row, expected, rtol=1e-12, atol=1e-12)
        sums = [v[(mz >= low) & (mz < high)].sum() for low, high in itertools.pairwise(edges)]
        np.testing.assert_allclose(bands, np.sqrt(np.maximum(sums, 0.0)), rtol=1e-6, atol=1e-6)
