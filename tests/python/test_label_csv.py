"""Label files: what is read, and how each kind of bad row or file is handled."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.labelled.label_csv import (
    LabelReport,
    class_index,
    dataset_id,
    one_hot,
    read_image_labels,
    read_mz_labels,
)

HEADER = "filename,mz,min_fdr,databases,label\n"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a label file of the dataset ``ds1``."""

    def file(text: str) -> Path:
        path = tmp_path / "ds1.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return file


def test_published_form(write: Write) -> None:
    labels, report = read_mz_labels(
        write(HEADER + 'ds1.imzML,500.5,0.05,"HMDB v4,CoreMetabolome v3",localized\nds1.imzML,346.1,1.0,,structured\n')
    )
    assert [(each.mz, imn.CLASSES[each.label], each.line) for each in labels] == [
        (346.1, "structured", 3),
        (500.5, "localized", 2),
    ]
    assert all(math.isnan(each.structure) for each in labels)
    assert (report.files, report.rows, report.problems) == (1, 2, [])


def test_other_columns_orders_and_delimiters(write: Write) -> None:
    labels, report = read_mz_labels(write("\ufeffLabel;M/Z;structure\r\nnegative;300.25;2.5\r\n\r\nlocalized;200;\r\n"))
    assert [(each.mz, each.label) for each in labels] == [(200.0, 2), (300.25, 5)]
    assert labels[1].structure == 2.5
    assert math.isnan(labels[0].structure)
    assert report.problems == []


def test_two_passes_over_a_section(write: Write) -> None:
    rows = "500,structured,weak_structured,2.25\n600,negative,,1\n700,localized,localized,\n"
    labels, report = read_mz_labels(write("mz,label_a,label_b,structure\n" + rows))
    assert [(each.mz, each.label, each.labels) for each in labels] == [
        (500.0, 0, (0, 1)),
        (600.0, 5, (5,)),
        (700.0, 2, (2, 2)),
    ]
    np.testing.assert_array_equal(labels[0].probabilities, [0.5, 0.5, 0, 0, 0, 0])
    np.testing.assert_array_equal(labels[1].probabilities, one_hot(5))
    np.testing.assert_array_equal(labels[2].probabilities, one_hot(2))
    assert [each.structure for each in labels[:2]] == [2.25, 1.0]
    assert report.problems == []


def test_a_row_without_the_first_label_is_left_out(write: Write) -> None:
    labels, report = read_mz_labels(write("mz,label_a,label_b\n500,,structured\n600,negative,blurry\n700,negative\n"))
    assert [(each.mz, each.labels) for each in labels] == [(700.0, (5,))]
    assert report.counts == {"no class": 1, "unknown class": 1}


def test_passes_that_differ_between_rows_contradict(write: Write) -> None:
    text = "mz,label_a,label_b\n500,structured,negative\n500,structured,\n600,localized,negative\n"
    labels, report = read_mz_labels(write(text))
    assert [each.mz for each in labels] == [600.0]
    assert report.counts == {"contradiction": 2}
    assert "m/z 500.0 has contradicting labels (negative and structured)" in report.problems[0].text


@pytest.mark.parametrize(
    ("row", "kind", "cause"),
    [
        ("ds1.imzML,500.5,,,blurry", "unknown class", "unknown class 'blurry'; known: structured, weak_struct"),
        ("ds1.imzML,500.5,,,weak", "unknown class", "unknown class 'weak'"),
        ("ds1.imzML,500.5,,,2", "unknown class", "class '2' is a number; use a name: structured"),
        ("ds1.imzML,500.5,,,2.0", "unknown class", "is a number"),
        ("ds1.imzML,500.5", "no class", "the class is empty"),
        ("ds1.imzML,abc,,,localized", "no m/z", "'abc' is not an m/z value"),
        ("ds1.imzML,,,,localized", "no m/z", "'' is not an m/z value"),
        ("ds1.imzML,-5,,,localized", "no m/z", "'-5' is not an m/z value"),
        ("ds1.imzML,0,,,localized", "no m/z", "'0' is not an m/z value"),
        ("ds1.imzML,nan,,,localized", "no m/z", "'nan' is not an m/z value"),
        ("ds1.imzML,inf,,,localized", "no m/z", "'inf' is not an m/z value"),
        ("ds1.imzML,1_000,,,localized", "no m/z", "'1_000' is not an m/z value"),
        ("ds1.imzML,500,5,0.05,,localized", "too many cells", "6 cells for 5 columns; check for decimal commas"),
        ("ds2.imzML,500.5,,,localized", "other dataset", "'ds2.imzML' does not belong to dataset 'ds1'"),
        ("DS1.imzML,500.5,,,localized", "other dataset", "'DS1.imzML'"),
    ],
)
def test_a_bad_row_is_left_out_and_named(write: Write, row: str, kind: str, cause: str) -> None:
    path = write(HEADER + f"ds1.imzML,400.5,,,structured\n{row}\n")
    labels, report = read_mz_labels(path)
    assert [each.mz for each in labels] == [400.5]
    assert report.counts == {kind: 1}
    assert report.problems[0].text.startswith(f"{path}: line 3: ")
    assert cause in report.problems[0].text
    assert report.rows == 2


