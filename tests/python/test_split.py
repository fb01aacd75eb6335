"""Splits are by dataset and deterministic, and refuse leaks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import ionmorphnet as imn
from ionmorphnet.training.split import (
    PUBLISHED_TEST,
    PUBLISHED_VALIDATION,
    published_split,
    read_split,
    split_datasets,
)

IDS = [f"ds{k:02d}" for k in range(20)]


def test_drawn_split() -> None:
    split = split_datasets(IDS, val_share=0.2, test_share=0.1, seed=3)
    assert (len(split.train), len(split.val), len(split.test)) == (14, 4, 2)
    assert sorted(split.train + split.val + split.test) == IDS
    assert split == split_datasets(reversed(IDS), val_share=0.2, test_share=0.1, seed=3)
    assert split != split_datasets(IDS, val_share=0.2, test_share=0.1, seed=4)
    assert split.warnings == ()


def test_an_added_dataset_moves_few_others() -> None:
    before = split_datasets(IDS, val_share=0.2, seed=1)
    after = split_datasets([*IDS, "new"], val_share=0.2, seed=1)
    assert len(set(before.val) - set(after.val)) <= 1


@pytest.mark.parametrize(("n", "share", "val"), [(2, 0.01, 1), (2, 0.9, 1), (3, 0.5, 2), (20, 0.0, 0)])
def test_small_numbers_of_datasets(n: int, share: float, val: int) -> None:
    split = split_datasets(IDS[:n], val_share=share)
    assert len(split.val) == val
    assert split.train


def test_listed_datasets() -> None:
    split = split_datasets(IDS, val=["ds03", "ds01"], test=["ds05"])
    assert (split.val, split.test, len(split.train)) == (("ds01", "ds03"), ("ds05",), 17)
    drawn = split_datasets(IDS, test=["ds05"], val_share=0.2)
    assert drawn.test == ("ds05",)
    assert len(drawn.val) == 4
    assert "ds05" not in drawn.val
    assert split_datasets(IDS, val=[]).val == ()


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        ({"val": ["dsx"]}, "'val' names unknown datasets: dsx; known: ds00"),
        ({"val": ["ds01"], "test": ["ds01"]}, "'ds01' is in both 'val' and 'test'"),
        ({"val": IDS}, "no dataset is left for training"),
        ({"val_share": 1.0}, "val_share and test_share"),
        ({"val_share": 0.5, "test_share": 0.6}, "val_share and test_share"),
        ({"val_share": -0.1}, "val_share and test_share"),
    ],
)
def test_invalid_splits(options: dict[str, object], cause: str) -> None:
    with pytest.raises(imn.ArgumentError, match=cause):
        split_datasets(IDS, **options)  # type: ignore[arg-type]


def test_no_datasets() -> None:
    with pytest.raises(imn.ArgumentError, match="no datasets to split"):
        split_datasets([])


def test_one_dataset_is_not_split_and_warns(caplog: pytest.LogCaptureFixture) -> None:
    split = split_datasets(["only"], val_share=0.5, test_share=0.3)
    assert (split.train, split.val, split.test) == (("only",), (), ())
    assert "'only' is the only dataset: nothing can be held out" in split.warnings[0]
    assert split.warnings[0] in caplog.text


def test_published_parts(caplog: pytest.LogCaptureFixture) -> None:
    split = published_split([*IDS, *PUBLISHED_VALIDATION, *PUBLISHED_TEST])
    assert split.train == tuple(IDS)
    assert (set(split.val), set(split.test)) == (set(PUBLISHED_VALIDATION), set(PUBLISHED_TEST))
    assert len(split.val) == len(split.test) == 5
    assert split.warnings == ()
    partial = published_split([*IDS, PUBLISHED_VALIDATION[2]])
    assert (partial.val, partial.test) == ((PUBLISHED_VALIDATION[2],), ())
    assert "9 of the 10 published" in caplog.text
    with pytest.raises(imn.ArgumentError, match="left for training"):
        published_split(PUBLISHED_TEST)


def test_split_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "split.json"
    split = split_datasets(IDS, val_share=0.2, test_share=0.1)
    path.write_text(json.dumps(split.to_dict()))
    assert read_split(path, IDS) == split
    assert not caplog.records
    path.write_text(json.dumps({"train": IDS[:10], "val": IDS[10:15]}))
    partial = read_split(path, IDS)
    assert (len(partial.train), len(partial.val), partial.test) == (10, 5, ())
    assert "5 datasets are in no part and not used: ds15" in caplog.text


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "line 1: invalid JSON"),
        ("[]", "must be"),
        ('{"train": []}', "at least one in train"),
        ('{"train": ["ds01"], "valid": ["ds02"]}', "must be"),
        ('{"train": "ds01"}', "'train' must be a list"),
        ('{"train": ["ds01"], "val": [2]}', "'val' must be a list"),
        ('{"train": ["ds01"], "val": ["ds01"]}', "'ds01' is in both 'train' and 'val'"),
        ('{"train": ["ds01"], "test": ["dsx"]}', "'test' names unknown datasets: dsx"),
    ],
)
def test_bad_split_files(tmp_path: Path, content: str, cause: str) -> None:
    path = tmp_path / "split.json"
    path.write_text(content)
    with pytest.raises(imn.FileError, match=cause) as error:
        read_split(path, IDS)
    assert str(error.value).startswith(f"{path}: ")


def test_a_missing_split_file(tmp_path: Path) -> None:
    with pytest.raises(imn.FileError, match=r"none\.json: No such file"):
        read_split(tmp_path / "none.json", IDS)
