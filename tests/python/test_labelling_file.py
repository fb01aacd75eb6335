"""The label CSV of a labelling session: form, resuming, refusals, the lock, safe writing."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.base.file_lock import FileLock
from ionmorphnet.labelled.label_csv import read_image_labels, read_mz_labels
from ionmorphnet.labelling.candidates import Candidates
from ionmorphnet.labelling.label_file import Label, LabelFile, Row
from labelling_factory import make_candidates

Open = Callable[..., LabelFile]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Opens ``labels.csv``, after writing a text to it; closed at the end."""
    files = []

    def file(text: str | None = None, candidates: Candidates | None = None) -> LabelFile:
        path = tmp_path / "labels.csv"
        if text is not None:
            path.write_text(text, encoding="utf-8")
        files.append(LabelFile(path, candidates or make_candidates()))
        return files[-1]

    yield file
    for each in files:
        each.close()


def arrays(n: int = 4) -> Candidates:
    """Array images in the order 3, 2, 1, 0; the first of the file has the key ``heart``."""
    keys = ("", "", "118.2", "heart")
    return make_candidates(n, filename="set.npz", indices=(3, 2, 1, 0), keys=keys, mz=None, mz_lo=None, mz_hi=None)


def test_one_pass_has_the_form_of_training_labels(opened: Open, tmp_path: Path) -> None:
    file = opened()
    file.rows[3] = Row(Label(0, 2.5))
    file.rows[1] = Row(Label(4, 0.0))
    file.rows[2] = Row(Label(2))
    file.save()
    assert (tmp_path / "labels.csv").read_text() == (
        "filename,mz,label,structure\nliver.imzML,103,structured,2.5\nliver.imzML,101,unstructured,0\n"
        "liver.imzML,102,localized,\n"
    )
    labels, report = read_mz_labels(tmp_path / "labels.csv", dataset="liver")
    assert [(each.mz, each.label) for each in labels] == [(101.0, 4), (102.0, 2), (103.0, 0)]
    assert labels[2].structure == 2.5
    assert report.problems == []


def test_two_passes_have_the_form_of_two_observers(opened: Open, tmp_path: Path) -> None:
    file = opened()
    file.rows = {0: Row(Label(0, 3.0), Label(1, 2.5)), 1: Row(Label(4, 0.0)), 2: Row(Label(2), Label(2, 1.0))}
    file.save()
    assert (tmp_path / "labels.csv").read_text() == (
        "filename,mz,label_a,label_b,grade_a,grade_b,structure\n"
        "liver.imzML,100,structured,weak_structured,3,2.5,2.75\n"
        "liver.imzML,101,unstructured,,0,,0\n"
        "liver.imzML,102,localized,localized,,1,1\n"
    )
    labels, report = read_mz_labels(tmp_path / "labels.csv", dataset="liver")
    assert report.problems == []
    assert [each.labels for each in labels] == [(0, 1), (4,), (2, 2)]
    assert [each.structure for each in labels] == [2.75, 0.0, 1.0]


def test_what_was_saved_is_read_again(opened: Open) -> None:
    file = opened()
    rows = {7: Row(Label(0, 3.0), Label(1, 2.5)), 1: Row(Label(4, 0.0)), 2: Row(Label(2), Label(2, 1.0))}
    file.rows = dict(rows)
    file.save()
    file.close()
    again = opened()
    assert [(item, row.first, row.second) for item, row in again.rows.items()] == [
        (item, row.first, row.second) for item, row in rows.items()
    ]
    before = again.path.read_bytes()
    again.save()
    assert again.path.read_bytes() == before


def test_m_z_come_back_exactly(opened: Open) -> None:
    mz = np.array([99.123456789012, 346.055808353, 1999.987654321])
    close = {"mz": mz, "mz_lo": mz, "mz_hi": mz, "keys": tuple(f"{value:.10g}" for value in mz)}
    file = opened(candidates=make_candidates(3, **close))
    file.rows = {k: Row(Label(k)) for k in range(3)}
    file.save()
    file.close()
    assert list(opened(candidates=make_candidates(3, **close)).rows) == [0, 1, 2]