@pytest.mark.parametrize("grade", ["4", "-0.5", "high", "nan"])
def test_a_bad_grade_is_left_out(write: Write, grade: str) -> None:
    labels, report = read_mz_labels(write(f"mz,label,structure\n400,structured,3\n500,structured,{grade}\n"))
    assert [each.mz for each in labels] == [400.0]
    assert report.counts == {"no grade": 1}
    assert f"'{grade}' is not a structure grade from 0 to 3" in report.problems[0].text


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "filename,min_fdr,label\nds1.imzML,0.05,localized\n",
            "line 1: column 'mz' is missing; found filename, min_fdr, label",
        ),
        (
            "filename,mz\nds1.imzML,500.5\n",
            "line 1: columns 'label' or 'label_a' and 'label_b' are missing; found filename, mz",
        ),
        ("ds1.imzML,500.5,localized\n", "line 1: column 'mz' is missing"),
        ("mz,m/z,label\n1,1,localized\n", "line 1: duplicate column 'mz'"),
        ('mz,label\n"500.5,localized\n', "not a readable CSV"),
    ],
)
def test_a_file_of_another_form_is_an_error(write: Write, text: str, cause: str) -> None:
    path = write(text)
    with pytest.raises(imn.FileError) as error:
        read_mz_labels(path)
    assert str(error.value).startswith(f"{path}: ")
    assert cause in str(error.value)


def test_missing_and_binary_files(tmp_path: Path) -> None:
    with pytest.raises(imn.FileError, match=r"none\.csv: No such file"):
        read_mz_labels(tmp_path / "none.csv")
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00mz")
    with pytest.raises(imn.FileError, match=r"b\.csv: not UTF-8 text"):
        read_mz_labels(tmp_path / "b.csv")


@pytest.mark.parametrize("text", ["", "\n\n", "\ufeff", HEADER])
def test_an_empty_file_is_reported(write: Write, text: str) -> None:
    labels, report = read_mz_labels(write(text))
    assert labels == []
    assert report.counts == {"empty file": 1}
    assert report.rows == 0


def test_equal_rows_are_merged(write: Write) -> None:
    text = "mz,label,structure\n500.5,localized,2\n500.500000001,Localized,3\n500.5,localized,\n500.6,localized,1\n"
    labels, report = read_mz_labels(write(text))
    assert [(each.mz, each.structure, each.line) for each in labels] == [(500.5, 2.5, 2), (500.6, 1.0, 5)]
    assert report.counts == {"duplicate": 2}
    assert (
        "line 3: m/z 500.500000001 is labelled more than once (lines 2, 3, 4)" in [p.text for p in report.problems][1]
    )


def test_contradicting_rows_are_dropped(write: Write) -> None:
    labels, report = read_mz_labels(write("mz,label\n500.5,localized\n300,negative\n500.5,structured\n"))
    assert [each.mz for each in labels] == [300.0]
    assert report.counts == {"contradiction": 2}
    assert (
        "lines 2, 4: m/z 500.5 has contradicting labels (localized and structured); skipped" in report.problems[0].text
    )


def test_close_values_do_not_chain(write: Write) -> None:
    step = 500.0 * 0.008e-6
    rows = "".join(f"{500.0 + k * step!r},localized\n" for k in range(4))
    labels, _ = read_mz_labels(write("mz,label\n" + rows))
    assert len(labels) == 2


@pytest.mark.parametrize("text", ["weak_structured", "Weak-Structured", " WEAK  structured ", "weak structured"])
def test_spellings_of_a_class(text: str) -> None:
    assert class_index(text) == 1


