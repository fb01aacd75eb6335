"""The page of a study: right numbers, safe text, stated limits."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest

from html_page import Page, unpacked
from ionmorphnet.base.errors import ArgumentError
from ionmorphnet.report.study_data import Notice, StudyReportData, StudySectionRow
from ionmorphnet.report.study_page import render_study
from ionmorphnet.report.tiles import LEVELS, MAX_BYTES, MAX_PIXELS, SIDES, Crop, make_tile, pack, plan, tile_pixels
from study_page_factory import make


def test_page_states_what_became_of_the_sections() -> None:
    data = make()
    page = Page(render_study(data))
    picks = sum(row.picks or 0 for row in data.sections)
    for text in (
        "kidney", "/data/kidney", "sections done3 of 4", "without a result1", "with warnings1", f"picks{picks}",
        "common channels5", "time to pick2 min", "2026-01-02 03:04 UTC", "1 section without a result",
        "p9/datap9: truncated file",
        "Spread that remains in a channel: 0.5 ppm", "as measured, not normalised", "scoreropenvino",
    ):  # fmt: skip
        assert text.replace(" ", "") in page.text.replace(" ", ""), text
    assert "To complete this page" not in page.text
    sections = page.payload["sections"]
    assert sections["name"] == [row.name for row in data.sections]
    assert sections["picks"] == [row.picks for row in data.sections]
    assert sections["candidates"] == [50, None, 50, 50]
    assert sections["columns"] == [["patient", ["p0", "", "p1", "p2"]]]
    assert sections["drift"][2] == {"mz": [300.0, 900.0], "ppm": [0.0, -1.0], "matched": 40, "residual": 0.5}
    scores = page.payload["scores"]
    assert [sum(counts) for counts in scores["all"]] == [50, 0, 50, 50]
    assert [sum(counts) for counts in scores["picked"]] == [row.picks or 0 for row in data.sections]
    assert scores["cut"][0] == pytest.approx(data.sections[0].scores[data.sections[0].picked].min())
    ids = {a["id"] for _, a in page.elements if "id" in a}
    script = render_study(data).rsplit("<script>", 1)[1]
    assert set(re.findall(r"byId\('([\w-]+)'\)", script)) <= ids
    for _, attributes in page.elements:
        assert attributes.get("aria-labelledby", "sections") in ids


def test_coverage_and_images_travel_whole() -> None:
    data = make()
    assert data.channels is not None
    payload = Page(render_study(data)).payload
    np.testing.assert_array_equal(unpacked(payload["coverage"]).reshape(4, 5), data.channels.coverage)
    pictures = payload["pictures"]
    assert pictures["channels"] == [0, 1, 2, 3, 4]
    for row, text, uppers in zip(data.channels.images, pictures["data"], pictures["upper"], strict=True):
        levels = unpacked(text)
        for tile, place, upper in zip(row, pictures["places"], uppers, strict=True):
            if tile is None:
                assert place is None
                assert upper is None
                continue
            width, height, at, ratio = place
            np.testing.assert_array_equal(levels[at : at + width * height].reshape(height, width), tile.levels)
            assert upper == pytest.approx(tile.upper, rel=1e-3)
            assert ratio == pytest.approx(0.5 * width / height, rel=0.01)
    tic = unpacked(payload["tic"]["data"])
    assert sum(place[0] * place[1] for place in payload["tic"]["places"] if place) == len(tic)


def test_tiles_show_the_measured_part() -> None:
    image = np.full((30, 40), np.nan)
    image[5:15, 8:28] = np.linspace(0, 10, 20)
    crop = Crop.of(~np.isnan(image))
    assert crop.shape == (10, 20)
    whole = make_tile(image, crop, 64)
    assert whole.levels.shape == (10, 20)
    assert whole.ratio == 2.0
    assert whole.upper == pytest.approx(np.quantile(image[5:15, 8:28], 0.99))
    assert whole.levels[0, 0] == 0
    assert whole.levels[0, -1] == LEVELS - 1
    image[6, 9] = np.nan
    assert make_tile(image, crop, 64).levels[1, 1] == LEVELS
    assert make_tile(image, crop, 7).levels.shape == (4, 7)
    nothing = np.zeros((3, 4), np.bool_)
    assert make_tile(np.full((3, 4), np.nan), Crop.of(nothing), 7).levels.tolist() == [[LEVELS] * 4] * 3


@pytest.mark.parametrize(
    ("n_sections", "shape", "n_channels"), [(3, (100, 100), 500), (200, (60, 80), 500), (1000, (134, 260), 500)]
)
def test_the_plan_is_the_largest_that_fits(n_sections: int, shape: tuple[int, int], n_channels: int) -> None:
    side, n = plan([shape] * n_sections, n_channels)
    pixels = n_sections * tile_pixels(shape, side)
    assert n * pixels <= MAX_PIXELS
    if n < n_channels:
        assert side == SIDES[-1]
        assert (n + 1) * pixels > MAX_PIXELS
    elif side < SIDES[0]:
        larger = SIDES[SIDES.index(side) - 1]
        assert n_sections * tile_pixels(shape, larger) * n_channels > MAX_PIXELS
    assert plan([], 5) == (SIDES[0], 5)


def test_what_the_limit_leaves_out_is_stated() -> None:
    data = make()
    assert data.channels is not None
    two = sum(len(pack(row)) for row in data.channels.images[:2])
    page = Page(render_study(data, max_bytes=two))
    assert page.payload["pictures"]["channels"] == [0, 1]
    assert len(page.payload["channels"]["mz"]) == 5
    assert "only the 2 channels with the highest scores have images, of 5" in page.text
    assert "To keep the page small" not in Page(render_study(data)).text
    none = Page(render_study(data, max_bytes=0))
    assert none.payload["pictures"]["channels"] == []
    assert "no channel has images" in none.text
    assert MAX_BYTES * 4 / 3 < 25_000_000


def test_before_the_consensus_the_page_has_the_sections() -> None:
    page = Page(
        render_study(make(channels=None, notices=[Notice("Find them with:", "ionmorphnet cohort consensus out")]))
    )
    assert "common channels" in page.text
    assert "not known yet" in page.text
    assert "Find them with: ionmorphnet cohort consensus out" in page.text
    assert page.payload["channels"] is None
    assert "coverage-map" not in {a.get("id") for _, a in page.elements}
    assert "#channels" not in {a.get("href") for t, a in page.elements if t == "a"}


def test_no_section_is_done() -> None:
    failed = [StudySectionRow(name="a", path="/a", status="failed", reason="no such file")]
    page = Page(render_study(StudyReportData(title="t", folder="f", date="now", sections=failed)))
    assert "0 of 1" in page.text
    assert "no such file" in page.text
    assert page.payload["scores"] is None


def test_isotopes_name_their_lighter_form() -> None:
    data = make()
    assert data.channels is not None
    pairs = pd.DataFrame({"lighter": [1], "heavier": [3], "relation": ["13C isotope"], "correlation": [0.987]})
    found = dataclasses.replace(data, channels=dataclasses.replace(data.channels, relatives=pairs))
    channels = Page(render_study(found)).payload["channels"]
    assert channels["relatives"] == [[], [], [["13C isotope", 0, 0.987]], [], []]
    assert channels["label"] == ["structured", None, "structured", None, "negative"]
    assert Page(render_study(data)).payload["channels"]["relatives"] is None


def test_names_of_compounds_are_shown() -> None:
    data = make()
    assert data.channels is not None
    table = data.channels.table.assign(name=["PC 34:1", "", None, np.nan, "heme"])
    found = dataclasses.replace(data, channels=dataclasses.replace(data.channels, table=table))
    assert Page(render_study(found)).payload["channels"]["name"] == ["PC 34:1", "", "", "", "heme"]


def test_nothing_is_loaded_and_hostile_text_stays_text() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&日本 {{ 7*7 }}"
    data = make()
    assert data.channels is not None
    rows = [
        dataclasses.replace(row, name=evil, path=evil, reason=evil, columns={evil: evil, "__proto__": "x"},
                            warnings=(evil,), without_images=evil)
        for row in data.sections
    ]  # fmt: skip
    table = data.channels.table.assign(name=evil, label=evil)
    hostile = dataclasses.replace(
        data, title=evil, folder=evil, date=evil, sections=rows, notices=[Notice(evil, evil)],
        facts={evil: {evil: evil}},
        channels=dataclasses.replace(data.channels, table=table, intensities=evil),
    )  # fmt: skip
    html = render_study(hostile)
    page, plain = Page(html), Page(render_study(data))
    assert [t for t, _ in page.elements].count("script") == [t for t, _ in plain.elements].count("script") == 2
    assert all(a.get("src") != "x" and not any(n.startswith("on") for n in a) for _, a in page.elements)
    assert page.content["h1"] == evil
    assert page.payload["sections"]["name"] == [evil] * 4
    assert page.payload["sections"]["columns"][1] == ["__proto__", ["x"] * 4]
    assert set(re.findall(r"https?://[^\s'\"]+", html)) == {"http://www.w3.org/2000/svg"}
    policy = next(a["content"] for t, a in page.elements if t == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; img-src data:;")
    for _, attributes in page.elements:
        assert (attributes.get("src") or "data:").startswith("data:")
        assert re.match(r"data:|#|sections/", attributes.get("href") or "#")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"coverage": np.zeros((4, 9), np.uint8)}, "coverage of shape"),
        ({"covered": np.zeros(2, np.bool_)}, "coverage of shape"),
        ({"pictured": [0, 1]}, "needs one per section"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes: dict[str, Any], message: str) -> None:
    data = make()
    assert data.channels is not None
    with pytest.raises(ArgumentError, match=message):
        dataclasses.replace(data, channels=dataclasses.replace(data.channels, **changes))
    with pytest.raises(ArgumentError, match="has scores"):
        make(sections=[dataclasses.replace(data.sections[0], picked=np.zeros(3, np.bool_))])
