"""Simulated sections of all four kinds, read back with pyimzML and compared with the ground truth."""

from __future__ import annotations

import errno
import inspect
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from pyimzml.ImzMLParser import ImzMLParser

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.cli.app import cli
from ionmorphnet.cli.simulate import simulate as command
from ionmorphnet.models.labels import CLASSES
from ionmorphnet.reference.statistics import morans_i
from ionmorphnet.simulation import SimulatedSection, simulate
from ionmorphnet.simulation.channels import abundance, draw_channels, draw_maps, observe, visible
from ionmorphnet.simulation.observer import Truth, judge
from ionmorphnet.simulation.section_truth import Tally
from ionmorphnet.simulation.silhouettes import draw_silhouette

# pyimzML prefers the other name of the term; M2aia reads the pixel size under this one only.
pytestmark = pytest.mark.filterwarnings("ignore:Accession IMS.1000046 found with incorrect name")


def spectra(section: SimulatedSection) -> tuple[np.ndarray, list[tuple[np.ndarray, np.ndarray]]]:
    """Pixels (n, 2) as (row, column) and their spectra."""
    with ImzMLParser(str(section.path)) as parser:
        pixels = np.array([(y - 1, x - 1) for x, y, _ in parser.coordinates])
        return pixels, [parser.getspectrum(k) for k in range(len(pixels))]


def peak_images(section: SimulatedSection, ppm: float) -> np.ndarray:
    """Summed intensity of each true channel, (n, H, W)."""
    pixels, read = spectra(section)
    mz = section.truth["mz"].to_numpy()
    images = np.zeros((len(mz), *section.measured.shape))
    for (row, col), (found, intensity) in zip(pixels, read, strict=True):
        low, high = (np.searchsorted(found, mz * (1 + sign * ppm * 1e-6)) for sign in (-1, 1))
        sums = np.concatenate([[0.0], np.cumsum(intensity, dtype=np.float64)])
        images[:, row, col] = sums[high] - sums[low]
    return images


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> SimulatedSection:
    path = tmp_path_factory.mktemp("section") / "section.imzML"
    return simulate(path, shape=(40, 36), n_channels=200, seed=3, noise_peaks=0.0, drift_ppm=1.0)


def test_processed_centroids_agree_with_the_truth(section: SimulatedSection) -> None:
    # Largest error: 2 ppm jitter plus half of the drift.
    images = peak_images(section, 2.6)
    measured = images[:, section.measured]
    np.testing.assert_allclose((measured > 0).mean(axis=1), section.truth["frequency"], atol=1e-12)
    np.testing.assert_allclose(measured.mean(axis=1), section.truth["mean_intensity"], rtol=1e-5)
    n_points = sum(len(mz) for mz, _ in spectra(section)[1])
    assert n_points == np.count_nonzero(measured)
    assert np.all(np.diff(section.truth["mz"]) > 0)


def test_truth_table_and_mask_on_disk(section: SimulatedSection) -> None:
    truth = pd.read_csv(section.truth_path, float_precision="round_trip")
    pd.testing.assert_frame_equal(truth, section.truth, check_exact=True)
    assert len(truth) == 200
    assert truth["informative"].sum() == 50
    assert truth.loc[truth["label"].isin(["structured", "negative"]), "informative"].all()
    assert (truth.loc[truth["label"] == "negative", "region"] == 0).all()
    assert (truth.loc[truth["region"] == -1, "structure"] == 0).all()
    assert (truth.loc[truth["region"] == -1, "label"] == "unstructured").all()
    with np.load(section.mask_path) as mask:
        np.testing.assert_array_equal(mask["measured"], section.measured)
        np.testing.assert_array_equal(mask["regions"] > 0, section.tissue)
    np.testing.assert_array_equal(section.informative_mz, truth.loc[truth["informative"], "mz"])


def test_informative_channels_are_structured_and_others_are_not(section: SimulatedSection) -> None:
    images = peak_images(section, 2.6).astype(np.float32)
    moran = pd.Series(morans_i(images)).groupby(section.truth["label"]).median()
    assert min(moran["structured"], moran["localized"], moran["negative"]) > 0.15
    assert abs(moran["unstructured"]) < 0.05
    structure = section.truth.groupby("informative")["structure"].median()
    assert structure[True] > 1.2
    assert structure[False] == 0.0
    faint = section.truth["informative"] & (section.truth["label"] == "unstructured")
    assert faint.sum() < 0.1 * section.truth["informative"].sum()