def test_published_and_hand_written_files_are_continued(opened: Open) -> None:
    text = (
        "\ufefffilename;m/z;min_fdr;databases;Label\nliver.imzML;105.004;0.05;HMDB, v4;Weak structured\n\n"
        "liver.imzML;555.5;0.1;;negative\n"
    )
    file = opened(text)
    assert file.rows[5].first == Label(1)
    assert file.kept == 1
    file.rows[0] = Row(Label(0, 3.0))
    file.save()
    assert file.path.read_text() == (
        "filename,mz,label,structure,min_fdr,databases\n"
        "liver.imzML,555.5,negative,,0.1,\n"
        'liver.imzML,105.004,weak_structured,,0.05,"HMDB, v4"\n'
        "liver.imzML,100,structured,3,,\n"
    )


def test_a_mean_grade_stays_until_the_row_is_labelled_again(opened: Open) -> None:
    file = opened("mz,label_a,label_b,structure\n100,structured,localized,2.25\n101,negative,,1.5\n")
    assert file.rows[0].mean_grade == 2.25
    assert file.rows[1] == Row(Label(5, 1.5), None, "101")
    file.save()
    assert "100,structured,localized,,,2.25" in file.path.read_text()


@pytest.mark.parametrize("text", ["", "\n\n", "filename,mz,label\n"])
def test_an_empty_file_is_a_beginning(opened: Open, text: str) -> None:
    assert opened(text).rows == {}


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            "filename,mz,label\nkidney.imzML,100,negative\n",
            "line 2: belongs to kidney.imzML, not to liver.imzML; choose",
        ),
        ("mz,label\n500.5,negative\n600.5,negative\n", "none of its m/z is a candidate of liver.imzML; choose"),
        ("index,label\n0,negative\n", r"line 1: not the label file of a section \(columns index, label\); choose"),
        ("mz,score\n100,1\n", r"line 1: not the label file of a section \(columns mz, score\); choose"),
        ("mz,label,label\n100,negative,negative\n", "line 1: a column occurs twice; remove one"),
        ("mz,label\n100,negative\n100.001,localized\n", "line 3: m/z 100.0000 is labelled twice; remove one"),
        ("mz,label\n100,blurry\n", "line 2: unknown class 'blurry'; known: .*; mend or remove the row"),
        ("mz,label\n100\n", "line 2: unknown class ''"),
        ("mz,label\nx,negative\n", "line 2: 'x' is not an m/z value; mend or remove the row"),
        ("mz,label\n,negative\n", "line 2: '' is not an m/z value"),
        ("mz,label,structure\n100,negative,4\n", "line 2: '4' is not a structure grade from 0 to 3; mend"),
        ("mz,label,structure\n100,negative,high\n", "line 2: 'high' is not a structure grade"),
        ("mz,label\n100,negative,0,5\n", "line 2: 4 cells for 2 columns; mend"),
        ("mz,label_a,label_b\n100,,negative\n", "line 2: unknown class ''"),
    ],
)
def test_a_file_that_would_lose_something_is_refused(opened: Open, tmp_path: Path, text: str, cause: str) -> None:
    with pytest.raises(imn.FileError, match=cause) as error:
        opened(text)
    assert str(error.value).startswith(f"{tmp_path / 'labels.csv'}: ")
    assert (tmp_path / "labels.csv").read_text() == text
    assert not (tmp_path / "labels.csv.lock").exists()


def test_image_arrays(opened: Open, tmp_path: Path) -> None:
    file = opened(candidates=arrays())
    file.rows = {3: Row(Label(0, 3.0)), 0: Row(Label(4))}
    file.save()
    assert (tmp_path / "labels.csv").read_text() == (
        "filename,index,key,label,structure\nset.npz,0,heart,structured,3\nset.npz,3,,unstructured,\n"
    )
    labels, report = read_image_labels(tmp_path / "labels.csv")
    assert [(each.index, each.key, each.labels) for each in labels] == [(0, "heart", (0,)), (3, "", (4,))]
    assert report.problems == []
    file.close()
    assert list(opened(candidates=arrays()).rows) == [3, 0]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("index,label\n4,negative\n", "line 2: there is no image '4' in set.npz; mend"),
        ("index,label\n-1,negative\n", "line 2: there is no image '-1' in set.npz"),
        ("index,key,label\n0,liver,negative\n", "line 2: image 0 of set.npz is 'heart', not 'liver'"),
        ("index,key,label\n1,119.5,negative\n", "line 2: image 1 of set.npz is '118.2', not '119.5'"),
        ("filename,index,label\nother.npz,0,negative\n", "belongs to other.npz, not to set.npz"),
        ("mz,label\n100,negative\n", "not the label file of image arrays"),
    ],
)
def test_image_arrays_of_another_file_are_refused(opened: Open, text: str, cause: str) -> None:
    with pytest.raises(imn.FileError, match=cause):
        opened(text, arrays())
    assert list(opened("index,key,label\n1,118.2001,negative\n", arrays()).rows) == [2]


