"""Sections behind URLs: copied, picked, and removed again."""

from __future__ import annotations

import functools
import http.server
import shutil
import threading
from collections.abc import Iterator
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
    match = r"s\.imzML: copying failed 3 times: 3 of \d+ bytes arrived; run the same command again"
    with pytest.raises(imn.FileError, match=match), staged(url):
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


class Server(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; cuts the first answers to requests of ibd files, or refuses all."""

    cuts = 0
    status = 200

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        """As always, but for what is asked for."""
        if type(self).status != 200:
            self.send_error(type(self).status)
        elif self.path.endswith(".ibd") and type(self).cuts:
            type(self).cuts -= 1
            content = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
        else:
            super().do_GET()

    def do_HEAD(self) -> None:
        """As above."""
        if type(self).status != 200:
            self.send_error(type(self).status)
        else:
            super().do_HEAD()


@pytest.fixture
def served(url: str, tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp", reason="http needs the extra [remote]")
    Server.cuts, Server.status = 0, 200
    handler = functools.partial(Server, directory=tmp_path / "store")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/s.imzML"
        server.shutdown()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_sections_come_by_http(served: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ionmorphnet.cohort.stores._PAUSE", 0.0)
    Server.cuts = 2
    with staged(served) as path:
        assert path.with_suffix(".ibd").read_bytes() == (tmp_path / "store/s.ibd").read_bytes()
    assert Server.cuts == 0
    Server.cuts = 3
    match = rf"^{served[:-6]}\.ibd: copying failed 3 times: .*; .*again$"
    with pytest.raises(imn.FileError, match=match), staged(served):
        pass
    options = {"scorer": "moran", "top": 3}
    assert not run([served], tmp_path / "out", **options).failed
    assert [each.action for each in plan([served], tmp_path / "out", **options)] == ["skip"]


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_web_server_refuses_is_told(served: str, tmp_path: Path) -> None:
    for status, cause in (
        (404, "no such file; check the URL"),
        (403, "the store denies access"),
        (500, "the server failed (500, "),
    ):
        Server.status = status
        with pytest.raises(imn.FileError) as caught:
            remote_state(served)
        assert str(caught.value).startswith(f"{served}: ")
        assert cause in str(caught.value)
    with pytest.raises(
        imn.FileError, match=r"^http://127\.0\.0\.1:1/s\.imzML: the connection failed \(.*; check the addr"
    ):
        remote_state("http://127.0.0.1:1/s.imzML")


def test_a_file_url_is_a_folder(tmp_path: Path, url: str) -> None:
    run([url], f"file://{tmp_path}/out", scorer="moran", top=3)
    assert (tmp_path / "out/sections/s/run.json").is_file()
    with pytest.raises(imn.UnavailableError, match=r"gs://b/out: .*; install the package that is named"):
        run([url], "gs://b/out", scorer="moran", top=3)
