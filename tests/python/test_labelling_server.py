"""The web server of the labelling page: who may ask, what is answered, and that nothing is lost."""

from __future__ import annotations

import http.client
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import ionmorphnet as imn
from ionmorphnet.labelled.label_csv import read_mz_labels
from ionmorphnet.labelling import server
from labelling_factory import SHAPE, Page, make_session

Open = Callable[..., Page]


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Open]:
    """Opens a page on ``labels.csv``."""
    sessions = []

    def opened(**arguments: Any) -> Page:
        sessions.append(make_session(tmp_path / "labels.csv", **arguments))
        return Page(sessions[-1])

    yield opened
    for each in sessions:
        each.file.close()


GETS = ["", "assets/main.js", "state", "image/0.png", "image/0.json", "section.png", "agreement"]
POSTS = ["label", "clear", "skip", "undo", "redo", "choose", "finish"]


@pytest.mark.parametrize("path", GETS + POSTS)
def test_without_the_token_there_is_nothing(page: Open, path: str) -> None:
    opened = page()
    method = "POST" if path in POSTS else "GET"
    headers = {"Host": "127.0.0.1:5000", "Content-Type": "application/json"}
    token = opened.app.token
    for wrong in (
        "/",
        f"/{path}",
        f"/x/{path}",
        f"/{token[:-1]}/{path}",
        f"/{token}x/{path}",
        f"/ä/{path}",
        f"//{token}/{path}",
    ):
        answer = opened.client.open(wrong, method=method, headers=headers, data="{}")
        assert answer.status_code == 404, wrong
        assert token not in answer.text
        assert "liver" not in answer.text


def test_the_token_is_long_random_and_compared_in_constant_time(page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = page()
    assert len(opened.app.token) >= 32
    compared = []
    real = server.hmac.compare_digest
    monkeypatch.setattr(server.hmac, "compare_digest", lambda a, b: compared.append((a, b)) or real(a, b))
    assert opened.get("state").status_code == 200
    assert compared == [(opened.app.token.encode(), opened.app.token.encode())]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "localhost.evil", "", "10.0.0.7"]
)
def test_other_names_of_this_machine_are_refused(page: Open, host: str) -> None:
    opened = page()
    answer = opened.get("state", Host=host)
    assert answer.status_code == 403
    assert "to this machine only" in answer.json["error"]
    assert opened.post("skip", {"item": 0, "revision": 0}, Host=host).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1:8000", "localhost:9", "LOCALHOST:9", "[::1]:8000"])
def test_local_names_and_tunnels_are_served(page: Open, host: str) -> None:
    assert page().get("state", Host=host).status_code == 200


def test_changes_come_from_the_page_only(page: Open) -> None:
    opened = page()
    body = {"item": 0, "label": 0, "grade": None, "revision": 0}
    assert opened.post("label", body, Origin="https://evil.example").status_code == 403
    assert opened.post("label", body, Origin="null").status_code == 403
    assert opened.post("label", body, Origin="http://127.0.0.1:9999").status_code == 403
    assert opened.post("label", body, **{"Content-Type": "text/plain"}).status_code == 415
    assert opened.get("state").json["first"] == 0
    assert opened.post("label", body, Origin="http://127.0.0.1:5000").status_code == 200


@pytest.mark.parametrize("path", GETS)
def test_every_answer_forbids_what_the_page_does_not_need(page: Open, path: str) -> None:
    answer = page().get(path)
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    for name, value in (
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("X-Frame-Options", "DENY"),
        ("Cross-Origin-Resource-Policy", "same-origin"),
    ):
        assert answer.headers[name] == value
    cached = answer.headers["Cache-Control"]
    assert cached.startswith("private, max-age" if path.endswith(".png") else "no-store")


