from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import ArgumentError, FileError
from ionmorphnet.tumor.cubes import Cube
from ionmorphnet.tumor.splits import make_folds, read_folds, refuse_leak
from tumor_cohorts import LABELS, MZ, write_cohort

CLASSES = ("normal", "tumor")


def _cube(name: str, group: str, labels: list[int], source: str | None = None) -> Cube:
    values = np.zeros((1, len(labels), 1), np.float32)
    return Cube(name, group, source or name, values, np.ones((1, len(labels)), bool), np.array([labels], np.int16))


def _cohort(n: int = 4) -> list[Cube]:
    return [_cube(f"{p}{s}", p, [0, 1, 1]) for p in "abcdefgh"[:n] for s in range(2)]


@pytest.mark.parametrize("inner", [True, False])
@pytest.mark.parametrize(
    ("protocol", "by"), [("leave-one-out", "patient"), ("k-fold", "patient"), ("k-fold", "section")]
)
def test_groups_are_never_split(protocol: str, by: str, inner: bool) -> None:
    cubes = _cohort()
    folds = make_folds(cubes, CLASSES, protocol=protocol, by=by, k=3, inner=inner, seed=1)
    assert sorted(i for fold in folds for i in fold.test) == list(range(8))
    for fold in folds:
        parts = [fold.train, fold.inner, fold.test]
        assert sorted(i for part in parts for i in part) == list(range(8))
        groups = [{cubes[i].group if by == "patient" else cubes[i].name for i in part} for part in parts]
        assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]  # noqa: PT018
        # Two groups to train on are too few to give one away.
        assert bool(fold.inner) == (inner and len(groups[0] | groups[1]) > 2)
        assert fold.outer == tuple(sorted(fold.train + fold.inner))
    assert folds == make_folds(cubes, CLASSES, protocol=protocol, by=by, k=3, inner=inner, seed=1)


def test_too_little_to_divide() -> None:
    with pytest.raises(ArgumentError, match="only one section"):
        make_folds(_cohort()[:1], CLASSES)
    with pytest.raises(ArgumentError, match=r"all sections belong to one patient \(a\)"):
        make_folds(_cohort()[:2], CLASSES)
    assert len(make_folds(_cohort()[:2], CLASSES, by="section")) == 2
    with pytest.raises(ArgumentError, match=r"k must be from 2 to 4, the number of patients, not 9"):
        make_folds(_cohort(), CLASSES, protocol="k-fold", k=9)
    with pytest.raises(ArgumentError, match="protocol must be one of"):
        make_folds(_cohort(), CLASSES, protocol="by pixel")


def test_a_class_that_training_lacks() -> None:
    cubes = [_cube("a", "a", [0, 0]), _cube("b", "b", [0, 1]), _cube("c", "c", [0, 0])]
    with pytest.raises(
        ArgumentError, match=r"fold b: the training sections \(a, c\) have no labelled pixel of class 'tumor'"
    ):
        make_folds(cubes, CLASSES)
    cubes = [_cube("a", "a", [-1]), _cube("b", "b", [0, 1]), _cube("c", "c", [0, 1])]
    with pytest.raises(ArgumentError, match="fold a: the test sections have no labelled pixel"):
        make_folds(cubes, CLASSES)


def test_leaks_are_refused(tmp_path: Path) -> None:
    cubes = _cohort()
    path = tmp_path / "folds.json"

    def write(train: list[str], test: list[str]) -> None:
        path.write_text(json.dumps({"folds": [{"train": train, "test": test}]}))

    write(["b0", "b1", "c0", "d0"], ["a0", "a1"])
    (fold,) = read_folds(path, cubes, CLASSES)
    assert fold.test == (0, 1)
    assert len(fold.inner) in (1, 2)
    write(["a1", "b0"], ["a0"])
    with pytest.raises(
        ArgumentError, match=r"'a1' \(training\) and 'a0' \(test\) belong to the same patient 'a', which would leak"
    ):
        read_folds(path, cubes, CLASSES)
    write(["a0", "b0"], ["a0"])
    with pytest.raises(ArgumentError, match="'a0' is in both training and test"):
        read_folds(path, cubes, CLASSES)
    same = [_cube("x", "p", [0, 1], "f.imzML"), _cube("y", "q", [0, 1], "f.imzML"), _cube("z", "r", [0, 1])]
    with pytest.raises(ArgumentError, match=r"'y' and 'x' share pixels of f\.imzML"):
        refuse_leak(same, [1], [0], "fold 1")
    with pytest.raises(ArgumentError, match=r"share pixels of f\.imzML"):
        make_folds(same, CLASSES)
    good = {"train": ["b0", "c0"], "test": ["a0"]}
    for folds, message in (
        ({}, "not a list of folds"),
        ([{"train": ["q"], "test": ["a0"]}], "fold 1: unknown section 'q'"),
        ([{"train": [["b0"]], "test": ["a0"]}], "fold 1: 'train' must be a list of section names"),
        ([{"train": ["b0"], "test": [3]}], "fold 1: 'test' must be a list of section names"),
        ([{"train": ["b0", "b0"], "test": ["a0"]}], "fold 1: 'train' lists 'b0' twice"),
        ([{"train": ["b0"], "test": ["a0", "a0"]}], "fold 1: 'test' lists 'a0' twice"),
        ([good, {"train": ["d0"], "test": ["a1", "a0"]}], "fold 2: 'a0' is already tested in an earlier fold"),
    ):
        path.write_text(json.dumps(folds))
        with pytest.raises(FileError, match=message):
            read_folds(path, cubes, CLASSES)


