"""Sections with label files as a source of training images."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from imzml_factory import Spec, write_imzml
from ionmorphnet.labelled import sections
from ionmorphnet.labelled.image_arrays import LabelledImages
from ionmorphnet.labelled.read_source import read_source
from ionmorphnet.labelled.sections import clip_hotspots, from_imzml

H, W = 12, 16
MZ = np.array([200.0, 300.0, 400.0, 500.0])


def make_section(path: Path, seed: int = 0, z: int | None = None) -> Path:
    """Four m/z on 12 x 16 pixels, the first two unmeasured; only zeros at m/z 400."""
    rng = np.random.default_rng(seed)
    specs = []
    for y, x in np.ndindex(H, W):
        if y == 0 and x < 2:
            continue
        values = rng.random(4) + np.array([1, 2, 0, 4])
        values[2] = 0.0
        specs += [Spec(x + 1, y + 1, MZ, values, z=plane) for plane in ([None] if z is None else range(1, z + 1))]
    return write_imzml(path, specs, shared_axis=True)


def label_text(name: str, rows: str) -> str:
    return "filename,mz,min_fdr,databases,label\n" + "".join(
        f'{name}.imzML,{mz},0.05,"HMDB v4,KEGG v1",{label}\n' for mz, label in (row.split() for row in rows.split(";"))
    )


GOOD = "200.0 structured;300.0 negative;500.0 localized"


@pytest.fixture
def cohort(tmp_path: Path) -> Path:
    """Sections a, b, c in images/, labels of a, b, d in labels/."""
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for k, name in enumerate("abc"):
        make_section(tmp_path / "images" / f"{name}.imzML", k)
    for name in "abd":
        (tmp_path / "labels" / f"{name}.csv").write_text(label_text(name, GOOD))
    return tmp_path


def test_folders_are_paired_by_stem(cohort: Path, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[tuple[int, int]] = []
    source = from_imzml(cohort / "images", cohort / "labels", progress=lambda k, n: calls.append((k, n)))
    assert calls == [(1, 2), (2, 2)]
    assert source.dataset_ids == ("a", "b")
    assert len(source) == 6
    assert source.report.counts == {"section without labels": 1, "labels without section": 1}
    assert "c.imzML: no file c.csv in" in caplog.text
    assert "d.csv: no file d.imzML in" in caplog.text
    only = source.select(["b"])
    assert (only.dataset_ids, len(only)) == (("b",), 3)
    np.testing.assert_array_equal(only[1].image, source[4].image)
    assert source.describe()["datasets"] == {"a": 3, "b": 3}
    restored: LabelledImages = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(restored[5].image, source[5].image)


def test_images_are_windows_around_the_labels(cohort: Path) -> None:
    path = cohort / "images" / "a.imzML"
    source = from_imzml(path, cohort / "labels", hotspot_quantile=None)
    with imn.open(path) as ds:
        expected = ds.ion_images([200.0, 300.0, 500.0], ppm=3)
    for k in range(3):
        np.testing.assert_array_equal(source[k].image, expected[k])
        assert source[k].mask.sum() == H * W - 2
        assert source[k].probabilities.argmax() == [0, 5, 2][k]
        assert np.isnan(source[k].structure)
    assert [source[k].key for k in range(3)] == ["200.000000", "300.000000", "500.000000"]
    clipped = from_imzml(path, cohort / "labels")
    np.testing.assert_array_equal(clipped[1].image, clip_hotspots(expected[1]))
    assert np.nanmax(clipped[1].image) < np.nanmax(expected[1])


def test_two_passes_become_soft_labels(cohort: Path) -> None:
    rows = "200,structured,weak_structured,2\n400,unstructured,localized,0\n500,localized,,3\n"
    (cohort / "labels" / "a.csv").write_text("mz,label_a,label_b,structure\n" + rows)
    source = from_imzml(cohort / "images" / "a.imzML", cohort / "labels")
    assert [item.labels for item in source.items] == [(0, 1), (2,)]
    np.testing.assert_array_equal(source[0].probabilities, [0.5, 0.5, 0, 0, 0, 0])
    assert source[0].structure == 2.0
    assert source.report.counts == {"no signal": 1}
    assert "m/z 400.0 is labelled unstructured and localized, but" in source.report.problems[0].text


def test_the_window_has_the_requested_width(cohort: Path) -> None:
    (cohort / "labels" / "a.csv").write_text(label_text("a", f"{200 * (1 + 4e-6)} structured;300.0 negative"))
    path = cohort / "images" / "a.imzML"
    assert from_imzml(path, cohort / "labels", ppm=3).report.counts == {"no signal": 1}
    assert len(from_imzml(path, cohort / "labels", ppm=5)) == 2


def test_several_passes_give_the_same(cohort: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = from_imzml(cohort / "images", cohort / "labels")
    monkeypatch.setattr(sections, "_PASS_BYTES", 4 * H * W * 2)
    several = from_imzml(cohort / "images", cohort / "labels", memory_limit=2 * 4 * H * W, threads=1)
    for k in range(6):
        np.testing.assert_array_equal(one[k].image, several[k].image)


def test_hotspots() -> None:
    image = np.arange(1, 401, dtype=np.float32).reshape(20, 20)
    image[0, 0] = np.nan
    image[5, 5] = 50_000.0  # a 256th of it is 195.3: only what lies above counts for the quantile
    counted = image[image > 50_000 / 256]
    clipped = clip_hotspots(image)
    assert np.nanmax(clipped) == np.float32(np.quantile(counted, 0.99))
    below = image <= np.nanmax(clipped)
    np.testing.assert_array_equal(clipped[below], image[below])
    assert np.isnan(clipped[0, 0])
    for empty in (np.zeros((3, 3), np.float32), np.full((3, 3), np.nan, np.float32)):
        np.testing.assert_array_equal(clip_hotspots(empty), empty)


@pytest.mark.parametrize(
    ("rows", "kind", "cause"),
    [
        ("900.0 structured", "m/z out of range", "m/z 900.0 is outside a.imzML (200.0000 to 500.0000)"),
        ("100.0 unstructured", "m/z out of range", "m/z 100.0 is outside a.imzML"),
        ("400.0 structured", "no signal", "m/z 400.0 is labelled structured, but a.imzML has no signal within 3 ppm"),
        ("250.0 localized", "no signal", "m/z 250.0 is labelled localized, but a.imzML has no signal"),
        ("250.0 blurry", "unknown class", "unknown class 'blurry'"),
        ("x localized", "no m/z", "'x' is not an m/z value"),
        ("200.0 structured", "duplicate", "m/z 200.0 is labelled more than once (lines 2, 5)"),
    ],
)
def test_bad_rows_are_counted_and_the_rest_used(
    cohort: Path, caplog: pytest.LogCaptureFixture, rows: str, kind: str, cause: str
) -> None:
    csv = cohort / "labels" / "a.csv"
    csv.write_text(label_text("a", f"{GOOD};{rows}"))
    source = from_imzml(cohort / "images" / "a.imzML", csv)
    assert len(source) == source.report.used == 3
    assert source.report.rows == 4
    assert source.report.counts == {kind: 1}
    assert source.report.problems[0].text == f"{csv}: line 5: " + source.report.problems[0].text.split(": line 5: ")[1]
    assert cause in source.report.problems[0].text
    assert cause in caplog.text


def test_an_empty_image_may_be_unstructured(cohort: Path) -> None:
    (cohort / "labels" / "a.csv").write_text(label_text("a", "400.0 unstructured;200.0 structured"))
    source = from_imzml(cohort / "images" / "a.imzML", cohort / "labels")
    assert np.nanmax(source[1].image) == 0.0
    assert source.report.problems == []


def test_contradicting_rows_are_not_used(cohort: Path) -> None:
    (cohort / "labels" / "a.csv").write_text(label_text("a", GOOD + ";200.0 localized"))
    source = from_imzml(cohort / "images" / "a.imzML", cohort / "labels")
    assert [source[k].key for k in range(2)] == ["300.000000", "500.000000"]
    assert source.report.counts == {"contradiction": 2}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", "empty file"),
        ("filename,min_fdr\na.imzML,1\n", "unusable file"),
        (label_text("b", GOOD), "other dataset"),
    ],
)
def test_a_bad_label_file_leaves_the_others(cohort: Path, text: str, kind: str) -> None:
    (cohort / "labels" / "a.csv").write_text(text)
    (cohort / "labels" / "d.csv").unlink()
    source = from_imzml(cohort / "images", cohort / "labels")
    assert source.dataset_ids == ("b",)
    assert source.report.counts.pop("section without labels") == 1
    assert kind in source.report.counts
    assert "a.csv" in next(each.text for each in source.report.problems if each.kind == kind)


def test_a_bad_section_leaves_the_others(cohort: Path) -> None:
    ibd = cohort / "images" / "a.ibd"
    ibd.write_bytes(ibd.read_bytes()[:200])
    source = from_imzml(cohort / "images", cohort / "labels")
    assert source.dataset_ids == ("b",)
    assert source.report.counts["unusable file"] == 1
    with pytest.raises(imn.FileError, match=r"no usable labelled image.*a\.i"):
        from_imzml(cohort / "images" / "a.imzML", cohort / "labels")


def test_sections_with_several_planes_are_left_out(tmp_path: Path) -> None:
    path = make_section(tmp_path / "a.imzML", z=2)
    (tmp_path / "a.csv").write_text(label_text("a", GOOD))
    with pytest.raises(imn.FileError, match="holds 2 z planes"):
        read_source(path)


def test_missing_paths(cohort: Path) -> None:
    images, labels = cohort / "images", cohort / "labels"
    (cohort / "empty").mkdir()
    with pytest.raises(imn.FileError, match=r"none: no such file or folder"):
        from_imzml(images, cohort / "none")
    with pytest.raises(imn.FileError, match=r"x\.csv: no such file or folder"):
        from_imzml(images / "a.imzML", labels / "x.csv")
    with pytest.raises(imn.FileError, match="empty: the folder contains no imzML file"):
        from_imzml(cohort / "empty", labels)
    with pytest.raises(imn.FileError, match="empty: the folder contains no CSV file"):
        from_imzml(images, cohort / "empty")
    with pytest.raises(imn.ArgumentError, match="one label file for 3 sections"):
        from_imzml(images, labels / "a.csv")
    with pytest.raises(imn.FileError, match=r"no usable labelled image.*no file c\.csv"):
        from_imzml(images / "c.imzML", labels)
    shutil.copy(images / "a.imzML", images / "a.IMZML")
    with pytest.raises(imn.FileError, match="duplicates dataset"):
        from_imzml(images, labels)


@pytest.mark.parametrize("options", [{"ppm": 0.0}, {"ppm": float("nan")}, {"hotspot_quantile": 0.0}])
def test_options_out_of_range(cohort: Path, options: dict[str, float]) -> None:
    with pytest.raises(imn.ArgumentError, match="must be"):
        from_imzml(cohort / "images", cohort / "labels", **options)  # type: ignore[arg-type]


def test_own_labels_of_a_simulated_section(section: Path, tmp_path: Path) -> None:
    truth = pd.read_csv(section.with_name(f"{section.stem}_truth.csv"))
    csv = tmp_path / "my labels.csv"
    truth[["mz", "label", "structure"]].to_csv(csv, index=False)
    source = read_source(section, csv, ppm=8)
    assert source.dataset_ids == (section.stem,)
    assert len(source) + source.report.counts.get("no signal", 0) == len(truth) == 60
    assert len(source) > 40
    by_key = {
        f"{mz:.6f}": (label, grade) for mz, label, grade in zip(truth.mz, truth.label, truth.structure, strict=True)
    }
    for k in range(len(source)):
        label, grade = by_key[source[k].key]
        assert imn.CLASSES[int(source[k].probabilities.argmax())] == label
        assert source[k].structure == pytest.approx(grade)


def test_real_section(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    name = "barley101_continuous"
    labels = pd.read_csv(shared_data("ion_images/barley101_labels.csv"))
    csv = tmp_path / f"{name}.csv"
    csv.write_text(label_text(name, ";".join(f"{mz} {a}" for mz, a in zip(labels.key, labels.label_a, strict=True))))
    source = read_source(shared_data(f"barley101/{name}.imzML"), csv)
    assert len(source) == 101
    with np.load(shared_data("ion_images/barley101.npz")) as file:
        stored = file["images"]
    plain = from_imzml(shared_data(f"barley101/{name}.imzML"), csv, hotspot_quantile=None)
    for k in range(101):
        np.testing.assert_allclose(np.nan_to_num(plain[k].image), stored[k], rtol=1e-5)


def test_labels_are_found_beside_a_section(cohort: Path) -> None:
    section = cohort / "images" / "a.imzML"
    with pytest.raises(imn.FileError, match=r"no label file found \(a\.csv, a_labels\.csv, a_truth\.csv\)"):
        read_source(section)
    for name, rows in (("a_truth.csv", "200.0 structured"), ("a.csv", GOOD)):
        section.with_name(name).write_text(label_text("a", rows))
        assert len(read_source(section, ppm=8)) == len(rows.split(";"))  # the first name on the list counts


def test_contradicting_rows_are_listed_once(cohort: Path) -> None:
    rows = "200.0 structured;200.0 negative;300.0 negative"
    (cohort / "labels" / "a.csv").write_text(label_text("a", rows))
    source = from_imzml(cohort / "images" / "a.imzML", cohort / "labels" / "a.csv", ppm=8)
    assert source.report.counts == {"contradiction": 2}
    assert len(source.report.lines()) == 3  # summary, counts, one text
