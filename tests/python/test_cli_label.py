"""``ionmorphnet label`` and ``imn.label``: sources, refusals, the whole way to a CSV."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from ionmorphnet.labelled.read_source import read_source

Cli = Callable[..., Any]


@pytest.fixture(scope="module")
def picked(section: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Result folder of a pick of the small section."""
    out = tmp_path_factory.mktemp("picked")
    (outcome,) = imn.pick_files([section], out)
    assert outcome.ok
    return out / section.stem


def request(url: str, body: dict[str, object] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.loads(answer.read())


class Served:
    """``imn.label`` in a thread."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        self._ready = threading.Event()
        self.summary: imn.LabelSummary | None = None
        self.error: BaseException | None = None
        self.page: imn.LabelPage

        def on_ready(page: imn.LabelPage) -> None:
            self.page = page
            self._ready.set()

        def run() -> None:
            try:
                self.summary = imn.label(*arguments, browser=False, on_ready=on_ready, **options)
            except BaseException as error:
                self.error = error
            self._ready.set()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        assert self._ready.wait(300)

    def state(self) -> Any:
        return request(self.page.url + "state")

    def label(self, item: int, label: int, grade: float | None = None) -> Any:
        revision = self.state()["revision"]
        return request(self.page.url + "label", {"item": item, "label": label, "grade": grade, "revision": revision})

    def finish(self) -> imn.LabelSummary:
        request(self.page.url + "finish", {})
        self.thread.join(60)
        assert self.summary is not None
        return self.summary


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts ``imn.label``; what is still running at the end is finished."""
    running = []

    def start(*arguments: Any, **options: Any) -> Served:
        running.append(Served(*arguments, **options))
        return running[-1]

    yield start
    for each in running:
        if each.thread.is_alive():
            each.finish()


def test_labels_of_a_section_are_read_by_training(serve: Callable[..., Served], section: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    calls: list[tuple[int, int]] = []
    served = serve(section, out, progress=lambda done, total: calls.append((done, total)))
    assert calls[-1][0] == calls[-1][1] == served.page.candidates
    state = served.state()
    assert (state["title"], served.page.labelled) == (section.name, 0)
    for item, label in zip(state["queue"][:12], [0, 1, 2, 3, 5, 4] * 2, strict=True):
        served.label(item, label, 1.5)
    summary = served.finish()
    assert (summary.path, summary.labelled, summary.agreement) == (out, 12, None)
    assert list(summary.classes.values()) == [2] * 6
    source = read_source(section, out)
    assert len(source) == 12
    assert source.report.counts == {}
    np.testing.assert_allclose(source.targets().sum(axis=0), 2)
    with imn.open(section) as ds:
        again = serve(ds, out)
        assert again.page.labelled == 12
        assert out.with_name("labels.csv.lock").exists()
        again.finish()
    assert not out.with_name("labels.csv.lock").exists()


def test_a_result_folder_is_not_scored_again(
    serve: Callable[..., Served], picked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any, **__: Any) -> None:
        raise AssertionError("scored again")

    monkeypatch.setattr("ionmorphnet.labelling.label.pick", never)
    served = serve(picked, tmp_path / "labels.csv", order="rank")
    scores = imn.open_run(picked).all_scores
    state = served.state()
    assert state["queue"] == list(range(len(scores)))
    assert state["captions"][0] == f"m/z {scores['mz'][0]:.4f}"
    assert (state["has_section"], state["has_outline"]) == (True, True)
    with imn.open(imn.open_run(picked).dataset.path) as ds:
        expected = imn.sample_map(ds)
    assert expected.kind == "part"
    assert request(served.page.url + "outline")["path"].startswith("M")
    served.finish()
    peaks = imn.open_run(picked)
    assert serve(peaks, tmp_path / "labels.csv").page.candidates == len(scores)


def test_normalised_images(serve: Callable[..., Served], section: Path, picked: Path, tmp_path: Path, cli: Cli) -> None:
    picks = [imn.pick(section, top=1, normalize=kind) for kind in ("none", "rms")]
    expected = [[f"m/z {mz:.4f}" for mz in peaks.all_scores["mz"]] for peaks in picks]
    assert expected[0] != expected[1]
    served = serve(section, tmp_path / "labels.csv", order="rank", normalize="rms")
    assert served.state()["captions"] == expected[1]
    served.finish()
    with imn.open(section) as ds:
        again = serve(ds.normalized("rms"), tmp_path / "labels.csv", order="rank")
        assert again.state()["captions"] == expected[1]
        again.finish()
        with pytest.raises(imn.ArgumentError, match="normalize: the section is open already"):
            imn.label(ds, tmp_path / "labels.csv", normalize="rms")
    cli("label", picked, "-o", tmp_path / "labels.csv", "--normalize", "rms").is_one_line_error(
        "normalize: ", "a result folder shows the images of its pick"
    )


def test_image_arrays(serve: Callable[..., Served], tmp_path: Path, rng: np.random.Generator) -> None:
    images = {f"image_{k}": rng.random((20 + k % 2, 30)).astype(np.float32) for k in range(8)}
    y, x = np.mgrid[:20, :30]
    images["image_2"] = np.hypot(y - 10, x - 15).astype(np.float32)
    np.savez(tmp_path / "set.npz", **images)
    out = tmp_path / "set_labels.csv"
    served = serve(tmp_path / "set.npz", out, order="rank")
    state = served.state()
    assert state["captions"][0] == "image 2 (image_2)"
    assert (state["has_section"], state["scale_bar"]) == (False, None)
    sizes = {tuple(request(f"{served.page.url}image/{k}.json")[side] for side in ("height", "width")) for k in range(8)}
    assert sizes == {(20, 30), (21, 30)}
    served.label(0, 0, 3)
    served.label(3, 4, 0)
    served.finish()
    source = read_source(tmp_path / "set.npz", out)
    assert (source.items[0].key, source.items[0].labels) == ("image_2", (0,))
    np.testing.assert_array_equal(source[0].image, images["image_2"])


def test_two_sessions_and_other_sections_are_refused(
    serve: Callable[..., Served], picked: Path, section: Path, tmp_path: Path, cli: Cli
) -> None:
    out = tmp_path / "labels.csv"
    served = serve(picked, out)
    served.label(0, 0)
    cli("label", picked, "-o", out, "--no-browser").is_one_line_error(
        "another session is labelling it", "finish that one"
    )
    served.finish()
    out.write_text(out.read_text().replace(section.name, "other.imzML"))
    cli("label", picked, "-o", out, "--no-browser").is_one_line_error(
        "belongs to other.imzML", "choose another label file"
    )


def test_what_cannot_be_labelled(cli: Cli, picked: Path, section: Path, two_planes: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    cli("label", tmp_path / "none.imzML", "-o", out).is_one_line_error("none.imzML")
    cli("label", tmp_path / "none.txt", "-o", out).is_one_line_error("nothing to label; pass an imzML file")
    cli("label", tmp_path, "-o", out).is_one_line_error("run.json")
    cli("label", two_planes, "-o", out).is_one_line_error("holds 2 z planes")
    cli("label", section, "-o", section).is_one_line_error("is the input and would be replaced")
    cli("label", picked, "-o", picked / "peaks.csv").is_one_line_error("is the input and would be replaced")
    np.savez(tmp_path / "set.npz", images=np.ones((1, 4, 4)))
    cli("label", tmp_path / "set.npz", "-o", tmp_path / "set.npz").is_one_line_error("is the input")
    assert cli("label", section, "-o", out, "--port", "70000").code == 2
    with pytest.raises(imn.ArgumentError, match="port must be from 0 to 65535, not 70000"):
        imn.label(section, out, port=70000)
    assert not out.exists()
    assert list(tmp_path.glob("*.lock")) == []


def test_the_browser_gets_an_address_without_the_token(
    picked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = []
    pages: list[imn.LabelPage] = []

    def ready(page: imn.LabelPage) -> None:
        pages.append(page)
        threading.Thread(target=lambda: request(page.url + "finish", {}), daemon=True).start()

    monkeypatch.setattr("webbrowser.open", lambda url: opened.append(url) or False)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    imn.label(picked, tmp_path / "labels.csv", on_ready=ready)
    assert opened == []  # a text browser would take the terminal
    assert "no browser was found; open the address" in caplog.text
    caplog.clear()
    monkeypatch.setenv("DISPLAY", ":0")
    imn.label(picked, tmp_path / "labels.csv", on_ready=ready)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/enter/[\w-]{32}", opened[0])
    assert pages[1].url.rsplit("/", 2)[1] not in opened[0]
    assert "no browser was found; open the address" in caplog.text


def test_the_command_prints_the_address_and_ends_with_control_c(picked: Path, tmp_path: Path) -> None:
    out = tmp_path / "labels.csv"
    command = [sys.executable, "-m", "ionmorphnet", "label", str(picked), "-o", str(out), "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        first, second, third = (process.stdout.readline() for _ in range(3))
        assert re.match(rf"{picked.name}: \d+ images, 0 labelled in ", first)
        assert third == "Finish on the page, or press Ctrl-C here, to end.\n"
        url = second.removeprefix("Label page: ").strip()
        for item in range(3):
            request(url + "label", {"item": item, "label": 0, "grade": None, "revision": item})
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    assert rest == f"{out}: 3 labelled (3 structured)\n"
    assert len(out.read_text().splitlines()) == 4
