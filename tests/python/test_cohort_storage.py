"""Sections behind URLs: copied, picked, and removed again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import ionmorphnet as imn
from ionmorphnet.cohort import plan, run
from ionmorphnet.cohort.storage import remote_state, staged

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def url(tmp_path: Path) -> str:
    (tmp_path / "store").mkdir()
    imn.simulate(tmp_path / "store" / "s.imzML", shape=(16, 18), n_channels=20, seed=2)
    return f"file://{tmp_path}/store/s.imzML"


def test_a_copy_is_whole_and_goes_again(url: str, tmp_path: Path) -> None:
    (tmp_path / "stage").mkdir()
    with staged(url, tmp_path / "stage") as path:
        for suffix in (".imzML", ".ibd"):
            original = (tmp_path / "store" / "s").with_suffix(suffix)
            assert path.with_suffix(suffix).read_bytes() == original.read_bytes()
    assert not list((tmp_path / "stage").iterdir())


def test_a_broken_transfer_is_repeated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files = type(fsspec.filesystem("file"))
    calls = []

    def broken(self: object, remote: str, local: str, **_: object) -> None:
        calls.append(remote)
        shutil.copyfile(remote, local)
        if len(calls) in (1, 3):
            Path(local).write_bytes(Path(local).read_bytes()[:-7])
        if len(calls) == 4:
            raise ConnectionError("reset by peer")

    monkeypatch.setattr(files, "get_file", broken)
    with staged(url) as path, imn.open(path) as ds:
        assert ds.shape == (16, 18)
    assert len(calls) == 5

    def cut(self: object, remote: str, local: str, **_: object) -> None:
        Path(local).write_bytes(b"cut")

    monkeypatch.setattr(files, "get_file", cut)
    with (
        pytest.raises(imn.FileError, match=r"ibd: copying failed 3 times: 3 of \d+ bytes arrived"),
        staged(url),
    ):
        pass


def test_what_is_not_there_is_named(url: str, tmp_path: Path) -> None:
    with pytest.raises(imn.FileError, match=r"t\.imzML: no such file; check the URL"):
        remote_state(url.replace("s.imzML", "t.imzML"))
    with pytest.raises((imn.FileError, imn.UnavailableError), match="nonsense"):
        remote_state("nonsense://x/s.imzML")
    (tmp_path / "store/s.ibd").unlink()
    with pytest.raises(imn.FileError, match=r"s\.imzML: there is no ibd file beside it; put s\.ibd there"):
        remote_state(url)


def test_a_remote_section_is_picked_once(url: str, tmp_path: Path) -> None:
    options = {"scorer": "moran", "top": 3}
    assert not run([url], tmp_path / "out", **options).failed
    list(imn.pick_files([tmp_path / "store/s.imzML"], tmp_path / "local", **options))
    assert (tmp_path / "out/sections/s/peaks.csv").read_bytes() == (tmp_path / "local/s/peaks.csv").read_bytes()
    assert [each.action for each in plan([url], tmp_path / "out", **options)] == ["skip"]
    imn.simulate(tmp_path / "store" / "s.imzML", shape=(16, 19), n_channels=20, seed=2)
    assert [each.why for each in plan([url], tmp_path / "out", **options)] == ["the file changed"]