def test_dataset_of_a_file_name() -> None:
    for name in ("2017-09-25_19h48m56s.imzML", "a/b/2017-09-25_19h48m56s.ibd", r"C:\x\2017-09-25_19h48m56s.IMZML"):
        assert dataset_id(name) == "2017-09-25_19h48m56s"
    assert dataset_id("v1.2 run") == "v1.2 run"


def test_the_expected_dataset_may_be_given(write: Write) -> None:
    path = write(HEADER + "other.imzML,500.5,,,localized\n")
    assert read_mz_labels(path)[0] == []
    assert len(read_mz_labels(path, dataset="other")[0]) == 1


def test_report_in_words_and_numbers() -> None:
    report = LabelReport(files=2, rows=20, used=7)
    for k in range(12):
        report.add("duplicate", f"f: line {k}: twice")
    report.add("no m/z", "f: line 99: 'x' is not an m/z value")
    assert report.lines(3) == [
        "7 labelled images from 20 rows of 2 label files",
        "left out: 12 duplicate, 1 no m/z",
        *(f"f: line {k}: twice" for k in range(3)),
        "... and 10 more",
    ]
    assert report.to_dict() == {"files": 2, "rows": 20, "used": 7, "left_out": {"duplicate": 12, "no m/z": 1}}


def test_published_files(shared_data: Callable[[str], Path]) -> None:
    folder = shared_data("label_csv")
    sizes, counts = {}, np.zeros(6, dtype=int)
    for path in sorted(folder.glob("*.csv")):
        labels, report = read_mz_labels(path)
        sizes[path.stem] = len(labels)
        for each in labels:
            counts[each.label] += 1
        assert set(report.counts) <= {"empty file"}
    # As counted with other tools; the first file is empty, as published.
    assert sizes == {"2018-06-29_23h55m20s": 0, "2023-07-04_10h26m22s": 36, "2025-05-20_08h21m56s": 13}
    assert counts.tolist() == [25, 12, 4, 4, 4, 0]


def test_image_labels(tmp_path: Path) -> None:
    path = tmp_path / "x_labels.csv"
    path.write_text(
        "index,key,label_a,label_b,structure\n0,74.65,localized,structured,2.5\n2,118.2,negative,negative,\n"
    )
    labels, report = read_image_labels(path)
    assert report.problems == []
    assert [(each.index, each.key, each.line) for each in labels] == [(0, "74.65", 2), (2, "118.2", 3)]
    np.testing.assert_array_equal(labels[0].probabilities, [0.5, 0, 0.5, 0, 0, 0])
    np.testing.assert_array_equal(labels[1].probabilities, one_hot(5))
    assert labels[0].structure == 2.5
    assert math.isnan(labels[1].structure)


@pytest.mark.parametrize(
    ("rows", "kept", "counts"),
    [
        ("0,localized\nx,localized\n", [0], {"no index": 1}),
        ("0,localized\n-1,localized\n", [0], {"no index": 1}),
        ("0,localized\n1.0,localized\n", [0], {"no index": 1}),
        ("0,localized\n1,blurry\n", [0], {"unknown class": 1}),
        ("0,localized\n0,localized\n", [0], {"duplicate": 1}),
        ("0,localized\n1,negative\n0,negative\n", [1], {"contradiction": 2}),
    ],
)
def test_bad_image_labels(tmp_path: Path, rows: str, kept: list[int], counts: dict[str, int]) -> None:
    path = tmp_path / "x_labels.csv"
    path.write_text("index,label\n" + rows)
    labels, report = read_image_labels(path)
    assert [each.index for each in labels] == kept
    assert report.counts == counts
    assert all(f"{path}: line " in problem.text for problem in report.problems)


@pytest.mark.parametrize(
    ("header", "cause"),
    [
        ("name,label", "column 'index' or 'key' is missing; found name, label"),
        ("index,label_a", "columns 'label' or 'label_a' and 'label_b' are missing; found index, label_a"),
    ],
)
def test_image_labels_of_another_form(tmp_path: Path, header: str, cause: str) -> None:
    path = tmp_path / "x_labels.csv"
    path.write_text(f"{header}\n0,localized\n")
    with pytest.raises(imn.FileError, match=f"line 1: {cause}"):
        read_image_labels(path)