def test_assets_name_nothing_outside_of_the_page() -> None:
    folder = Path(server.__file__).parent / "assets"
    files = sorted(folder.iterdir())
    assert len(files) > 5
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert not re.search(r"https?:|\bsrc=\"//|@import|url\(", text), file.name
        assert not re.search(r"innerHTML|document\.write|\beval\(", text), file.name
        assert not re.search(r"\son\w+=|style=\"|<script>", text), file.name


def test_only_known_assets_are_served(page: Open) -> None:
    opened = page()
    assert opened.get("assets/label.css").content_type == "text/css; charset=utf-8"
    assert opened.get("assets/main.js").content_type == "text/javascript; charset=utf-8"
    for name in ("../server.py", "..%2fserver.py", "none.js", "%2e%2e/label.py", ""):
        assert opened.get(f"assets/{name}").status_code == 404


def test_the_entrance_leads_in_once(page: Open) -> None:
    opened = page()
    entrance = opened.app.entrance
    assert opened.app.token not in entrance
    headers = {"Host": "127.0.0.1:5000"}
    assert opened.client.get("/enter/None", headers=headers).status_code == 404
    answer = opened.client.get(entrance, headers=headers)
    assert (answer.status_code, answer.headers["Location"]) == (303, opened.app.path)
    assert opened.client.get(entrance, headers=headers).status_code == 404
    assert opened.client.get("/enter/None", headers=headers).status_code == 404
    assert opened.client.get("/enter/", headers=headers).status_code == 404


def test_labelling_through_requests(page: Open, tmp_path: Path) -> None:
    opened = page()
    state = opened.get("state").json
    assert (state["title"], state["n"], state["pass"], state["first"], state["kept"]) == ("liver.imzML", 30, 1, 0, 0)
    assert [each["name"] for each in state["classes"]] == list(imn.CLASSES)
    assert (state["captions"][3], state["pixel_ratio"]) == ("m/z 103.0000", 0.5)
    assert state["scale_bar"] == {"fraction": pytest.approx(0.2), "text": "200 µm"}
    answer = opened.label(3, 1, 2.5)
    assert answer.status_code == 200
    assert answer.json["entry"] == {"item": 3, "label": 1, "grade": 2.5, "skipped": False}
    assert (answer.json["first"], answer.json["can_undo"], answer.json["can_redo"]) == (1, True, False)
    assert "structured,2.5" in (tmp_path / "labels.csv").read_text()
    revision = answer.json["revision"]
    undone = opened.post("undo", {"revision": revision}).json
    assert undone["entry"] == {"item": 3, "label": None, "grade": None, "skipped": False}
    assert len((tmp_path / "labels.csv").read_text().splitlines()) == 1
    done = opened.post("redo", {"revision": undone["revision"]}).json
    assert done["entry"]["label"] == 1
    skipped = opened.post("skip", {"item": 4, "revision": done["revision"]}).json
    assert skipped["entry"]["skipped"]
    cleared = opened.post("clear", {"item": 3, "revision": skipped["revision"]}).json
    assert cleared["first"] == 0
    assert opened.post("redo", {"revision": cleared["revision"]}).json["entry"] is None


def test_two_passes_through_requests(page: Open) -> None:
    opened = page()
    for item in range(5):
        opened.label(item, item % 2, 3)
    revision = opened.get("state").json["revision"]
    state = opened.post("choose", {"pass": 2, "order": "rank", "revision": revision}).json
    assert (state["pass"], sorted(state["queue"]), state["entries"]) == (2, [0, 1, 2, 3, 4], [])
    assert opened.get("agreement").json == {"agreement": None}
    for item in range(5):
        opened.label(item, 0, 2.5)
    found = opened.get("agreement").json["agreement"]
    assert (found["images"], found["same"], found["kappa"], found["grade_difference"]) == (5, 0.6, 0.0, 0.5)