def test_a_patient_to_stop_by_shares_no_pixel_with_the_others(tmp_path: Path) -> None:
    cubes = [_cube(name, name, [0, 1], "f.imzML" if name in "bc" else name) for name in "abcd"]
    with pytest.raises(ArgumentError, match=r"share pixels of f\.imzML"):
        make_folds(cubes, CLASSES)
    # Both in one fold's training set: the leak is between the training and what it stops by.
    fold = tmp_path / "folds.json"
    fold.write_text(json.dumps([{"train": ["b", "c", "d"], "test": ["a"]}]))
    with pytest.raises(ArgumentError, match=r"fold 1, early stopping: .*share pixels of f\.imzML"):
        read_folds(fold, cubes, CLASSES)
    assert read_folds(fold, cubes, CLASSES, inner=False)


def test_files_of_one_uuid_are_no_copies_unless_their_values_are_the_same() -> None:
    a, b = (replace(_cube(name, name, [0, 1]), identity="1-2") for name in "ab")
    refuse_leak([a, replace(b, values=b.values + 1)], [0], [1], "here")
    with pytest.raises(ArgumentError, match="share pixels of b, of which a is a copy"):
        refuse_leak([a, b], [0], [1], "here")


@pytest.mark.parametrize("how", ["other spelling", "link", "copy", "another name"])
def test_one_file_by_two_names_leaks(how: str, tmp_path: Path) -> None:
    write_cohort(tmp_path, patients=3)
    (tmp_path / "sub").mkdir()
    if how == "other spelling":
        second = "sub/../p0_0.imzML"
    elif how == "link":
        (tmp_path / "l.imzML").symlink_to(tmp_path / "p0_0.imzML")
        (tmp_path / "l.ibd").symlink_to(tmp_path / "p0_0.ibd")
        second = "l.imzML"
    else:
        second = "sub/c.imzML" if how == "copy" else "c.imzML"
        for ending in ("imzML", "ibd"):
            shutil.copy(tmp_path / f"p0_0.{ending}", (tmp_path / second).with_suffix(f".{ending}"))
    listed = tmp_path / "c.csv"
    rows = ["p0_0.imzML,p0_0.npy,a,a", "p1_0.imzML,p1_0.npy,b,b", "p2_0.imzML,p2_0.npy,c,c", f"{second},p0_0.npy,d,d"]
    listed.write_text("\n".join(["file,regions,patient,name", *rows]))
    cohort = imn.tumor.read_cohort(listed, labels=LABELS)
    pytest.importorskip("sklearn", reason="the baselines need the extra [tumor]")
    plan = imn.tumor.EvaluationPlan(methods=("lda",), threads=1)
    named = ", of which .* is a copy" if "spelling" not in how and how != "link" else ""
    with pytest.raises(ArgumentError, match=rf"'d' and 'a' share pixels of [^,]*p0_0\.imzML{named}, which would leak"):
        imn.tumor.evaluate_cohort(tmp_path / "out", cohort, plan, channels=MZ, ppm=20)
    if how == "other spelling":
        pytest.importorskip("torch", reason="training needs the extra [train]")
        # The last patient is held out.
        with pytest.raises(ArgumentError, match="training, early stopping: 'a' and 'd' share pixels"):
            imn.tumor.train_tumor(
                tmp_path / "run", cohort, method="cnn3d", channels=MZ, ppm=20, size=1, steps=1, device="cpu", threads=1
            )
