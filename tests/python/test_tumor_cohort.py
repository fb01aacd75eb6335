from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.io.imzml_writer import ImzMLWriter
from ionmorphnet.tumor.channel_checks import shared_span
from ionmorphnet.tumor.channels import make_channels, read_channels
from ionmorphnet.tumor.cohort import open_section
from ionmorphnet.tumor.cubes import Cube, open_cubes, pixel_factors, split_blocks
from ionmorphnet.tumor.patches import Scaling, extract, labelled_pixels, local_features, thinned
from ionmorphnet.tumor.selection import section_scores, select, wanted_selection
from tumor_cohorts import LABELS, MZ, regions, write_cohort, write_section


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cohort(tmp_path_factory.mktemp("cohort"), patients=3)


@pytest.fixture(scope="module")
def cohort(listed: Path) -> imn.tumor.Cohort:
    return imn.tumor.read_cohort(listed, labels=LABELS)


def _axis() -> imn.CandidateAxis:
    return imn.CandidateAxis.from_mz_list(MZ, ppm=20)


def test_a_list_is_read(cohort: imn.tumor.Cohort, listed: Path) -> None:
    assert repr(cohort) == "Cohort(3 sections of 3 patients, classes normal, tumor)"
    assert [section.name for section in cohort.sections] == ["p0_0", "p1_0", "p2_0"]
    assert imn.tumor.read_cohort(listed).classes == ("1", "2")
    assert imn.tumor.read_cohort(listed, labels={"2": "t", "1": "n"}).classes == ("t", "n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists no sections"),
        ("file,patient\na,b", "column 'regions' is missing; required are file, regions, patient, found file, patient"),
        ("file,regions,patient\np0_0.imzML,gone.npy,a", "line 2: file not found: .*gone.npy"),
        ("file,regions,patient\np0_0.imzML,p0_0.npy,", "line 2: 'patient' is empty"),
        ("file,regions,patient\n" + "p0_0.imzML,p0_0.npy,a\n" * 2, "two sections are named 'p0_0'"),
        ("file,regions,patient,scale\np0_0.imzML,p0_0.npy,a,x", "scale 'x' is not a number"),
        ("file,regions,patient,scale\np0_0.imzML,p0_0.npy,a,0", r"bad\.csv: line 2: scale must be positive, not 0"),
        ("file,regions,patient,scale\np0_0.imzML,p0_0.npy,a,nan", r"bad\.csv: line 2: scale must be positive, not nan"),
    ],
)
def test_invalid_lists(listed: Path, text: str, message: str) -> None:
    path = listed.with_name("bad.csv")
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        imn.tumor.read_cohort(path, labels=LABELS)


def test_one_class_is_no_cohort(listed: Path) -> None:
    with pytest.raises(ArgumentError, match="at least two classes, found x"):
        imn.tumor.read_cohort(listed, labels={"1": "x", "2": "x"})


def test_a_mask_of_another_size_and_no_labels(listed: Path) -> None:
    np.save(listed.with_name("large.npy"), np.ones((9, 9), int))
    np.save(listed.with_name("none.npy"), np.zeros((14, 16), int))
    path = listed.with_name("other.csv")
    path.write_text("file,regions,patient\np0_0.imzML,large.npy,a\n")
    with (
        pytest.raises(FileError, match=r"large\.npy: the mask has shape \(9, 9\), but the section \(14, 16\)"),
        open_cubes(imn.tumor.read_cohort(path, labels=LABELS), _axis()),
    ):
        pass
    path.write_text("file,regions,patient\np0_0.imzML,none.npy,a\n")
    with (
        pytest.raises(FileError, match="no measured pixel of any section has a label"),
        open_cubes(imn.tumor.read_cohort(path, labels=LABELS), _axis()),
    ):
        pass