def test_channels_are_judged_as_single_images_are(rng: np.random.Generator) -> None:
    """Cells are pixels up to 48 pixels per side, so both ways of judging agree."""
    silhouette = draw_silhouette(rng, (44, 48), coverage=(0.3, 0.6))
    measured = np.ones((44, 48), dtype=np.bool_)
    maps = draw_maps(rng, silhouette)
    channels = draw_channels(rng, maps, measured, np.linspace(100.0, 200.0, 80), 40)
    tally = Tally.start(channels, maps, measured)
    expected = abundance(channels, tally.maps)
    observed = observe(rng, channels, expected)
    for part in (slice(0, 1000), slice(1000, tally.n_pixels)):
        tally.add(part, expected[part], observed[part])
    table = tally.truth()
    seen = visible(expected, channels.shape, channels.limit)
    labels, grades = [], []
    for k, kind in enumerate(channels.labels):
        prepared = Truth(seen[:, k].reshape(measured.shape), silhouette.tissue, measured)
        shares, grade = judge(int(kind), prepared.visibility(observed[:, k].reshape(measured.shape)))
        labels.append(CLASSES[int(shares.argmax())])
        grades.append(grade)
    assert len(set(labels)) >= 4
    np.testing.assert_allclose(table["structure"], grades, atol=0.15)
    assert (table["label"] == labels).mean() > 0.9


def test_the_detection_limit_hides_what_is_faint(rng: np.random.Generator) -> None:
    shape, limit = np.array([4.0], dtype=np.float32), np.array([0.6], dtype=np.float32)
    for mean in (0.1, 0.5, 1.0, 3.0):
        drawn = mean * rng.standard_gamma(4.0, 200_000) / 4.0
        expected = np.where(drawn < 0.6, 0.0, drawn).mean()
        found = visible(np.full((1, 1), mean, dtype=np.float32), shape, limit)[0, 0]
        assert found == pytest.approx(expected, abs=0.02)


def test_mass_errors_keep_their_bounds(tmp_path: Path) -> None:
    section = simulate(
        tmp_path / "s.imzML", shape=(30, 30), n_channels=50, jitter_ppm=3.0, drift_ppm=6.0, noise_peaks=0.0
    )
    mz, errors = section.truth["mz"].to_numpy(), []
    for found, _ in spectra(section)[1]:
        nearest = np.abs(np.log(found[:, None] / mz)).argmin(axis=1)
        errors.append((found / mz[nearest] - 1.0) * 1e6)
    assert np.abs(np.concatenate(errors)).max() <= 6.0
    first, last = np.concatenate(errors[:90]).mean(), np.concatenate(errors[-90:]).mean()
    assert last - first == pytest.approx(6.0 * 0.9, abs=0.4)


def test_close_pairs_keep_their_distance(tmp_path: Path) -> None:
    section = simulate(tmp_path / "s.imzML", shape=(16, 16), n_channels=120, close_pairs=20, min_gap_ppm=15.0)
    gaps = np.diff(np.log(section.truth["mz"].to_numpy())) * 1e6
    assert np.sum(np.isclose(gaps, 15.0, rtol=1e-3)) == 20
    assert np.sort(gaps)[20:].min() > 44.0


def test_continuous_centroids_lie_on_the_channels(tmp_path: Path) -> None:
    section = simulate(tmp_path / "s.imzML", shape=(20, 30), n_channels=80, mode="continuous", outline=True, seed=2)
    pixels, read = spectra(section)
    assert len(pixels) == section.measured.sum() < 600
    assert pixels.min(axis=0).tolist() == [0, 0]
    assert section.measured[pixels[:, 0], pixels[:, 1]].all()
    for mz, _ in read:
        np.testing.assert_array_equal(mz, section.truth["mz"])
    intensities = np.stack([intensity for _, intensity in read])
    np.testing.assert_allclose((intensities > 0).mean(axis=0), section.truth["frequency"], atol=1e-12)


def test_continuous_profiles_peak_at_the_channels(tmp_path: Path) -> None:
    section = simulate(
        tmp_path / "s.imzML",
        shape=(20, 20),
        n_channels=40,
        mode="continuous",
        spectrum_type="profile",
        mz_range=(300.0, 400.0),
        baseline=0.0,
    )
    _, read = spectra(section)
    axis = read[0][0]
    assert axis.size == round(3 * 20_000 * np.log(4 / 3))
    mean = np.mean([intensity for _, intensity in read], axis=0)
    for mz, level in section.truth.loc[section.truth["mean_intensity"] > 5, ["mz", "mean_intensity"]].to_numpy():
        near = np.flatnonzero(np.abs(axis / mz - 1) < 40e-6)
        top = near[mean[near].argmax()]
        assert abs(axis[top] / mz - 1) < 12e-6
        assert mean[top] == pytest.approx(level, rel=0.2)


