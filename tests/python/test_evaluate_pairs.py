"""Pairs of images read from a file: what names an image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet import evaluate as ev


def made(n: int, *, keys: tuple[str, ...] = (), indices: tuple[int, ...] = ()) -> ev.EvaluationSet:
    images = [np.full((4, 5), float(i), np.float32) for i in range(n)]
    return ev.EvaluationSet("set", images, np.zeros((1, n)), np.zeros(n), keys, indices=indices)


def read(folder: Path, text: str, images: ev.EvaluationSet) -> list[list[int]]:
    path = folder / "pairs.csv"
    path.write_text(text)
    pairs = ev.read_pairs(path, images)
    assert pairs.dtype == np.int64
    assert pairs.shape == (len(pairs), 2)
    return pairs.tolist()


def test_whole_numbers_are_indices_and_other_cells_keys_or_mz(tmp_path: Path) -> None:
    images = made(3, keys=("812.3456", "700.1", "x"), indices=(7, 3, 0))
    assert read(tmp_path, "better,worse\n7,3\n0,7\n", images) == [[0, 1], [2, 0]]
    assert read(tmp_path, "note;Worse;Better\n-;812.34562;x\n-;700.1;7\n", images) == [[2, 0], [0, 1]]
    assert read(tmp_path, "better,worse\n", images) == []


def test_without_indices_images_are_named_by_key(tmp_path: Path) -> None:
    assert read(tmp_path, "better,worse\nb,a\n", made(2, keys=("a", "b"))) == [[1, 0]]
    assert read(tmp_path, "better,worse\n1,0\n", made(2)) == [[1, 0]]
    by_mz = made(3, keys=("500.000000", "500.000400", "600.000000"))
    assert read(tmp_path, "better,worse\n600,500\n500.0004,500.0001\n", by_mz) == [[2, 0], [1, 0]]


@pytest.mark.parametrize("reverse", [False, True])
def test_pairs_of_files_mean_the_same_images_in_any_order(tmp_path: Path, reverse: bool) -> None:
    images = np.random.default_rng(0).random((5, 8, 9), dtype=np.float32)
    images[3] = np.nan
    np.savez(tmp_path / "x.npz", images=images)
    # Line 4 has no class, image 3 no pixel, and there is no image 9; two images share a key.
    rows = ["0,a,structured", "1,b,negative", "2,c,fuzzy", "3,d,negative", "9,e,negative", "4,a,localized"]
    (tmp_path / "x_labels.csv").write_text("\n".join(["index,key,label", *(rows[::-1] if reverse else rows)]) + "\n")
    (each,) = ev.load_sets(tmp_path / "x.npz")
    assert sorted(each.indices) == [0, 1, 4]
    for position, index in enumerate(each.indices):
        np.testing.assert_array_equal(each.images[position], images[index])
    ((better, worse),) = read(tmp_path, "better,worse\n4,1\n", each)
    assert (each.indices[better], each.indices[worse]) == (4, 1)
    for gone in (2, 3, 5, 9):
        with pytest.raises(imn.FileError, match=rf"pairs.csv: line 2: image {gone} \(index\) is not among the 3"):
            read(tmp_path, f"better,worse\n{gone},0\n", each)
    with pytest.raises(imn.FileError, match="'a' matches 2 images of 'x'"):
        read(tmp_path, "better,worse\na,b\n", each)


def test_named_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", p=np.ones((3, 4)), q=np.eye(3, 4), r=np.eye(3, 5))
    (tmp_path / "x_labels.csv").write_text("key,label\nr,negative\np,structured\n")
    (each,) = ev.load_sets(tmp_path / "x.npz")
    assert each.indices == ()
    assert read(tmp_path, "better,worse\np,r\n", each) == [[1, 0]]
    with pytest.raises(imn.FileError, match=r"line 3: image 'q' \(key or m/z\)"):
        read(tmp_path, "better,worse\np,r\nq,r\n", each)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "the file is empty"),
        ("better,lesser\n0,1\n", "line 1: column 'worse' is missing; found better, lesser"),
        ("better,worse,worse\n0,1,2\n", "column 'worse' is repeated in better, worse, worse"),
        ("better,worse\n0\n", "line 2: 'worse' is empty"),
        ("better,worse\n\n0,1,2\n", "line 3: 3 cells for 2 columns"),
        ("better,worse\n1,1\n", "two different images, not '1' twice"),
        ("better,worse\n0,-1\n", "image '-1'"),
        ("better,worse\n0,nan\n", "image 'nan'"),
        ("better,worse\n0,1.5\n", "image '1.5'"),
    ],
)
def test_invalid_files(tmp_path: Path, text: str, cause: str) -> None:
    with pytest.raises(imn.FileError, match=f"pairs.csv: .*{cause}"):
        read(tmp_path, text, made(2, indices=(0, 1)))
    with pytest.raises(imn.FileError, match=r"none\.csv"):
        ev.read_pairs(tmp_path / "none.csv", made(2))
