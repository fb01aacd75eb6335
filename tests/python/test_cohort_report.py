"""The page of a study, from its folder and in a browser."""

from __future__ import annotations

import dataclasses
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import ionmorphnet as imn
from chromium import Chromium
from drifting_study import HEADER, write_study
from html_page import Page, unpacked
from ionmorphnet.picking.run_record import InputRecord
from ionmorphnet.report.study_page import write_study as write_study_page
from study_page_factory import make

Command = Callable[..., Any]


def read(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six picked sections with reports and two that failed; no consensus."""
    root = tmp_path_factory.mktemp("study")
    samples = write_study(root, 6)
    (root / "broken.imzML").write_text("not imzML")
    with samples.open("a") as file:
        file.write("broken.imzML,z <b>&</b>,p9,b1,control\ngone.imzML,gone,p9,b1,control\n")
    done = imn.cohort.run(samples, root / "out", scorer="moran", top=6, report=True)
    assert len(done.failed) == 2
    return root / "out"


@pytest.fixture
def out(study: Path, tmp_path: Path) -> Path:
    """A copy that a test may change; the sections lie where they were."""
    return Path(shutil.copytree(study, tmp_path / "out"))


def test_a_page_before_the_consensus(out: Path) -> None:
    assert imn.cohort.report(out) == out / "report.html"
    page = read(out / "report.html")
    assert f"ionmorphnet cohort consensus {out}" in page.text
    assert "2 sections without a result" in page.text
    assert "no such file" in page.text
    assert "z <b>&</b>" in page.text
    sections = page.payload["sections"]
    assert sections["name"] == ["gone", "s1", "s2", "s3", "s4", "s5", "s6", "z <b>&</b>"]
    assert sections["picks"] == [None, 6, 6, 6, 6, 6, 6, None]
    assert dict(sections["columns"])["group"][1:4] == ["control", "treated", "control"]
    for link in sections["link"][1:7]:
        assert link.endswith("/report.html")
        assert (out / link).is_file()
    tic = unpacked(page.payload["tic"]["data"])
    with imn.open(_source(out, "s1")) as ds:
        place = page.payload["tic"]["places"][1]
        shown = tic[place[2] : place[2] + place[0] * place[1]]
        assert (shown < 64).sum() == ds.mask.sum()


def _source(out: Path, name: str) -> str:
    path: str = imn.cohort.Manifest(out).entries()[name].path
    return path


def test_the_page_shows_what_the_consensus_says(out: Path) -> None:
    found = imn.cohort.find_consensus(out, min_share=0.4)
    page = read(imn.cohort.report(out, title="Kidney & liver"))
    assert page.content["h1"] == "Kidney & liver"
    channels, sections = page.payload["channels"], page.payload["sections"]
    np.testing.assert_allclose(channels["mz"], found.channels["mz"], atol=1e-6)
    assert channels["n_present"] == found.channels["n_present"].tolist()
    assert channels["n_picked"] == found.channels["n_picked"].tolist()
    coverage = unpacked(page.payload["coverage"]).reshape(8, len(found))
    members = pd.read_csv(out / "consensus/members.csv")
    row = {name: k for k, name in enumerate(sections["name"])}
    for each in members.itertuples():
        assert coverage[row[each.section], each.channel - 1] == (2 if each.picked else 1)
    assert (coverage > 0).sum() == len(members)
    assert channels["covered"] == [False, *[True] * 6, False]
    for name, drift in zip(found.sections, found.drift, strict=True):
        assert sections["drift"][row[name]]["ppm"] == pytest.approx(drift.ppm, abs=1e-3)
    assert "Isotopes and adducts were not looked for" in page.text
    # The images are those of the section in the channel's own window there.
    pictures = page.payload["pictures"]
    best = pictures["channels"][0]
    assert channels["score"][best] == max(channels["score"])
    assert len(pictures["channels"]) == len(found)
    with imn.open(_source(out, "s2")) as ds:
        axis = found.axis(found.sections.index("s2"))
        image = ds.window_images(axis.mz_lo[[best]], axis.mz_hi[[best]])[0]
        upper = float(np.quantile(image[ds.mask], 0.99))
    assert pictures["upper"][0][row["s2"]] == pytest.approx(upper, rel=1e-3)


def test_images_of_the_matrix_are_those_of_the_files(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zarr")
    imn.cohort.find_consensus(out)
    files = read(imn.cohort.report(out)).payload
    before = files["pictures"]
    imn.cohort.write_matrix(out)
    monkeypatch.setattr(InputRecord, "reopen", None)  # the sections need not be there any more
    page = read(imn.cohort.report(out))
    monkeypatch.undo()
    assert page.payload["pictures"] == before
    assert page.payload["tic"] == files["tic"]
    assert page.payload["channels"]["relatives"] is not None
    assert "To complete this page" not in page.text
    links = {a["href"] for tag, a in page.elements if tag == "a" and "href" in a}
    assert {"manifest.csv", "consensus/channels.csv", "consensus/relatives.csv", "means.csv"} <= links
    assert "tables/study.xlsx" not in links
    # Normalised matrices are said to be so, and differ.
    imn.cohort.write_matrix(out, normalize="tic")
    page = read(imn.cohort.report(out))
    assert "normalised: tic" in page.text
    assert page.payload["pictures"]["upper"] != before["upper"]
    # A matrix of another consensus is not used.
    imn.cohort.find_consensus(out, min_share=0.9)
    page = read(imn.cohort.report(out))
    assert "as measured, not normalised" in page.text
    assert "looked for in other channels" in page.text or page.payload["channels"]["relatives"] == [[]] * len(
        page.payload["channels"]["mz"]
    )


def test_sections_that_are_gone_or_moved_are_told(out: Path, tmp_path: Path) -> None:
    imn.cohort.find_consensus(out)
    (out / "sections/s1/run.json").unlink()
    (out / "sections/s2/report.html").unlink()
    page = read(imn.cohort.report(out))
    assert "3 sections without a result" in page.text
    assert "cohort run picks it again" in page.text
    assert "1 section of it is removed or has no result now (s1)" in page.text
    sections = page.payload["sections"]
    assert sections["status"][1] == "missing"
    assert sections["link"][2] == "sections/s2/peaks.csv"
    assert "1 section has no report of its own" in page.text
    imn.cohort.report(out, section_reports=True)
    assert (out / "sections/s2/report.html").is_file()


def test_picks_that_changed_since_the_consensus_are_told(out: Path) -> None:
    imn.cohort.find_consensus(out)
    samples = Path(_source(out, "s1")).parent / "samples.csv"
    imn.cohort.run(samples, out, scorer="moran", top=5)
    page = read(imn.cohort.report(out))
    assert re.search(r"channels are out of date: [3-6] sections were picked again \(s\d, s\d, s\d", page.text)
    assert f"ionmorphnet cohort consensus {out}" in page.text
    imn.cohort.find_consensus(out)
    assert "out of date" not in read(imn.cohort.report(out)).text


def test_sections_that_cannot_be_read_have_no_pictures(tmp_path: Path) -> None:
    samples = write_study(tmp_path, 2, n_ions=12)
    imn.cohort.run(samples, tmp_path / "out", scorer="moran", top=3)
    imn.cohort.find_consensus(tmp_path / "out")
    (tmp_path / "s1.ibd").unlink()
    page = read(imn.cohort.report(tmp_path / "out"))
    assert "1 section could not be read for pictures" in page.text
    assert page.payload["tic"]["places"][0] is None
    assert page.payload["pictures"]["places"][0] is None
    assert page.payload["pictures"]["places"][1] is not None
    assert "s1.ibd" in page.payload["sections"]["blind"][0]
    page = read(imn.cohort.report(tmp_path / "out", section_reports=True))
    assert "These sections got no report: s1 (" in page.text
    assert page.payload["sections"]["hasReport"] == [False, True]


def test_sections_behind_urls_have_pictures_once_there_are_matrices(tmp_path: Path) -> None:
    pytest.importorskip("fsspec")
    pytest.importorskip("zarr")
    write_study(tmp_path, 1, n_ions=12)
    imn.cohort.run(f"file://{tmp_path}/s1.imzML", tmp_path / "out", scorer="moran", top=3)
    imn.cohort.find_consensus(tmp_path / "out")
    payload = read(imn.cohort.report(tmp_path / "out")).payload
    assert "ionmorphnet cohort matrix gets its pictures" in payload["sections"]["blind"][0]
    imn.cohort.write_matrix(tmp_path / "out")
    payload = read(imn.cohort.report(tmp_path / "out")).payload
    assert payload["sections"]["blind"] == [""]
    assert payload["tic"]["places"][0] is not None
    assert payload["pictures"]["places"][0] is not None


def test_planes_of_a_file_are_sections_of_their_own(two_planes: Path, tmp_path: Path) -> None:
    done = imn.cohort.run(two_planes, tmp_path / "out", scorer="moran", top=2)
    (entry,) = done.entries.values()
    sections = read(imn.cohort.report(tmp_path / "out")).payload["sections"]
    assert sections["name"] == sorted(entry.results)
    assert len(sections["name"]) == 2
    assert sections["picks"] == [2, 2]
    assert sections["seconds"] == [round(entry.seconds, 2), None]
    assert (tmp_path / "out" / sections["link"][1]).is_file()


def test_shards_need_no_merge(tmp_path: Path) -> None:
    samples = write_study(tmp_path, 3, n_ions=12)
    samples.write_text(samples.read_text().replace("imzML,s", "imzML,00"))  # names that look like numbers
    for k in (1, 2):
        imn.cohort.run(samples, tmp_path / "out", shard=f"{k}/2", scorer="moran", top=3)
    assert read(imn.cohort.report(tmp_path / "out")).payload["sections"]["name"] == ["001", "002", "003"]
    imn.cohort.find_consensus(tmp_path / "out")
    assert len(imn.cohort.report(tmp_path / "out").read_bytes()) > 50_000
    imn.cohort.Manifest(tmp_path / "out").write_csv()
    assert "3 of 3" in read(imn.cohort.report(tmp_path / "out")).text


def test_one_section_with_a_name_for_folders_and_browsers(tmp_path: Path) -> None:
    write_study(tmp_path, 1, n_ions=12)
    name = "tumour/50% #1?"
    (tmp_path / "samples.csv").write_text(HEADER + f"s1.imzML,{name},p1,b1,<i>x</i>\n")
    assert not imn.cohort.run(tmp_path / "samples.csv", tmp_path / "out", scorer="moran", top=3, report=True).failed
    imn.cohort.find_consensus(tmp_path / "out")
    page = read(imn.cohort.report(tmp_path / "out"))
    assert page.payload["sections"]["name"] == [name]
    assert page.payload["sections"]["link"] == ["sections/tumour/50%25%20%231%3F/report.html"]


def test_names_of_an_mz_list_are_shown(tmp_path: Path) -> None:
    samples = write_study(tmp_path, 2, n_ions=12)
    (tmp_path / "list.csv").write_text("mz,name\n350,PC 34:1\n450,\n550,heme <b>\n")
    axis = imn.CandidateAxis.from_csv(tmp_path / "list.csv", tol=40.0)
    imn.cohort.run(samples, tmp_path / "out", scorer="moran", top=3, axis=axis)
    imn.cohort.find_consensus(tmp_path / "out")
    assert read(imn.cohort.report(tmp_path / "out")).payload["channels"]["name"] == ["PC 34:1", "", "heme <b>"]


def test_errors(tmp_path: Path, out: Path, cli: Command) -> None:
    with pytest.raises(imn.FileError, match="holds no manifest"):
        imn.cohort.report(tmp_path)
    with pytest.raises(imn.ArgumentError, match="images"):
        imn.cohort.report(out, images=-1)
    assert "does not exist" in cli("cohort", "report", tmp_path / "none").stderr


def test_the_command(out: Path, cli: Command) -> None:
    done = cli("cohort", "report", out, "--images", 2, "--title", "Liver")
    assert done.code == 0
    assert str(out / "report.html") in done.stdout
    assert "cohort consensus" in read(out / "report.html").text
    imn.cohort.find_consensus(out)
    cli("cohort", "report", out, "--images", 2)
    page = read(out / "report.html")
    assert (
        page.payload["pictures"]["channels"]
        == np.argsort(-np.array(page.payload["channels"]["score"]), kind="stable")[:2].tolist()
    )
    assert "only the 2 channels with the highest scores have images" in page.text


def opened(browser: Chromium, path: Path) -> None:
    browser.open(path.as_uri())
    browser.wait_for(lambda: browser.run("document.documentElement?.dataset.unpacked") == "yes")


def test_the_page_in_a_browser(out: Path, browser: Chromium) -> None:
    imn.cohort.find_consensus(out)
    opened(browser, imn.cohort.report(out))
    run = browser.run
    assert run("document.querySelectorAll('#section-table tbody tr').length") == 8
    assert run("document.querySelectorAll('#section-table canvas').length") == 6
    assert run("document.querySelectorAll('.channel').length") == 30  # the others follow when they come into view
    n = len(pd.read_csv(out / "consensus/channels.csv"))
    assert run("document.getElementById('channels-shown').textContent") == f"all {n} shown"
    run("window.scrollTo(0, document.documentElement.scrollHeight)")
    browser.wait_for(lambda: run("document.querySelectorAll('.channel').length") == n)
    browser.wait_for(lambda: run("document.querySelectorAll('.strip canvas').length") >= 6)
    # A drawn tile has the colours of its levels: checked against the file.
    assert run("document.querySelectorAll('#picks-plot .bar').length") == 6
    assert run("document.querySelectorAll('#drift-plot .line').length") == 6

    # Filter by group: table, plots and images follow.
    run("""(() => { const all = [...document.querySelectorAll('#groups select')];
        const s = all.find((e) => e.parentNode.textContent.startsWith('group'));
        s.value = '=treated'; s.dispatchEvent(new Event('change')); })()""")
    assert run("document.getElementById('shown').textContent") == "3 of 8 shown"
    assert run("document.querySelectorAll('#picks-plot .bar').length") == 3
    run("document.querySelector('.channel').scrollIntoView()")
    browser.wait_for(lambda: run("document.querySelector('.strip')?.children.length") == 3)
    run("document.getElementById('clear').click()")
    assert run("document.getElementById('shown').textContent") == "all 8 shown"

    # Order by picks: sections without a value stay at the end.
    run("[...document.querySelectorAll('#section-table th button')].find((b) => b.textContent === 'section').click()")
    run("[...document.querySelectorAll('#section-table th button')].find((b) => b.textContent === 'section ↑').click()")
    names = run("[...document.querySelectorAll('#section-table tbody tr td:nth-child(2)')].map((e) => e.textContent)")
    assert names == ["z <b>&</b>", "s6", "s5", "s4", "s3", "s2", "s1", "gone"]
    assert run("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"

    # The heat map is read with the keyboard, and leads to the channel.
    run("document.getElementById('coverage-map').focus()")
    browser.press("ArrowRight")
    browser.press("ArrowDown")
    assert run("document.getElementById('coverage-text').textContent").startswith("s5, m/z ")
    browser.press("Enter")
    assert run("document.querySelectorAll('.channel.found').length") == 1

    # An image enlarged; the arrows step through the sections.
    browser.wait_for(lambda: run("document.querySelector('.channel.found .strip button') !== null"))
    run("document.querySelector('.channel.found .strip button').focus()")
    browser.press("ArrowRight")
    assert run("document.activeElement.dataset.section") is not None
    browser.press("Enter")
    browser.wait_for(lambda: run("document.getElementById('viewer').open"))
    assert run("document.querySelector('#viewer h2').textContent").endswith(", s5")
    assert run("document.querySelector('#viewer dd a').getAttribute('href')") == "sections/s5/report.html"
    browser.press("ArrowRight")
    browser.wait_for(lambda: run("document.querySelector('#viewer h2').textContent").endswith(", s4"))
    browser.press("Escape")
    assert run("document.getElementById('viewer').open") is False

    # A link leads to the section's own report.
    href = run("document.querySelector('#section-table a').href")
    for width in (390, 1400):
        browser.resize(width, 800)
        assert run("document.documentElement.scrollWidth") == width
    browser.open(href)
    browser.wait_for(lambda: run("document.title").startswith("s6.imzML"))
    assert browser.errors == []
    assert all(url.startswith(("file:", "data:")) for url in browser.requested)


def test_hostile_names_stay_text_in_the_browser(tmp_path: Path, browser: Chromium) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    data = make()
    assert data.channels is not None
    rows = [
        dataclasses.replace(row, name=f"{evil}{k}", columns={evil: evil, "batch": f"{k}{evil}"}, warnings=(evil,))
        for k, row in enumerate(data.sections)
    ]
    channels = dataclasses.replace(data.channels, table=data.channels.table.assign(name=evil))
    write_study_page(tmp_path / "page.html", dataclasses.replace(data, title="t", sections=rows, channels=channels))
    opened(browser, tmp_path / "page.html")
    browser.run("document.querySelector('.channel').scrollIntoView()")
    browser.wait_for(lambda: browser.run("document.querySelectorAll('.strip button').length") >= 3)
    browser.run("document.querySelector('.strip button').click()")
    browser.wait_for(lambda: browser.run("document.getElementById('viewer').open"))
    assert browser.run("document.title") == "t – study report"
    assert browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.querySelector('#section-table a').textContent") == f"{evil}0"
    assert browser.errors == []


def test_colours_on_the_screen_are_those_of_the_levels(out: Path, browser: Chromium) -> None:
    imn.cohort.find_consensus(out)
    payload = read(imn.cohort.report(out)).payload
    opened(browser, out / "report.html")
    place = payload["tic"]["places"][1]
    levels = unpacked(payload["tic"]["data"])[place[2] : place[2] + place[0] * place[1]]
    drawn = np.array(
        browser.run("""(() => { const c = document.querySelectorAll('#section-table canvas')[0];
        return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]; })()"""),
        np.uint8,
    ).reshape(-1, 4)
    colours = np.array([[int(text[i : i + 2], 16) for i in (1, 3, 5)] for text in payload["palette"]], np.uint8)
    measured = levels < 64
    np.testing.assert_array_equal(drawn[:, 3] > 0, measured)
    np.testing.assert_array_equal(drawn[measured, :3], colours[levels[measured]])


@pytest.mark.long
def test_two_hundred_sections(tmp_path: Path, browser: Chromium) -> None:
    samples = write_study(tmp_path, 200, n_ions=120, shape=(40, 50))
    with samples.open("a") as file:
        file.writelines(f"gone{k}.imzML,gone{k},p9,b1,control\n" for k in range(5))
    done = imn.cohort.run(samples, tmp_path / "out", scorer="moran", top=10)
    assert len(done.failed) == 5
    imn.cohort.find_consensus(tmp_path / "out")
    path = imn.cohort.report(tmp_path / "out")
    assert path.stat().st_size < 30e6
    browser.open("about:blank#")
    start = time.monotonic()
    browser.open(path.as_uri())
    browser.wait_for(lambda: browser.run("document.documentElement?.dataset.ready") == "yes")
    assert time.monotonic() - start < 3
    browser.wait_for(lambda: browser.run("document.documentElement.dataset.unpacked") == "yes")
    assert browser.run("document.querySelectorAll('#section-table tbody tr').length") == 205
    assert "5 sections without a result" in browser.run("document.body.innerText")
    browser.run("document.querySelector('.channel').scrollIntoView()")
    browser.wait_for(lambda: browser.run("document.querySelector('.strip').children.length") == 200)
    assert browser.errors == []