@pytest.mark.parametrize("limit", ["4GB", "60kB"])
def test_cubes_hold_normalised_roots_in_memory_or_on_disk(cohort: imn.tumor.Cohort, limit: str, tmp_path: Path) -> None:
    with open_cubes(cohort, _axis(), memory_limit=limit, folder=tmp_path) as cubes:
        assert isinstance(cubes[2].values, np.memmap) == (limit == "60kB")
        for cube, section in zip(cubes, cohort.sections, strict=True):
            with open_section(section) as ds:
                images = ds.ion_images(MZ, ppm=20)
                expected = np.sqrt(np.nan_to_num(1e4 * images / ds.tic_image()))
                np.testing.assert_allclose(cube.values, expected.transpose(1, 2, 0), rtol=1e-5)
                np.testing.assert_array_equal(cube.measured, ds.mask)
            assert cube.labels[0].max() == -1
            assert (cube.labels[~cube.measured] == -1).all()
            np.testing.assert_array_equal(cube.labels[5], regions()[5].astype(int) - 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("kind", "level"),
    [
        ("none", lambda x: 1.0),
        ("rms", lambda x: 100 / np.sqrt(np.mean(x**2))),
        ("median", lambda x: 100 / np.median(x)),
    ],
)
def test_normalisations(cohort: imn.tumor.Cohort, kind: str, level: object) -> None:
    with open_section(cohort.sections[0]) as ds:
        factor = pixel_factors(ds, kind)
        x, y, _ = ds.coordinates[20] - 1
        assert factor[y, x] == pytest.approx(level(ds.spectrum(20)[1]), rel=1e-5)  # type: ignore[operator]
        with pytest.raises(ArgumentError, match="normalize must be one of none, tic, rms, median, not 'sum'"):
            pixel_factors(ds, "sum")