def test_two_sessions_on_one_file_are_refused(opened: Open, tmp_path: Path) -> None:
    file = opened()
    with pytest.raises(
        imn.FileError, match=rf"labels.csv: another session is labelling it \(process {os.getpid()} on "
    ):
        opened()
    (tmp_path / "link.csv").symlink_to(tmp_path / "labels.csv")
    with pytest.raises(imn.FileError, match=r"link\.csv: another session"):
        LabelFile(tmp_path / "link.csv", make_candidates())
    file.close()
    file.close()
    assert list(tmp_path.glob("*.lock")) == []
    opened()


def test_a_process_that_holds_the_lock_is_named_and_its_end_releases_it(opened: Open, tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from ionmorphnet.base.file_lock import FileLock;"
        "lock = FileLock(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "labels.csv"
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(imn.FileError, match=rf"process {holder.pid} on .*finish that one first"):
            opened()
        holder.kill()
    assert (tmp_path / "labels.csv.lock").exists()
    opened()


def test_the_lock_is_not_taken_on_a_file_that_its_holder_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = FileLock(tmp_path / "a.csv")
    real = FileLock._is_in_place
    seen = []

    def raced(self: FileLock, descriptor: int) -> bool:
        if not seen:
            self.path.unlink()  # as its holder does at the end
        seen.append(real(self, descriptor))
        return seen[-1]

    first.release()
    monkeypatch.setattr(FileLock, "_is_in_place", raced)
    second = FileLock(tmp_path / "a.csv")
    assert seen == [False, True]
    assert second.path.exists()
    second.release()


def test_a_change_by_another_program_is_not_overwritten(opened: Open) -> None:
    file = opened("mz,label\n100,negative\n")
    file.path.write_text("mz,label\n100,negative\n101,localized\n")
    file.rows[2] = Row(Label(0))
    with pytest.raises(imn.FileError, match="was changed by another program; end this session"):
        file.save()
    assert file.path.read_text() == "mz,label\n100,negative\n101,localized\n"


def test_a_failed_save_leaves_the_file_as_it_was(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    file = opened("mz,label\n100,negative\n")
    file.rows[2] = Row(Label(0))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(imn.FileError, match=r"labels\.csv: cannot be written: No space left on device"):
        file.save()
    assert file.path.read_text() == "mz,label\n100,negative\n"
    assert sorted(each.name for each in file.path.parent.iterdir()) == ["labels.csv", "labels.csv.lock"]
    monkeypatch.undo()
    file.save()
    assert len(file.path.read_text().splitlines()) == 3


def test_the_content_reaches_the_disk_before_the_name_and_the_name_before_the_return(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = opened()
    file.rows[2] = Row(Label(0))
    calls = []
    sync, replace = os.fsync, os.replace

    def synced(descriptor: int) -> None:
        calls.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def replaced(source: Path, target: Path) -> None:
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", replaced)
    file.save()
    assert calls == ["file", "rename", "folder"]


def test_permissions_and_links_stay(opened: Open, tmp_path: Path) -> None:
    target = tmp_path / "target.csv"
    target.write_text("mz,label\n100,negative\n")
    target.chmod(0o640)
    (tmp_path / "labels.csv").symlink_to(target)
    file = opened()
    file.save()
    assert (tmp_path / "labels.csv").is_symlink()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_names_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(imn.FileError, match="is a folder, a file name is needed"):
        LabelFile(tmp_path, make_candidates())
    with pytest.raises(imn.FileError, match=r"the folder .* does not exist"):
        LabelFile(tmp_path / "none" / "labels.csv", make_candidates())
    (tmp_path / "labels.csv.lock").mkdir()
    with pytest.raises(imn.FileError, match=r"labels\.csv: cannot be written: Is a directory"):
        LabelFile(tmp_path / "labels.csv", make_candidates())
