"""Whatever stands in a label file: labels that can be used, or an error that names the file."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

import ionmorphnet as imn
from ionmorphnet.labelled.label_csv import LabelReport, read_image_labels, read_mz_labels

CELLS = st.one_of(
    st.sampled_from(["", "ds.imzML", "other.imzML", "localized", "Weak structured", "0", "2", "500.5", "1e400", '"']),
    st.text(max_size=6),
    st.floats().map(repr),
)
ROWS = st.lists(st.lists(CELLS, max_size=6).map(",".join), max_size=8).map("\n".join)
HEADERS = st.sampled_from(
    [
        "filename,mz,label\n",
        "mz,label,structure\n",
        "mz,label_a,label_b\n",
        "index,key,label_a,label_b\n",
        "index,label\n",
        "",
    ]
)


def check_report(path: Path, n_labels: int, report: LabelReport) -> None:
    """Every row is a label or one problem, and every problem names the file."""
    assert n_labels + sum(problem.kind != "empty file" for problem in report.problems) == report.rows
    assert all(problem.text.startswith(f"{path}: ") for problem in report.problems)


@settings(deadline=None)
@given(HEADERS, ROWS)
def test_any_file(header: str, rows: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ds.csv"
        path.write_bytes((header + rows).encode("utf-8", "surrogatepass"))
        for read in (read_mz_labels, read_image_labels):
            try:
                labels, report = read(path)
            except imn.FileError as error:
                message = str(error)
            else:
                message = f"{path}: "
                check_report(path, len(labels), report)
            assert message.startswith(f"{path}: ")


@given(st.lists(st.tuples(st.floats(100.0, 101.0), st.sampled_from(imn.CLASSES)), min_size=1, max_size=30))
def test_kept_labels_are_in_order_and_never_contradict(rows: list[tuple[float, str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ds.csv"
        path.write_text("mz,label\n" + "".join(f"{mz!r},{label}\n" for mz, label in rows))
        labels, report = read_mz_labels(path)
    kept = [each.mz for each in labels]
    assert kept == sorted(set(kept))
    for each in labels:
        same = {label for mz, label in rows if mz == each.mz}
        assert same == {imn.CLASSES[each.label]}
    assert set(report.counts) <= {"duplicate", "contradiction"}