@pytest.mark.parametrize(
    ("path", "body", "status", "cause"),
    [
        ("label", b"{", 400, "the body is not JSON"),
        ("label", b"\xff", 400, "the body is not JSON"),
        ("label", [1], 400, "the body must be a JSON object"),
        ("label", {}, 400, "item must be a whole number"),
        ("label", {"item": "0", "label": 0, "revision": 0}, 400, "item must be a whole number"),
        ("label", {"item": True, "label": 0, "revision": 0}, 400, "item must be a whole number"),
        ("label", {"item": 0.5, "label": 0, "revision": 0}, 400, "item must be a whole number"),
        ("label", {"item": 0, "label": 0}, 400, "revision must be a whole number"),
        ("label", {"item": 0, "label": 0, "grade": "3", "revision": 0}, 400, "grade must be a number or null"),
        ("label", {"item": 0, "label": 0, "grade": True, "revision": 0}, 400, "grade must be a number or null"),
        ("label", b'{"item": 0, "label": 0, "grade": NaN, "revision": 0}', 400, "grade must be from 0 to 3"),
        ("label", b'{"item": 0, "label": 0, "grade": Infinity, "revision": 0}', 400, "grade must be from 0 to 3"),
        ("label", {"item": 99, "label": 0, "revision": 0}, 400, "item must be from 0 to 29"),
        ("label", {"item": 0, "label": 6, "revision": 0}, 400, "label must be from 0 to 5"),
        ("label", {"item": 0, "label": 0, "revision": 7}, 409, "another window has changed the labels"),
        ("label", b" " * 20_000, 413, "exceeds"),
        ("choose", {"pass": 2, "order": "rank", "revision": 0}, 400, "a second pass needs labels"),
        ("choose", {"pass": 1, "order": 5, "revision": 0}, 400, "order must be active or rank"),
        ("none", {}, 404, "not found"),
    ],
)
def test_wrong_requests_are_answered_and_change_nothing(
    page: Open, path: str, body: object, status: int, cause: str
) -> None:
    opened = page()
    answer = opened.post(path, body)
    assert (answer.status_code, answer.content_type) == (status, "application/json")
    assert cause in answer.json["error"]
    state = opened.get("state").json
    assert (state["first"], state["revision"], state["entries"]) == (0, 0, [])


@pytest.mark.parametrize("path", ["image/30.png", "image/30.json", "image/0.png?scaling=log"])
def test_images_that_do_not_exist(page: Open, path: str) -> None:
    assert page().get(path).status_code == 400


def test_methods_are_checked(page: Open) -> None:
    opened = page()
    assert opened.get("label").status_code == 405
    assert opened.post("state", {}).status_code == 405
    assert opened.get("image/-1.png").status_code == 404
    assert opened.get("image/x.png").status_code == 404


def test_pictures_keep_pixels_and_mark_unmeasured_ones(page: Open) -> None:
    opened = page()
    for scaling in ("linear", "sqrt"):
        answer = opened.get(f"image/7.png?scaling={scaling}")
        assert answer.content_type == "image/png"
        picture = np.asarray(Image.open(BytesIO(answer.data)).convert("RGBA"))
        assert picture.shape == (*SHAPE, 4)
        assert picture[0, 0, 3] == 0
        assert (picture[..., 3] == 255).sum() == SHAPE[0] * SHAPE[1] - 1
    info = opened.get("image/7.json").json
    assert (info["height"], info["width"], info["signal"]) == (*SHAPE, 1.0)
    assert 7.9 < info["upper"] < 8


def test_sections_without_a_picture_and_outlines(page: Open) -> None:
    sample = np.zeros(SHAPE, np.float32)
    sample[2:5, 3:9] = 0.7
    opened = page(sample=sample)
    assert opened.get("state").json["has_outline"]
    assert opened.get("outline").json == {"path": "M3 2h6M3 5h6M3 2v3M9 2v3", "height": 12, "width": 20}
    opened.app._session.file.close()
    without = page(section=None)
    state = without.get("state").json
    assert (state["has_section"], state["has_outline"], state["scale_bar"]) == (False, False, None)
    assert without.get("section.png").status_code == 404
    assert without.get("outline").status_code == 404


