from __future__ import annotations

import contextlib
import errno
import os
import pickle
from pathlib import Path

import pytest

import ionmorphnet as imn
from ionmorphnet.base.errors import FileError
from ionmorphnet.base.files import atomic_path, filled_folder


def write_and_fail(path: Path, error: BaseException) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text("half")
        raise error


def test_success_writes_the_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "ä b.csv"
    with atomic_path(target) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".csv"
        temporary.write_text("new")
        assert not target.exists()
    assert target.read_text() == "new"
    assert os.listdir(tmp_path) == ["ä b.csv"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failure_leaves_nothing_and_keeps_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    with pytest.raises(error):
        write_and_fail(target, error())
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["out.csv"]


def test_replaces_an_existing_file(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    target.write_text("old")
    with atomic_path(str(target)) as temporary:
        temporary.write_text("new")
    assert target.read_text() == "new"


def test_two_writers_do_not_meet(tmp_path: Path) -> None:
    target = tmp_path / "out.csv"
    with atomic_path(target) as first, atomic_path(target) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"  # the outer block ends last
    assert os.listdir(tmp_path) == ["out.csv"]


def test_symbolic_link_is_kept(tmp_path: Path) -> None:
    real = tmp_path / "real.csv"
    real.write_text("old")
    link = tmp_path / "link.csv"
    link.symlink_to(real)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_missing_folder_and_folder_as_target_are_named(tmp_path: Path) -> None:
    with (
        pytest.raises(FileError, match=r"out\.csv: the folder .*none does not exist"),
        atomic_path(tmp_path / "none" / "out.csv"),
    ):
        pytest.fail("the block must not run")
    with pytest.raises(FileError, match="is a folder"), atomic_path(tmp_path):
        pytest.fail("the block must not run")


def test_block_that_writes_nothing_is_an_error_naming_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"out\.csv: cannot be written") as caught, atomic_path(tmp_path / "out.csv"):
        pass
    assert ".tmp-" not in str(caught.value)


def test_full_disk_names_the_file_asked_for(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"out\.csv: cannot be written: No space"):
        write_and_fail(tmp_path / "out.csv", OSError(errno.ENOSPC, "No space left on device"))
    assert os.listdir(tmp_path) == []


def test_errors_of_other_files_pass_unchanged(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"other\.csv"), atomic_path(tmp_path / "out.csv"):
        (tmp_path / "other.csv").read_text()


def test_file_errors_are_os_errors_of_one_line(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="absent") as caught:
        imn.open(tmp_path / "absent.imzML")
    assert isinstance(caught.value, imn.FileError)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args


def test_a_folder_that_stays_empty_goes(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for error in (KeyboardInterrupt, None):
        with contextlib.suppress(KeyboardInterrupt), filled_folder(tmp_path / "there" / "a" / "b"):
            assert (tmp_path / "there" / "a" / "b").is_dir()
            if error is not None:
                raise error
        assert list((tmp_path / "there").iterdir()) == []
    with filled_folder(tmp_path / "c" / "d"):
        (tmp_path / "c" / "d" / "x").touch()
    assert (tmp_path / "c" / "d" / "x").exists()
    with pytest.raises(FileError, match="is a file, a folder is needed"), filled_folder(tmp_path / "c" / "d" / "x"):
        raise AssertionError("the block must not run")
