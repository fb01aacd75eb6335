"""The labelling page in a headless Chromium: by keyboard, resumed, twice, readable, and straight into a training."""

from __future__ import annotations

import csv
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ionmorphnet as imn
from chromium import Chromium
from ionmorphnet.labelled.label_csv import read_mz_labels
from ionmorphnet.labelling.server import LabelServer
from labeller import Labeller
from labelling_factory import SHAPE, make_session

LETTERS = {name: name[0] for name in imn.CLASSES}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Serves a session on ``labels.csv`` and returns the address; a session before it is ended first."""
    running: list[tuple[LabelServer, threading.Thread, Any]] = []

    def end() -> None:
        while running:
            server, thread, session = running.pop()
            server.stop()
            thread.join(30)
            session.close()

    def start(**arguments: Any) -> str:
        end()
        session = make_session(tmp_path / "labels.csv", **arguments)
        server = LabelServer(session)
        thread = threading.Thread(target=server.run)
        thread.start()
        running.append((server, thread, session))
        return server.url

    yield start
    end()


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_twenty_images_by_keyboard_resumed_and_a_second_pass(
    browser: Chromium, serve: Callable[..., str], tmp_path: Path
) -> None:
    path = tmp_path / "labels.csv"
    first = [(imn.CLASSES[k % 6], (k % 7) / 2) for k in range(20)]
    page = Labeller(browser, serve())
    assert page.caption() == "m/z 100.0000"
    for name, grade in first[:13]:
        browser.press(LETTERS[name])
        page.grade(grade)
    page.wait()
    assert page.text("count") == "13 labelled"
    assert [(row["mz"], row["label"], float(row["structure"])) for row in rows(path)] == [
        (str(100 + k), *first[k]) for k in range(13)
    ]

    page.leave()
    page = Labeller(browser, serve())  # another session
    assert page.caption() == "m/z 113.0000"
    assert "13 images were labelled before" in page.text("status")
    for name, grade in first[13:]:
        page.grade(grade)  # the order does not matter
        browser.press(LETTERS[name])
    page.wait()
    assert page.caption() == "m/z 120.0000"
    labels, report = read_mz_labels(path, dataset="liver")
    assert report.problems == []
    assert [(each.mz, imn.CLASSES[each.label], each.structure) for each in labels] == [
        (100.0 + k, *first[k]) for k in range(20)
    ]

    page.press("p")
    assert "same 20 images again, in another order" in str(page.dialog())
    page.press("Enter")
    assert page.text("count") == "0 of 20 labelled again"
    shown = []
    for _ in range(20):
        assert page.chosen() == []
        item = int(float(page.caption().split()[1])) - 100
        shown.append(item)
        browser.press("u" if item < 5 else LETTERS[first[item][0]])
        page.grade(first[item][1])
        page.wait()
    assert sorted(shown) == list(range(20))
    assert shown != sorted(shown)
    result = str(page.dialog())
    assert "Agreement of the two passes" in result
    assert [line for line in result.splitlines() if line.strip()][2:10:2] == ["20", "80 %", "0.76", "0.00"]
    browser.press("Enter")
    browser.wait_for(lambda: "The second pass is complete" in str(page.dialog()))
    browser.press("Enter")
    browser.wait_for(lambda: browser.run("document.title") == "Session finished")
    labels, report = read_mz_labels(path, dataset="liver")
    assert report.problems == []
    assert [len(each.labels) for each in labels] == [2] * 20
    assert sum(each.labels[0] != each.labels[1] for each in labels) == 4
    assert browser.errors == []


def test_a_second_pass_is_resumed(browser: Chromium, serve: Callable[..., str], tmp_path: Path) -> None:
    page = Labeller(browser, serve())
    page.type("s3u0s2l2w1")
    page.press("p")
    page.press("Enter")
    page.type("s3s3")
    page.leave()
    again = Labeller(browser, serve())
    assert "2 of 5 images were labelled twice; P continues the second pass" in again.text("status")
    again.press("p")
    assert "same 5 images again, in another order. 2 of them are done." in str(again.dialog())
    again.press("Enter")
    assert again.text("count") == "2 of 5 labelled again"
    assert "image 3 of 5" in again.text("place")
    again.press("p")
    assert again.text("count") == "5 labelled"
    assert [row["label_b"] for row in rows(tmp_path / "labels.csv")].count("structured") == 2
    assert browser.errors == []


def test_changing_ones_mind(browser: Chromium, serve: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    page = Labeller(browser, serve(n=5))
    page.press("s")
    assert (page.caption(), page.chosen()) == ("m/z 100.0000", ["structured"])
    assert "Now the grade" in page.text("status")
    assert [row["label"] for row in rows(path)] == ["structured"]
    page.press("w")
    page.press("Enter")
    page.type("l2")
    assert [(row["label"], row["structure"]) for row in rows(path)] == [("weak_structured", ""), ("localized", "2")]
    page.press("z", ctrl=True)
    assert (page.caption(), page.chosen()) == ("m/z 101.0000", ["localized"])
    page.type("zz")
    assert [row["label"] for row in rows(path)] == ["structured"]
    page.press("z", ctrl=True, shift=True)
    page.press("y")
    assert [(row["label"], row["structure"]) for row in rows(path)] == [("weak_structured", ""), ("localized", "")]
    page.press("ArrowUp")
    page.press("ArrowUp")
    assert page.chosen() == ["localized", "0.5"]
    page.press("x")
    assert (page.chosen(), len(rows(path))) == ([], 1)
    page.press("z")
    page.press("ArrowRight")
    page.press(" ")
    assert page.caption() == "m/z 103.0000"
    page.type("u0n3")
    assert page.caption() == "m/z 102.0000"  # the skipped one comes again
    assert "skipped" in page.text("strip")
    page.press("g")
    page.press("f")
    assert "All images are labelled" in str(page.dialog())
    assert [row["mz"] for row in rows(path)] == ["100", "101", "103", "104", "102"]
    page.press("Escape")
    page.press("h")
    assert "Keys" in str(page.dialog())
    page.type("s3")  # keys do not label behind a dialog
    page.press("Escape")
    assert len(rows(path)) == 5
    assert browser.errors == []


def test_a_key_that_is_held_down_labels_one_image(browser: Chromium, serve: Callable[..., str], tmp_path: Path) -> None:
    page = Labeller(browser, serve())
    page.press("g")
    browser.press("s", repeats=5)
    page.wait()
    assert page.text("count") == "1 labelled"
    browser.press("ArrowRight", repeats=5)
    page.wait()
    assert page.caption() == "m/z 107.0000"
    assert len(rows(tmp_path / "labels.csv")) == 1


def test_without_single_keys_the_page_works_by_tab_and_enter(
    browser: Chromium, serve: Callable[..., str], tmp_path: Path
) -> None:
    page = Labeller(browser, serve())
    browser.run("document.getElementById('shortcuts').click()")
    page.type("s3")
    assert not (tmp_path / "labels.csv").exists()

    def tab_to(text: str) -> None:
        for _ in range(60):
            browser.press("Tab")
            if text in str(browser.run("document.activeElement.innerText")):
                return
        raise AssertionError(f"no way to {text} by Tab")

    tab_to("fragmented")
    page.press("Enter")
    tab_to("1.5")
    page.press(" ")
    assert page.caption() == "m/z 101.0000"
    assert [(row["label"], row["structure"]) for row in rows(tmp_path / "labels.csv")] == [("fragmented", "1.5")]


def test_two_windows_and_a_lost_session_are_told(browser: Chromium, serve: Callable[..., str], tmp_path: Path) -> None:
    url = serve()
    page = Labeller(browser, url)
    page.type("s3")
    other = (
        "fetch('label', {method: 'POST', headers: {'Content-Type': 'application/json'},"
        " body: JSON.stringify({item: 7, label: 4, grade: 0, revision: 2})}).then((answer) => answer.status)"
    )
    assert browser.run(other) == 200
    page.press("l")
    assert "another window has changed the labels" in page.text("alert")
    assert page.text("count") == "2 labelled"
    assert page.caption() == "m/z 101.0000"
    page.type("l2")
    assert page.text("alert") == ""
    assert page.text("count") == "3 labelled"
    (tmp_path / "labels.csv").write_text("changed elsewhere\n")
    page.press("n")
    assert page.text("alert").startswith("Not saved: ")
    assert page.chosen() == []
    (tmp_path / "labels.csv").unlink()
    serve()  # ends the session of the page
    page.press("n")
    assert "The session has ended" in page.text("alert")


# Texts whose contrast with what is behind them is below 4.5, the least that WCAG 2 (AA) asks for.
_CONTRAST = """(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const linear = (c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const ground = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const colour = parse(getComputedStyle(e).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const bad = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement, text = walker.currentNode.data.trim();
    if (!text || !element.checkVisibility() || element.closest("[disabled], .scale-bar, .jump, .hidden")) continue;
    const [a, b] = [light(parse(getComputedStyle(element).color)), light(ground(element))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) bad.push(`${text}: ${ratio.toFixed(2)}`);
  }
  return bad;
})()"""

# Controls and images that a screen reader could not name; images within a named button are decoration.
_NAMELESS = """[...document.querySelectorAll("button, input, select, img")].filter((each) => {
  const names = [each.getAttribute("aria-label"), each.innerText, each.alt, each.labels?.[0]?.innerText];
  const around = each.closest("button");
  return each.checkVisibility() && ![...names, around?.getAttribute("aria-label"), around?.innerText].some(Boolean);
}).map((each) => each.outerHTML)"""


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_is_readable(browser: Chromium, serve: Callable[..., str], dark: bool) -> None:
    sample = np.zeros(SHAPE, np.float32)
    sample[2:9, 4:15] = 1.0
    browser.resize(1280, 800, dark)
    page = Labeller(browser, serve(sample=sample))
    page.type("s3l")
    page.press("o")
    page.press("c")
    assert browser.run(_NAMELESS) == []
    assert browser.run(_CONTRAST) == []
    browser.wait_for(lambda: browser.run("document.getElementById('image').complete"))
    box = browser.run(
        "(({width, height}) => [width, height])(document.getElementById('picture').getBoundingClientRect())"
    )
    assert box[0] / box[1] == pytest.approx(SHAPE[1] / SHAPE[0] * 0.5, rel=1e-3)  # pixels of 50 x 100 um
    assert browser.run("document.getElementById('image').alt") == "Ion image of m/z 101.0000, square root scale"
    outline = browser.run("document.querySelector('#outline-drawing path:last-child').getAttribute('d')")
    assert outline == "M4 2h11M4 9h11M4 2v7M15 2v7"
    assert browser.run("!document.getElementById('outline-drawing').hasAttribute('hidden')")
    page.press("h")
    assert browser.run(_CONTRAST) == []
    page.press("Escape")
    for width, height in ((1280, 800), (1024, 700), (700, 900)):
        browser.resize(width, height, dark)
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.querySelector('header').scrollWidth <= innerWidth")
    assert {url.split("/")[2] for url in browser.requested if url.startswith("http")} == {page_host(page)}
    assert browser.errors == []


def page_host(page: Labeller) -> str:
    return str(page.browser.run("location.host"))