def test_processed_profiles_leave_the_baseline_out(tmp_path: Path) -> None:
    section = simulate(
        tmp_path / "s.imzML", shape=(20, 20), n_channels=40, spectrum_type="profile", n_bins=8000, baseline=2.0
    )
    _, read = spectra(section)
    assert all(len(intensity) == 0 or intensity.min() > 6.0 for _, intensity in read)
    assert all((np.diff(mz) > 0).all() for mz, _ in read)
    assert np.mean([len(mz) for mz, _ in read]) < 800
    with ImzMLParser(str(section.path)) as parser:
        assert parser.spectrum_mode == "profile"


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    names = ("a", "b", "c")
    for name, seed in zip(names, (1, 1, 2), strict=True):
        simulate(tmp_path / f"{name}.imzML", shape=(16, 20), n_channels=30, seed=seed)
    for suffix in (".imzML", ".ibd", "_truth.csv"):
        a, b, c = ((tmp_path / f"{name}{suffix}").read_bytes() for name in names)
        assert a == b != c


def test_stopping_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        assert 0 < done <= total
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(tmp_path / "s.imzML", shape=(16, 16), n_channels=20, progress=stop)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"shape": (8, 50)}, "at least 16"),
        ({"shape": (20.0, 20.0)}, "shape must be an integer"),
        ({"shape": (20, 20, 20)}, "shape must be"),
        ({"shape": 20}, "shape must be"),
        ({"n_channels": 0}, "n_channels"),
        ({"n_channels": 20.5}, "n_channels must be an integer"),
        ({"n_informative": 2.0}, "n_informative must be an integer"),
        ({"close_pairs": 1.5}, "close_pairs must be an integer"),
        ({"close_pairs": -1}, "close_pairs"),
        ({"seed": -1}, "seed must be at least 0"),
        ({"seed": 1.5}, "seed must be an integer"),
        ({"n_informative": 21}, "n_informative"),
        ({"mz_range": (500.0, 100.0)}, "mz_range"),
        ({"mz_range": (100.0, 100.01)}, "do not fit"),
        ({"jitter_ppm": -1.0}, "jitter_ppm"),
        ({"jitter_ppm": 1e5}, "jitter_ppm must be a number from 0 to 10000"),
        ({"drift_ppm": 1e5}, "drift_ppm"),
        ({"drift_ppm": float("nan")}, "drift_ppm"),
        ({"baseline": "high"}, "baseline must be a number"),
        ({"mz_range": (float("nan"), 100.0)}, "mz_range"),
        ({"mz_range": 100.0}, "mz_range"),
        ({"min_gap_ppm": 0.0}, "min_gap_ppm"),
        ({"mode": "imaging"}, "mode"),
        ({"spectrum_type": "line"}, "spectrum_type"),
        ({"close_pairs": 11}, "close_pairs"),
        ({"resolving_power": 0.0}, "resolving_power"),
        ({"spectrum_type": "profile", "n_bins": 1}, "n_bins"),
        ({"spectrum_type": "profile", "n_bins": 20_000_001}, "n_bins must be at most 20,000,000"),
        ({"spectrum_type": "profile", "resolving_power": 1e9}, "yields 6,907,755,279 bins, more than 2,000,000"),
        ({"pixel_size_um": -1.0}, "pixel_size_um"),
    ],
)
def test_bad_arguments(tmp_path: Path, change: dict[str, object], message: str) -> None:
    arguments: dict[str, object] = {"shape": (16, 16), "n_channels": 20} | change
    with pytest.raises(ArgumentError, match=message):
        simulate(tmp_path / "s.imzML", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("outline", [False, True])
@pytest.mark.parametrize("noise_peaks", [0.0, 20.0])
def test_masks_have_the_grid_of_the_file(tmp_path: Path, outline: bool, noise_peaks: float) -> None:
    shape = (40, 60)
    section = simulate(
        tmp_path / "s.imzML",
        shape=shape,
        n_channels=20,
        outline=outline,
        noise_peaks=noise_peaks,
        seed=1,
    )
    with imn.open(section.path) as ds:
        np.testing.assert_array_equal(ds.mask, section.measured)
    if outline:
        assert section.measured.size < shape[0] * shape[1]  # otherwise the test would show nothing
    else:
        assert section.measured.shape == shape
    with np.load(section.mask_path) as masks:
        for name in ("measured", "tissue", "regions"):
            np.testing.assert_array_equal(masks[name], getattr(section, name))
            assert masks[name].shape == section.measured.shape


def test_regions_lie_where_the_channels_do(tmp_path: Path) -> None:
    """Cropping shifts ground truth and file alike, so off-sample channels are bright off the sample."""
    section = simulate(tmp_path / "s.imzML", shape=(50, 70), n_channels=80, outline=True, noise_peaks=0.0, seed=9)
    images = peak_images(section, 2.6)
    truth = section.truth
    of_sample = (truth["label"] == "structured").to_numpy()
    assert of_sample.sum() > 3
    inside = images[of_sample][:, section.measured & section.tissue].mean(axis=1)
    outside = images[of_sample][:, section.measured & ~section.tissue].mean(axis=1)
    assert np.median(outside / inside) < 0.2


@pytest.mark.parametrize("name", ["s.imzML", "s.ibd", "s_truth.csv", "s_mask.npz"])
def test_a_folder_of_any_name_is_refused_before_the_work(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    calls: list[int] = []
    with pytest.raises(FileError, match=rf"{name}: is a folder"):
        simulate(tmp_path / "s.imzML", shape=(16, 16), n_channels=20, progress=lambda done, total: calls.append(done))
    assert not calls
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_truth_that_cannot_be_written_leaves_no_pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(FileError, match="No space"):
        simulate(tmp_path / "s.imzML", shape=(16, 16), n_channels=20)
    assert not list(tmp_path.iterdir())


def test_a_given_length_allows_any_resolving_power(tmp_path: Path) -> None:
    section = simulate(
        tmp_path / "s.imzML",
        shape=(16, 16),
        n_channels=5,
        mode="continuous",
        spectrum_type="profile",
        resolving_power=1e6,
        n_bins=500,
    )
    assert spectra(section)[1][0][0].size == 500


@pytest.fixture
def passed(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Receives the options that the command passes to the function."""
    seen: dict[str, object] = {}

    def note(path: Path, **options: object) -> SimulatedSection:
        seen.update(options)
        return simulate(path, shape=(16, 16), n_channels=20)

    monkeypatch.setattr(imn, "simulate", note)
    return seen


def test_command_passes_every_option_on(tmp_path: Path, passed: dict[str, object]) -> None:
    given = (
        "--shape 40 30 --n-channels 90 --n-informative 12 --mz-range 200 600.5 --jitter-ppm 1 --drift-ppm 3 "
        "--min-gap-ppm 20 --close-pairs 5 --noise-peaks 0 --resolving-power 5000 --n-bins 700 --outline "
        "--mode continuous --spectrum-type profile --instrument ft-icr --rare-share 0.25 --pixel-size-um 12 --zlib "
        "--seed 4"
    )
    done = CliRunner().invoke(command, [str(tmp_path / "s.imzML"), *given.split()], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert passed == {
        "shape": (40, 30),
        "n_channels": 90,
        "n_informative": 12,
        "mz_range": (200.0, 600.5),
        "jitter_ppm": 1.0,
        "drift_ppm": 3.0,
        "min_gap_ppm": 20.0,
        "close_pairs": 5,
        "noise_peaks": 0.0,
        "resolving_power": 5000.0,
        "n_bins": 700,
        "outline": True,
        "mode": "continuous",
        "spectrum_type": "profile",
        "instrument": "ft-icr",
        "rare_share": 0.25,
        "pixel_size_um": 12.0,
        "zlib": True,
        "seed": 4,
        "progress": None,  # no terminal
    }


def test_command_has_the_defaults_of_the_function(tmp_path: Path, passed: dict[str, object]) -> None:
    done = CliRunner().invoke(command, [str(tmp_path / "s.imzML")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    defaults = {name: p.default for name, p in inspect.signature(simulate).parameters.items()}
    assert passed == {name: defaults[name] for name in set(defaults) - {"path", "baseline"}}


def test_command_states_the_measured_grid(tmp_path: Path) -> None:
    options = ["--shape", "40", "60", "--n-channels", "20", "--outline", "--seed", "1"]
    done = CliRunner().invoke(command, [str(tmp_path / "s.imzML"), *options], catch_exceptions=False)
    with imn.open(tmp_path / "s.imzML") as ds:
        height, width = ds.shape
        assert (
            f"{width} x {height} pixels (width x height), {ds.mask.sum()} measured, 20 channels, seed 1" in done.output
        )
    assert (height, width) != (40, 60)


@pytest.mark.parametrize("name", ["simulate", "demo"])
def test_commands_refuse_a_negative_seed(tmp_path: Path, name: str) -> None:
    out = ["-o", str(tmp_path / "demo")] if name == "demo" else [str(tmp_path / "s.imzML")]
    done = CliRunner().invoke(cli, [name, *out, "--seed", "-1"])
    assert done.exit_code == 2
    assert "-1 is not in the range x>=0" in done.output
    assert not list(tmp_path.iterdir())