@pytest.mark.parametrize("kind", ["tic", "rms", "median"])
def test_a_norm_is_taken_over_what_all_sections_span(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    further = np.concatenate([MZ, [600.0, 800.0]])
    for name, mz in (("a", MZ), ("b", further)):
        with ImzMLWriter(tmp_path / f"{name}.imzML", mode="continuous", spectrum_type="centroid") as writer:
            draw = np.random.default_rng(7)
            for y, x in np.ndindex(14, 16):
                intensity = np.concatenate([draw.gamma(8.0, 10.0, len(MZ)), rng.gamma(8.0, 900.0, len(mz) - len(MZ))])
                writer.add(x + 1, y + 1, mz, intensity)
        np.save(tmp_path / f"{name}.npy", regions())
    (tmp_path / "c.csv").write_text("file,regions,patient\na.imzML,a.npy,a\nb.imzML,b.npy,b\n")
    both = imn.tumor.read_cohort(tmp_path / "c.csv", labels=LABELS)
    with open_cubes(both, _axis(), normalize=kind) as (a, b):
        np.testing.assert_allclose(a.values, b.values, rtol=1e-6)
        assert a.values.max() > 0
    # Channels that not all sections reach are no channels by default, and refused where they are given.
    assert make_channels(None, both).mz.max() < 400
    with (
        pytest.raises(
            ArgumentError, match=r"section 'a', .*a\.imzML: spans m/z 200.0000 to 390.0000 and does not reach 2"
        ),
        open_cubes(both, imn.CandidateAxis.from_mz_list(further, ppm=20)),
    ):
        pass
    with pytest.raises(ArgumentError, match=r"'y'.* and 'x' .*share no m/z range"):
        shared_span([(100.0, 200.0), (300.0, 400.0)], ["x", "y"])


def test_what_the_reader_and_the_channels_miss_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    listed = write_cohort(tmp_path, patients=2)
    other = imn.tumor.read_cohort(listed, labels=LABELS)
    with open_section(other.sections[1]) as ds:
        stored = np.asarray(ds.spectrum(60)[1], np.float32)
    data = bytearray((tmp_path / "p1_0.ibd").read_bytes())
    at = data.index(stored.tobytes())
    data[at + 12 : at + 20] = np.array([np.nan, np.inf], np.float32).tobytes()
    (tmp_path / "p1_0.ibd").write_bytes(data)
    axis = imn.CandidateAxis.from_mz_list([*MZ[:-1], 385.0, MZ[-1]], ppm=20)
    with open_cubes(other, axis) as cubes:
        assert np.isfinite(cubes[1].values).all()
    lines = [record.getMessage() for record in caplog.records]
    assert sum("NaN or infinite intensities" in line for line in lines) == 1
    assert any("p1_0.imzML: NaN or infinite intensities in" in line for line in lines)
    assert sum("1 of 21 channels are constant" in line for line in lines) == 2


def test_patches_never_mix_sections(cohort: imn.tumor.Cohort) -> None:
    with open_cubes(cohort, _axis()) as cubes:
        pixels = labelled_pixels(cubes, [2, 0])
        mixed = pixels[np.random.default_rng(0).permutation(len(pixels))]
        scaling = Scaling.of(cubes, pixels, np.array([5, 3]))
        values, mask = extract(cubes, mixed, 5, scaling)
        for i in (0, 7, 100):
            cube = cubes[mixed.section[i]]
            y, x = divmod(int(mixed.pixel[i]), cube.measured.shape[1])
            assert mixed.label[i] == cube.labels[y, x]
            expected = (cube.values[y, x, [5, 3]] - scaling.centre) * scaling.scale
            np.testing.assert_allclose(values[i, :, 2, 2], expected, rtol=1e-6)
        assert mask[:, 2, 2].all()
        means = local_features(cubes, mixed, scaling, "-mean")
        np.testing.assert_allclose(means[7], values[7].sum((1, 2)) / mask[7].sum(), rtol=1e-5)
        # Standardised: sections count alike.
        own = local_features(cubes, pixels, scaling)
        assert abs(np.mean([own[pixels.section == s].mean() for s in (0, 2)])) < 1e-5


def test_channels_with_nan_are_named(cohort: imn.tumor.Cohort) -> None:
    with open_cubes(cohort, _axis()) as cubes:
        cubes[1].values[5, 3, 4] = np.nan
        with pytest.raises(ArgumentError, match="p1_0: channel 4 holds NaN"):
            Scaling.of(cubes, labelled_pixels(cubes, [0, 1]), np.arange(20))
        cubes[0].values[..., 7] = 3.0
        constant = Scaling.of(cubes, labelled_pixels(cubes, [0]), np.array([7, 8]))
        assert constant.scale[0] == 0.0
        assert constant.scale[1] > 0.0


def test_thinning_is_even_and_seeded(cohort: imn.tumor.Cohort) -> None:
    with open_cubes(cohort, _axis()) as cubes:
        pixels = labelled_pixels(cubes, range(3))
    few = thinned(pixels, 60, seed=1)
    assert len(few) == 60
    assert np.bincount(few.section * 2 + few.label).tolist() == [10] * 6
    np.testing.assert_array_equal(few.pixel, thinned(pixels, 60, seed=1).pixel)
    assert (few.pixel != thinned(pixels, 60, seed=2).pixel).any()
    assert thinned(pixels, len(pixels), seed=0) is pixels


def test_blocks_share_no_pixel(rng: np.random.Generator) -> None:
    labels = np.zeros((20, 24), np.int16)
    cube = Cube("s", "p", "s.imzML", np.zeros((20, 24, 1), np.float32), np.ones((20, 24), bool), labels)
    blocks = split_blocks(cube, 2, 3, buffer=2)
    assert [block.name for block in blocks] == [f"s[{r},{c}]" for r in range(2) for c in range(3)]
    seen = np.sum([block.measured for block in blocks], axis=0)
    assert (seen == 1).all()
    # Centres of two blocks are more than 2 * buffer apart, so patches of 5 pixels do not meet.
    places = [np.argwhere(block.labels == 0) for block in blocks]
    for i in range(6):
        for j in range(i):
            distance = np.abs(places[i][:, None] - places[j][None]).max(axis=2).min()
            assert distance > 4
    with pytest.raises(ArgumentError, match="leave no pixels inside a buffer of 2"):
        split_blocks(cube, 5, 3, buffer=2)


def test_several_lists_become_their_consensus(cohort: imn.tumor.Cohort) -> None:
    a = imn.CandidateAxis.from_mz_list([100.0, 200.0, 300.0], ppm=10)
    b = imn.CandidateAxis.from_mz_list([100.0005, 250.0, 300.001], ppm=10)
    c = imn.CandidateAxis.from_mz_list([100.0002, 400.0], ppm=10)
    all_ = make_channels([a, b, c], cohort, min_share=0.0)
    np.testing.assert_allclose(all_.mz, [100.000233, 200.0, 250.0, 300.0005, 400.0], rtol=1e-8)
    half = make_channels([a, b, c], cohort, min_share=0.5)
    np.testing.assert_allclose(half.mz, [100.000233, 300.0005], rtol=1e-8)
    np.testing.assert_allclose(half.frequency, [1.0, 2 / 3])
    assert (all_.mz_hi[:-1] < all_.mz_lo[1:]).all()
    with pytest.raises(ArgumentError, match="no channel occurs in 100%"):
        make_channels([a, imn.CandidateAxis.from_mz_list([500.0], ppm=5)], cohort, min_share=1.0)


def test_channels_are_given_in_many_ways(cohort: imn.tumor.Cohort, tmp_path: Path) -> None:
    assert make_channels(None, cohort).mz == pytest.approx(MZ)
    assert len(make_channels([300.0, 200.0], cohort, ppm=5)) == 2
    peaks = imn.pick(cohort.sections[0].path, top=4, scorer="moran")
    assert sorted(peaks.mz) == pytest.approx(make_channels(peaks, cohort).mz)
    peaks.to_csv(tmp_path / "peaks.csv")
    assert make_channels(tmp_path / "peaks.csv", cohort).mz_lo == pytest.approx(make_channels(peaks, cohort).mz_lo)
    assert len(make_channels([tmp_path / "peaks.csv", peaks], cohort)) == 4
    (tmp_path / "list.csv").write_text("mz\n300\n200\n")
    assert read_channels(tmp_path / "list.csv", ppm=5).mz.tolist() == [200.0, 300.0]
    with pytest.raises(ArgumentError, match="has no windows"):
        read_channels(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("name\nx\n")
    with pytest.raises(FileError, match="the column 'mz' is missing or empty"):
        read_channels(tmp_path / "list.csv", ppm=5)


def test_rankings_see_no_label(cohort: imn.tumor.Cohort) -> None:
    scores = section_scores(cohort, _axis(), ["moran", "intensity", "random", "all"], seed=3)
    assert [list(frame) for frame in scores] == [["moran", "intensity", "random"]] * 3
    assert select(scores, "moran", 1, 20).tolist() == [3]
    assert select(scores, "all", 1, 20).tolist() == list(range(20))
    assert len(select(scores, "random", 6, 20)) == 6
    np.testing.assert_array_equal(scores[0]["random"], scores[2]["random"])
    with open_section(cohort.sections[1]) as ds:
        expected = np.nanmean(ds.ion_images(MZ, ppm=20), axis=(1, 2))
    np.testing.assert_allclose(scores[1]["intensity"], expected, rtol=1e-5)
    with pytest.raises(ArgumentError, match="not 'best'"):
        section_scores(cohort, _axis(), ["best"])


@pytest.mark.parametrize(
    ("kinds", "top", "given", "expected"),
    [
        ((), None, False, (("picked",), 40)),
        ((), None, True, (("all",), 40)),
        ((), 7, True, (("picked",), 7)),
        (("moran",), None, True, (("moran",), 40)),
        (("moran", "all"), 3, False, (("moran", "all"), 3)),
    ],
)
def test_given_channels_are_used_unless_a_selection_is_requested(
    kinds: tuple[str, ...], top: int | None, given: bool, expected: object
) -> None:
    assert wanted_selection(kinds, top, given) == expected
    plan = imn.tumor.EvaluationPlan(selections=kinds, top=top).resolved(given=given)
    assert (plan.selections, plan.top) == expected


def test_invalid_selections() -> None:
    with pytest.raises(ArgumentError, match="not 'best'"):
        wanted_selection(["best"], 3, True)
    with pytest.raises(ArgumentError, match="at least 1, not 0"):
        wanted_selection([], 0, False)
    plan = imn.tumor.EvaluationPlan(ablation=("random",)).resolved(given=True)
    assert plan.selections == ("picked",)


def test_statistics_copy_the_chosen_channels_only(rng: np.random.Generator) -> None:
    values = rng.random((30, 40, 2000), np.float32)
    cube = Cube("s", "p", "s.imzML", values, np.ones((30, 40), bool), np.zeros((30, 40), np.int16))
    pixels = labelled_pixels([cube], [0])
    Scaling.of([cube], pixels, np.arange(2))
    tracemalloc.start()
    found = Scaling.of([cube], pixels, np.array([5, 1999]))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 0.1 * values.nbytes
    np.testing.assert_allclose(found.centre, values.reshape(-1, 2000)[:, [5, 1999]].mean(axis=0), rtol=1e-5)


def test_a_section_of_two_planes_is_refused(two_planes: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.ones((16, 18), int))
    (tmp_path / "c.csv").write_text(f"file,regions,patient\n{two_planes},m.npy,a\n")
    with pytest.raises(FileError, match=r"holds 2 z planes .*; give each section as a file with one plane"):
        imn.tumor.read_cohort(tmp_path / "c.csv")


def test_a_section_without_a_gap_is_measured_everywhere(tmp_path: Path, rng: np.random.Generator) -> None:
    write_section(tmp_path / "s.imzML", rng, gap=False)
    with imn.open(tmp_path / "s.imzML") as ds:
        assert ds.mask.all()