def test_a_failed_save_is_told_and_the_state_is_that_of_the_disk(page: Open, tmp_path: Path) -> None:
    opened = page()
    opened.label(0, 0, 3)
    (tmp_path / "labels.csv").write_text("changed elsewhere\n")
    answer = opened.label(1, 1, 1)
    assert answer.status_code == 500
    assert answer.json["error"] == (
        f"{tmp_path / 'labels.csv'}: was changed by another program; end this session and start it again"
    )
    assert [entry["item"] for entry in opened.get("state").json["entries"]] == [0]


@pytest.fixture
def served(page: Open) -> Iterator[tuple[server.LabelServer, threading.Thread]]:
    """A running server."""
    running = server.LabelServer(page().app._session)
    thread = threading.Thread(target=running.run)
    thread.start()
    yield running, thread
    running.stop()
    thread.join(20)
    assert not thread.is_alive()


def ask(url: str, path: str, body: dict[str, object] | None = None) -> tuple[int, Any]:
    address = urlsplit(url)
    connection = http.client.HTTPConnection(address.netloc, timeout=20)
    headers = {"Content-Type": "application/json", "Origin": f"http://{address.netloc}"}
    connection.request(
        "GET" if body is None else "POST", address.path + path, None if body is None else json.dumps(body), headers
    )
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, json.loads(content) if answer.getheader("Content-Type") == "application/json" else answer


def test_concurrent_windows_lose_no_label(served: tuple[server.LabelServer, threading.Thread], tmp_path: Path) -> None:
    running, _ = served
    refused = []

    def window(k: int) -> None:
        for item in range(6 * k, 6 * k + 6):
            while True:
                _, state = ask(running.url, "state")
                status, answer = ask(
                    running.url, "label", {"item": item, "label": k, "grade": 1, "revision": state["revision"]}
                )
                if status == 200:
                    break
                refused.append(answer["error"])
                assert status == 409

    threads = [threading.Thread(target=window, args=(k,)) for k in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    labels, report = read_mz_labels(tmp_path / "labels.csv", dataset="liver")
    assert report.problems == []
    assert [(each.mz, each.label) for each in labels] == [(100.0 + item, item // 6) for item in range(30)]


def test_the_server_listens_on_the_loopback_address_and_ends_when_asked(
    served: tuple[server.LabelServer, threading.Thread], capfd: pytest.CaptureFixture[str]
) -> None:
    running, thread = served
    address = urlsplit(running.url)
    assert address.hostname == "127.0.0.1"
    assert running._server.socket.getsockname()[0] == "127.0.0.1"
    _, answer = ask(running.url, "")
    assert answer.getheader("Server") == "ionmorphnet"
    with socket.create_connection(("127.0.0.1", address.port or 0)) as broken:
        broken.sendall(b"\x00\x01 nonsense\r\n\r\n")
        broken.recv(1000)
    assert ask(running.url, "finish", {}) == (200, {"finished": True})
    thread.join(20)
    assert not thread.is_alive()
    assert capfd.readouterr() == ("", "")


def test_a_port_that_is_taken(page: Open) -> None:
    session = page().app._session
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(
            imn.UnavailableError, match=rf"port {port} cannot be used \(Address already in use\); choose"
        ):
            server.LabelServer(session, port)
    running = server.LabelServer(session, port)
    assert urlsplit(running.url).port == port
    running.close()


def test_an_unexpected_error_is_logged_and_hides_nothing_of_the_state(
    page: Open, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = page()

    def fail(item: int, scaling: str) -> bytes:
        raise imn.FileError("/data/liver.ibd: cannot be read:\nInput/output error")

    monkeypatch.setattr(opened.app._pictures, "png", fail)
    with caplog.at_level(logging.ERROR, "ionmorphnet"):
        answer = opened.get("image/0.png")
    assert (answer.status_code, answer.json) == (500, {"error": "/data/liver.ibd: cannot be read: Input/output error"})
    assert "label page: /data/liver.ibd" in caplog.text
