"""MS levels, polarities, runs and scans of a file: what is read by default, what can be chosen, and what is said.

Every file holds the ion at m/z 300 in the spectra that are to be read and the one at m/z 150 in those that are not, so
that a wrong choice shows in the images.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, cv, ms_level, polarity, representation, scan_filter
from mixed_spectra import FRAGMENTS, FULL, HEIGHT, LEVEL_TERM, POLARITIES, WIDTH, both, spec, write


def assert_only_wanted(ds: imn.Dataset, pixels: int = HEIGHT * WIDTH) -> None:
    """All pixels show the spectra with m/z 300, with their own intensity."""
    image, other = ds.ion_images([300.0, 150.0], tol=0.1)
    assert ds.n_spectra == pixels
    assert image[~np.isnan(image)].tolist() == [1.0 + p for p in range(pixels)]
    assert np.nansum(other) == 0.0


def only_warning(ds: imn.Dataset, *parts: str) -> None:
    (line,) = ds.warnings
    for part in parts:
        assert part in line


# How files say that spectra are MS2 and others are not: terms of the spectra to read, terms of the others.
LEVELS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "level and term": ({"params": ms_level(1)}, {"params": ms_level(2)}),
    "term alone": ({"params": LEVEL_TERM[1]}, {"params": LEVEL_TERM[2]}),
    "level alone": ({"params": cv("MS:1000511", "ms level", 1)}, {"params": cv("MS:1000511", "ms level", 2)}),
    "parameter group": ({"groups": ("spectrum", "full")}, {"groups": ("spectrum", "fragments")}),
    "group of the scan": ({"scan_groups": ("full",)}, {"scan_groups": ("fragments",)}),
    "filter string": ({"scan_params": scan_filter(FULL)}, {"scan_params": scan_filter(FRAGMENTS)}),
    "reaction monitoring": (
        {"params": cv("MS:1000582", "SIM spectrum")},
        {"params": cv("MS:1000583", "SRM spectrum")},
    ),
    "boilerplate beside the filter": (
        {"params": LEVEL_TERM[1] + cv("MS:1000511", "ms level", 0), "scan_params": scan_filter(FULL)},
        {"params": LEVEL_TERM[1] + cv("MS:1000511", "ms level", 0), "scan_params": scan_filter(FRAGMENTS)},
    ),
}
GROUPS = {"full": ms_level(1), "fragments": ms_level(2), "pos": polarity("positive"), "neg": polarity("negative")}


@pytest.mark.parametrize("how", LEVELS)
def test_the_lowest_level_is_read(tmp_path: Path, how: str) -> None:
    path = write(tmp_path, both(*LEVELS[how]), groups=GROUPS)
    with imn.open(path) as ds:
        assert (ds.ms_levels, ds.ms_level) == ({1: 20, 2: 20}, 1)
        assert_only_wanted(ds)
        only_warning(ds, "MS levels 1 (20 spectra) and 2 (20)", "--ms-level (Python: ms_level=)")
        assert ds.declared["ms_level"] == "1"
    with imn.open(path, ms_level=2) as ds:
        assert (ds.ms_level, ds.n_spectra, ds.warnings) == (2, 20, [])
        assert np.nansum(ds.ion_images([300.0], tol=0.1)) == 0.0
        assert [ds._native.spectrum_length(i) for i in (0, 19)] == [2, 2]
    with pytest.raises(imn.FileError, match=r"s\.imzML: holds no spectra of MS level 3, but of MS levels 1 .20"):
        imn.open(path, ms_level=3)


def test_precursors_tell_fragments(tmp_path: Path) -> None:
    """Spectra with a precursor are fragments even where nothing else says so."""
    precursor = {"params": '<precursorList count="1"><precursor/></precursorList>'}
    with imn.open(write(tmp_path, both({}, precursor))) as ds:
        assert (ds.ms_levels, ds.ms_level) == ({0: 20, 2: 20}, 1)
        assert_only_wanted(ds)


def test_spectra_of_light_are_left_out(tmp_path: Path) -> None:
    """A diode array beside the mass spectrometer: ``ms level`` 1, and wavelengths written as m/z."""
    light = cv("MS:1000804", "electromagnetic radiation spectrum") + cv("MS:1000511", "ms level", 1)
    with imn.open(write(tmp_path, both({"params": ms_level(1)}, {"params": light}))) as ds:
        assert_only_wanted(ds)
        only_warning(ds, "20 of 40 spectra are of light")
    with pytest.raises(imn.FileError, match="holds no mass spectra"):
        imn.open(write(tmp_path, [spec(p, True, params=light) for p in range(20)]))


def test_unmarked_spectra_beside_fragments_are_ms1(tmp_path: Path) -> None:
    with imn.open(write(tmp_path, both({}, {"params": ms_level(2)}))) as ds:
        assert (ds.ms_levels, ds.ms_level) == ({0: 20, 2: 20}, 1)
        assert_only_wanted(ds)
        assert ["unknown (20 spectra) and 2 (20)" in ds.warnings[0], "read as MS1" in ds.warnings[1]] == [True, True]


def test_fewer_ms1_than_ms2_spectra(tmp_path: Path) -> None:
    """Data-dependent acquisition: an MS1 spectrum at some pixels only. The others are not measured, not 0."""
    specs = [spec(p, p % 4 == 0, params=ms_level(1 if p % 4 == 0 else 2)) for p in range(HEIGHT * WIDTH)]
    with imn.open(write(tmp_path, specs)) as ds:
        image = ds.ion_images([300.0], tol=0.1)[0]
        assert image[~np.isnan(image)].tolist() == [1.0, 5.0, 9.0, 13.0, 17.0]
        assert ds.shape == (4, 5)
        assert ds.mask.sum() == 5


def test_fragments_alone_are_read_without_a_word(tmp_path: Path) -> None:
    specs = [spec(p, True, params=ms_level(2), scan_params=scan_filter(FRAGMENTS)) for p in range(HEIGHT * WIDTH)]
    with imn.open(write(tmp_path, specs)) as ds:
        assert (ds.ms_level, ds.ms_levels, ds.warnings) == (2, {2: 20}, [])
        assert_only_wanted(ds)


def test_a_level_that_no_spectrum_states(tmp_path: Path) -> None:
    path = write(tmp_path, [spec(p, True) for p in range(20)])
    with imn.open(path) as ds:
        assert (ds.ms_level, ds.ms_levels, ds.warnings) == (None, {0: 20}, [])
    with imn.open(path, ms_level=1) as ds:
        assert (ds.ms_level, ds.n_spectra, ds.warnings) == (1, 20, [])
    with imn.open(path, ms_level=2) as ds:
        only_warning(ds, "states no MS level", "as asked for")


@pytest.mark.parametrize("how", POLARITIES)
@pytest.mark.parametrize("wanted", ["positive", "negative"])
def test_one_polarity_is_read(tmp_path: Path, how: str, wanted: str) -> None:
    """Both at every pixel, and one pixel more for the polarity to read, which is then the more frequent one."""
    other = "negative" if wanted == "positive" else "positive"
    terms = POLARITIES[how]
    specs = [*both(terms(wanted), terms(other), pixels=19), spec(19, True, **terms(wanted))]
    path = write(tmp_path, specs, groups=GROUPS)
    with imn.open(path) as ds:
        assert ds.polarities == {other: 19, wanted: 20}
        assert (ds.polarity, ds.declared["polarity"]) == (wanted, wanted)
        assert_only_wanted(ds)
        assert f"only the {wanted} spectra are read, choose with --polarity" in ds.warnings[-1]
        assert ("filter string is believed" in ds.warnings[0]) == (how == "boilerplate beside the filter")
    with imn.open(path, polarity=other) as ds:  # type: ignore[arg-type]
        assert (ds.polarity, ds.n_spectra) == (other, 19)
        assert not [line for line in ds.warnings if "--polarity" in line]


def test_a_tie_goes_to_the_first_spectrum(tmp_path: Path) -> None:
    terms = POLARITIES["spectrum"]
    with imn.open(write(tmp_path, both(terms("positive"), terms("negative")))) as ds:
        assert (ds.polarity, ds.n_spectra) == ("negative", 20)
    with imn.open(write(tmp_path, both(terms("positive"), terms("negative"), other_first=False))) as ds:
        assert ds.polarity == "positive"
        assert_only_wanted(ds)


def test_lines_of_either_polarity(tmp_path: Path) -> None:
    """Every other line is negative: half of the lines are not measured instead of zebra images."""
    names = ["positive" if p // WIDTH % 2 == 0 else "negative" for p in range(HEIGHT * WIDTH)]
    specs = [spec(p, name == "positive", params=polarity(name)) for p, name in enumerate(names)]
    with imn.open(write(tmp_path, specs)) as ds:
        assert ds.mask.sum(axis=1).tolist() == [5, 0, 5, 0][: len(ds.mask)]
        assert np.nansum(ds.ion_images([150.0], tol=0.1)) == 0.0


def test_the_head_states_the_polarity_of_all(tmp_path: Path) -> None:
    specs = [spec(p, True) for p in range(HEIGHT * WIDTH)]
    path = write(tmp_path, specs, content=polarity("negative"))
    with imn.open(path) as ds:
        assert (ds.polarity, ds.polarities, ds.warnings) == ("negative", {"negative": 20}, [])
    with pytest.raises(imn.FileError, match="its head says negative"):
        imn.open(path, polarity="positive")


def test_the_head_contradicts_the_spectra(tmp_path: Path) -> None:
    specs = [spec(p, True, params=polarity("positive")) for p in range(HEIGHT * WIDTH)]
    with imn.open(write(tmp_path, specs, content=polarity("negative"))) as ds:
        assert ds.polarity == "positive"
        only_warning(ds, "the head of the file says negative polarity, its spectra say positive")


def test_a_head_with_both_polarities_and_silent_spectra(tmp_path: Path) -> None:
    specs = [spec(p, True) for p in range(HEIGHT * WIDTH)]
    with imn.open(write(tmp_path, specs, content=polarity("negative") + polarity("positive"))) as ds:
        assert ds.polarity is None
        only_warning(ds, "both polarities", "may mix")


def test_silent_spectra_have_the_polarity_of_the_others(tmp_path: Path) -> None:
    specs = [spec(p, True, params=polarity("positive") if p else "") for p in range(HEIGHT * WIDTH)]
    with imn.open(write(tmp_path, specs)) as ds:
        assert (ds.polarity, ds.polarities) == ("positive", {"positive": 20})
        assert_only_wanted(ds)
        only_warning(ds, "1 of 20 spectra state no polarity; they are read as positive, like the others")


def test_silent_spectra_beside_both_polarities_are_left_out(tmp_path: Path) -> None:
    names = ["positive"] * 10 + ["negative"] * 6 + [""] * 4
    specs = [spec(p, name == "positive", params=polarity(name) if name else "") for p, name in enumerate(names)]
    path = write(tmp_path, specs)
    with imn.open(path) as ds:
        assert_only_wanted(ds, 10)
        only_warning(ds, "positive (10 spectra), negative (6) and unknown (4)")
    with imn.open(path, polarity="negative") as ds:
        assert ds.n_spectra == 6
        only_warning(ds, "4 of 20 spectra state no polarity; they are left out")


def test_level_and_polarity_together(tmp_path: Path) -> None:
    """Polarities count among the spectra of the level that is read."""
    specs = []
    for p in range(HEIGHT * WIDTH):
        specs += [spec(p, False, params=ms_level(2) + polarity("negative")) for _ in range(3)]
        specs.append(spec(p, True, params=ms_level(1) + polarity("positive")))
    path = write(tmp_path, specs)
    with imn.open(path) as ds:
        assert_only_wanted(ds)
        assert (ds.polarities, ds.ms_levels) == ({"positive": 20}, {1: 20, 2: 60})
    with imn.open(path, ms_level=2) as ds:
        assert (ds.polarity, ds.n_spectra) == ("negative", 60)
    with pytest.raises(imn.FileError, match=r"no spectra of negative polarity, but positive \(20 spectra\)"):
        imn.open(path, polarity="negative")


def two_runs(how: str) -> tuple[list[Spec], dict[str, Any], tuple[str, str]]:
    """Specs, knobs of the writer, and the names that the runs then have."""
    if how == "runs":
        later = [spec(p, False, run="second") for p in range(20)]
        return [*(spec(p, True, run="first") for p in range(20)), *later], {}, ("first", "second")
    if how == "source files":
        specs = both({"attributes": {"sourceFileRef": "f1"}}, {"attributes": {"sourceFileRef": "f2"}})
        return specs, {"source_files": {"f1": "", "f2": ""}}, ("f1", "f2")
    if how == "source files of runs":
        later = [spec(p, False, run="second") for p in range(20)]
        files = {"first": {"defaultSourceFileRef": "f1"}, "second": {"defaultSourceFileRef": "f2"}}
        knobs = {"run_attributes": files, "source_files": {"f1": "", "f2": ""}}
        return [*(spec(p, True, run="first") for p in range(20)), *later], knobs, ("first", "second")
    specs = both(
        {"scan_attributes": {"instrumentConfigurationRef": "i1"}},
        {"scan_attributes": {"instrumentConfigurationRef": "i2"}},
    )
    return specs, {"instruments": {"i1": "", "i2": ""}, "edit": with_settings}, ("slow", "fast")


def with_settings(text: str) -> str:
    for number, settings in (("i1", "slow"), ("i2", "fast")):
        text = text.replace(
            f'<instrumentConfiguration id="{number}"',
            f'<instrumentConfiguration id="{number}" scanSettingsRef="{settings}"',
        )
    return text


@pytest.mark.parametrize("how", ["runs", "source files", "source files of runs", "scan settings"])
def test_runs_are_told_apart(tmp_path: Path, how: str) -> None:
    specs, knobs, (one, other) = two_runs(how)
    path = write(tmp_path, specs, **knobs)
    with imn.open(path) as ds:
        assert ds.runs == {one: 20, other: 20}
        assert ds.n_spectra == 40
        (line,) = [line for line in ds.warnings if "--run (Python: run=)" in line]
        assert "share 20 pixels" in line
        assert "announces" not in " ".join(ds.warnings)
    with imn.open(path, run=one) as ds:
        assert_only_wanted(ds)
        assert (ds.warnings, ds.runs) == ([], {one: 20, other: 20})
    with pytest.raises(imn.FileError, match="holds no run named third, but"):
        imn.open(path, run="third")


def test_runs_side_by_side_are_no_oddity(tmp_path: Path) -> None:
    specs = [spec(p, True, run="first" if p < 10 else "second") for p in range(20)]
    with imn.open(write(tmp_path, specs)) as ds:
        assert (ds.runs, ds.warnings) == ({"first": 10, "second": 10}, [])
        assert_only_wanted(ds)


def window(lo: float, hi: float) -> str:
    limits = cv("MS:1000501", "scan window lower limit", lo) + cv("MS:1000500", "scan window upper limit", hi)
    return f'<scanWindowList count="1"><scanWindow>{limits}</scanWindow></scanWindowList>'


SEGMENTS: dict[str, tuple[str, str]] = {
    "windows": (window(100, 400), window(350, 1000)),
    "filters": (scan_filter(FULL.replace("1000.00", "400.00")), scan_filter(FULL.replace("100.00", "350.00"))),
    "decimal commas": (
        scan_filter("ITMS - p NSI Full ms [100,00-400,00]"),
        scan_filter("ITMS - p NSI Full ms [350,00-1000,00]"),
    ),
    "selected ions": (
        scan_filter("FTMS + p ESI SIM ms [295.00-305.00]"),
        scan_filter("FTMS + p ESI SIM ms [140.00-160.00, 795.00-805.00]"),
    ),
}


@pytest.mark.parametrize("how", SEGMENTS)
def test_segments_of_the_range_are_told(tmp_path: Path, how: str) -> None:
    one, other = SEGMENTS[how]
    path = write(tmp_path, both({"scan_params": one}, {"scan_params": other}))
    with imn.open(path) as ds:
        (line,) = [line for line in ds.warnings if "differ in scan range or scan type" in line]
        assert "20 pixels have several of them" in line
        assert '--duplicates sum (Python: duplicates="sum")' in line
        assert "(20 spectra)" in line
    with imn.open(path, duplicates="sum") as ds:
        assert np.nansum(ds.ion_images([300.0], tol=0.1)) == 210.0
        assert [line for line in ds.warnings if "their spectra are combined" in line]


def test_segments_at_different_pixels_are_told(tmp_path: Path) -> None:
    specs = [spec(p, True, scan_params=window(100, 400) if p % 2 else window(350, 1000)) for p in range(20)]
    with imn.open(write(tmp_path, specs)) as ds:
        only_warning(ds, "m/z 100 to 400 (10)", "images are 0 where the scan of a pixel does not reach the m/z")


def test_windows_that_differ_a_little_are_not_told(tmp_path: Path) -> None:
    specs = [spec(p, True, scan_params=window(100 + p / 10, 1000 - p / 10)) for p in range(20)]
    with imn.open(write(tmp_path, specs)) as ds:
        assert ds.warnings == []


def test_fragments_of_several_precursors_are_told(tmp_path: Path) -> None:
    other = FRAGMENTS.replace("445.12", "512.30")
    specs = both({"scan_params": scan_filter(FRAGMENTS)}, {"scan_params": scan_filter(other)})
    with imn.open(write(tmp_path, specs)) as ds:
        assert [line for line in ds.warnings if "of 445.12 m/z" in line and "of 512.30 m/z" in line]
        assert ds.scan_filters == {other: 20, FRAGMENTS: 20}


def peaks(pixel: int, profile: bool, **terms: Any) -> Spec:
    """A real peak list, or a sampled peak."""
    y, x = divmod(pixel, WIDTH)
    if profile:
        mz = np.arange(300.0, 310.0, 0.02)
        centres = np.array([300.4, 302.7, 304.1, 305.6, 308.3])
        return Spec(x + 1, y + 1, mz, 9.0 * np.exp(-(((mz[:, None] - centres) / 0.1) ** 2)).sum(axis=1), **terms)
    draw = np.random.default_rng(pixel)
    return Spec(x + 1, y + 1, np.sort(draw.uniform(100, 900, 60)), draw.uniform(1, 9, 60), **terms)


@pytest.mark.parametrize(
    ("real", "said", "type_"),
    [
        (lambda p: p < 5, "the former are profiles and the latter lists of peaks", "centroid"),
        (lambda p: True, "all of them are profiles", "profile"),
        (lambda p: False, "all of them are lists of peaks", "centroid"),
        (lambda p: p >= 5, "the former are lists of peaks and the latter profiles", "profile"),
    ],
)
def test_profile_and_centroid_in_one_file(tmp_path: Path, real: Callable[[int], bool], said: str, type_: str) -> None:
    """Five spectra of twenty are declared profile."""
    specs = [peaks(p, real(p), groups=(), params=representation("profile" if p < 5 else "centroid")) for p in range(20)]
    path = write(tmp_path, specs)
    with imn.open(path) as ds:
        only_warning(ds, "5 spectra are declared profile and 15 centroid", said, "--spectrum-type")
        assert ds.spectrum_type == type_
    with imn.open(path, spectrum_type="centroid") as ds:
        assert (ds.warnings, ds.spectrum_type) == ([], "centroid")


@pytest.mark.parametrize("first", ["profile", "centroid"])
def test_spectra_that_pixels_hide_do_not_decide_the_type(tmp_path: Path, first: str) -> None:
    """Each pixel has a profile and a list of peaks, and shows the first of them."""
    order = [first, "centroid" if first == "profile" else "profile"]
    specs = [peaks(p, kind == "profile", groups=(), params=representation(kind)) for p in range(20) for kind in order]
    path = write(tmp_path, specs)
    with imn.open(path) as ds:
        assert ds.spectrum_type == first
        assert not any("declared profile" in text for text in ds.warnings)
    with imn.open(path, duplicates="sum") as ds:
        assert any("20 spectra are declared profile and 20 centroid" in text for text in ds.warnings)


def test_profile_and_centroid_of_different_levels_are_no_contradiction(tmp_path: Path) -> None:
    specs = []
    for p in range(20):
        specs.append(peaks(p, True, groups=(), params=representation("profile") + ms_level(1)))
        specs.append(peaks(p, False, groups=(), params=representation("centroid") + ms_level(2)))
    path = write(tmp_path, specs)
    for level, kind in ((1, "profile"), (2, "centroid")):
        with imn.open(path, ms_level=level) as ds:
            assert (ds.spectrum_type, ds.warnings) == (kind, [])


def test_unreadable_spectra_that_are_not_read_do_not_matter(tmp_path: Path) -> None:
    """Arrays of another level may be broken: numbers of spectra are those of the file."""
    specs = both({"params": ms_level(1)}, {"params": ms_level(2)})
    broken = 'name="external offset" value="16"'
    path = write(tmp_path, specs, edit=lambda text: text.replace(broken, broken.replace("16", "99999999")))
    with imn.open(path) as ds:
        assert_only_wanted(ds)
    with pytest.raises(imn.FileError, match="spectrum 0"):
        imn.open(path, ms_level=2)


def test_choices_survive_pickling_and_reopening(tmp_path: Path) -> None:
    terms = POLARITIES["scan"]
    path = write(tmp_path, both(terms("positive"), terms("negative")))
    with imn.open(path, polarity="positive", ms_level=1, run="run") as ds:
        chosen = {"polarity": "positive", "ms_level": 1, "run": "run"}
        assert chosen.items() <= dict(ds.open_options).items()
        again = pickle.loads(pickle.dumps(ds))
        assert again.open_options == ds.open_options
        assert_only_wanted(again)
        other = ds.reopened(polarity="negative")
        assert (other.polarity, other.n_spectra, other.ms_level) == ("negative", 20, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ms_level": 0}, "ms_level must be at least 1"),
        ({"ms_level": 1.5}, "ms_level must be an integer"),
        ({"polarity": "both"}, "polarity must be one of positive, negative"),
        ({"run": 3}, "run must be the name of a run"),
    ],
)
def test_unknown_values_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(imn.ArgumentError, match=message):
        imn.open(tmp_path / "none.imzML", **options)


def test_an_ordinary_file_has_no_warning(tmp_path: Path) -> None:
    terms = ms_level(1) + polarity("positive")
    specs = [spec(p, True, params=terms, scan_params=scan_filter(FULL) + window(100, 1000)) for p in range(20)]
    with imn.open(write(tmp_path, specs, content=polarity("positive"))) as ds:
        assert (ds.warnings, ds.ms_level, ds.polarity, ds.runs) == ([], 1, "positive", {"run": 20})
